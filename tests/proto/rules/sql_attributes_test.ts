import assert from "node:assert/strict";
import { HASH_COLUMNS } from "../../../proto/rules/sql_attributes.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";

function attributes(where: string, select = "pid"): [boolean, string] {
  const { hashes, variables, otherVariables } =
    guardSql(`SELECT ${select} FROM process_events WHERE ${where}`, "rule").attributes;
  return [hashes, otherVariables ? "?" : variables.join()];
}

function variables(where: string): string {
  return attributes(where)[1];
}

Deno.test("a rule that reads neither hashes nor variables needs nothing, also with a star", () => {
  assert.deepEqual(attributes("name = 'nc' AND command_line LIKE '%environment%'"), [false, ""]);
  assert.deepEqual(attributes("argv ->> 0 = 'nc'", "*"), [false, ""]);
  assert.deepEqual(attributes("modified_fields LIKE '%\"executable_hash\"%'"), [false, ""]);
});

Deno.test("each column that the hasher fills needs hashes, asked about or shown", () => {
  for (const column of HASH_COLUMNS) {
    assert.deepEqual(attributes(`${column} IS NOT NULL`), [true, ""], column);
    assert.deepEqual(attributes("name = 'nc'", `pid, "${column.toUpperCase()}" AS x`), [true, ""], column);
  }
});

Deno.test("the variables are the keys that are taken out of the environment, in every way to write it", () => {
  assert.equal(variables("environment ->> 'FOO' = 'bar'"), "FOO");
  assert.equal(variables("(environment) -> '$.FOO' IS NOT NULL"), "FOO");
  assert.equal(variables(`environment ->> '$."FOO"' = 1 OR "Environment" ->> 'FOO=2' = 1`), "FOO");
  assert.equal(variables(`environment ->> '$."BAR=3"' = 1`), "BAR");
  assert.equal(variables("json_extract(environment, '$.B', '$.A') = 1"), "A,B");
  assert.equal(variables(`environment LIKE '%"FOO":"x%' AND environment NOT LIKE '%"BAR":%'`), "BAR,FOO");
  assert.equal(variables(`lower(environment) LIKE '%"foo":%'`), "foo");
  assert.equal(variables(`environment LIKE '%"LD!_PRELOAD":%' ESCAPE '!'`), "LD_PRELOAD");
  assert.equal(variables(`environment REGEXP '"A":".*x'`), "A");
  assert.equal(variables(`instr(environment, '"A":') > 0`), "A");
  assert.equal(variables(`process_events.environment ->> 'FOO' = 'bar'`), "FOO");
});

Deno.test("what is no key is no variable", () => {
  assert.equal(variables(`environment ->> 'A' = '"B":' AND argv ->> 'C' = 1`), "A");
  assert.equal(variables(`environment ->> 'A' ->> 'B' = 1`), "A");
  assert.equal(variables("environment ->> '=cut' = 1"), "?", "what says that something is missing");
  assert.equal(variables("environment ->> 'A-B' = 1"), "?");
});

Deno.test("a rule that reads variables without naming one is told from one that reads none", () => {
  assert.equal(variables("environment IS NOT NULL"), "?");
  assert.equal(variables("environment LIKE '%evil%'"), "?");
  assert.deepEqual(attributes("name = 'nc'", "pid, environment"), [false, "?"]);
});

Deno.test("a rule over a window is read through, under the names that it gives; a hunt asks nothing of anybody", () => {
  const sql = `WITH e AS (SELECT time, pid, environment AS v FROM process_events WHERE event_type = 'start')
    SELECT pid, count(*) AS n FROM e WHERE v ->> 'Q' = 1 GROUP BY pid HAVING count(*) > 1`;
  assert.deepEqual(guardSql(sql, "window").attributes.variables, ["Q"]);
  const joined = `SELECT a.pid AS p, b.fuzzy_hash AS h FROM process_events a JOIN process_events b ON a.pid = b.ppid
    WHERE a.event_type = 'start' AND b.event_type = 'modify' AND a.environment ->> 'A' = b.environment ->> 'B'`;
  assert.deepEqual(guardSql(joined, "window").attributes, {
    hashes: true,
    variables: ["A", "B"],
    otherVariables: false,
  });
  assert.equal(guardSql("SELECT executable_hash FROM process_events", "hunt").attributes.hashes, false);
});
