import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { Alert } from "../../../proto/alert.ts";
import { CATALOG } from "../../../proto/catalog.ts";
import { eventRow } from "../../../proto/event_row.ts";
import { StoreError } from "../../../agent/store/store_error.ts";
import { Store } from "../../../agent/store/store.ts";
import { MAX_STREAM } from "../../../agent/store/streams.ts";
import { SEQUENCES_PER_STREAM } from "../../../proto/store_layout.ts";
import { BOOT_ID, checkStore, commitEvents, execIdOf, openTestStream, rows, start, stop, TempDir } from "../support.ts";

function alert(id: string, eventId: number): Alert {
  return {
    alertId: id,
    time: 5,
    detectedTime: 6,
    ruleId: "r",
    ruleHash: "cd".repeat(32),
    title: "t",
    description: "d",
    severity: "high",
    tags: ["a", "b"],
    eventId,
    execId: execIdOf(1),
    pid: 1,
    ppid: null,
    name: "n",
    executablePath: "/x",
    commandLine: "x y",
    userId: 0,
    userName: "root",
    parentName: null,
    parentExecutablePath: null,
    parentCommandLine: null,
    evidence: { pid: 1, name: "n", cwd: null },
    collectorId: "col",
    completeness: { complete: false, reasons: ["why"] },
    kind: "summary",
    repeats: { count: 3, from: 5, to: 6, reason: "why" },
    dedupKey: "k",
    groupId: "g",
    hitsBefore: 9,
    lastHitTime: 4,
    causes: [eventId, 7],
    parentExecId: execIdOf(2),
    startTime: 3,
    effectiveUserId: 1,
    loginUserId: 2,
    cwd: "/",
    containerId: "c",
    stdinKind: "pipe",
    stdoutKind: "file",
    ancestry: [{ execId: execIdOf(2), pid: 2, name: "sh", executablePath: null, userName: "root" }],
    ledger: { origin: "daemoneye/a", size: 7, root: "cm9vdA==" },
  };
}

Deno.test("Store makes every table of the catalog, STRICT, and files that only owner and group read", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const store = new Store(path);
  for (const table of CATALOG.values()) {
    const info = rows(path, `SELECT name, type FROM pragma_table_info('${table.name}')`);
    assert.deepEqual(info, table.columns.map(({ name, type }) => ({ name, type })), table.name);
  }
  assert.deepEqual(rows(path, "SELECT name FROM pragma_table_list WHERE type = 'table' AND strict = 0"), [
    { name: "sqlite_schema" },
    { name: "sqlite_temp_schema" },
  ]);
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    assert.equal((Deno.statSync(file).mode! & 0o777).toString(8), "640", file);
  }
  store.close();
});

Deno.test("Store keeps a stream's watermark and events over a restart", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  {
    const store = new Store(path), stream = openTestStream(store);
    commitEvents(store, stream, [start(1), stop(1)]);
    assert.equal(stream.lastSequence, 2);
    store.close();
  }
  const store = new Store(path), stream = openTestStream(store);
  assert.equal(stream.lastSequence, 2);
  assert.equal(openTestStream(store).number, stream.number);
  const ids = rows(path, "SELECT event_id, event_type FROM process_events ORDER BY event_id");
  assert.deepEqual(ids, [
    { event_id: stream.number * SEQUENCES_PER_STREAM + 1, event_type: "start" },
    { event_id: stream.number * SEQUENCES_PER_STREAM + 2, event_type: "stop" },
  ]);
  store.close();
  checkStore(path);
});

Deno.test("a batch that fails is rolled back as a whole and can come again", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const store = new Store(path, ["file"]), stream = openTestStream(store);
  commitEvents(store, stream, [start(1)]);
  const base = stream.number * SEQUENCES_PER_STREAM;
  const good = eventRow(start(2), base + 2, "col"), bad = eventRow(start(3), base + 1, "col"); // an id that is taken
  const batch = {
    stream,
    lastSequence: 3,
    events: [good, bad],
    snapshots: [],
    gaps: [{
      sequence: 3,
      gap: { source: "ebpf", recordKind: "exec", from: 1, to: 2, count: 3, reason: "full" },
    }],
    sources: [{ name: "ebpf", state: "active", detail: "", misses: [], unknownColumns: [] }],
    alerts: [alert("a1", base + 2)],
  };
  assert.throws(() => store.commit(batch, 9), StoreError);
  assert.equal(stream.lastSequence, 1);
  assert.equal(store.owedDeliveries, 0);
  for (const table of ["gaps", "alerts", "sources", "alert_deliveries"]) {
    assert.deepEqual(rows(path, `SELECT * FROM ${table}`), [], table);
  }
  assert.equal(rows(path, "SELECT count(*) AS n FROM process_events")[0]!["n"], 1);
  store.commit({ ...batch, events: [good, eventRow(start(3), base + 3, "col")] }, 9);
  assert.equal(stream.lastSequence, 3);
  assert.deepEqual(rows(path, "SELECT gap_id, count FROM gaps"), [{ gap_id: base + 3, count: 3 }]);
  assert.equal(store.owedDeliveries, 1);
  store.close();
  checkStore(path);
});

Deno.test("an alert comes back as it was, is owed to each sink once, and until noted", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const store = new Store(path, ["file", "stdout"]), stream = openTestStream(store);
  const raised = alert("r@col:e:1", stream.number * SEQUENCES_PER_STREAM + 1);
  commitEvents(store, stream, [start(1)], { alerts: [raised, raised] });
  assert.equal(store.owedDeliveries, 2);
  const owed = store.pendingDeliveries("file", 10);
  assert.deepEqual(owed.map((delivery) => delivery.alert), [raised]);
  store.delivering("test", (outbox) => outbox.failed("file", owed.map((delivery) => delivery.deliveryId)));
  assert.equal(store.pendingDeliveries("file", 10).length, 1);
  store.delivering("test", (outbox) => outbox.delivered("file", owed.map((delivery) => delivery.deliveryId), 77));
  assert.deepEqual(store.pendingDeliveries("file", 10), []);
  assert.equal(store.pendingDeliveries("stdout", 10).length, 1);
  assert.deepEqual(rows(path, "SELECT attempts, delivered_time FROM alert_deliveries WHERE sink = 'file'"), [
    { attempts: 2, delivered_time: 77 },
  ]);
  store.close();
  const again = new Store(path, ["file", "stdout"]);
  assert.equal(again.owedDeliveries, 1);
  again.close();
});

Deno.test("streams that never stored anything give their numbers back", () => {
  using dir = new TempDir();
  const store = new Store(`${dir.path}/events.db`);
  const first = openTestStream(store, "e1");
  commitEvents(store, first, [start(1)]);
  for (let i = 0; i < 50; i++) assert.equal(openTestStream(store, `loop-${i}`).number, 2);
  assert.equal(openTestStream(store, "e", "other").number, 3);
  store.close();
});

Deno.test("a stream beyond the last number is refused in words", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  new Store(path).close();
  {
    using db = new DatabaseSync(path);
    const fill = `INSERT INTO collectors (stream, collector_id, epoch, last_sequence)
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${MAX_STREAM}) SELECT i, 'x', i, 1 FROM n`;
    db.exec(fill);
  }
  const store = new Store(path);
  assert.throws(() => openTestStream(store), /has had 8191 streams.*move it away/);
  store.close();
});

Deno.test("sources, rules and facts are replaced as a whole", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = new Store(path), stream = openTestStream(store);
  const source = (name: string) => ({ name, state: "active", detail: "sees", misses: ["x"], unknownColumns: [] });
  commitEvents(store, stream, [start(1)], { sources: [source("ebpf"), source("proc")] });
  commitEvents(store, stream, [start(2)], { sources: [source("proc")] });
  assert.deepEqual(rows(path, "SELECT name, misses FROM sources"), [{ name: "proc", misses: '["x"]' }]);
  const rule = { id: "a", title: "A", description: null, severity: "low", tags: ["t"], sql: "SELECT 1", file: "a.yml" };
  const cost = { evaluations: 0, matches: 0, cpuMs: 0, rows: 0, suppressed: 0, degraded: [] }, hash = "ef".repeat(32);
  const standing = { state: "active", line: null, column: null, reason: null, hits: 0, lane: "stream", hash, ...cost };
  store.replaceRules([{ ...rule, ...standing }, { ...rule, id: "b", ...standing }]);
  store.replaceRules([{ ...rule, ...standing }, { ...rule, id: "b", ...standing, severity: "high" }]);
  assert.deepEqual(rows(path, "SELECT rule_id, severity FROM detection_rules ORDER BY rule_id"), [
    { rule_id: "a", severity: "low" },
    { rule_id: "b", severity: "high" },
  ]);
  store.replaceRules([{ ...rule, id: "c", ...standing, state: "rejected", line: 3, column: 4, reason: "why" }]);
  assert.deepEqual(
    rows(path, "SELECT rule_id, tags, state, line, column_number, reason, rule_hash FROM detection_rules"),
    [
      {
        rule_hash: "ef".repeat(32),
        rule_id: "c",
        tags: '["t"]',
        state: "rejected",
        line: 3,
        column_number: 4,
        reason: "why",
      },
    ],
  );
  store.putSystemInfo({ hostname: "h" }, 1);
  store.putSystemInfo({ hostname: "i" }, 2);
  assert.deepEqual(rows(path, "SELECT * FROM system_info"), [{ name: "hostname", value: "i", time: 2 }]);
  store.close();
});

Deno.test("the log is moved into the database when there is time, and not at every look", () => {
  using dir = new TempDir();
  using clock = new Clock();
  const store = new Store(`${dir.path}/events.db`), stream = openTestStream(store);
  assert.equal(store.tick(), "nothing");
  commitEvents(store, stream, [start(1)]);
  assert.equal(store.tick(), "nothing", "a commit has just been");
  clock.now += 600;
  // The first move of a small log waits for ten seconds since the process began; a large one does not.
  for (let i = 0; i < 30; i++) {
    commitEvents(store, stream, Array.from({ length: 500 }, (_, k) => start(1_000 + i * 500 + k)));
  }
  assert.equal(store.tick(), "nothing");
  assert.ok(store.isPressed);
  clock.now += 600;
  assert.equal(store.tick(), "moved");
  assert.equal(store.tick(), "nothing");
  assert.ok(!store.isPressed);
  // The file is as long as before, and there is little in it.
  commitEvents(store, stream, [start(2)]);
  clock.now += 600;
  assert.equal(store.tick(), "nothing");
  store.close();
});

/** The clock of `performance.now()`, which the test moves. */
class Clock implements Disposable {
  now = 1_000;
  readonly #real = performance.now.bind(performance);

  constructor() {
    performance.now = () => this.now;
  }

  [Symbol.dispose](): void {
    performance.now = this.#real;
  }
}

Deno.test("identities of one collector and epoch share one stream, so that its watermark is one", () => {
  using dir = new TempDir();
  const store = new Store(`${dir.path}/events.db`);
  const a = openTestStream(store), b = openTestStream(store);
  assert.equal(a, b);
  assert.equal(a.bootId, BOOT_ID);
  store.close();
});

Deno.test("Store knows a stream again whose collector was started on another boot and rung", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, later = { bootId: "feedf00d-1", version: "2", source: "proc" };
  const store = new Store(path), stream = openTestStream(store);
  commitEvents(store, stream, [start(1)]);
  const { collectorId, epoch, number } = stream;
  const again = store.openStream({ collectorId, epoch, ...later }, 5);
  assert.equal(again, stream, "one object, one watermark");
  assert.deepEqual([again.number, again.lastSequence, again.bootId, again.source], [number, 1, "feedf00d-1", "proc"]);
  assert.deepEqual(rows(path, "SELECT boot_id, version, source, last_sequence FROM collectors"), [
    { boot_id: "feedf00d-1", version: "2", source: "proc", last_sequence: 1 },
  ]);
  store.close();
});

Deno.test("Store knows a user's name from the newest processes, and of others that it does not", () => {
  using dir = new TempDir();
  const store = new Store(`${dir.path}/events.db`), stream = openTestStream(store);
  assert.equal(store.recent.userName(1_000), null);
  commitEvents(store, stream, [
    start(1, { userId: 1_000, userName: "before" }),
    start(2, { userId: 1_000, userName: "alice" }),
    start(3, { userId: 1_001, userName: null }),
  ]);
  assert.deepEqual([store.recent.userName(1_000), store.recent.userName(1_001), store.recent.userName(1_002)], [
    "alice",
    null,
    null,
  ]);
  store.close();
});
