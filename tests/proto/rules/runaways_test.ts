import assert from "node:assert/strict";
import { openDeadlineViews, QueryDeadlineError, runGuarded } from "../../../proto/rules/authorizer.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { SqlRefusedError } from "../../../proto/rules/sql_refused.ts";
import { hostileStore, RUNAWAYS, UNSTOPPABLE } from "./runaways.ts";

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
