import { deepStrictEqual as equal, throws } from "node:assert/strict";
import { RingReader } from "../../../collector/kernel/ring_buffer.ts";
import { BUSY, DISCARDED, FakeRing } from "../../support/fake_ring.ts";

function readAll(reader: RingReader): string[] {
  const bodies: string[] = [];
  reader.read((bytes, _view, at, length) => bodies.push(new TextDecoder().decode(bytes.subarray(at, at + length))));
  return bodies;
}

Deno.test("ring gives records in order and hands their room back", () => {
  const ring = new FakeRing(256), reader = new RingReader(ring);
  equal([reader.pending, readAll(reader)], [false, []]);
  for (const body of ["", "a", "eight888", "nine99999"]) ring.append(body);
  equal(reader.pending, true);
  equal(readAll(reader), ["", "a", "eight888", "nine99999"]);
  equal([ring.consumed, reader.pending], [ring.produced, false]);
});

Deno.test("ring gives records whole that lie over its end", () => {
  const ring = new FakeRing(64), reader = new RingReader(ring);
  for (let round = 0; round < 50; round++) {
    const bodies = [`round ${round}`, "x".repeat(round % 23)];
    bodies.forEach((body) => ring.append(body));
    equal(readAll(reader), bodies);
    equal(ring.consumed, ring.produced);
  }
});

Deno.test("ring stops at a record that is still being written, and goes on with it later", () => {
  const ring = new FakeRing(256), reader = new RingReader(ring);
  ring.append("done");
  const busy = ring.append("being written", BUSY);
  ring.append("after");
  equal(readAll(reader), ["done"]);
  equal([ring.consumed, reader.pending], [busy, true]);
  equal(readAll(reader), []);
  ring.header(busy, "being written".length);
  equal(readAll(reader), ["being written", "after"]);
});

Deno.test("ring skips records that their writer gave up", () => {
  const ring = new FakeRing(256), reader = new RingReader(ring);
  ring.append("one");
  ring.append("given up", DISCARDED);
  ring.append("two");
  equal(readAll(reader), ["one", "two"]);
  equal(ring.consumed, ring.produced);
});

Deno.test("ring never gives an old body with a new header when a record is committed while it is copied", () => {
  const ring = new FakeRing(64), reader = new RingReader(ring);
  ring.append("old body old body old body");
  readAll(reader);
  ring.append("x".repeat(16));
  readAll(reader);
  // The record lies where the old body was; its length is known, its body not yet written.
  const body = "new body";
  const at = ring.produced;
  ring.produced += 16;
  ring.header(at, body.length | BUSY);
  ring.duringCopy = () => {
    ring.write(at + 8, new TextEncoder().encode(body));
    ring.header(at, body.length);
  };
  equal([...readAll(reader), ...readAll(reader)], [body]);
});

Deno.test("ring gives the other records when the receiver throws, then the first error", () => {
  const ring = new FakeRing(256), reader = new RingReader(ring);
  for (const body of ["a", "b", "c", "d"]) ring.append(body);
  const seen: string[] = [];
  const receive = (bytes: Uint8Array, _view: DataView, at: number): void => {
    const body = String.fromCharCode(bytes[at]!);
    seen.push(body);
    if (body < "c") throw new Error(`cannot take ${body}`);
  };
  throws(() => reader.read(receive), /cannot take a/);
  equal([seen, ring.consumed], [["a", "b", "c", "d"], ring.produced]);
});

Deno.test("ring reads what was there when it began, however fast records come", () => {
  const ring = new FakeRing(4096), reader = new RingReader(ring);
  ring.append("first");
  let more = 0;
  reader.read(() => {
    ring.append("another");
    more++;
  });
  equal(more, 1);
  equal(readAll(reader), ["another"]);
});

Deno.test("ring of many times the copying buffer is read whole", () => {
  const ring = new FakeRing(1 << 20), reader = new RingReader(ring);
  const bodies = Array.from({ length: 4000 }, (_, index) => `${index}`.padStart(200, "."));
  bodies.forEach((body) => ring.append(body));
  equal(readAll(reader), bodies);
  equal(ring.consumed, ring.produced);
});

Deno.test("ring names a length that no writer of ours gives, instead of waiting for it", () => {
  const ring = new FakeRing(1 << 20), reader = new RingReader(ring);
  ring.produced = 1 << 19;
  ring.header(0, 1 << 19);
  throws(() => readAll(reader), /The ring holds a record of 524296 bytes/);
});

Deno.test("ring names a record that reaches beyond what was written, instead of waiting for it", () => {
  const ring = new FakeRing(64), reader = new RingReader(ring);
  ring.append("whole");
  const at = ring.append("cut");
  ring.header(at, 9);
  throws(() => readAll(reader), /The ring holds a record of 24 bytes, where it may hold 16/);
  equal(ring.consumed, at);
});
