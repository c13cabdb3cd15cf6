import assert from "node:assert/strict";
import { certainTexts, compileRegex, MAX_PROGRAM, MAX_STEPS, RegexError } from "../../../proto/rules/regex.ts";
import { Random } from "../../fuzz/random.ts";

Deno.test("compileRegex() finds anywhere in a text, with case unless (?i) is there", () => {
  assert.equal(compileRegex("b+c").test("aabbcc"), true);
  assert.equal(compileRegex("^b").test("ab"), false);
  assert.equal(compileRegex("SH").test("sh"), false);
  assert.equal(compileRegex("(?i)SH").test("bash"), true);
  assert.equal(compileRegex("^.$").test("😀"), true);
  assert.equal(compileRegex("").test(""), true);
});

Deno.test("compileRegex() bounds patterns, and texts by what the pattern costs", () => {
  const refuses = (pattern: string, reason: RegExp) =>
    assert.throws(() => compileRegex(pattern), (error) => error instanceof RegexError && reason.test(error.message));
  refuses("a".repeat(1_048_576), /1048576 characters/);
  refuses("(?=a)", /look-around/);
  refuses("(?<=a)b", /look-around/);
  refuses("(?!a)b", /look-around/);
  refuses("(a)\\1", /back references/);
  refuses("((a{30}){30}){30}", /repeat/);
  refuses(`${"(.{0,100})".repeat(20)}`, /repeats too much/);
  refuses("a**", /not understood/);
  refuses("[b-a]", /not understood/);
  refuses("a\\", /not understood/);
  // The document's patterns to refuse: bounded, since nothing backtracks
  for (const pattern of ["(a+)+$", "^(.*,){100,}.*$", "(a|a)*c", "(a*)*b", "(.*)*x"]) {
    assert.equal(compileRegex(pattern).test(`${"a".repeat(20_000)}!`), false, pattern);
  }
  const costly = compileRegex(`(${".{9}".repeat(90)}){1}x`);
  assert.equal(costly.test("a".repeat(Math.floor(MAX_STEPS / MAX_PROGRAM))), false);
  assert.equal(costly.test("a".repeat(MAX_STEPS / 512)), null);
});

Deno.test("a pattern that multiplies the states of an automaton takes no more memory with every text", () => {
  const regex = compileRegex("(a|b)*a(a|b){12}c");
  const random = new Random(7, 7);
  for (let i = 0; i < 300; i++) {
    const text = Array.from({ length: 400 }, () => random.pick(["a", "b"])).join("");
    assert.equal(regex.test(text), false);
    assert.equal(regex.test(text.slice(0, 20) + "a" + text.slice(0, 12) + "c"), true);
  }
});

// An engine of another kind, on what both languages have.
Deno.test("compileRegex() answers as the runtime's regular expressions do", () => {
  const random = new Random(11, 3), atoms = ["a", "b", "ab", ".", "[ab]", "[^a]", "\\d", "\\w", "\\b", "^", "$", "1"];
  const make = (size: number): string => {
    let pattern = "";
    for (let parts = random.below(3); parts >= 0; parts--) {
      const atom = size > 0 && random.oneIn(3) ? `(${make(size - 1)})` : random.pick(atoms);
      const bare = atom === "^" || atom === "$" || atom === "\\b";
      pattern += atom + (bare ? "" : random.pick(["", "", "*", "+", "?", "*?", "{2}", "{0,2}"]));
      if (random.oneIn(6)) pattern += "|";
    }
    return pattern;
  };
  let found = 0;
  for (let i = 0; i < 3_000; i++) {
    const pattern = make(2), ours = compileRegex(pattern), theirs = new RegExp(pattern, "u");
    for (let j = 0; j < 4; j++) {
      const text = Array.from({ length: random.below(8) }, () => random.pick(["a", "b", "1", " ", "A"])).join("");
      assert.equal(ours.test(text), theirs.test(text), `${pattern} in ${JSON.stringify(text)}`);
      found += Number(theirs.test(text));
    }
  }
  assert(found > 1_000 && found < 11_500);
});

Deno.test("certainTexts() gives texts that whatever matches contains", () => {
  assert.deepEqual(certainTexts("curl.*\\|\\s*(ba)?sh"), ["curl", "|", "sh"]);
  assert.deepEqual(certainTexts("^/tmp/[a-z]+\\.sh$"), ["/tmp/", ".sh"]);
  assert.deepEqual(certainTexts("abc?d+e{2}f{0,3}g*h"), ["ab", "d", "h"]);
  assert.deepEqual(certainTexts("(?i)task"), ["ta"]);
  for (const none of ["a|b", "\\Qa.b\\E", "\\x61bc", "(a(b)", "[[:alpha:]]x", "a(\\Q)\\E|b"]) {
    assert.deepEqual(certainTexts(none), [], none);
  }
});
