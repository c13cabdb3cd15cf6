import assert from "node:assert/strict";
import { loadRules } from "../../../proto/rules/rule_set.ts";

function rule(id: string, more = ""): string {
  return `title: t\nid: ${id}\ndescription: d\nseverity: low\nsql: SELECT pid FROM process_events WHERE pid = 1\n${more}`;
}

Deno.test("loadRules() keeps a bad file from nobody but itself", () => {
  const { active, disabled, rejected } = loadRules([
    { file: "b.yml", text: rule("bbb") },
    { file: "bad.yml", text: "id: [" },
    { file: "off.yml", text: rule("off", "enabled: false\n") },
    { file: "sql.yml", text: rule("sql").replace("pid = 1", "exit(1)") },
    { file: "a.yml", text: rule("aaa") },
  ]);
  assert.deepEqual(active.map(({ id, file }) => [id, file]), [["aaa", "a.yml"], ["bbb", "b.yml"]]);
  assert.deepEqual(disabled.map(({ id }) => id), ["off"]);
  assert.deepEqual(rejected.map(({ file, line }) => [file, line]), [["bad.yml", 1], ["sql.yml", 5]]);
});

Deno.test("loadRules() rejects the second of two rules with one id, also when the first is switched off", () => {
  const files = [
    { file: "1.yml", text: rule("same", "enabled: false\n") },
    { file: "2.yml", text: rule("same") },
  ];
  const { active, disabled, rejected } = loadRules(files);
  assert.deepEqual([active.length, disabled.length], [0, 1]);
  assert.equal(rejected[0]!.message, "2.yml:2:5: The id same is also that of 1.yml; give each rule its own");
});
