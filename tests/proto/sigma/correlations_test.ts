// Correlations: the specification's page on them, each type with what it finds and what not, and what can be wrong.
import assert from "node:assert/strict";
import { runRuleTests } from "../../../proto/rules/rule_tests.ts";
import { verdictsOf } from "./support.ts";

const rule = (name: string, word: string, more = ""): string =>
  `---\ntitle: ${name}\nid: 00000000-0000-4000-8000-0000000000${word}\nname: ${name}\nlogsource:\n    category: process_creation\n` +
  `    product: linux\ndetection:\n    s:\n        CommandLine|startswith: ${word}\n    condition: s\nlevel: informational\n${more}`;
const RULES = rule("first", "aa") + rule("second", "bb") + rule("third", "cc");

/** A correlation; its body is indented by four. */
const correlation = (body: string, more = ""): string =>
  `---\ntitle: Correlated\nid: 0e95725d-7320-415d-80f7-004da920fc11\ncorrelation:\n${
    body.trim().split("\n").map((line) => `    ${line}`).join("\n")
  }\nlevel: high\n${more}`;

type Step = [time: string, command: string, user?: string, more?: string];

/** The tests of a correlation: sequences that it must find, and that it must not. */
function tests(match: readonly Step[][], noMatch: readonly Step[][]): string {
  const rows = (steps: readonly Step[]): string =>
    steps.map(([time, command, user = "bob", more = ""], i) =>
      `${
        i === 0 ? "            - " : "              "
      }- { time: ${time}, command_line: ${command}, user_name: ${user}${more} }\n`
    ).join("");
  return `daemoneye:\n    tests:\n        match:\n${match.map(rows).join("")}        no_match:\n${
    noMatch.map(rows).join("")
  }`;
}

/** The correlation of a file is live and finds exactly what it must. */
function finds(body: string, match: readonly Step[][], noMatch: readonly Step[][], rules = RULES): void {
  const verdict = verdictsOf({ "f.yml": rules + correlation(body, tests(match, noMatch)) }).at(-1)!;
  assert.deepEqual(verdict.reasons.map(({ message }) => message), [], body);
  assert.equal(verdict.verdict, "live");
  const results = runRuleTests(verdict.rule!);
  assert.equal(results.length, match.length + noMatch.length);
  for (const [i, { got, expected, fault }] of results.entries()) {
    assert.equal(got, expected, `${body}\nsequence ${i}: ${fault}`);
  }
}

function refuses(body: string, reason: RegExp, line?: number, rules = RULES): void {
  const verdict = verdictsOf({ "f.yml": rules + correlation(body) }).at(-1)!;
  assert.equal(verdict.verdict, "unsupported", body);
  assert.match(verdict.reasons[0]!.reason, reason);
  if (line !== undefined) assert.equal(verdict.line, rules.split("\n").length - 1 + 4 + line, body);
}

const GROUP = "rules:\n    - first\ngroup-by:\n    - User\ntimespan: 1m\n";

Deno.test("event_count counts events of a group within the time", () => {
  finds(`type: event_count\n${GROUP}condition:\n    gte: 3`, [
    [["0s", "aa1"], ["10s", "aa2"], ["20s", "aa3"]],
    [["0s", "aa1"], ["50s", "aa2"], ["70s", "aa3"], ["80s", "aa3"]],
  ], [
    [["0s", "aa1"], ["10s", "aa2"], ["61s", "aa3"]],
    [["0s", "aa1"], ["10s", "aa2"], ["20s", "aa3", "eve"]],
    [["0s", "aa1"], ["10s", "aa2"], ["20s", "bb3"]],
  ]);
  finds(`type: event_count\n${GROUP}condition:\n    gt: 1\n    lte: 2`, [[["0s", "aa"], ["1s", "aa"]]], [[[
    "0s",
    "aa",
  ]]]);
  finds(`type: event_count\n${GROUP}condition:\n    eq: 2`, [[["0s", "aa"], ["1s", "aa"]]], [[["0s", "aa"]]]);
});

Deno.test("a rule is called by its id too, and several count together", () => {
  const body =
    "type: event_count\nrules: [00000000-0000-4000-8000-0000000000aa, second]\ngroup-by: [User]\ntimespan: 1m\ncondition:\n    gte: 2";
  finds(body, [[["0s", "aa"], ["1s", "bb"]]], [[["0s", "aa"], ["1s", "cc"]]]);
});

Deno.test("value_count counts different values of a field", () => {
  finds(`type: value_count\n${GROUP}condition:\n    field: CommandLine\n    gte: 3`, [
    [["0s", "aa1"], ["1s", "aa2"], ["2s", "aa3"]],
  ], [[["0s", "aa1"], ["1s", "aa2"], ["2s", "aa2"]], [["0s", "aa1"], ["1s", "aa2"], ["2s", "aa3", "eve"]]]);
});

Deno.test("value_sum, value_avg and value_percentile compute of a field of numbers", () => {
  const memory = (bytes: number): string => `, memory_usage: ${bytes}`;
  const rows = (...bytes: number[]): Step[] => bytes.map((each, i) => [`${i}s`, "aa", "bob", memory(each)]);
  finds(`type: value_sum\n${GROUP}condition:\n    field: memory_usage\n    gt: 100`, [rows(60, 60)], [rows(60, 40)]);
  finds(`type: value_avg\n${GROUP}condition:\n    field: memory_usage\n    gte: 50`, [rows(10, 90)], [rows(10, 80)]);
  finds(
    `type: value_percentile\n${GROUP}condition:\n    field: memory_usage\n    percentile: 50\n    gte: 50`,
    [rows(10, 50, 90)],
    [rows(10, 40, 49)],
  );
});

const SEQUENCE = "rules:\n    - first\n    - second\n    - third\ngroup-by:\n    - User\ntimespan: 5m\n";

Deno.test("temporal wants all rules in any order, temporal_ordered in theirs", () => {
  finds(`type: temporal\n${SEQUENCE}`, [
    [["0s", "aa"], ["1s", "bb"], ["2s", "cc"]],
    [["0s", "cc"], ["1m", "aa"], ["4m", "bb"]],
  ], [
    [["0s", "aa"], ["1s", "bb"]],
    [["0s", "aa"], ["1s", "bb"], ["301s", "cc"]],
    [["0s", "aa"], ["1s", "bb", "eve"], ["2s", "cc"]],
  ]);
  finds(`type: temporal_ordered\n${SEQUENCE}`, [[["0s", "aa"], ["1s", "bb"], ["2s", "cc"]]], [
    [["0s", "cc"], ["1s", "bb"], ["2s", "aa"]],
    [["0s", "aa"], ["1s", "cc"], ["2s", "bb"]],
  ]);
});

Deno.test("temporal takes a count of rules, or an expression over them", () => {
  finds(`type: temporal\n${SEQUENCE}condition:\n    gte: 2`, [[["0s", "cc"], ["1s", "aa"]]], [[["0s", "cc"], [
    "1s",
    "cc",
  ]]]);
  finds(`type: temporal\n${SEQUENCE}condition: first and (second or third)`, [
    [["0s", "aa"], ["1s", "cc"]],
    [["0s", "bb"], ["1s", "aa"]],
  ], [[["0s", "bb"], ["1s", "cc"]]]);
  finds(`type: temporal\n${SEQUENCE}condition: second and not first`, [[["0s", "bb"]]], [[["0s", "aa"], ["1s", "bb"]]]);
  finds(`type: temporal\n${SEQUENCE}condition: 2 of them`, [[["0s", "cc"], ["1s", "aa"]]], [[["0s", "cc"]]]);
});

Deno.test("aliases name a value that stands in different fields of the rules", () => {
  const body =
    "type: temporal\nrules: [first, second]\ngroup-by: [who]\ntimespan: 1m\naliases:\n    who:\n        first: User\n" +
    "        second: effective_user_name";
  finds(body, [[["0s", "aa", "bob"], ["1s", "bb", "x", ", effective_user_name: bob"]]], [[["0s", "aa", "bob"], [
    "1s",
    "bb",
    "bob",
  ]]]);
});

Deno.test("a correlation may be a rule of another: many failures and then a success", () => {
  const many =
    "---\ntitle: Many\nname: many\nid: 0e95725d-7320-415d-80f7-004da920fc12\ncorrelation:\n    type: event_count\n" +
    "    rules: [first]\n    group-by: [User, ParentImage]\n    timespan: 1m\n    condition:\n        gte: 3\n";
  finds("type: temporal_ordered\nrules: [many, second]\ngroup-by: [User]\ntimespan: 5m", [
    [["0s", "aa"], ["1s", "aa"], ["2s", "aa"], ["3s", "bb"]].map((
      [time, command],
    ) => [time!, command!, "bob", ", parent_executable_path: /p"]),
  ], [
    [["0s", "aa"], ["1s", "aa"], ["3s", "bb"]].map((
      [time, command],
    ) => [time!, command!, "bob", ", parent_executable_path: /p"]),
    [["0s", "bb"], ["1s", "aa"], ["2s", "aa"], ["3s", "aa"]].map((
      [time, command],
    ) => [time!, command!, "bob", ", parent_executable_path: /p"]),
  ], RULES + many);
});

Deno.test("rules of a correlation raise no alerts of their own unless it says generate", () => {
  const of = (generate: string) =>
    verdictsOf({ "f.yml": RULES + correlation(`type: event_count\n${GROUP}condition:\n    gte: 3\n${generate}`) });
  const quiet = of(""), loud = of("generate: true");
  assert.deepEqual(quiet.map(({ rule }) => rule!.status), ["draft", "active", "active", "active"]);
  assert.match(quiet[0]!.notes[0]!.reason, /raises no alert of its own: it is part of 0e95725d/);
  assert.deepEqual(loud.map(({ rule }) => rule!.status), ["active", "active", "active", "active"]);
  assert.equal(quiet[3]!.rule!.severity, "high");
});

Deno.test("a correlation whose rule is partial is partial, and unsupported when the rule is", () => {
  const of = (detection: string) =>
    verdictsOf({
      "f.yml": RULES.replace("    condition: s", `        ${detection}`) +
        correlation(`type: event_count\n${GROUP}condition:\n    gte: 3`),
    }).at(-1)!;
  const partial = of(
    "x: 1".replace("x: 1", "").trimEnd() + "Image: y\n    t:\n        Nowhere: x\n    condition: s or t",
  );
  assert.equal(partial.verdict, "partial");
  assert.match(partial.reasons[0]!.reason, /The rule first is partial: The field "Nowhere"/);
  const none = of("Nowhere: x\n    condition: s");
  assert.equal(none.verdict, "unsupported");
  assert.match(none.reasons[0]!.reason, /The rule first is unsupported: The field "Nowhere"/);
});

Deno.test("a change of a rule is a change of the correlation's version", () => {
  const of = (rules: string) =>
    verdictsOf({ "a.yml": rules, "c.yml": correlation(`type: event_count\n${GROUP}condition:\n    gte: 3`) }).at(-1)!
      .rule!.hash;
  assert.equal(of(RULES), of(RULES));
  assert.notEqual(of(RULES), of(RULES.replace("startswith: aa", "startswith: ab")));
});

Deno.test("what is wrong with a correlation is told with its place", () => {
  const COUNT = "condition:\n    gte: 3";
  refuses(`type: event_counts\n${GROUP}${COUNT}`, /type is one of event_count/, 1);
  refuses(`type: event_count\n${GROUP}`, /event_count needs a condition/);
  refuses(`type: event_count\n${GROUP}condition:\n    gte: many`, /gte is a number/, 8);
  refuses(`type: event_count\n${GROUP}condition:\n    ge: 3`, /"ge"; did you mean/, 8);
  refuses(`type: event_count\n${GROUP}condition: first`, /compares a number/, 7);
  refuses(`type: value_count\n${GROUP}${COUNT}`, /value_count needs field/);
  refuses(`type: value_percentile\n${GROUP}condition:\n    field: ProcessId\n    gte: 3`, /needs percentile/);
  refuses(`type: value_sum\n${GROUP}condition:\n    field: CommandLine\n    gte: 3`, /holds texts/);
  refuses(`type: event_count\n${GROUP.replace("1m", "1 minute")}${COUNT}`, /timespan is a number and s, m, h or d/, 6);
  refuses(`type: event_count\n${GROUP.replace("1m", "3d")}${COUNT}`, /24|86400000/);
  refuses(
    `type: event_count\n${GROUP.replace("first", "fourth")}${COUNT}`,
    /There is no Sigma rule "fourth" here to correlate/,
    3,
  );
  refuses(`type: event_count\n${GROUP.replace("User", "Nowhere")}${COUNT}`, /The field "Nowhere"/, 5);
  refuses(`type: temporal\n${SEQUENCE.replace("- second", "- first")}`, /named twice/, 4);
  refuses(`type: temporal\n${SEQUENCE}condition: first and fourth`, /nothing named "fourth"/, 9);
  refuses(`type: temporal\n${SEQUENCE}condition: not first`, /holds without any event/);
  refuses(`type: temporal_ordered\n${SEQUENCE}condition: first`, /compares a number/, 9);
  refuses(
    `type: event_count\n${GROUP}${COUNT}\naliases:\n    a:\n        second: User`,
    /names second, which is none/,
    11,
  );
  refuses(`type: event_count\n${GROUP}${COUNT}\nwindow: 5m`, /Unknown key "window"/, 9);
  refuses(`type: event_count\n${GROUP}${COUNT}`, /Two rules are named first/, 3, RULES + rule("first", "dd"));
});

Deno.test("correlations in a circle are told with its members, and keep nobody else from loading", () => {
  const link = (name: string, of: string, id: string): string =>
    `---\ntitle: ${name}\nname: ${name}\nid: 0e95725d-7320-415d-80f7-004da920fc${id}\ncorrelation:\n    type: temporal\n` +
    `    rules: [first, ${of}]\n    group-by: [User]\n    timespan: 1m\n`;
  const verdicts = verdictsOf({
    "f.yml": RULES + link("a", "b", "01") + link("b", "c", "02") + link("c", "a", "03") + link("d", "second", "04"),
  });
  assert.deepEqual(verdicts.map(({ verdict }) => verdict), [
    "live",
    "live",
    "live",
    "unsupported",
    "unsupported",
    "unsupported",
    "live",
  ]);
  assert.match(verdicts[3]!.reasons[0]!.reason, /circle: a → b → c → a/);
});
