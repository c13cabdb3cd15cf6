import assert from "node:assert/strict";
import fc from "fast-check";
import { BATCH_BYTES, encodedBound, eventBatches, snapshotParts, textsToCut } from "../../proto/batches.ts";
import { MAX_ARGV_BYTES, type ProcessEvent, type ProcessState } from "../../proto/process_event.ts";
import { MAX_FRAME_BYTES } from "../../proto/frame.ts";
import { decodeMessage, encodeMessage } from "../../proto/wire.ts";
import { anyEvent, anyState } from "../support/arbitrary_events.ts";
import {
  BLANK_EVENT,
  BLANK_STATE,
  FULL_CONTEXT,
  FULL_EVENT,
  FULL_STATE,
  USUAL_EVENT,
} from "../support/event_samples.ts";

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

/** Texts that are ours, not a process': too long they are a fault of the collector. */
const OWN = ["kind", "execId", "parentExecId", "source", "status", "severity", "executableKind"];
const OWN_CONTEXT = ["stdinKind", "stdoutKind"];

function textsOf(item: object, without: readonly string[]): string[] {
  return Object.entries(item).filter(([name, value]) => typeof value === "string" && !without.includes(name))
    .map(([name]) => name);
}

/** The item with one text made long, for each text, and how to find it again. */
function* withLongText<T extends ProcessEvent | ProcessState>(item: T, long: string): Generator<[string, T]> {
  for (const name of textsOf(item, OWN)) yield [name, { ...item, [name]: long }];
  for (const name of textsOf(FULL_CONTEXT, OWN_CONTEXT)) {
    yield [`context.${name}`, { ...item, context: { ...FULL_CONTEXT, [name]: long } }];
  }
}

function textAt(item: ProcessEvent | ProcessState, path: string): string {
  const value = path.split(".").reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], item);
  return value as string;
}

Deno.test("a text of a process that is too long is cut, marked and counted, whichever it is", () => {
  const long = "\u{10000}".repeat(100_000);
  let fields = 0;
  const check = (path: string, item: ProcessEvent | ProcessState, sent: ProcessEvent | ProcessState): void => {
    fields++;
    const text = textAt(sent, path);
    if (path === "context.environment") assert.deepEqual(JSON.parse(text), { "=cut": true });
    else {
      const limit = path === "parentCommandLine" ? 65_536 : 4_096;
      assert.equal(text.length, limit, path);
      assert.ok(text.startsWith("\u{10000}") && text.endsWith("…"), path);
    }
    assert.equal(textsToCut(item), 1, path);
    assert.equal(textsToCut(sent), 0, path);
  };
  for (const [path, event] of withLongText(FULL_EVENT, long)) {
    const told: unknown[] = [];
    const [batch] = [...eventBatches([event], { long: (item) => told.push(item) })];
    assert.deepEqual(told, [event]);
    const message = decodeMessage(encodeMessage({ kind: "events", firstSequence: 1, events: batch! }));
    assert.ok(message.kind === "events");
    check(path, event, message.events[0]!);
  }
  for (const [path, state] of withLongText(FULL_STATE, long)) {
    const message = decodeMessage(
      encodeMessage({ kind: "snapshot", sequence: 1, time: 0, part: 0, last: true, processes: [state] }),
    );
    assert.ok(message.kind === "snapshot");
    check(path, state, message.processes[0]!);
  }
  assert.equal(fields, 10 + 11 + 3 + 11);
});

Deno.test("a text is sent whole up to the longest that is allowed", () => {
  const item = { ...FULL_EVENT, executablePath: "/".padEnd(4_096, "x"), parentCommandLine: "y".repeat(65_536) };
  assert.equal(textsToCut(item), 0);
  const message = decodeMessage(encodeMessage({ kind: "events", firstSequence: 1, events: [item] }));
  assert.ok(message.kind === "events");
  assert.deepEqual(message.events, [item]);
});

Deno.test("events and processes whose every text is too long still make messages", () => {
  const long = "\uffff".repeat(1_000_000);
  const all = (item: object, without: readonly string[]) =>
    Object.fromEntries(textsOf(item, without).map((name) => [name, long]));
  // An environment is at its worst where it is just not too long
  const context = { ...FULL_CONTEXT, ...all(FULL_CONTEXT, OWN_CONTEXT), environment: "\uffff".repeat(65_536) };
  const argv = new Uint8Array(MAX_ARGV_BYTES);
  const event: ProcessEvent = { ...FULL_EVENT, ...all(FULL_EVENT, OWN), context, argv };
  const batches = [...eventBatches(new Array<ProcessEvent>(20).fill(event))];
  assert.equal(batches.flat().length, 20);
  for (const batch of batches) assert.ok(eventBytes(batch) <= MAX_FRAME_BYTES);
  const state: ProcessState = { ...FULL_STATE, ...all(FULL_STATE, OWN), context, argv };
  const parts = [...snapshotParts(new Array<ProcessState>(20).fill(state))];
  assert.equal(parts.flat().length, 20);
  for (const part of parts) assert.ok(partBytes(part) <= MAX_FRAME_BYTES);
});

Deno.test("snapshotParts() gives an empty table one part", () => {
  assert.deepEqual([...snapshotParts([])], [[]]);
});
