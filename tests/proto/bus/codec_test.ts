import assert from "node:assert/strict";
import { encodeBusMessage, JoinedMessages, joinMessages } from "../../../proto/bus/codec.ts";
import { MAX_PAYLOAD_BYTES } from "../../../proto/bus/message.ts";
import type { BusDeliveries, BusPublish } from "../../../proto/bus/wire.ts";
import { CODECS } from "../../../proto/message_codecs.ts";
import { encodeFrame, FRAME_HEADER_BYTES } from "../../../proto/frame.ts";
import { decodeMessage, encodeMessage } from "../../../proto/wire.ts";
import { WireError } from "../../../proto/wire_error.ts";
import { BUS_MESSAGES } from "../../support/bus_samples.ts";

Deno.test("JoinedMessages makes of encoded messages the frame that encodeMessage() makes of them all", () => {
  const samples = BUS_MESSAGES.filter((message): message is BusDeliveries => message.kind === "busDeliveries");
  const [full] = samples.filter(({ messages }) => messages.length > 0);
  // Lengths around those at which a varint grows.
  const long = [0, 60, 100, 120, 16_200, 16_300, 16_400, 300_000].map((length): BusDeliveries => ({
    ...full!,
    messages: [{ ...full!.messages[0]!, payload: new Uint8Array(length) }],
  }));
  for (const sample of [...samples, ...long]) {
    const { stream, firstNumber, lost, messages } = sample;
    const joined = new JoinedMessages(joinMessages(messages.map(encodeBusMessage)));
    const frame = new Uint8Array(joined.frameLength);
    joined.write(frame, stream, firstNumber, lost);
    assert.deepEqual(decodeMessage(frame.subarray(FRAME_HEADER_BYTES)), sample);
    assert.deepEqual(frame, encodeFrame(encodeMessage(sample)));
  }
});

Deno.test("payloads of short deliveries stay as they are when more come", () => {
  const samples = BUS_MESSAGES.filter((message): message is BusDeliveries => message.kind === "busDeliveries");
  const [full] = samples.filter(({ messages }) => messages.length > 0);
  const sent = Array.from({ length: 300 }, (_, i): BusDeliveries => ({
    ...full!,
    messages: [{ ...full!.messages[0]!, payload: new Uint8Array(i * 60).fill(i) }],
  }));
  const received = sent.map((each) => decodeMessage(encodeMessage(each)));
  assert.deepEqual(received, sent);
});

Deno.test("short deliveries that are cut anywhere are refused, whatever came before them", () => {
  const sample = BUS_MESSAGES.find((message) => message.kind === "busDeliveries" && message.messages.length > 0)!;
  // Two bytes are its tag.
  const codec = CODECS.busDeliveries,
    encoded = encodeMessage(sample),
    body = encoded.subarray(encoded[2]! < 0x80 ? 3 : 4);
  const whole = codec.read(body) as BusDeliveries;
  let refused = 0;
  for (let length = 0; length < body.length; length++) {
    try {
      assert.notDeepEqual(codec.read(body.subarray(0, length)), whole);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      refused++;
    }
  }
  assert.ok(refused > body.length / 2, `${refused} of ${body.length}`);
});

Deno.test("a payload of the greatest length goes through, a longer one does not", () => {
  const sample = BUS_MESSAGES.find((message): message is BusPublish => message.kind === "busPublish")!;
  const message = { ...sample, payload: new Uint8Array(MAX_PAYLOAD_BYTES) };
  assert.deepEqual(decodeMessage(encodeMessage(message)), message);
  assert.throws(() => encodeMessage({ ...message, payload: new Uint8Array(MAX_PAYLOAD_BYTES + 1) }), WireError);
});

Deno.test("a call that is given what another operation takes, or no time, is no message", () => {
  const request = BUS_MESSAGES.find((message) => message.kind === "request" && message.body.kind === "rpc")!;
  assert.ok(request.kind === "request" && request.body.kind === "rpc");
  const { call } = request.body;
  for (const wrong of [{ ...call, operation: "stop" as const }, { ...call, timeoutMs: 0 }]) {
    assert.throws(() => encodeMessage({ ...request, body: { kind: "rpc", call: wrong } }), WireError);
  }
});
