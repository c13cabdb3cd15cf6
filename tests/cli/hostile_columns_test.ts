/** Hostile text in every column of every table: no format breaks, and those for programs give it back exactly. */
import assert from "node:assert/strict";
import { CATALOG } from "../../proto/catalog.ts";
import type { Table } from "../../proto/tables/table.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, type Row, TestState } from "../support/test_store.ts";

const EVIL: readonly string[] = [
  ...["\x1b]0;owned\x07\x1b[2J", 'a"b,c\r\nd', "=cmd|' /C calc'!A0", "@SUM(1)", "\u202egnp.exe", "z\u200bw\u{e0041}"],
  ...[
    "\x9b31m\x7f",
    "line\u2028para\u2029",
    "'; DROP TABLE alerts; --",
    "NULL",
    "",
    " both ends ",
    "中文 e\u0301",
    "\\u001b\\",
  ],
];
/** What no text may bring to a terminal, nor break a line with. */
const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** As many rows as there are texts; each text stands in each column once. */
function hostileRows({ columns, key }: Table): Row[] {
  // The arguments are those of the command line, as in every row that a store makes.
  const commandLine = columns.findIndex(({ name }) => name === "command_line");
  return EVIL.map((_, i) =>
    Object.fromEntries(columns.map(({ name, type }, at) => {
      const text = EVIL[(i + (name === "argv" ? commandLine : at)) % EVIL.length]!;
      if (name === "argv") return [name, JSON.stringify([text])];
      if (type === "TEXT") return [name, key.includes(name) ? `${i} ${text}` : text];
      return [name, /(^|_)time$/.test(name) ? NOW - 1_000 : type === "REAL" ? i + 0.5 : i + 1_000];
    }))
  );
}

/** The cells of RFC 4180; what is nothing is `null`. */
function csvRows(text: string): (string | null)[][] {
  const rows: (string | null)[][] = [];
  let row: (string | null)[] = [];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    row.push(quoted?.replaceAll('""', '"') ?? (plain === "" ? null : plain!));
    if (end === ",") continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

function assertHarmless(out: string, what: string): void {
  for (const line of out.split(/\r?\n/)) assert.ok(!HARMFUL.test(line), `${what}: ${JSON.stringify(line)}`);
}

/** One object for each row, from which every text of the row can be had again, lone surrogates aside. */
async function assertReceivers(state: TestState, rows: readonly Row[]): Promise<void> {
  for (const format of ["ocsf", "ecs"]) {
    const { out } = await cli(state, ["export", "events", "-f", format]);
    assertHarmless(out, format);
    const lines = out.trimEnd().split("\n");
    assert.equal(lines.length, rows.length, format);
    const texts = new Set<unknown>();
    const collect = (value: unknown): void => {
      if (typeof value === "object" && value !== null) Object.values(value).forEach(collect);
      else texts.add(String(value));
    };
    for (const line of lines) collect(JSON.parse(line));
    for (const row of rows) {
      for (const [name, value] of Object.entries(row)) {
        // The severity is one of the schema's, and the arguments are a list
        if (typeof value !== "string" || name === "severity" || name === "argv") continue;
        assert.ok(texts.has(value), `${format} lacks ${name} ${JSON.stringify(value)}`);
      }
    }
  }
}

Deno.test("no format is harmed by hostile text, whatever the table and the column", async (t) => {
  using state = new TestState();
  const stored = new Map([...CATALOG.values()].map((table) => [table.name, hostileRows(table)]));
  for (const [name, rows] of stored) for (const row of rows) state.insert(name, row);
  const exported: Readonly<Record<string, string>> = { process_events: "events" };
  for (const table of CATALOG.values()) {
    const columns = table.columns.map(({ name }) => name), rows = stored.get(table.name)!;
    const order = (given: readonly Record<string, unknown>[]): string[] =>
      given.map((row) => JSON.stringify(row)).sort();
    const expected = order(rows.map((row) => Object.fromEntries(columns.map((name) => [name, row[name] ?? null]))));
    const lines = [["query", `SELECT * FROM ${table.name}`]];
    if (["process_events", "alerts", "gaps", "processes"].includes(table.name)) {
      lines.push(["export", exported[table.name] ?? table.name]);
    }
    for (const line of lines) {
      await t.step(line.join(" "), async () => {
        for (const format of ["json", "jsonl"]) {
          const { out } = await cli(state, [...line, "-f", format]);
          assertHarmless(out, format);
          const given = format === "json" ? JSON.parse(out) : out.trimEnd().split("\n").map((text) => JSON.parse(text));
          assert.deepEqual(order(given), expected, format);
        }
        const [head, ...cells] = csvRows((await cli(state, [...line, "-f", "csv"])).out);
        assert.deepEqual(head, columns);
        const texts = rows.map((row) => columns.map((name) => row[name] === null ? null : String(row[name])));
        assert.deepEqual(
          cells.map((row) => JSON.stringify(row)).sort(),
          texts.map((row) => JSON.stringify(row)).sort(),
        );
        const shown = line[0] === "query" ? ["table", "line", "csv"] : ["line", "csv"];
        for (const format of shown) {
          for (const width of [20, 80, 2_000]) {
            assertHarmless(
              (await cli(state, [...line, "-f", format], { columns: width })).out,
              `${format} at ${width}`,
            );
          }
        }
        if (line[0] === "query") assertHarmless((await cli(state, line)).out, "a table to no terminal");
        else if (line[1] === "events") await assertReceivers(state, rows);
      });
    }
  }
});
