// Correlations in the agent: killed at every boundary of a sequence of batches, it raises what an undisturbed one raises; what
// it has seen is stored with the events; and what did not come is told also where nothing else comes.
import assert from "node:assert/strict";
import { QUIET_MS, QuietWatch } from "../../agent/quiet_watch.ts";
import { eventRow, type SqlValue } from "../../proto/event_row.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { Random } from "../fuzz/random.ts";
import { correlationRule } from "../proto/rules/correlation_support.ts";
import { rows, start, stop, TempDir } from "./support.ts";
import { AgentLife, alertsOf } from "./agent_life.ts";

const FAILED = "event_type = 'stop' AND exit_code = 1";
const RULES = [
  correlationRule("count", `type: count\nof: ${FAILED}\nby: ppid\nwithin: 20s\nat_least: 3`),
  correlationRule(
    "chain",
    `type: sequence\nevents:\n  many:\n    type: count\n    of: ${FAILED}\n    by: ppid\n    within: 20s\n    at_least: 2\n` +
      `  success: event_type = 'stop' AND exit_code = 0\nby: ppid\nwithin: 10s`,
  ),
  correlationRule(
    "absence",
    `type: absence\nevents: { begin: "event_type = 'start' AND name = 'curl'", end: "${FAILED}" }\nof: begin\n` +
      "not_followed_by: end\nby: ppid\nwithin: 5s",
  ),
  correlationRule(
    "first",
    "type: first_seen\nof: event_type = 'start'\nby: [name, ppid]\nforget_after: 1m\nlearn: 3s\nremember: 6",
  ),
];
const BEGIN = 1_700_000_000_000;

/** Batches of a few seconds each. */
function batches(): ProcessEvent[][] {
  const random = new Random(7);
  let time = BEGIN, pid = 100;
  return Array.from({ length: 24 }, () =>
    Array.from({ length: 1 + random.below(12) }, () => {
      time += 1 + random.below(1_500);
      pid += 1;
      const at = { time: time - (random.chance(0.1) ? random.below(1_500) : 0), ppid: random.below(3) };
      if (random.chance(0.5)) return stop(pid, { ...at, exitCode: random.below(2) });
      return start(pid, { ...at, name: ["curl", "sh", `n${random.below(4)}`][random.below(3)]! });
    }));
}

/** One life of an agent on a store. */
class Life extends AgentLife {
  constructor(path: string, rules = RULES) {
    super(path, rules);
  }
}

function memoryOf(path: string): Record<string, SqlValue>[] {
  return rows(path, "SELECT name, value FROM agent_state WHERE name LIKE 'seen %' ORDER BY name");
}

async function run(path: string, kills: (batch: number) => "no" | "stored" | "judged"): Promise<void> {
  let life = new Life(path), first = 1;
  for (const [i, events] of batches().entries()) {
    const how = kills(i);
    if (how === "judged") {
      const cells = events.map((event, k) => eventRow(event, life.stream.number * 2 ** 40 + first + k, "col"));
      await life.detection.judge(cells, life.stream, Date.now());
      life.end();
      life = new Life(path);
    }
    await life.take(first, events);
    if (how === "stored") {
      life.end();
      life = new Life(path);
      await life.take(first, events);
      assert.equal(life.counters.alerts, 0, "what comes again raises nothing");
    }
    first += events.length;
  }
  life.end();
}

Deno.test("killed at every boundary of a sequence of batches, correlations raise and remember what an undisturbed agent does", async () => {
  using dir = new TempDir();
  const undisturbed = `${dir.path}/whole.db`;
  await run(undisturbed, () => "no");
  const expected = alertsOf(undisturbed), memory = memoryOf(undisturbed);
  for (const { id } of RULES) {
    const found = expected.filter(({ alert_id }) => (alert_id as string).startsWith(`${id}@`)).length;
    assert(found >= 2, `${id} was raised ${found} times: the sequence proves nothing`);
  }
  assert(memory.length > 4, JSON.stringify(memory));
  for (let at = 0; at < batches().length; at += 1) {
    for (const how of ["stored", "judged"] as const) {
      const path = `${dir.path}/${how}-${at}.db`;
      await run(path, (batch) => batch === at ? how : "no");
      assert.deepEqual(alertsOf(path), expected, `killed at batch ${at}, ${how}`);
      assert.deepEqual(memoryOf(path), memory, `killed at batch ${at}, ${how}`);
    }
  }
});

Deno.test("an alert of an absence is about the event that was not followed, whole, though that came long before", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, life = new Life(path);
  const curl = start(7, { time: BEGIN, ppid: 1, name: "curl" });
  await life.take(1, [curl]);
  await life.take(2, [start(8, { time: BEGIN + 60_000, ppid: 2, name: "sh" })]);
  life.end();
  const [alert] = rows(path, "SELECT * FROM alerts WHERE rule_id = 'absence'");
  assert.deepEqual(
    [alert!["time"], alert!["exec_id"], alert!["pid"], alert!["name"], alert!["collector_id"]],
    [BEGIN, curl.execId, 7, "curl", rows(path, "SELECT collector_id FROM collectors")[0]!["collector_id"]],
  );
  assert.equal(alert!["event_id"], rows(path, "SELECT event_id FROM process_events WHERE pid = 7")[0]!["event_id"]);
  assert.equal(JSON.parse(String(alert!["evidence"])).exec_ids, JSON.stringify([curl.execId]));
});

Deno.test("on a quiet host the clock tells what did not come, once, while a collector is connected, and stores it", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, life = new Life(path);
  const { detection, counters, turn, store } = life;
  let isConnected = false, alerted = 0;
  let settled = 0;
  const quiet = new QuietWatch({
    detection,
    turn,
    counters,
    store: () => store,
    settle: () => void settled++,
    isConnected: () => isConnected,
    notesOf: () => [],
    alerted: () => alerted++,
    failed: (_, error) => assert.fail(String(error)),
  });
  const look = (after: number, clock: number): Promise<void> => quiet.look(BEGIN + after, clock);
  const raised = (): number => rows(path, "SELECT 1 FROM alerts WHERE rule_id = 'absence'").length;
  await life.take(1, [start(7, { time: BEGIN, ppid: 1, name: "curl" })]);
  await look(1e6, 0);
  await look(1e6, QUIET_MS * 2);
  assert.equal(raised(), 0, "nobody is connected");
  isConnected = true;
  await look(1e6, QUIET_MS * 2 + 1);
  await look(1e6, QUIET_MS * 3);
  assert.equal(raised(), 0, "it may still send what it had");
  await look(11_999, QUIET_MS * 3 + 1);
  assert.equal(raised(), 0, "five seconds are not over, nor two of settling, nor five of quiet");
  await look(12_000, QUIET_MS * 3 + 2);
  assert.deepEqual([raised(), alerted, counters.alerts], [1, 1, 1]);
  assert.equal(settled, 1, "its events are stored before it");
  await look(20_000, QUIET_MS * 9);
  await life.take(2, [start(8, { time: BEGIN + 60_000, ppid: 2, name: "sh" })]);
  life.end();
  assert.equal(raised(), 1);
  assert.equal(rows(path, "SELECT 1 FROM alert_deliveries WHERE alert_id LIKE 'absence@%'").length, 1);
  const after = new Life(path);
  await after.take(3, [start(9, { time: BEGIN + 61_000, ppid: 2, name: "sh" })]);
  after.end();
  assert.equal(raised(), 1, "nor after a restart");
});

Deno.test("a rule of first_seen that asks for other values begins anew, and forgets the old ones", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, first = new Life(path, [RULES[3]!]);
  await first.take(1, [
    start(7, { time: BEGIN, ppid: 1, name: "a" }),
    start(8, { time: BEGIN + 4_000, ppid: 1, name: "b" }),
  ]);
  first.end();
  assert.equal(rows(path, "SELECT 1 FROM alerts").length, 1);
  const other = correlationRule(
    "first",
    "type: first_seen\nof: event_type = 'start'\nby: ppid\nforget_after: 1m\nlearn: 3s",
  );
  const second = new Life(path, [other]);
  assert.match(second.detection.statuses()[0]!.degraded[0]!, /it has seen no event yet/);
  await second.take(3, [start(9, { time: BEGIN + 5_000, ppid: 3, name: "c" })]);
  assert.match(second.detection.statuses()[0]!.degraded[0]!, /it learns what is usual until/);
  second.end();
  assert.equal(rows(path, "SELECT 1 FROM alerts").length, 1);
  assert.deepEqual(memoryOf(path).map(({ name }) => String(name).split(" ").at(-1)), ["[3]", "began"]);
});
