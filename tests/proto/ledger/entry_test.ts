import assert from "node:assert/strict";
import { ACTIONS, decodeEntry, encodeEntry, type Entry, MAX_ENTRY_BYTES } from "../../../proto/ledger/entry.ts";
import { decodePayload, encodePayload, MAX_PAYLOAD_BYTES } from "../../../proto/ledger/payload.ts";
import { WireError } from "../../../proto/wire_error.ts";

const ENTRY: Entry = {
  action: "rulesChanged",
  ledgerId: new Uint8Array(16).fill(0x11),
  sequence: 0x1_0203_0405,
  wallMs: 1_790_000_000_000,
  monotonicNs: 0xfedc_ba98_7654_3210n,
  bootId: new Uint8Array(16).fill(0x22),
  payloadHash: new Uint8Array(32).fill(0x33),
  previous: new Uint8Array(32).fill(0x44),
  actor: "käthe",
};

Deno.test("encodeEntry() makes the documented bytes, and decodeEntry() reads them back", () => {
  const bytes = encodeEntry(ENTRY);
  assert.equal(
    bytes.toHex(),
    "0106" + "11".repeat(16) + "0000000102030405" + "000001a0c4506c00" + "fedcba9876543210" + "22".repeat(16) +
      "33".repeat(32) + "44".repeat(32) + "06" + "6bc3a4746865",
  );
  assert.deepEqual(decodeEntry(bytes), ENTRY);
});

Deno.test("every flipped bit of an entry is refused or gives an entry with exactly these bytes", () => {
  const bytes = encodeEntry(ENTRY);
  let refused = 0;
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    try {
      assert.deepEqual(encodeEntry(decodeEntry(changed)), changed);
    } catch (error) {
      assert.ok(error instanceof WireError, String(error));
      refused += 1;
    }
  }
  assert.ok(refused > 8);
});

Deno.test("decodeEntry() refuses every cut, what is too long, and what no entry says", () => {
  const bytes = encodeEntry(ENTRY);
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeEntry(bytes.subarray(0, length)), WireError);
  }
  const changed = (at: number, value: number): Uint8Array => bytes.with(at, value);
  for (
    const hostile of [
      Uint8Array.of(...bytes, 0),
      new Uint8Array(MAX_ENTRY_BYTES + 1).fill(1),
      changed(0, 2), // another version
      changed(1, 0), // no action
      changed(1, Math.max(...Object.values(ACTIONS)) + 1),
      changed(18, 0xff), // a sequence beyond 2^53
      changed(123, 0x0a), // a line end in the actor
      changed(123, 0xff), // not UTF-8
    ]
  ) assert.throws(() => decodeEntry(hostile), WireError);
});

Deno.test("encodeEntry() refuses what an entry cannot hold", () => {
  for (
    const wrong of [
      { actor: "" },
      { actor: "a\nb" },
      { actor: "\ud800" },
      { actor: "x".repeat(65) },
      { sequence: -1 },
      { sequence: 2 ** 53 },
      { wallMs: 0.5 },
      { monotonicNs: -1n },
      { monotonicNs: 1n << 64n },
      { bootId: new Uint8Array(15) },
      { previous: new Uint8Array(33) },
    ]
  ) assert.throws(() => encodeEntry({ ...ENTRY, ...wrong }), WireError);
});

Deno.test("payload records read back, erased ones as null, and wrong lengths are refused", () => {
  const payload = { salt: new Uint8Array(16).fill(9), bytes: new Uint8Array(300).fill(7) };
  const record = encodePayload(payload);
  assert.equal(record[0]! * 256 + record[1]!, record.length - 2);
  assert.deepEqual(decodePayload(record.subarray(2)), payload);
  assert.equal(decodePayload(encodePayload(null).subarray(2)), null);
  assert.throws(() => encodePayload({ ...payload, salt: new Uint8Array(15) }), WireError);
  assert.throws(() => encodePayload({ ...payload, bytes: new Uint8Array(MAX_PAYLOAD_BYTES + 1) }), WireError);
  assert.throws(() => decodePayload(new Uint8Array(15)), WireError);
  assert.throws(() => decodePayload(new Uint8Array(16 + MAX_PAYLOAD_BYTES + 1)), WireError);
});
