import assert from "node:assert/strict";
import { ruleFile, shapedRows } from "../../../bench/support/real_shaped_rules.ts";
import { tableNamed } from "../../../proto/catalog.ts";
import type { SqlValue } from "../../../proto/event_row.ts";
import { RuleEngine } from "../../../proto/rules/engine.ts";
import type { Fault, Hit } from "../../../proto/rules/evaluation.ts";
import { Candidates, LiteralAutomaton, TEXTS_A_STEP } from "../../../proto/rules/literal_automaton.ts";
import { laneOf, type ValidatedRule, validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { newRuleCost } from "../../../proto/rules/rule_cost.ts";
import { SqlLane } from "../../../proto/rules/sql_lane.ts";
import { RULES_A_STEP, StreamLane } from "../../../proto/rules/stream_lane.ts";
import { newWindowEvaluation } from "../../../proto/rules/window_evaluation.ts";
import { WindowLane } from "../../../proto/rules/window_lane.ts";
import { Random } from "../../fuzz/random.ts";

/** Does all steps, with a look at what is counted after each: the most that one step did, and how many there were. */
function counted<T>(
  steps: Generator<void, T>,
  count: () => number = () => 0,
): { value: T; steps: number; most: number } {
  let taken = 0, most = 0, before = count();
  for (;;) {
    const { done, value } = steps.next(), now = count();
    taken += 1;
    most = Math.max(most, now - before);
    before = now;
    if (done) return { value, steps: taken, most };
  }
}

/** Gives work up after each of its steps but the last. */
function givenUp(begin: () => Generator<void, unknown>, steps: number): void {
  for (let end = 1; end < steps; end++) {
    const some = begin();
    for (let at = 0; at < end; at++) assert.equal(some.next().done, false);
    some.return(undefined);
  }
}

function ruleOf(id: string, where: string, select = "pid", more = ""): ValidatedRule {
  const head = `id: ${id}\ntitle: T\ndescription: D\nseverity: low\n${more}`;
  return validateRule(
    parseRule(`${head}sql: |\n  SELECT ${select} FROM process_events\n  WHERE ${where}\n`, `${id}.yml`),
  );
}

function row(values: Record<string, SqlValue>): SqlValue[] {
  return tableNamed("process_events").columns.map(({ name }) => values[name] ?? null);
}

const RULES = Array.from({ length: 1_000 }, (_, i) => validateRule(parseRule(ruleFile(3, i, "linux"), `${i}.yml`)));

Deno.test("RuleEngine.building() takes up few rules in a step, however many there are", () => {
  let asked = 0;
  const costOf = () => {
    asked += 1;
    return newRuleCost();
  };
  const few = counted(RuleEngine.building(RULES.slice(0, 100), { costOf }), () => asked);
  few.value.close();
  const many = counted(RuleEngine.building(RULES, { costOf }), () => asked);
  assert.ok(many.most <= RULES_A_STEP, `${many.most} rules in one step`);
  assert.ok(many.steps > 2 * few.steps && many.steps > RULES.length / RULES_A_STEP, `${few.steps}, ${many.steps}`);
  using engine = many.value, atOnce = new RuleEngine(RULES);
  const rows = shapedRows(5, 300, "linux");
  const found = (by: RuleEngine) => by.evaluate(rows).hits.map(({ rule: { id }, row }) => [id, row]);
  assert.deepEqual(found(engine), found(atOnce));
  assert.ok(found(engine).length > 0);
});

Deno.test("RuleEngine.building() can be given up after any step", () => {
  const rules = [...RULES.slice(0, 70), ...Array.from({ length: 20 }, (_, i) => ruleOf(`sql-${i}`, "round(pid) = 1"))];
  const all = counted(RuleEngine.building(rules));
  all.value.close();
  assert.ok(all.steps > 5);
  givenUp(() => RuleEngine.building(rules), all.steps);
});

Deno.test("LiteralAutomaton.building() sorts and links in short steps, and finds what is there", () => {
  const random = new Random(11, 0), numbers = new Map<string, number[]>();
  while (numbers.size < 5 * TEXTS_A_STEP + 7) {
    const text = Array.from({ length: 2 + random.below(6) }, () => random.pick([..."abcdef-/"])).join("");
    if (!numbers.has(text)) numbers.set(text, [numbers.size]);
  }
  const { value: automaton, steps } = counted(LiteralAutomaton.building(numbers));
  // Each text is looked at twice before it is sorted, and each state is made and linked
  assert.ok(steps >= 3 * numbers.size / TEXTS_A_STEP, `${steps} steps for ${numbers.size} texts`);
  const found = new Candidates(numbers.size), names = [...numbers.keys()];
  for (let i = 0; i < 100; i++) {
    const text = Array.from({ length: random.below(40) }, () => random.pick([..."abcdef-/"])).join("");
    found.clear();
    automaton.scan(text, found);
    const expected = names.flatMap((name, id) => text.includes(name) ? [id] : []);
    assert.deepEqual([...found.ids.subarray(0, found.count)].sort((a, b) => a - b), expected, text);
  }
});

Deno.test("WindowLane.building() takes up one rule in a step, and can be given up after any", () => {
  const rules = Array.from(
    { length: 12 },
    (_, i) =>
      ruleOf(
        `burst-${i}`,
        `name = 'n${i}'\n  GROUP BY ppid HAVING count(*) > 1`,
        "ppid, count(*) AS n",
        "window: 5m\n",
      ),
  );
  let asked = 0;
  const costOf = () => {
    asked += 1;
    return newRuleCost();
  };
  const { value, steps, most } = counted(WindowLane.building(rules, { deadlineMs: 10_000, costOf }), () => asked);
  assert.equal(most, 1);
  assert.ok(steps >= 3 * rules.length, `${steps} steps`);
  using lane = value;
  const out = newWindowEvaluation(), now = 1_000;
  const events = [1, 2].map((event_id) => row({ event_id, time: now, pid: event_id, ppid: 7, name: "n3" }));
  for (const _ of lane.judge(events, now, out));
  assert.deepEqual(out.findings.map(({ rule, evidence }) => [rule.id, evidence]), [["burst-3", { ppid: 7, n: 2 }]]);
  givenUp(() => WindowLane.building(rules, { deadlineMs: 10_000 }), steps);
});

Deno.test("WindowLane.building() takes up correlations one by one too, beside SQL", () => {
  const correlation = (id: string, body: string): ValidatedRule =>
    validateRule(
      parseRule(`id: ${id}\ntitle: T\ndescription: D\nseverity: low\ncorrelation:\n${body}`, `${id}.yml`),
    );
  const rules = Array.from({ length: 12 }, (_, i) => [
    correlation(`many-${i}`, `  type: count\n  of: name = 'n${i}'\n  by: [ppid]\n  within: 5m\n  at_least: 2\n`),
    ruleOf(`sql-${i}`, `name = 'n${i}'\n  GROUP BY ppid HAVING count(*) > 1`, "ppid, count(*) AS n", "window: 5m\n"),
  ]).flat();
  let asked = 0;
  const costOf = () => {
    asked += 1;
    return newRuleCost();
  };
  const { value, steps, most } = counted(WindowLane.building(rules, { deadlineMs: 10_000, costOf }), () => asked);
  assert.equal(most, 1);
  using lane = value;
  const out = newWindowEvaluation(), now = 1_000;
  const events = [1, 2].map((event_id) => row({ event_id, time: now, pid: event_id, ppid: 7, name: "n3" }));
  for (const _ of lane.judge(events, now, out));
  assert.deepEqual(out.findings.map(({ rule }) => rule.id).sort(), ["many-3", "sql-3"]);
  givenUp(() => WindowLane.building(rules, { deadlineMs: 10_000 }), steps);
});

Deno.test("StreamLane.steps() gives way after fewer rows where they are long", () => {
  using lane = new StreamLane([ruleOf("evil", "command_line LIKE '%evil%'")]);
  const rows = Array.from({ length: 64 }, () => row({ command_line: "x".repeat(100_000) }));
  const { steps } = counted(lane.steps(rows, 1e9, [], []));
  assert.ok(steps >= 32, `${steps} steps for 64 rows of 100,000 characters`);
});

Deno.test("a rule that is paused is not asked, in either lane, and goes on when it is put back", () => {
  const inSql = ruleOf("in-sql", "name = 'a' AND round(pid) = 1");
  const rules = [ruleOf("stream", "name = 'a'"), inSql, ruleOf("other", "pid = 1")];
  assert.match(laneOf(inSql), /^sql/);
  const costs = new Map(rules.map((rule) => [rule, newRuleCost()]));
  using engine = new RuleEngine(rules, { costOf: (rule) => costs.get(rule)! });
  const hits = () => engine.evaluate([row({ name: "a", pid: 1 })]).hits.map(({ rule: { id } }) => id);
  assert.deepEqual(hits(), ["stream", "in-sql", "other"]);
  engine.pause(new Set(rules.slice(0, 2)));
  assert.deepEqual(hits(), ["other"]);
  const asked = () => rules.map((rule) => costs.get(rule)!.rows);
  engine.tally();
  assert.deepEqual(asked(), [1, 1, 2]);
  engine.pause(new Set());
  assert.deepEqual(hits(), ["stream", "in-sql", "other"]);
  engine.close();
  assert.deepEqual(asked(), [2, 2, 3], "what an engine judged counts when it makes way for another");
});

/** Only SQLite can compute it, and each row costs it dozens of passes over a text. */
const SLOW = `round(pid) >= 0 AND (${
  Array.from({ length: 12 }, (_, i) => `instr(upper(command_line), 'B${i}') > 0`).join(" OR ")
} OR pid % 50 = 7)`;
const SLOW_ROWS = Array.from({ length: 600 }, (_, pid) => row({ pid, command_line: "a".repeat(60_000) }));

Deno.test("the SQL lane gives a slow rule its time and not a row more, and says what it did not judge", () => {
  const slow = ruleOf("slow", SLOW), quick = ruleOf("quick", "round(pid) = 599");
  const costs = new Map([slow, quick].map((rule) => [rule, newRuleCost()]));
  using engine = new RuleEngine([slow, quick], { deadlineMs: 50, costOf: (rule) => costs.get(rule)! });
  const { hits, faults } = engine.evaluate(SLOW_ROWS);
  const [fault] = faults.filter(({ rule }) => rule === slow);
  assert.deepEqual([fault!.reason, fault!.timedOut], ["stopped after 50 ms", true]);
  // It looks at the clock before each long row, and not after 256 of them
  assert.ok(fault!.rows > 600 - 256 && fault!.rows < 600, `${fault!.rows}`);
  const { evaluations, rows, cpuMs } = costs.get(slow)!;
  assert.deepEqual([evaluations, rows], [1, 600]);
  assert.ok(cpuMs >= 50, `${cpuMs}`);
  // The other has its own time
  const missed = faults.find(({ rule }) => rule === quick)?.rows ?? 0;
  assert.equal(hits.filter(({ rule }) => rule === quick).length, missed === 0 ? 1 : 0);
});

Deno.test("the SQL lane goes on at the row where a call was over, and gives way between calls", () => {
  const slow = ruleOf("slow", SLOW), hits: Hit[] = [], faults: Fault[] = [];
  using lane = new SqlLane([slow]);
  lane.prepare([slow]);
  const rows = SLOW_ROWS.slice(0, 300);
  const { steps } = counted(lane.steps([slow], rows, 1e9, hits, faults));
  const expected = rows.flatMap((_, pid) => pid % 50 === 7 ? [pid] : []);
  assert.deepEqual(hits.map(({ row }) => row), expected);
  assert.deepEqual(faults, []);
  // Where no call is over, there is one for each match, and for 256 rows; and some steps put the rows in
  assert.ok(steps > expected.length + 2 + 300 / 16 + 10, `${steps} steps for ${expected.length} matches`);
});

Deno.test("the SQL lane tells a row on which SQLite fails from those beside it", () => {
  const fragile = ruleOf("fragile", "json_extract(argv, '$[0]') = 'x'"), bad = [0, 5, 6, 7, 255, 256, 300, 599];
  using engine = new RuleEngine([fragile], { deadlineMs: 60_000 });
  for (const length of [1, 10_000]) {
    const good = JSON.stringify(["x", "y".repeat(length)]);
    const rows = Array.from({ length: 600 }, (_, i) => row({ argv: bad.includes(i) ? "{" : good }));
    const { hits, faults } = engine.evaluate(rows);
    assert.deepEqual(faults.map(({ rows, timedOut }) => [rows, timedOut]), [[bad.length, false]]);
    assert.deepEqual(hits.map(({ row }) => row), rows.flatMap((_, i) => bad.includes(i) ? [] : [i]));
  }
});
