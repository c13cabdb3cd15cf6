import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FieldWriter } from "../../proto/field_writer.ts";
import assert from "node:assert/strict";
import fc from "fast-check";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { contextAt } from "../../proto/context_cache.ts";
import { readContext, writeContext } from "../../proto/context_codec.ts";
import { readEventBatch, writeEventBatch } from "../../proto/event_codec.ts";
import {
  AlertSeverity,
  EventBatchSchema,
  ProcessContextSchema,
  ProcessEventKind,
  ProcessEventSchema,
  ProcessStateSchema,
  SnapshotSchema,
} from "../../proto/gen/eventbus_pb.ts";
import {
  BLANK_CONTEXT,
  blankProcessEvent,
  MAX_ARGV_BYTES,
  PROCESS_EVENT_KINDS,
  type ProcessContext,
  type ProcessEvent,
  SEVERITIES,
} from "../../proto/process_event.ts";
import { readSnapshot, writeSnapshot } from "../../proto/snapshot_codec.ts";
import { WireError } from "../../proto/wire_error.ts";
import { MAX_TEXT_LENGTH } from "../../proto/wire_fields.ts";
import { anyEvent, anyState } from "../support/arbitrary_events.ts";
import {
  BLANK_EVENT,
  BLANK_STATE,
  FULL_CONTEXT,
  FULL_EVENT,
  FULL_STATE,
  USUAL_EVENT,
} from "../support/event_samples.ts";

type Plain = Record<string, unknown>;

function written(events: readonly ProcessEvent[], firstSequence = 1): Uint8Array {
  const writer = new FieldWriter();
  writeEventBatch(writer, { firstSequence, events });
  return writer.finish();
}

/** A plain value as the init object of the generated message: `null` left out, 64-bit numbers as BigInt, enums numbered. */
function toGenerated(schema: DescMessage, plain: object): Plain {
  const init: Plain = {};
  for (const field of schema.fields) {
    const value = (plain as Plain)[field.localName];
    if (value === null) continue;
    if (field.fieldKind === "enum") {
      init[field.localName] = field.localName === "kind"
        ? PROCESS_EVENT_KINDS.indexOf(value as ProcessEvent["kind"]) + 1
        : SEVERITIES.indexOf(value as (typeof SEVERITIES)[number]);
    } else if (field.fieldKind === "message") init[field.localName] = toGenerated(field.message, value as object);
    else init[field.localName] = isFixed64(field) ? BigInt(value as number) : value;
  }
  return init;
}

function fromGenerated(schema: DescMessage, message: object): Plain {
  const plain: Plain = {};
  for (const field of schema.fields) {
    const value = (message as Plain)[field.localName];
    if (value === undefined) plain[field.localName] = null;
    else if (field.fieldKind === "enum") {
      plain[field.localName] = field.localName === "kind"
        ? PROCESS_EVENT_KINDS[(value as number) - 1]
        : SEVERITIES[value as number];
    } else if (field.fieldKind === "message") plain[field.localName] = fromGenerated(field.message, value as object);
    else plain[field.localName] = isFixed64(field) ? Number(value) : value;
  }
  return plain;
}

function isFixed64(field: DescMessage["fields"][number]): boolean {
  return field.fieldKind === "scalar" && field.scalar === 6;
}

function checkEvent(event: ProcessEvent): void {
  const ours = written([event], 7);
  const theirs = fromBinary(EventBatchSchema, ours);
  assert.equal(theirs.firstSequence, 7n);
  assert.deepEqual(theirs.events.map((message) => fromGenerated(ProcessEventSchema, message)), [event]);
  const generated = toBinary(
    EventBatchSchema,
    create(EventBatchSchema, { firstSequence: 7n, events: [toGenerated(ProcessEventSchema, event)] }),
  );
  assert.deepEqual(readEventBatch(generated), { firstSequence: 7, events: [event] });
  assert.deepEqual(readEventBatch(ours), { firstSequence: 7, events: [event] });
}

Deno.test("the schema has exactly the fields of the model", () => {
  const names = (schema: DescMessage) => schema.fields.map((field) => field.localName).sort();
  assert.deepEqual(names(ProcessEventSchema), Object.keys(blankProcessEvent("start", 0, "x", 1)).sort());
  assert.deepEqual(names(ProcessStateSchema), Object.keys(BLANK_STATE).sort());
  assert.deepEqual(names(ProcessContextSchema), Object.keys(BLANK_CONTEXT).sort());
});

Deno.test("the schema numbers kinds and severities as the model lists them", () => {
  assert.deepEqual(PROCESS_EVENT_KINDS.map((kind) => ProcessEventKind[kind.toUpperCase() as "START"]), [1, 2, 3, 4]);
  assert.deepEqual(SEVERITIES.map((name) => AlertSeverity[name.toUpperCase() as "INFO"]), [0, 1, 2, 3, 4]);
});

Deno.test("events go between this codec and the generated one: usual, blank and full", () => {
  for (const event of [USUAL_EVENT, BLANK_EVENT, FULL_EVENT]) checkEvent(event);
});

Deno.test("events go between this codec and the generated one: every field alone", () => {
  for (const [name, value] of Object.entries(FULL_EVENT)) checkEvent({ ...BLANK_EVENT, [name]: value });
  for (const [name, value] of Object.entries(FULL_CONTEXT)) {
    checkEvent({ ...BLANK_EVENT, context: { ...BLANK_CONTEXT, [name]: value } });
  }
});

Deno.test("events go between this codec and the generated one: any event", () => {
  fc.assert(fc.property(anyEvent, checkEvent), { numRuns: 300 });
});

Deno.test("processes go between this codec and the generated one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(anyState, fc.constantFrom(BLANK_STATE, FULL_STATE)), { maxLength: 4 }),
      (processes) => {
        const part = { sequence: 3, time: 2 ** 41, part: 1, last: true, processes };
        const writer = new FieldWriter();
        writeSnapshot(writer, part);
        const ours = writer.finish();
        const theirs = fromBinary(SnapshotSchema, ours);
        assert.deepEqual([theirs.sequence, theirs.time, theirs.part, theirs.last], [3n, 2n ** 41n, 1, true]);
        assert.deepEqual(theirs.processes.map((message) => fromGenerated(ProcessStateSchema, message)), processes);
        const generated = toBinary(
          SnapshotSchema,
          create(SnapshotSchema, {
            sequence: 3n,
            time: 2n ** 41n,
            part: 1,
            last: true,
            processes: processes.map((process) => toGenerated(ProcessStateSchema, process)),
          }),
        );
        assert.deepEqual(readSnapshot(generated), part);
        assert.deepEqual(readSnapshot(ours), part);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("writeEventBatch() makes text well formed: a protobuf string is UTF-8", () => {
  const [event] = readEventBatch(written([{ ...USUAL_EVENT, name: "a\udc80", executablePath: "/\ud800x" }])).events;
  assert.equal(event!.name, "a\ufffd");
  assert.equal(event!.executablePath, "/\ufffdx");
});

Deno.test("writeEventBatch() leaves out numbers of files and sizes that a double cannot hold", () => {
  const [event] = readEventBatch(written([{ ...FULL_EVENT, inode: 2 ** 63, memoryUsage: 2 ** 53 }])).events;
  assert.equal(event!.inode, null);
  assert.equal(event!.memoryUsage, null);
  assert.equal(event!.endTime, FULL_EVENT.endTime);
});

Deno.test("writeEventBatch() refuses what would not be read", () => {
  const refuses = (change: Partial<ProcessEvent>) =>
    assert.throws(() => written([{ ...USUAL_EVENT, ...change }]), JSON.stringify(change));
  refuses({ time: 0.5 });
  refuses({ time: -1 });
  refuses({ time: 2 ** 53 });
  refuses({ startTime: NaN });
  refuses({ durationMs: Infinity });
  refuses({ pid: -1 });
  refuses({ ppid: 2 ** 32 });
  refuses({ argv: new Uint8Array(MAX_ARGV_BYTES + 1) });
  refuses({ parentExecId: "x".repeat(MAX_TEXT_LENGTH + 1) });
  assert.throws(() => written([]), WireError);
  assert.throws(() => written([USUAL_EVENT], 0), WireError);
  assert.throws(() => written([USUAL_EVENT, USUAL_EVENT], 2 ** 40 - 1), WireError);
  assert.throws(() => written(new Array(4_097).fill(BLANK_EVENT)), WireError);
});

Deno.test("readEventBatch() takes the longest argv, text and batch", () => {
  const context = { ...BLANK_CONTEXT, environment: "x".repeat(MAX_TEXT_LENGTH) };
  const longest = { ...USUAL_EVENT, argv: new Uint8Array(MAX_ARGV_BYTES), context };
  assert.deepEqual(readEventBatch(written([longest])).events, [longest]);
  assert.equal(readEventBatch(written(new Array(4_096).fill(BLANK_EVENT))).events.length, 4_096);
});

Deno.test("readEventBatch() shares no memory with its input", () => {
  const bytes = written([USUAL_EVENT]);
  const { events } = readEventBatch(bytes);
  bytes.fill(0);
  assert.deepEqual(events, [USUAL_EVENT]);
});

Deno.test("a context that differs in any one byte from one that came before is not taken for it", () => {
  const known = { ...FULL_CONTEXT, environment: null }, writer = new FieldWriter();
  writeContext(writer, known);
  const bytes = writer.finish();
  const read = (of: Uint8Array, reader: (r: BinaryReader) => ProcessContext): unknown => {
    try {
      return reader(new BinaryReader(of));
    } catch (error) {
      return String(error);
    }
  };
  const contextOf = (of: Uint8Array): unknown => read(of, (r) => contextAt(r, of, of.length));
  assert.deepEqual(contextOf(bytes), known);
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [0, 3, 6, 7]) {
      const other = bytes.slice();
      other[at]! ^= 1 << bit;
      const twice = [contextOf(other), contextOf(other)];
      assert.deepEqual(twice, Array(2).fill(read(other, (r) => readContext(r, other.length))));
      assert.deepEqual(contextOf(bytes), known);
    }
  }
});

Deno.test("a context that comes again is made once, a long one each time", () => {
  const short = { ...FULL_CONTEXT, environment: null };
  const long = { ...short, environment: JSON.stringify({ A: "x".repeat(2_000) }) };
  const bytes = written([short, long, short, long].map((context) => ({ ...BLANK_EVENT, context })));
  const found = readEventBatch(bytes).events.map(({ context }) => context);
  assert.deepEqual(found, [short, long, short, long]);
  assert.equal(found[0], found[2]);
  assert.notEqual(found[1], found[3]);
});

Deno.test("readEventBatch() keeps nothing of the bytes that it was given", () => {
  const events = [FULL_EVENT, USUAL_EVENT], bytes = written(events);
  const found = readEventBatch(bytes);
  bytes.fill(0xff);
  assert.deepEqual(found.events, readEventBatch(written(events)).events);
});
