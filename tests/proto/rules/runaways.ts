/**
 * Queries that pass the guard and do not end in time: what stops them is the deadline, and here is what they run over.
 *
 * The rows are as hostile as the wire lets them be: texts that match each pattern nearly everywhere, as long as a command
 * line and an environment may be.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { CATALOG } from "../../../proto/catalog.ts";
import { READ_LIMITS } from "../../../proto/rules/authorizer.ts";
import { createTable } from "./store_like.ts";

/** A store in which a query that joins `process_events` with itself does not end. */
export function hostileStore(rows = 8_000): DatabaseSync {
  const db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
  for (const table of CATALOG.values()) db.exec(createTable(table));
  db.exec(
    `INSERT INTO process_events (event_id, time, pid, ppid, name)
     WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ${rows})
     SELECT x, x, x, x % 777, 'n' || x FROM c`,
  );
  // After many rows that cost nothing, some that cost as much as a row can
  const insert = db.prepare(
    "INSERT INTO process_events (event_id, time, pid, name, command_line, environment) VALUES (?, 1, 1, 'a', ?, ?)",
  );
  const json = `{${Array.from({ length: 4_000 }, (_, i) => `"V${i}":"aaaa"`).join(",")}}`;
  for (let i = 0; i < 400; i++) insert.run(1_000_000 + i, "a".repeat(49_000), i % 2 === 0 ? "a".repeat(65_000) : json);
  return db;
}

const P = "FROM process_events";
const TWO = `${P} a JOIN process_events b ON 1`;
const distinct = `(SELECT DISTINCT pid, ppid ${P})`;
const many = (count: number, make: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => make(i)).join(" OR ");

export const RUNAWAYS: Readonly<Record<string, string>> = {
  "a join that no index helps":
    `SELECT count(*) ${P} a JOIN process_events b ON a.pid + b.pid = -1 JOIN process_events c ON c.pid + b.pid = -1`,
  "a threefold product": `SELECT count(*) ${TWO} JOIN process_events c ON 1`,
  "a fivefold product":
    `SELECT count(*) ${TWO} JOIN process_events c ON 1 JOIN process_events d ON 1 JOIN process_events e ON 1`,
  "a correlated subquery":
    `SELECT count(*) ${P} a JOIN process_events c ON 1 WHERE (SELECT count(*) ${P} b WHERE b.name || a.name = 'zz') > 0`,
  "subqueries in subqueries":
    `SELECT pid ${P} a WHERE a.pid < (SELECT count(*) ${P} b WHERE b.pid < (SELECT count(*) ${P} c WHERE c.pid < (SELECT count(*) ${P} d WHERE d.ppid = a.ppid + b.ppid + c.ppid)))`,
  "NOT EXISTS":
    `SELECT count(*) ${P} a JOIN process_events c ON 1 WHERE NOT EXISTS (SELECT 1 ${P} b WHERE instr(b.name, a.name || c.name || 'q') > 0)`,
  "a product of CTEs in temporary tables":
    `WITH x AS ${distinct} SELECT count(*) FROM x a JOIN x b ON a.pid + b.pid = -1 JOIN x c ON c.pid + a.pid = -1`,
  "CTEs of CTEs":
    `WITH x AS (SELECT a.pid ${TWO}), y AS (SELECT a.pid FROM x a JOIN x b ON 1) SELECT count(*) FROM y a JOIN y b ON 1`,
  "a product of subqueries in temporary tables":
    `SELECT count(*) FROM ${distinct} a JOIN ${distinct} b ON a.pid + b.pid = -1 JOIN ${distinct} c ON 1`,
  "outer joins of views in temporary tables":
    `SELECT count(*) ${P} a LEFT JOIN process_events b ON a.pid + b.pid = -1 LEFT JOIN process_events c ON a.pid + c.pid = -1 LEFT JOIN process_events d ON a.pid + d.pid = -1`,
  "outer joins of CTEs":
    `WITH x AS ${distinct} SELECT count(*) FROM x a LEFT JOIN x b ON a.pid + b.pid = -1 LEFT JOIN x c ON a.pid + c.pid = -1 LEFT JOIN x d ON c.pid = 1 AND d.pid < 0`,
  "EXISTS over a CTE":
    `WITH x AS ${distinct} SELECT count(*) ${TWO} WHERE EXISTS (SELECT 1 FROM x WHERE x.pid + a.pid + b.pid = -1)`,
  "a union of both":
    `SELECT count(*) FROM (SELECT pid ${P} UNION SELECT ppid ${P}) a JOIN (SELECT pid ${P} UNION ALL SELECT ppid ${P}) b ON a.pid + b.pid = -1`,
  "rows without end": `SELECT a.pid ${TWO} JOIN process_events c ON 1`,
  "a sort of a product": `SELECT a.name || b.name AS x ${TWO} ORDER BY x DESC LIMIT 9`,
  "groups of a product": `SELECT a.name || b.name AS x, count(*) ${TWO} GROUP BY x`,
  "DISTINCT of a product": `SELECT DISTINCT a.name || b.name ${TWO}`,
  "a window over a product": `SELECT max(a.name || b.name) OVER (ORDER BY a.pid ROWS 9999 PRECEDING) ${TWO}`,
  "texts of windows":
    `SELECT count(*) FROM (SELECT group_concat(command_line) OVER (ORDER BY pid) AS g ${P}) q WHERE g LIKE '%x_y%'`,
  "texts of groups of a product": `SELECT group_concat(a.name, b.name) ${TWO} GROUP BY a.ppid`,
  "IN a subquery of a product": `SELECT pid ${P} WHERE pid IN (SELECT -a.pid ${TWO})`,
  "EXCEPT of products": `SELECT a.pid ${TWO} EXCEPT SELECT b.pid ${TWO}`,
  "a pattern that matches itself": `SELECT count(*) ${P} WHERE command_line LIKE '%${"a".repeat(90)}b%'`,
  "many patterns that match themselves": `SELECT count(*) ${P} WHERE ${
    many(4, (i) => `environment LIKE '%${"a".repeat(24)}${"bcde"[i]}%'`)
  }`,
  "patterns of wildcards": `SELECT count(*) ${P} WHERE environment LIKE '%${"a_".repeat(45)}b%'`,
  "a search for a text of the row":
    `SELECT count(*) ${P} WHERE instr(command_line, substr(command_line, 1, 24000) || 'b') > 0`,
  "a replacement of a text of the row":
    `SELECT count(*) ${P} WHERE replace(command_line, substr(command_line, 1, 24000) || 'b', '') = ''`,
  "texts that grow": `SELECT count(*) ${P} WHERE replace(hex(command_line), '6', '66666666') = 'x'`,
  "texts without their ends": `SELECT count(*) ${P} WHERE trim(command_line, 'zyxwvutsrqponmlkjihgfedcba') <> ''`,
  "regular expressions over a product":
    `SELECT count(*) ${TWO} WHERE a.command_line || b.environment REGEXP '(a|b)*a(a|b){9}c'`,
  "JSON of many values": `SELECT count(*) ${P} WHERE json_valid(environment) AND (${
    many(60, (i) => `environment ->> 'V39${i}' = 'b'`)
  })`,
  "a sort of many rows": `SELECT a.name || b.name AS x ${TWO} AND b.pid < 64 ORDER BY x DESC`,
  "many groups of many rows": `SELECT a.name || b.name AS x, count(*) ${TWO} AND b.pid < 64 GROUP BY x`,
  "a window over many rows": `SELECT count(*) OVER (ORDER BY a.name || b.name) AS n ${TWO} AND b.pid < 64`,
  "values that differ": `SELECT count(DISTINCT a.name || b.name) ${TWO} AND b.pid < 64`,
  "calls without end": `SELECT count(*) ${P} WHERE ${many(100, () => "upper(lower(command_line)) = 'x'")}`,
};

/** The same for rules over a window: each reference has a condition of its own, as it must. */
export const WINDOW_RUNAWAYS: Readonly<Record<string, string>> = {
  "a join that no index helps":
    `SELECT a.pid AS p, b.pid AS q, c.pid AS r ${P} a JOIN process_events b ON b.time > 0 AND a.pid + b.pid = -1 JOIN process_events c ON c.time > 0 AND c.pid + b.pid = -1 WHERE a.time > 0`,
  "groups of a product":
    `SELECT a.ppid, count(*) AS n ${P} a JOIN process_events b ON b.time > 0 WHERE a.time > 0 GROUP BY a.ppid HAVING count(*) > 1000000000`,
  "many groups of many rows":
    `SELECT a.name || b.name AS x, count(*) AS n ${P} a JOIN process_events b ON b.pid < 64 WHERE a.time > 0 GROUP BY x HAVING count(*) > 1000000000`,
  "a correlated subquery":
    `SELECT a.pid AS p ${P} a WHERE a.time > 0 AND (SELECT count(*) ${P} b WHERE b.time > 0 AND b.name || a.name = 'zz') > 0`,
  "NOT EXISTS":
    `SELECT a.pid AS p ${P} a JOIN process_events c ON c.time > 0 WHERE a.time > 0 AND EXISTS (SELECT 1 ${P} b WHERE b.time > 0 AND instr(b.name, a.name || c.name || 'q') > 0)`,
  "texts of groups":
    `SELECT ppid, group_concat(command_line) AS g ${P} WHERE time > 0 GROUP BY ppid HAVING length(group_concat(environment)) > 1000000000`,
  "JSON of many values": `SELECT ppid, count(*) AS n ${P} WHERE time > 0 AND json_valid(environment) AND (${
    many(60, (i) => `environment ->> 'V39${i}' = 'b'`)
  }) GROUP BY ppid HAVING count(*) > 1`,
  "a pattern that matches itself, in what every event must meet":
    `SELECT ppid, count(*) AS n ${P} WHERE command_line LIKE '%${"a".repeat(90)}b%' GROUP BY ppid HAVING count(*) > 1`,
  "patterns of wildcards, in what every event must meet": `SELECT ppid, count(*) AS n ${P} WHERE environment LIKE '%${
    "a_".repeat(45)
  }b%' GROUP BY ppid HAVING count(*) > 1`,
  "a regular expression, in what every event must meet":
    `SELECT ppid, count(*) AS n ${P} WHERE command_line REGEXP '(a|b)*a(a|b){9}c' GROUP BY ppid HAVING count(*) > 1`,
  "calls, in what every event must meet": `SELECT ppid, count(*) AS n ${P} WHERE (${
    many(40, (i) => `replace(upper(command_line), 'A', 'b${i}') = 'x'`)
  }) GROUP BY ppid HAVING count(*) > 1`,
};

/** Queries of the same kinds that nothing could stop: the guard refuses them. */
export const UNSTOPPABLE: Readonly<Record<string, string>> = {
  "recursion": "WITH c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
  "a product of literals":
    "SELECT count(*) FROM (SELECT 1 UNION ALL SELECT 2) a JOIN (SELECT 1 UNION ALL SELECT 2) b ON 1",
  "rows out of JSON": "SELECT count(*) FROM json_each('[1,2]') a JOIN json_each('[1,2]') b",
  "a text of the row to take off": `SELECT trim(command_line, environment) ${P}`,
  "a text of many characters to take off": `SELECT trim(command_line, '${"b".repeat(100)}a') ${P}`,
  "a pattern of the row": `SELECT pid ${P} WHERE command_line LIKE environment`,
  "a pattern that matches itself 500 times": `SELECT pid ${P} WHERE command_line LIKE '%${"a".repeat(500)}b%'`,
  "patterns that match themselves, together": `SELECT pid ${P} WHERE ${
    many(40, (i) => `name LIKE '%${"a".repeat(10)}${i}%'`)
  }`,
  "searches for texts of the row, many": `SELECT pid ${P} WHERE ${
    many(20, (i) => `instr(environment, command_line || ${i}) > 0`)
  }`,
  "texts that grow from step to step":
    `SELECT pid ${P} WHERE replace(replace(hex(hex(name)), '3', '33333333'), '3', '33333333') LIKE '%4%'`,
  "texts joined from step to step": `SELECT name || ${Array(20).fill("command_line").join(" || ")} AS x ${P}`,
  "a replacement by a text of the row": `SELECT replace(command_line, 'a', command_line) ${P}`,
  "regular expressions of many steps, many": `SELECT pid ${P} WHERE ${
    many(12, (i) => `name REGEXP '(a?){99}a{99}${i}'`)
  }`,
  "a regular expression out of the row": `SELECT pid ${P} WHERE name REGEXP cwd`,
  "look-around": `SELECT pid ${P} WHERE name REGEXP '(?=(a+)+)b'`,
  "a frame that is gone over for every row":
    `SELECT max(name) OVER (ORDER BY pid ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) ${P}`,
  "functions of too many calls": `SELECT pid ${P} WHERE ${
    many(300, () => "upper(lower(trim(hex(command_line)))) = 'x'")
  }`,
};
