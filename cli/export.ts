/**
 * `export`: every row of a table over a time, as a stream.
 *
 * The rows are read in pieces and each is written when its cursor is closed, so that memory stays flat, whatever there
 * is, and a slow reader never keeps the agent's log from being cleared. Between two pieces the agent goes on: the answer
 * is not one moment of the store, but each row that was there all the time is in it once.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { decodeCollectorStatus } from "../proto/status_codec.ts";
import { choiceOption, integerOption, meant, timeRange } from "./arguments.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { eventPieces, PIECE_ROWS, rowPieces } from "./export_pieces.ts";
import { RECEIVER_FORMATS, RECEIVER_TABLES, receiverLines } from "./export_formats.ts";
import { eventTexts, type TextPiece } from "./export_text.ts";
import { tellCoverage, touching } from "./coverage.ts";
import type { Cell, RowOutput } from "./output.ts";
import { chosenColumns, openRows } from "./row_output.ts";
import { findPlaces } from "./settings.ts";
import { Pacing } from "./pacing.ts";
import { Salvage } from "./salvage.ts";
import { readStatus, readStatuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { DamagedError } from "./store_error.ts";
import { count, counted, type TimeRange } from "./units.ts";

const ROW_FORMATS = ["jsonl", "csv", "json", "line"] as const;
const TABLES = { events: "process_events", alerts: "alerts", gaps: "gaps", processes: "processes" } as const;
type Name = keyof typeof TABLES;

export function exportRows(call: Call): Exit {
  const [name, extra] = call.arguments, names = Object.keys(TABLES) as Name[];
  if (extra !== undefined) throw new UsageError(`export takes one table, but got also ${extra}`);
  const what = names.find((known) => known === name);
  if (what === undefined) {
    const words = name === undefined ? "export takes a table" : `There is nothing named ${name} to export`;
    throw new UsageError(`${words}${name === undefined ? "" : meant(name, names)}; there are ${names.join(", ")}`);
  }
  const format = choiceOption(call, "format", [...ROW_FORMATS, ...RECEIVER_FORMATS]) ?? "jsonl";
  const limit = integerOption(call, "limit", 1, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  const range = timeRange(call), table = tableNamed(TABLES[what]);
  const all = table.columns.map((column) => column.name);
  const columns = chosenColumns(call, all) ?? all;
  const isReceiver = format === "ocsf" || format === "ecs";
  if (isReceiver && !RECEIVER_TABLES.includes(what)) {
    throw new UsageError(
      `There is no ${format} of ${what}, only of ${RECEIVER_TABLES.join(" and ")}; jsonl has all tables`,
    );
  }
  if (isReceiver && call.values["columns"] !== undefined) {
    throw new UsageError(`--columns goes with ${ROW_FORMATS.join(", ")}: ${format} says where each value stands`);
  }
  const salvage = call.values["salvage"] === true ? new Salvage(what === "events" ? "times" : "rows") : null;
  const { layout } = findPlaces(call);

  using store = Store.open(layout.store);
  let odd = 0;
  const output = isReceiver
    ? receiverOutput(call, receiverLines(format, what, columns, hostOf(store)), () => odd += 1)
    : openRows({ ...call, format, values: { ...call.values, columns: undefined } }, columns, []);
  // On a terminal CSV is written as a table is, cell by cell
  const isText = what === "events" && salvage === null &&
    (format === "jsonl" || (format === "csv" && call.screen.columns === null));
  const pieces: Iterable<Cell[][] | TextPiece> = isText
    ? eventTexts(store, format, columns, range, limit)
    : what === "events"
    ? eventPieces(store, columns, range, salvage)
    : salvage === null
    ? keyPieces(store, table.name, table.key[0]!, columns, range)
    : rowPieces(store, table.name, columns, TIMES[table.name]!(range), salvage);
  const pacing = new Pacing(() => readStatus(layout.collectorStatus, decodeCollectorStatus, call.now()));
  let written = 0, told = call.now(), isTold = false;
  for (const piece of pieces) {
    if ("text" in piece) {
      if (typeof piece.text === "string") call.out.write(piece.text);
      else call.out.writeBytes(piece.text);
      if (format === "jsonl") call.out.write("\n");
      written += piece.count;
    } else {
      for (const row of "rows" in piece ? piece.rows : piece) {
        if (written === limit) break;
        output.add(row);
        written += 1;
      }
    }
    call.out.flush();
    const waiting = pacing.rest();
    if (waiting !== null && !isTold) {
      isTold = true;
      call.note(`${count(waiting)} events wait to be stored: this gives way until they are fewer`);
    }
    if (call.now() - told > 1_000) {
      told = call.now();
      call.progress(`${count(written)} rows`);
    }
    if (written === limit) break;
  }
  output.end();
  call.out.flush();
  call.progress(null);
  if (written === limit) call.note(`Ended after ${count(limit)} rows, as --limit says`);
  if (odd > 0) call.note(`${counted(odd, "row")} cannot be written as ${format}: jsonl has what they hold`);
  const isCut = salvage?.tell(call) ?? false;
  try {
    const lacking = tellCoverage(call, store, readStatuses(layout, call.now()), range);
    return lacking || isCut || odd > 0 ? EXIT.degraded : EXIT.complete;
  } catch (error) {
    if (salvage === null || !(error instanceof DamagedError)) throw error;
    call.note("What else is missing in this time cannot be read either");
    return EXIT.degraded;
  }
}

function receiverOutput(
  call: Call,
  lineOf: (row: readonly Cell[]) => string | null,
  odd: () => void,
): Pick<RowOutput, "add" | "end"> {
  return {
    add(row) {
      const line = lineOf(row);
      if (line === null) odd();
      else call.out.write(line);
    },
    end: () => {},
  };
}

/** The host that the store is of, which may be another than this one. */
function hostOf(store: Store): string {
  const [row] = store.rows("SELECT value FROM system_info WHERE name = 'hostname'");
  return String(row?.[0] ?? "unknown");
}

/** Rows of another table, in the order of its key. */
function* keyPieces(
  store: Store,
  table: string,
  key: string,
  columns: readonly string[],
  range: TimeRange,
): Generator<Cell[][]> {
  const time = TIMES[table]!(range);
  let after: Cell = null;
  for (;;) {
    const rows: Cell[][] = store.rows(
      `SELECT ${key}, ${columns.join(", ")} FROM ${table} WHERE (? IS NULL OR ${key} > ?) AND ${time.sql}
       ORDER BY ${key} LIMIT ?`,
      after as string | number | null,
      after as string | number | null,
      ...time.parameters,
      PIECE_ROWS,
    );
    yield rows.map((row) => row.slice(1));
    if (rows.length < PIECE_ROWS) return;
    after = rows.at(-1)![0]!;
  }
}

/** The condition that a row is of a time, by table. */
const TIMES: Readonly<Record<string, (range: TimeRange) => { sql: string; parameters: number[] }>> = {
  alerts: (range) => ({ sql: "time >= ? AND time <= ?", parameters: touching.parameters(range) }),
  gaps: (range) => ({ sql: touching.sql, parameters: touching.parameters(range) }),
  processes: (range) => ({
    sql: "(end_time IS NULL OR end_time >= ?) AND coalesce(start_time, 0) <= ?",
    parameters: touching.parameters(range),
  }),
};
