import assert from "node:assert/strict";
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

Deno.test("the rules of the differential test have every modifier", () => {
  const text = Array.from({ length: 2_000 }, (_, i) => sigmaOf(1, i)).join("");
  const names =
    "contains,startswith,endswith,all,exists,cased,neq,windash,re,i,m,s,base64,base64offset,wide,utf16be,cidr,fieldref," +
    "lt,lte,gt,gte,minute,hour,day,week,month";
  assert.deepEqual(names.split(",").filter((name) => !text.includes(`|${name}`)), []);
});
