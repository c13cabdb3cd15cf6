import assert from "node:assert/strict";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { bindParameters, parametersOf, type ParameterValue } from "../../../proto/rules/sql_parameters.ts";
import { SqlRefusedError } from "../../../proto/rules/sql_refused.ts";

const bound = (sql: string, values: Record<string, ParameterValue>): string =>
  bindParameters(sql, new Map(Object.entries(values))).replaceAll(/ +/g, " ").trim();

Deno.test("bindParameters() puts each value in as one literal, and none into texts, names or comments", () => {
  assert.equal(bound("SELECT :a, :a, :b", { a: 1n, b: "x" }), "SELECT 1 , 1 , 'x'");
  assert.equal(bound(`SELECT ':a' AS ":a" -- :a\n/* :a */`, {}), `SELECT ':a' AS ":a" -- :a\n/* :a */`);
  assert.equal(bound("SELECT pid - :a", { a: -5 }), "SELECT pid - (-5)");
  assert.equal(bound("SELECT pid -:a", { a: -1.5 }), "SELECT pid - (-1.5)");
  assert.deepEqual(parametersOf("SELECT :a, ':b', :c, :a"), ["a", "c"]);
});

Deno.test("bindParameters() lets no text change the query that it stands in", () => {
  const sql = "SELECT pid FROM processes WHERE name = :name";
  const hostile = [
    "'",
    "''",
    "' OR 1 = 1 --",
    "x' UNION SELECT name FROM sqlite_schema --",
    "'; DELETE FROM processes; --",
    ":name",
    "/*",
    "\\'",
    "\u2019 OR \uff07",
    "a\nb\tc",
    '"',
  ];
  for (const value of hostile) {
    const guarded = guardSql(bindParameters(sql, new Map([["name", value]])), "hunt");
    assert.deepEqual(guarded.needs.tables, ["processes"], value);
    assert.equal(guarded.sql.trim(), `${sql.replace(":name", "").trim()}  '${value.replaceAll("'", "''")}'`);
  }
});

Deno.test("bindParameters() keeps a value apart from what stands beside its parameter", () => {
  for (const sql of ["SELECT 1:a FROM processes", "SELECT 'x':a FROM processes", "SELECT pid AS b:a FROM processes"]) {
    for (const value of ["y", 2n]) {
      assert.throws(() => guardSql(bindParameters(sql, new Map([["a", value]])), "hunt"), SqlRefusedError, sql);
    }
  }
});

Deno.test("bindParameters() refuses what has no value, and values that no query may hold", () => {
  const refuses = (value: ParameterValue | undefined, reason: RegExp): void => {
    const values = new Map(value === undefined ? [] : [["a", value] as const]);
    assert.throws(() => bindParameters("SELECT :a", values), reason);
  };
  refuses(undefined, /The parameter :a has no value/);
  refuses("\0", /control character/);
  refuses("\u001b[2J", /control character/);
  refuses("\ud800", /half a character/);
  refuses("x".repeat(4_097), /longer than 4096/);
  refuses(NaN, /no number/);
  for (const sql of ["SELECT ?", "SELECT @a", "SELECT $a", "SELECT :1", "SELECT : a"]) {
    assert.throws(() => bindParameters(sql, new Map([["a", 1]])), /A parameter is a colon and a name/, sql);
  }
});
