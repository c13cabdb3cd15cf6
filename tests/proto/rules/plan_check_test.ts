import assert from "node:assert/strict";
import { catalogPlan } from "../../../proto/rules/plan.ts";
import { checkPlan, type PlanCheck, type PlanLimits } from "../../../proto/rules/plan_check.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { parseSql } from "../../../proto/rules/sql_library.ts";

const SIZES: Readonly<Record<string, number>> = { process_events: 2_000_000, processes: 50_000, gaps: 3 };

function check(sql: string, limits: Partial<PlanLimits> = {}): PlanCheck {
  const rowsOf = (table: string): number => SIZES[table] ?? 0;
  return checkPlan(guardSql(sql, "hunt"), { rowsOf, budgetMs: 30_000, bounded: true, parse: parseSql, ...limits });
}

const P = "FROM process_events";

Deno.test("checkPlan() refuses what certainly cannot end in its time, and says how long it would take", () => {
  for (
    const sql of [
      `SELECT count(*) ${P} a JOIN process_events b ON 1`,
      `SELECT count(*) ${P} a JOIN process_events b ON a.pid + b.pid = -1`,
      `SELECT a.name, max(b.time) ${P} a JOIN process_events b ON instr(b.command_line, a.name) > 0 GROUP BY a.name`,
      `SELECT DISTINCT a.name ${P} a JOIN process_events b ON TRUE`,
      `SELECT a.name ${P} a JOIN processes b ON 1 = 1 ORDER BY a.time LIMIT 3`,
    ]
  ) assert.notEqual(check(sql).refusal, null, sql);
  assert.match(
    check(`SELECT count(*) ${P} a JOIN process_events b ON 1`).refusal!,
    /^It would go over 4,000,002,000,000 combinations of rows of a, b: 5 days at the least, and it may take 30 s\. Compare/,
  );
  // The time that it may take decides
  const sql = `SELECT count(*) FROM processes a JOIN processes b ON a.name < b.name`;
  assert.equal(check(sql, { budgetMs: 1_000_000 }).refusal, null);
  assert.notEqual(check(sql, { budgetMs: 1_000 }).refusal, null);
});

Deno.test("checkPlan() refuses nothing that may end in time", () => {
  for (
    const sql of [
      `SELECT count(*) ${P}`,
      `SELECT count(*) ${P} a JOIN process_events b ON b.exec_id = a.parent_exec_id`,
      // An index is made for it
      `SELECT count(*) ${P} a JOIN process_events b ON b.pid = a.ppid`,
      // Nobody knows how many rows the condition leaves
      `SELECT count(*) ${P} a JOIN process_events b ON instr(b.command_line, a.name) > 0 WHERE a.user_name = 'x'`,
      `SELECT count(*) ${P} a JOIN process_events b ON 1 WHERE a.pid IN (SELECT pid FROM processes WHERE name = 'x')`,
      `SELECT count(*) ${P} a JOIN process_events b ON 1 WHERE 1 = 2`,
      // It may be content with its first rows
      `SELECT a.pid ${P} a JOIN process_events b ON 1`,
      `SELECT a.pid ${P} a JOIN process_events b ON 1 LIMIT 5`,
      // Each has one row
      `SELECT a.n, b.n FROM (SELECT count(*) AS n ${P}) a JOIN (SELECT count(*) AS n FROM processes) b ON 1 ORDER BY 1`,
      `SELECT count(*) FROM gaps a JOIN gaps b ON 1`,
      `SELECT count(*) FROM gaps a JOIN process_events b ON 1`,
      `WITH x AS (SELECT pid ${P}) SELECT count(*) FROM x a JOIN x b ON 1`,
      `SELECT pid ${P} UNION SELECT pid FROM processes`,
    ]
  ) assert.equal(check(sql).refusal, null, sql);
});

Deno.test("checkPlan() tells what makes a query slow, and how to make it quick", () => {
  const slow = (sql: string, limits: Partial<PlanLimits> = {}): string => check(sql, limits).slow.join(" / ");
  assert.match(
    slow(`SELECT pid ${P} WHERE name = 'sh'`, { bounded: false }),
    /all 2,000,000 stored events .*--since 1h/,
  );
  for (
    const sql of [
      `SELECT pid ${P} WHERE time > 5`,
      `SELECT pid ${P} WHERE exec_id = 'x'`,
      `SELECT pid ${P} WHERE name = 'sh' LIMIT 5`,
      `SELECT max(time) ${P}`,
      "SELECT count(*) FROM processes",
    ]
  ) assert.equal(slow(sql, { bounded: false }), "", sql);
  assert.equal(slow(`SELECT pid ${P} WHERE name = 'sh'`), "");
  assert.match(
    slow(`SELECT a.pid FROM processes p JOIN process_events a ON a.pid + p.pid = 5`),
    /^for each row before it, all (50,000 rows of p|2,000,000 rows of a) are gone over; compare a column/,
  );
  assert.match(
    slow(`SELECT pid ${P} a WHERE NOT EXISTS (SELECT 1 FROM processes p WHERE p.name || a.name = 'x')`),
    /^a subquery goes over all 50,000 rows of p for each row around it/,
  );
});

Deno.test("catalogPlan() knows the keys and indexes of the store", () => {
  const details = (sql: string): string[] => catalogPlan(sql).map(({ detail }) => detail);
  assert.match(details(`SELECT pid ${P} WHERE time > 5`)[0]!, /^SEARCH process_events USING INDEX .*\(time>\?\)/);
  assert.match(details(`SELECT pid ${P} WHERE event_id = 5`)[0]!, /^SEARCH process_events USING INTEGER PRIMARY KEY/);
  assert.match(details("SELECT name FROM processes WHERE pid = 1")[0]!, /^SEARCH processes USING INDEX processes_pid/);
});

Deno.test("checkPlan() knows a lookup, which needs no watchdog, from whatever sorts, joins, computes or goes over a table", () => {
  for (
    const sql of [`SELECT pid ${P} WHERE exec_id = 'x'`, `SELECT pid ${P} WHERE exec_id = 'x' AND name LIKE '%y%'`]
  ) {
    assert.ok(check(sql).isLookup, sql);
  }
  for (
    const sql of [
      `SELECT pid ${P} WHERE name = 'x'`,
      `SELECT count(*) ${P} WHERE exec_id = 'x'`,
      `SELECT pid ${P} WHERE exec_id = 'x' ORDER BY name`,
      `SELECT upper(name) ${P} WHERE exec_id = 'x'`,
      `SELECT pid ${P} WHERE exec_id = (SELECT max(exec_id) FROM processes)`,
      `SELECT a.pid ${P} a JOIN processes p ON p.exec_id = a.exec_id WHERE a.exec_id = 'x'`,
    ]
  ) assert.ok(!check(sql).isLookup, sql);
});
