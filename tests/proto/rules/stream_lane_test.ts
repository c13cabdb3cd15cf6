import assert from "node:assert/strict";
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import { RuleEngine } from "../../../proto/rules/engine.ts";
import { columnAt } from "../../../proto/rules/predicate.ts";
import { furtherTerms, requiredTerms, type Term } from "../../../proto/rules/required_terms.ts";
import { laneOf, rowQuery, type ValidatedRule, validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { StreamLane } from "../../../proto/rules/stream_lane.ts";

const PLACES = columnPlaces("process_events");

function rule(condition: string, columns = "pid"): ValidatedRule {
  const sql = `SELECT ${columns} FROM process_events WHERE ${condition}`;
  return validateRule(
    parseRule(`id: test\ntitle: t\ndescription: d\nseverity: low\nsql: |\n  ${sql.replaceAll("\n", "\n  ")}\n`, "r"),
  );
}

function row(values: Record<string, SqlValue>): SqlValue[] {
  const cells: SqlValue[] = Array(PLACES.size).fill(null);
  for (const [name, value] of Object.entries(values)) cells[PLACES.get(name)!] = value;
  return cells;
}

function lane(condition: string): string {
  return laneOf(rule(condition));
}

Deno.test("laneOf() sends to SQLite what only SQLite computes, and says why", () => {
  for (
    const condition of [
      "name = 'sh' AND command_line LIKE '%x%' ESCAPE '\\'",
      "effective_capabilities & (1 << 21) AND NOT user_id = 0",
      "(ifnull(parent_name, '') NOT IN ('runc', 'crun')) IS NOT 0",
      "substr(lower(name), 1, 2) || pid = 'sh7' OR CAST(pid AS TEXT) LIKE '_7'",
      "duration_ms / 2 > 1.5 OR CASE user_id WHEN 0 THEN 1 END",
    ]
  ) assert.equal(lane(condition), "stream", condition);
  const elsewhere: readonly (readonly [string, RegExp])[] = [
    ["json_extract(environment, '$.A') = 'x'", /^sql: json_extract\(\) is SQLite's to compute$/],
    ["date(time) = '2026-01-01'", /^sql: date\(\)/],
    ["round(duration_ms) = 1", /^sql: round\(\)/],
    ["duration_ms LIKE '1%'", /a floating number is needed as a text/],
    ["name + 1 = 2", /a text is computed with as a number/],
    ["name", /the truth of a text/],
    ["pid = 9007199254740993", /beyond 2\^53/],
    ["pid IS DISTINCT FROM ppid IS DISTINCT FROM user_id > 3", /need parentheses/],
    ["name LIKE 'a!' ESCAPE '!'", /never matches/],
    [
      Array.from({ length: 450 }, (_, i) => `lower(name) || ${i} = trim(cwd) || ${i}`).join(" OR "),
      /the size \d+; 2048/,
    ],
  ];
  for (const [condition, reason] of elsewhere) assert.match(lane(condition), reason, condition);
});

Deno.test("both lanes together keep the order of rules and rows", () => {
  const rules = [rule("round(pid) = 2"), rule("pid IN (1, 2)"), rule("round(pid) > 0"), rule("pid > 1")];
  using engine = new RuleEngine(rules);
  const { hits } = engine.evaluate([row({ pid: 1 }), row({ pid: 2 })]);
  assert.deepEqual(hits.map((hit) => [rules.indexOf(hit.rule), hit.row]), [[0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [
    3,
    1,
  ]]);
});

Deno.test("where a predicate cannot tell, SQLite does", () => {
  const large = rule("pid * 4 > 0", "pid, pid * 4 AS four");
  assert.equal(laneOf(large), "stream");
  using engine = new RuleEngine([large, rule("name = pid")]);
  const rows = [
    row({ pid: 2 ** 52 }),
    row({ pid: -(2 ** 52) }),
    row({ pid: 1000, name: "1e3" }),
    row({ pid: 3, name: " 3 " }),
  ];
  const { hits, faults } = engine.evaluate(rows);
  assert.deepEqual(faults, []);
  assert.deepEqual(hits.map((hit) => [hit.row, Object.values(hit.evidence)]), [
    [0, [2 ** 52, 2 ** 54]],
    [2, [1000, 4000]],
    [3, [3, 12]],
    [2, [1000]],
    [3, [3]],
  ]);
});

Deno.test("a computed output that fails on a row costs that verdict, and says so", () => {
  const fragile = rule("pid > 0", "json_extract(argv, '$[0]') AS first");
  using engine = new RuleEngine([fragile]);
  const { hits, faults } = engine.evaluate([
    row({ pid: 1, argv: '["a"]' }),
    row({ pid: 2, argv: "[" }),
    row({ pid: 0 }),
  ]);
  assert.deepEqual(hits.map((hit) => [hit.row, hit.evidence]), [[0, { first: "a" }]]);
  assert.deepEqual(faults, [{ rule: fragile, reason: "malformed JSON", rows: 1, timedOut: false }]);
});

Deno.test("a predicate that is slow on long texts is stopped, and the others see all rows", () => {
  const slow = rule(
    Array.from({ length: 6 }, (_, i) => `command_line LIKE '%${"a_".repeat(20)}b${i}%'`).join(" OR "),
  );
  const quick = rule("pid = 2999");
  assert.equal(laneOf(slow), "stream");
  using engine = new RuleEngine([slow, quick], { deadlineMs: 5 });
  // What the automaton looks for is there, so that the predicate must look itself
  const command_line = "a".repeat(4_000) + Array.from({ length: 6 }, (_, i) => `x_b${i}`).join("");
  const rows = Array.from({ length: 3_000 }, (_, pid) => row({ pid, command_line }));
  const { hits, faults } = engine.evaluate(rows);
  assert.deepEqual(hits.map((hit) => [hit.rule === quick, hit.row]), [[true, 2_999]]);
  assert.deepEqual(faults.map(({ rule, reason, timedOut }) => [rule === slow, reason, timedOut]), [
    [true, "stopped after 5 ms", true],
  ]);
  assert(faults[0]!.rows > 0 && faults[0]!.rows < 3_000, String(faults[0]!.rows));
});

Deno.test("a rule that wants two things is asked about rows that have a text of both, and finds what it did", () => {
  const image = "(executable_path LIKE '%/bash' OR executable_path LIKE '%/python3')";
  const words = "(command_line LIKE '% -qx %' OR command_line LIKE '% --zap%')";
  const form = rowQuery(rule(`event_type = 'start' AND ${image} AND ${words}`)).translation.form!;
  const texts = (terms: readonly Term[] | null): string[] =>
    (terms ?? []).map((term) => `${columnAt(term.place).name}: ${term.kind === "text" ? term.text : term.value}`);
  const both = [texts(requiredTerms(form)), texts(furtherTerms(form))].sort((a, b) => a[0]! < b[0]! ? -1 : 1);
  assert.deepEqual(both, [
    ["command_line:  -qx ", "command_line:  --zap"],
    ["executable_path: /bash", "executable_path: /python3"],
  ]);
  const cells = (executable_path: string | null, command_line: string | null, event_type = "start") =>
    row({ event_type, executable_path, command_line });
  const rows = [
    cells("/bin/bash", "bash -qx y"),
    cells("/bin/BASH", "BASH -QX y"),
    cells("/bin/bash", "bash y"),
    cells("/bin/sh", "sh --zap"),
    cells(null, "sh --zap"),
    cells("/bin/bash", null),
    cells("/bin/python3", "python3 --zap", "stop"),
  ];
  const wanting = [
    `event_type = 'start' AND ${image} AND ${words}`,
    // Under a NOT it is the same of an OR; and what may be NULL is required by neither
    `NOT (event_type <> 'start' OR NOT ${image} OR NOT ${words})`,
  ];
  for (const condition of wanting) {
    using asked = new StreamLane([rule(condition)]);
    assert.deepEqual(rows.map((each) => asked.candidates([each])), [1, 1, 0, 0, 0, 0, 1], condition);
    using engine = new RuleEngine([rule(condition)]);
    assert.deepEqual(engine.evaluate(rows).hits.map((hit) => hit.row), [0, 1], condition);
  }
  for (const condition of [`${image} OR ${words}`, words, `NOT ${image} AND ${words}`, `${words} AND pid > 3`]) {
    assert.equal(furtherTerms(rowQuery(rule(condition)).translation.form!), null, condition);
  }
});
