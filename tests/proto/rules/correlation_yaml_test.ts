import assert from "node:assert/strict";
import { correlationWords } from "../../../proto/rules/correlation_words.ts";
import { RuleError, validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { correlationRule, correlationText } from "./correlation_support.ts";

const COUNT = "type: count\nof: name = 'a'\nwithin: 5m\nat_least: 2";

/** Line and column are of the text under `correlation:`, one-based. */
function refuses(correlation: string, place: string, reason: RegExp): void {
  assert.throws(() => correlationRule("bad-one", correlation), (error) => {
    assert(error instanceof RuleError, `${correlation}: ${error}`);
    assert.match(error.reason, reason, correlation);
    assert.equal(`${error.line - 5}:${error.column - 2}`, place, `${error.message}\n${correlation}`);
    return true;
  });
}

Deno.test("a correlation is refused with its place for what it does not know", () => {
  refuses("type: cuont", "1:7", /type is one of .*did you mean count/);
  refuses(`${COUNT}\nwihtin: 5m`, "5:1", /A count has no key "wihtin"; did you mean within/);
  refuses(`${COUNT}\nvalue: pid`, "5:1", /A count has no key "value"/);
  refuses("type: count\nof: name = 'a'\nwithin: 5m", "1:1", /A count says how much: at_least, more_than/);
  refuses("type: count\nwithin: 5m\nat_least: 2", "1:1", /The key of is missing/);
  refuses("type: count\nof: name = 'a'\nat_least: 2", "1:1", /The key within is missing/);
  refuses("type: count\nof: nmae = 'a'\nwithin: 5m\nat_least: 2", "2:5", /nmae.*did you mean name/);
  refuses("type: count\nof: |\n  name = 'a'\n  AND pidd = 2\nwithin: 5m\nat_least: 2", "4:7", /pidd/);
  refuses(
    "type: count\nof: json_extract(argv, '$[0]') = 'a'\nwithin: 5m\nat_least: 2",
    "2:5",
    /cannot judge this condition/,
  );
  refuses("type: count\nof: name = 'a' GROUP BY pid\nwithin: 5m\nat_least: 2", "2:16", /GROUP BY/);
  refuses(`${COUNT}\nby: [usr_id]`, "5:6", /has no column "usr_id"; did you mean user_id/);
  refuses(`${COUNT}\nby: [pid, pid]`, "5:5", /by names pid twice/);
  refuses("type: count\nof: name = 'a'\nwithin: 5 minutes\nat_least: 2", "3:9", /within is a time/);
  refuses("type: count\nof: name = 'a'\nwithin: 25h\nat_least: 2", "1:1", /The window is from/);
  refuses("type: count\nof: name = 'a'\nwithin: 5m\nat_least: two", "4:11", /at_least is a number/);
  refuses("type: sum\nof: name = 'a'\nwithin: 5m\nvalue: name\nat_least: 2", "1:1", /name holds texts/);
  refuses("type: distinct\nof: name = 'a'\nwithin: 5m\nat_least: 2", "1:1", /needs a value/);
  refuses("type: sequence\nof: name = 'a'\nwithin: 5m", "1:1", /two bases at least/);
  refuses("type: sequence\nevents: { x: pid = 1, y: pid = 2 }\nof: [x, z]\nwithin: 5m", "3:9", /events has no z/);
  refuses(
    "type: sequence\nevents: { x: pid = 1, y: pid = 2, z: pid = 3 }\nof: [x, y]\nwithin: 5m",
    "2:35",
    /z is not used/,
  );
  refuses("type: sequence\nevents: { X: pid = 1, y: pid = 2 }\nwithin: 5m", "2:11", /The name of an event/);
  refuses(
    "type: together\nevents: { x: pid = 1, y: pid = 2 }\nwhen: not x\nwithin: 5m",
    "1:1",
    /holds without any event/,
  );
  refuses("type: together\nevents: { x: pid = 1, y: pid = 2 }\nwhen: x & y\nwithin: 5m", "3:7", /joins names/);
  refuses("type: together\nevents: { x: pid = 1, y: pid = 2 }\nwhen: x\nat_least: 1\nwithin: 5m", "3:7", /not both/);
  refuses("type: absence\nevents: { x: pid = 1 }\nof: x\nwithin: 5m", "1:1", /not_followed_by is missing/);
  refuses("type: first_seen\nof: pid = 1\nforget_after: 30d\nlearn: 1d", "1:1", /needs the values/);
  refuses("type: first_seen\nof: pid = 1\nby: name\nforget_after: 1d\nlearn: 2d", "1:1", /time to learn/);
  refuses(
    "type: first_seen\nof: pid = 1\nby: name\nforget_after: 30d\nlearn: 1d\nremember: 1000000",
    "6:11",
    /remember/,
  );
  refuses("- x", "1:1", /A correlation is a mapping/);
  const nested = "type: count\nevents:\n  a:\n    type: absence\n    events: { x: pid = 1, y: pid = 2 }\n    of: x\n" +
    "    not_followed_by: y\n    within: 5m\nwithin: 5m\nat_least: 2";
  refuses(nested, "1:1", /absence cannot be a base/);
});

Deno.test("a rule is a correlation or a query, not both", () => {
  const text = correlationText("one", COUNT);
  const refused = (more: string): string => {
    try {
      parseRule(text + more, "x");
    } catch (error) {
      if (error instanceof RuleError) return error.reason;
    }
    return "";
  };
  assert.match(refused("window: 5m\n"), /take window out/);
  assert.match(refused("sql: SELECT pid FROM process_events WHERE pid = 1\n"), /take sql out/);
});

Deno.test("a correlation is told in words", () => {
  const rule = correlationRule(
    "told",
    `type: sequence
events:
  many:
    type: count
    of: name = 'su' AND exit_code = 1
    by: [user_id]
    within: 5m
    at_least: 5
  success: name = 'su' AND exit_code = 0
by: [user_id]
within: 10m`,
  );
  assert.deepEqual(correlationWords(rule.correlation!), [
    "many, then success within 10m:",
    "  each user_id for itself",
    "  1. many:",
    "    at least 5 events within 5m:",
    "      each user_id for itself",
    "      event:",
    "        all of:",
    '          name is "su"',
    "          exit_code is 1",
    "  2. success:",
    "    all of:",
    '      name is "su"',
    "      exit_code is 0",
  ]);
  assert.equal(rule.sql, correlationWords(rule.correlation!).join("\n"));
});

Deno.test("every text under correlation is a rule or a RuleError", () => {
  const base =
    `type: together\nevents: { x: "pid = 1", y: "pid = 2" }\nwhen: (x and not y) or x\nby: [user_id]\nwithin: 5m`;
  for (let at = 0; at <= base.length; at++) {
    for (
      const text of [
        base.slice(0, at),
        base.slice(0, at) + base.slice(at + 1),
        `${base.slice(0, at)}'${base.slice(at)}`,
      ]
    ) {
      try {
        validateRule(parseRule(correlationText("any", text), "x"));
      } catch (error) {
        assert(error instanceof RuleError, `${text}: ${error}`);
      }
    }
  }
});
