import assert from "node:assert/strict";
import fc from "fast-check";
import { crc32c, crc32cBehind, crc32cShift, crc32cShifted } from "../../proto/crc32c.ts";

/** Bit by bit, straight from the definition. */
function reference(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

Deno.test("crc32c() gives the published values", () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
  assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283); // the usual check value
  // RFC 3720, appendix B.4
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(ascending), 0x46dd794e);
  assert.equal(crc32c(ascending.toReversed()), 0x113fdb5c);
  assert.equal(crc32c(new Uint8Array(0)), 0);
});

Deno.test("crc32c() agrees with the definition at every length and alignment", () => {
  const bytes = Uint8Array.from({ length: 80 }, (_, i) => (i * 167 + 13) & 0xff);
  for (let begin = 0; begin < 9; begin++) {
    for (let end = begin; end <= bytes.length; end++) {
      const part = bytes.subarray(begin, end);
      assert.equal(crc32c(part), reference(part), `${begin} to ${end}`);
    }
  }
});

Deno.test("crc32cBehind() is the checksum behind other bytes, without looking at long ones again", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 5_000 }), fc.nat({ max: 2 ** 32 - 1 }), (bytes, before) => {
    const own = crc32c(bytes), joined = crc32c(bytes, before);
    assert.equal(crc32cBehind(before, bytes, own), joined);
    assert.equal(crc32cShifted(before, own, crc32cShift(bytes.length)), joined);
  }));
  for (const length of [1_023, 1_024, 65_535, 65_536, 1_048_576]) {
    const bytes = new Uint8Array(length).map((_, at) => at * 31 + (at >>> 7));
    assert.equal(crc32cBehind(0xdeadbeef, bytes, crc32c(bytes)), crc32c(bytes, 0xdeadbeef), String(length));
  }
});
