import assert from "node:assert/strict";
import fc from "fast-check";
import { printable } from "../../proto/printable.ts";

Deno.test("printable() writes out what could act on a terminal or hide from a reader", () => {
  assert.equal(printable("a\x1b[31mb\r\n\t\x07\x7f\x9b"), "a\\x1b[31mb\\r\\n\\t\\x07\\x7f\\x9b");
  assert.equal(printable("invoice\u202efdp.exe"), "invoice\\u202efdp.exe");
  assert.equal(printable("zero\u200bwidth\u2028line\ufeff"), "zero\\u200bwidth\\u2028line\\ufeff");
  assert.equal(printable("byte\udcff"), "byte\\xff");
  assert.equal(printable("grüße 日本語 🙂"), "grüße 日本語 🙂");
});

Deno.test("printable() leaves no control, format or surrogate character, whatever comes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 100 }), (text) => {
      assert.doesNotMatch(printable(text), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    }),
    { numRuns: 2_000 },
  );
});
