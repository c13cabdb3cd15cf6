// Filters: the specification's page on them, and what can be wrong with one.
import assert from "node:assert/strict";
import { eventRow } from "../../../proto/event_row.ts";
import { blankProcessEvent } from "../../../proto/process_event.ts";
import { RuleEngine } from "../../../proto/rules/engine.ts";
import { matches, ruleText, verdictsOf } from "./support.ts";

const ID = "00000000-0000-4000-8000-000000000001";
const RULE = ruleText("selection:\n    CommandLine|contains: rar\ncondition: selection", "name: compressed\n");
const filter = (
  condition: string,
  selection = "User|startswith: 'adm_'",
  rules = `[${ID}]`,
  source = "linux",
): string =>
  `title: Filter Administrator account\ndescription: The valid administrator account start with adm_\nlogsource:\n` +
  `    category: process_creation\n    product: ${source}\nfilter:\n    rules: ${rules}\n    selection:\n        ${selection}\n` +
  `    condition: ${condition}\n`;
const ROWS = [
  { command_line: "rar a", user_name: "bob" },
  { command_line: "rar a", user_name: null },
  { command_line: "rar a", user_name: "ADM_x" },
  { command_line: "zip", user_name: "bob" },
];

function of(...filters: string[]) {
  const files = Object.fromEntries(filters.map((text, i) => [`filter${i}.yml`, text]));
  const [rule, ...others] = verdictsOf({ "rule.yml": RULE, ...files });
  return { rule: rule!, found: matches(rule!.rule!, ROWS), filters: others };
}

Deno.test("a filter keeps its rules from matching, named by id or by name, and a row without the field still matches", () => {
  for (const rules of [`[${ID}]`, ID.toUpperCase(), "compressed", "any", `\n        - compressed`]) {
    const { found, filters } = of(filter("selection", undefined, rules));
    assert.deepEqual(found, [true, true, false, false], rules);
    assert.deepEqual(filters.map(({ verdict, kind }) => [verdict, kind]), [["live", "filter"]]);
  }
  assert.deepEqual(of().found, [true, true, true, false]);
});

Deno.test("a filter means the same as what it suppresses and as what remains", () => {
  for (
    const condition of ["not selection", "not (selection)", "not 1 of selection*", "not selection and not selection"]
  ) {
    assert.deepEqual(of(filter(condition)).found, [true, true, false, false], condition);
  }
});

Deno.test("several filters add up, and are part of the rule's version", () => {
  const one = of(filter("selection")), two = of(filter("selection"), filter("selection", "User: bob"));
  assert.deepEqual(two.found, [false, true, false, false]);
  assert.notEqual(one.rule.rule!.hash, two.rule.rule!.hash);
  assert.notEqual(one.rule.rule!.hash, of().rule.rule!.hash);
});

Deno.test("a filter that cannot do what it says leaves the rule as it is, and tells", () => {
  const refused = (text: string, reason: RegExp, line: number): void => {
    const { found, filters: [verdict] } = of(text);
    assert.deepEqual(found, [true, true, true, false]);
    assert.equal(verdict!.verdict, "unsupported");
    assert.match(verdict!.reasons[0]!.reason, reason);
    assert.equal(verdict!.line, line);
  };
  refused(
    filter("selection", undefined, "[11111111-0000-4000-8000-000000000001]"),
    /There is no Sigma rule.*to filter/,
    7,
  );
  refused(filter("selection", undefined, undefined, "windows"), /It is not applied: the filter is for .*windows/, 7);
  refused(filter("selection", undefined, "any", "windows"), /no rule of its log source/, 6);
  refused(filter("selection", "Nowhere: x"), /The field "Nowhere"/, 9);
  refused(filter("not selection or selection"), /could mean what is suppressed or what remains/, 6);
  refused(filter("selection and not selection"), /could mean/, 6);
  refused(filter("selection", undefined, "[]"), /rules is a list/, 7);
  refused(filter("selection").replace(/ {4}rules.*\n/, ""), /names the rules that it is for/, 7);
});

Deno.test("a filter of which an alternative cannot be told suppresses the others, and tells", () => {
  const { found, filters: [verdict] } = of(
    filter("1 of s*").replace("    condition", "    second:\n        Nowhere: x\n    condition"),
  );
  assert.deepEqual(found, [true, true, false, false]);
  assert.equal(verdict!.verdict, "partial");
  const some = of(filter("selection", undefined, "[compressed, other]"));
  assert.deepEqual(some.found, [true, true, false, false]);
  assert.match(some.filters[0]!.reasons[0]!.reason, /There is no Sigma rule "other"/);
});

Deno.test("what a filter takes is counted, and told with the filter's author, reason and end", () => {
  const text = filter("selection") + "author: bob\ndaemoneye: { expires: 2027-01-31 }\n", { rule } = of(text);
  using engine = new RuleEngine([rule.rule!]);
  const end = Date.parse("2027-02-01T00:00:00Z"), base = { ...blankProcessEvent("start", end - 1, "x-1-1", 1) };
  const args = { argv: new TextEncoder().encode("rar\0a\0") };
  const rows = [
    { ...base, ...args, userName: "adm_1" },
    { ...base, ...args, userName: "bob" },
    { ...base, ...args, userName: "adm_1", time: end },
    { ...base, userName: "adm_1" },
  ].map((event, i) => eventRow(event, i, "host"));
  const { hits, suppressed } = engine.evaluate(rows);
  assert.deepEqual(hits.map(({ row }) => row), [1, 2], "it has ended for the third");
  assert.deepEqual(
    suppressed.map((
      { by: { kind, author, reason, line, expiresMs, file } },
    ) => [kind, author, reason, line, expiresMs, file]),
    [["filter", "bob", "The valid administrator account start with adm_", 1, end, "filter0.yml"]],
  );
  const own = of(text.replace("{ expires", "{ author: alice, expires"));
  assert.equal(own.rule.rule!.filters!.by[0]!.author, "alice");
  assert.equal(of(filter("selection")).rule.rule!.filters!.by[0]!.expiresMs, null);
  assert.equal(of().rule.rule!.filters, null);
});

Deno.test("our own key of a filter is read strictly", () => {
  for (
    const [own, reason] of [
      ["{ expires: soon }", /last day on which it holds/],
      ["{ expires: 2027-02-30 }", /last day on which it holds/],
      ["{ enabled: false }", /Unknown key "enabled"; daemoneye has author, expires/],
      ["{ author: [a] }", /author is a text/],
    ] as const
  ) {
    const { found, filters: [verdict] } = of(`${filter("selection")}daemoneye: ${own}\n`);
    assert.deepEqual(found, [true, true, true, false], own);
    assert.match(verdict!.reasons[0]!.reason, reason);
  }
  assert.deepEqual(of(`${filter("selection")}daemoneye: { expires: never }\n`).found, [true, true, false, false]);
});
