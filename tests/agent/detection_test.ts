import assert from "node:assert/strict";
import { BLANK_CONTEXT } from "../../proto/process_event.ts";
import { newCounters } from "../../agent/counters.ts";
import { Detection } from "../../agent/detection.ts";
import { MAX_FAULTS } from "../../agent/rule_standings.ts";
import { Journal } from "../../agent/journal.ts";
import type { LoadedRules } from "../../agent/loaded_rules.ts";
import type { Stream } from "../../agent/store/streams.ts";
import { joinArgv } from "../../proto/argv.ts";
import { eventRow, type SqlValue } from "../../proto/event_row.ts";
import { NO_EXCEPTIONS } from "../../proto/rules/exception_set.ts";
import { type ValidatedRule, validateRule } from "../../proto/rules/rule.ts";
import { parseRule } from "../../proto/rules/rule_yaml.ts";
import { allSteps } from "../../proto/steps.ts";
import { windowRule } from "../proto/rules/window_support.ts";
import { BOOT_ID, start } from "./support.ts";

const STREAM: Stream = {
  number: 3,
  collectorId: "col",
  epoch: "e",
  bootId: BOOT_ID,
  version: "1",
  source: "ebpf",
  lastSequence: 0,
};

function rule(id: string, where: string): ValidatedRule {
  return validateRule(
    parseRule(
      `id: ${id}\ntitle: T ${id}\ndescription: D\nseverity: high\ntags: [attack.t1059]\nsql: |\n  SELECT pid, name FROM process_events WHERE ${where}\n`,
      `${id}.yml`,
    ),
  );
}

function row(sequence: number, more: Parameters<typeof start>[1] = {}): SqlValue[] {
  return eventRow(start(sequence, more), STREAM.number * 2 ** 40 + sequence, "col");
}

/** After every event of these tests. */
const JUDGED = start(1_000_000).time;

class World {
  readonly lines: string[] = [];
  readonly counters = newCounters();
  changes = 0;
  now = 1_000;
  readonly detection: Detection;

  constructor(rules: readonly ValidatedRule[], deadlineMs = 1_000, others: LoadedRules["others"] = []) {
    this.detection = new Detection({
      active: rules,
      others,
      notices: [],
      remarks: new Map(),
      exceptions: NO_EXCEPTIONS,
    }, {
      deadlineMs,
      journal: new Journal((line) => this.lines.push(line)),
      counters: this.counters,
      changed: () => this.changes++,
      clock: () => this.now,
    });
  }

  async judge(...rows: SqlValue[][]): Promise<string[]> {
    const alerts = await this.detection.judge(rows, STREAM, JUDGED);
    this.detection.stored(alerts);
    return alerts.map((alert) => alert.alertId);
  }

  state(id: string): [string, string | null] {
    const found = this.detection.statuses().find((status) => status.id === id)!;
    return [found.state, found.reason];
  }
}

Deno.test("Detection raises one alert for each rule and event, with the event's fields", async () => {
  const world = new World([rule("evil", "name = 'evil'"), rule("also-evil", "name LIKE 'EV%'")]);
  const ids = await world.judge(row(1), row(2, { name: "evil", parentName: "bash" }), row(3, { name: "evil" }));
  assert.deepEqual(ids.sort(), ["also-evil@col:e:2", "also-evil@col:e:3", "evil@col:e:2", "evil@col:e:3"]);
  const [alert] = await world.detection.judge([row(4, { name: "evil", parentName: "bash" })], STREAM, 77);
  assert.deepEqual(alert, {
    alertId: "evil@col:e:4",
    time: start(4).time,
    detectedTime: 77,
    ruleId: "evil",
    ruleHash: rule("evil", "name = 'evil'").hash,
    title: "T evil",
    description: "D",
    severity: "high",
    tags: ["attack.t1059"],
    eventId: 3 * 2 ** 40 + 4,
    execId: start(4).execId,
    pid: 4,
    ppid: 1,
    name: "evil",
    executablePath: "/usr/bin/prog",
    commandLine: "prog arg-4",
    userId: 1_000,
    userName: null,
    parentName: "bash",
    parentExecutablePath: null,
    parentCommandLine: null,
    evidence: { pid: 4, name: "evil" },
    collectorId: "col",
    completeness: { complete: true, reasons: [] },
    ledger: null,
    kind: "alert",
    repeats: null,
    dedupKey: "0123abcd-4-1004",
    groupId: "evil@col:e:4",
    hitsBefore: 0,
    lastHitTime: null,
    causes: [3298534883332],
    parentExecId: null,
    startTime: 1_700_000_000_004,
    effectiveUserId: null,
    loginUserId: null,
    cwd: null,
    containerId: null,
    stdinKind: null,
    stdoutKind: null,
    ancestry: [],
  });
  const hits = (): number => world.detection.statuses().find((status) => status.id === "evil")!.hits;
  assert.equal(hits(), 2, "what is judged and not stored is judged again, and counts then");
  world.detection.stored([alert!]);
  assert.equal(hits(), 3);
  world.detection.close();
});

const BAD = "json_extract(environment, '$.A') = 'x'";

Deno.test("a rule that fails on an event costs that verdict alone, and says so", async () => {
  const world = new World([rule("fragile", BAD), rule("evil", "name = 'evil'")]);
  const ids = await world.judge(
    row(1, { context: { ...BLANK_CONTEXT, environment: '{"A":"x"}' } }),
    row(2, { context: { ...BLANK_CONTEXT, environment: "no JSON" }, name: "evil" }),
    row(3, { context: { ...BLANK_CONTEXT, environment: '{"A":"x"}' } }),
  );
  assert.deepEqual(ids, ["fragile@col:e:1", "fragile@col:e:3", "evil@col:e:2"]);
  assert.equal(world.counters.rule_faults, 1);
  assert.match(world.lines[0]!, /rule fragile did not judge 1 of 3 events: .*JSON/);
  assert.deepEqual(world.state("fragile"), ["active", null]);
  world.detection.close();
});

Deno.test("a rule that fails on odd events is never taken out for it", async () => {
  const world = new World([rule("fragile", BAD)]);
  const bad = row(2, { context: { ...BLANK_CONTEXT, environment: "no JSON" } });
  for (let i = 0; i < 3 * MAX_FAULTS; i++) await world.judge(bad);
  assert.deepEqual(world.state("fragile"), ["active", null]);
  assert.equal(world.counters.rule_faults, 3 * MAX_FAULTS);
  world.detection.close();
});

/** Of a rule that SQLite judges, where each rule has its own pass over a batch and its own time. */
const SLOW = "name = 'evil' AND round(pid) > 0";
/** With no time at all a rule gets through a few events, and not through these. */
const LONG = Array.from({ length: 1_000 }, (_, i) => row(i + 1));
const SHORT = row(3, { name: "evil" });

Deno.test("a rule that is late several batches in a row is taken out with its reason, and tried again", async () => {
  const world = new World([rule("slow", SLOW)], 0);
  for (let i = 1; i < MAX_FAULTS; i++) await world.judge(...LONG);
  assert.deepEqual(await world.judge(SHORT), ["slow@col:e:3"], "a batch in time in between: the count begins anew");
  for (let i = 0; i < MAX_FAULTS; i++) await world.judge(...LONG);
  const [state, reason] = world.state("slow");
  assert.equal(state, "rejected");
  assert.match(reason!, /taken out for 60 s after 3 faults in a row, the last: stopped after 0 ms/);
  assert.equal(world.detection.active, 0);
  assert.equal(world.changes, 1);
  assert.deepEqual(await world.judge(SHORT), [], "it does not run");
  world.now += 60_000;
  assert.deepEqual(await world.judge(SHORT), ["slow@col:e:3"], "it runs again");
  assert.deepEqual(world.state("slow"), ["active", null]);
  // The next late batch comes right after one in time: three in a row are needed again.
  await world.judge(...LONG);
  assert.equal(world.state("slow")[0], "active");
  world.detection.close();
});

Deno.test("a rule that is late again when it is tried again is out at once, for twice as long", async () => {
  const world = new World([rule("slow", SLOW)], 0);
  for (let i = 0; i < MAX_FAULTS; i++) await world.judge(...LONG);
  for (const seconds of [120, 240, 480, 960, 1_920, 3_600, 3_600]) {
    world.now += 3_600_000;
    await world.judge(...LONG);
    assert.match(world.state("slow")[1]!, new RegExp(`^taken out for ${seconds} s`));
  }
  world.detection.close();
});

Deno.test("a rule beyond its deadline misses the rest of the batch, and the events are judged by the others", async () => {
  const world = new World([rule("slow", SLOW), rule("late", SLOW), rule("evil", "name = 'evil'")], 0);
  const batch = Array.from({ length: 1_000 }, (_, i) => row(i + 1, { name: "evil" }));
  const ids = await world.judge(...batch);
  const judged = ids.filter((id) => !id.startsWith("evil@")).length;
  assert.ok(judged >= 2 && judged < 2_000, `what was judged before the deadline counts: ${judged}`);
  // Where the machine is busy enough for a look at the clock, no time at all is too little for a predicate too.
  const missed = world.lines.filter((line) => /rule evil did not judge/.test(line)).length;
  const seen = ids.filter((id) => id.startsWith("evil@")).length;
  assert.ok(missed === 0 ? seen === 1_000 : seen < 1_000, "and a predicate sees all, or says so");
  assert.equal(world.counters.rule_faults, 2 + missed);
  assert.ok(world.lines.some((line) => /rule slow did not judge \d+ of 1000 events: stopped after 0 ms/.test(line)));
  world.detection.close();
});

Deno.test("Detection shows rules that do not run beside those that do", () => {
  const other = {
    id: "/rules/x.yml",
    title: "",
    description: null,
    severity: "",
    tags: [],
    sql: null,
    file: "/rules/x.yml",
    state: "rejected",
    line: 3,
    column: 9,
    reason: "why",
    hits: 0,
    lane: null,
    hash: null,
    evaluations: 0,
    matches: 0,
    cpuMs: 0,
    rows: 0,
    suppressed: 0,
    degraded: [],
  };
  const world = new World([rule("evil", "name = 'evil'")], 100, [other]);
  assert.equal(world.detection.active, 1);
  assert.deepEqual(world.detection.statuses().map((status) => [status.id, status.state, status.line]), [
    ["evil", "active", null],
    ["/rules/x.yml", "rejected", 3],
  ]);
  world.detection.close();
});

const PAIRS = windowRule(
  "pairs",
  "60s",
  `SELECT a.name AS name, count(*) AS n FROM process_events AS a
   JOIN process_events AS b ON b.pid <> a.pid AND b.event_type = 'start'
   JOIN process_events AS c ON c.pid <> b.pid AND c.event_type = 'start'
   WHERE a.event_type = 'start' AND a.name = 'evil' GROUP BY a.name`,
);

Deno.test("a rule over a window that is late three times in a row is taken out, and degraded until its window is whole", async () => {
  const world = new World([PAIRS, rule("evil", "name = 'evil'")], 20);
  const batch = (from: number): SqlValue[][] =>
    Array.from({ length: 400 }, (_, i) => row(from + i, i % 2 === 0 ? { name: "evil" } : {}));
  assert.deepEqual(world.state("pairs"), ["active", null]);
  // Where the machine is busy, a batch in which it is not due may be too late too.
  for (let i = 0; i < MAX_FAULTS && world.state("pairs")[0] === "active"; i++) {
    await world.judge(...batch(1 + i * 400));
    // A batch in which it is not due proves nothing.
    await world.judge(row(1_201 + i, { kind: "modify" }));
  }
  const [state, reason] = world.state("pairs");
  assert.equal(state, "rejected");
  assert.match(reason!, /taken out for 60 s after 3 faults in a row, the last: stopped after 20 ms/);
  const degraded = (): readonly string[] => world.detection.statuses().find(({ id }) => id === "pairs")!.degraded;
  assert.deepEqual(degraded(), [reason]);
  const told = /rule pairs did not judge the whole of its window of \d+ rows: stopped after 20 ms/;
  assert.ok(world.lines.some((line) => told.test(line)), world.lines.join("\n"));
  world.now += 60_000;
  await world.judge(row(1_300, { name: "evil" }));
  assert.match(degraded()[0]!, /taken out for 120 s/, "its window was as full as before");
  world.now += 120_000;
  await world.judge(row(1_301, { name: "evil", time: start(1_301).time + 30_000 }));
  world.now += 240_000;
  await world.judge(row(1_302, { name: "evil", time: start(1_302).time + 120_000 }));
  assert.deepEqual(world.state("pairs"), ["active", null]);
  assert.deepEqual(degraded(), [], "its window was looked at whole");
  world.detection.close();
});

Deno.test("a batch that takes long gives way to other work, and to no other batch's hits", async () => {
  // Each row takes a while: judged in one go, no timer would run before the end.
  const slow = rule("slow", Array.from({ length: 60 }, (_, i) => `command_line LIKE '%a%${i}%b%c%d%e%'`).join(" OR "));
  const world = new World([slow], 60_000);
  const line = "a1b c d ".repeat(20_000);
  const rows = Array.from({ length: 60 }, (_, i) => row(i + 1, { argv: new TextEncoder().encode(line) }));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 0);
  await world.judge(...rows);
  clearInterval(timer);
  assert(ticks >= 2, `other work ran ${ticks} times`);
  world.detection.close();
});

Deno.test("what rules cost is in their status", async () => {
  const world = new World([rule("evil", "name = 'evil'"), rule("json", "json_extract(argv, '$[0]') = 'prog'")]);
  await world.judge(...Array.from({ length: 300 }, (_, i) => row(i + 1, i < 3 ? { name: "evil" } : {})));
  const [evil, json] = ["evil", "json"].map((id) => world.detection.statuses().find((status) => status.id === id)!);
  assert.deepEqual([evil!.evaluations, evil!.matches, evil!.rows], [3, 3, 300]);
  assert.deepEqual([json!.evaluations, json!.matches, json!.rows], [1, 300, 300]);
  assert(json!.cpuMs > 0);
  world.detection.close();
});

Deno.test("what a status says of rules is some seconds old at most, and never older than an alert or other rules", async () => {
  const world = new World([rule("evil", "name = 'evil'")]), { detection } = world;
  assert.deepEqual(detection.recentStatuses, detection.statuses());
  await world.judge(row(1), row(2));
  assert.equal(detection.recentStatuses[0]!.rows, 0, "only counts have changed");
  assert.equal(detection.recentStatuses, detection.recentStatuses);
  world.now += 5_000;
  assert.equal(detection.recentStatuses[0]!.rows, 2);
  await world.judge(row(3, { name: "evil" }));
  assert.deepEqual([detection.recentStatuses[0]!.hits, detection.recentStatuses[0]!.rows], [1, 3]);
  const others: LoadedRules = {
    active: [rule("other", "name = 'other'")],
    others: [],
    notices: [],
    remarks: new Map(),
    exceptions: NO_EXCEPTIONS,
  };
  detection.swap(allSteps(detection.prepare(others)));
  assert.deepEqual(detection.recentStatuses.map(({ id }) => id), ["other"]);
  detection.close();
});

Deno.test("a rule that reads what a collector refuses or gives only since a while is degraded, and so are its alerts", async () => {
  const reads = rule("reads", "name = 'evil' AND coalesce(environment ->> 'A', 'x') = 'x'"),
    plain = rule("plain", "name = 'evil'");
  const world = new World([reads, plain]), { demands } = world.detection;
  assert.deepEqual(demands.demand, { hashes: false, variables: ["A"] });
  const reasons = async (sequence: number): Promise<Record<string, readonly string[]>> => {
    const alerts = await world.detection.judge([row(sequence, { name: "evil" })], STREAM, JUDGED);
    return Object.fromEntries(alerts.map(({ ruleId, completeness }) => [ruleId, completeness.reasons]));
  };
  const degraded = (): readonly string[] => world.detection.statuses().find(({ id }) => id === "reads")!.degraded;

  demands.answered("col", [{ attribute: "environment.A", state: "refused", reason: "root says no", since: 0 }]);
  const lack = "collector col: environment.A is refused: root says no";
  assert.deepEqual(await reasons(1), { reads: [lack], plain: [] });
  assert.deepEqual(degraded(), [lack]);

  demands.answered("col", [{ attribute: "environment.A", state: "demanded", reason: "", since: start(5).time }]);
  assert.match((await reasons(4))["reads"]!.join(), /is collected only since/);
  assert.deepEqual(await reasons(5), { reads: [], plain: [] });
  assert.deepEqual(degraded(), [], "of what comes from now on all is there");
});

Deno.test("a rule that reads hashes is degraded while the hasher is not there; one that reads none is not", async () => {
  const world = new World([rule("reads", "name = 'evil' AND executable_hash IS NULL"), rule("plain", "name = 'evil'")]);
  world.detection.demands.answered("col", [{
    attribute: "executable_hash",
    state: "configured",
    reason: "",
    since: 0,
  }]);
  const hasher = {
    name: "hasher",
    state: "active",
    detail: "",
    misses: ["the hasher cannot be reached"],
    unknownColumns: [],
  };
  const ebpf = { name: "ebpf", state: "active", detail: "", misses: [], unknownColumns: [] };
  const judge = async (sources: typeof hasher[]): Promise<string[]> => {
    const alerts = await world.detection.judge([row(1, { name: "evil" })], STREAM, JUDGED, { gaps: [], sources });
    return alerts.map(({ ruleId, completeness }) => `${ruleId}: ${completeness.reasons.join()}`).sort();
  };
  assert.deepEqual(await judge([ebpf, hasher]), ["plain: ", "reads: collector col: the hasher cannot be reached"]);
  assert.deepEqual(world.detection.statuses().map(({ degraded }) => degraded.length), [1, 0]);
  assert.deepEqual(await judge([ebpf, { ...hasher, misses: [] }]), ["plain: ", "reads: "]);
  assert.deepEqual(await judge([ebpf, { ...hasher, state: "unavailable", detail: "off" }]), [
    "plain: ",
    "reads: collector col: off",
  ]);
});

/** Only SQLite can compute it, and every row costs it dozens of passes over a long text. */
const COSTLY = `round(pid) >= 0 AND (${
  Array.from({ length: 40 }, (_, i) => `instr(upper(command_line), 'B${i}') > 0`).join(" OR ")
})`;

Deno.test("a rule of the SQL lane that is slow on every row gets three strikes, and costs no other rule an event", async () => {
  const world = new World([rule("costly", COSTLY), rule("quick", "name = 'evil'")], 200);
  const long = Array.from(
    { length: 400 },
    (_, i) => row(i + 1, { name: "evil", argv: joinArgv(["a".repeat(60_000)]) }),
  );
  for (let strikes = 1; strikes <= MAX_FAULTS; strikes++) {
    const alerts = await world.judge(...long);
    assert.equal(alerts.length, long.length, "the other rule judges all");
    const fault = world.lines.findLast((line) => line.includes("rule costly did not judge"));
    assert.match(fault!, /did not judge [1-9]\d* of 400 events: stopped after 200 ms/);
    assert.equal(world.counters.rule_faults, strikes);
    assert.equal(world.state("costly")[0], strikes < MAX_FAULTS ? "active" : "rejected");
  }
  const { cpuMs, evaluations, rows } = world.detection.statuses().find(({ id }) => id === "costly")!;
  assert.ok(cpuMs >= 200 * MAX_FAULTS, `${cpuMs}`);
  assert.deepEqual([evaluations, rows], [MAX_FAULTS, MAX_FAULTS * long.length]);
  await world.judge(...long.slice(0, 10));
  assert.equal(world.detection.statuses().find(({ id }) => id === "costly")!.evaluations, MAX_FAULTS, "it is out");
  world.detection.close();
});
