/**
 * `query`: a person's SQL, behind the guard, SQLite's authorizer, a deadline and a cap of rows; behind all of them the
 * end of the process (`watchdog.ts`).
 *
 * @module
 */
import { CATALOG, tableNamed } from "../proto/catalog.ts";
import { checkPlan } from "../proto/rules/plan_check.ts";
import { type GuardedQuery, guardSql } from "../proto/rules/sql_guard.ts";
import { SqlRefusedError } from "../proto/rules/sql_refused.ts";
import { atMostArguments, integerOption, meant, momentOption, spanOption } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { tellCoverage } from "./coverage.ts";
import { openOutput, plainCell, type ShownColumn } from "./output.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses } from "./status_reader.ts";
import { DEFAULT_DEADLINE_MS, Store } from "./store_reader.ts";
import { rowsOf } from "./store_size.ts";
import { count } from "./units.ts";
import { Watchdog } from "./watchdog.ts";

const DEFAULT_ROWS = 10_000;
/** Longest query on standard input. */
const MAX_SQL_BYTES = 65_536;

/** Tables whose rows come from watching, so that a gap touches them. */
const WATCHED: ReadonlySet<string> = new Set(["process_events", "processes", "alerts"]);

export function query(call: Call): Exit {
  atMostArguments(call, 1, "query");
  const [argument] = call.arguments;
  if (call.values["schema"] === true) return schema(call, argument);
  if (argument === undefined) throw new UsageError("query takes a SELECT, or --schema");
  const since = momentOption(call, "since");
  const limit = integerOption(call, "limit", 1, 100_000_000, DEFAULT_ROWS);
  const deadlineMs = spanOption(call, "timeout", DEFAULT_DEADLINE_MS);
  const sql = argument === "-" ? decodeSql(call.readStdin(MAX_SQL_BYTES)) : argument;
  const guarded = guard(sql);
  const { layout } = findPlaces(call);

  using store = Store.open(layout.store, { deadlineMs, since });
  const { refusal, slow } = checkPlan(guarded, {
    rowsOf: (table) => rowsOf(store, table, since),
    budgetMs: deadlineMs,
    bounded: since !== null && since !== undefined,
  });
  if (refusal !== null) throw new CommandError(`The query is refused: ${refusal}`);
  for (const reason of slow) call.note(`This is slow: ${reason}`);
  // Nobody should wait for a slow reader while the cursor is open
  call.out.hold();
  using watchdog = new Watchdog(deadlineMs);
  const cursor = watchdog.watch(() => store.hunt(guarded));
  const names = distinct(cursor.names);
  const shown: ShownColumn[] = names.map((name, i) => ({ name, title: cursor.names[i]!, show: show(name) }));
  const output = openOutput(call.format, names, shown, call.screen, (text) => call.out.write(text));
  let rows = 0, cut = false;
  for (const row of watchdog.each(cursor.rows)) {
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
  const cutUnasked = cut && call.values["limit"] === undefined;
  const watched = guarded.needs.tables.some((table) => WATCHED.has(table));
  const lacking = watched &&
    tellCoverage(call, store, readStatuses(layout, call.now()), { from: since, until: null });
  return cutUnasked || lacking ? EXIT.degraded : EXIT.complete;
}

function show(name: string): NonNullable<ShownColumn["show"]> {
  return (_, of) => {
    const cell = of(name);
    return cell === null ? { text: "NULL", style: "null" } : plainCell(cell);
  };
}

function decodeSql(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CommandError("The query on standard input is not UTF-8", { cause: error });
  }
}

/** @throws CommandError with the place, and the words around it. */
function guard(sql: string): GuardedQuery {
  try {
    return guardSql(sql, "hunt");
  } catch (error) {
    if (!(error instanceof SqlRefusedError)) throw error;
    const near = sql.slice(error.offset).split("\n")[0]!.slice(0, 40);
    throw new CommandError(
      `The query is refused: ${error.reason}${
        near === "" ? "" : `, at "${near}"`
      }. query --schema lists tables and columns`,
      { cause: error },
    );
  }
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

function schema(call: Call, name: string | undefined): Exit {
  if (name !== undefined && !CATALOG.has(name)) {
    throw new UsageError(`There is no table ${name}${meant(name, [...CATALOG.keys()])}`);
  }
  const write = (text: string): void => call.out.write(text);
  if (name === undefined) {
    const names = ["table", "columns", "description"];
    const shown = names.map((name): ShownColumn => ({ name, title: name.toUpperCase() }));
    const output = openOutput(call.format, names, shown, call.screen, write);
    for (const table of CATALOG.values()) output.add([table.name, table.columns.length, table.description]);
    output.end();
    return EXIT.complete;
  }
  const table = tableNamed(name);
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
