// Every example of docs/correlations.md is right and proves itself, there is one of each type, and the template of each type
// is such a rule as well.
import assert from "node:assert/strict";
import { correlationTemplate } from "../../cli/correlation_template.ts";
import { CORRELATION_KINDS } from "../../proto/rules/correlation.ts";
import { type TypeName, TYPES } from "../../proto/rules/correlation_yaml.ts";
import { type ValidatedRule, validateRule } from "../../proto/rules/rule.ts";
import { parseRule } from "../../proto/rules/rule_yaml.ts";
import { runRuleTests } from "../../proto/rules/rule_tests.ts";

const TEXT = Deno.readTextFileSync(new URL("../../docs/correlations.md", import.meta.url));

function proven(text: string, file: string): ValidatedRule {
  const rule = validateRule(parseRule(text, file)), results = runRuleTests(rule);
  assert.deepEqual(results.filter(({ passed }) => !passed), [], file);
  assert(
    results.some(({ expected }) => expected) && results.some(({ expected }) => !expected),
    `${file} proves nothing`,
  );
  return rule;
}

Deno.test("each example of docs/correlations.md finds what it says, and there is one of each type", () => {
  const blocks = [...TEXT.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!);
  const rules = blocks.filter((text) => text.startsWith("id: ")).map((text, i) => proven(text, `example ${i + 1}`));
  // The example of `average` is one inside of `together`
  const kinds = rules.flatMap(({ correlation }) => [
    correlation!.kind,
    ...correlation!.bases.map(({ of }) => of.kind),
  ]);
  for (const kind of CORRELATION_KINDS) assert(kinds.includes(kind), `there is no example of ${kind}`);
  assert.equal(blocks.length, rules.length + 2, "two more are pieces");
});

Deno.test("rules new prints a correlation of each type that holds and proves itself", () => {
  for (const type of Object.keys(TYPES) as TypeName[]) {
    const rule = proven(correlationTemplate("from-template", type), type);
    assert.deepEqual([rule.correlation!.kind, rule.status], [TYPES[type], "draft"]);
  }
});
