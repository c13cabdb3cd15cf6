/**
 * JSON objects made from a table: a path, and what of an alert or an event stands there.
 *
 * @module
 */
import type { FormatOptions } from "./alert_format.ts";
import { cut } from "./text.ts";

/** Where in the object, members parted by dots; and the value, or `null`, `undefined` or an empty list for none. */
export type TreeField<Subject> = readonly [
  path: string,
  value: (subject: Subject, options: FormatOptions) => unknown,
];

/** The object of a subject; every text in it cut. */
export function treeOf<Subject>(
  table: readonly TreeField<Subject>[],
  subject: Subject,
  options: FormatOptions,
): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [path, valueOf] of table) {
    const value = fitted(valueOf(subject, options), options.valueBytes);
    if (value === undefined) continue;
    const names = path.split("."), last = names.pop()!;
    let at = root;
    for (const name of names) at = (at[name] ??= {}) as Record<string, unknown>;
    at[last] = value;
  }
  return root;
}

/** `undefined` for what says nothing. */
function fitted(value: unknown, valueBytes: number): unknown {
  if (value === null || value === undefined) return undefined;
  if (typeof value === "string") return cut(value, valueBytes);
  if (typeof value !== "object") return value;
  if (Array.isArray(value)) {
    const list = value.map((each) => fitted(each, valueBytes)).filter((each) => each !== undefined);
    return list.length === 0 ? undefined : list;
  }
  const members = Object.entries(value).map(([name, each]) => [name, fitted(each, valueBytes)] as const)
    .filter(([, each]) => each !== undefined);
  return members.length === 0 ? undefined : Object.fromEntries(members);
}
