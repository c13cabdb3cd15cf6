import assert from "node:assert/strict";
import { DeliveryFrames, FrameRoom } from "../../../agent/bus/delivery_frames.ts";
import { Published } from "../../../agent/bus/published.ts";
import { encodeFrame } from "../../../proto/frame.ts";
import { encodeMessage } from "../../../proto/wire.ts";

const published = (sequence: number, length: number): Published =>
  new Published("events.a", "event", "s", sequence, 5, "normal", 0, null, new Uint8Array(length).fill(sequence));

Deno.test("DeliveryFrames gives each client the frame of its own messages and numbers, whatever went before", () => {
  const frames = new DeliveryFrames(), one = published(1, 10), two = published(2, 3_000), twin = published(1, 10);
  const batches = [[one], [one], [one, two], [one, two], [two, one], [two], [], [twin], [one, two]];
  let lost = 0;
  for (const [i, messages] of batches.entries()) {
    lost += i;
    const whole = { kind: "busDeliveries" as const, stream: 2 ** 40 + i, firstNumber: 7 * i, lost, messages };
    assert.deepEqual(frames.of(messages, whole.stream, whole.firstNumber, lost), encodeFrame(encodeMessage(whole)));
  }
  assert.notEqual(one.encoded, null);
});

Deno.test("DeliveryFrames keeps nothing of a list that its caller uses again", () => {
  const frames = new DeliveryFrames(), batch = [published(1, 10)];
  const before = frames.of(batch, 1, 1, 0);
  batch[0] = published(2, 10);
  assert.notDeepEqual(frames.of(batch, 1, 1, 0), before);
});

Deno.test("DeliveryFrames puts frames of any lengths into one room, one after the other", () => {
  const frames = new DeliveryFrames(), room = new FrameRoom();
  for (const [i, length] of [10, 10, 3_000, 0, 10, 5_000, 200_000, 3_000, 10].entries()) {
    const messages = [published(i, length)];
    const whole = { kind: "busDeliveries" as const, stream: 9, firstNumber: i, lost: 2 * i, messages };
    assert.deepEqual(frames.of(messages, 9, i, 2 * i, room), encodeFrame(encodeMessage(whole)));
  }
});
