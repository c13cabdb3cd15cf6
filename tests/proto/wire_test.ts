import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_FRAME_BYTES } from "../../proto/frame.ts";
import { ProcessRecordSchema } from "../../proto/gen/common_pb.ts";
import { CapabilityResponseSchema, DetectionResultSchema, EnvelopeSchema } from "../../proto/gen/ipc_pb.ts";
import type { WireMessage } from "../../proto/messages.ts";
import { decodeMessage, encodeMessage } from "../../proto/wire.ts";
import { WireError } from "../../proto/wire_error.ts";
import { BLANK_CONTEXT } from "../../proto/process_event.ts";
import { MESSAGES } from "../support/wire_samples.ts";
import { FULL_EVENT, USUAL_EVENT } from "../support/event_samples.ts";

function hex(text: string): Uint8Array {
  return Uint8Array.fromHex(text.replaceAll(" ", ""));
}

function envelope(body: MessageInitShape<typeof EnvelopeSchema>["body"]): Uint8Array {
  return toBinary(EnvelopeSchema, create(EnvelopeSchema, body === undefined ? {} : { body }));
}

function refuses(payload: Uint8Array, reason: RegExp): void {
  assert.throws(() => decodeMessage(payload), (error) => {
    assert.ok(error instanceof WireError, String(error));
    assert.match(error.message, reason);
    return true;
  });
}

/** Anything may come of `payload` but an error that is no {@linkcode WireError}. */
function survives(payload: Uint8Array): WireMessage | null {
  try {
    return decodeMessage(payload);
  } catch (error) {
    assert.ok(error instanceof WireError, `${error instanceof Error ? error.stack : error} for ${payload.toHex()}`);
    return null;
  }
}

/** A field of a message: its tag, its length, its bytes. */
function field(number: number, body: Uint8Array): Uint8Array {
  const head: number[] = [];
  for (const value of [(number << 3) | 2, body.length]) {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) head.push((rest & 0x7f) | 0x80);
    head.push(rest);
  }
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  return whole;
}

Deno.test("messages come back as they went", () => {
  for (const message of MESSAGES) assert.deepEqual(decodeMessage(encodeMessage(message)), message);
});

Deno.test("the samples have every kind of message that the envelope has", () => {
  const kinds = new Set(MESSAGES.map((message) => message.kind));
  assert.deepEqual([...kinds].sort(), EnvelopeSchema.fields.map((each) => each.localName).sort());
});

Deno.test("messages are the envelopes of ipc.proto, under the same names", () => {
  for (const message of MESSAGES) {
    const payload = encodeMessage(message);
    const { body, $unknown } = fromBinary(EnvelopeSchema, payload);
    assert.equal(body.case, message.kind);
    assert.equal($unknown, undefined);
    assert.deepEqual(decodeMessage(envelope(body)), message);
  }
});

Deno.test("messages have the bytes that the schema says", () => {
  const vectors: [WireMessage, string][] = [
    [{ kind: "heartbeat", time: 0x0102 }, "52 09 09 0201000000000000"],
    [{ kind: "ack", sequence: 5, credit: 1 }, "4a 12 09 0500000000000000 11 0100000000000000"],
    [{ kind: "goodbye", reason: "ü" }, "5a 04 0a 02 c3bc"],
    [
      { kind: "challenge", nonce: new Uint8Array(32).fill(0xaa), versionMin: 1, versionMax: 2 },
      `0a 26 0a 20 ${"aa".repeat(32)} 10 01 18 02`,
    ],
    [
      { kind: "snapshot", sequence: 1, time: 2, part: 3, last: true, processes: [] },
      "3a 16 09 0100000000000000 11 0200000000000000 18 03 20 01",
    ],
    [{ kind: "reply", id: 3, body: { kind: "error", reason: "no" } }, "6a 06 08 03 22 02 6e6f"],
  ];
  for (const [message, bytes] of vectors) {
    assert.equal(encodeMessage(message).toHex(), bytes.replaceAll(" ", ""), message.kind);
    assert.deepEqual(decodeMessage(hex(bytes)), message);
  }
  const event = "08 01 11 0100000000000000 1a 01 61 28 07 3a 02 7368 7a 04 65627066";
  const decoded = decodeMessage(hex(`2a 25 09 0100000000000000 12 1a ${event}`));
  assert.equal(decoded.kind, "events");
  const { kind, time, execId, pid, name, source, argv } = decoded.kind === "events" ? decoded.events[0]! : USUAL_EVENT;
  assert.deepEqual([kind, time, execId, pid, name, source, argv], ["start", 1, "a", 7, "sh", "ebpf", null]);
});

Deno.test("decodeMessage() shares no memory with its input", () => {
  for (const message of MESSAGES) {
    const payload = encodeMessage(message);
    const decoded = decodeMessage(payload);
    payload.fill(0xff);
    assert.deepEqual(decoded, message);
  }
});

Deno.test("decodeMessage() skips fields that it does not know, at every depth", () => {
  const unknown = hex("f8 7f 01  f9 7f 0102030405060708  fa 7f 02 abcd  fd 7f 01020304"); // 2047: varint, 64 bits, bytes, 32 bits
  for (const message of MESSAGES) {
    const payload = encodeMessage(message);
    const { body } = fromBinary(EnvelopeSchema, payload);
    const number = EnvelopeSchema.fields.find((each) => each.localName === body.case)!.number;
    const inner = payload.subarray(payload.length - bodyLength(payload));
    const grown = Uint8Array.of(
      ...unknown,
      ...field(number, Uint8Array.of(...unknown, ...inner, ...unknown)),
      ...unknown,
    );
    assert.deepEqual(decodeMessage(grown), message);
  }
  const event = hex("08 01 1a 01 61 fa 7f 02 abcd");
  const batch = Uint8Array.of(...hex("09 0100000000000000"), ...field(2, event));
  assert.equal(decodeMessage(field(5, batch)).kind, "events");
});

/** Length of the one field in an envelope. */
function bodyLength(payload: Uint8Array): number {
  let at = payload[0]! > 0x7f ? 2 : 1, length = 0, shift = 0;
  for (; payload[at]! > 0x7f; at++, shift += 7) length |= (payload[at]! & 0x7f) << shift;
  return length | (payload[at]! << shift);
}

Deno.test("decodeMessage() refuses, with the reason", () => {
  const one = "09 0100000000000000"; // first sequence, or sequence, is 1
  const batch = (event: string) => field(5, Uint8Array.of(...hex(one), ...field(2, hex(event))));
  refuses(new Uint8Array(0), /no message/);
  refuses(hex("fa 7f 00"), /no message that this version knows/);
  refuses(hex("5a 00 5a 00"), /second message, goodbye/);
  refuses(hex("5b 5c"), /no field with tag 91/); // a group
  refuses(hex("00 00"), /no field with tag 0/);
  refuses(hex("57"), /no field with tag 87/); // wire type 7
  refuses(hex("5a 05 0a 01"), /premature EOF/);
  refuses(hex("5a 03 0a 01 ff"), /Cannot decode goodbye: .*(utf|UTF|encoded)/);
  refuses(hex("5a 04 0a 02 c080"), /Cannot decode goodbye/); // overlong NUL
  refuses(hex("5a 05 0a 03 eda080"), /Cannot decode goodbye/); // a surrogate
  refuses(hex("4a 12 09 0500000000000000 11 0000000000002000"), /A credit must lie in 0 to 2\^53 - 1/);
  refuses(hex("4a 12 09 0000000000010000 11 0000000000000000"), /A sequence is above 2\^40 - 1/);
  refuses(hex("0a 04 0a 02 aaaa"), /2 bytes, not 32/);
  refuses(hex("32 09 " + one), /holds no gap/);
  refuses(hex("32 04 12 02 0a 00"), /Sequence numbers must lie in 1/);
  refuses(hex("62 02 08 01"), /asks nothing/);
  refuses(hex("62 02 12 00"), /numbered from 1/);
  refuses(hex("6a 02 08 01"), /says nothing/);
  refuses(hex("62 06 08 01 1a 02 10 63"), /no task type 99/);
  refuses(hex("62 06 08 01 12 02 10 09"), /no monitoring domain 9/);
  refuses(hex("62 06 08 01 1a 02 32 00"), /filters networks, files or performance/);
  refuses(hex("6a 06 08 01 1a 02 32 00"), /network, file or performance records/);
  refuses(hex("6a 06 08 01 1a 00 1a 00"), /comes twice/);
  refuses(hex("2a 09 " + one), /holds no event/);
  refuses(batch(""), /unknown kind/);
  refuses(batch("08 05 1a 01 61"), /unknown kind/);
  refuses(batch("08 01"), /names no execution/);
  refuses(batch("08 01 1a 01 61 f0 02 07"), /unknown severity/);
  refuses(batch("08 01 1a 01 ff"), /Cannot decode events/);
  refuses(batch("08 01 1a 01 61 11 0000000000002000"), /Field 2 is above 2\^53 - 1/);
  refuses(batch("08 01 1a 01 61 b1 01 000000000000f07f"), /Field 22 must be a finite number/);
  refuses(batch("08 01 1a 7f 61"), /premature EOF|beyond/);
  // The text of the one event or process ends two bytes after it.
  refuses(field(5, hex(`${one} 12 04 08 01 1a 02 61 62`)), /one event goes beyond its end/);
  refuses(field(7, hex(`${one} 2a 02 0a 02 61 62`)), /one process goes beyond its end/);
  refuses(field(5, hex(`${one} 12 7f 08 01 1a 01 61`)), /beyond the end/);
  refuses(field(5, hex("12 05 08 01 1a 01 61")), /Sequence numbers must lie in 1/);
  refuses(field(5, hex("09 ffffffffff000000 12 05 08 01 1a 01 61 12 05 08 01 1a 01 62")), /Sequence numbers/);
  refuses(field(7, hex(`${one} 2a 00`)), /names no execution/);
});

Deno.test("decodeMessage() refuses names in a hello that could pass for something else", () => {
  const hello = MESSAGES.find((message) => message.kind === "hello")!;
  for (const name of ["", "a b", "a\0b", "a\nb", "ü", "a/b", "a:b", "x".repeat(65)]) {
    for (const field of ["collectorId", "epoch", "bootId", "softwareVersion", "source"]) {
      assert.throws(() => encodeMessage({ ...hello, [field]: name } as WireMessage), WireError);
      const { body } = fromBinary(EnvelopeSchema, encodeMessage(hello));
      assert.ok(body.case === "hello");
      refuses(envelope({ case: "hello", value: { ...body.value, [field]: name } }), new RegExp(field));
    }
  }
});

Deno.test("decodeMessage() bounds each kind's length before it looks inside", () => {
  for (const kind of ["challenge", "hello", "welcome", "refused", "gap", "ack", "heartbeat", "goodbye"]) {
    const number = EnvelopeSchema.fields.find((each) => each.name === kind)!.number;
    refuses(field(number, new Uint8Array(4_097)), /takes 4097 bytes; at most 4096/);
  }
  refuses(field(8, new Uint8Array(262_145)), /at most 262144/);
  refuses(field(12, new Uint8Array(262_145)), /at most 262144/);
  assert.throws(() => encodeMessage({ kind: "goodbye", reason: "x".repeat(5_000) }), WireError);
});

Deno.test("decodeMessage() refuses a frame full of empty things before it makes them", () => {
  const empties = (number: number, bytes: number) => {
    const body = new Uint8Array(bytes & ~1);
    for (let at = 0; at < body.length; at += 2) body[at] = (number << 3) | 2;
    return body;
  };
  const room = MAX_FRAME_BYTES - 64;
  // An event must name its execution, so the smallest that is one has five bytes.
  const events = new Uint8Array(room - (room % 7));
  for (let at = 0; at < events.length; at += 7) events.set(hex("12 05 08 01 1a 01 61"), at);
  refuses(field(5, events), /more than 4096 events/);
  const states = new Uint8Array(room - (room % 5));
  for (let at = 0; at < states.length; at += 5) states.set(hex("2a 03 0a 01 61"), at);
  refuses(field(7, states), /more than 1000 processes/);
  refuses(field(13, field(3, empties(4, room - 100))), /more than 10016 fields/);
  refuses(field(8, empties(2, 200_000)), /lists 100000 sources/);
  const modified = new Uint8Array(30_000);
  for (let at = 0; at < modified.length; at += 3) modified.set(hex("e2 02 00"), at);
  refuses(field(5, field(2, modified)), /more than 64 modified fields/);
});

Deno.test("encodeMessage() refuses what is too large for a frame, and is none the worse", () => {
  const large = { ...FULL_EVENT, context: { ...BLANK_CONTEXT, environment: "x".repeat(60_000) } };
  assert.throws(
    () => encodeMessage({ kind: "events", firstSequence: 1, events: new Array(20).fill(large) }),
    WireError,
  );
  assert.throws(
    () => encodeMessage({ kind: "events", firstSequence: 1, events: [{ ...FULL_EVENT, pid: NaN }] }),
    WireError,
  );
  for (const message of MESSAGES) assert.deepEqual(decodeMessage(encodeMessage(message)), message);
});

Deno.test("encodeMessage() refuses what would not be decoded", () => {
  const refuse = (message: WireMessage) => assert.throws(() => encodeMessage(message), WireError, message.kind);
  const nonce = new Uint8Array(32);
  refuse({ kind: "challenge", nonce: new Uint8Array(31), versionMin: 1, versionMax: 1 });
  refuse({ kind: "challenge", nonce, versionMin: -1, versionMax: 1 });
  refuse({ kind: "welcome", proof: new Uint8Array(33), lastSequence: 0, credit: 0 });
  refuse({ kind: "welcome", proof: nonce, lastSequence: 2 ** 40, credit: 0 });
  refuse({ kind: "ack", sequence: 1, credit: 2 ** 53 });
  refuse({ kind: "ack", sequence: 0.5, credit: 1 });
  refuse({ kind: "heartbeat", time: -1 });
  refuse({ kind: "heartbeat", time: NaN });
  refuse({ kind: "sources", sequence: 0, sources: [] });
  refuse({
    kind: "sources",
    sequence: 1,
    sources: new Array(65).fill({ name: "", state: "", detail: "", misses: [] }),
  });
  refuse({ kind: "gap", sequence: 1, gap: { source: "", recordKind: "", from: 0, to: 0.1, count: null, reason: "" } });
});

Deno.test("decodeMessage() survives every truncation of every message", () => {
  for (const message of MESSAGES) {
    const payload = encodeMessage(message);
    const step = payload.length > 4_096 ? 37 : 1;
    for (let cut = 0; cut < payload.length; cut += step) assert.equal(survives(payload.subarray(0, cut)), null);
  }
});

Deno.test("decodeMessage() survives every changed bit of every message", () => {
  for (const message of MESSAGES) {
    const payload = encodeMessage(message);
    const step = payload.length > 4_096 ? 331 : 1;
    for (let bit = 0; bit < payload.length * 8; bit += step) {
      const damaged = payload.slice();
      damaged[bit >>> 3]! ^= 1 << (bit & 7);
      survives(damaged);
    }
  }
});

Deno.test("decodeMessage() survives random bytes, alone and as the body of every message", () => {
  const bytes = fc.uint8Array({ maxLength: 400 });
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 13 }), (random, number) => {
      survives(random);
      survives(field(number, random));
      survives(field(number, field(2, random)));
      survives(field(number, field(3, field(4, random))));
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("decodeMessage() survives random fields of the right numbers", () => {
  const varint = fc.tuple(fc.integer({ min: 1, max: 46 }), fc.integer({ min: 0, max: 127 })).map(([number, value]) =>
    hex(tagHex(number, 0) + value.toString(16).padStart(2, "0"))
  );
  const long = fc.tuple(fc.integer({ min: 1, max: 46 }), fc.uint8Array({ minLength: 8, maxLength: 8 })).map((
    [n, value],
  ) => Uint8Array.of(...hex(tagHex(n, 1)), ...value));
  const body = fc.tuple(fc.integer({ min: 1, max: 46 }), fc.uint8Array({ maxLength: 20 })).map(([n, value]) =>
    field(n, value)
  );
  const fields = fc.array(fc.oneof(varint, long, body), { maxLength: 12 });
  let decoded = 0;
  fc.assert(
    fc.property(fields, fields, fc.integer({ min: 1, max: 13 }), (outer, inner, number) => {
      const nested = field(number === 7 ? 5 : 2, Uint8Array.from(inner.flatMap((part) => [...part])));
      const flat = Uint8Array.from([...hex("09 0100000000000000"), ...outer.flatMap((part) => [...part])]);
      if (survives(field(number, flat)) !== null) decoded++;
      if (survives(field(number, Uint8Array.of(...flat, ...nested))) !== null) decoded++;
    }),
    { numRuns: 3_000 },
  );
  assert.ok(decoded > 100, `only ${decoded} decoded: this test no longer tests`);
});

function tagHex(number: number, wireType: number): string {
  const tag = (number << 3) | wireType;
  const low = tag > 0x7f ? [(tag & 0x7f) | 0x80, tag >>> 7] : [tag];
  return low.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

Deno.test("the document's field numbers stand", () => {
  const numbers = (schema: DescMessage) => Object.fromEntries(schema.fields.map(({ name, number }) => [name, number]));
  assert.deepEqual(numbers(DetectionResultSchema), {
    task_id: 1,
    success: 2,
    error_message: 3,
    processes: 4,
    hash_result: 5,
    network_events: 6,
    filesystem_events: 7,
    performance_events: 8,
    // ours
    analysis: 9,
  });
  assert.deepEqual(numbers(ProcessRecordSchema), {
    pid: 1,
    ppid: 2,
    name: 3,
    executable_path: 4,
    command_line: 5,
    start_time: 6,
    cpu_usage: 7,
    memory_usage: 8,
    executable_hash: 9,
    hash_algorithm: 10,
    user_id: 11,
    accessible: 12,
    file_exists: 13,
    collection_time: 14,
    ssdeep_hash: 15,
    on_disk_mismatch: 16,
    ssdeep_degraded: 17,
  });
  assert.deepEqual(numbers(CapabilityResponseSchema), {
    negotiation_success: 1,
    capabilities: 2,
    error_message: 3,
    server_version: 4,
    demand_version: 16,
    rpc_version: 17,
  });
});
