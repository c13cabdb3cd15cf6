import assert from "node:assert/strict";
import { type Cell, csvCell, type Format, openOutput } from "../../cli/output.ts";
import { PLAIN_MARKS } from "../../cli/screen.ts";

function output(format: Format, rows: Cell[][], columns: number | null = null): string {
  let out = "";
  const names = ["id", "text"];
  const rowsOut = openOutput(format, names, names.map((name) => ({ name, title: name.toUpperCase() })), {
    columns,
    color: false,
    marks: PLAIN_MARKS,
  }, (text) => out += text);
  for (const row of rows) rowsOut.add(row);
  rowsOut.end();
  return out;
}

Deno.test("openOutput() writes one JSON array, also of nothing", () => {
  assert.equal(output("json", []), "[]\n");
  assert.deepEqual(JSON.parse(output("json", [[1, "a\nb"], [2, null]])), [{ id: 1, text: "a\nb" }, {
    id: 2,
    text: null,
  }]);
});

Deno.test("openOutput() writes one JSON object a line", () => {
  assert.equal(output("jsonl", [[1, "a\nb"], [2, null]]), '{"id":1,"text":"a\\nb"}\n{"id":2,"text":null}\n');
});

Deno.test("openOutput() writes CSV of RFC 4180, exact where the output is no terminal", () => {
  assert.equal(
    output("csv", [[1, 'say "hi", you'], [2, "a\r\nb"], [3, null], [4, ""], [5, "=1+1"], [6, "\x1b[0m"]]),
    'id,text\r\n1,"say ""hi"", you"\r\n2,"a\r\nb"\r\n3,\r\n4,""\r\n5,=1+1\r\n6,\x1b[0m\r\n',
  );
});

Deno.test("openOutput() lets no control character of a CSV cell reach a terminal", () => {
  assert.equal(output("csv", [[6, "\x1b[0m"]], 80), "id,text\r\n6,\\x1b[0m\r\n");
});

Deno.test("openOutput() shows a table with NULL apart from text", () => {
  assert.equal(output("table", [[1, null], [20, "x"]]), "ID  TEXT\n--  ----\n 1  -\n20  x\n");
});

Deno.test("csvCell() quotes what a reader would otherwise change", () => {
  assert.deepEqual(
    [1n, 1.5, " lead", "trail ", "plain", Uint8Array.of(1, 254)].map(csvCell),
    ["1", "1.5", '" lead"', '"trail "', "plain", "01fe"],
  );
});
