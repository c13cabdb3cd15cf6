/**
 * Pieces of events that SQLite writes as text, for `export`: one value for a piece, where one for each cell would cost
 * several times as much as to read it.
 *
 * JSON is SQLite's own: it escapes quotes and control characters, has integers exact and real numbers so that they read
 * back the same. What else could harm a terminal is escaped here. Of CSV, SQLite joins the cells and the rows by control
 * characters. A process may have put such into its texts: then the cells do not come out as many as they must be, and
 * the piece is read row by row. So is one that holds more than SQLite may make in one value.
 *
 * @module
 */
import { isAscii } from "node:buffer";
import { tableNamed } from "../proto/catalog.ts";
import type { Column } from "../proto/tables/table.ts";
import { eventSlicing, eventSource, eventsWithin, millisecond, nextTime, PIECE_ROWS } from "./export_pieces.ts";
import { type Cell, csvCell } from "./output.ts";
import { harmless } from "./safe_json.ts";
import type { Store } from "./store_reader.ts";
import { RowFaultError } from "./store_error.ts";
import type { TimeRange } from "./units.ts";

/** Rows as text that goes out as it is, or as cells. */
export type TextPiece =
  | { readonly count: number; readonly text: string | Uint8Array }
  | { readonly rows: Cell[][] };

/** What a format wants of SQLite, and what is still to be done. */
interface Shape {
  /** The value of a row, named `line` in that of the piece: bytes, since the runtime ends a text at a NUL. */
  readonly line: string;
  readonly whole: string;
  /** The text of so many rows; `null` where they must be read cell by cell. */
  made(bytes: Uint8Array, count: number): string | Uint8Array | null;
}

/** Fewest rows that are tried as one text. */
const LEAST_ROWS = 16;
/** A piece that is shorter lets the next have more rows. */
const SHORT_PIECE = 1_048_576;
/** Between cells and between rows, and before what stands for a text that is empty: NULL is nothing. */
const CELL = "\x1f", RECORD = "\x1e", EMPTY = "\x1d";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Events in the order of their times, at most `limit`. */
export function* eventTexts(
  store: Store,
  format: "jsonl" | "csv",
  names: readonly string[],
  range: TimeRange,
  limit: number,
): Generator<TextPiece> {
  const slicing = eventSlicing(store, range, null);
  if (slicing === null) return;
  const columns = names.map((name) => tableNamed("process_events").columns.find((column) => column.name === name)!);
  const shape = format === "jsonl" ? jsonShape(columns) : csvShape(columns);
  let { from: at, firstLength: length } = slicing, most = PIECE_ROWS, left = limit;
  while (at <= slicing.end && left > 0) {
    const end = Math.min(slicing.end + 1, at + length), rows = Math.min(most, left);
    const piece = store.atOneMoment(() => textWithin(store, shape, names, at, end, most, rows));
    if (piece === "crowded") {
      for (const rows of millisecond(store, names, at)) {
        yield { rows };
        left -= rows.length;
      }
      at += 1;
    } else if (piece === "long") most >>= 2;
    else {
      const { to, count } = piece;
      if (to < end) length = Math.max(1, to - at);
      else if (count < most / 2) length = Math.min(slicing.longest, length * 2);
      at = to;
      left -= count;
      // A clock that was wrong once may have put an event thousands of years from the others
      if (count === 0 && length === slicing.longest) at = nextTime(store, at) ?? slicing.end + 1;
      if (piece.text === null) yield { rows: piece.rows };
      else {
        if (piece.text.length < SHORT_PIECE && most < PIECE_ROWS) most *= 2;
        if (count > 0) yield { count, text: piece.text };
      }
    }
  }
}

type Found =
  | { readonly to: number; readonly count: number; readonly text: string | Uint8Array }
  | { readonly to: number; readonly count: number; readonly text: null; readonly rows: Cell[][] };

/**
 * The events from `at` to before `to`, or to before a moment at which they were `most`; of them the first `limit`.
 * "crowded": there are more of one millisecond; "long": their text is.
 */
function textWithin(
  store: Store,
  shape: Shape,
  names: readonly string[],
  at: number,
  to: number,
  most: number,
  limit: number,
): Found | "crowded" | "long" {
  const source = eventSource(store, at, to);
  if (source === null) return { to, count: 0, text: "" };
  const [there, last] = store.first(
    `SELECT count(*), max(time) FROM (SELECT time FROM ${source} ORDER BY time LIMIT ?3)`,
    at,
    to,
    most + 1,
  )!;
  if (Number(there) > most) {
    if (last === at) return "crowded";
    to = Number(last);
  }
  try {
    const [count, value] = store.first(
      `SELECT count(*), ${shape.whole} FROM (SELECT ${shape.line} AS line FROM ${source} ORDER BY time, event_id LIMIT ?3)`,
      at,
      to,
      limit,
    )!;
    const text = Number(count) === 0 ? "" : shape.made(value as Uint8Array, Number(count));
    if (text !== null) return { to, count: Number(count), text };
  } catch (error) {
    if (!(error instanceof RowFaultError)) throw error;
    if (most > LEAST_ROWS) return "long";
  }
  const rows = eventsWithin(store, names, at, to).slice(0, limit);
  for (const row of rows) row.pop();
  return { to, count: rows.length, text: null, rows };
}

/** Lines of JSON. Bytes that are ASCII without DEL hold nothing that harms: SQLite has escaped the controls before it. */
function jsonShape(columns: readonly Column[]): Shape {
  return {
    line: `json_object(${columns.map((column) => `'${column.name}', ${valueOf(column)}`).join(", ")})`,
    whole: "CAST(group_concat(line, char(10)) AS BLOB)",
    made(bytes) {
      return isAscii(bytes) && !bytes.includes(0x7f) ? bytes : harmless(decoder.decode(bytes));
    },
  };
}

function csvShape(columns: readonly Column[]): Shape {
  // Nobody can have put into a text what nobody knew then
  const empty = EMPTY + crypto.getRandomValues(new Uint8Array(8)).toHex();
  const cells = columns.map((column) =>
    column.type === "TEXT"
      ? `CASE ${column.name} WHEN '' THEN '${empty}' ELSE coalesce(${column.name}, '') END`
      : `coalesce(${valueOf(column)}, '')`
  );
  const plain = String.raw`(?:[^\s",\x1d-\x1f](?:[^",\r\n\x1d-\x1f]*[^\s",\x1d-\x1f])?)?`;
  const plainRow = new RegExp(`^(?:${plain}${CELL}){${columns.length - 1}}${plain}$`);
  return {
    line: joined(cells),
    whole: `CAST(group_concat(line, '${RECORD}') AS BLOB)`,
    made(bytes, count) {
      const records = decoder.decode(bytes).split(RECORD);
      if (records.length !== count) return null;
      let text = "";
      for (const record of records) {
        if (plainRow.test(record)) {
          text += `${record.replaceAll(CELL, ",")}\r\n`;
          continue;
        }
        const row = record.split(CELL);
        if (row.length !== columns.length) return null;
        for (let i = 0; i < row.length; i++) {
          const cell = row[i]!;
          text += (i === 0 ? "" : ",") + (cell === "" ? "" : cell === empty ? '""' : csvCell(cell));
        }
        text += "\r\n";
      }
      return text;
    },
  };
}

/** `concat_ws` would leave out what is NULL, of which there is none here. */
function joined(cells: readonly string[]): string {
  return `concat_ws('${CELL}', ${cells.join(", ")})`;
}

/** Real numbers without a fraction are written as every other part of this program writes them. */
function valueOf({ name, type }: Column): string {
  return type === "REAL"
    ? `CASE WHEN ${name} = CAST(${name} AS INTEGER) THEN CAST(${name} AS INTEGER) ELSE ${name} END`
    : name;
}
