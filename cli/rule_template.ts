/**
 * `rules new`: the text of a rule that holds, whose tests pass, and which says what each part is for.
 *
 * @module
 */
import { TYPES } from "../proto/rules/correlation_yaml.ts";
import { atMostArguments, meant } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { correlationTemplate } from "./correlation_template.ts";

export function newRule(call: Call): Exit {
  atMostArguments(call, 2, "rules new");
  const [id, type] = call.arguments, types = Object.keys(TYPES);
  if (id === undefined) throw new UsageError("rules new takes the id of the rule: rules new curl-into-shell");
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id) || id.length < 3 || id.length > 64) {
    throw new CommandError(
      `An id has 3 to 64 lower-case letters, digits and hyphens, such as curl-into-shell, but is ${id}`,
    );
  }
  if (type !== undefined && !types.includes(type)) {
    throw new UsageError(`A correlation is one of ${types.join(", ")}${meant(type, types)}`);
  }
  call.out.write(type === undefined ? template(id) : correlationTemplate(id, type as keyof typeof TYPES));
  call.note(`Save it as ${id}.yml, then: rules test ${id}.yml, rules replay ./${id}.yml --since 7d`);
  return EXIT.complete;
}

function template(id: string): string {
  return `# One file holds one rule. The agent takes it over when it is saved in a rules directory.
id: ${id}
# One line, for lists and alerts.
title: A shell started by a web server
# What was found, why that is bad, and what to look at next.
description: |
  A web server started a shell. Servers rarely do; one that was broken into does at once. Look at the command line, at
  what the shell started (tree), and at the requests of that second.
# info, low, medium, high or critical
severity: high
# draft: judged and counted (rules cost), but no alert. Take the line away when the matches are what they should be.
status: draft
# ATT&CK techniques and whatever groups rules: lower-case, with dots and hyphens.
tags: [attack.persistence, attack.t1505.003]
references: []
false_positives:
  - A server that runs scripts through a shell on purpose.
# Which events, and what the alert shows of them: each row of process_events is judged alone, as it happens.
# query --schema process_events lists the columns. LIKE ignores the case of A to Z; = does not.
sql: |
  SELECT pid, user_name, command_line, parent_name, parent_command_line
  FROM process_events
  WHERE event_type = 'start'
    AND name IN ('sh', 'bash', 'dash')
    AND parent_name IN ('nginx', 'apache2', 'httpd')
    AND (command_line LIKE '%/opt/app/hooks/%') IS NOT TRUE
# Rows that the rule must match, and rows that it must not; columns that are not named are NULL.
tests:
  match:
    - { event_type: start, name: sh, command_line: "sh -c id", parent_name: nginx }
    - { event_type: start, name: bash, parent_name: apache2 }
  no_match:
    - { event_type: start, name: sh, command_line: "sh -c id", parent_name: sshd }
    - { event_type: start, name: sh, command_line: "sh /opt/app/hooks/renew.sh", parent_name: nginx }
    - { event_type: stop, name: sh, command_line: "sh -c id", parent_name: nginx }
`;
}
