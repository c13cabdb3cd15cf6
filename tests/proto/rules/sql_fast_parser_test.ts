import assert from "node:assert/strict";
import { parse } from "sql-parser-cst";
import { ruleFile, type Shape } from "../../../bench/support/real_shaped_rules.ts";
import { tableNamed } from "../../../proto/catalog.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { parsePlainSelect } from "../../../proto/rules/sql_fast_parser.ts";
import { FUNCTION_NAMES } from "../../../proto/rules/sql_functions.ts";
import { lexSql } from "../../../proto/rules/sql_lexer.ts";
import { checkSyntax } from "../../../proto/rules/sql_syntax.ts";
import { Random } from "../../fuzz/random.ts";
import { ATTACKS, mutated } from "./attacks.ts";
import lines from "./legitimate.sql" with { type: "text" };
import { RandomSql } from "./random_sql.ts";
import { RandomWhere } from "./random_where.ts";

/** Whether the query was plain; fails when it is read in another way than the library reads it. */
function isSame(sql: string): boolean {
  let lexed: ReturnType<typeof lexSql>;
  try {
    lexed = lexSql(sql);
    checkSyntax(lexed);
  } catch {
    return false; // the guard comes no further
  }
  const plain = parsePlainSelect(lexed);
  if (plain === null) return false;
  const statements = parse(lexed.sql, { dialect: "sqlite", includeRange: true }).statements
    .filter((each) => each.type !== "empty");
  assertSame(plain, statements.length === 1 ? statements[0] : statements, sql);
  return true;
}

/** Of trees that may be thousands deep. The library's nodes hold `undefined` where something is left out. */
function assertSame(plain: unknown, library: unknown, sql: string): void {
  const pairs: [unknown, unknown][] = [[plain, library]];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const [a, b] = pair;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
      assert.equal(a, b, sql);
      continue;
    }
    assert.equal(Array.isArray(a), Array.isArray(b), sql);
    const held = (node: object) => Object.entries(node).filter(([, value]) => value !== undefined);
    const others = new Map(held(b)), own = held(a);
    assert.deepEqual(own.map(([key]) => key).sort(), [...others.keys()].sort(), sql);
    for (const [key, value] of own) pairs.push([value, others.get(key)]);
  }
}

const where = (condition: string): string => `SELECT pid FROM process_events WHERE ${condition}`;

Deno.test("parsePlainSelect() reads the rules that there are most of, as the library does", () => {
  for (const shape of ["linux", "windows"] satisfies Shape[]) {
    for (let i = 0; i < 150; i++) assert.ok(isSame(parseRule(ruleFile(7, i, shape), "r.yml").sql), `${shape} ${i}`);
  }
});

Deno.test("parsePlainSelect() reads each plain form as the library does", () => {
  const plain = [
    "pid = 1",
    "NOT pid = 1",
    "NOT NOT pid = 1",
    "NOT (pid = 1 OR NOT ppid <> 2)",
    "name = 'a' OR name = 'b' AND pid == 3 OR pid != 4",
    "name = 'it''s' and Name <> ''''",
    "name LIKE 'a\\_%' ESCAPE '\\' AND name NOT LIKE '%b'",
    "name REGEXP 'a+' AND name not regexp 'b'",
    "pid IN (1, 2.5, -3) AND name NOT IN ('a')",
    "pid BETWEEN 1 AND 2 AND pid NOT BETWEEN -1 AND +7 OR pid >= 9",
    "name IS NULL AND tty IS NOT NULL AND (pid > 1) IS NOT TRUE AND file_exists IS FALSE",
    "process_events.name = cwd AND lower(name) = 'a' AND coalesce(name, cwd, '') <> upper(trim(name))",
    "within(start_time, '5m', time) AND cidr_match(name, '10.0.0.0/8')",
    "\"name\" = 'x' AND ((((pid < 3))))",
    "TRUE",
    "name = 'a'\n  -- a comment\n  AND /* another */ pid <= 007;",
    "name = 'é😀\n' AND pid > -\n 1",
  ];
  for (const condition of plain) assert.ok(isSame(where(condition)), condition);
  for (const { name } of tableNamed("process_events").columns) assert.ok(isSame(where(`${name} = 1`)), name);
  for (const select of ["*", "pid, name AS n, p.name AS \"x\", lower(name) AS l, 1 AS one, 'a' AS t, (pid) AS q"]) {
    for (const table of ["process_events p", "process_events AS p", '"process_events" AS p']) {
      assert.ok(isSame(`select ${select} from ${table} where p.pid = 1`), `${select} ${table}`);
    }
  }
});

Deno.test("parsePlainSelect() reads calls as the library does, or leaves them to it", () => {
  let plain = 0;
  for (const name of FUNCTION_NAMES) {
    for (const args of ["name", "name, 'a'", "name, 1, 2"]) plain += Number(isSame(where(`${name}(${args}) = 1`)));
  }
  assert.ok(plain > FUNCTION_NAMES.length, `${plain}`);
});

Deno.test("parsePlainSelect() leaves to the library what is not plain", () => {
  const others = [
    "SELECT pid FROM process_events",
    "SELECT DISTINCT pid FROM process_events WHERE pid = 1",
    "SELECT pid x FROM process_events WHERE pid = 1",
    "SELECT pid FROM process_events, processes WHERE pid = 1",
    "SELECT pid FROM process_events WHERE pid = 1 GROUP BY pid",
    "SELECT pid FROM process_events WHERE pid = 1 UNION SELECT 1",
    "WITH a AS (SELECT 1) SELECT pid FROM a WHERE pid = 1",
    ...[
      "pid + 1 = 2",
      "name || 'a' = 'b'",
      "pid = 1 = 1",
      "pid IN (SELECT 1)",
      "(pid, ppid) = (1, 2)",
      "pid < 1 IS NULL",
    ],
    ...["pid = 0x1f", "pid = 1e3", "pid = .5", "pid NOTNULL", "pid IS DISTINCT FROM 1", "name COLLATE NOCASE = 'a'"],
    ...["count(*) > 1", "count(DISTINCT pid) > 1", "random() = 1", "name GLOB 'a'", "name LIKE lower('a') || 'b'"],
  ].map((text) => /^(select|with) /i.test(text) ? text : where(text));
  for (const sql of others) assert.equal(parsePlainSelect(lexSql(sql)), null, sql);
});

Deno.test("parsePlainSelect() agrees with the library on the queries of analysts, of chance, and of attackers", () => {
  let plain = 0;
  for (const line of lines.split("\n").filter((line) => line !== "" && !line.startsWith("#"))) {
    plain += Number(isSame(/^(select|with) /i.test(line) ? line : where(line)));
  }
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!, random = new Random(seed, 0);
  try {
    for (let i = 0; i < 400; i++) {
      isSame(new RandomSql(seed + i).rule());
      isSame(new RandomSql(seed + i).hunt());
      plain += Number(isSame(new RandomWhere(random).sql()));
    }
    for (const { queries } of ATTACKS) {
      for (const query of queries) {
        isSame(query);
        isSame(mutated(query, random));
      }
    }
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
  assert.ok(plain > 60, `${plain}`);
});
