import assert from "node:assert/strict";
import { crc32c } from "../../proto/crc32c.ts";

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
