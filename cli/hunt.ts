/**
 * `hunt`: shipped questions with parameters, asked like those of a person's.
 *
 * @module
 */
import { bindParameters, type ParameterValue } from "../proto/rules/sql_parameters.ts";
import { integerOption, meant, momentOption, refuseForeign, spanOption } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { HUNTS } from "./hunts/all.ts";
import type { Hunt, HuntParameter } from "./hunts/hunt.ts";
import { type Cell, plainCell, type ShownColumn } from "./output.ts";
import { sizeCell, spanCell, timeCell } from "./process_cells.ts";
import { ask } from "./query.ts";
import { record } from "./record.ts";
import { openRows } from "./row_output.ts";
import { parserFor } from "./sql_parser.ts";
import { DEFAULT_DEADLINE_MS } from "./store_reader.ts";
import { counted } from "./units.ts";
import { Watchdog } from "./watchdog.ts";

const DEFAULT_ROWS = 1_000;
/** Longest text of a parameter. */
const MAX_TEXT = 512;
const MAX_NUMBER = 1_000_000_000;

export async function hunt(call: Call): Promise<Exit> {
  const [first, second, third] = call.arguments;
  if (first === undefined) throw new UsageError("hunt takes list, show or the name of a hunt");
  const extra = first === "list" ? second : first === "show" ? third : second;
  if (extra !== undefined) {
    throw new UsageError(`hunt ${first} takes no argument ${extra}; parameters are -p NAME=VALUE`);
  }
  if (first === "list" || first === "show") refuseForeign(call, `hunt ${first}`, ["columns"]);
  if (first === "list") return list(call);
  if (first === "show") return show(call, huntNamed(second));
  return await run(call, huntNamed(first));
}

function huntNamed(name: string | undefined): Hunt {
  if (name === undefined) throw new UsageError("hunt show takes the name of a hunt; hunt list has them");
  const found = HUNTS.get(name);
  if (found !== undefined) return found;
  throw new UsageError(
    `There is no hunt ${name}${meant(name, [...HUNTS.keys(), "list", "show"]) || "; hunt list has them"}`,
  );
}

function list(call: Call): Exit {
  const names = ["hunt", "parameters", "title"];
  const output = openRows(
    call,
    names,
    names.map((name): ShownColumn => ({ name, title: name.toUpperCase(), keep: name === "hunt" })),
  );
  for (const { name, title, parameters } of HUNTS.values()) {
    output.add([name, Object.keys(parameters ?? {}).join(", "), title]);
  }
  output.end();
  call.note(`${counted(HUNTS.size, "hunt")}; hunt show NAME explains one`);
  return EXIT.complete;
}

function show(call: Call, hunt: Hunt): Exit {
  const parameters = Object.entries(hunt.parameters ?? {});
  if (call.format === "table") {
    record(call, hunt.title, undefined, [
      ["hunt", hunt.name],
      ["about", hunt.about],
      ...parameters.map(([name, { text, initial }]) =>
        [
          `-p ${name}=`,
          `${text}${initial === null ? " (must be given)" : initial === "" ? "" : ` (default ${initial})`}`,
        ] as const
      ),
      ["sql", hunt.sql.replaceAll(/\s+/g, " ")],
    ]);
    return EXIT.complete;
  }
  const names = ["hunt", "title", "about", "parameters", "sql"];
  const output = openRows(call, names, []);
  output.add([
    hunt.name,
    hunt.title,
    hunt.about,
    JSON.stringify(hunt.parameters ?? {}),
    hunt.sql.replaceAll(/\s+/g, " "),
  ]);
  output.end();
  return EXIT.complete;
}

async function run(call: Call, hunt: Hunt): Promise<Exit> {
  const limit = integerOption(call, "limit", 1, 100_000_000, DEFAULT_ROWS);
  const deadlineMs = spanOption(call, "timeout", DEFAULT_DEADLINE_MS), since = momentOption(call, "since");
  const sql = huntSql(hunt, (call.values["param"] ?? []) as readonly string[], call.now());
  const parse = await parserFor(sql, new Map());
  const steps = new Watchdog(deadlineMs), isLimitAsked = call.values["limit"] !== undefined;
  try {
    return ask(call, sql, { since, limit, isLimitAsked, deadlineMs, isOsquery: false, parse, steps, show: shownAs });
  } finally {
    steps[Symbol.dispose]();
  }
}

/** How a column of an answer is shown, by its name, which is that of the catalog. */
function shownAs(name: string): ((cell: Cell) => ReturnType<typeof plainCell>) | null {
  if (/(^|_)time$|_seen$/.test(name)) return (cell) => timeCell(cell, "s");
  if (name.endsWith("_ms")) return spanCell;
  return name === "memory_usage" ? sizeCell : null;
}

/** The query of a hunt, its parameters replaced by their values. @throws UsageError */
export function huntSql({ name, sql, parameters = {} }: Hunt, assignments: readonly string[], now: number): string {
  const given = new Map<string, string>();
  for (const assignment of assignments) {
    const equals = assignment.indexOf("="), key = assignment.slice(0, Math.max(0, equals));
    if (!Object.hasOwn(parameters, key)) {
      const names = Object.keys(parameters);
      const there = names.length === 0 ? "it has none" : `it has ${names.join(", ")}`;
      throw new UsageError(`${name} has no parameter ${equals < 0 ? assignment : key}; ${there}, given as NAME=VALUE`);
    }
    given.set(key, assignment.slice(equals + 1));
  }
  const values = new Map<string, ParameterValue>([["now", Math.floor(now)]]);
  for (const [key, parameter] of Object.entries(parameters)) {
    const value = given.get(key) ?? parameter.initial;
    if (value === null) throw new UsageError(`${name} needs -p ${key}=VALUE: ${parameter.text}`);
    values.set(key, checkedValue(key, parameter, value));
  }
  return bindParameters(sql, values);
}

function checkedValue(name: string, { kind }: HuntParameter, value: string): ParameterValue {
  if (kind === "number") {
    const number = /^\d{1,10}$/.test(value) ? Number(value) : NaN;
    if (!(number <= MAX_NUMBER)) {
      throw new UsageError(`-p ${name} must be a whole number up to ${MAX_NUMBER}, but is ${value}`);
    }
    return number;
  }
  // deno-lint-ignore no-control-regex
  if (value.length > MAX_TEXT || !value.isWellFormed() || /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/.test(value)) {
    throw new UsageError(`-p ${name} must be a text of at most ${MAX_TEXT} characters, without control characters`);
  }
  return value;
}
