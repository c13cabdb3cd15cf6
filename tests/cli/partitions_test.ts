import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { Partitions, Reclaimer } from "../../agent/store/partitions.ts";
import { Store } from "../../cli/store_reader.ts";
import { authorizeReads, catalogColumns } from "../../proto/rules/authorizer.ts";
import { openDeadlineViews } from "../../proto/rules/deadline_views.ts";
import { runGuarded } from "../../proto/rules/prepared_query.ts";
import { type GuardedQuery, guardSql } from "../../proto/rules/sql_guard.ts";
import { MAX_PARTITIONS, STORED_EVENTS } from "../../proto/store_layout.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, testProcess, TestState } from "../support/test_store.ts";

/** Events of `each` processes in each of so many partitions. */
function partitioned(count: number, each: number): TestState {
  const state = new TestState();
  state.live();
  for (let part = 0; part < count; part++) {
    state.db.exec("BEGIN");
    for (let i = 0; i < each; i++) {
      const pid = part * each + i;
      state.event({ pid, time: NOW - 1_000_000 + pid, name: `n${pid % 7}` });
    }
    if (part < count - 1) new Partitions(state.db).rotate(NOW);
    state.db.exec("COMMIT");
    state.reopenPartitions();
  }
  return state;
}

const all = (store: Store, sql: string): unknown[][] => [...store.hunt(guardSql(sql, "hunt")).rows];

Deno.test("a hunt over many partitions gives what it gives over one, joins and subqueries included", () => {
  using one = partitioned(1, 120);
  using many = partitioned(40, 3);
  using a = Store.open(one.layout.store), b = Store.open(many.layout.store);
  for (
    const sql of [
      "SELECT pid, time, command_line, argv FROM process_events ORDER BY time DESC LIMIT 7",
      "SELECT pid FROM process_events ORDER BY time, pid LIMIT 5 OFFSET 50",
      "SELECT count(*), min(time), max(time) FROM process_events",
      "SELECT user_name, count(*) FROM process_events GROUP BY user_name",
      `SELECT pid FROM process_events WHERE exec_id = '${testProcess(77)}'`,
      "SELECT a.pid, b.time FROM process_events a JOIN process_events b ON a.exec_id = b.exec_id WHERE a.pid > 100 ORDER BY a.pid",
      "SELECT count(*) FROM process_events a LEFT JOIN process_events b ON b.pid = a.pid + 1 WHERE b.pid IS NULL",
      "SELECT a.pid FROM process_events a JOIN process_events b ON a.pid = b.pid JOIN process_events c ON b.pid = c.pid WHERE a.pid = 3",
      "WITH x AS (SELECT pid FROM process_events WHERE pid < 9) SELECT p.pid FROM x AS p JOIN x AS q ON p.pid = q.pid ORDER BY 1",
      "SELECT pid FROM process_events a WHERE NOT EXISTS (SELECT 1 FROM process_events b WHERE b.pid = a.pid + 1)",
      "SELECT pid, row_number() OVER (ORDER BY time DESC) AS r FROM process_events ORDER BY r LIMIT 3",
      "SELECT * FROM process_events WHERE pid = 77",
      "SELECT e.* FROM process_events AS e WHERE time * 2 > 0 ORDER BY pid LIMIT 3",
      `SELECT "PID", "name", Command_Line FROM process_events WHERE event_type = 'start' ORDER BY 1 LIMIT 4`,
      "SELECT user_name, cwd, parent_name, count ( * ) AS n FROM process_events GROUP BY 1, 2, 3",
      "SELECT count(*) FROM process_events JOIN processes USING (pid)",
      "SELECT (SELECT max(b.name) FROM process_events AS b WHERE b.pid = a.pid) FROM process_events AS a ORDER BY 1 LIMIT 5",
    ]
  ) {
    assert.deepEqual(all(b, sql), all(a, sql), sql);
  }
});

Deno.test("a store of as many partitions as it may have is read, and a hunt of all is prepared in time", () => {
  using state = partitioned(MAX_PARTITIONS, 1);
  using store = Store.open(state.layout.store);
  assert.deepEqual(all(store, "SELECT count(*) FROM process_events"), [[MAX_PARTITIONS]]);
  const names = all(store, "SELECT name, count(*) FROM process_events GROUP BY name ORDER BY name");
  assert.deepEqual(names.map(([name]) => name), ["n0", "n1", "n2", "n3", "n4", "n5", "n6"]);
  assert.equal(names.reduce((sum, [, n]) => sum + Number(n), 0), MAX_PARTITIONS);
  assert.equal(all(store, "SELECT * FROM process_events ORDER BY time DESC, pid")[0]!.length > 60, true);
});

Deno.test("a hunt since a moment gives the same, whether its partitions hold that time, reach into it or lie before", () => {
  using state = partitioned(6, 10);
  for (const after of [-1, 0, 9, 10, 35, 59, 60]) {
    const since = NOW - 1_000_000 + after;
    using whole = Store.open(state.layout.store), narrowed = Store.open(state.layout.store, { since });
    const expected = all(whole, `SELECT pid, name FROM process_events WHERE time >= ${since} ORDER BY pid`);
    assert.equal(expected.length, 60 - Math.max(0, after));
    assert.deepEqual(all(narrowed, "SELECT pid, name FROM process_events ORDER BY pid"), expected);
    assert.deepEqual(all(narrowed, "SELECT count(*) FROM process_events"), [[expected.length]]);
    assert.deepEqual(all(narrowed, "SELECT a.* FROM process_events AS a").length, expected.length);
    assert.deepEqual(narrowed.rows("SELECT pid, argv FROM process_events").length, expected.length);
  }
});

Deno.test("a reader that is open while partitions come and go sees all of one moment", () => {
  using state = partitioned(6, 10);
  using store = Store.open(state.layout.store);
  const pids = (): unknown[] => all(store, "SELECT pid FROM process_events ORDER BY pid").map(([pid]) => pid);
  assert.equal(pids().length, 60);
  const cursor = store.hunt(guardSql("SELECT pid FROM process_events", "hunt")).rows[Symbol.iterator]();
  assert.deepEqual(cursor.next().value, [0]);
  const hide = (): void => {
    state.db.exec("BEGIN");
    new Partitions(state.db).hideOldest();
    state.db.exec("COMMIT");
    const reclaimer = new Reclaimer(state.db);
    while (reclaimer.pending) reclaimer.step();
  };
  hide();
  let rest = 1;
  for (let next = cursor.next(); next.done !== true; next = cursor.next()) rest += 1;
  assert.equal(rest, 60, "the answer that was begun is whole");
  assert.deepEqual(pids(), Array.from({ length: 50 }, (_, i) => i + 10));
  state.db.exec("BEGIN");
  new Partitions(state.db).rotate(NOW);
  state.db.exec("COMMIT");
  state.reopenPartitions();
  state.event({ pid: 999 });
  hide();
  assert.deepEqual(pids(), [...Array.from({ length: 40 }, (_, i) => i + 20), 999]);
  const own = store.rows("SELECT count(*) FROM process_events");
  assert.deepEqual(own, [[41]]);
});

Deno.test("the CLI says what retention took of the time that it was asked for", async () => {
  using state = partitioned(2, 5);
  state.db.exec(`INSERT INTO retention (time, table_name, from_time, to_time, count, reason) VALUES
    (${NOW}, 'process_events', ${NOW - 9_000_000}, ${NOW - 2_000_000}, 1234, 'size'),
    (${NOW}, 'processes', ${NOW - 9_000_000}, ${NOW}, 5, 'size')`);
  const told = await cli(state, ["query", "SELECT count(*) AS n FROM process_events", "--since", "2h", "-f", "csv"]);
  assert.match(told.err, /Not everything is kept: 1,234 events from .* were removed to keep the store within/);
  assert.equal(told.code, 3);
  const whole = await cli(state, ["events", "-f", "csv"]);
  assert.match(whole.err, /1,234 events/);
  assert.equal(whole.code, 0, "who names no time asks for what there is");
  const later = await cli(state, ["events", "--since", "20m", "-f", "csv"]);
  assert.deepEqual([later.err, later.code], ["", 0]);
  const health = await cli(state, ["health"]);
  assert.match(health.out, /kept +events since .*1,234 events/);
});

Deno.test("neither gate lets a query name a table of a partition", () => {
  using state = partitioned(3, 2);
  const sqls = [
    `SELECT * FROM ${STORED_EVENTS}`,
    `SELECT * FROM ${STORED_EVENTS}_1`,
    `SELECT count(*) FROM ${STORED_EVENTS}_1_contexts`,
    `WITH ${STORED_EVENTS} AS (SELECT * FROM ${STORED_EVENTS}_1) SELECT * FROM ${STORED_EVENTS}`,
    `WITH process_events AS (SELECT * FROM "Stored_Events_1") SELECT * FROM process_events`,
    "SELECT * FROM partitions",
    "SELECT * FROM agent_state",
  ];
  using db = new DatabaseSync(state.layout.store, { readOnly: true });
  const views = openDeadlineViews(db, undefined, undefined, 3);
  for (const sql of sqls) {
    assert.throws(() => guardSql(sql, "hunt"), /There is no table|is a table/, sql);
    const passed = { sql, needs: { eventReads: 1 }, insertions: [], row: null, purpose: "hunt" };
    assert.throws(
      () => runGuarded(db, views, passed as unknown as GuardedQuery, 1_000),
      /cannot name|not authorized|prohibited/,
      sql,
    );
  }
  // The second gate stands where the text is not looked at, too
  authorizeReads(db, { tables: catalogColumns(), functions: "query", views });
  assert.throws(() => db.prepare(`SELECT pid FROM ${STORED_EVENTS}_1`), /not authorized|prohibited/);
  assert.throws(() => db.prepare(`SELECT pid FROM ${STORED_EVENTS}`), /not authorized|prohibited/);
});
