/**
 * `deno task bench:runaways`: how long a runaway query runs under a deadline of 100 ms, each the worst of some runs.
 *
 * The peer is the same table without the deadline, cut off by nothing: not run, since most of it would not end.
 *
 * @module
 */
import { openDeadlineViews, runGuarded } from "../proto/rules/authorizer.ts";
import { guardSql } from "../proto/rules/sql_guard.ts";
import { hostileStore, RUNAWAYS } from "../tests/proto/rules/runaways.ts";

const BUDGET_MS = 100, TARGET_MS = 150, RUNS = 3;

using db = hostileStore();
const views = openDeadlineViews(db);
let over = 0;
for (const [what, sql] of Object.entries(RUNAWAYS)) {
  const query = guardSql(sql, "hunt");
  let worst = 0, end = "ended by itself";
  for (let run = 0; run < RUNS; run++) {
    const begin = performance.now();
    try {
      for (const _ of runGuarded(db, views, query, BUDGET_MS).rows);
    } catch (error) {
      end = error instanceof Error ? error.message : String(error);
    }
    worst = Math.max(worst, performance.now() - begin);
  }
  if (worst > TARGET_MS) over++;
  console.log(`${worst.toFixed(0).padStart(6)} ms  ${what}: ${end}`);
}
console.log(
  `${Object.keys(RUNAWAYS).length} queries, deadline ${BUDGET_MS} ms, ${over} took longer than ${TARGET_MS} ms`,
);
