/**
 * `query`: a person's SQL, behind the guard, SQLite's authorizer, a deadline and a cap of rows; behind all of them the
 * end of the process (`watchdog.ts`).
 *
 * @module
 */
import { CATALOG } from "../proto/catalog.ts";
import { NO_TABLES, type TableSet } from "../proto/table_descriptor.ts";
import { checkPlan } from "../proto/rules/plan_check.ts";
import { gateSql, type SqlParser } from "../proto/rules/sql_gate.ts";
import type { GuardedQuery } from "../proto/rules/sql_guard.ts";
import { bindParameters, parametersOf, type ParameterValue } from "../proto/rules/sql_parameters.ts";
import { SqlRefusedError } from "../proto/rules/sql_refused.ts";
import { atMostArguments, integerOption, meant, momentOption, spanOption } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { tellCoverage } from "./coverage.ts";
import { type Cell, openOutput, plainCell, type ShownColumn } from "./output.ts";
import { fromOsquery } from "./osquery.ts";
import { OSQUERY_VIEWS } from "./osquery_views.ts";
import { parametersOption } from "./parameters.ts";
import { writePlan } from "./query_plan.ts";
import { openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { parserFor } from "./sql_parser.ts";
import { readStatuses } from "./status_reader.ts";
import { storeTables } from "./collected.ts";
import { DEFAULT_DEADLINE_MS, Store } from "./store_reader.ts";
import { rowsOf } from "./store_size.ts";
import type { TableCell } from "./table.ts";
import { count } from "./units.ts";
import { type StepWatch, UNWATCHED, Watchdog } from "./watchdog.ts";

const DEFAULT_ROWS = 10_000;
/** Longest query on standard input. */
const MAX_SQL_BYTES = 65_536;

/** Tables whose rows come from watching, so that a gap touches them. */
const WATCHED: ReadonlySet<string> = new Set(["process_events", "processes", "alerts"]);

export async function query(call: Call): Promise<Exit> {
  atMostArguments(call, 1, "query");
  const [argument] = call.arguments;
  const isOsquery = call.values["osquery"] === true;
  if (call.values["schema"] === true) {
    return isOsquery ? writeOsquerySchema(call, argument) : writeSchema(call, argument);
  }
  if (argument === undefined) throw new UsageError("query takes a SELECT, or --schema");
  const since = momentOption(call, "since");
  const limit = integerOption(call, "limit", 1, 100_000_000, DEFAULT_ROWS);
  const deadlineMs = spanOption(call, "timeout", DEFAULT_DEADLINE_MS);
  const sql = argument === "-" ? decodeSql(call.readStdin(MAX_SQL_BYTES)) : argument;
  const isLimitAsked = call.values["limit"] !== undefined, isExplained = call.values["explain"] === true;
  const parameters = parametersOption(call),
    needed = parameters.size === 0 ? [] : refusable(sql, () => parametersOf(sql));
  const unused = [...parameters.keys()].find((name) => !needed.includes(name));
  if (unused !== undefined) {
    throw new UsageError(`The query has no parameter :${unused}${meant(unused, needed)}`);
  }
  const parse = await parserFor(sql, parameters, isOsquery), steps = new Watchdog(deadlineMs);
  try {
    return ask(call, sql, { since, limit, isLimitAsked, deadlineMs, isOsquery, isExplained, parameters, parse, steps });
  } finally {
    steps[Symbol.dispose]();
  }
}

/** How a question is asked. */
export interface Asking {
  /** Only what happened since then: Unix milliseconds. */
  readonly since: number | null;
  /** Most rows, and whether a person said so: an answer that is cut unasked is not whole. */
  readonly limit: number;
  readonly isLimitAsked: boolean;
  readonly deadlineMs: number;
  /** The tables are osquery's. */
  readonly isOsquery: boolean;
  /** What the parameters in the query are; those of others may be among them. */
  readonly parameters?: ReadonlyMap<string, ParameterValue>;
  /** Only say how the query would be gone about. */
  readonly isExplained?: boolean;
  /** Reads what is not plain. */
  readonly parse: SqlParser;
  readonly steps: StepWatch;
  readonly isStopped?: () => boolean;
  /** How a column is shown to eyes, by its name; `null` for plainly. */
  readonly show?: (name: string) => ((cell: Cell) => TableCell) | null;
}

/** Asks the store, and writes the answer. @throws CommandError */
export function ask(call: Call, text: string, asking: Asking): Exit {
  const { since, limit, isLimitAsked, deadlineMs, parse } = asking;
  const sql = refusable(text, () => bindParameters(text, asking.parameters ?? new Map()));
  const check = (tables: TableSet): GuardedQuery =>
    asking.isOsquery
      ? guard(fromOsquery(sql, parse), parse, "query --osquery --schema", tables)
      : guard(sql, parse, "query --schema", tables);
  const early = attempt(() => check(NO_TABLES));
  // Only the store knows of tables that collectors brought
  if (early instanceof CommandError && !/There is no (table|column)|a table;/.test(early.message)) throw early;
  const { layout } = findPlaces(call);

  const opened = attempt(() =>
    Store.open(layout.store, { deadlineMs, since, isStopped: asking.isStopped ?? (() => false) })
  );
  if (opened instanceof CommandError) throw early instanceof CommandError ? early : opened;
  using store = opened;
  const guarded = early instanceof CommandError || store.tables.size > 0 ? check(store.tables) : early;
  const sizeOf = (table: string): number => rowsOf(store, table, since);
  const { refusal, slow, isLookup } = checkPlan(guarded, {
    rowsOf: sizeOf,
    budgetMs: deadlineMs,
    bounded: since !== null,
    parse,
    collected: store.tables,
  });
  if (asking.isExplained === true) writePlan(call, guarded, sizeOf, store.tables);
  if (refusal !== null) throw new CommandError(`The query is refused: ${refusal}`);
  for (const reason of store.leftOut) call.note(reason);
  for (const reason of slow) call.note(`This is slow: ${reason}`);
  if (asking.isExplained === true) return EXIT.complete;
  // Nobody should wait for a slow reader while the cursor is open
  call.out.hold();
  const steps = isLookup ? UNWATCHED : asking.steps;
  const cursor = steps.watch(() => store.hunt(guarded));
  const names = distinct(cursor.names);
  const shown = names.map((name, i): ShownColumn => {
    const special = asking.show?.(name) ?? null;
    return { name, title: cursor.names[i]!, show: show(name, special ?? plainCell), keep: special !== null };
  });
  const output = openRows(call, names, shown);
  let rows = 0, cut = false;
  for (const row of steps.each(cursor.rows)) {
    if (rows === limit) {
      cut = true;
      break;
    }
    rows += 1;
    output.add(row);
  }
  output.end();
  call.out.flush();
  if (cut) {
    call.note(`Cut at ${count(limit)} rows, there are more: --limit allows more, LIMIT in the query asks for less`);
  }
  const watched = guarded.needs.tables.some((table) => WATCHED.has(table));
  const lacking = watched &&
    tellCoverage(call, store, readStatuses(layout, call.now()), { from: since, until: null });
  return (cut && !isLimitAsked) || lacking ? EXIT.degraded : EXIT.complete;
}

function show(name: string, shown: (cell: Cell) => TableCell): NonNullable<ShownColumn["show"]> {
  return (_, of) => {
    const cell = of(name);
    return cell === null ? { text: "NULL", style: "null" } : shown(cell);
  };
}

function decodeSql(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CommandError("The query on standard input is not UTF-8", { cause: error });
  }
}

/** @throws CommandError */
function guard(sql: string, parse: SqlParser, schemaCommand: string, tables: TableSet): GuardedQuery {
  return refusable(sql, () => gateSql(sql, "hunt", parse, tables), schemaCommand);
}

function attempt<T>(act: () => T): T | CommandError {
  try {
    return act();
  } catch (error) {
    if (error instanceof CommandError) return error;
    throw error;
  }
}

/** What `check` gives. @throws CommandError with the place in `sql` where it refuses */
function refusable<T>(sql: string, check: () => T, schemaCommand = "query --schema"): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof SqlRefusedError)) throw error;
    const parameter = /^The parameter :(\w+) has no value$/.exec(error.reason)?.[1];
    if (parameter !== undefined) {
      throw new CommandError(`${error.reason}; give it by --param ${parameter}=VALUE, in the shell by .param`, {
        cause: error,
      });
    }
    const near = sql.slice(error.offset).split("\n")[0]!.slice(0, 40);
    throw new CommandError(
      `The query is refused: ${error.reason}${
        near === "" ? "" : `, at "${near}"`
      }. ${schemaCommand} lists tables and columns${hint(error.reason, schemaCommand)}`,
      { cause: error },
    );
  }
}

/** Who names a column of osquery's may want its tables. */
function hint(reason: string, schemaCommand: string): string {
  if (schemaCommand !== "query --schema") return "; docs/osquery.md says which of osquery's there are";
  const name = /There is no (?:column|table) (\w+)/.exec(reason)?.[1] ?? "";
  const isOsquerys = OSQUERY_VIEWS.has(name) || [...OSQUERY_VIEWS.values()].some(({ columns }) => name in columns);
  return isOsquerys ? "; --osquery has the tables of osquery" : "";
}

/** Names that differ: a second `name` becomes `name_2`, so that no value of a JSON object hides another. */
export function distinct(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let n = 2; taken.has(free); n++) free = `${name}_${n}`;
    taken.add(free);
    return free;
  });
}

/** The tables of osquery that there are, or the columns of one and what gives them. @throws UsageError */
export function writeOsquerySchema(call: Call, name: string | undefined): Exit {
  const view = name === undefined ? undefined : OSQUERY_VIEWS.get(name);
  if (name !== undefined && view === undefined) {
    throw new UsageError(`There is no table ${name}${meant(name, [...OSQUERY_VIEWS.keys()])}`);
  }
  const names = view === undefined ? ["table", "columns", "description"] : ["column", "gives"];
  const shown = names.map((name): ShownColumn => ({ name, title: name.toUpperCase() }));
  const output = openOutput(call.format, names, shown, call.screen, (text) => call.out.write(text));
  if (view === undefined) {
    for (const { name, columns, about } of OSQUERY_VIEWS.values()) {
      output.add([name, Object.keys(columns).length, about]);
    }
  } else {
    for (const [column, sql] of Object.entries(view.columns)) output.add([column, sql.replaceAll(/\s+/g, " ")]);
  }
  output.end();
  return EXIT.complete;
}

/** The tables, or the columns of one. @throws UsageError */
export function writeSchema(call: Call, name: string | undefined): Exit {
  const tables = new Map([...CATALOG, ...storeTables(findPlaces(call).layout.store)]);
  const table = name === undefined ? undefined : tables.get(name);
  if (name !== undefined && table === undefined) {
    throw new UsageError(`There is no table ${name}${meant(name, [...tables.keys()])}`);
  }
  const write = (text: string): void => call.out.write(text);
  if (table === undefined) {
    const names = ["table", "columns", "description"];
    const shown = names.map((name): ShownColumn => ({ name, title: name.toUpperCase() }));
    const output = openOutput(call.format, names, shown, call.screen, write);
    for (const table of tables.values()) output.add([table.name, table.columns.length, table.description]);
    output.end();
    return EXIT.complete;
  }
  const names = ["table", "column", "type", "index", "description"];
  const shown = names.slice(1).map((name): ShownColumn => ({ name, title: name.toUpperCase() }));
  const output = openOutput(call.format, names, shown, call.screen, write);
  for (const column of table.columns) {
    const index = table.key.includes(column.name)
      ? "key"
      : table.indexes.some((columns) => columns[0] === column.name)
      ? "yes"
      : "";
    output.add([table.name, column.name, column.type, index, column.description]);
  }
  output.end();
  return EXIT.complete;
}
