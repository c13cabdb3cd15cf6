/**
 * What is analysed: a file, a process, or a process and the file that it runs, with the event that led there.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../../proto/event_row.ts";
import { processOfExec } from "../../proto/identity.ts";

const PLACE = columnPlaces("process_events");
/** Text of an event that a target keeps for alerts: targets wait in a queue, and their memory is bounded by this. */
const MAX_KEPT_TEXT = 1_024;
const PATH = PLACE.get("executable_path")!, HASH = PLACE.get("executable_hash")!, EXEC_ID = PLACE.get("exec_id")!;
const DEVICE = PLACE.get("device")!, INODE = PLACE.get("inode")!;
/** What no alert takes from the event. */
const LEFT_OUT = ["argv", "environment", "modified_fields"].map((name) => PLACE.get(name)!);

export interface Target {
  readonly path: string | null;
  readonly device: number | null;
  readonly inode: number | null;
  readonly hash: string | null;
  readonly pid: number | null;
  readonly execId: string | null;
  readonly name: string | null;
  readonly userName: string | null;
  readonly eventId: number | null;
  /** The event's row, texts cut; `null` where a person named the target. */
  readonly row: readonly SqlValue[] | null;
}

/** The target of an event. Costs some thousand nanoseconds: whoever asks for many knows by {@linkcode eventKey} which. */
export function targetOfEvent(row: readonly SqlValue[]): Target {
  const text = (name: string): string | null => own(row[PLACE.get(name)!] as string | null);
  const number = (name: string): number | null => row[PLACE.get(name)!] as number | null;
  return {
    path: text("executable_path"),
    device: number("device"),
    inode: number("inode"),
    hash: text("executable_hash"),
    pid: number("pid"),
    execId: text("exec_id"),
    name: text("name"),
    userName: text("user_name"),
    eventId: number("event_id"),
    row: kept(row),
  };
}

function kept(row: readonly SqlValue[]): SqlValue[] {
  const cells = row.slice();
  for (const place of LEFT_OUT) cells[place] = null;
  for (let place = 0; place < cells.length; place++) {
    const cell = cells[place]!;
    if (typeof cell === "string" && cell.length > MAX_KEPT_TEXT) cells[place] = own(cell);
  }
  return cells;
}

/** A file that a person names. */
export function targetOfPath(path: string): Target {
  const nothing = { device: null, inode: null, hash: null, pid: null, execId: null, userName: null };
  return { path, ...nothing, name: path.slice(path.lastIndexOf("/") + 1).slice(0, 15), eventId: null, row: null };
}

/** What tells one target from another: the version of a file, or the process where there is no file. */
export function targetKey({ path, device, inode, hash, execId }: Target): string {
  return keyOf(path, device, inode, hash, execId);
}

/** The key of the target of an event, without making that. */
export function eventKey(row: readonly SqlValue[]): string {
  const path = row[PATH] as string | null, hash = row[HASH] as string | null;
  return keyOf(own(path), row[DEVICE]!, row[INODE]!, hash, row[EXEC_ID] as string | null);
}

function keyOf(
  path: string | null,
  device: SqlValue,
  inode: SqlValue,
  hash: string | null,
  execId: string | null,
): string {
  if (path === null) return `process ${execId === null ? "" : processOfExec(execId)}`;
  return hash === null ? `${device}:${inode} ${path}` : `${hash} ${path}`;
}

/** The tick at which a process began, by the name of its execution. */
export function startTickOf(execId: string | null): number | null {
  const tick = Number(execId?.split("-")[2]);
  return Number.isSafeInteger(tick) ? tick : null;
}

/** A copy of its own: a piece of a text would keep the whole alive. */
function own(text: string | null): string | null {
  if (text === null || text.length <= MAX_KEPT_TEXT) return text;
  return JSON.parse(JSON.stringify(text.slice(0, MAX_KEPT_TEXT).toWellFormed())) as string;
}
