import assert from "node:assert/strict";
import { Candidates, LiteralAutomaton } from "../../../proto/rules/literal_automaton.ts";
import { asciiLower } from "../../../proto/rules/predicate.ts";
import { Random } from "../../fuzz/random.ts";

function found(automaton: LiteralAutomaton, ids: number, text: string): number[] {
  const candidates = new Candidates(ids);
  candidates.clear();
  automaton.scan(text, candidates);
  return [...candidates.ids.subarray(0, candidates.count)].sort((a, b) => a - b);
}

Deno.test("LiteralAutomaton finds texts within texts, at ends of others, and in any case", () => {
  const automaton = new LiteralAutomaton(
    new Map([["she", [0]], ["he", [1]], ["hers", [2]], ["his", [3, 4]], ["/é", [5]]]),
  );
  assert.deepEqual(found(automaton, 6, "uSHErs"), [0, 1, 2]);
  assert.deepEqual(found(automaton, 6, "this"), [3, 4]);
  assert.deepEqual(found(automaton, 6, "h-e"), []);
  assert.deepEqual(found(automaton, 6, ""), []);
  assert(found(automaton, 6, "x/é").includes(5));
});

Deno.test("LiteralAutomaton finds exactly what a search for each text finds, in thousands of texts", () => {
  // More states than have rows, so that both kinds of states are walked, and texts that share starts and ends
  const random = new Random(11), letters = "abcde/-. x";
  const word = (most: number): string => {
    return Array.from({ length: 1 + random.below(most) }, () => random.pick([...letters])).join("");
  };
  const texts = new Map<string, number[]>();
  for (let id = 0; id < 4_000; id++) {
    const text = word(9), ids = texts.get(text);
    if (ids === undefined) texts.set(text, [id]);
    else ids.push(id);
  }
  const automaton = new LiteralAutomaton(texts);
  assert(automaton.bytes < 1_000_000, String(automaton.bytes));
  for (let i = 0; i < 300; i++) {
    const text = random.oneIn(2) ? word(60) : word(60).toUpperCase();
    const expected = [...texts].filter(([each]) => asciiLower(text).includes(each)).flatMap(([, ids]) => ids);
    assert.deepEqual(found(automaton, 4_000, text), expected.sort((a, b) => a - b), text);
  }
});
