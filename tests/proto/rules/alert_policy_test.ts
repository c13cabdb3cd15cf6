import assert from "node:assert/strict";
import { RuleError } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";

function policy(alert: string): unknown {
  return parseRule(
    `id: odd-thing
title: Odd
description: d
severity: low
alert: ${alert}
sql: |
  SELECT pid FROM process_events WHERE name = 'odd'
`,
    "odd.yml",
  ).alert;
}

Deno.test("a rule says which hits are one alert, and for how long", () => {
  assert.deepEqual(policy("{key: [user_name, executable_path, user_name], window: 10m}"), {
    key: ["user_name", "executable_path"],
    windowMs: 600_000,
  });
  assert.deepEqual(policy("{key: []}"), { key: [], windowMs: null });
  assert.deepEqual(policy("{window: 1s}"), { key: null, windowMs: 1_000 });
});

Deno.test("what a rule says of its alerts is refused with its place when it is wrong", () => {
  const refuses = (alert: string, words: RegExp): void =>
    assert.throws(() => policy(alert), (error) => {
      assert.ok(error instanceof RuleError && words.test(error.reason) && error.line === 5, String(error));
      return true;
    });
  refuses("{}", /alert is a mapping of key, window or both/);
  refuses("[user_name]", /alert is a mapping/);
  refuses("{keys: [user_name]}", /Unknown key "keys"; did you mean key/);
  refuses("{key: [usr_name]}", /There is no column "usr_name" in process_events; did you mean user_name/);
  refuses("{key: user_name}", /key is a list/);
  refuses("{key: [pid, ppid, name, cwd, tty, user_id, group_id, argv, reason]}", /at most 8 columns/);
  for (const window of ["0s", "500ms", "25h", "5", "soon"]) {
    refuses(`{window: ${window}}`, /window is a time from 1s to/);
  }
});
