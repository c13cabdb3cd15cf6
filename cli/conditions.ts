/**
 * The conditions that options put on rows of processes and events, as SQL with parameters.
 *
 * @module
 */
import { PROCESS_EVENT_KINDS } from "../proto/process_event.ts";
import { choiceOption, integerOption, timeRange } from "./arguments.ts";
import { type Call, UsageError } from "./command.ts";
import type { TimeRange } from "./units.ts";

/** Longest text to look for: SQLite bounds a pattern to 512 bytes, and each character may need an escape. */
const MAX_SOUGHT_BYTES = 250;

export class Conditions {
  readonly #terms: string[] = [];
  readonly parameters: (string | number)[] = [];

  add(term: string, ...parameters: (string | number)[]): void {
    this.#terms.push(`(${term})`);
    this.parameters.push(...parameters);
  }

  /** `WHERE …`, or nothing. */
  get sql(): string {
    return this.#terms.length === 0 ? "" : `WHERE ${this.#terms.join(" AND ")}`;
  }
}

/** Those of the options `type`, `pid`, `user`, `name` and `contains` that were given. @throws UsageError */
export function conditions(call: Call): Conditions {
  const where = new Conditions();
  const type = choiceOption(call, "type", PROCESS_EVENT_KINDS);
  if (type !== null) where.add("event_type = ?", type);
  const pid = integerOption(call, "pid", 0, 0x7fff_ffff, null);
  if (pid !== null) where.add("pid = ?", pid);
  const user = call.values["user"] as string | undefined;
  if (user !== undefined) {
    if (/^\d{1,10}$/.test(user)) where.add("user_id = ? OR effective_user_id = ?", Number(user), Number(user));
    else where.add("user_name = ?", user);
  }
  const name = call.values["name"] as string | undefined;
  if (name !== undefined) addContains(where, "name", name, ["name", "executable_path"]);
  const contains = call.values["contains"] as string | undefined;
  if (contains !== undefined) addContains(where, "contains", contains, ["command_line", "name", "executable_path"]);
  return where;
}

/** The options `since` and `until`, also as conditions on `time`. @throws UsageError */
export function timeConditions(call: Call, where: Conditions): TimeRange {
  const { from, until } = timeRange(call);
  if (from !== null) where.add("time >= ?", Math.floor(from));
  if (until !== null) where.add("time <= ?", Math.floor(until));
  return { from, until };
}

/** ASCII letters match in either case, as everywhere in SQLite's LIKE. */
function addContains(where: Conditions, option: string, text: string, columns: readonly string[]): void {
  if (text === "" || new TextEncoder().encode(text).length > MAX_SOUGHT_BYTES) {
    throw new UsageError(`--${option} must be a text of 1 to ${MAX_SOUGHT_BYTES} bytes`);
  }
  const pattern = `%${text.replace(/[\\%_]/g, "\\$&")}%`;
  where.add(columns.map((column) => `${column} LIKE ? ESCAPE '\\'`).join(" OR "), ...columns.map(() => pattern));
}
