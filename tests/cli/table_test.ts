import assert from "node:assert/strict";
import fc from "fast-check";
import { displayWidth } from "../../cli/display_width.ts";
import { BOX_MARKS, PLAIN_MARKS, type Screen } from "../../cli/screen.ts";
import { layOut, Table } from "../../cli/table.ts";

function screen(columns: number | null, color = false): Screen {
  return { columns, color, marks: PLAIN_MARKS };
}

function draw(titles: string[], rows: string[][], on: Screen, keep: number[] = []): string {
  let out = "";
  const table = new Table(titles.map((title, i) => ({ title, keep: keep.includes(i) })), on, (text) => out += text);
  for (const row of rows) table.add(row.map((text) => ({ text })));
  table.end();
  return out;
}

Deno.test("Table aligns wide and combining characters by the columns that they take", () => {
  assert.equal(
    draw(["A", "B"], [["中文", "x"], ["e\u0301", "y"]], screen(null)),
    "A     B\n----  -\n中文  x\ne\u0301     y\n",
  );
});

Deno.test("Table puts numbers on the right, and a column with other text on the left", () => {
  let out = "";
  const table = new Table([{ title: "N" }, { title: "MIXED" }], screen(null), (text) => out += text);
  table.add([{ text: "1", number: true }, { text: "1", number: true }]);
  table.add([{ text: "200", number: true }, { text: "many", number: false }]);
  table.add([{ text: "-", style: "null" }, { text: "7", number: true }]);
  table.end();
  assert.equal(out, "  N  MIXED\n---  -----\n  1  1\n200  many\n  -  7\n");
});

Deno.test("Table shows its head also without rows", () => {
  assert.equal(draw(["PID", "NAME"], [], screen(80)), "PID  NAME\n---  ----\n");
});

Deno.test("Table never writes a line wider than the terminal nor a control character, whatever its cells hold", () => {
  const cell = fc.oneof(
    fc.string({ unit: "binary", maxLength: 80 }),
    fc.constantFrom("\x1b[2J", "a\nb", "\u202e", "中".repeat(60)),
  );
  fc.assert(fc.property(
    fc.array(fc.array(cell, { minLength: 3, maxLength: 3 }), { maxLength: 6 }),
    fc.integer({ min: 30, max: 120 }),
    fc.boolean(),
    (rows, columns, plain) => {
      const out = draw(["ONE", "TWO", "THREE"], rows, {
        columns,
        color: false,
        marks: plain ? PLAIN_MARKS : BOX_MARKS,
      });
      for (const line of out.split("\n")) {
        assert.ok(displayWidth(line) <= columns, `${displayWidth(line)} > ${columns}: ${JSON.stringify(line)}`);
        assert.ok(!/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(line), JSON.stringify(line));
      }
    },
  ));
});

Deno.test("Table cuts nothing where the output is no terminal", () => {
  const long = "x".repeat(5_000);
  assert.ok(draw(["A"], [[long]], screen(null)).includes(long));
});

Deno.test("Table becomes records when its columns do not fit beside each other", () => {
  const titles = Array.from({ length: 12 }, (_, i) => `column_${i}`);
  const out = draw(titles, [titles.map((_, i) => `value ${i}`)], screen(60));
  assert.match(out, /^--- 1 -+\ncolumn_0 {3}value 0\n/);
  assert.equal(out.split("\n").length, 14);
});

Deno.test("Table colours a cell without changing where the next one stands", () => {
  let out = "";
  const table = new Table([{ title: "S" }, { title: "T" }], screen(40, true), (text) => out += text);
  table.add([{ text: "high", style: "bad" }, { text: "x" }]);
  table.end();
  assert.ok(out.includes("\x1b[31mhigh\x1b[0m  x"), JSON.stringify(out));
});

Deno.test("Table lays out what is too much for memory in blocks, every row once", () => {
  let lines = 0, most = 0;
  const table = new Table([{ title: "A" }, { title: "B" }], screen(null), (text) => {
    lines += 1;
    most = Math.max(most, text.length);
  });
  for (let i = 0; i < 5_000; i++) table.add([{ text: String(i) }, { text: "y".repeat(4_096) }]);
  table.end();
  assert.equal(lines, 5_002);
  assert.ok(most < 5_000);
});

Deno.test("layOut() takes from the widest columns that may give, to exactly the screen's width", () => {
  const columns = [{ title: "A", keep: true }, { title: "B" }, { title: "C" }];
  const widths = (natural: number[], screen: number | null) => layOut(natural, columns, screen)?.widths ?? null;
  assert.deepEqual(widths([10, 10, 10], null), [10, 10, 10]);
  assert.deepEqual(widths([10, 10, 10], 34), [10, 10, 10]);
  assert.deepEqual(widths([24, 50, 200], 100), [24, 36, 36]);
  assert.deepEqual(widths([24, 10, 200], 101), [24, 10, 63]);
  assert.equal(widths([90, 50, 50], 100), null);
});

Deno.test("layOut() leaves out optional columns, the lowest number first, before it gives up", () => {
  const columns = [
    { title: "A", keep: true },
    { title: "B", keep: true, optional: 2 },
    { title: "C", keep: true, optional: 1 },
    { title: "D", least: 24 },
  ];
  const natural = [10, 20, 20, 100];
  assert.deepEqual(layOut(natural, columns, 80), { shown: [0, 1, 2, 3], widths: [10, 20, 20, 24] });
  assert.deepEqual(layOut(natural, columns, 79), { shown: [0, 1, 3], widths: [10, 20, 45] });
  assert.deepEqual(layOut(natural, columns, 40), { shown: [0, 3], widths: [10, 28] });
  assert.equal(layOut(natural, columns, 30), null);
});
