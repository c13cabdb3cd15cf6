/**
 * The rule that an argument means: the id of one of the rules directories, or a file, so that a draft can be looked at
 * before the agent has it.
 *
 * @module
 */
import type { ValidatedRule } from "../proto/rules/rule.ts";
import { atMostArguments, meant } from "./arguments.ts";
import { type Call, CommandError, UsageError } from "./command.ts";
import type { TableSet } from "../proto/table_descriptor.ts";
import { storeTables } from "./collected.ts";
import { checkRules, findRule, type RefusedRule } from "./rule_files.ts";
import type { Places } from "./settings.ts";

/** The one rule that the arguments of `rules ACTION` name. @throws UsageError, CommandError */
export function namedRule(call: Call, action: string, places: Places): ValidatedRule {
  const rule = anyRule(call, action, places);
  if (rule.collected === undefined) return rule;
  throw new CommandError(
    `rules ${action} knows rules over process_events; ${rule.id} reads ${rule.collected.table.name}, a collector's table. ` +
      `rules test tries it on its rows, query asks the store`,
  );
}

function anyRule(call: Call, action: string, { rulesDirs, layout }: Places): ValidatedRule {
  const tables = storeTables(layout.store);
  atMostArguments(call, 1, `rules ${action}`);
  const [name] = call.arguments;
  if (name === undefined) throw new UsageError(`rules ${action} takes the id of a rule, or a file`);
  if (!isPath(name)) {
    const { files, ids } = findRule(rulesDirs, name, tables);
    if (files !== null) return ruleOfId(name, files, call, tables);
    throw new CommandError(
      `There is no rule ${name} in ${rulesDirs.join(", ")}${
        meant(name, ids)
      }. A file is named with its directory: ./${name}.yml`,
    );
  }
  return ruleOf(name, call, tables);
}

function isPath(name: string): boolean {
  return name === "-" || name.includes("/") || /\.ya?ml$/.test(name);
}

function ruleOfId(id: string, files: readonly string[], call: Call, tables: TableSet): ValidatedRule {
  const { rules, refused } = checkRules(files, call.readStdin, (rule) => rule.id === id, tables);
  if (rules.length > 0) return rules[0]!;
  // Of several files only those of this rule's are known to be at fault when it is the only one
  const fault = files.length === 1 ? refused[0] : undefined;
  throw new CommandError(
    fault === undefined ? `The rule ${id} is not right; rules validate says why` : placed(fault),
  );
}

function ruleOf(path: string, call: Call, tables: TableSet): ValidatedRule {
  const { rules, refused } = checkRules([path], call.readStdin, undefined, tables);
  if (refused.length > 0) throw new CommandError(placed(refused[0]!));
  if (rules.length !== 1) throw new CommandError(`${path} has ${rules.length} rules; name one by its id`);
  return rules[0]!;
}

/** As compilers write it, so that editors find the place. */
export function placed({ file, line, column, reason }: RefusedRule): string {
  return line === null ? `${file}: ${reason}` : `${file}:${line}:${column ?? 1}: ${reason}`;
}
