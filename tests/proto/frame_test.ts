import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeFrame, FRAME_HEADER_BYTES, FrameError, FrameReader, MAX_FRAME_BYTES } from "../../proto/frame.ts";

const PAYLOADS = ["123456789", "x", "a longer payload, of more than eight bytes"].map((text) =>
  new TextEncoder().encode(text)
);

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Gives the reader `piece`, in as many reads as it wants, and returns copies of the payloads that became whole. */
function feed(reader: FrameReader, piece: Uint8Array): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  for (let rest = piece; rest.length > 0;) {
    const space = reader.space();
    assert.ok(space.length > 0);
    const part = rest.subarray(0, space.length);
    space.set(part);
    reader.filled(part.length);
    rest = rest.subarray(part.length);
    for (let payload = reader.next(); payload !== null; payload = reader.next()) payloads.push(payload.slice());
  }
  return payloads;
}

function refuses(bytes: Uint8Array, reason: FrameError["reason"], reader = new FrameReader()): void {
  assert.throws(() => {
    feed(reader, bytes);
    reader.finish();
  }, (error) => error instanceof FrameError && error.reason === reason);
}

Deno.test("encodeFrame() gives length, checksum and payload", () => {
  assert.equal(encodeFrame(PAYLOADS[0]!).toHex(), "09000000" + "839206e3" + "313233343536373839");
});

Deno.test("encodeFrame() refuses empty and oversize payloads", () => {
  assert.throws(() => encodeFrame(new Uint8Array(0)), RangeError);
  assert.throws(() => encodeFrame(new Uint8Array(MAX_FRAME_BYTES + 1)), RangeError);
  assert.equal(encodeFrame(new Uint8Array(MAX_FRAME_BYTES)).length, MAX_FRAME_BYTES + FRAME_HEADER_BYTES);
});

Deno.test("FrameReader gives the payloads however the stream is cut in two", () => {
  const stream = concat(...PAYLOADS.map(encodeFrame));
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new FrameReader();
    const got = [...feed(reader, stream.subarray(0, cut)), ...feed(reader, stream.subarray(cut))];
    assert.deepEqual(got, PAYLOADS, `cut at ${cut}`);
    reader.finish();
  }
});

Deno.test("FrameReader gives the payloads of a stream that comes byte by byte", () => {
  const reader = new FrameReader();
  const got = [...concat(...PAYLOADS.map(encodeFrame))].flatMap((byte) => feed(reader, Uint8Array.of(byte)));
  assert.deepEqual(got, PAYLOADS);
});

Deno.test("FrameReader gives payloads of every size in pieces of every size", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 300_000 }), (lengths, pieceSize) => {
      const payloads = lengths.map((length, i) => new Uint8Array(length).fill(i + 1));
      const stream = concat(...payloads.map(encodeFrame));
      const reader = new FrameReader();
      const got: Uint8Array[] = [];
      const step = Math.max(pieceSize, Math.ceil(stream.length / 2_000));
      for (let at = 0; at < stream.length; at += step) got.push(...feed(reader, stream.subarray(at, at + step)));
      assert.equal(got.length, payloads.length);
      got.forEach((payload, i) => assert.ok(payload.length === lengths[i] && payload.every((byte) => byte === i + 1)));
    }),
    { numRuns: 25 },
  );
});

Deno.test("FrameReader takes the longest payload, in small pieces, and then another", () => {
  const longest = new Uint8Array(MAX_FRAME_BYTES).fill(7);
  const stream = concat(encodeFrame(longest), encodeFrame(PAYLOADS[0]!), encodeFrame(longest));
  const reader = new FrameReader();
  const got: Uint8Array[] = [];
  for (let at = 0; at < stream.length; at += 1_000) got.push(...feed(reader, stream.subarray(at, at + 1_000)));
  assert.deepEqual(got.map((payload) => payload.length), [MAX_FRAME_BYTES, 9, MAX_FRAME_BYTES]);
  assert.deepEqual(got[0], longest);
  assert.deepEqual(got[2], longest);
});

Deno.test("FrameReader always has room for a read worth its cost", () => {
  const reader = new FrameReader();
  for (let i = 0; i < 3_000; i++) {
    assert.ok(reader.space().length >= 65_536, `read ${i}`);
    feed(reader, encodeFrame(new Uint8Array(700)).subarray(0, 708));
    feed(reader, encodeFrame(new Uint8Array(50_000)).subarray(0, i % 2 === 0 ? 50_008 : 0));
  }
});

Deno.test("FrameReader gives nothing of a frame cut anywhere, and says so at the end", () => {
  const frame = encodeFrame(PAYLOADS[2]!);
  for (let cut = 1; cut < frame.length; cut++) {
    const reader = new FrameReader();
    assert.deepEqual(feed(reader, frame.subarray(0, cut)), []);
    assert.equal(reader.pending, cut);
    assert.throws(() => reader.finish(), (error) => error instanceof FrameError && error.reason === "truncated");
  }
  console.log(`${frame.length - 1} truncations of a frame, ${frame.length - 1} detected`);
  new FrameReader().finish();
});

Deno.test("FrameReader gives nothing of a frame with any one bit changed", () => {
  const frame = encodeFrame(PAYLOADS[2]!);
  const reasons = new Set<string>();
  let detected = 0;
  for (let bit = 0; bit < frame.length * 8; bit++) {
    const damaged = frame.slice();
    damaged[bit >>> 3]! ^= 1 << (bit & 7);
    const reader = new FrameReader();
    try {
      assert.deepEqual(feed(reader, damaged), [], `bit ${bit}`);
      reader.finish();
      assert.fail(`bit ${bit} went unseen`);
    } catch (error) {
      assert.ok(error instanceof FrameError, `bit ${bit}: ${error}`);
      reasons.add(error.reason);
      detected += 1;
    }
  }
  console.log(`${frame.length * 8} flips of a frame's bits, ${detected} detected`);
  assert.deepEqual([...reasons].sort(), ["checksum", "length", "truncated"]);
});

Deno.test("FrameReader refuses lengths of 0, above the limit, and of 4 GiB before it has memory for them", () => {
  for (const length of [0, MAX_FRAME_BYTES + 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
    const header = new Uint8Array(8);
    new DataView(header.buffer).setUint32(0, length, true);
    const reader = new FrameReader();
    refuses(header, "length", reader);
    assert.ok(reader.space().length < MAX_FRAME_BYTES);
    // Four bytes are enough to know.
    refuses(header.subarray(0, 4), "length");
  }
});

Deno.test("FrameReader takes the limit that holds when a frame comes", () => {
  const reader = new FrameReader(16);
  const big = new Uint8Array(300_000).fill(1);
  assert.deepEqual(feed(reader, encodeFrame(new Uint8Array(16))), [new Uint8Array(16)]);
  refuses(encodeFrame(new Uint8Array(17)), "length", new FrameReader(16));
  reader.maxPayload = MAX_FRAME_BYTES;
  assert.deepEqual(feed(reader, encodeFrame(big)), [big]);
});

Deno.test("FrameReader throws nothing but FrameError on random bytes", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (pieces) => {
    const reader = new FrameReader();
    try {
      for (const piece of pieces) feed(reader, piece);
    } catch (error) {
      assert.ok(error instanceof FrameError);
    }
  }));
});

Deno.test("FrameReader.filled() refuses more than there was room for", () => {
  const reader = new FrameReader();
  const space = reader.space();
  assert.throws(() => reader.filled(space.length + 1), RangeError);
  assert.throws(() => reader.filled(-1), RangeError);
});
