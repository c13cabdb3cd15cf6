import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { authorizeReads, catalogColumns, READ_LIMITS } from "../../../proto/rules/authorizer.ts";
import { openDeadlineViews } from "../../../proto/rules/deadline_views.ts";
import { FUNCTION_NAMES, functionOf } from "../../../proto/rules/sql_functions.ts";
import { storeLike } from "./store_like.ts";

Deno.test("authorizeReads() denies by itself whatever is no read of the catalog through its views", () => {
  const db = storeLike(3);
  db.exec("CREATE TABLE secrets (a)");
  const views = openDeadlineViews(db);
  authorizeReads(db, { tables: catalogColumns(), functions: "query", views });
  const denies = (sql: string) => assert.throws(() => db.prepare(sql), Error, sql);
  const gate = views.gates.get("process_events")!;
  const name = "SELECT name FROM";
  for (
    const sql of [
      "SELECT * FROM secrets",
      "SELECT 1 FROM secrets",
      "SELECT count(*) FROM secrets",
      "SELECT * FROM sqlite_master",
      "SELECT 1 FROM sqlite_temp_master",
      "SELECT * FROM pragma_table_info('secrets')",
      "SELECT * FROM json_each('[1]')",
      "SELECT (SELECT a FROM secrets)",
      "SELECT pid FROM processes WHERE EXISTS (SELECT 1 FROM secrets)",
      "SELECT pid FROM processes ORDER BY (SELECT max(a) FROM secrets)",
      "SELECT name FROM processes UNION SELECT a FROM secrets",
      "WITH process_events AS (SELECT * FROM secrets) SELECT * FROM process_events",
      `${name} main.process_events`,
      "SELECT count(*) FROM main.process_events",
      "SELECT count(*) FROM process_events a JOIN main.process_events b ON 1",
      // SQLite names the CTE as the "view" that reads: the names of the views must not be to be had
      `WITH process_events AS (${name} main.process_events) SELECT * FROM process_events`,
      `SELECT * FROM (${name} main.process_events) process_events`,
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
      "WITH c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
      "SELECT load_extension('x')",
      "SELECT readfile('/etc/passwd')",
      "SELECT randomblob(1000)",
      "SELECT zeroblob(1000)",
      "SELECT printf('%.*c', 1000, 'x')",
      "SELECT fts3_tokenizer('x')",
      "SELECT sqlite_version()",
      "SELECT tick(1)",
      "SELECT current_timestamp",
      "SELECT name FROM processes WHERE name GLOB 'a'",
      "SELECT name FROM processes WHERE name MATCH 'x'",
      "INSERT INTO processes (pid) VALUES (1)",
      "DELETE FROM processes",
      "DROP TABLE processes",
      "DROP VIEW process_events",
      "CREATE TEMP TABLE t (a)",
      "CREATE TEMP VIEW v AS SELECT 1",
      "PRAGMA writable_schema = 1",
      "PRAGMA table_info(processes)",
      "ATTACH ':memory:' AS x",
      "BEGIN",
      "ANALYZE",
      "REINDEX",
    ]
  ) denies(sql);
  // A query that knows the random name of a view still reads through it
  assert.doesNotThrow(() => db.prepare(`SELECT name FROM "${gate}"`));
  for (const sql of ["SELECT name FROM process_events", "SELECT count(*) FROM process_events", "SELECT max(1, 2)"]) {
    assert.doesNotThrow(() => db.prepare(sql), sql);
  }
  db.close();
});

Deno.test("authorizeReads() for rules allows the functions over one row alone", () => {
  using db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
  db.exec("CREATE TABLE process_events (pid INTEGER, name TEXT)");
  authorizeReads(db, { tables: new Map([["process_events", new Set(["name"])]]), functions: "row", views: null });
  assert.doesNotThrow(() => db.prepare("SELECT name FROM process_events WHERE length(name) > 1 AND name LIKE 'a'"));
  assert.throws(() => db.prepare("SELECT pid FROM process_events"), /prohibited/);
  assert.throws(() => db.prepare("SELECT count(*) FROM process_events"), /not authorized/);
  assert.throws(() => db.prepare("SELECT row_number() OVER () FROM process_events"), /not authorized/);
});

/** Pinned, so that a widening shows in review. `like`, `regexp`, `->` and `->>` are called by operators. */
const ALLOWED = (
  "length,substr,instr,lower,upper,trim,ltrim,rtrim,replace,hex,coalesce,ifnull,nullif,iif,abs,min,max,path_basename," +
  "cidr_match,within,unhex,round,date,time,datetime,julianday,unixepoch,strftime,json_extract,json_array_length," +
  "json_type,json_valid,count,sum,avg,total,group_concat,row_number,rank,dense_rank,lag,lead,first_value,last_value"
).split(",");
const BY_OPERATORS = ["like", "regexp", "->", "->>"];

Deno.test("both gates let the same functions through, and no other that SQLite has", () => {
  using db = storeLike(1);
  const views = openDeadlineViews(db);
  assert.deepEqual([...FUNCTION_NAMES], ALLOWED);
  authorizeReads(db, { tables: catalogColumns(), functions: "query", views });
  for (const name of FUNCTION_NAMES) {
    const { kind, least } = functionOf(name, 9)!;
    const call = `${name}(${Array(least).fill("pid")})${kind === "window" ? " OVER (ORDER BY pid)" : ""}`;
    assert.doesNotThrow(() => db.prepare(`SELECT ${call} FROM processes`), call);
  }
  db.setAuthorizer(null);
  const known = [...db.prepare("SELECT DISTINCT name FROM pragma_function_list").iterate()].map((row) =>
    String((row as { name: string }).name)
  );
  authorizeReads(db, { tables: catalogColumns(), functions: "query", views });
  assert(known.length > 100, "SQLite does not list its functions");
  const allowed = new Set([...ALLOWED, ...BY_OPERATORS, views.tick, views.mark]);
  for (const name of known.filter((name) => !allowed.has(name))) {
    for (const list of ["", "pid", "pid, pid", "pid, pid, pid", "pid, pid, pid, pid"]) {
      for (const over of ["", " OVER (ORDER BY pid)"]) {
        assert.throws(() => db.prepare(`SELECT "${name}"(${list})${over} FROM processes`), Error, name);
      }
    }
  }
});
