import assert from "node:assert/strict";
import { Demands } from "../../agent/demands.ts";
import type { AttributeStanding } from "../../proto/demand.ts";
import { MAX_DEMANDED_VARIABLES } from "../../proto/demand.ts";
import { type ValidatedRule, validateRule } from "../../proto/rules/rule.ts";
import { parseRule } from "../../proto/rules/rule_yaml.ts";

function rule(id: string, where: string): ValidatedRule {
  const sql = `SELECT pid FROM process_events WHERE ${where}`;
  return validateRule(parseRule(`id: ${id}\ntitle: T\ndescription: D\nseverity: low\nsql: |\n  ${sql}\n`, `${id}.yml`));
}

function standing(attribute: string, state: AttributeStanding["state"], since = 0): AttributeStanding {
  return { attribute, state, reason: "so it is", since };
}

const VARIABLE = rule("variable", "environment ->> 'A' = 'x'");
const HASH = rule("hash", "executable_hash = 'ab'");
const PLAIN = rule("plain", "name = 'nc'");

Deno.test("the demand is what all rules read, and the same object as long as that is the same", () => {
  const demands = new Demands();
  const none = demands.demand;
  demands.take([PLAIN]);
  assert.ok(demands.demand === none);
  demands.take([rule("two", "environment ->> 'B' = 'x' OR environment ->> 'A' = 'x'"), VARIABLE, HASH, PLAIN]);
  const { demand } = demands;
  assert.deepEqual(demand, { hashes: true, variables: ["A", "B"] });
  demands.take([HASH, rule("other", "environment ->> 'A' = environment ->> 'B'")]);
  assert.ok(demands.demand === demand);
  demands.take([PLAIN]);
  assert.deepEqual(demands.demand, none);
});

Deno.test("variables past the most of a demand are not asked for, and the rules that read them say so", () => {
  const demands = new Demands();
  const rules = Array.from({ length: MAX_DEMANDED_VARIABLES + 1 }, (_, i) => {
    const name = `V${String(i).padStart(3, "0")}`;
    return rule(`r-${i}`, `environment ->> '${name}' = 'x'`);
  });
  demands.take(rules);
  assert.equal(demands.demand.variables.length, MAX_DEMANDED_VARIABLES);
  assert.deepEqual(demands.lacks(rules[0]!, 0, null), []);
  assert.match(
    demands.lacks(rules.at(-1)!, 0, null).join(),
    /more than 48 variables: environment\.V048 is not asked for/,
  );
});

Deno.test("a rule lacks what a collector refuses, cannot give, gives only since a while, or did not speak of", () => {
  const demands = new Demands();
  demands.take([VARIABLE, HASH]);
  assert.deepEqual(demands.lacks(VARIABLE, 0, null), [], "nobody has connected, so nothing comes that could be missed");
  demands.joined("c");
  assert.deepEqual(demands.lacks(VARIABLE, 9, "c"), [
    "collector c: whether it collects environment.A is not known, as it has not answered yet",
  ]);
  for (const state of ["refused", "unavailable"] as const) {
    demands.answered("c", [standing("environment.A", state), standing("executable_hash", "configured")]);
    assert.deepEqual(demands.lacks(VARIABLE, 9, "c"), [`collector c: environment.A is ${state}: so it is`]);
    assert.deepEqual(demands.lacks(HASH, 9, "c"), []);
    assert.deepEqual(demands.lacks(PLAIN, 9, "c"), []);
  }
  demands.answered("c", [standing("environment.A", "demanded", 1_000)]);
  assert.deepEqual(demands.lacks(VARIABLE, 1_000, "c"), []);
  assert.deepEqual(demands.lacks(VARIABLE, 999, "c"), [
    "collector c: environment.A is collected only since 1970-01-01T00:00:01.000Z",
  ]);
  assert.match(
    demands.lacks(HASH, 9, "c").join(),
    /executable_hash is not known/,
    "the answer was to an earlier demand",
  );
});

Deno.test("each collector has its own answer, which counts while it is away", () => {
  const demands = new Demands();
  demands.take([VARIABLE]);
  demands.answered("good", [standing("environment.A", "configured")]);
  demands.unanswered("mute", "did not like it");
  demands.joined("good");
  assert.deepEqual(demands.lacks(VARIABLE, 0, "good"), []);
  assert.match(demands.lacks(VARIABLE, 0, null).join(), /^collector mute: .* as it did not like it$/);
});

Deno.test("of a collector from before demands only variables are unknown: it reports its hasher all the same", () => {
  const demands = new Demands();
  demands.take([VARIABLE, HASH]);
  demands.tookNone("old");
  assert.deepEqual(demands.lacks(HASH, 0, "old"), []);
  assert.match(demands.lacks(VARIABLE, 0, "old").join(), /not known, as it is of a version that takes no demand/);
});
