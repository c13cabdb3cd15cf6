/**
 * What comes out of the socket between the tiers: frames in a stream, and the messages in them.
 *
 * Whatever comes, in whatever pieces, taking it apart throws nothing but {@linkcode FrameError} and
 * {@linkcode WireError}, gives every frame before the damage as it was sent, and takes no more memory than came. What is
 * decoded can be encoded, and is then the same message.
 *
 * @module
 */
import { encodeFrame, FRAME_HEADER_BYTES, FrameError, FrameReader } from "../../../proto/frame.ts";
import { decodeMessage, encodeMessage } from "../../../proto/wire.ts";
import { WireError } from "../../../proto/wire_error.ts";
import { MESSAGES } from "../../support/wire_samples.ts";
import { type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";

const PAYLOADS = MESSAGES.map((message) => encodeMessage(message));
const LONGEST = Math.max(...PAYLOADS.map(({ length }) => length)), MOST_PIECES = 8;

/** Feeds the stream as a socket would, in pieces of any size; says how many payloads came before it ended or broke. */
function readStream(stream: Uint8Array, sent: readonly Uint8Array[], random: Random): void {
  const reader = new FrameReader(LONGEST * 2),
    most = Math.max(1, Math.ceil(stream.length / (1 + random.below(MOST_PIECES))));
  let got = 0, same = 0, at = 0;
  try {
    while (at < stream.length) {
      const space = reader.space();
      must(space.length > 0 && space.length <= 16 * LONGEST + 1_048_576, "memory grows with what has come");
      const piece = stream.subarray(at, at + Math.min(space.length, 1 + random.below(most)));
      space.set(piece);
      reader.filled(piece.length);
      at += piece.length;
      for (let payload = reader.next(); payload !== null; payload = reader.next()) {
        if (same === got && sent[got] !== undefined && isSame(payload, sent[got]!)) same += 1;
        got += 1;
        decode(payload);
      }
    }
    reader.finish();
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
  }
  // Up to the first byte that differs everything is as it was sent.
  let intact = 0, end = 0;
  for (const payload of sent) {
    const frame = encodeFrame(payload);
    if (!isSame(stream.subarray(end, end + frame.length), frame)) break;
    intact += 1;
    end += frame.length;
  }
  must(same >= intact, `${intact} frames came whole, ${same} were given`);
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return true;
}

/** A message that is understood is understood again when it is sent on. */
function decode(payload: Uint8Array): void {
  let message;
  try {
    message = decodeMessage(payload);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return;
  }
  // What a later version demands is understood as that, and answered: nobody sends it on.
  if (message.kind === "request" && message.body.kind === "otherDemand") return;
  const encoded = encodeMessage(message), again = encodeMessage(decodeMessage(encoded));
  must(isSame(encoded, again), "a message that was decoded is the same when it is encoded and decoded");
}

export const frame: readonly FuzzTarget[] = [
  {
    name: "frame:stream",
    share: 60_000,
    open: () => (random) => {
      const sent = Array.from({ length: 1 + random.below(4) }, () => random.pick(PAYLOADS));
      const whole = new Uint8Array(sent.reduce((sum, { length }) => sum + FRAME_HEADER_BYTES + length, 0));
      let at = 0;
      for (const payload of sent) {
        whole.set(encodeFrame(payload), at);
        at += FRAME_HEADER_BYTES + payload.length;
      }
      const stream = mutate(random, whole);
      return { show: () => hex(stream), run: () => readStream(stream, sent, random) };
    },
  },
  {
    // What a peer that knows the token can send: checksums hold.
    name: "frame:message",
    share: 100_000,
    open: () => (random) => {
      const payload = mutate(random, random.pick(PAYLOADS));
      return { show: () => hex(payload), run: () => decode(payload) };
    },
  },
];
