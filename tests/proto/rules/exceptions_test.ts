// Exceptions: what a file of them may say, with the place of each fault; for which rules they are; and what they take from
// rules over one event, in both lanes, and from rules over windows, whatever batch an event comes in.
import assert from "node:assert/strict";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { blankProcessEvent, type ProcessEvent } from "../../../proto/process_event.ts";
import { RuleEngine } from "../../../proto/rules/engine.ts";
import { ExceptionSet, MAX_EXCEPTIONS_TOGETHER } from "../../../proto/rules/exception_set.ts";
import { type Exception, EXCEPTIONS_NAME, parseExceptions } from "../../../proto/rules/exceptions.ts";
import { newRuleCost } from "../../../proto/rules/rule_cost.ts";
import { RuleError, type ValidatedRule, validateRule } from "../../../proto/rules/rule.ts";
import { parseRule } from "../../../proto/rules/rule_yaml.ts";
import { endOfDay, lastDay } from "../../../proto/rules/suppressor.ts";
import { newWindowEvaluation } from "../../../proto/rules/window_evaluation.ts";
import { WindowLane } from "../../../proto/rules/window_lane.ts";

const GOOD = {
  id: "nightly-backup",
  rules: "[shadow-file-read, attack.t1003]",
  where: "parent_name = 'backup'",
  reason: "it reads everything",
  author: "alice",
  expires: "2027-01-31",
};

function text(more: Partial<Record<keyof typeof GOOD | "extra", string | null>> = {}): string {
  const entries = Object.entries({ ...GOOD, ...more }).filter(([, value]) => value !== null);
  return `exceptions:\n${entries.map(([key, value], i) => `  ${i === 0 ? "-" : " "} ${key}: ${value}\n`).join("")}`;
}

function exceptions(...more: Parameters<typeof text>): Exception[] {
  return [...parseExceptions(text(...more), "exceptions.yml").exceptions];
}

function refused(file: string, line: number, column: number, reason: RegExp): void {
  assert.throws(() => parseExceptions(file, "exceptions.yml"), (error) => {
    assert(error instanceof RuleError);
    assert.deepEqual([error.line, error.column], [line, column], error.message);
    assert.match(error.reason, reason);
    return true;
  });
}

Deno.test("files of exceptions are told by their name", () => {
  for (const name of ["exceptions.yml", "/etc/rules/exceptions.yaml", "r/exceptions/web.yml", "r/exceptions/a/b.yml"]) {
    assert(EXCEPTIONS_NAME.test(name), name);
  }
  for (const name of ["my-exceptions.yml", "exceptions.txt", "r/exceptions.d/web.yml", "exceptions/"]) {
    assert(!EXCEPTIONS_NAME.test(name), name);
  }
});

Deno.test("parseExceptions() reads an exception with its place, its end and what it is for", () => {
  const [found] = exceptions(), end = Date.parse("2027-02-01T00:00:00Z");
  const { kind, id, line, column, reason, author, expiresMs, where } = found!;
  assert.deepEqual(
    { kind, id, line, column, reason, author, expiresMs, where },
    {
      kind: "exception",
      id: GOOD.id,
      line: 2,
      column: 5,
      reason: GOOD.reason,
      author: "alice",
      expiresMs: end,
      where: GOOD.where,
    },
  );
  assert.deepEqual(found!.rules, [
    { name: "shadow-file-read", line: 3, column: 13 },
    { name: "attack.t1003", line: 3, column: 31 },
  ]);
  assert.equal(lastDay(end), "2027-01-31");
  assert.equal(exceptions({ expires: "never" })[0]!.expiresMs, null);
  for (const all of ["'*'", "['*']"]) assert.equal(exceptions({ rules: all })[0]!.rules, null);
  assert.equal(parseExceptions("\ufeff" + text(), "f").exceptions.length, 1);
  for (const [key, value] of Object.entries({ reason: "other", where: "pid = 1", rules: "'*'", expires: "never" })) {
    assert.notEqual(exceptions({ [key]: value })[0]!.hash, found!.hash, key);
  }
});

Deno.test("parseExceptions() says what is wrong and where", () => {
  refused("exceptions: {}\n", 1, 1, /one list/);
  refused("overrides: []\n", 1, 1, /one list/);
  refused("exceptions:\n  - nonsense\n", 2, 5, /a mapping of id, rules, where/);
  for (const key of Object.keys(GOOD) as (keyof typeof GOOD)[]) {
    refused(text({ [key]: null }), 2, 5, key === "id" ? /a name of its own/ : new RegExp(`[:,] ${key}`));
  }
  refused(text({ extra: "1" }), 8, 5, /Unknown key "extra"/);
  refused(text({ id: "Bad Name" }), 2, 9, /lower-case letters/);
  refused(text({ rules: "[]" }), 3, 12, /1 to 64/);
  refused(text({ rules: "['*', other]" }), 3, 14, /all rules/);
  refused(text({ rules: "['a b']" }), 3, 14, /by its id, or by a tag/);
  refused(text({ where: "parent_nam = 'x'" }), 4, 12, /parent_nam/);
  refused(text({ where: "name = 'x' AND load_extension('y')" }), 4, 27, /load_extension is not allowed/);
  refused(text({ where: "pid IN (SELECT pid FROM processes)" }), 4, 36, /reads process_events/);
  refused(text({ where: "json_extract(argv, '$[0]') = 'x'" }), 4, 12, /event by event/);
  for (const day of ["tomorrow", "2027-02-30", "2027-1-31", "31.1.2027"]) {
    refused(text({ expires: day }), 7, 14, /last day on which it holds/);
  }
  refused(text() + text().replace("exceptions:\n", ""), 8, 5, /A second exception nightly-backup/);
  refused(text({ reason: "x".repeat(513) }), 5, 13, /at most 512/);
});

Deno.test("a day ends when the next begins, in UTC", () => {
  assert.equal(new Date(endOfDay("2028-02-29")!).toISOString(), "2028-03-01T00:00:00.000Z");
  for (const text of ["2027-02-29", "0000-00-00", "", "2027-01-31 "]) assert.equal(endOfDay(text), null, text);
});

Deno.test("an exception is for the rules that it names by id or tag, and says which names nobody has", () => {
  const rules = [
    { id: "shadow-file-read", tags: ["attack.credential_access", "attack.t1003"] },
    { id: "other-dump", tags: ["attack.t1003"] },
    { id: "unrelated", tags: [] },
  ];
  const set = new ExceptionSet(exceptions({ rules: "[shadow-file-red, attack.t1003]" }), rules);
  assert.deepEqual(rules.map((rule) => set.exceptionsFor(rule).length), [1, 1, 0]);
  assert.deepEqual(set.faults.map(({ line, column, reason }) => [line, column, reason.split(";")[1]]), [
    [3, 13, " did you mean shadow-file-read?"],
  ]);
  assert.equal(new ExceptionSet(exceptions({ rules: "'*'" }), rules).exceptionsFor(rules[2]!).length, 1);
  assert.notEqual(set.versionFor(rules[0]!), "");
  assert.equal(set.versionFor(rules[2]!), "");

  const doubled = new ExceptionSet([...exceptions(), ...exceptions({ rules: "'*'" })], rules);
  assert.match(doubled.faults[0]!.reason, /also in exceptions.yml:2/);
  assert.equal(doubled.exceptionsFor(rules[2]!).length, 0, "the first counts");

  const [one] = exceptions();
  const many = Array.from({ length: MAX_EXCEPTIONS_TOGETHER + 2 }, (_, i) => ({ ...one!, id: `e${i}` }));
  const bounded = new ExceptionSet(many, rules);
  assert.equal(bounded.exceptions.length, MAX_EXCEPTIONS_TOGETHER);
  assert.equal(bounded.faults.length, 2);
});

const JANUARY = Date.parse("2027-01-15T00:00:00Z"), DAY_MS = 86_400_000;

function row(id: number, more: Partial<ProcessEvent>, time = JANUARY): SqlValue[] {
  return eventRow({ ...blankProcessEvent("start", time, `x-${id}-1`, id), ...more }, id, "host");
}

function rule(id: string, rest: string): ValidatedRule {
  return validateRule(parseRule(`id: ${id}\ntitle: T\ndescription: D\nseverity: low\n${rest}\n`, `${id}.yml`));
}

Deno.test("an exception takes the hits that it covers, in both lanes, until its day is over, and they are told", () => {
  const stream = rule("in-stream", "sql: SELECT pid FROM process_events WHERE name = 'nc'");
  const inSql = rule(
    "in-sql",
    "sql: SELECT pid FROM process_events WHERE json_valid(environment) IS NULL AND name = 'nc'",
  );
  const set = new ExceptionSet(exceptions({ rules: "'*'" }), [stream, inSql]), cost = newRuleCost();
  using engine = new RuleEngine([stream, inSql], { suppressorsOf: set.of, costOf: () => cost });
  const end = endOfDay(GOOD.expires)!;
  const rows = [
    row(1, { name: "nc", parentName: "backup" }),
    row(2, { name: "nc", parentName: "Backup" }),
    row(3, { name: "nc" }),
    row(4, { name: "nc", parentName: "backup" }, end - 1),
    row(5, { name: "nc", parentName: "backup" }, end),
    row(6, { name: "sh", parentName: "backup" }),
  ];
  const { hits, suppressed, faults } = engine.evaluate(rows);
  assert.deepEqual(faults, []);
  const each = ["in-stream", "in-sql"];
  assert.deepEqual(
    hits.map(({ rule, row }) => [rule.id, row]),
    each.flatMap((id) => [[id, 1], [id, 2], [id, 4]]),
  );
  assert.deepEqual(
    suppressed.map(({ rule, by, time }) => [rule.id, by.id, time]),
    each.flatMap((id) => [[id, GOOD.id, JANUARY], [id, GOOD.id, end - 1]]),
  );
  assert.equal(cost.matches, 6, "what is taken is no match");
});

Deno.test("an exception that cannot be computed on an event takes nothing", () => {
  const one = rule("one-rule", "sql: SELECT pid FROM process_events WHERE name = 'nc'");
  // Beyond 2^53 SQLite alone is exact
  const where = "pid * 9007199254740991 > 0", set = new ExceptionSet(exceptions({ rules: "'*'", where }), [one]);
  using engine = new RuleEngine([one], { suppressorsOf: set.of });
  const { hits, suppressed } = engine.evaluate([row(7, { name: "nc" }), row(1, { name: "nc" })]);
  assert.deepEqual([hits.map(({ row }) => row), suppressed.length], [[0], 1]);
});

function windowHits(
  one: ValidatedRule,
  where: string,
  events: readonly SqlValue[][],
  size = 1,
): { found: number; excepted: number } {
  const set = new ExceptionSet(exceptions({ rules: "'*'", where, expires: "never" }), [one]);
  using lane = new WindowLane([one], { deadlineMs: 60_000, suppressorsOf: set.of });
  const out = newWindowEvaluation();
  for (let at = 0; at < events.length; at += size) {
    for (const _ of lane.judge(events.slice(at, at + size), JANUARY + DAY_MS, out));
    lane.commit();
  }
  for (const _ of lane.judge([], JANUARY + DAY_MS, out, new Set(), JANUARY + DAY_MS));
  lane.commit();
  assert.deepEqual(out.faults, []);
  return { found: out.findings.length, excepted: out.excepted.length };
}

const COUNT = rule(
  "count-it",
  "correlation: { type: count, of: name = 'su', by: [user_id], within: 1m, at_least: 3 }",
);
const su = (id: number, parentName: string): SqlValue[] =>
  row(id, { name: "su", userId: 0, parentName }, JANUARY + id * 1_000);

Deno.test("an event that an exception covers takes no part in a rule over a window, however it is cut into batches", () => {
  const inSql = rule(
    "count-in-sql",
    "window: 1m\nsql: SELECT user_id, count(*) AS n FROM process_events WHERE name = 'su' GROUP BY user_id HAVING count(*) >= 3",
  );
  const backup = [1, 2, 3, 4, 5].map((id) => su(id, "backup"));
  const mixed = [...backup, su(6, "sh"), su(7, "sh")], three = [...mixed, su(8, "sh")];
  for (const one of [COUNT, inSql]) {
    for (const size of [1, 3, 100]) {
      const where = "parent_name = 'backup'", name = `${one.id} ${size}`;
      assert.deepEqual(windowHits(one, where, backup, size), { found: 0, excepted: 5 }, name);
      assert.deepEqual(windowHits(one, where, mixed, size), { found: 0, excepted: 5 }, name);
      assert.deepEqual(windowHits(one, where, three, size), { found: 1, excepted: 5 }, name);
      assert.deepEqual(windowHits(one, "parent_name = 'none'", backup, size), { found: 1, excepted: 0 }, name);
    }
  }
});

Deno.test("an event that is excepted is in no window that is read back either", () => {
  const set = new ExceptionSet(exceptions({ rules: "'*'", expires: "never" }), [COUNT]);
  using lane = new WindowLane([COUNT], { deadlineMs: 60_000, suppressorsOf: set.of });
  assert(lane.columns.has("parent_name"), "the exception's columns are read back");
  lane.clear(JANUARY + 10_000);
  for (const each of [su(2, "backup"), su(1, "backup")]) lane.restore(each);
  const out = newWindowEvaluation();
  for (const _ of lane.judge([su(11, "sh")], JANUARY + DAY_MS, out));
  assert.equal(out.findings.length, 0);
});

Deno.test("an exception brings about no alert: what an absence waits for, and what stands under a not, it does not take", () => {
  const absence = rule(
    "absent",
    `correlation:
  type: absence
  events: { begun: "name = 'begin'", done: "name = 'done'" }
  of: begun
  not_followed_by: [done]
  within: 10s`,
  );
  const together = rule(
    "together",
    `correlation:
  type: together
  events: { bad: "name = 'bad'", good: "name = 'good'" }
  within: 10s
  when: bad and not good`,
  );
  const at = (id: number, name: string, parentName: string) => row(id, { name, parentName }, JANUARY + id * 1_000);
  const where = "parent_name = 'backup'";
  assert.equal(windowHits(absence, where, [at(1, "begin", "sh"), at(2, "done", "backup")]).found, 0);
  assert.equal(windowHits(absence, where, [at(1, "begin", "sh")]).found, 1);
  assert.equal(windowHits(absence, where, [at(1, "begin", "backup")]).found, 0);
  assert.equal(windowHits(together, where, [at(1, "good", "backup"), at(2, "bad", "sh")]).found, 0);
  assert.equal(windowHits(together, where, [at(2, "bad", "sh")]).found, 1);
  assert.equal(windowHits(together, where, [at(2, "bad", "backup")]).found, 0);
});

Deno.test("a value that is excepted is not remembered as seen", () => {
  const seen = rule(
    "first-seen",
    "correlation: { type: first_seen, of: name = 'su', by: [executable_path], forget_after: 30d, learn: 1s }",
  );
  const at = (id: number, parentName: string, path: string) =>
    row(id, { name: "su", parentName, executablePath: path }, JANUARY + id * 10_000);
  const events = [at(1, "sh", "/a"), at(2, "backup", "/b"), at(3, "sh", "/b")];
  assert.deepEqual(windowHits(seen, "parent_name = 'backup'", events), { found: 1, excepted: 1 });
});
