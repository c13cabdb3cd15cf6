/** What goes out together, and what does not. */
import assert from "node:assert/strict";
import { FrameSender } from "../../../collector/hasher/frame_sender.ts";
import { FrameReader } from "../../../proto/frame.ts";

/** A connection that takes so many bytes at once, and what each write gave it. */
function connection(takes = Infinity): { readonly end: Deno.Conn; readonly writes: Uint8Array[] } {
  const writes: Uint8Array[] = [];
  const write = (bytes: Uint8Array): Promise<number> => {
    const taken = bytes.slice(0, takes);
    writes.push(taken);
    return Promise.resolve(taken.length);
  };
  return { end: { write, close() {} } as unknown as Deno.Conn, writes };
}

function payloadsOf(writes: readonly Uint8Array[]): number[][] {
  const reader = new FrameReader(), found: number[][] = [];
  for (const bytes of writes) {
    reader.space().set(bytes);
    reader.filled(bytes.length);
    for (let payload = reader.next(); payload !== null; payload = reader.next()) {
      found.push([payload.length, payload[0]!]);
    }
  }
  reader.finish();
  return found;
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("FrameSender writes what is sent together at once, in its order", async () => {
  const { end, writes } = connection(), sender = new FrameSender(end);
  for (let i = 1; i <= 40; i++) sender.send(new Uint8Array(i).fill(i));
  await settled();
  assert.equal(writes.length, 1);
  sender.send(Uint8Array.of(99));
  await settled();
  assert.equal(writes.length, 2);
  const expected = Array.from({ length: 40 }, (_, i) => [i + 1, i + 1]);
  assert.deepEqual(payloadsOf(writes), [...expected, [1, 99]]);
});

Deno.test("FrameSender bounds a write, but for a frame that is longer, and goes on where the peer takes a part", async () => {
  const sizes = [40_000, 20_000, 30_000, 100_000, 1, 2];
  for (const takes of [Infinity, 7_777]) {
    const { end, writes } = connection(takes), sender = new FrameSender(end);
    sizes.forEach((size, i) => sender.send(new Uint8Array(size).fill(i)));
    await settled();
    assert.deepEqual(payloadsOf(writes), sizes.map((size, i) => [size, i]));
    if (takes === Infinity) assert.deepEqual(writes.map(({ length }) => length), [60_016, 30_008, 100_008, 19]);
  }
});
