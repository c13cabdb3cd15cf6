import assert from "node:assert/strict";
import { parseKey, parseToken } from "../../proto/token.ts";

Deno.test("parseToken() takes 64 hexadecimal digits and nothing else", () => {
  const token = "5a".repeat(32);
  assert.equal(parseToken(`${token}\n`, "/run/t"), token);
  for (const text of ["", token.slice(1), token + "0", token.toUpperCase(), `${token} ${token}`, "z".repeat(64)]) {
    assert.throws(() => parseToken(text, "/run/t"), /The token \/run\/t is not 64 hexadecimal digits/);
  }
});

Deno.test("parseKey() takes 64 hexadecimal digits as 32 bytes and nothing else", () => {
  const digits = "00ff5a".padEnd(64, "1");
  const key = parseKey(`${digits}\n`, "/k");
  assert.equal(key.length, 32);
  assert.deepEqual([...key.subarray(0, 4)], [0, 255, 0x5a, 0x11]);
  for (const text of ["", digits.slice(1), digits + "0", digits.toUpperCase(), "g".repeat(64)]) {
    assert.throws(() => parseKey(text, "/k"), /The key \/k is not 64 hexadecimal digits/);
  }
});
