import assert from "node:assert/strict";
import { openDeadlineViews, QueryDeadlineError } from "../../../proto/rules/deadline_views.ts";
import { runGuarded } from "../../../proto/rules/prepared_query.ts";
import { planSteps, sortsRows } from "../../../proto/rules/plan.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { SqlRefusedError } from "../../../proto/rules/sql_refused.ts";
import type { SqlValue } from "../../../proto/event_row.ts";
import { newWindowEvaluation } from "../../../proto/rules/window_evaluation.ts";
import { WindowLane } from "../../../proto/rules/window_lane.ts";
import { windowRule } from "./window_support.ts";
import { hostileStore, RUNAWAYS, UNSTOPPABLE, WINDOW_RUNAWAYS } from "./runaways.ts";

const BUDGET_MS = 20;
/** Far from what it takes (`deno task bench:runaways` prints that) and far from what they would take unstopped. */
const GENEROUS_MS = 2_000;

Deno.test("runGuarded() stops whatever does not end, at its deadline", () => {
  using db = hostileStore();
  const views = openDeadlineViews(db);
  for (const [what, sql] of Object.entries(RUNAWAYS)) {
    const query = guardSql(sql, "hunt"), begin = performance.now();
    assert.throws(
      () => {
        for (const _ of runGuarded(db, views, query, BUDGET_MS).rows);
      },
      (error) => error instanceof QueryDeadlineError || /too big/.test(String(error)),
      what,
    );
    const took = performance.now() - begin;
    assert(took < GENEROUS_MS, `${what}: ${took} ms`);
  }
});

Deno.test("guardSql() refuses what no deadline would stop", () => {
  for (const [what, sql] of Object.entries(UNSTOPPABLE)) {
    for (const purpose of ["hunt", "window"] as const) {
      assert.throws(() => guardSql(sql, purpose), SqlRefusedError, what);
    }
  }
});

Deno.test("a costly row after many cheap ones is followed by a look at the clock", () => {
  using db = hostileStore(2_000);
  const views = openDeadlineViews(db);
  let costly = 0;
  db.function("costly", { varargs: true }, () => {
    costly++;
    const until = performance.now() + 60;
    while (performance.now() < until);
    return 1;
  });
  // Not through the guard: what counts is how many such rows run before the deadline of 50 ms
  views.start(50);
  const sql = "SELECT count(*) FROM process_events WHERE pid < 1500 OR costly(pid)";
  assert.throws(() => [...db.prepare(sql).iterate()], QueryDeadlineError);
  assert.equal(costly, 1);
});

Deno.test("what is read to be sorted is stopped in time for the sort, and what is not sorted is not", () => {
  using db = hostileStore(100);
  const views = openDeadlineViews(db);
  let ticks = 0;
  db.function("slow_row", { varargs: true }, () => {
    ticks++;
    const until = performance.now() + 10;
    while (performance.now() < until);
    return 1;
  });
  const ran = (sorts: boolean): number => {
    ticks = 0;
    views.start(500, 0, sorts);
    assert.throws(() => [...db.prepare("SELECT count(*) FROM process_events WHERE slow_row(pid)").iterate()]);
    return ticks;
  };
  // 22 and 50 rows of 10 ms, fewer where the host is busy
  assert.ok(ran(true) <= 24);
  assert.ok(ran(false) <= 52);
  const sorted = (sql: string): boolean => sortsRows(planSteps(db, sql));
  assert.ok(sorted("SELECT name, count(*) FROM process_events GROUP BY name"));
  assert.ok(sorted("SELECT name FROM process_events ORDER BY name"));
  assert.ok(!sorted("SELECT DISTINCT name FROM process_events"));
  assert.ok(!sorted("SELECT count(*) FROM process_events WHERE name = 'x'"));
});

Deno.test("rules over a window that run away leave room for others, and are told", () => {
  using db = hostileStore(600);
  const all = [...db.prepare("SELECT * FROM process_events").iterate()].map((row) => Object.values(row) as SqlValue[]);
  const rows = all.filter((_, i) => i % 5 === 0);
  for (const [what, sql] of Object.entries(WINDOW_RUNAWAYS)) {
    const rule = windowRule("runaway", "1h", sql);
    using lane = new WindowLane([rule], { deadlineMs: BUDGET_MS });
    const out = newWindowEvaluation(), steps = lane.judge(rows, Infinity, out);
    for (let done = false; !done;) {
      const begin = performance.now();
      done = steps.next().done === true;
      assert(performance.now() - begin < GENEROUS_MS, what);
    }
    lane.commit();
    if (what === "calls, in what every event must meet") {
      assert.match(out.faults[0]!.reason, /^its conditions on one event took 20 ms of a batch$/);
      assert.equal(out.faults[0]!.timedOut, true);
      assert.match(lane.reasons(rule).join(), /took too long, and it did not see all/);
      // One that was taken out for it costs a tenth, and no further fault
      const later = newWindowEvaluation();
      for (const _ of lane.judge(rows, Infinity, later, new Set([rule.id])));
      assert.deepEqual(later.faults, []);
      assert.match(lane.reasons(rule).join(), /took too long, and it did not see all/);
    }
  }
});
