/** What a rule file may ask to be done, and what it may not. */
import assert from "node:assert/strict";
import { RuleError } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { responseWords, type RuleResponse } from "../../../proto/rules/rule_responses.ts";

const HEAD = "id: odd-one\ntitle: T\ndescription: D\nseverity: high\nsql: SELECT pid FROM process_events\n";

function responsesOf(text: string): readonly RuleResponse[] | undefined {
  return parseRule(`${HEAD}${text}`, "odd.yml").responses;
}

Deno.test("response is a list of what is asked for, in its order", () => {
  assert.equal(responsesOf(""), undefined);
  assert.deepEqual(responsesOf("response: [stop]"), [{ action: "stop", tree: false, seconds: 0 }]);
  const all = responsesOf(
    "response:\n  - {action: stop, tree: true}\n  - evidence\n  - {action: trace, for: 5m}\n  - {action: kill, tree: false}\n",
  )!;
  assert.deepEqual(all, [
    { action: "stop", tree: true, seconds: 0 },
    { action: "evidence", tree: false, seconds: 0 },
    { action: "trace", tree: false, seconds: 300 },
    { action: "kill", tree: false, seconds: 0 },
  ]);
  assert.deepEqual(all.map(responseWords), ["stop with its descendants", "evidence", "trace for 300 s", "kill"]);
});

Deno.test("anything else is refused, at its place in the file", () => {
  const refuses = (text: string, reason: RegExp): void => {
    assert.throws(() => responsesOf(text), (error: Error) => {
      assert.ok(error instanceof RuleError, error.stack);
      assert.match(error.reason, reason);
      assert.equal(error.line, 6);
      return true;
    }, text);
  };
  refuses("response: stop", /^response is a list of 1 to 4 of stop, kill, trace, evidence$/);
  refuses("response: []", /^response is a list/);
  refuses("response: [stop, kill, evidence, stop, kill]", /^response is a list/);
  refuses("response: [stop, stop]", /^response asks for stop twice$/);
  refuses("response: [resume]", /^A response is one of stop, kill, trace, evidence/);
  refuses("response: [kil]", /a mapping with such an action.*kill/);
  refuses("response: [[stop]]", /^A response is one of/);
  refuses("response: [{tree: true}]", /^A response is one of/);
  refuses("response: [{action: stop, trees: true}]", /^Unknown key "trees"/);
  refuses("response: [{action: stop, tree: maybe}]", /^tree is true or false$/);
  refuses("response: [{action: evidence, tree: true}]", /^evidence is of one process/);
  refuses("response: [{action: stop, for: 5s}]", /^for belongs to a trace$/);
  for (const time of ["0s", "500ms", "2h", "30", "1500ms", "[5s]"]) {
    refuses(`response: [{action: trace, for: ${time}}]`, /^A trace says for how long/);
  }
  refuses("response: [trace]", /^A trace says for how long/);
});
