/** Pages are put together so that nothing of a value becomes markup, and no data ends the block that it stands in. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { embeddedJson, escaped, markup, trusted, verbatim } from "../../../cli/report/html.ts";

Deno.test("markup escapes every value that is not a piece of it", () => {
  const evil = `</td><script>alert(1)</script>"'\``;
  assert.equal(
    markup`<td title="${evil}">${evil}${["<b>", markup`<i>${"<"}</i>`]}${null}${7}</td>`.text,
    `<td title="${escaped(evil)}">${escaped(evil)}&lt;b&gt;<i>&lt;</i>7</td>`,
  );
  assert.doesNotMatch(escaped(evil), /[<>"'`]/);
  assert.equal(markup`${trusted("<br>")}`.text, "<br>");
});

Deno.test("escaped() shows what turns or hides text", () => {
  assert.equal(escaped("a\u202eb\x1b[31m\u0000\u2028\udc80"), "a\\u202eb\\x1b[31m\\x00\\u2028\\x80");
  assert.equal(verbatim("a\n<b>\r").text, "a\n&lt;b&gt;\\r");
});

Deno.test("embeddedJson() reads back as it was made visible, and holds nothing that a parser of HTML looks at", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
      const { text: json } = embeddedJson({ [text]: text, list: [`</script>${text}<!--`] });
      assert.doesNotMatch(json, /[<>&\u2028\u2029]/);
      const read = JSON.parse(json);
      assert.deepEqual(read.list.length, 1);
      assert.equal(read.list[0], JSON.parse(embeddedJson(`</script>${text}<!--`).text));
      assert.doesNotMatch(read.list[0], /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    }),
    { numRuns: 40 },
  );
});
