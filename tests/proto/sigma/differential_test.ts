// The differential test of Sigma: what rules of the whole grammar mean to a naive oracle, to the predicate and to SQLite.
import assert from "node:assert/strict";
import { MODIFIERS } from "../../../proto/sigma/modifiers.ts";
import { judgeSigmaChunk, noTotals, RULES_OF_CHUNK, sigmaOf } from "../rules/differential.ts";

/** `deno task test:differential --sigma` judges as many pairs as one likes. */
const CHUNKS = 12;

Deno.test("rules of Sigma mean what the specification says, to the predicate, to its terms and to SQLite", () => {
  const totals = noTotals(), seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  for (let chunk = 0; chunk < CHUNKS; chunk++) judgeSigmaChunk(seed, chunk, totals);
  const [first] = totals.differences;
  const command = `deno task test:differential --sigma --seed ${seed} --rule ${first?.rule} --row ${first?.row}`;
  assert.equal(first, undefined, first && `${command}\n${first.sql}\n${JSON.stringify(first.answers)}`);
  assert.equal(totals.rules, CHUNKS * RULES_OF_CHUNK);
  assert(totals.byOracle > 10_000 && totals.matches > 1_000 && totals.ruledOut > 1_000, JSON.stringify(totals));
  assert([...totals.verdicts.keys()].length === 3, "live, partial and unsupported rules are made");
});

Deno.test("the rules of the differential test have every modifier, and every form of a value and a condition", () => {
  const text = Array.from({ length: 2_000 }, (_, i) => sigmaOf(1, i)).join("");
  assert.deepEqual(Object.keys(MODIFIERS).filter((name) => !new RegExp(`\\|${name}[|:']`).test(text)), []);
  const forms = {
    "a keyword": /^ {4}\w+:\n {8}- '/m,
    "keywords with a modifier": /^ {8}'\|all':/m,
    "a list of maps": /^ {8}- \w+[|:].*\n {10}\w/m,
    "a list of values": /: \[.*, .*\]$/m,
    "null": /: (null|\[null, a\])$/m,
    "an empty text": /: ''$/m,
    "a number": /: -?[0-9]+$/m,
    "a text where a number is": /ProcessId: '/,
    "wildcards": /: '[^']*[^\\'][*?]/,
    "escaped wildcards": /\\[*?\\]/,
    "a field of no column": /Nowhere/,
    "1 of": /1 of /,
    "any of": /any of /,
    "all of": /all of /,
    "N of": /2 of /,
    "them": /of them/,
    "a pattern": /of \w*\*/,
    "not within not": /not not|not \(+not/i,
    "parentheses": /\(\w+ (and|or) /,
    "or and and without parentheses": /condition: [^(\n]* or [^(\n]* and /m,
    "an operator in capitals": / (AND|OR) |NOT /,
    "a list of conditions": /condition: \[/,
  };
  assert.deepEqual(Object.entries(forms).filter(([, form]) => !form.test(text)).map(([name]) => name), []);
});
