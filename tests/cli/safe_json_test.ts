import assert from "node:assert/strict";
import fc from "fast-check";
import { rowsToJson, safeJson } from "../../cli/safe_json.ts";

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

Deno.test("safeJson() is JSON of the same value, with nothing in it that a terminal obeys", () => {
  fc.assert(fc.property(fc.jsonValue({ stringUnit: "binary" }), (value) => {
    const text = safeJson(value);
    assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
    assert.ok(!UNSAFE.test(text), text);
  }));
});

Deno.test("safeJson() escapes each character that could harm, and keeps what cannot", () => {
  const harmful = [
    "\x1b",
    "\x07",
    "\x7f",
    "\x9b",
    "\u2028",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\u061c",
    "\u{e0041}",
    "\udc80",
  ];
  for (const character of harmful) {
    const text = safeJson(`a${character}b`);
    assert.match(text, /^"a(\\u[0-9a-f]{4}|\\u[0-9a-f]{4}\\u[0-9a-f]{4})b"$/);
    assert.equal(JSON.parse(text), `a${character}b`);
  }
  assert.equal(safeJson('grün 中文 😀 "\\'), '"grün 中文 😀 \\"\\\\"');
});

Deno.test("safeJson() keeps the newlines of its own indent and escapes those of the data", () => {
  assert.equal(safeJson({ a: "x\ny" }, 2), '{\n  "a": "x\\ny"\n}');
});

Deno.test("rowsToJson() keeps integers beyond 2^53, infinities, bytes and hostile names exact", () => {
  const names = ["n", "big", "inf", "nan", "bytes", "__proto__", "x\x1b"];
  const text = rowsToJson(names)([1.5, 2n ** 60n, -Infinity, NaN, Uint8Array.of(0, 255), "p", null]);
  assert.equal(
    text,
    '{"n":1.5,"big":1152921504606846976,"inf":-1e999,"nan":null,"bytes":"00ff","__proto__":"p","x\\u001b":null}',
  );
  assert.equal(JSON.parse(text).inf, -Infinity);
  assert.ok(Object.hasOwn(JSON.parse(text), "__proto__"));
});
