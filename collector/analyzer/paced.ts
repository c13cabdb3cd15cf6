/**
 * Long computations in slices: the analyser says that it lives, and hears that it is to stop, between two of them.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { Hash } from "node:crypto";
import { StageFailure } from "./read_file.ts";

/** How long it computes without a pause. */
const SLICE_MS = 10;
/** Bytes of one step. */
const STEP_BYTES = 1 << 20;

/** The result of steps, with room for other work between them. @throws {StageFailure} when nobody waits for it any more */
export async function paced<T>(steps: Iterator<void, T>, signal: AbortSignal): Promise<T> {
  let until = performance.now() + SLICE_MS;
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() < until) continue;
    await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) throw new StageFailure("TIMED_OUT", "It was given up while it was computed");
    until = performance.now() + SLICE_MS;
  }
}

/** Feeds a hash with all of it. */
export function* hashing(hash: Hash, bytes: Uint8Array): Generator<void, string> {
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    hash.update(bytes.subarray(at, at + STEP_BYTES));
    yield;
  }
  return hash.digest("hex");
}
