// Coverage: which technique a rule counts for, and in which tactic; gaps; and a layer as MITRE's Navigator reads it.
import assert from "node:assert/strict";
import { TACTICS, techniqueName } from "../../../proto/rules/attack.ts";
import { coverageOf, navigatorLayer } from "../../../proto/rules/coverage.ts";

const rule = (id: string, tags: string, isSigma = false) => ({
  id,
  tags: tags.split(" ").filter((tag) => tag !== "").map((tag) => `attack.${tag}`),
  isSigma,
});

Deno.test("every technique of the table has a name, once, and ids that ATT&CK could have", () => {
  for (const { tag, id, techniques } of TACTICS) {
    assert.match(id, /^TA00\d\d$/);
    assert.deepEqual(techniques, [...new Set(techniques)].sort(), tag);
    for (const technique of techniques) assert.notEqual(techniqueName(technique), "", technique);
  }
});

Deno.test("a rule counts for its techniques in the tactics that it names, else in those that ATT&CK has for them", () => {
  const { tactics, untagged } = coverageOf([
    rule("named", "persistence t1053.003"),
    rule("bare", "t1053"),
    rule("sigma-rule", "credential-access t1003.008 t1003.007", true),
    rule("unknown", "impact t9999"),
    rule("tactic-alone", "discovery"),
    rule("none", ""),
  ]);
  const of = (
    tag: string,
    id: string,
  ): string[] => [
    ...tactics.find(({ tactic }) => tactic.tag === tag)!.techniques.find((each) => each.id === id)?.rules ?? [],
  ];
  assert.deepEqual(of("persistence", "T1053"), ["bare", "named"]);
  assert.deepEqual(of("execution", "T1053"), ["bare"]);
  assert.deepEqual(of("impact", "T9999"), ["unknown"]);
  assert.deepEqual(untagged, ["none"]);
  const dumping = tactics.find(({ tactic }) => tactic.tag === "credential_access")!;
  assert.deepEqual([dumping.rules, dumping.sigma, dumping.covered], [["sigma-rule"], 1, 1]);
  assert.equal(dumping.gaps, dumping.tactic.techniques.length - 1);
  assert.deepEqual([...dumping.techniques[0]!.parts], [["T1003.008", 1], ["T1003.007", 1]]);
  assert.deepEqual(tactics.find(({ tactic }) => tactic.tag === "discovery")!.rules, ["tactic-alone"]);
});

Deno.test("what happens elsewhere has no gaps, and does not stray into other tactics", () => {
  const { tactics } = coverageOf([rule("scan", "initial_access t1190 t1595.002")]);
  const [reconnaissance] = tactics, initial = tactics.find(({ tactic }) => tactic.tag === "initial_access")!;
  assert.deepEqual([reconnaissance!.gaps, reconnaissance!.techniques.map(({ id }) => id)], [0, ["T1595"]]);
  assert.deepEqual(initial.techniques.filter(({ rules }) => rules.length > 0).map(({ id }) => id), ["T1190"]);
});

Deno.test("navigatorLayer() is a layer of format 4.5, with a score for each technique and gaps as 0", () => {
  const layer = navigatorLayer(coverageOf([rule("dump", "credential_access t1003.008")]), "N");
  const { versions, domain, techniques, gradient } = layer as {
    versions: { layer: string };
    domain: string;
    techniques: { techniqueID: string; tactic: string; score: number; comment: string }[];
    gradient: { maxValue: number };
  };
  assert.deepEqual([versions.layer, domain, gradient.maxValue], ["4.5", "enterprise-attack", 1]);
  const of = (id: string) =>
    techniques.filter((each) => each.techniqueID === id).map(({ tactic, score }) => [tactic, score]);
  assert.deepEqual(of("T1003"), [["credential-access", 1]]);
  assert.deepEqual(of("T1003.008"), [["credential-access", 1]]);
  assert.deepEqual(of("T1053"), [["execution", 0], ["persistence", 0], ["privilege-escalation", 0]]);
  assert.equal(techniques.find(({ techniqueID }) => techniqueID === "T1003")!.comment, "dump");
});
