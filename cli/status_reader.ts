/**
 * The daemons' status files, read whole and checked.
 *
 * A file holds what its daemon says of itself. It may be missing, stale, damaged or made by somebody else: each is an
 * answer, not an exception.
 *
 * @module
 */
import type { StateLayout } from "../proto/state_layout.ts";
import { type AgentStatus, type CollectorStatus, STALE_AFTER_MS, type TierStatus } from "../proto/status.ts";
import { decodeAgentStatus, decodeCollectorStatus, MAX_STATUS_BYTES } from "../proto/status_codec.ts";
import { fileProblem, readProblem } from "./file_problem.ts";
import { heldState } from "./held_state.ts";

export type StatusReading<T extends TierStatus> =
  | {
    readonly kind: "read";
    readonly status: T;
    readonly ageMs: number;
    /** It says that it runs, and said so a moment ago. */
    readonly live: boolean;
  }
  | StatusWithout;

/** Why there is no status. */
export type StatusWithout = { readonly kind: "absent" } | { readonly kind: "unreadable"; readonly reason: string };
const ABSENT: StatusWithout = { kind: "absent" };

export interface Statuses {
  readonly agent: StatusReading<AgentStatus>;
  readonly collector: StatusReading<CollectorStatus>;
}

export function readStatuses(layout: StateLayout, now: number): Statuses {
  const held = heldState(layout.state)?.statuses;
  if (held !== undefined) {
    return {
      agent: held.agent === null ? ABSENT : decodedStatus(held.agent, decodeAgentStatus, now),
      collector: held.collector === null ? ABSENT : decodedStatus(held.collector, decodeCollectorStatus, now),
    };
  }
  return {
    agent: readStatus(layout.agentStatus, decodeAgentStatus, now),
    collector: readStatus(layout.collectorStatus, decodeCollectorStatus, now),
  };
}

/** One status file. Never throws. */
export function readStatus<T extends TierStatus>(
  path: string,
  decode: (bytes: Uint8Array) => T,
  now: number,
): StatusReading<T> {
  const content = statusBytes(path);
  return content instanceof Uint8Array ? decodedStatus(content, decode, now) : content;
}

/** The bytes of a status file, or why there are none. Never throws. */
export function statusBytes(path: string): Uint8Array<ArrayBuffer> | StatusWithout {
  const problem = fileProblem(path);
  if (problem === "absent") return ABSENT;
  if (problem !== null) return { kind: "unreadable", reason: problem };
  try {
    const size = Deno.statSync(path).size;
    if (size > MAX_STATUS_BYTES) return { kind: "unreadable", reason: `it is damaged: ${size} bytes long` };
    return Deno.readFileSync(path);
  } catch (error) {
    const reason = readProblem(error);
    return reason === "absent" ? ABSENT : { kind: "unreadable", reason };
  }
}

function decodedStatus<T extends TierStatus>(
  content: Uint8Array,
  decode: (bytes: Uint8Array) => T,
  now: number,
): StatusReading<T> {
  try {
    const status = decode(content);
    const ageMs = now - status.time;
    // A clock that was set back makes an age negative: such a status says nothing about now
    const fresh = Math.abs(ageMs) <= STALE_AFTER_MS;
    return { kind: "read", status, ageMs, live: fresh && status.state !== "stopped" };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return {
      kind: "unreadable",
      reason: `it is damaged (${why}); its daemon replaces it within five seconds while it runs`,
    };
  }
}
