import assert from "node:assert/strict";
import { knownRules } from "./known_rules.ts";
import { matches, verdictsOf } from "./support.ts";

Deno.test("300 rules of a generator that knows the answers get the right verdicts, and match what they must", () => {
  const known = knownRules(7, 300);
  const verdicts = verdictsOf(Object.fromEntries(known.map(({ file, text }) => [file, text])));
  assert.equal(verdicts.length, known.length);
  const counts = { live: 0, partial: 0, unsupported: 0 };
  known.forEach(({ file, text, id, verdict, reason, line, match, noMatch }, i) => {
    const got = verdicts[i]!;
    assert.deepEqual([got.file, got.verdict], [file, verdict], `${text}\n${got.reasons[0]?.message}`);
    counts[verdict]++;
    if (reason !== undefined) {
      assert(got.reasons[0]!.reason.includes(reason), got.reasons[0]!.message);
      assert.equal(got.reasons[0]!.line, line, text);
    }
    if (verdict === "unsupported") return assert.equal(got.rule, null);
    assert.equal(got.id, id);
    assert.deepEqual(matches(got.rule!, [...match, ...noMatch]), [
      ...match.map(() => true),
      ...noMatch.map(() => false),
    ], text);
  });
  // The generator makes all of them, or the test proves nothing
  assert(counts.live > 100 && counts.partial > 20 && counts.unsupported > 80, JSON.stringify(counts));
});
