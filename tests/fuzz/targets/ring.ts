/**
 * Rings that the kernel would have written, and rings that nobody would.
 *
 * @module
 */
import { RingReader } from "../../../collector/kernel/ring_buffer.ts";
import { BUSY, DISCARDED, FakeRing } from "../../support/fake_ring.ts";
import { type FuzzInput, type FuzzTarget, hex, must } from "../fuzz.ts";
import type { Random } from "../random.ts";

const RING_BYTES = [64, 256, 1024, 4096];

/** Records as the kernel writes them, read while it writes: each that is whole is given once, in order. */
export const soundRing: FuzzTarget = {
  name: "ring: sound",
  share: 60_000,
  open: () => (random) => {
    const ring = new FakeRing(random.pick(RING_BYTES)), reader = new RingReader(ring);
    const steps = Array.from({ length: 1 + random.below(12) }, () => ({
      body: random.bytes(random.length(Math.min(200, ring.bytes / 2 - 8))),
      flags: random.oneIn(5) ? DISCARDED : 0,
      late: random.oneIn(5),
      reads: random.oneIn(3),
    }));
    return {
      show: () => JSON.stringify(steps.map((step) => ({ ...step, body: hex(step.body) }))),
      run: () => {
        const given: string[] = [], expected: string[] = [];
        let late: { at: number; length: number } | null = null;
        const read = (): void => {
          reader.read((bytes, _view, at, length) => given.push(hex(bytes.subarray(at, at + length))));
        };
        for (const { body, flags, late: isLate, reads } of steps) {
          const needed = (body.length + 15) & ~7;
          if (ring.produced + needed - ring.consumed > ring.bytes) continue; // the kernel would count a loss
          const at = ring.append(body, isLate && late === null ? flags | BUSY : flags);
          if (isLate) late ??= { at, length: body.length | flags };
          if (flags === 0) expected.push(hex(body));
          if (!reads) continue;
          read();
          if (late === null) must(given.length === expected.length, "what is whole is given at once");
          else {
            must(ring.consumed <= late.at, "what is not committed keeps its room");
            ring.header(late.at, late.length);
            late = null;
          }
        }
        if (late !== null) ring.header(late.at, late.length);
        read();
        must(given.join() === expected.join(), `given are [${given}], expected [${expected}]`);
        must(ring.consumed === ring.produced, "the room of all is handed back");
      },
    };
  },
};

/** Any bytes: the reader ends, stays inside, and either takes all, waits for one not committed, or says that it cannot. */
export const hostileRing: FuzzTarget = {
  name: "ring: any bytes",
  share: 60_000,
  open: () => (random): FuzzInput => {
    const ring = new FakeRing(random.pick(RING_BYTES)), reader = new RingReader(ring);
    ring.memory.set(random.bytes(ring.bytes));
    ring.produced = 8 * random.below(ring.bytes / 8 + 1);
    for (let at = 0; at < ring.produced;) {
      const length = random.oneIn(6) ? header(random) : random.length(100);
      ring.header(at, length);
      at += ((length & 0x3fff_ffff) + 15) & ~7;
    }
    return {
      show: () => `${hex(ring.memory)} produced ${ring.produced}`,
      run: () => {
        let bodies = 0;
        try {
          reader.read((bytes, _view, at, length) => {
            must(at >= 8 && at + length <= bytes.length, "a body lies inside the bytes");
            bodies++;
          });
        } catch (error) {
          if (error instanceof RangeError && error.message.startsWith("The ring holds")) return;
          throw error;
        }
        must(bodies <= ring.bytes / 8, "no more bodies than there is room for headers");
        must(ring.consumed <= ring.produced, "what was not written is not read");
        const isBusy = (ring.memory[(ring.consumed + 3) % ring.bytes]! & 0x80) !== 0;
        must(ring.consumed === ring.produced || isBusy, "what is committed is taken, or refused");
      },
    };
  },
};

function header(random: Random): number {
  const length = random.edge();
  return random.oneIn(3) ? (length | random.pick([BUSY, DISCARDED])) >>> 0 : length;
}
