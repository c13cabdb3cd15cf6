import assert from "node:assert/strict";
import { Partitions } from "../../agent/store/partitions.ts";
import { replayWindow, type WindowReplay } from "../../cli/replay_window.ts";
import { Store } from "../../cli/store_reader.ts";
import { tableNamed } from "../../proto/catalog.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { type ValidatedRule, validateRule } from "../../proto/rules/rule.ts";
import { parseRule } from "../../proto/rules/rule_yaml.ts";
import { newWindowEvaluation } from "../../proto/rules/window_evaluation.ts";
import { WindowLane } from "../../proto/rules/window_lane.ts";
import { Random } from "../fuzz/random.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, testProcess, TestState } from "../support/test_store.ts";

const MINUTE = 60_000;
const HEAD = "title: T\ndescription: D\nseverity: low\n";
const GUESSING = `id: guessing\n${HEAD}window: 5m\nsql: |
  SELECT user_id, count(*) AS failures FROM process_events
  WHERE event_type = 'stop' AND name IN ('su', 'sudo') AND exit_code = 1 GROUP BY user_id HAVING count(*) >= 5
`;
const FAMILY = `id: family\n${HEAD}window: 1m\nsql: |
  SELECT a.pid AS parent, b.pid AS child, b.command_line FROM process_events a
  JOIN process_events b ON b.parent_exec_id = a.exec_id AND b.name = 'sh' AND b.command_line LIKE '%-c%'
  WHERE a.event_type = 'start' AND a.name IN ('curl', 'wget')
`;

function failures(state: TestState, times: readonly number[], user = 1000): void {
  for (const time of times) {
    state.event({ event_type: "stop", name: "su", exit_code: 1, user_id: user, time });
    state.event({ time: time + 1 });
  }
}

const five = (from: number): number[] => [0, 1, 2, 3, 4].map((i) => from + i * 10_000);

function replayed(state: TestState, text: string, from: number, options: { ruleDeadlineMs?: number } = {}) {
  using store = Store.open(state.layout.store);
  const rule = validateRule(parseRule(text, "x.yml"));
  return replayWindow(store, rule, {
    from,
    until: NOW,
    examples: 5,
    deadlineMs: 600_000,
    exceptions: [],
    progress: () => {},
    ruleDeadlineMs: 60_000,
    windowRows: 200_000,
    ...options,
  });
}

Deno.test("rules replay counts what a rule over a window would have raised, over partitions and gaps of time", async () => {
  using state = new TestState();
  state.live();
  failures(state, five(NOW - 300 * MINUTE));
  failures(state, [NOW - 200 * MINUTE, NOW - 190 * MINUTE, NOW - 180 * MINUTE]);
  failures(state, five(NOW - 100 * MINUTE).slice(0, 3));
  new Partitions(state.db).rotate(NOW);
  state.reopenPartitions();
  failures(state, five(NOW - 100 * MINUTE).slice(3));
  // The same going on, and another user
  failures(state, five(NOW - 98 * MINUTE));
  failures(state, five(NOW - 98 * MINUTE), 7);
  const { out, code, err } = await cli(state, ["rules", "replay", "-", "-f", "json"], { stdin: GUESSING });
  const answer = JSON.parse(out);
  assert.deepEqual([answer.events, answer.matches, answer.faults, answer.state], [46, 3, 0, "complete"], err);
  assert.ok(answer.suppressed > 0 && answer.evaluations >= 5);
  assert.deepEqual(answer.examples.map((each: { evidence: unknown }) => each.evidence), [
    { user_id: 7, failures: 5 },
    { user_id: 1000, failures: 5 },
    { user_id: 1000, failures: 5 },
  ]);
  assert.deepEqual([answer.examples[0].name, answer.lane, code], ["su", "window: 5m", 0]);
  const table = await cli(state, ["rules", "replay", "-"], { stdin: GUESSING });
  assert.match(table.err, /guessing would have fired 3 times in 46 events .*\n\d+ times? more it was the same finding/);
});

Deno.test("a replay of a window begins one window before the time that is asked for, and counts from there", () => {
  using state = new TestState();
  const times = five(NOW - 10 * MINUTE);
  failures(state, times);
  const found = replayed(state, GUESSING, times[4]! - 1);
  assert.deepEqual([found.matches, found.events, found.from], [1, 2, times[4]!]);
  const later = replayed(state, GUESSING, times[4]! + 1);
  assert.deepEqual([later.matches, later.events, later.from, later.examples], [0, 1, times[4]! + 1, []]);
});

Deno.test("a replay of a window raises what the agent's lane raises of the same events in small batches", () => {
  using state = new TestState();
  const random = new Random(0x77d0), columns = tableNamed("process_events").columns, rows: SqlValue[][] = [];
  for (let i = 0; i < 1_500; i++) {
    const row: Record<string, SqlValue> = {
      event_id: i + 1,
      time: NOW - 3_600_000 + i * 1_000 + random.below(900),
      event_type: random.oneIn(5) ? "stop" : "start",
      exec_id: testProcess(i),
      parent_exec_id: testProcess(Math.max(0, i - random.below(90))),
      pid: i,
      name: random.pick(["curl", "wget", "sh", "sh", "ls"]),
      command_line: random.pick(["sh -c x", "sh", "ls -c"]),
    };
    state.insert("process_events", row);
    rows.push(columns.map(({ name }) => row[name] ?? null));
    if (i % 500 === 499) {
      new Partitions(state.db).rotate(NOW);
      state.reopenPartitions();
    }
  }
  const found = replayed(state, FAMILY, NOW - 3_600_000);
  const expected = lived(validateRule(parseRule(FAMILY, "x.yml")), rows);
  assert.ok(expected.length > 20);
  assert.deepEqual([found.matches, found.events, found.faults], [expected.length, 1_500, 0]);
  assert.deepEqual(found.examples.map(({ evidence }) => evidence), expected.slice(-5).toReversed());
});

/** Evidence of what the lane raises of events that come one by one. */
function lived(rule: ValidatedRule, rows: readonly SqlValue[][]): unknown[] {
  using lane = new WindowLane([rule], { deadlineMs: 60_000 });
  return rows.flatMap((row) => {
    const out = newWindowEvaluation();
    for (const _ of lane.judge([row], Infinity, out));
    lane.commit();
    return out.findings.map(({ evidence }) => evidence);
  });
}

Deno.test("a replay of a window tells of evaluations that the agent would have stopped", () => {
  using state = new TestState();
  failures(state, five(NOW - 10 * MINUTE));
  const found: WindowReplay = replayed(state, GUESSING, NOW - 60 * MINUTE, { ruleDeadlineMs: 0.000_1 });
  assert.ok(found.faults > 0);
  assert.match(found.fault!, /^stopped /);
});
