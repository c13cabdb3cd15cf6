/** What collector and response helper say: round trips, and every cut and flipped bit is a message or refused. */
import assert from "node:assert/strict";
import {
  decodeResponderMessage,
  encodeResponderMessage,
  type ResponderMessage,
} from "../../../collector/responder/protocol.ts";
import { WireError } from "../../../proto/wire_error.ts";

const MESSAGES: readonly ResponderMessage[] = [
  { kind: "greeting", greeting: { sees: "all threads", policy: "may stop", fault: "" } },
  {
    kind: "request",
    id: 7,
    request: {
      ...{ action: "kill", process: "1a2b3c4d-812-99", tree: true, seconds: 0 } as const,
      ...{ rule: "odd", byRule: false, by: "user 1000", reason: "it mines" },
    },
  },
  { kind: "answer", id: 7, answer: { outcome: "refused", text: "protected", processes: [], place: "" } },
  { kind: "ended", id: 8, answer: { outcome: "done", text: "over", processes: ["1a2b3c4d-812-99"], place: "/s/t" } },
];

Deno.test("every message comes back as it went", () => {
  for (const message of MESSAGES) assert.deepEqual(decodeResponderMessage(encodeResponderMessage(message)), message);
});

Deno.test("a damaged message is a message or a WireError, never anything else", () => {
  let refused = 0;
  const decode = (bytes: Uint8Array): void => {
    try {
      decodeResponderMessage(bytes);
    } catch (error) {
      assert.ok(error instanceof WireError, String(error));
      refused++;
    }
  };
  for (const message of MESSAGES) {
    const bytes = encodeResponderMessage(message);
    for (let at = 0; at < bytes.length; at++) {
      decode(bytes.subarray(0, at));
      for (let bit = 0; bit < 8; bit++) {
        const flipped = bytes.slice();
        flipped[at]! ^= 1 << bit;
        decode(flipped);
      }
    }
  }
  assert.ok(refused > 100, `${refused} were refused`);
});
