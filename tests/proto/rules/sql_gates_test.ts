import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { tableNamed } from "../../../proto/catalog.ts";
import { authorizeReads, READ_LIMITS } from "../../../proto/rules/authorizer.ts";
import { openDeadlineViews } from "../../../proto/rules/deadline_views.ts";
import { runGuarded } from "../../../proto/rules/prepared_query.ts";
import type { Purpose } from "../../../proto/rules/sql_expression.ts";
import { type GuardedQuery, guardSql } from "../../../proto/rules/sql_guard.ts";
import { SqlRefusedError } from "../../../proto/rules/sql_refused.ts";
import { RandomSql } from "./random_sql.ts";
import { createTable, storeLike } from "./store_like.ts";

const RUNS = 2_000;

/** Rows to compare, in an order of their own. An integer reads the same as a number and as a bigint. */
function text(rows: Iterable<unknown>): string[] {
  const plain = (_: string, value: unknown) => typeof value === "bigint" ? Number(value) : value;
  return Array.from(rows, (row) => JSON.stringify(row, plain)).sort();
}

/** The query, or `null` when the guard refuses it; any other error fails the test. */
function guarded(sql: string, purpose: Purpose): GuardedQuery | null {
  try {
    return guardSql(sql, purpose);
  } catch (error) {
    if (error instanceof SqlRefusedError) return null;
    throw error;
  }
}

// Said the other way round: what the second gate or SQLite itself refuses, the guard refuses.
Deno.test("what the guard accepts as a hunt, the second gate prepares, and the deadline changes no answer", () => {
  using plain = storeLike(5);
  using gated = storeLike(5);
  const views = openDeadlineViews(gated);
  let accepted = 0, ran = 0, compared = 0;
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(0.005, 0.1), (seed, mischief) => {
      const random = new RandomSql(seed, mischief);
      const sql = random.hunt();
      const query = guarded(sql, "hunt");
      if (query === null) return;
      accepted++;
      const answer = runGuarded(gated, views, query, 5_000);
      let rows: unknown[];
      try {
        rows = [...answer.rows];
      } catch (error) {
        // json_array_length() of what is no JSON, hex() of what is too long: the value's fault, not the query's
        assert.match(String(error), /malformed JSON|too big|overflow/, sql);
        return;
      }
      ran++;
      if (!random.settled) return;
      compared++;
      const statement = plain.prepare(sql);
      statement.setReturnArrays(true);
      statement.setReadBigInts(true);
      assert.deepEqual(text(rows), text(statement.iterate()), sql);
    }),
    { numRuns: RUNS },
  );
  assert(accepted > RUNS / 3, `the generator makes too little that is accepted: ${accepted} of ${RUNS}`);
  assert(ran > accepted * 0.95, `${ran} of ${accepted} ran`);
  assert(compared > accepted * 0.3, `${compared} of ${accepted} compared`);
});

Deno.test("what the guard accepts as a rule, the second gate prepares over one table without functions over rows", () => {
  using db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
  const table = tableNamed("process_events");
  db.exec(createTable(table));
  const columns = new Set(table.columns.map((column) => column.name));
  authorizeReads(db, { tables: new Map([[table.name, columns]]), functions: "row", views: null });
  let accepted = 0;
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const sql = new RandomSql(seed).rule();
      const query = guarded(sql, "rule");
      if (query === null) {
        assert.equal(guarded(sql, "hunt"), null, `a hunt takes what a rule of this form does not: ${sql}`);
        return;
      }
      accepted++;
      assert.doesNotThrow(() => db.prepare(query.sql), sql);
      assert.deepEqual(query.insertions, []);
    }),
    { numRuns: RUNS },
  );
  assert(accepted > RUNS / 3);
});

Deno.test("the guard ends every text with a verdict", () => {
  const pieces = fc.constantFrom(
    ..."SELECT,FROM,WHERE,process_events,pid,name,*,(,),',\",--,/*,*/,;,\0,\n,\r,x',AND,NOT,CASE,WHEN,WITH,AS,UNION,é,\ud800,1,0x,.5,->,LIKE,[,`"
      .split(","),
    ",",
    " ",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 40 }), fc.constantFrom<Purpose>("rule", "hunt"), (parts, purpose) => {
      guarded(parts.join(" "), purpose);
      guarded(`SELECT pid FROM process_events WHERE ${parts.join("")}`, purpose);
    }),
    { numRuns: RUNS },
  );
});
