/**
 * What a rule shows of a row that it matched.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../event_row.ts";
import type { RowOutput } from "./sql_guard.ts";

/** Longest text in evidence, in bytes of UTF-8. */
export const MAX_EVIDENCE_BYTES = 4_096;

const PLACES = columnPlaces("process_events");
const ENCODER = new TextEncoder();
const EVIDENCE = new Uint8Array(MAX_EVIDENCE_BYTES);

/** The outputs of a rule by name; `computed` has the values of those that are no plain column, in their order. */
export function evidenceOf(
  outputs: readonly RowOutput[],
  cells: readonly SqlValue[],
  computed: readonly (SqlValue | bigint)[],
): Record<string, SqlValue> {
  const evidence: Record<string, SqlValue> = {};
  let next = 0;
  for (const { name, column } of outputs) {
    evidence[name] = bounded(column === null ? computed[next++]! : cells[PLACES.get(column)!]!);
  }
  return evidence;
}

/** A value as evidence shows it: of bounded length, a long text marked by `…`. */
export function bounded(value: SqlValue | bigint): SqlValue {
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "string" || value.length <= MAX_EVIDENCE_BYTES / 3) return value;
  const { read } = ENCODER.encodeInto(value, EVIDENCE);
  if (read === value.length) return value;
  // Room for the mark, which is three bytes
  const kept = ENCODER.encodeInto(value, EVIDENCE.subarray(0, MAX_EVIDENCE_BYTES - 3)).read;
  return value.slice(0, kept) + "…";
}
