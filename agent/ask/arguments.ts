/**
 * The command line of `ask`, understood by the table of operations.
 *
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import type { RequestArguments } from "../../proto/request.ts";
import { parseDuration } from "../../proto/rules/duration.ts";
import { suggestion } from "../../proto/rules/sql_refused.ts";
import { INSTALLED_STATE } from "../../proto/state_layout.ts";
import { checkedArguments, type Operation, RefusedError, usageOf } from "../requests/operation.ts";
import { OPERATIONS } from "../requests/operations.ts";

/** An operation may take two minutes, and waits behind those before it. */
const DEFAULT_TIMEOUT = "5m";
const MAX_TIMEOUT_MS = 86_400_000;

/** The command line cannot be understood. */
export class UsageError extends Error {
  override name = "UsageError";
}

export interface Asking {
  readonly state: string;
  readonly json: boolean;
  readonly timeoutMs: number;
  readonly operation: string;
  readonly arguments: RequestArguments;
}

/** What is asked for; `help` and `version` are for this program alone. @throws UsageError */
export function parseAsking(args: readonly string[], operations = OPERATIONS): Asking | "help" | "version" {
  const { values, positionals } = parsed(args, operations);
  if (values["help"] === true) return "help";
  if (values["version"] === true) return "version";
  if (positionals.length === 0) throw new UsageError("Ask for what? --help lists it");
  const name = [3, 2, 1].map((count) => positionals.slice(0, count).join(" "))
    .find((each) => Object.hasOwn(operations, each));
  if (name === undefined) {
    const asked = positionals.slice(0, 2).join(" ");
    throw new UsageError(`There is no operation ${JSON.stringify(asked)}${suggestion(asked, Object.keys(operations))}`);
  }
  const wanted = operations[name]!, rest = positionals.slice(name.split(" ").length);
  const given: Record<string, string | readonly string[]> = {};
  for (const [argument, { kind }] of Object.entries(wanted.arguments)) {
    if (kind === "option") {
      if (values[argument] !== undefined) given[argument] = values[argument] as string;
    } else if (kind === "words") given[argument] = rest.splice(0);
    else if (rest.length > 0) given[argument] = rest.shift()!;
  }
  if (rest.length > 0) throw new UsageError(`${name} takes no ${JSON.stringify(rest[0])}: ${usage(name, wanted)}`);
  for (const option of optionNames(operations)) {
    if (values[option] !== undefined && wanted.arguments[option]?.kind !== "option") {
      throw new UsageError(`${name} takes no --${option}: ${usage(name, wanted)}`);
    }
  }
  try {
    checkedArguments(given, wanted.arguments);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    throw new UsageError(`${error.message}: ${usage(name, wanted)}`, { cause: error });
  }
  const timeout = values["timeout"] as string, timeoutMs = parseDuration(timeout);
  if (timeoutMs === null || timeoutMs <= 0 || timeoutMs > MAX_TIMEOUT_MS) {
    throw new UsageError(`--timeout is a time such as 30s or 5m, not ${JSON.stringify(timeout)}`);
  }
  const state = values["state"] as string | undefined ?? INSTALLED_STATE;
  return { state, json: values["json"] === true, timeoutMs, operation: name, arguments: given };
}

/** All operations with their arguments, for people. */
export function helpText(operations = OPERATIONS): string {
  const lines = Object.entries(operations).flatMap(([name, operation]) => [
    `  ${usage(name, operation)}`,
    `      ${operation.summary}`,
    ...Object.entries(operation.arguments).map(([argument, { kind, help }]) =>
      `      ${kind === "option" ? `--${argument}` : argument.toUpperCase()}: ${help}`
    ),
  ]);
  return `daemoneye-agent ask OPERATION: asks the running agent for something, as a member of the group daemoneye-admin

${lines.join("\n")}

  --state DIR      the agent's state directory (default ${INSTALLED_STATE})
  --json           the reply as one JSON object
  --timeout TIME   wait so long at most (default ${DEFAULT_TIMEOUT})
  --version, --help

Every request is entered in the audit ledger with the user who asked, and what came of it. Exit codes: 0 done; 1 refused,
failed or not taken; 2 usage; 3 done by an agent that is degraded, or not ended in time. See docs/requests.md.`;
}

function usage(name: string, operation: Operation): string {
  const words = Object.entries(operation.arguments).map(([argument, of]) => usageOf(argument, of));
  return [name, ...words].join(" ");
}

function optionNames(operations: Readonly<Record<string, Operation>>): string[] {
  const names = Object.values(operations).flatMap((operation) =>
    Object.entries(operation.arguments).filter(([, { kind }]) => kind === "option").map(([name]) => name)
  );
  return [...new Set(names)];
}

function parsed(
  args: readonly string[],
  operations: Readonly<Record<string, Operation>>,
): { values: Record<string, unknown>; positionals: string[] } {
  const options: NonNullable<ParseArgsConfig["options"]> = {
    ...Object.fromEntries(optionNames(operations).map((name) => [name, { type: "string" as const }])),
    state: { type: "string" },
    json: { type: "boolean", default: false },
    timeout: { type: "string", default: DEFAULT_TIMEOUT },
    help: { type: "boolean", short: "h", default: false },
    version: { type: "boolean", short: "V", default: false },
  };
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
