/** Tables that collectors bring: made, filled, judged by rules, kept within bounds, and found again after a restart. */
import assert from "node:assert/strict";
import { newCounters } from "../../agent/counters.ts";
import { Detection } from "../../agent/detection.ts";
import { Ingest, type StreamMessage } from "../../agent/ingest.ts";
import { Journal } from "../../agent/journal.ts";
import { Store } from "../../agent/store/store.ts";
import type { Stream } from "../../agent/store/streams.ts";
import { NO_EXCEPTIONS } from "../../proto/rules/exception_set.ts";
import { type ValidatedRule, validateRule } from "../../proto/rules/rule.ts";
import { parseRule } from "../../proto/rules/rule_yaml.ts";
import { runRuleTests } from "../../proto/rules/rule_tests.ts";
import { allSteps } from "../../proto/steps.ts";
import { descriptorFault, type TableDescriptor, tableOf } from "../../proto/table_descriptor.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { checkStore, openTestStream, rows, TempDir } from "./support.ts";

const LOGINS: TableDescriptor = {
  name: "logins",
  version: 1,
  description: "Logins that a daemon told of",
  columns: [
    { name: "user_name", type: "TEXT", description: "who" },
    { name: "address", type: "TEXT", description: "from where" },
    { name: "success", type: "INTEGER", description: "1 or 0" },
  ],
};
const WIDER: TableDescriptor = {
  ...LOGINS,
  version: 2,
  columns: [...LOGINS.columns, { name: "port", type: "INTEGER", description: "from which port" }],
};
const NOW = Date.now();

function rule(text: string, table: TableDescriptor = LOGINS): ValidatedRule {
  const tables = new Map([[table.name, tableOf(table)]]);
  return validateRule(
    parseRule(`id: r-1\ntitle: T\ndescription: D\nseverity: high\ntable: ${table.name}\n${text}`, "r.yml", tables),
    tables,
  );
}

const ROOT = "sql: |\n  SELECT user_name, address FROM logins WHERE user_name = 'root' AND success = 1\n";
const BRUTE =
  "window: 1m\nsql: |\n  SELECT address, count(*) AS failures FROM logins WHERE success = 0 GROUP BY address HAVING count(*) >= 3\n";

class World implements Disposable {
  readonly #dir = new TempDir();
  readonly path = `${this.#dir.path}/events.db`;
  store = new Store(this.path, ["file"]);
  stream: Stream = openTestStream(this.store);
  readonly counters = newCounters();
  readonly lines: string[] = [];
  detection!: Detection;
  #ingest!: Ingest;

  constructor(readonly rules: readonly ValidatedRule[] = [], readonly table: TableDescriptor = LOGINS) {
    this.begin();
  }

  begin(): void {
    const loaded = { active: this.rules, others: [], notices: [], remarks: new Map(), exceptions: NO_EXCEPTIONS };
    const { counters, store } = this, journal = new Journal((line) => this.lines.push(line));
    this.detection = new Detection(loaded, { deadlineMs: 60_000, journal, counters });
    assert.equal(store.defineTables([this.table], "col", NOW), null);
    this.stream.tables = new Map([[this.table.name, this.table]]);
    allSteps(this.detection.recovering(store, NOW));
    this.#ingest = new Ingest({
      ...{ store, detection: this.detection, counters },
      alerted: () => {},
      failed: (_, error) => assert.fail(String(error)),
    });
  }

  restart(): void {
    this.detection.close();
    this.store.close();
    this.store = new Store(this.path, ["file"]);
    this.stream = openTestStream(this.store);
    this.begin();
  }

  async take(...values: readonly SqlValue[][]): Promise<void> {
    await this.send(values.map((each, i) => ({ time: NOW + this.stream.lastSequence + i, values: each })));
  }

  async send(given: readonly { time: number; values: readonly SqlValue[] }[], table = "logins"): Promise<void> {
    const message: StreamMessage = { kind: "rows", firstSequence: this.stream.lastSequence + 1, table, rows: given };
    await this.#ingest.take(this.stream, [message], { lastEventTime: 0 }, () => Promise.resolve(true));
  }

  query(sql: string): Record<string, SqlValue>[] {
    return rows(this.path, sql);
  }

  [Symbol.dispose](): void {
    this.detection.close();
    this.store.close();
    // Alerts of rules over these tables have no event, which other tests take for damage
    if (this.rules.length === 0) checkStore(this.path);
    assert.deepEqual(this.query("PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
    this.#dir[Symbol.dispose]();
  }
}

Deno.test("a collector's table is made, filled, and found again by the next store", async () => {
  using world = new World();
  await world.take(["root", "10.0.0.1", 1], [null, null, 0]);
  const stored = [
    { user_name: "root", address: "10.0.0.1", success: 1, collector_id: "col" },
    { user_name: null, address: null, success: 0, collector_id: "col" },
  ];
  const sql = "SELECT user_name, address, success, collector_id FROM logins ORDER BY row_id";
  assert.deepEqual(world.query(sql), stored);
  world.restart();
  assert.deepEqual(world.query(sql), stored);
  assert.deepEqual([...world.store.tables.keys()], ["logins"]);
  assert.equal(world.counters.rows, 2);
  const [known] = world.query("SELECT table_name, version, collector_id, rows_refused FROM collected_tables");
  assert.deepEqual(known, { table_name: "logins", version: 1, collector_id: "col", rows_refused: 0 });
});

Deno.test("rows that are none of their table are refused, counted and in a gap; the others are stored", async () => {
  using world = new World();
  const time = NOW, wrong: SqlValue[][] = [["a", "b", "no number"], ["a", "b", 1.5], ["a", "b", 1, 1], [1, "b", 1]];
  await world.send([...wrong, ["ok", "b", 1]].map((values) => ({ time, values })));
  await world.send([{ time: NOW + 10 * 86_400_000, values: ["ahead", "b", 1] }]);
  assert.deepEqual(world.query("SELECT user_name FROM logins"), [{ user_name: "ok" }]);
  assert.equal(world.counters.rows_refused, 5);
  assert.deepEqual(world.query("SELECT rows_refused FROM collected_tables"), [{ rows_refused: 5 }]);
  const gaps = world.query("SELECT count, reason FROM gaps ORDER BY gap_id");
  assert.deepEqual(gaps.map(({ count }) => count), [4, 1]);
  assert.match(String(gaps[0]!["reason"]), /4 rows are no rows of logins, .*success is a text, not INTEGER/);
  assert.equal(world.stream.lastSequence, 6);
  await world.send([{ time, values: ["x"] }], "others");
  assert.equal(world.counters.rows_refused, 6);
});

Deno.test("a later version adds columns; a change of those that are there is refused", async () => {
  using world = new World();
  await world.take(["root", "10.0.0.1", 1]);
  assert.equal(world.store.defineTables([WIDER], "col", NOW), null);
  world.stream.tables = new Map([["logins", WIDER]]);
  await world.take(["me", "10.0.0.2", 1, 22], ["from a log of before", "10.0.0.2", 1]);
  assert.deepEqual(world.query("SELECT user_name, port FROM logins ORDER BY row_id").map(({ port }) => port), [
    null,
    22,
    null,
  ]);
  // The version before beside it
  assert.equal(world.store.defineTables([LOGINS], "other", NOW), null);
  const changed = { ...WIDER, version: 3, columns: [{ ...LOGINS.columns[0]!, type: "REAL" as const }] };
  assert.match(world.store.defineTables([changed], "col", NOW)!, /changes columns of version 2/);
  const other = { ...LOGINS, columns: [LOGINS.columns[1]!, LOGINS.columns[0]!] };
  assert.match(world.store.defineTables([other], "col", NOW)!, /beginning/);
  world.store.close();
  world.store = new Store(world.path, ["file"]);
  assert.equal(world.store.tables.get("logins")!.columns.length, 7);
});

Deno.test("names of the store's own, words of SQL and too many tables are refused", () => {
  using world = new World();
  for (const name of ["alerts", "sqlite_x", "select", "process_events_2", "x", "A_b", 'a"b', "x".repeat(49)]) {
    assert.notEqual(descriptorFault({ ...LOGINS, name }), null, name);
  }
  for (const name of ["row_id", "time", "group", "1a", "rowid"]) {
    assert.notEqual(descriptorFault({ ...LOGINS, columns: [{ ...LOGINS.columns[0]!, name }] }), null, name);
  }
  assert.match(world.store.defineTables([{ ...LOGINS, name: "ledger_notes" }], "col", NOW)!, /store's own/);
  for (let i = 0; i < 63; i++) {
    assert.equal(world.store.defineTables([{ ...LOGINS, name: `t_${i}` }], "col", NOW), null);
  }
  assert.match(world.store.defineTables([{ ...LOGINS, name: "one_more" }], "col", NOW)!, /may have 64/);
});

Deno.test("a table of the name of another's index is refused, whichever comes first, and the agent goes on", () => {
  using world = new World();
  const define = (...names: string[]): string | null =>
    world.store.defineTables(names.map((name) => ({ ...LOGINS, name })), "col", NOW);
  assert.match(define("logins_time")!, /^logins_time is the name of the index of the table logins; choose another$/);
  assert.equal(define("disk_time"), null);
  assert.match(define("disk")!, /^disk has an index of the name disk_time, which is a table's; choose another$/);
  assert.match(define("host", "host_time")!, /^host_time is the name of the index of the table host/);
  assert.match(define("user_time", "user")!, /^user has an index of the name user_time, which is a table's/);
  assert.deepEqual(
    [...world.store.tables.keys()].sort(),
    ["disk_time", "logins"],
    "of what is refused nothing is made",
  );
  assert.match(define("alerts_time")!, /store's own/);
  assert.equal(define("host", "user_times"), null);
  world.restart();
  assert.deepEqual([...world.store.tables.keys()].sort(), ["disk_time", "host", "logins", "user_times"]);
  assert.match(define("host_time")!, /index of the table host/);
});

Deno.test("a rule over a collector's table alerts on each row that it matches", async () => {
  using world = new World([rule(ROOT)]);
  await world.take(["me", "10.0.0.1", 1], ["root", "10.0.0.9", 1], ["root", "10.0.0.8", 0]);
  const [alert, ...others] = world.query("SELECT rule_id, evidence, event_id, collector_id, completeness FROM alerts");
  assert.deepEqual(others, []);
  assert.deepEqual(JSON.parse(String(alert!["evidence"])), { user_name: "root", address: "10.0.0.9" });
  assert.equal(alert!["event_id"], world.stream.number * 2 ** 40 + 2);
  assert.equal(world.detection.statuses()[0]!.lane, "table logins");
});

Deno.test("a rule over a window counts rows of several batches, once for the same, also after a restart", async () => {
  using world = new World([rule(BRUTE)]);
  const failed = ["me", "10.0.0.1", 0] as SqlValue[], count = (): number => world.query("SELECT 1 FROM alerts").length;
  await world.take(failed, failed);
  await world.take(["me", "10.0.0.2", 0]);
  assert.equal(count(), 0);
  world.restart();
  await world.take(failed);
  assert.equal(count(), 1);
  await world.take(failed);
  world.restart();
  await world.take(failed);
  assert.equal(count(), 1);
  // A window later it is told again
  await world.send([1, 2, 3].map((i) => ({ time: NOW + 59_000 + i, values: failed })));
  assert.equal(count(), 1);
  assert.equal(world.detection.statuses()[0]!.lane, "table logins, window: 1m");
});

Deno.test("rules over collectors' tables say what is wrong with them, and test their rows", () => {
  const refuses = (text: string, reason: RegExp): void => void assert.throws(() => rule(text), reason);
  refuses("sql: |\n  SELECT a FROM logins WHERE a = 1\n", /no column/);
  refuses("sql: |\n  SELECT pid FROM process_events WHERE pid = 1\n", /not process_events/);
  refuses("sql: |\n  SELECT user_name FROM logins\n", /WHERE/);
  refuses("sql: |\n  SELECT count(*) AS n FROM logins WHERE success = 1\n", /window/);
  refuses("window: 1m\nsql: |\n  SELECT user_name FROM logins WHERE success = 1\n", /GROUP BY/);
  assert.throws(() => rule(ROOT, { ...LOGINS, name: "logs" }), /no table logins/);
  const head = "id: r-1\ntitle: T\ndescription: D\nseverity: high\ntable: logs\n";
  assert.throws(() => parseRule(head + ROOT, "r.yml"), /no table "logs".*has registered it/);
  const tests =
    "tests:\n  match:\n    - { user_name: root, success: 1 }\n  no_match:\n    - { user_name: root, success: 0 }\n";
  assert.deepEqual(runRuleTests(rule(ROOT + tests)).map(({ passed }) => passed), [true, true]);
  const over =
    "tests:\n  match:\n    - [{ address: a, success: 0 }, { address: a, success: 0 }, { time: 50s, address: a, success: 0 }]\n" +
    "  no_match:\n    - [{ address: a, success: 0 }, { address: a, success: 0 }, { time: 70s, address: a, success: 0 }]\n";
  assert.deepEqual(runRuleTests(rule(BRUTE + over)).map(({ passed }) => passed), [true, true]);
});

Deno.test("rows go with time, and with the room that such tables may take", async () => {
  using world = new World();
  const old = NOW - 40 * 86_400_000;
  await world.send([{ time: old, values: ["old", "a", 1] }, { time: NOW, values: ["new", "a", 1] }]);
  for (let i = 0; i < 20; i++) world.store.maintain(NOW);
  assert.deepEqual(world.query("SELECT user_name FROM logins"), [{ user_name: "new" }]);
  assert.deepEqual(world.query("SELECT table_name, count, reason FROM retention"), [
    { table_name: "logins", count: 1, reason: "age" },
  ]);
});
