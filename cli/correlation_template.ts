/**
 * `rules new ID TYPE`: the text of a correlation of each type that holds, whose tests pass, and which says what each part
 * is for.
 *
 * @module
 */
import type { TypeName } from "../proto/rules/correlation_yaml.ts";

interface Part {
  readonly title: string;
  readonly what: string;
  readonly correlation: string;
  readonly match: readonly string[];
  readonly noMatch: readonly string[];
}

const FAILED = "event_type = 'stop' AND name = 'su' AND exit_code = 1";
const failed = (seconds: number, more = ""): string =>
  `{ time: ${seconds}s, event_type: stop, name: su, exit_code: 1, user_id: 1000${more} }`;

const PARTS: Readonly<Record<TypeName, Part>> = {
  count: {
    title: "su failed three times",
    what: "One user failed three times within five minutes.",
    correlation: `type: count
# A condition over one event, as in WHERE
of: ${FAILED}
# What the events have in common; an event without a value of it takes no part
by: [user_id]
within: 5m
# at_least, more_than, at_most, less_than, exactly, other_than
at_least: 3`,
    match: [[0, 60, 299].map((at) => failed(at)).join("\n")],
    noMatch: [[0, 60, 301].map((at) => failed(at)).join("\n")],
  },
  distinct: {
    title: "su to many users",
    what: "One user tried su for three different command lines within five minutes.",
    correlation: `type: distinct
of: ${FAILED}
by: [user_id]
# Different values of this column are counted; NULL is none
value: command_line
within: 5m
at_least: 3`,
    match: [["su a", "su b", "su c"].map((line, at) => failed(at, `, command_line: ${line}`)).join("\n")],
    noMatch: [["su a", "su b", "su a"].map((line, at) => failed(at, `, command_line: ${line}`)).join("\n")],
  },
  sum: {
    title: "A user burns processor time",
    what: "The processes of one user took more than ten minutes of processor time within five minutes.",
    correlation: `type: sum
of: event_type = 'stop' AND cpu_time_ms IS NOT NULL
by: [user_id]
value: cpu_time_ms
within: 5m
more_than: 600000`,
    match: [[0, 9].map((at) => `{ time: ${at}s, event_type: stop, user_id: 7, cpu_time_ms: 400000 }`).join("\n")],
    noMatch: [[0, 9].map((at) => `{ time: ${at}s, event_type: stop, user_id: ${at}, cpu_time_ms: 400000 }`).join("\n")],
  },
  average: {
    title: "Processes that end at once",
    what: "The processes of one parent lived less than five milliseconds on average within ten seconds.",
    correlation: `type: average
of: event_type = 'stop' AND duration_ms IS NOT NULL AND parent_exec_id IS NOT NULL
by: [parent_exec_id]
value: duration_ms
within: 10s
less_than: 5`,
    match: ["{ time: 0s, event_type: stop, parent_exec_id: b-7-1, duration_ms: 2 }"],
    noMatch: ["{ time: 0s, event_type: stop, parent_exec_id: b-7-1, duration_ms: 20 }"],
  },
  percentile: {
    title: "Most processes are large",
    what: "Half of what one user ended within a minute held more than a gigabyte.",
    correlation: `type: percentile
of: event_type = 'stop' AND memory_usage IS NOT NULL
by: [user_id]
value: memory_usage
# The smallest value that is no less than so many percent of the values are
percentile: 50
within: 1m
more_than: 1000000000`,
    match: ["{ time: 0s, event_type: stop, user_id: 7, memory_usage: 2000000000 }"],
    noMatch: [
      "{ time: 0s, event_type: stop, user_id: 7, memory_usage: 5 }\n{ time: 1s, event_type: stop, user_id: 7, memory_usage: 2000000000 }",
    ],
  },
  together: {
    title: "Discovery by several commands",
    what: "One user asked who is on the host, what it is and what listens, within a minute and in any order.",
    correlation: `type: together
events:
  who: event_type = 'start' AND name IN ('w', 'who', 'id')
  what: event_type = 'start' AND name IN ('uname', 'hostnamectl')
  net: event_type = 'start' AND name IN ('ss', 'netstat')
by: [user_id]
within: 1m
# Without it all of them; or a number, at_least: 2; or names joined by and, or, not
when: (who or what) and net`,
    match: [
      "{ time: 0s, event_type: start, name: ss, user_id: 7 }\n{ time: 9s, event_type: start, name: id, user_id: 7 }",
    ],
    noMatch: [
      "{ time: 0s, event_type: start, name: w, user_id: 7 }\n{ time: 9s, event_type: start, name: id, user_id: 7 }",
    ],
  },
  sequence: {
    title: "A download, then a program from the same directory",
    what: "A user fetched something and then ran a program of the directory in which that was done.",
    correlation: `type: sequence
# In the order of \`of\`, or as they are written here
events:
  download: event_type = 'start' AND name IN ('curl', 'wget')
  run: event_type = 'start' AND executable_path LIKE '/tmp/%'
by: [user_id, cwd]
within: 5m`,
    match: [
      "{ time: 0s, event_type: start, name: curl, user_id: 7, cwd: /tmp }\n{ time: 9s, event_type: start, name: x, executable_path: /tmp/x, user_id: 7, cwd: /tmp }",
    ],
    noMatch: [
      "{ time: 0s, event_type: start, name: x, executable_path: /tmp/x, user_id: 7, cwd: /tmp }\n{ time: 9s, event_type: start, name: curl, user_id: 7, cwd: /tmp }",
    ],
  },
  absence: {
    title: "A backup that does not end",
    what:
      "A backup began, and no end of it came within an hour. The alert is about the begin, and comes when the hour is over.",
    correlation: `type: absence
events:
  begin: event_type = 'start' AND name = 'backup'
  end: event_type = 'stop' AND name = 'backup' AND exit_code = 0
of: begin
not_followed_by: [end]
by: [exec_id]
within: 1h`,
    match: ["{ time: 0s, event_type: start, name: backup, exec_id: b-7-1 }"],
    noMatch: [
      "{ time: 0s, event_type: start, name: backup, exec_id: b-7-1 }\n{ time: 9s, event_type: stop, name: backup, exit_code: 0, exec_id: b-7-1 }",
    ],
  },
  first_seen: {
    title: "root runs a program for the first time",
    what: "root ran a program that it did not run within the last 30 days.",
    correlation: `type: first_seen
of: event_type = 'start' AND effective_user_id = 0
# The values that are remembered
by: [executable_path]
forget_after: 30d
# So long from its first event on it only learns
learn: 7d
# The most values; past that what was seen longest ago is forgotten
remember: 10000`,
    match: [
      "{ time: 0s, event_type: start, effective_user_id: 0, executable_path: /usr/bin/id }\n{ time: 8d, event_type: start, effective_user_id: 0, executable_path: /tmp/x }",
    ],
    noMatch: [
      "{ time: 0s, event_type: start, effective_user_id: 0, executable_path: /usr/bin/id }\n{ time: 8d, event_type: start, effective_user_id: 0, executable_path: /usr/bin/id }",
    ],
  },
};

/** The text of a rule file. */
export function correlationTemplate(id: string, type: TypeName): string {
  const { title, what, correlation, match, noMatch } = PARTS[type];
  const tests = (list: readonly string[]): string =>
    list.map((rows) => rows.split("\n").map((row, i) => `    ${i === 0 ? "- -" : "  -"} ${row}\n`).join("")).join("");
  return `# One file holds one rule. The agent takes it over when it is saved in a rules directory.
id: ${id}
title: ${title}
description: |
  ${what}
severity: medium
# draft: judged and counted (rules cost), but no alert. Take the line away when the matches are what they should be.
status: draft
tags: []
references: []
false_positives: []
# What it means: docs/correlations.md
correlation:
${
    correlation.split("\n").map((line) => `  ${line}\n`).join("")
  }# Lists of events, with times since the first, that the rule must and must not find something in.
tests:
  match:
${tests(match)}  no_match:
${tests(noMatch)}`;
}
