/**
 * What the newest files of a ledger say that its writer must know again after a start: how far digests came, and which
 * notes of the agent are in it.
 *
 * Looks at the last two files of entries, 65,536 each. What is older is forgotten: then a digest may cover what an
 * earlier one covered, and a note that the agent sends again after so long would be entered twice, which says nothing
 * false.
 *
 * @module
 */
import { ACTIONS, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../proto/ledger/entry.ts";
import { decodePayload, MAX_PAYLOAD_RECORD } from "../../proto/ledger/payload.ts";
import { SegmentStream } from "../../proto/ledger/segment_stream.ts";
import { decodeStatement } from "../../proto/ledger/statement.ts";
import { WireError } from "../../proto/wire_error.ts";
import { NOTED_ACTIONS } from "../../proto/ledger/noted_actions.ts";
import type { Storage } from "../wal/storage.ts";
import { StorageSource } from "./storage_source.ts";

export interface Recollection {
  /** Last sequence under a digest, by epoch of the log. */
  readonly covered: ReadonlyMap<string, number>;
  /** Numbers of the newest notes, oldest first. */
  readonly notes: readonly number[];
  /** Whether nothing is older than what was looked at. */
  readonly isWhole: boolean;
}

/** Actor of what an agent says: the ledger holds it as the agent's claim. */
export const AGENT = "agent";
/** More than an agent can have under way. */
export const REMEMBERED_NOTES = 1_024;
/** Digests that are looked at: a log is replaced rarely. */
const REMEMBERED_DIGESTS = 256;
/** Entries between two breaths: events must not wait for all of it. */
const BREATH_ENTRIES = 4_096;

/** Reads what was on disk when it began. @throws StorageError */
export async function recollect(storage: Storage, size: number, segmentEntries: number): Promise<Recollection> {
  const digests: Uint8Array[] = [], noted: { action: number; payload: Uint8Array }[] = [];
  const notedActions = new Set<number>(NOTED_ACTIONS.map((name) => ACTIONS[name]));
  using source = new StorageSource(storage);
  const entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES);
  const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
  const last = Math.floor(Math.max(0, size - 1) / segmentEntries);
  for (let segment = Math.max(0, last - 1); segment <= last; segment++) {
    if (!entries.open(segment) || !payloads.open(segment)) continue;
    for (let count = 1;; count++) {
      const entry = entries.next(MIN_ENTRY_BYTES), payload = entry === null ? null : payloads.next(0);
      if (entry === null || payload === null) break;
      const action = entry[1]!;
      if (action === ACTIONS.events) {
        digests.push(payload.slice());
        if (digests.length > 2 * REMEMBERED_DIGESTS) digests.splice(0, REMEMBERED_DIGESTS);
      } else if (notedActions.has(action) && isAgents(entry)) {
        noted.push({ action, payload: payload.slice() });
        if (noted.length > 2 * REMEMBERED_NOTES) noted.splice(0, REMEMBERED_NOTES);
      }
      if (count % BREATH_ENTRIES === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }
  const covered = new Map<string, number>();
  for (const body of digests) {
    const value = said(() => decodeStatement("events", decodePayload(body)?.bytes ?? NOTHING).value);
    if (value !== null) covered.set(value.epoch, Math.max(covered.get(value.epoch) ?? 0, value.last));
  }
  const notes = noted.slice(-REMEMBERED_NOTES).flatMap(({ action, payload }) => {
    const name = NOTED_ACTIONS.find((each) => ACTIONS[each] === action)!;
    const note = said(() => decodeStatement(name, decodePayload(payload)?.bytes ?? NOTHING).note);
    return note === null ? [] : [note];
  });
  return { covered, notes, isWhole: last <= 1 };
}

const NOTHING = new Uint8Array(0), AGENT_BYTES = new TextEncoder().encode(AGENT), ACTOR_AT = MIN_ENTRY_BYTES - 1;

function isAgents(entry: Uint8Array): boolean {
  return entry.length === ACTOR_AT + AGENT_BYTES.length &&
    AGENT_BYTES.every((byte, at) => byte === entry[ACTOR_AT + at]);
}

/** What was pruned, or is of another version, says nothing. */
function said<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return null;
  }
}
