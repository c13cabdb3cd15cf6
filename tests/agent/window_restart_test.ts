// Windows survive a restart and a reload of the rules: killed, or given other rules, at every boundary of a known sequence
// of batches, the agent raises the same alerts as one that is left alone, none twice and none less.
import assert from "node:assert/strict";
import { type StreamMessage } from "../../agent/ingest.ts";
import { allSteps } from "../../proto/steps.ts";
import { Store } from "../../agent/store/store.ts";
import { eventRow } from "../../proto/event_row.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { NO_EXCEPTIONS } from "../../proto/rules/exception_set.ts";
import type { ValidatedRule } from "../../proto/rules/rule.ts";
import { Random } from "../fuzz/random.ts";
import { windowRule } from "../proto/rules/window_support.ts";
import { rows, start, stop, TempDir } from "./support.ts";
import { AgentLife, alertsOf, loadedRules } from "./agent_life.ts";

const RULES = [
  windowRule(
    "burst",
    "20s",
    "SELECT ppid, count(*) AS n FROM process_events WHERE event_type = 'stop' AND exit_code <> 0 GROUP BY ppid HAVING count(*) >= 3",
  ),
  windowRule(
    "family",
    "30s",
    `SELECT a.pid AS parent, b.pid AS child FROM process_events AS a JOIN process_events AS b
       ON b.parent_exec_id = a.exec_id AND b.event_type = 'start'
     WHERE a.event_type = 'start' AND a.name = 'curl'`,
  ),
];
/** Finds in the same rows, and more often. */
const DRAFT: ValidatedRule = {
  ...windowRule(
    "tried",
    "40s",
    "SELECT ppid, count(*) AS n FROM process_events WHERE event_type = 'stop' GROUP BY ppid HAVING count(*) >= 2",
  ),
  status: "draft",
};
const BEGIN = 1_700_000_000_000;

/** Batches of a few seconds each, with late events among them. */
function batches(): ProcessEvent[][] {
  const random = new Random(7);
  let time = BEGIN, pid = 100;
  const curls: string[] = [];
  return Array.from({ length: 24 }, () =>
    Array.from({ length: 1 + random.below(12) }, () => {
      time += random.below(1_500);
      pid += 1;
      const at = { time: time - (random.chance(0.1) ? random.below(5_000) : 0) };
      if (random.chance(0.4)) return stop(pid, { ...at, ppid: random.below(3), exitCode: random.below(2) });
      const parent = curls.length > 0 && random.chance(0.3) ? curls[random.below(curls.length)]! : null;
      const begun = start(pid, { ...at, name: random.chance(0.2) ? "curl" : "sh", parentExecId: parent });
      if (begun.name === "curl") curls.push(begun.execId);
      return begun;
    }));
}

/** One life of an agent on a store. */
class Life extends AgentLife {
  constructor(path: string, windowRows?: number) {
    super(path, RULES, windowRows === undefined ? {} : { windowRows });
  }

  /** Other rules, between two batches. */
  reload(active: readonly ValidatedRule[]): void {
    const prepared = allSteps(this.detection.prepare(loadedRules(active)));
    allSteps(this.detection.refill(prepared, this.store, Date.now()));
    this.detection.swap(prepared);
  }
}

/** Takes all batches; ends and begins another life after those that `kills` names, and sends the last batch again. */
async function run(path: string, kills: (batch: number) => "no" | "stored" | "judged"): Promise<void> {
  const all = batches(), firsts: number[] = [];
  let life = new Life(path), first = 1;
  for (const [i, events] of all.entries()) {
    const how = kills(i);
    if (how === "judged") {
      // Killed after the rules have spoken and before the commit: nothing of it is stored, and all of it comes again.
      const cells = events.map((event, k) => eventRow(event, life.stream.number * 2 ** 40 + first + k, "col"));
      await life.detection.judge(cells, life.stream, Date.now());
      life.end();
      life = new Life(path);
    }
    firsts.push(first);
    await life.take(first, events);
    first += events.length;
    if (how === "stored") {
      life.end();
      life = new Life(path);
      await life.take(firsts.at(-1)!, events);
      assert.equal(life.counters.alerts, 0, "what comes again raises nothing");
    }
  }
  life.end();
}

Deno.test("killed at every boundary of a sequence of batches, the agent raises what an undisturbed one raises", async () => {
  using dir = new TempDir();
  const undisturbed = `${dir.path}/whole.db`;
  await run(undisturbed, () => "no");
  const expected = alertsOf(undisturbed);
  for (const { id } of RULES) {
    const found = expected.filter(({ alert_id }) => (alert_id as string).startsWith(`${id}@`)).length;
    assert(found >= 4, `${id} was raised ${found} times: the sequence proves nothing`);
  }
  for (let at = 0; at < batches().length; at++) {
    for (const how of ["stored", "judged"] as const) {
      const path = `${dir.path}/${how}-${at}.db`;
      await run(path, (batch) => batch === at ? how : "no");
      assert.deepEqual(alertsOf(path), expected, `killed at batch ${at}, ${how}`);
      assert.equal(rows(path, "SELECT * FROM alert_deliveries").length, expected.length);
    }
  }
  const often = `${dir.path}/often.db`;
  await run(often, (batch) => batch % 2 === 0 ? "stored" : "judged");
  assert.deepEqual(alertsOf(often), expected, "killed at every one");
});

Deno.test("given other rules after every batch, the agent raises what an undisturbed one raises, and no draft alerts", async () => {
  using dir = new TempDir();
  const undisturbed = `${dir.path}/whole.db`, path = `${dir.path}/reloaded.db`;
  await run(undisturbed, () => "no");
  const life = new Life(path), other = windowRule("other", "90s", RULES[0]!.sql);
  // One comes, one becomes another version, one goes: windows are made anew each time, and once stay as they are.
  const sets = [[...RULES, DRAFT], [other, ...RULES, DRAFT], [...RULES, DRAFT], [...RULES, DRAFT], RULES];
  const read = (): number => life.lines.filter((line) => /are in the windows of rules again/.test(line)).length;
  let first = 1, drafted = 0;
  for (const [i, events] of batches().entries()) {
    await life.take(first, events);
    first += events.length;
    drafted = Math.max(drafted, life.detection.statuses().find(({ id }) => id === DRAFT.id)?.matches ?? 0);
    const before = read(), set = sets[i % sets.length]!;
    life.reload(set);
    if (i % sets.length === 3) assert.equal(read(), before, "no rule over a window is another");
    const known = life.detection.statuses().map(({ id, state }) => `${id} ${state}`);
    assert.deepEqual(known, set.map(({ id, status }) => `${id} ${status}`));
  }
  assert(read() > 10, `${read()} times`);
  assert(drafted > 0, "the draft found nothing");
  life.end();
  const expected = alertsOf(undisturbed);
  assert.deepEqual(alertsOf(path).filter(({ alert_id }) => !String(alert_id).startsWith("other@")), expected);
});

Deno.test("what an override says of a rule over a window counts without a new window", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, life = new Life(path), [burst] = RULES;
  const failures = (time: number, ppid: number): ProcessEvent[] =>
    [0, 1, 2].map((n) => stop(ppid * 10 + n, { time: time + n, exitCode: 1, ppid }));
  await life.take(1, failures(BEGIN, 1));
  life.reload([{ ...burst!, severity: "critical" }]);
  await life.take(4, failures(BEGIN + 100, 2));
  // As a draft it raises nothing; and what it found as one is raised once it is none
  life.reload([{ ...burst!, status: "draft" }]);
  await life.take(7, failures(BEGIN + 200, 3));
  life.reload([burst!]);
  await life.take(10, failures(BEGIN + 300, 3));
  const raised = rows(path, "SELECT severity, evidence FROM alerts ORDER BY time")
    .map(({ severity, evidence }) => `${severity} ${JSON.parse(String(evidence)).ppid}`);
  assert.deepEqual(raised, ["high 1", "critical 2", "high 3"]);
  const status = life.detection.statuses().find(({ id }) => id === "burst")!;
  assert.deepEqual([status.hits, status.evaluations], [3, 4], "counted over all of it");
  life.end();
});

Deno.test("a reload that cannot read the store leaves the rules and their windows as they were", async () => {
  using dir = new TempDir();
  const life = new Life(`${dir.path}/events.db`);
  await life.take(1, [0, 1].map((n) => stop(n + 1, { time: BEGIN + n, exitCode: 1, ppid: 1 })));
  const closed = new Store(`${dir.path}/closed.db`, []), { detection } = life, before = detection.loaded;
  closed.close();
  const prepared = allSteps(
    detection.prepare({
      active: [...RULES, DRAFT],
      others: [],
      notices: [],
      remarks: new Map(),
      exceptions: NO_EXCEPTIONS,
    }),
  );
  assert.throws(() => allSteps(detection.refill(prepared, closed, Date.now())));
  prepared.close();
  assert.equal(detection.loaded, before);
  await life.take(3, [stop(3, { time: BEGIN + 3, exitCode: 1, ppid: 1 })]);
  assert.equal(life.counters.alerts, 1);
  life.end();
});

Deno.test("a window that could not be read back whole says so until it has passed", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const life = new Life(path);
  const many = Array.from({ length: 3_000 }, (_, i) => stop(i + 1, { time: BEGIN + i, exitCode: 1, ppid: 9_000 + i }));
  await life.take(1, many);
  life.end();
  const next = new Life(path, 1_000);
  assert(
    next.lines.some((line) => /windows of rules were not read back whole: 1000 rows/.test(line)),
    next.lines.join(),
  );
  await next.take(3_001, [1, 2, 3].map((n) => stop(n, { time: BEGIN + 3_000 + n, exitCode: 1, ppid: 5 })));
  const [alert] = alertsOf(path);
  assert.match(
    alert!["completeness"] as string,
    /"complete":false,"reasons":\["the window could not be read back whole/,
  );
  const degraded = (): readonly string[] => next.detection.statuses().find(({ id }) => id === "burst")!.degraded;
  assert.match(degraded()[0]!, /could not be read back/);
  await next.take(3_004, [start(4, { time: BEGIN + 60_000 })]);
  assert.deepEqual(degraded(), []);
  next.end();
});

Deno.test("gaps and blind sources within a window are reasons with its alerts, also after a restart", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const gap = { source: "ebpf", recordKind: "exec", from: BEGIN, to: BEGIN + 1, count: 7, reason: "full" } as const;
  const failures = (from: number, time: number, ppid: number): StreamMessage => ({
    kind: "events",
    firstSequence: from,
    events: [0, 1, 2].map((n) => stop(from + n, { time: time + n, exitCode: 1, ppid })),
  });
  const life = new Life(path);
  const send = (to: Life, ...messages: StreamMessage[]): Promise<void> =>
    to.ingest.take(to.stream, messages, { lastEventTime: 0 }, () => Promise.resolve(true));
  await send(life, failures(1, BEGIN, 1), { kind: "gap", sequence: 4, gap });
  life.end();
  const next = new Life(path);
  const misses = [{ name: "proc", state: "active", detail: "d", misses: ["short lives"], unknownColumns: [] }];
  await send(next, failures(5, BEGIN + 5_000, 2), { kind: "sources", sequence: 8, sources: misses });
  await send(next, failures(9, BEGIN + 60_000, 3));
  const reasons = alertsOf(path).sort((a, b) => Number(a["time"]) - Number(b["time"]))
    .map(({ completeness }) => JSON.parse(completeness as string));
  const full = "gap of ebpf, 7 records: full", blind = "source proc misses: short lives";
  assert.deepEqual(reasons, [
    { complete: false, reasons: [full] },
    { complete: false, reasons: [full, blind] },
    { complete: false, reasons: [blind] },
  ]);
  next.end();
});
