import assert from "node:assert/strict";
import fc from "fast-check";
import { DatabaseSync } from "node:sqlite";
import { tableNamed } from "../../../proto/catalog.ts";
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import { RuleEngine } from "../../../proto/rules/engine.ts";
import { MAX_EVIDENCE_BYTES } from "../../../proto/rules/evidence.ts";
import { type ValidatedRule, validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { runRuleTests } from "../../../proto/rules/rule_tests.ts";
import { RandomSql } from "./random_sql.ts";
import { createTable } from "./store_like.ts";

const PLACES = columnPlaces("process_events");

function rule(id: string, sql: string, more = ""): ValidatedRule {
  const text = `id: ${id}\ntitle: t\ndescription: d\nseverity: low\nsql: |\n  ${sql.replaceAll("\n", "\n  ")}\n${more}`;
  return validateRule(parseRule(text, `${id}.yml`));
}

function where(condition: string, columns = "pid"): ValidatedRule {
  return rule("test", `SELECT ${columns} FROM process_events WHERE ${condition}`);
}

function row(values: Record<string, SqlValue>): SqlValue[] {
  const cells: SqlValue[] = Array(PLACES.size).fill(null);
  for (const [name, value] of Object.entries(values)) cells[PLACES.get(name)!] = value;
  return cells;
}

function narrowed(value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}

Deno.test("RuleEngine finds every match of every rule, in the order of rules and rows", () => {
  const rules = [
    rule(
      "shells",
      "SELECT pid, p.name AS what, length(command_line) AS size FROM process_events p WHERE name IN ('sh', 'bash')",
    ),
    rule("odd", "SELECT pid FROM process_events WHERE pid % 2 = 1 -- odd"),
    rule("never", "SELECT pid FROM process_events WHERE name = 'nobody'"),
  ];
  using engine = new RuleEngine(rules);
  const rows = [
    row({ pid: 1, name: "sh", command_line: "sh -c x" }),
    row({ pid: 2, name: "cat" }),
    row({ pid: 3, name: "bash", command_line: null }),
  ];
  for (let again = 0; again < 2; again++) {
    const { hits, faults } = engine.evaluate(rows);
    assert.deepEqual(faults, []);
    assert.deepEqual(hits.map((hit) => [hit.rule.id, hit.row, hit.evidence]), [
      ["shells", 0, { pid: 1, what: "sh", size: 7 }],
      ["shells", 2, { pid: 3, what: "bash", size: null }],
      ["odd", 0, { pid: 1 }],
      ["odd", 2, { pid: 3 }],
    ]);
    assert.equal(hits[0]!.rule, rules[0]);
  }
  assert.deepEqual(engine.evaluate([]), { hits: [], faults: [], suppressed: [] });
  assert.deepEqual(engine.evaluate([row({ pid: 2 })]), { hits: [], faults: [], suppressed: [] });
});

Deno.test("RuleEngine sees more rows than fit one slice, first and last included", () => {
  using engine = new RuleEngine([where("pid IN (0, 255, 256, 511, 999)")]);
  const rows = Array.from({ length: 1_000 }, (_, pid) => row({ pid }));
  assert.deepEqual(engine.evaluate(rows).hits.map((hit) => hit.row), [0, 255, 256, 511, 999]);
  using all = new RuleEngine([where("pid >= 0")]);
  assert.equal(all.evaluate(rows).hits.length, 1_000);
});

Deno.test("RuleEngine shows all columns for *, and computed values beside them", () => {
  using engine = new RuleEngine([where("pid = 7", "*, upper(name) AS loud, pid * 1000000000000000 AS large")]);
  const [hit] = engine.evaluate([row({ pid: 7, name: "nc" })]).hits;
  assert.equal(Object.keys(hit!.evidence).length, PLACES.size + 2);
  assert.deepEqual([hit!.evidence["name"], hit!.evidence["loud"], hit!.evidence["large"]], ["nc", "NC", 7e15]);
  assert.equal(hit!.evidence["cwd"], null);
});

Deno.test("RuleEngine cuts long evidence at a character, and marks the cut", () => {
  using engine = new RuleEngine([where("pid = 1", "command_line, command_line || '!' AS loud")]);
  const text = (command_line: string) => engine.evaluate([row({ pid: 1, command_line })]).hits[0]!.evidence;
  const exact = "é".repeat(MAX_EVIDENCE_BYTES / 2);
  assert.equal(text(exact)["command_line"], exact);
  for (const long of ["x".repeat(MAX_EVIDENCE_BYTES + 1), exact + "é", "€".repeat(5_000), "😀".repeat(2_000)]) {
    for (const value of Object.values(text(long))) {
      assert(typeof value === "string" && value.endsWith("…") && value.isWellFormed());
      const bytes = new TextEncoder().encode(value).length;
      assert(bytes <= MAX_EVIDENCE_BYTES && bytes > MAX_EVIDENCE_BYTES - 4, String(bytes));
      assert(long.startsWith(value.slice(0, -1)));
    }
  }
});

Deno.test("RuleEngine loses to a failing row that row alone, and says so", () => {
  const fragile = where("json_array_length(argv) = 2");
  using engine = new RuleEngine([fragile, where("pid = 3")]);
  const good = row({ argv: '["a","b"]' }), bad = row({ argv: "[" });
  const rows = [good, bad, good, bad, row({ pid: 3, argv: "[]" }), good];
  const { hits, faults } = engine.evaluate(rows);
  assert.deepEqual(hits.map((hit) => [hit.rule === fragile, hit.row]), [[true, 0], [true, 2], [true, 5], [false, 4]]);
  assert.deepEqual(faults, [{ rule: fragile, reason: "malformed JSON", rows: 2, timedOut: false }]);
  const many = Array.from({ length: 600 }, (_, i) => i === 300 ? bad : good);
  const after = engine.evaluate(many);
  assert.deepEqual([after.hits.length, after.faults[0]!.rows], [599, 1]);
});

Deno.test("RuleEngine gives a rule its time for a batch and no more, and counts what it did not judge", () => {
  // Each row costs milliseconds: pairs of functions over a long text.
  const slow = where(`${Array(40).fill("length(replace(upper(command_line), 'A', 'BBBB')) < 5").join(" OR ")}`);
  const quick = where("pid = 2999");
  using engine = new RuleEngine([slow, quick], { deadlineMs: 20 });
  const command_line = "a".repeat(16_000);
  const rows = Array.from({ length: 3_000 }, (_, pid) => row({ pid, command_line }));
  const { hits, faults } = engine.evaluate(rows);
  assert.deepEqual(hits.map((hit) => [hit.rule === quick, hit.row]), [[true, 2_999]]);
  assert.equal(faults.length, 1);
  assert.deepEqual([faults[0]!.reason, faults[0]!.timedOut], ["stopped after 20 ms", true]);
  assert(faults[0]!.rows >= 256 && faults[0]!.rows < 3_000, String(faults[0]!.rows));
});

Deno.test("RuleEngine takes no hunt", () => {
  const hunting = { ...where("pid = 1") };
  Object.assign(hunting, { query: { ...hunting.query, row: null } });
  assert.throws(() => new RuleEngine([hunting]), TypeError);
});

Deno.test("RuleEngine answers as plain SQL over the stored rows does", () => {
  using store = new DatabaseSync(":memory:");
  const table = tableNamed("process_events");
  store.exec(createTable(table));
  const insert = store.prepare(`INSERT INTO process_events VALUES (${table.columns.map(() => "?").join(", ")})`);
  const texts = ["sh", "bash", "50%", "it's", "", "a%", '["sh"]', "é;--"];
  const rows = Array.from({ length: 40 }, (_, i) =>
    table.columns.map(({ name, type }, column): SqlValue => {
      if (name === "event_id") return i;
      const pick = i * 7 + column * 3;
      if (pick % 9 === 0) return null;
      return type === "TEXT" ? texts[pick % texts.length]! : type === "REAL" ? pick / 4 : pick % 13;
    }));
  for (const cells of rows) insert.run(...cells);
  let compared = 0, matched = 0;
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const sql = new RandomSql(seed, 0).rule();
      let validated: ValidatedRule;
      try {
        validated = rule("random", sql);
      } catch {
        return;
      }
      using engine = new RuleEngine([validated]);
      const { hits, faults } = engine.evaluate(rows);
      if (faults.length > 0) return;
      compared++;
      matched += hits.length;
      const statement = store.prepare(`${sql} ORDER BY event_id`);
      // A number beyond 2^53 would end iterate() without a word; no function here throws, so all() does return.
      statement.setReadBigInts(true);
      // deno-lint-ignore daemoneye/no-statement-all
      const expected = statement.all().map((found) => Object.values(found).map(narrowed));
      assert.deepEqual(hits.map((hit) => Object.values(hit.evidence)), expected, sql);
    }),
    { numRuns: 600 },
  );
  assert(compared > 300 && matched > 1_000, `${compared} rules, ${matched} matches`);
});

Deno.test("runRuleTests() tells rows that were judged rightly from others, with their lines", () => {
  const tested = rule(
    "tested",
    "SELECT pid FROM process_events WHERE json_array_length(argv) > 1",
    `tests:
  match:
    - { argv: '[1,2]' }
    - { argv: '[1]' }
  no_match:
    - { argv: '[]' }
    - { argv: '[1,2,3]' }
    - { argv: '[' }
`,
  );
  const results = runRuleTests(tested);
  assert.deepEqual(results.map(({ expected, got, passed }) => [expected, got, passed]), [
    [true, true, true],
    [true, false, false],
    [false, false, true],
    [false, true, false],
    [false, null, false],
  ]);
  assert.deepEqual(results.map(({ position }) => position.line), [9, 10, 12, 13, 14]);
  assert.equal(results[4]!.fault, "malformed JSON");
});
