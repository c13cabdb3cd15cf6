import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { openDeadlineViews } from "../../../proto/rules/deadline_views.ts";
import { runGuarded } from "../../../proto/rules/prepared_query.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { storeLike } from "./store_like.ts";

Deno.test("runGuarded() gives rows in order, names, large integers and SQLite's own errors", () => {
  using db = storeLike(5);
  const views = openDeadlineViews(db);
  const run = (sql: string) => {
    const { names, rows } = runGuarded(db, views, guardSql(sql, "hunt"), 1_000);
    return { names, rows: [...rows] };
  };
  assert.deepEqual(
    run("SELECT process_id AS id, 1 + 1, pid FROM processes WHERE process_id > 'key 1' ORDER BY id DESC LIMIT 2"),
    {
      names: ["id", "1 + 1", "pid"],
      rows: [["key 4", 2, 11], ["key 3", 2, 4]],
    },
  );
  assert.deepEqual(run("SELECT pid, pid FROM processes WHERE process_id = 'key 4'").names, ["pid", "pid"]);
  assert.deepEqual(run("SELECT 9007199254740991, 9007199254740993 FROM gaps LIMIT 1").rows, [
    [9007199254740991, 9007199254740993n],
  ]);
  assert.throws(() => run("SELECT json_array_length(name) FROM processes"), /malformed JSON/);
  assert.throws(() => run("SELECT abs(-9223372036854775807 - 1) FROM gaps"), /overflow/);
  // Rows that are equal to ORDER BY: which comes first is not the same under every LIMIT.
  assert.throws(
    () =>
      run(
        "SELECT (t1.source <> NULL) AS o2, json_array_length(hex(t1.source)), (NOT 'it''s') FROM gaps t1 ORDER BY 1 DESC",
      ),
    /malformed JSON/,
  );
  // Of this CTE no row is asked for, but the look at the deadline computes its column.
  assert.throws(
    () => run("WITH c AS (SELECT json_array_length('x') AS x FROM processes ORDER BY 1) SELECT x FROM c WHERE NULL"),
    /malformed JSON/,
  );
  // The deadline is looked at with a value that the query computes.
  assert.deepEqual(
    run("SELECT count(*) FROM gaps a JOIN (SELECT 9007199254740993 + gap_id AS n FROM gaps) b ON a.gap_id < 2").rows,
    [[10]],
  );
  assert.throws(
    () => run("SELECT 1, json_array_length(name) AS n FROM processes ORDER BY 1 LIMIT 4"),
    /malformed JSON/,
  );
  assert.deepEqual(run("SELECT pid FROM processes WHERE pid < 0").rows, []);
});

// What the code above leans on. If one of these fails, the runtime has changed, and the workaround can go.
Deno.test("node:sqlite hides errors of SQLite from iterate(), and throws them from get()", () => {
  using db = new DatabaseSync(":memory:");
  db.exec("CREATE TABLE t (a); INSERT INTO t VALUES ('[1]'), ('x'), ('[]')");
  const statement = db.prepare("SELECT json_array_length(a) FROM t");
  assert.equal([...statement.iterate()].length, 1);
  assert.throws(() => db.prepare("SELECT json_array_length(a) FROM t WHERE a = 'x'").get(), /malformed JSON/);
});

Deno.test("node:sqlite throws what a function called from SQL throws, from iterate() and get()", () => {
  // all() does not end then: https://sqlite.org has no part in it, the runtime steps the statement again and again.
  using db = new DatabaseSync(":memory:");
  const fault = new RangeError("from the function");
  db.function("fails", { varargs: true }, () => {
    throw fault;
  });
  assert.throws(() => [...db.prepare("SELECT fails(1)").iterate()], (error) => error === fault);
  assert.throws(() => db.prepare("SELECT fails(1)").get(), (error) => error === fault);
});
