import assert from "node:assert/strict";
import { Partitions } from "../../agent/store/partitions.ts";
import { Store } from "../../cli/store_reader.ts";
import { COMPACT, FLAT } from "../../proto/partition_layout.ts";
import { EventGroups } from "../../proto/rules/event_groups.ts";
import { type GuardedQuery, guardSql } from "../../proto/rules/sql_guard.ts";
import { NOW, TestState } from "../support/test_store.ts";

const BEGIN = NOW - 1_000_000;

/** Events over three partitions, the last one open; what they say repeats, some of it is not known, times go back. */
function repeating(): TestState {
  const state = new TestState();
  state.live();
  const pick = <T>(values: readonly T[], by: number): T => values[by % values.length]!;
  for (let part = 0; part < 3; part++) {
    state.db.exec("BEGIN");
    for (let i = 0; i < 150; i++) {
      const n = part * 150 + i;
      state.event({
        pid: n,
        time: BEGIN + (n * 7_919) % 450,
        event_type: pick(["start", "stop", "modify", null], n * 5 + part),
        exit_code: pick([0, 1, null, 127], n * 3),
        exit_signal: pick([null, null, 9, 11], n),
        name: pick(["sh", "bash", "Sh", "", null, "é'\""], n * 11),
        executable_path: pick(["/bin/sh", "/bin/bash", null], n * 13),
        user_name: pick(["root", "ann", null], n * 17),
        user_id: pick([0, 1_000, null], n * 17),
        parent_name: pick(["init", "cron"], n * 19),
        parent_exec_id: pick(["a", "b", null, "c"], n * 23),
        cwd: pick(["/", null, "/tmp"], n * 29),
        cpu_time_ms: n / 4,
      });
    }
    if (part < 2) new Partitions(state.db).rotate(NOW);
    state.db.exec("COMMIT");
    state.reopenPartitions();
  }
  return state;
}

function ask(store: Store, query: GuardedQuery): { names: readonly string[]; rows: unknown[][] } {
  const { names, rows } = store.hunt(query);
  return { names, rows: [...rows] };
}

/** Asks of groups, and of events one by one. */
function assertSame(store: Store, sql: string): void {
  const query = guardSql(sql, "hunt");
  assert.notEqual(query.grouped, null, `${sql} is not asked of groups`);
  assert.deepEqual(ask(store, query), ask(store, { ...query, grouped: null, earliest: null }), sql);
}

const P = "FROM process_events";

Deno.test("a query that groups events is answered of groups as of the events one by one", () => {
  using state = repeating();
  using store = Store.open(state.layout.store);
  for (
    const sql of [
      `SELECT name, count(*) AS n ${P} WHERE time >= ${BEGIN + 200} GROUP BY name ORDER BY n DESC, name`,
      `SELECT name, COUNT( * ) ${P} GROUP BY 1`,
      `SELECT name, count(*) ${P} WHERE time BETWEEN ${BEGIN + 20} AND ${BEGIN + 40} GROUP BY name`,
      `SELECT e.user_name, count(e.cwd), count(DISTINCT e.name) ${P} AS e WHERE e.pid > 30 GROUP BY e.user_name`,
      `SELECT executable_path, min(time), max(time) AS last, count(*) ${P} GROUP BY executable_path ORDER BY max(time)`,
      `SELECT name, cwd, parent_name, event_type, count(*) ${P} GROUP BY name, cwd, parent_name, event_type`,
      `SELECT coalesce(user_name, user_id) AS who, count(*) ${P} GROUP BY who HAVING count(*) > 10 ORDER BY 1`,
      `SELECT exit_code, exit_signal, count(*) FILTER (WHERE user_name = 'root') AS roots ${P} GROUP BY 1, 2`,
      `SELECT event_type, max(time) FILTER (WHERE exit_code = 0) - min(time) ${P} GROUP BY event_type`,
      `SELECT lower(name) AS n, count(*), max(parent_exec_id) ${P} GROUP BY n ORDER BY count(*), n LIMIT 3 OFFSET 1`,
      `SELECT name, count(*) * 2 + 1 ${P} WHERE argv IS NOT NULL AND cpu_time_ms > 9 GROUP BY name`,
      `SELECT name, parent_name, max(time) AS last ${P} GROUP BY name ORDER BY name`,
      `SELECT name, count(*) ${P} WHERE pid < 0 GROUP BY name`,
      `SELECT name ${P} WHERE name LIKE 's%' OR pid % 7 = 1 GROUP BY name, cwd ORDER BY name, cwd DESC`,
      `SELECT min(time) AS time, name ${P} GROUP BY name ORDER BY 1`,
      `SELECT count(*) AS weight, "name" /* count(*) */ ${P} GROUP BY "name" -- by name`,
    ]
  ) assertSame(store, sql);
});

Deno.test("queries made at random give the same of groups as of events one by one", () => {
  using state = repeating();
  using store = Store.open(state.layout.store), since = Store.open(state.layout.store, { since: BEGIN + 211 });
  let seed = 7;
  const any = <T>(values: readonly T[]): T => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return values[(seed >> 8) % values.length]!;
  };
  const keys = ["name", "user_name", "cwd", "parent_name", "event_type", "exit_code", "upper(executable_path)"];
  const sums = [
    "count(*)",
    "count(name)",
    "count(DISTINCT parent_exec_id)",
    "min(time)",
    "max(time)",
    "max(cwd)",
    "count(*) FILTER (WHERE exit_signal IS NULL)",
    "count(nullif(user_name, 'ann'))",
  ];
  const filters = ["pid % 3 = 0", `time > ${BEGIN + 160}`, "event_type = 'start'", "cwd IS NULL", "length(argv) > 3"];
  for (let round = 0; round < 60; round++) {
    const by = [...new Set([any(keys), any(keys), any(keys)])], shown = [any(sums), any(sums)];
    const where = any([true, false]) ? `WHERE ${any(filters)} ${any(["AND", "OR"])} NOT (${any(filters)})` : "";
    const having = any([true, false]) ? `HAVING ${any(sums)} IS NOT NULL` : "";
    assertSame(
      any([store, since]),
      `SELECT ${[...by, ...shown]} ${P} ${where} GROUP BY ${by} ${having} ORDER BY ${by}`,
    );
  }
});

Deno.test("what groups do not know is asked of the events", () => {
  for (
    const sql of [
      `SELECT name ${P}`,
      `SELECT count(*) ${P}`,
      `SELECT DISTINCT name ${P}`,
      `SELECT max(time), count(*) ${P} WHERE name = 'sh'`,
      `SELECT pid, count(*) ${P} GROUP BY pid`,
      `SELECT time / 60000, count(*) ${P} GROUP BY 1`,
      `SELECT name, avg(duration_ms) ${P} GROUP BY name`,
      `SELECT name, sum(user_id) ${P} GROUP BY name`,
      `SELECT name, group_concat(cwd) ${P} GROUP BY name`,
      `SELECT name, min(time / 2) ${P} GROUP BY name`,
      `SELECT name, min(time, 5) ${P} GROUP BY name`,
      `SELECT name, count(command_line) ${P} GROUP BY name`,
      `SELECT name, count(DISTINCT time) ${P} GROUP BY name`,
      `SELECT name, count(*) ${P} GROUP BY name HAVING pid > 3`,
      `SELECT name, count(*) ${P} GROUP BY name ORDER BY time`,
      `SELECT name, row_number() OVER (ORDER BY name) ${P} GROUP BY name`,
      `SELECT name, count(*) ${P} WHERE pid IN (SELECT pid FROM processes) GROUP BY name`,
      `SELECT name, (SELECT max(pid) FROM processes) ${P} GROUP BY name`,
      `SELECT a.name, count(*) ${P} a JOIN processes b ON a.pid = b.pid GROUP BY a.name`,
      "SELECT name, count(*) FROM processes GROUP BY name",
      `WITH x AS (SELECT name ${P}) SELECT name, count(*) FROM x GROUP BY name`,
      `SELECT name, count(*) ${P} GROUP BY name UNION ALL SELECT name, 1 ${P}`,
    ]
  ) assert.equal(guardSql(sql, "hunt").grouped, null, sql);
  assert.equal(guardSql(`SELECT name ${P} WHERE name = 'sh'`, "rule").grouped, null);
  assert.equal(EventGroups.areFor([{ number: 1, layout: FLAT }, { number: 2, layout: COMPACT }]), false);
});

Deno.test("the earliest time is told only where every event before it is left out", () => {
  for (
    const [where, earliest] of [
      ["time >= 5", 5],
      ["pid = 3 AND (time > 7 AND time > 6)", 7],
      ["e.time BETWEEN 8 AND 9 AND time < 3", 8],
      ["time = 4", 4],
      ["time NOT BETWEEN 8 AND 9", null],
      ["time >= 5 OR pid = 3", null],
      ["NOT time >= 5", null],
      ["time <= 5", null],
      ["pid >= 5", null],
      ["time + 1 >= 5", null],
      ["time >= 5 IS FALSE", null],
      ["time >= pid", null],
    ] as const
  ) assert.equal(guardSql(`SELECT e.pid ${P} e WHERE ${where}`, "hunt").earliest, earliest, where);
  assert.equal(
    guardSql(`SELECT a.pid ${P} a LEFT JOIN processes b ON a.pid = b.pid WHERE a.time > 5`, "hunt").earliest,
    null,
  );
});

Deno.test("where nearly every event is a group of its own, the events are asked, and the deadline holds in either case", () => {
  using state = new TestState();
  state.live();
  state.db.exec("BEGIN");
  for (let i = 0; i < 4_500; i++) state.event({ pid: i, time: BEGIN + i, parent_exec_id: `p${i % 4_400}`, name: "sh" });
  state.db.exec("COMMIT");
  using store = Store.open(state.layout.store);
  const sql = `SELECT parent_exec_id, count(*) AS n ${P} GROUP BY parent_exec_id HAVING n > 1 ORDER BY n DESC`;
  assertSame(store, sql);
  assert.equal(ask(store, guardSql(sql, "hunt")).rows.length, 100);
  using stopped = Store.open(state.layout.store, { isStopped: () => true });
  for (const by of ["name", "parent_exec_id"]) {
    assert.throws(() => ask(stopped, guardSql(`SELECT ${by}, count(*) ${P} GROUP BY ${by}`, "hunt")), /^StoppedError/);
  }
});
