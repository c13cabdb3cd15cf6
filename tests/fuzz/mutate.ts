/**
 * What may happen to bytes on their way: flipped bits, cuts, things twice, numbers that nobody meant.
 *
 * @module
 */
import type { Random } from "./random.ts";

const encoder = new TextEncoder();

/** The bytes with up to five changes, in a copy. */
export function mutate(random: Random, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  let result = new Uint8Array(bytes);
  for (let changes = random.below(6); changes > 0; changes--) result = change(random, result);
  return result;
}

function change(random: Random, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length === 0) return random.bytes(random.length(32));
  const at = random.below(bytes.length);
  switch (random.below(8)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 1:
      bytes[at] = random.pick(TELLING);
      return bytes;
    case 2:
      return bytes.slice(0, at);
    case 3: // something goes
      return splice(bytes, at, at + 1 + random.length(16), EMPTY);
    case 4: // something comes
      return splice(
        bytes,
        at,
        at,
        random.oneIn(2) ? encoder.encode(random.pick(WORDS)) : random.bytes(random.length(16)),
      );
    case 5: // something comes twice, perhaps many times
      return splice(bytes, at, at, repeated(bytes.subarray(at, at + 1 + random.length(64)), 1 + random.length(40)));
    case 6: { // a number
      if (bytes.length < 4) return bytes;
      const view = new DataView(bytes.buffer);
      view.setUint32(Math.min(at & ~3, bytes.length - 4), random.edge(), true);
      return bytes;
    }
    default: { // two parts change places
      const middle = random.below(at + 1);
      return splice(splice(bytes, middle, at, EMPTY), 0, 0, bytes.slice(middle, at));
    }
  }
}

const EMPTY = new Uint8Array(0);
/** Bytes that mean something to one parser or another. */
const TELLING = [...encoder.encode("\0\n\t ()[]:/-+0129aAzZ%\\\"'=,.;"), 0x7f, 0x80, 0xc0, 0xe2, 0xff];
const WORDS = [
  "\n",
  " (deleted)",
  "../..",
  "-1",
  "18446744073709551615",
  "18446744073709551616",
  "9007199254740993",
  "0x",
  "1e309",
  "9".repeat(400),
  "NaN",
  "\u202e",
  "\ufeff",
  "Uid:\t0\t0\t0\t0\n",
  "0::/",
  ") R 1 1 1",
  "\n\n",
  '"a":',
  "[".repeat(500),
];

function splice(bytes: Uint8Array, from: number, to: number, middle: Uint8Array): Uint8Array<ArrayBuffer> {
  const end = Math.min(to, bytes.length), result = new Uint8Array(bytes.length - (end - from) + middle.length);
  result.set(bytes.subarray(0, from));
  result.set(middle, from);
  result.set(bytes.subarray(end), from + middle.length);
  return result;
}

function repeated(bytes: Uint8Array, times: number): Uint8Array {
  const result = new Uint8Array(bytes.length * times);
  for (let time = 0; time < times; time++) result.set(bytes, time * bytes.length);
  return result;
}
