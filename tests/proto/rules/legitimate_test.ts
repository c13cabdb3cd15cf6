import assert from "node:assert/strict";
import { openDeadlineViews } from "../../../proto/rules/deadline_views.ts";
import { runGuarded } from "../../../proto/rules/prepared_query.ts";
import { RuleEngine } from "../../../proto/rules/engine.ts";
import { validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { tableNamed } from "../../../proto/catalog.ts";
import { storeLike } from "./store_like.ts";
import lines from "./legitimate.sql" with { type: "text" };

const queries = lines.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
const hunts = queries.filter((line) => /^(select|with) /i.test(line));
const conditions = queries.filter((line) => !hunts.includes(line));

Deno.test("300 queries of analysts pass both gates and run", () => {
  assert(queries.length >= 300 && conditions.length > 100 && hunts.length > 100, `${queries.length}`);
  assert.equal(new Set(queries).size, queries.length);
  using db = storeLike(20);
  const views = openDeadlineViews(db);
  for (const sql of [...hunts, ...conditions.map((where) => `SELECT * FROM process_events WHERE ${where}`)]) {
    try {
      for (const _ of runGuarded(db, views, guardSql(sql, "hunt"), 10_000).rows);
    } catch (error) {
      // Of the rows of the test, some hold no JSON
      assert.match(String(error), /malformed JSON/, sql);
    }
  }
});

Deno.test("conditions of analysts are rules, and most are judged in the stream lane", () => {
  const rules = conditions.map((where, i) =>
    validateRule(parseRule(
      JSON.stringify({
        id: `rule-${i}`,
        title: "t",
        description: "d",
        severity: "low",
        sql: `SELECT pid FROM process_events WHERE ${where}`,
      }),
      "x.yml",
    ))
  );
  using engine = new RuleEngine(rules);
  engine.check();
  const row = tableNamed("process_events").columns.map(({ type }) => type === "TEXT" ? "[]" : 1);
  assert(engine.evaluate([row]).hits.length > 3);
  const streamed = rules.filter((rule) => rule.query!.row!.translation.form !== null).length;
  assert(streamed > rules.length * 0.75, `${streamed} of ${rules.length}`);
});
