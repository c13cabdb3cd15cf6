/**
 * What operators asked for, kept in the agent's directory over restarts.
 *
 * The directory is the agent's own and trusted; a file that is not right all the same must not keep the agent from its
 * work. It is put aside, and the agent runs as if nothing had been asked for, and says so.
 *
 * @module
 */
import { dirname } from "node:path";
import { canonicalJson } from "../../proto/ledger/canonical_json.ts";
import type { Journal } from "../journal.ts";
import { share } from "../share.ts";

const FILE_MODE = 0o640;
const MAX_BYTES = 16 << 20;

/** What a file holds, read by `take`, which throws for what is not of its form; `null` when there is none, or none that is right. */
export function readAsked<T>(path: string, take: (json: unknown) => T, journal: Journal): T | null {
  try {
    const { size, isFile } = Deno.lstatSync(path);
    if (!isFile || size > MAX_BYTES) throw new RangeError(`no file of at most ${MAX_BYTES} bytes`);
    return take(JSON.parse(Deno.readTextFileSync(path)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    journal.notice(
      `what operators asked for in ${path} does not count, it is not right (${
        error instanceof Error ? error.message : error
      }); it is kept as ${putAside(path)}: ask again`,
    );
    return null;
  }
}

/** Writes a file whole or not at all; on disk when this returns. @throws Error of the file system */
export function writeAsked(path: string, value: unknown): void {
  const fresh = `${path}.new`, text = `${canonicalJson(value)}\n`;
  const file = Deno.openSync(fresh, { write: true, create: true, truncate: true, mode: FILE_MODE });
  try {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.syncDataSync();
  } finally {
    file.close();
  }
  share(fresh, FILE_MODE);
  Deno.renameSync(fresh, path);
  const directory = Deno.openSync(dirname(path), { read: true });
  try {
    directory.syncSync();
  } finally {
    directory.close();
  }
}

function putAside(path: string): string {
  const aside = `${path}.damaged`;
  try {
    Deno.renameSync(path, aside);
    return aside;
  } catch {
    return "what it is";
  }
}

/** An object with members of these types and no others. @throws TypeError */
export function checkedMembers<T>(value: unknown, types: { readonly [N in keyof T]: string }, what: string): T {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError(`${what} is no object`);
  const members = Object.entries(value), expected = Object.entries<string>(types);
  for (const [name, type] of expected) {
    const found: string = typeof (value as Record<string, unknown>)[name];
    if (found !== type) throw new TypeError(`${what} has no ${name}`);
  }
  if (members.length !== expected.length) throw new TypeError(`${what} has other members than ${Object.keys(types)}`);
  return value as T;
}
