import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { SCHEMA_VERSION } from "../../../proto/catalog.ts";
import { DEFAULT_LIMITS } from "../../../agent/store/retention.ts";
import { Store } from "../../../agent/store/store.ts";
import { StoreError } from "../../../agent/store/store_error.ts";
import { needs } from "../../support/needs.ts";
import { FULL_CONTEXT } from "../../support/event_samples.ts";
import { commitEvents, openTestStream, rows, start, TempDir } from "../support.ts";

/** Opening fails with words that match, the file stays as it was, and another attempt fails alike. */
function refuses(path: string, words: RegExp): void {
  const before = Deno.readFileSync(path);
  for (let attempt = 0; attempt < 2; attempt++) {
    assert.throws(() => new Store(path), (error) => {
      assert.ok(error instanceof StoreError, String(error));
      assert.match(error.message, words);
      return true;
    });
    assert.deepEqual(Deno.readFileSync(path), before);
  }
}

function filled(path: string, events: number): void {
  const store = new Store(path), stream = openTestStream(store);
  for (let at = 0; at < events; at += 500) {
    commitEvents(store, stream, Array.from({ length: 500 }, (_, i) => start(1_000 + at + i)));
  }
  store.close();
}

Deno.test("a store that is not a database is refused with its mend", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  Deno.writeTextFileSync(path, "this is not a database, and longer than a header of one hundred bytes: ".repeat(20));
  refuses(path, /not a database: its first bytes are not SQLite's; move .*events\.db, .*-wal and .*-shm away/);
});

Deno.test("a database of another program is refused and not touched", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  {
    using db = new DatabaseSync(path);
    db.exec("CREATE TABLE mine (a); PRAGMA application_id = 17");
  }
  refuses(path, /database of another program \(application id 17\); move it away/);
});

Deno.test("a store of another schema version is refused and not touched", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  new Store(path).close();
  {
    using db = new DatabaseSync(path);
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}; PRAGMA wal_checkpoint(TRUNCATE)`);
  }
  refuses(path, new RegExp(`schema version ${SCHEMA_VERSION + 1}, and this agent knows ${SCHEMA_VERSION}; run the`));
});

const SCHEMA_1 = new URL("../../recorded/store_schema_1.sql", import.meta.url);

/** A store as the agent of schema version 1 left it: one process, its events, an alert that is owed, a gap. */
function storeOfVersion1(path: string, change = ""): void {
  using db = new DatabaseSync(path);
  db.exec(Deno.readTextFileSync(SCHEMA_1));
  db.exec(`
    PRAGMA journal_mode = WAL;
    INSERT INTO collectors VALUES (1, 'procmond', 'e1', '0123abcd-0000-4000-8000-000000000000', '0.1', 'ebpf', 1, 2, 7);
    INSERT INTO process_events (event_id, time, event_type, exec_id, pid, name, inode, source, collector_id)
      VALUES (1099511627777, 5, 'start', '0123abcd-7-70', 7, 'old', 42, 'ebpf', 'procmond');
    INSERT INTO processes (process_id, exec_id, pid, name, status, kernel_thread, collection_time, collector_id)
      VALUES ('0123abcd-7-70', '0123abcd-7-70', 7, 'old', 'running', 0, 5, 'procmond');
    INSERT INTO gaps VALUES (1099511627778, 'ebpf', 'exec', 1, 2, 3, 'ring', 'procmond');
    INSERT INTO sources VALUES ('procmond', 'ebpf', 'active', 'all', '[]', 5);
    INSERT INTO alerts (alert_id, time, rule_id, title, severity, event_id, exec_id, pid, name)
      VALUES ('r@procmond:e1:1', 5, 'r', 't', 'high', 1099511627777, '0123abcd-7-70', 7, 'old');
    INSERT INTO alert_deliveries (alert_id, sink, state) VALUES ('r@procmond:e1:1', 'file', 'pending');
    ${change}`);
}

Deno.test("a store of schema version 1 is brought up to date with all that is in it, once", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  storeOfVersion1(path);
  {
    const store = new Store(path, ["file"]);
    assert.equal(store.upgradedFrom, 1);
    assert.equal(store.owedDeliveries, 1);
    const stream = openTestStream(store);
    commitEvents(store, stream, [start(8)]);
    store.close();
  }
  using db = new DatabaseSync(path);
  const rows = (sql: string) => [...db.prepare(sql).iterate()].map((row) => ({ ...row }));
  assert.deepEqual(rows("PRAGMA user_version"), [{ user_version: SCHEMA_VERSION }]);
  assert.deepEqual(rows("SELECT name, inode, container_id, pod_id FROM process_events WHERE pid = 7"), [
    { name: "old", inode: 42, container_id: null, pod_id: null },
  ]);
  assert.deepEqual(rows("SELECT pid, name, cwd, threads FROM processes WHERE pid = 7"), [
    { pid: 7, name: "old", cwd: null, threads: null },
  ]);
  assert.deepEqual(rows("SELECT count, reason FROM gaps"), [{ count: 3, reason: "ring" }]);
  assert.deepEqual(rows("SELECT detail, unknown_columns FROM sources"), [{ detail: "all", unknown_columns: null }]);
  assert.equal(rows("SELECT * FROM process_events").length, 2);
  const again = new Store(path, ["file"]);
  assert.equal(again.upgradedFrom, null);
  again.close();
});

const SCHEMA_4 = new URL("../../recorded/store_schema_4.sql", import.meta.url);

Deno.test("a store of schema version 4 keeps its alerts and what it owes, by how urgent that is", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  {
    using db = new DatabaseSync(path);
    db.exec(Deno.readTextFileSync(SCHEMA_4));
    db.exec(`
      PRAGMA journal_mode = WAL;
      INSERT INTO alerts (alert_id, time, detected_time, rule_id, title, description, severity, tags, event_id, exec_id,
        pid, name, evidence, collector_id, completeness) VALUES
        ('a@c:e:1', 5, 6, 'a', 't', 'd', 'low', '[]', 7, 'b-1-1', 1, 'n', '{}', 'c', '{"complete":true,"reasons":[]}'),
        ('b@c:e:2', 5, 6, 'b', 't', 'd', 'high', '[]', 8, 'b-1-1', 1, 'n', '{}', 'c', '{"complete":true,"reasons":[]}');
      INSERT INTO alert_deliveries (alert_id, sink, state, delivered_time) VALUES
        ('a@c:e:1', 'file', 'pending', NULL), ('b@c:e:2', 'file', 'pending', NULL), ('a@c:e:1', 'stdout', 'done', 9)`);
  }
  const store = new Store(path, ["file"]);
  assert.equal(store.upgradedFrom, 4);
  assert.deepEqual(store.pendingDeliveries("file", 9).map(({ alert }) => [alert.alertId, alert.kind, alert.causes]), [
    ["b@c:e:2", "alert", [8]],
    ["a@c:e:1", "alert", [7]],
  ]);
  store.close();
  const states = rows(path, "SELECT sink, state, severity, delivered_time FROM alert_deliveries ORDER BY delivery_id");
  assert.deepEqual(states, [
    { sink: "file", state: "pending", severity: 1, delivered_time: null },
    { sink: "file", state: "pending", severity: 3, delivered_time: null },
    { sink: "stdout", state: "done", severity: 1, delivered_time: 9 },
  ]);
  new Store(path).close();
});

Deno.test("the table of an upgraded store is a partition as it is, which retention removes and counts", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  storeOfVersion1(path);
  const store = new Store(path, [], { ...DEFAULT_LIMITS, maxBytes: 65_536 }), stream = openTestStream(store);
  commitEvents(store, stream, [start(8)]);
  assert.deepEqual(rows(path, "SELECT partition, layout, state, from_time, to_time FROM partitions"), [
    { partition: 1, layout: 2, state: "closed", from_time: 5, to_time: 5 },
    { partition: 2, layout: 3, state: "open", from_time: null, to_time: null },
  ]);
  assert.deepEqual(rows(path, "SELECT pid FROM process_events ORDER BY time DESC, event_id DESC LIMIT 5"), [
    { pid: 8 },
    { pid: 7 },
  ]);
  let removed: number | undefined;
  for (let i = 0; i < 20 && removed === undefined; i++) removed = store.maintain(Date.now()).removed?.partition.number;
  assert.equal(removed, 1);
  assert.deepEqual(rows(path, "SELECT pid FROM process_events"), [{ pid: 8 }]);
  for (let i = 0; i < 10; i++) store.maintain(Date.now());
  const [told] = rows(path, "SELECT count, from_time, reason FROM retention WHERE table_name = 'process_events'");
  assert.ok(
    Number(told!["count"]) >= 1 && told!["from_time"] === 5 && told!["reason"] === "size",
    JSON.stringify(told),
  );
  store.close();
  new Store(path).close();
});

Deno.test("a new row of an upgraded store has its values in the columns of their names", () => {
  using dir = new TempDir();
  const old = `${dir.path}/old.db`, fresh = `${dir.path}/fresh.db`;
  storeOfVersion1(old, "DELETE FROM collectors; DELETE FROM process_events; DELETE FROM processes");
  const all = [old, fresh].map((path) => {
    const store = new Store(path), stream = openTestStream(store);
    const context = { ...FULL_CONTEXT, containerId: "c0ffee" };
    commitEvents(store, stream, [{ ...start(9), context, executableKind: "memfd", namespacePid: 3, inode: 99 }]);
    store.close();
    using db = new DatabaseSync(path);
    return ["process_events", "processes"].map((table) =>
      Object.entries(db.prepare(`SELECT * FROM ${table}`).get()!).sort(([a], [b]) => a < b ? -1 : 1)
    );
  });
  assert.deepEqual(all[0], all[1]);
  assert.ok(all[0]!.every((row) => row.some(([name, value]) => name === "container_id" && value === "c0ffee")));
});

Deno.test("a store of schema version 1 that lacks a table, or has one more, is refused and not touched", () => {
  for (const change of ["DROP TABLE gaps", "CREATE TABLE extra (a)", "ALTER TABLE processes ADD COLUMN cwd TEXT"]) {
    using dir = new TempDir();
    const path = `${dir.path}/events.db`;
    storeOfVersion1(path, `${change}; PRAGMA wal_checkpoint(TRUNCATE)`);
    refuses(path, /does not have the tables of its version|duplicate column/);
    using db = new DatabaseSync(path);
    assert.equal(db.prepare("PRAGMA user_version").get()!["user_version"], 1);
  }
});

Deno.test("a store without one of its tables, or with one more, is refused", () => {
  for (
    const change of [
      "DROP TABLE gaps",
      "CREATE TABLE extra (a)",
      "DROP INDEX stored_events_1_time",
      "DROP VIEW process_events",
    ]
  ) {
    using dir = new TempDir();
    const path = `${dir.path}/events.db`;
    new Store(path).close();
    {
      using db = new DatabaseSync(path);
      db.exec(change);
    }
    refuses(path, /does not have the tables of its version/);
  }
});

Deno.test("a damaged page is found at open, a truncated file too", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  filled(path, 5_000);
  const whole = Deno.readFileSync(path);
  const damaged = whole.slice();
  // Behind the pages of the schema
  damaged.fill(0xa5, 4_096 * 60, 4_096 * 62);
  Deno.writeFileSync(path, damaged);
  refuses(path, /damaged|malformed/);
  Deno.writeFileSync(path, whole.subarray(0, 4_096 * 50));
  refuses(path, /was cut off: it has 204800 of its \d+ bytes/);
  Deno.writeFileSync(path, whole);
  new Store(path).close();
});

Deno.test("a store in a directory that is not there names the directory", () => {
  using dir = new TempDir();
  assert.throws(() => new Store(`${dir.path}/no/events.db`), /make .*\/no and let the agent's user write it/);
});

Deno.test("a store that another agent uses is refused, and free when that ends", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`;
  const store = new Store(path);
  assert.throws(() => new Store(path), /Another agent uses the store .*; stop it/);
  store.close();
  new Store(path).close();
});

Deno.test("something else in the place of the store is refused", () => {
  using dir = new TempDir();
  Deno.mkdirSync(`${dir.path}/events.db`);
  assert.throws(
    () => new Store(`${dir.path}/events.db`),
    /events\.db is a directory, and the store is a regular file; move it away/,
  );
});

const CHILD = `
import { Store } from ${JSON.stringify(new URL("../../../agent/store/store.ts", import.meta.url).href)};
import { commitEvents, openTestStream, start } from ${JSON.stringify(new URL("../support.ts", import.meta.url).href)};
const [path, how] = Deno.args;
const store = new Store(path), stream = openTestStream(store);
commitEvents(store, stream, [start(1), start(2), start(3)]);
if (how === "stopped") { store.close(); Deno.exit(0); }
console.log("ready");
await new Promise((resolve) => setTimeout(resolve, 60_000));
`;

const other = needs({ root: true, setpriv: true });

Deno.test({
  name: "a reader of another user, of the store's group, reads a live, a stopped and a killed store",
  ignore: other.ignore,
  async fn() {
    for (const how of ["live", "killed", "stopped"]) {
      using dir = new TempDir();
      const agent = `${dir.path}/agent`, path = `${agent}/events.db`;
      const READERS = 64_999;
      Deno.chmodSync(dir.path, 0o755);
      Deno.mkdirSync(agent);
      Deno.chownSync(agent, 0, READERS);
      Deno.chmodSync(agent, 0o2750);
      Deno.writeTextFileSync(`${dir.path}/child.ts`, CHILD);
      // A umask that closes everything: what readers get must not depend on it.
      const child = new Deno.Command("/bin/sh", {
        args: [
          "-c",
          `umask 077; exec "$@"`,
          "sh",
          Deno.execPath(),
          "run",
          "-A",
          "--no-check",
          "--no-lock",
          // Its imports are those of the checkout, which it stands outside of
          "--config=deno.json",
          `${dir.path}/child.ts`,
          path,
          how,
        ],
        stdout: "piped",
        stderr: "inherit",
        cwd: new URL("../../../", import.meta.url).pathname,
      }).spawn();
      const output = child.stdout.getReader();
      await output.read();
      if (how === "killed") child.kill("SIGKILL");
      if (how !== "live") await child.status;

      Deno.writeTextFileSync(
        `${dir.path}/reader.ts`,
        `import { DatabaseSync } from "node:sqlite";
        const db = new DatabaseSync(Deno.args[0]!, { readOnly: true });
        console.log(db.prepare("SELECT count(*) AS n FROM process_events").get()!.n);`,
      );
      const asReader = (groups: string) =>
        new Deno.Command("setpriv", {
          args: [
            "--reuid",
            "64998",
            "--regid",
            "64998",
            groups,
            Deno.execPath(),
            "run",
            "--no-check",
            "--no-lock",
            "--no-prompt",
            `--allow-read=${agent}`,
            `${dir.path}/reader.ts`,
            path,
          ],
          env: { DENO_DIR: `${dir.path}/none`, HOME: "/nonexistent" },
        }).output();
      const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
      const member = await asReader(`--groups=${READERS}`);
      assert.equal(text(member.stdout).trim(), "3", `${how}: ${text(member.stderr)}`);
      const stranger = await asReader("--clear-groups");
      assert.notEqual(stranger.code, 0, `${how}: who is not of the group must not read`);
      if (how === "live") {
        child.kill("SIGKILL");
        await child.status;
      }
      await output.cancel();
    }
  },
});
