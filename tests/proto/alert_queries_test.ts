import assert from "node:assert/strict";
import { nextQueries } from "../../proto/alert_queries.ts";
import { guardSql } from "../../proto/rules/sql_guard.ts";

const ALERT = {
  time: 1_700_000_000_000.4,
  ruleId: "odd",
  execId: "0123abcd-7-70",
  executablePath: '/tmp/it\'s a "file"; --',
  evidence: {},
  loginUserId: 1_000,
  parentExecId: "0123abcd-6-60",
  groupId: "odd@c:e:1",
};

Deno.test("what is suggested after an alert is let through by the guard, whatever the alert holds", () => {
  const hostile = ["'", "''", "\\", "\u202e", "a\nb", "' OR 1=1 --", "/*", "%00"];
  for (const executablePath of hostile) {
    const queries = nextQueries({ ...ALERT, executablePath, groupId: executablePath });
    assert.equal(queries.length, 6);
    for (const { sql } of queries) guardSql(sql, "hunt");
  }
});

Deno.test("what is not known, or can be no text of SQL, is not asked about", () => {
  const bare = { ...ALERT, executablePath: "\ud800", loginUserId: null, parentExecId: null, groupId: "x".repeat(600) };
  assert.deepEqual(nextQueries(bare).map(({ about }) => about), [
    "what the process did, and how it ended",
    "what it started",
  ]);
  const hashed = nextQueries({ ...ALERT, evidence: { executable_hash: "ab".repeat(32) } });
  assert.ok(hashed.some(({ sql }) => sql.includes(`executable_hash = '${"ab".repeat(32)}'`)));
});
