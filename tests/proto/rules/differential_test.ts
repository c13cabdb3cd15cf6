import assert from "node:assert/strict";
import { FORM_FUNCTIONS } from "../../../proto/rules/sql_functions.ts";
import { judgeChunk, noTotals, RULES_OF_CHUNK } from "./differential.ts";

/** `deno task test:differential` judges as many pairs as one likes; it prints how to judge one alone. */
const CHUNKS = 16;

Deno.test("predicates, terms and SQL made from forms answer as SQLite does to the rule as it is written", () => {
  const totals = noTotals(), seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  for (let chunk = 0; chunk < CHUNKS; chunk++) judgeChunk(seed, chunk, totals);
  const [first] = totals.differences;
  const command = `deno task test:differential --seed ${seed} --rule ${first?.rule} --row ${first?.row}`;
  assert.equal(first, undefined, first && `${command}\n${first.sql}\n${JSON.stringify(first.answers)}`);
  assert.equal(totals.rules, CHUNKS * RULES_OF_CHUNK);
  assert(totals.pairs > 20_000 && totals.matches > 1_000 && totals.ruledOut > 1_000, JSON.stringify(totals));
});

Deno.test("the rules of the differential test have every operator, function and kind of node", () => {
  const totals = noTotals();
  for (let chunk = 0; chunk < 2 * CHUNKS; chunk++) judgeChunk(1, chunk, totals);
  assert.deepEqual(totals.differences, []);
  const missing = [
    ..."literal,column,and,or,not,compare,between,in,truth,null,match,arithmetic,unary,case,cast,call".split(","),
    ..."=,<>,<,<=,>,>=,IS,IS NOT".split(",").map((operator) => `compare ${operator}`),
    ..."+,-,*,/,%,&,|,<<,>>,||".split(",").map((operator) => `arithmetic ${operator}`),
    ...["unary -", "unary ~", "unary +"],
    ..."TEXT,INTEGER,REAL,NUMERIC".split(",").map((type) => `cast ${type}`),
    ...FORM_FUNCTIONS.map((name) => `${name}()`),
  ].filter((what) => !totals.seen.has(what));
  assert.deepEqual(missing, []);
});
