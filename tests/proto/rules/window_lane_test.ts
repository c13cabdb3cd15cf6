import assert from "node:assert/strict";
import { SqlRefusedError } from "../../../proto/rules/sql_refused.ts";
import { guardSql } from "../../../proto/rules/sql_guard.ts";
import { RuleError } from "../../../proto/rules/rule.ts";
import { AHEAD, CAPPED, LATE, newWindowEvaluation, WENT_BACK } from "../../../proto/rules/window_evaluation.ts";
import { WindowLane } from "../../../proto/rules/window_lane.ts";
import { windowQuery } from "../../../proto/rules/window_query.ts";
import { eventCells, shown, take, windowRule } from "./window_support.ts";

const BURST = windowRule(
  "burst",
  "60s",
  "SELECT ppid, count(*) AS n FROM process_events WHERE event_type = 'stop' AND exit_code <> 0 GROUP BY ppid HAVING count(*) >= 3",
);
const FAMILY = windowRule(
  "family",
  "60s",
  `SELECT a.pid AS parent, b.pid AS child FROM process_events AS a
JOIN process_events AS b ON b.parent_exec_id = a.exec_id AND b.event_type = 'start'
WHERE a.event_type = 'start' AND a.name = 'curl'`,
);
const ALONE = windowRule(
  "alone",
  "60s",
  `SELECT a.pid AS pid FROM process_events AS a
LEFT JOIN process_events AS b ON b.exec_id = a.exec_id AND b.event_type = 'stop'
WHERE a.event_type = 'start' AND a.name = 'sleeper' AND b.event_id IS NULL`,
);

function failure(id: number, time: number, ppid = 7): ReturnType<typeof eventCells> {
  return eventCells(id, time, { event_type: "stop", exit_code: 1, ppid });
}

function open(...rules: (typeof BURST)[]): WindowLane {
  return new WindowLane(rules, { deadlineMs: 10_000 });
}

Deno.test("a lane that takes the place of another has against its verdicts what that one had, rule by rule", () => {
  using before = open(BURST, FAMILY);
  take(before, [failure(1, 1_000)]);
  before.mark("why", 1_000, "burst");
  before.mark("of all", 1_000);
  using after = open(FAMILY, ALONE, BURST);
  after.clear(1_000);
  after.inherit(before);
  assert.deepEqual(after.reasons(BURST), ["why", "of all"]);
  assert.deepEqual(after.reasons(FAMILY), ["of all"]);
  assert.deepEqual(after.reasons(ALONE), [], "it lost nothing: it is new");
  take(after, [failure(2, 61_001)]);
  assert.deepEqual(after.reasons(BURST), [], "it has left the window");
});

Deno.test("windowQuery() refuses what means nothing over a window, and says what to write instead", () => {
  const refuses = (sql: string, reason: RegExp): void => {
    assert.throws(() => windowQuery(guardSql(sql, "window")), (error) => {
      assert(error instanceof SqlRefusedError, `${sql}: ${error}`);
      assert.match(error.reason, reason, sql);
      return true;
    });
  };
  const p = "process_events";
  refuses(`SELECT count(*) AS n FROM ${p} WHERE pid = 1`, /needs GROUP BY/);
  refuses(`SELECT pid FROM ${p} WHERE pid = 1`, /leave window out/);
  refuses(`SELECT a.pid FROM ${p} a JOIN ${p} b ON a.pid = b.ppid WHERE a.pid = 1`, /b needs a condition of its own/);
  refuses(`SELECT DISTINCT a.pid FROM ${p} a JOIN ${p} b ON a.pid = b.ppid AND b.pid = 1 WHERE a.pid = 1`, /GROUP BY/);
  refuses(`SELECT pid, count(*) AS n FROM ${p} WHERE pid = 1 GROUP BY pid LIMIT 3`, /LIMIT is not allowed here/);
  refuses(`SELECT pid FROM ${p} WHERE pid = 1 UNION SELECT pid FROM ${p} WHERE pid = 2`, /compound/);
  refuses(
    `SELECT n FROM (SELECT pid, count(*) AS n FROM ${p} WHERE pid = 1 GROUP BY pid) AS q WHERE n > 1`,
    /GROUP BY/,
  );
  refuses(`SELECT pid, count(*) AS n FROM ${p} GROUP BY pid`, /needs a condition of its own/);
  refuses(`SELECT q.* FROM (SELECT * FROM ${p} WHERE pid = 1) AS q JOIN ${p} b ON b.pid = 2`, /Name the columns/);
  refuses(`SELECT pid, count(*) AS n FROM alerts WHERE pid = 1 GROUP BY pid`, /A rule reads process_events/);
  refuses(
    `SELECT a.pid FROM ${p} a LEFT JOIN ${p} b ON b.ppid = a.pid WHERE a.pid = 1 AND b.pid = 2`,
    /b needs a condition of its own/,
  );
});

Deno.test("a rule file names the window of a rule over several rows, within bounds", () => {
  const sql = "SELECT pid, count(*) AS n FROM process_events WHERE pid = 1 GROUP BY pid";
  for (const window of ["0s", "999ms", "25h", "5", "5 m", "-1m", "''", "1.5h"]) {
    assert.throws(() => windowRule("bad", window, sql), RuleError, window);
  }
  for (const [window, ms] of [["1s", 1_000], ["24h", 86_400_000], ["1500ms", 1_500]] as const) {
    assert.equal(windowRule("good", window, sql).windowMs, ms);
  }
});

Deno.test("a group that grows over its bound is found once, at the event that completes it", () => {
  using lane = open(BURST);
  assert.deepEqual(shown(take(lane, [failure(1, 1_000), failure(2, 2_000)])), []);
  const out = take(lane, [failure(3, 3_000), eventCells(4, 3_500), failure(5, 4_000, 8)]);
  assert.deepEqual(shown(out), ["burst 7,3 @3000"]);
  assert.equal(out.findings[0]!.row, 0);
  assert.deepEqual(out.findings[0]!.reasons, []);
  const more = take(lane, [failure(6, 5_000)]);
  assert.deepEqual([shown(more), more.suppressed], [[], 1], "four are no other finding than three");
});

Deno.test("a finding that goes on is raised again a whole window later, not before", () => {
  using lane = open(BURST);
  const raised: string[] = [];
  for (let i = 1; i <= 200; i++) raised.push(...shown(take(lane, [failure(i, i * 1_000)])));
  assert.deepEqual(raised.map((text) => text.replace(/.*@/, "")), ["3000", "63000", "123000", "183000"]);
});

Deno.test("rows as old as the window is long are out of it", () => {
  using lane = open(BURST);
  assert.deepEqual(shown(take(lane, [failure(1, 0), failure(2, 30_000), failure(3, 60_000)])), []);
  using other = open(BURST);
  assert.deepEqual(shown(take(other, [failure(1, 1), failure(2, 30_000), failure(3, 60_000)])), ["burst 7,3 @60000"]);
});

Deno.test("a backlog of hours in one batch hides no burst in its middle", () => {
  using lane = open(BURST);
  const rows = [
    failure(1, 0),
    ...[2, 3, 4].map((id) => failure(id, 600_000 + id)),
    ...[5, 6, 7].map((id) => failure(id, 7_200_000 + id)),
    failure(8, 14_400_000),
  ];
  assert.deepEqual(shown(take(lane, rows)), ["burst 7,3 @600004", "burst 7,3 @7200007"]);
});

Deno.test("a join finds each pair once, whichever side comes first, also late ones", () => {
  using lane = open(FAMILY);
  const parent = eventCells(1, 5_000, { name: "curl", exec_id: "e1", pid: 10 });
  const child = eventCells(2, 4_000, { name: "sh", parent_exec_id: "e1", pid: 11 });
  assert.deepEqual(shown(take(lane, [parent])), []);
  const out = take(lane, [eventCells(9, 6_000), child]);
  assert.deepEqual(shown(out), ["family 10,11 @4000"]);
  assert.equal(out.findings[0]!.row, 1);
  assert.deepEqual(shown(take(lane, [eventCells(3, 7_000, { name: "cat", parent_exec_id: "e1", pid: 12 })])), [
    "family 10,12 @7000",
  ]);
});

Deno.test("a join goes over the rows that can meet, not over all that the rule can use", () => {
  using lane = open(FAMILY);
  const rows = Array.from({ length: 1_000 }, (_, i) => eventCells(i + 1, i, { name: "sh", exec_id: `e${i}` }));
  take(lane, rows);
  assert.equal(lane.rows, 1_000, "children alone");
  take(lane, [eventCells(2_000, 1_500, { name: "curl", exec_id: "e" })]);
  assert.equal(lane.rows, 1_002, "a parent, which may be a child too");
});

Deno.test("a row that comes twice counts once", () => {
  using lane = open(BURST);
  assert.deepEqual(shown(take(lane, [failure(1, 1_000), failure(1, 1_000), failure(1, 1_000)])), []);
  assert.equal(lane.rows, 1);
});

Deno.test("a LEFT JOIN keeps the rows of its right side that its WHERE would not let through", () => {
  using lane = open(ALONE);
  const begin = (id: number, exec: string): ReturnType<typeof eventCells> =>
    eventCells(id, id, { name: "sleeper", exec_id: exec, pid: id });
  const end = (id: number, exec: string): ReturnType<typeof eventCells> =>
    eventCells(id, id, { event_type: "stop", exec_id: exec, pid: id });
  assert.deepEqual(shown(take(lane, [begin(1, "a"), begin(2, "b"), end(3, "a")])), ["alone 2 @2"]);
});

Deno.test("events that come too late are counted, and every verdict within the window says so", () => {
  using lane = open(BURST);
  take(lane, [failure(1, 100_000)]);
  const late = take(lane, [failure(2, 40_000)]);
  assert.equal(late.late, 1);
  assert.deepEqual(lane.reasons(BURST), [LATE]);
  const out = take(lane, [failure(3, 101_000), failure(4, 102_000)]);
  assert.deepEqual(out.findings.map(({ reasons }) => reasons), [[LATE]]);
  take(lane, [failure(5, 170_000)]);
  assert.deepEqual(lane.reasons(BURST), [], "it has left the window");
});

Deno.test("an event ahead of the clock moves nothing, and a clock that goes back begins the window anew", () => {
  using lane = open(BURST);
  take(lane, [failure(1, 100_000), failure(2, 100_001)], 100_000);
  const out = take(lane, [failure(3, 9_000_000)], 100_010);
  assert.deepEqual([out.ahead, lane.newest], [1, 100_001]);
  assert.deepEqual(lane.reasons(BURST), [AHEAD]);
  assert.deepEqual(shown(take(lane, [failure(4, 100_002)], 100_020)), ["burst 7,3 @100002"]);
  take(lane, [eventCells(5, 1_000)], 1_000);
  assert.equal(lane.newest, 61_000);
  assert.deepEqual(lane.reasons(BURST), [WENT_BACK]);
  assert.deepEqual(shown(take(lane, [6, 7, 8].map((id) => failure(id, 61_000 + id)), 61_010)), ["burst 7,3 @61008"]);
});

Deno.test("rows past the bound push out the oldest, which verdicts say until they would have left anyway", () => {
  using lane = new WindowLane([BURST], { deadlineMs: 10_000, maxRows: 1_000 });
  const rows = Array.from({ length: 1_500 }, (_, i) => failure(i + 1, 1_000 + i, i));
  take(lane, rows);
  assert(lane.rows <= 1_000, String(lane.rows));
  assert.deepEqual(lane.reasons(BURST), [CAPPED]);
  take(lane, [failure(9_000, 70_000)]);
  assert.deepEqual(lane.reasons(BURST), []);
});

Deno.test("bytes past the bound push out the oldest too", () => {
  const rule = windowRule(
    "long",
    "60s",
    "SELECT ppid, max(command_line) AS c FROM process_events WHERE event_type = 'start' GROUP BY ppid HAVING count(*) > 100000",
  );
  using lane = new WindowLane([rule], { deadlineMs: 10_000, maxBytes: 4 << 20 });
  const line = "x".repeat(20_000);
  for (let i = 0; i < 20; i++) {
    take(lane, Array.from({ length: 50 }, (_, k) => eventCells(i * 50 + k + 1, i * 50 + k, { command_line: line })));
  }
  assert(lane.bytes <= 4 << 20, String(lane.bytes));
  assert(lane.rows > 50);
  assert.deepEqual(lane.reasons(rule), [CAPPED]);
});

Deno.test("a batch that is not kept is as if it never came", () => {
  using lane = open(BURST, FAMILY);
  take(lane, [failure(1, 1_000), failure(2, 2_000)]);
  const out = newWindowEvaluation();
  for (const _ of lane.judge([failure(3, 3_000), failure(4, 90_000)], Infinity, out));
  assert.equal(out.findings.length, 1);
  assert.deepEqual([lane.newest, lane.rows], [90_000, 1]);
  // Another batch, of another stream, without a commit of that one
  assert.deepEqual(shown(take(lane, [failure(5, 2_500)])), ["burst 7,3 @2500"]);
  assert.deepEqual([lane.newest, lane.rows], [2_500, 3]);
});

Deno.test("a batch that was given up between two steps does not go on in the next one", () => {
  using lane = open(BURST);
  const rows = Array.from({ length: 100 }, (_, i) => failure(i + 1, 1_000 + i));
  const given = lane.judge(rows, Infinity, newWindowEvaluation());
  given.next();
  take(lane, [failure(200, 1)]);
  assert.deepEqual(given.next(), { done: true, value: undefined });
  assert.equal(lane.rows, 1);
});

Deno.test("a rule that is stopped by its deadline says so, keeps what it found, and the others are judged", () => {
  const slow = windowRule(
    "slow",
    "1h",
    `SELECT a.ppid AS ppid, count(*) AS n FROM process_events AS a
JOIN process_events AS b ON b.pid <> a.pid AND b.event_type = 'stop'
JOIN process_events AS c ON c.pid <> b.pid AND c.event_type = 'stop'
WHERE a.event_type = 'stop' GROUP BY a.ppid`,
  );
  using lane = new WindowLane([slow, BURST], { deadlineMs: 500 });
  const out = take(lane, Array.from({ length: 2_000 }, (_, i) => failure(i + 1, i, i % 3)));
  const [fault] = out.faults;
  const reason = "stopped while it read, since what it reads is to be sorted within 500 ms";
  assert.deepEqual([fault!.rule, fault!.reason, fault!.timedOut], [slow, reason, true]);
  assert.equal(lane.reasons(slow)[0], `its last evaluation was not whole: ${reason}`);
  assert(!out.evaluated.has(slow) && out.evaluated.has(BURST));
  assert.equal(out.findings.filter(({ rule }) => rule === BURST).length, 3);
  for (let id = 3_000; id < 3_003; id++) {
    const again = take(lane, [failure(id, id)]);
    assert.deepEqual(again.faults.map(({ reason, timedOut }) => [reason, timedOut]), [[reason, true]]);
  }
});

Deno.test("an error of SQLite in an evaluation is a fault with its reason, not the end of the rows", () => {
  const fragile = windowRule(
    "fragile",
    "60s",
    "SELECT ppid, max(json_extract(environment, '$.A')) AS a FROM process_events WHERE event_type = 'start' GROUP BY ppid",
  );
  using lane = open(fragile);
  const out = take(lane, [
    eventCells(1, 1, { ppid: 1, environment: '{"A":1}' }),
    eventCells(2, 2, { ppid: 2, environment: "{" }),
  ]);
  assert.match(out.faults[0]!.reason, /JSON/);
  assert.equal(out.faults[0]!.timedOut, false);
  assert.match(lane.reasons(fragile)[0]!, /not whole: .*JSON/);
});

Deno.test("rows that no rule can use never enter, and columns that none names are not there", () => {
  using lane = open(BURST, FAMILY);
  take(lane, [eventCells(1, 1, { event_type: "modify" }), eventCells(2, 2, { event_type: "stop", exit_code: 0 })]);
  assert.equal(lane.rows, 0);
  assert(!lane.columns.has("command_line"));
});

Deno.test("a rule that is out sees rows all the same, and finds what is complete when it comes back", () => {
  using lane = open(BURST);
  const out = newWindowEvaluation();
  for (const _ of lane.judge([failure(1, 1), failure(2, 2), failure(3, 3)], Infinity, out, new Set(["burst"])));
  lane.commit();
  assert.deepEqual(shown(out), []);
  assert.deepEqual(shown(take(lane, [failure(4, 4)])), ["burst 7,4 @4"]);
});

Deno.test("what rules over windows cost is added up", () => {
  const costs = new Map<string, { evaluations: number; matches: number; cpuMs: number; rows: number }>();
  using lane = new WindowLane([BURST], {
    deadlineMs: 10_000,
    costOf: ({ id }) => {
      const cost = { evaluations: 0, matches: 0, cpuMs: 0, rows: 0 };
      costs.set(id, cost);
      return cost;
    },
  });
  take(lane, [failure(1, 1), failure(2, 2)]);
  take(lane, [failure(3, 3)]);
  take(lane, [eventCells(9, 4)]);
  take(lane, [failure(4, 5)]);
  const { evaluations, matches, rows, cpuMs } = costs.get("burst")!;
  assert.deepEqual([evaluations, matches, rows], [2, 2, 7], "rows fewer than the rule asks for need no look");
  assert(cpuMs > 0);
});

Deno.test("the second gate alone stops a query over windows that the first would have let through", () => {
  const forged = {
    ...BURST,
    window: { ...BURST.window!, sql: BURST.window!.sql.replace("count(*) >= 3", "randomblob(9)>3") },
  };
  assert.throws(() => open(forged), /not authorized|prohibited/);
  const reaching = {
    ...BURST,
    window: { ...BURST.window!, sql: "SELECT name AS ppid, 1 AS n FROM sqlite_schema", edits: [] },
  };
  assert.throws(() => open(reaching), /prohibited|not authorized/);
});
