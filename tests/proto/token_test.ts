import assert from "node:assert/strict";
import { parseToken } from "../../proto/token.ts";

Deno.test("parseToken() takes 64 hexadecimal digits and nothing else", () => {
  const token = "5a".repeat(32);
  assert.equal(parseToken(`${token}\n`, "/run/t"), token);
  for (const text of ["", token.slice(1), token + "0", token.toUpperCase(), `${token} ${token}`, "z".repeat(64)]) {
    assert.throws(() => parseToken(text, "/run/t"), /The token \/run\/t is not 64 hexadecimal digits/);
  }
});
