/**
 * Rows of collectors' tables as bytes, in straight-line code: the format is that of `RowBatch` in `eventbus.proto`.
 *
 * Decoding bounds counts and lengths, and knows nothing of the table: whether a row is one of it, the agent decides by
 * what the collector registered (`table_descriptor.ts`).
 *
 * @module
 */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { SqlValue } from "./event_row.ts";
import type { FieldWriter } from "./field_writer.ts";
import { MAX_OWN_COLUMNS, type TableRow } from "./table_descriptor.ts";
import { WireError } from "./wire_error.ts";
import {
  checkSequences,
  overrun,
  readDouble,
  readEnd,
  readText,
  readU53,
  skipUnknown,
  tooMany,
  writeDouble,
  writeText,
  writeU53,
} from "./wire_fields.ts";

/** Most rows of one message. */
const MAX_BATCH_ROWS = 1_024;
/** Longest name of a table on the wire. */
const MAX_NAME = 64;
/** Encoded bytes at which a batch is closed: with the row that closes it, it is below a frame's limit. */
const BATCH_BYTES = 262_144;
/** More than the tags, lengths and numbers of a row take, for each value. */
const VALUE_BYTES = 24;

export interface RowBatch {
  readonly firstSequence: number;
  readonly table: string;
  readonly rows: readonly TableRow[];
}

/** No fewer bytes than a row takes in a message. */
function rowBytes({ values }: TableRow): number {
  let bytes = VALUE_BYTES;
  // A UTF-16 code unit takes at most three bytes of UTF-8.
  for (const value of values) bytes += VALUE_BYTES + (typeof value === "string" ? 3 * value.length : 0);
  return bytes;
}

/** Rows in pieces of one message each, in their order. */
export function* rowBatches(rows: readonly TableRow[]): Generator<readonly TableRow[]> {
  let from = 0, bytes = 0;
  for (let at = 0; at < rows.length; at++) {
    const own = rowBytes(rows[at]!);
    if (at > from && (bytes + own > BATCH_BYTES || at - from === MAX_BATCH_ROWS)) {
      yield rows.slice(from, at);
      from = at;
      bytes = 0;
    }
    bytes += own;
  }
  if (from < rows.length) yield rows.slice(from);
}

export function writeRowBatch(w: FieldWriter, { firstSequence, table, rows }: RowBatch): void {
  checkSequences(firstSequence, rows.length);
  if (rows.length > MAX_BATCH_ROWS) throw tooMany("rows", MAX_BATCH_ROWS);
  checkName(table);
  writeU53(w, 9, firstSequence);
  writeText(w, 18, table);
  for (const { time, values } of rows) {
    if (values.length > MAX_OWN_COLUMNS) throw tooMany("values in a row", MAX_OWN_COLUMNS);
    w.uint32(26).fork();
    writeU53(w, 9, time);
    for (const value of values) {
      w.uint32(18).fork();
      if (typeof value === "number") writeDouble(w, 9, value);
      else if (value !== null) writeText(w, 18, value);
      w.join();
    }
    w.join();
  }
}

export function readRowBatch(body: Uint8Array): RowBatch {
  const reader = new BinaryReader(body), rows: TableRow[] = [];
  let firstSequence = 0, table = "";
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 9) firstSequence = readU53(reader, tag);
    else if (tag === 18) table = readText(reader, tag);
    else if (tag === 26) {
      if (rows.length === MAX_BATCH_ROWS) throw tooMany("rows", MAX_BATCH_ROWS);
      rows.push(readRow(reader, readEnd(reader, reader.len)));
    } else skipUnknown(reader, tag);
  }
  checkSequences(firstSequence, rows.length);
  checkName(table);
  return { firstSequence, table, rows };
}

function readRow(reader: BinaryReader, end: number): TableRow {
  const values: SqlValue[] = [];
  let time = 0;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 9) time = readU53(reader, tag);
    else if (tag === 18) {
      if (values.length === MAX_OWN_COLUMNS) throw tooMany("values in a row", MAX_OWN_COLUMNS);
      values.push(readValue(reader, readEnd(reader, end)));
    } else skipUnknown(reader, tag);
  }
  if (reader.pos !== end) throw overrun("row");
  return { time, values };
}

function readValue(reader: BinaryReader, end: number): SqlValue {
  let value: SqlValue = null;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 9) value = readDouble(reader, tag);
    else if (tag === 18) value = readText(reader, tag);
    else skipUnknown(reader, tag);
  }
  if (reader.pos !== end) throw overrun("value");
  return value;
}

function checkName(table: string): void {
  if (table.length === 0 || table.length > MAX_NAME) throw new WireError("Rows name their table by 1 to 64 characters");
}
