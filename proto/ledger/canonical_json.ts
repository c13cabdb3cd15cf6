/**
 * JSON with one text for each value: RFC 8785 (keys in the order of their UTF-16 code units, no spaces).
 *
 * What is hashed, and what a ledger's payloads hold. Numbers and texts are written as `JSON.stringify` does, which is
 * what the RFC asks for.
 *
 * @module
 */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** Lists and objects within each other: more than anything here has, less than a stack takes. */
const MAX_DEPTH = 64;

/**
 * The text of a value; members that are `undefined` are left out.
 *
 * @throws RangeError for a number that JSON does not have, and for what is nested deeper than 64.
 *
 * @example
 * ```ts
 * import { canonicalJson } from "./canonical_json.ts";
 * import assert from "node:assert/strict";
 * assert.equal(canonicalJson({ b: [1, null], a: "é" }), '{"a":"é","b":[1,null]}');
 * ```
 */
export function canonicalJson(value: unknown): string {
  return textOf(value, 0);
}

function textOf(value: unknown, depth: number): string {
  if (typeof value === "number" && !Number.isFinite(value)) throw new RangeError(`JSON has no number ${value}`);
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (depth === MAX_DEPTH) throw new RangeError(`JSON is nested deeper than ${MAX_DEPTH}`);
  if (Array.isArray(value)) return `[${value.map((each) => textOf(each, depth + 1)).join(",")}]`;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([a], [b]) => a < b ? -1 : 1);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${textOf(member, depth + 1)}`).join(",")}}`;
}
