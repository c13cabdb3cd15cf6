import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { tableNamed } from "../../../proto/catalog.ts";
import { columnPlaces } from "../../../proto/event_row.ts";
import { ANY, asciiLower, type Form, ONE, type Pattern } from "../../../proto/rules/predicate.ts";
import { compilePredicate } from "../../../proto/rules/predicate_js.ts";
import { RowView } from "../../../proto/rules/row_view.ts";
import { formSql } from "../../../proto/rules/predicate_sql.ts";
import { furtherTerms, requiredTerms } from "../../../proto/rules/required_terms.ts";
import { StreamIndex } from "../../../proto/rules/stream_index.ts";
import { Random } from "../../fuzz/random.ts";
import { randomRow } from "./random_where.ts";
import { createTable } from "./store_like.ts";

const NAME = columnPlaces("process_events").get("name")!;
const PIECES = [
  "sh",
  "Bash",
  "a",
  "A",
  "é",
  "É",
  "ſ",
  "K",
  "😀",
  "\ufffd",
  "*",
  "?",
  "[",
  "]",
  "[a]",
  "%",
  "_",
  "\\",
  "'",
  " ",
];

/** What no SQL of a rule says, and other front ends will: sets of patterns, with and without folding, and NOT of them. */
function randomMatch(random: Random): Form {
  const folded = random.oneIn(2);
  const patterns = Array.from({ length: 1 + random.below(12) }, (): Pattern => {
    const parts: (string | typeof ANY | typeof ONE)[] = [];
    for (let more = random.below(5); more > 0; more--) {
      const part = random.oneIn(2) ? random.pick([ANY, ANY, ONE] as const) : random.pick(PIECES);
      if (part === ANY && parts.at(-1) === ANY) continue;
      const text = typeof part === "string" && folded ? asciiLower(part) : part;
      if (typeof text === "string" && typeof parts.at(-1) === "string") parts.push(`${parts.pop()}${text}`);
      else parts.push(text);
    }
    return parts;
  });
  const match: Form = { kind: "match", item: { kind: "column", place: NAME }, patterns, folded };
  return random.oneIn(3) ? { kind: "truth", item: match, wanted: true, negated: true } : match;
}

Deno.test("sets of patterns answer as LIKE and GLOB do, folded or not", () => {
  const random = new Random(5), table = tableNamed("process_events");
  const rows = Array.from({ length: 300 }, (_, i) => {
    const row = randomRow(random, i);
    if (random.oneIn(2)) {
      row[NAME] = random.pick(PIECES) + random.pick(PIECES) + (random.oneIn(2) ? random.pick(PIECES) : "");
    }
    return row;
  });
  using db = new DatabaseSync(":memory:");
  db.exec(createTable(table));
  const insert = db.prepare(`INSERT INTO process_events VALUES (${table.columns.map(() => "?").join(", ")})`);
  for (const row of rows) insert.run(...row);
  let matches = 0, ruledOut = 0;
  for (let i = 0; i < 600; i++) {
    const form = randomMatch(random),
      predicate = compilePredicate(form),
      index = new StreamIndex([requiredTerms(form)], [furtherTerms(form)]);
    const statement = db.prepare(`SELECT event_id FROM process_events WHERE ${formSql(form, "process_events")}`);
    const expected = new Set([...statement.iterate()].map((found) => found["event_id"] as number));
    const view = new RowView([NAME]);
    rows.forEach((row, at) => {
      view.load(row);
      assert.equal(predicate(view), expected.has(at), `${JSON.stringify(form)} on ${JSON.stringify(row[NAME])}`);
      const candidate = index.always.length + index.find(view.cells).count > 0;
      assert(candidate || !expected.has(at), `${JSON.stringify(form)} rules out ${JSON.stringify(row[NAME])}`);
      if (!candidate) ruledOut++;
    });
    matches += expected.size;
  }
  assert(matches > 10_000 && ruledOut > 1_000, `${matches} matches, ${ruledOut} ruled out`);
});
