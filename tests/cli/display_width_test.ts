import assert from "node:assert/strict";
import fc from "fast-check";
import { displayWidth, fit, pad } from "../../cli/display_width.ts";

Deno.test("displayWidth() counts columns, not characters", () => {
  const expected: [string, number][] = [
    ["", 0],
    ["abc", 3],
    ["é", 1],
    ["e\u0301", 1],
    ["中文", 4],
    ["한국", 4],
    ["ｱ", 1],
    ["Ａ", 2],
    ["😀", 2],
    ["a\u0300\u0301\u0302", 1],
    ["─│└", 3],
    ["Ω", 1],
    ["𝒜", 1],
    ["𠀀", 2],
  ];
  for (const [text, width] of expected) assert.equal(displayWidth(text), width, JSON.stringify(text));
});

Deno.test("fit() never exceeds its columns, and leaves what fits", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), fc.integer({ min: 0, max: 40 }), (text, columns) => {
      const cut = fit(text, columns, "…");
      assert.ok(displayWidth(cut) <= Math.max(columns, 0), JSON.stringify([text, columns, cut]));
      if (displayWidth(text) <= columns) assert.equal(cut, text);
    }),
  );
  assert.equal(fit("中文中文", 5, "…"), "中文…");
  assert.equal(fit("中文中文", 6, "..."), "中...");
  assert.equal(fit("abcdef", 2, "..."), "..");
});

Deno.test("fit() of a text that is all combining marks ends soon and stays short", () => {
  const cut = fit("a" + "\u0301".repeat(1_000_000), 10, "…");
  assert.ok(cut.length < 1_000, `${cut.length} units are left`);
});

Deno.test("pad() fills to columns on either side", () => {
  assert.equal(pad("中", 4, "left"), "中  ");
  assert.equal(pad("中", 4, "right"), "  中");
  assert.equal(pad("long", 2, "left"), "long");
});
