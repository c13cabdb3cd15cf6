import assert from "node:assert/strict";
import fc from "fast-check";
import { BATCH_BYTES, encodedBound, eventBatches, snapshotParts } from "../../proto/batches.ts";
import { MAX_ARGV_BYTES, type ProcessEvent, type ProcessState } from "../../proto/process_event.ts";
import { encodeMessage } from "../../proto/wire.ts";
import {
  anyEvent,
  anyState,
  BLANK_EVENT,
  BLANK_STATE,
  FULL_CONTEXT,
  FULL_EVENT,
  FULL_STATE,
  USUAL_EVENT,
} from "../support/wire_samples.ts";

function eventBytes(events: readonly ProcessEvent[]): number {
  return encodeMessage({ kind: "events", firstSequence: 1, events }).length;
}

function partBytes(processes: readonly ProcessState[]): number {
  return encodeMessage({ kind: "snapshot", sequence: 1, time: 0, part: 0, last: true, processes }).length;
}

Deno.test("encodedBound() is never less than what is encoded", () => {
  const empty = partBytes([]);
  const checkEvent = (event: ProcessEvent) =>
    assert.ok(encodedBound(event) >= eventBytes([BLANK_EVENT, event]) - eventBytes([BLANK_EVENT]));
  const checkState = (state: ProcessState) => assert.ok(encodedBound(state) >= partBytes([state]) - empty);
  [USUAL_EVENT, BLANK_EVENT, FULL_EVENT].forEach(checkEvent);
  [BLANK_STATE, FULL_STATE].forEach(checkState);
  fc.assert(fc.property(anyEvent, anyState, (event, state) => {
    checkEvent(event);
    checkState(state);
  }));
});

Deno.test("eventBatches() keeps every event, in order, within both limits", () => {
  const events = Array.from({ length: 5_000 }, (_, pid) => ({ ...USUAL_EVENT, pid }));
  const batches = [...eventBatches(events, { maxItems: 300 })];
  assert.deepEqual(batches.flat(), events);
  assert.ok(batches.length >= 17 && batches.every((batch) => batch.length <= 300));
  const small = [...eventBatches(events, { maxBytes: 20_000 })];
  assert.deepEqual(small.flat(), events);
  assert.ok(small.length > 20 && small.every((batch) => eventBytes(batch) <= 20_000));
  assert.deepEqual([...eventBatches([])], []);
});

Deno.test("events and processes made as long as the kernel allows still make messages", () => {
  const path = "/" + "\u{10000}".repeat(1_023); // PATH_MAX bytes
  const event: ProcessEvent = {
    ...FULL_EVENT,
    argv: new Uint8Array(MAX_ARGV_BYTES).fill(0xff),
    executablePath: path,
    parentExecutablePath: path,
    parentCommandLine: "\ufffd".repeat(MAX_ARGV_BYTES),
    context: { ...FULL_CONTEXT, cwd: path, environment: "x".repeat(65_536) },
  };
  const events = new Array<ProcessEvent>(100).fill(event);
  const batches = [...eventBatches(events)];
  assert.deepEqual(batches.flat(), events);
  for (const batch of batches) assert.ok(eventBytes(batch) <= 2 * BATCH_BYTES);
  const state: ProcessState = { ...FULL_STATE, argv: new Uint8Array(MAX_ARGV_BYTES), executablePath: path };
  const processes = new Array<ProcessState>(1_500).fill(state);
  const parts = [...snapshotParts(processes)];
  assert.deepEqual(parts.flat(), processes);
  for (const part of parts) assert.ok(partBytes(part) <= BATCH_BYTES + 64);
});

Deno.test("snapshotParts() gives an empty table one part", () => {
  assert.deepEqual([...snapshotParts([])], [[]]);
});
