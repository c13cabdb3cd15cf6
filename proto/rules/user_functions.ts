/**
 * The functions of queries that are ours and not SQLite's, in both of their forms: for predicates and for a connection.
 *
 * What they do is written once, here, over values that are texts, numbers or NULL; how a value of SQLite becomes one of
 * these is too. None throws for the sake of a row, except that a text may be too long for a regular expression: then
 * nobody knows the answer, and the row fails. A floating number is no text to them, since SQLite chooses its digits.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { SqlValue } from "../event_row.ts";
import { inNetwork, parseNetwork } from "./network.ts";
import { regexOf } from "./regex.ts";

const UNITS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** Milliseconds of a span such as `30s`, `5m`, `24h`, `7d`; `null` for anything else. */
export function parseSpan(text: string): number | null {
  const [, number, unit] = /^([1-9][0-9]{0,5})(ms|s|m|h|d)$/.exec(text) ?? [];
  return number === undefined ? null : Number(number) * UNITS.get(unit!)!;
}

/** What stands after the last slash of a path. */
export function pathBasename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Whether two times are at most so many milliseconds apart. */
export function withinSpan(time: number | bigint, ms: number, other: number | bigint): boolean {
  if (typeof time === "bigint" && typeof other === "bigint") {
    const apart = time - other;
    return apart <= BigInt(ms) && apart >= -BigInt(ms);
  }
  return Math.abs(Number(time) - Number(other)) <= ms;
}

type Argument = SqlValue | bigint | Uint8Array | undefined;

/** A value as a text; NULL for what has none that is certain. */
function textOf(value: Argument): string | null {
  return typeof value === "string" ? value : typeof value === "bigint" ? String(value) : null;
}

// SQLite takes a number for a floating one, and a bigint for an integer
const bit = (truth: boolean): bigint => truth ? 1n : 0n;

/**
 * Makes the functions known to a connection.
 *
 * @param now what `within()` of two arguments measures from, in Unix milliseconds
 */
export function defineFunctions(db: DatabaseSync, now: () => number): void {
  const define = (name: string, compute: (...values: Argument[]) => bigint | string | null): void => {
    // Bigints: the runtime refuses to hand over an integer beyond 2^53 as a number
    db.function(name, { varargs: true, useBigIntArguments: true }, (...values) => compute(...values as Argument[]));
  };
  define("regexp", (pattern, value) => {
    const text = textOf(value);
    if (text === null) return null;
    const found = regexOf(textOf(pattern) ?? "").test(text);
    if (found === null) throw new RangeError(`A text of ${text.length} characters is too long for this REGEXP`);
    return bit(found);
  });
  define("cidr_match", (value, network) => {
    const text = textOf(value), parsed = parseNetwork(textOf(network) ?? "");
    return text === null || parsed === null ? null : bit(inNetwork(text, parsed));
  });
  define("path_basename", (value) => {
    const text = textOf(value);
    return text === null ? null : pathBasename(text);
  });
  define("within", (time, span, other = BigInt(Math.trunc(now()))) => {
    const ms = parseSpan(textOf(span) ?? ""),
      number = (value: Argument) => typeof value === "bigint" || typeof value === "number";
    if (ms === null || !number(time) || !number(other)) return null;
    return bit(withinSpan(time as bigint | number, ms, other as bigint | number));
  });
}
