import assert from "node:assert/strict";
import {
  decodeHashMessage,
  encodeHashMessage,
  HASH_STATES,
  type HashMessage,
  isNameable,
} from "../../../collector/hasher/protocol.ts";
import { WireError } from "../../../proto/wire_error.ts";

const HASH = "ab".repeat(32);
const MESSAGES: readonly HashMessage[] = [
  { kind: "greeting", greeting: { sees: "all", misses: "" } },
  {
    kind: "request",
    request: { id: 1, path: "/usr/bin/é", device: 0xfe00001, inode: 2 ** 40, changeTime: 1.7e18, isForeign: true },
  },
  { kind: "request", request: { id: 7, path: "/x", device: null, inode: null, changeTime: null, isForeign: false } },
  {
    kind: "answer",
    answer: { id: 2, state: "hashed", hash: HASH, fuzzyHash: "3:a:b", changeTime: 1.7e18, isSettled: true },
  },
  ...HASH_STATES.filter((state) => state !== "hashed").map((state): HashMessage => ({
    kind: "answer",
    answer: { id: 3, state, hash: null, fuzzyHash: null, changeTime: null, isSettled: false },
  })),
];

Deno.test("hash messages come back as they were sent", () => {
  for (const message of MESSAGES) assert.deepEqual(decodeHashMessage(encodeHashMessage(message)), message);
});

Deno.test("a hash message that is cut or damaged is refused or is another message, and nothing else happens", () => {
  for (const message of MESSAGES) {
    const bytes = encodeHashMessage(message);
    for (let at = 0; at < bytes.length; at++) {
      tryDecode(bytes.subarray(0, at));
      for (let bit = 0; bit < 8; bit++) {
        const damaged = bytes.slice();
        damaged[at]! ^= 1 << bit;
        tryDecode(damaged);
      }
    }
  }
  assert.throws(() => decodeHashMessage(new Uint8Array(0)), WireError);
  assert.throws(() => decodeHashMessage(new Uint8Array([9])), WireError);
});

function tryDecode(bytes: Uint8Array): void {
  try {
    decodeHashMessage(bytes);
  } catch (error) {
    assert.ok(error instanceof WireError, String(error));
  }
}

Deno.test("decodeHashMessage() refuses paths that are none, states that are none, and hashes that do not fit", () => {
  const refuses = (message: HashMessage): void =>
    assert.throws(() => decodeHashMessage(encodeHashMessage(message)), WireError);
  const request = { id: 1, device: null, inode: null, changeTime: null, isForeign: false };
  for (const path of ["", "x", "/a\0b", "/\ufffd", `/${"x".repeat(4_095)}`]) {
    refuses({ kind: "request", request: { ...request, path } });
  }
  const answer = { id: 1, fuzzyHash: null, changeTime: null, isSettled: false };
  refuses({ kind: "answer", answer: { ...answer, state: "hashed", hash: null } });
  refuses({ kind: "answer", answer: { ...answer, state: "hashed", hash: HASH.slice(1) } });
  refuses({ kind: "answer", answer: { ...answer, state: "missing", hash: HASH } });
  refuses({ kind: "answer", answer: { ...answer, state: "nonsense" as "missing", hash: null } });
  refuses({ kind: "answer", answer: { ...answer, state: "hashed", hash: HASH, fuzzyHash: "x".repeat(141) } });
  refuses({ kind: "answer", answer: { ...answer, state: "missing", hash: null, changeTime: 1 } });
  refuses({ kind: "greeting", greeting: { sees: "x".repeat(1_025), misses: "" } });
});

Deno.test("isNameable() takes what the kernel can be given", () => {
  assert.ok(isNameable(`/${"x".repeat(4_094)}`));
  assert.ok(!isNameable(`/${"é".repeat(2_048)}`));
});
