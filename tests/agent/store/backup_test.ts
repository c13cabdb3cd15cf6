import assert from "node:assert/strict";
import { backUp, backupDirectory, backupName } from "../../../agent/store/backup.ts";
import { checkStore as checkAll } from "../../../agent/store/check.ts";
import { Store } from "../../../agent/store/store.ts";
import { needs } from "../../support/needs.ts";
import { SmallDisk } from "../../support/small_disk.ts";
import { AgentProcess, AgentState } from "../agent_process.ts";
import { TestCollector } from "../broker/test_collector.ts";
import { checkStore, commitEvents, openTestStream, rows, start, TempDir, until } from "../support.ts";

function filled(path: string, events: number): Store {
  const store = new Store(path), stream = openTestStream(store);
  for (let at = 0; at < events; at += 500) {
    commitEvents(store, stream, Array.from({ length: 500 }, (_, i) => start(1_000 + at + i)));
  }
  return store;
}

const names = (directory: string): string[] => [...Deno.readDirSync(directory)].map(({ name }) => name).sort();

Deno.test("backUp() makes a whole copy of one moment, readable without its log, and leaves nothing else", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, directory = backupDirectory(path), store = filled(path, 20_000);
  const steps: [number, number][] = [];
  const writing = setInterval(() => commitEvents(store, openTestStream(store), [start(7)]), 1);
  const copy = await backUp(path, directory, "a.db", (done, total) => steps.push([done, total]));
  clearInterval(writing);
  assert.equal(copy.path, `${directory}/a.db`);
  assert.ok(steps.length > 0 && steps.every(([done, total]) => done <= total));
  const watermark = Number(copy.watermarks[0]!.split(" ")[2]);
  assert.deepEqual(copy.watermarks, [`col epoch-1 ${watermark}`]);
  assert.equal(rows(copy.path, "SELECT count(*) AS n FROM process_events")[0]!["n"], watermark);
  checkStore(copy.path);
  assert.deepEqual(names(directory), [".lock", "a.db"]);
  assert.equal(Deno.statSync(copy.path).mode! & 0o777, 0o640);
  assert.equal(Deno.statSync(directory).mode! & 0o777, 0o750);
  store.close();
});

Deno.test("backUp() refuses names that lead elsewhere, one that is there, and a second at the same time", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, directory = backupDirectory(path), store = filled(path, 500);
  for (const name of ["", "../a.db", "a/b.db", ".hidden", "/etc/x", "a\0b", "x".repeat(101)]) {
    await assert.rejects(backUp(path, directory, name, () => {}), /no path; got/, name);
  }
  await backUp(path, directory, "a.db", () => {});
  await assert.rejects(backUp(path, directory, "a.db", () => {}), /There is a backup .*a\.db already; choose another/);
  {
    using lock = Deno.openSync(`${directory}/.lock`, { write: true });
    lock.lockSync(true);
    await assert.rejects(backUp(path, directory, "b.db", () => {}), /Another backup is being made/);
  }
  // What a crash left is removed by the next one.
  Deno.writeTextFileSync(`${directory}/.c.db.new`, "half");
  await backUp(path, directory, "b.db", () => {});
  assert.deepEqual(names(directory), [".lock", "a.db", "b.db"]);
  store.close();
});

Deno.test("backUp() of a store that is damaged, or of none, leaves nothing", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, directory = backupDirectory(path);
  await assert.rejects(backUp(path, directory, "a.db", () => {}), /The backup was not made: unable to open/);
  filled(path, 5_000).close();
  const bytes = Deno.readFileSync(path);
  bytes.fill(0xa5, 4_096 * 40, 4_096 * 42);
  Deno.writeFileSync(path, bytes);
  await assert.rejects(backUp(path, directory, "a.db", () => {}), /backup is damaged, and so is the store|malformed/);
  assert.deepEqual(names(directory), [".lock"]);
});

Deno.test("backupName() is the time in UTC, in the order of time", () => {
  assert.equal(backupName(new Date("2026-11-21T06:40:47.931Z")), "20261121T064047Z.db");
});

Deno.test({
  name: "backUp() asks for room before it begins",
  ...needs({ root: true, mount: true }),
  async fn() {
    using dir = new TempDir();
    const path = `${dir.path}/events.db`, directory = `${dir.path}/backup`, store = filled(path, 5_000);
    Deno.mkdirSync(directory);
    using _disk = new SmallDisk(directory, 1);
    await assert.rejects(backUp(path, directory, "a.db", () => {}), /needs \d+ bytes, and the disk .* has \d+; free/);
    assert.deepEqual(names(directory), [".lock"]);
    store.close();
  },
});

Deno.test("checkStore() finds what is damaged by table, and nothing in a sound store that is written to", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = filled(path, 5_000);
  const tables: string[] = [];
  assert.deepEqual(checkAll(path, (table) => tables.push(table)), []);
  assert.ok(tables.length > 5);
  store.close();
  swapPages(path);
  const faults = checkAll(path, () => {});
  assert.ok(faults.length > 0 && faults.length <= 20, faults.join("\n"));
  assert.match(faults[0]!, /^\w+: /);
  assert.throws(() => checkAll(`${dir.path}/none.db`, () => {}), /The store cannot be checked: unable to open/);
});

/** Puts a page in the place of another: each is whole, and the table is not. */
function swapPages(path: string): void {
  const bytes = Deno.readFileSync(path);
  bytes.copyWithin(4_096 * 40, 4_096 * 100, 4_096 * 101);
  Deno.writeFileSync(path, bytes);
}

async function command(state: AgentState, ...args: string[]): Promise<AgentProcess> {
  const agent = await AgentProcess.start(state, { expectEnd: true, args });
  await until("it has ended", () => agent.ended !== null);
  return agent;
}

Deno.test("backup and restore of a running agent: what came since is sent again, or is one gap", async () => {
  using state = new AgentState();
  const { layout } = state,
    events = (first: number, count: number) => Array.from({ length: count }, (_, i) => start(first + i));
  {
    await using agent = await AgentProcess.start(state);
    using collector = await TestCollector.join(layout.brokerSocket);
    await collector.send(1, events(1, 500));
    await until("it is stored", () => collector.acknowledged === 500);
    await using backup = await command(state, "backup", "--to", "one.db");
    assert.equal(backup.ended!.code, 0, backup.stderr);
    assert.equal(backup.stdout.trim(), `${layout.agent}/backup/one.db`);
    assert.match(backup.stderr, /holds col epoch-1 up to 500/);
    await using check = await command(state, "check");
    assert.equal(check.ended!.code, 0, check.stderr);
    assert.equal(check.stdout.trim(), "ok");
    assert.match(check.stderr, /checking stored_events_1 \(\d+ of \d+\)/);
    await collector.send(501, events(501, 300));
    await until("it is stored", () => collector.acknowledged === 800);
    await agent.end();
  }
  const backup = `${layout.agent}/backup/one.db`;
  // The steps of docs/restore.md, the second one forgotten at first: the log of the store that was is still there.
  Deno.copyFileSync(backup, layout.store);
  Deno.writeFileSync(`${layout.store}-wal`, logOfAnotherStore());
  await using agent = await AgentProcess.start(state);
  assert.match(agent.stderr, /log .*-wal .* is not of the store .*, which is a restored backup; move .*-wal and/);
  for (const suffix of ["-wal", "-shm"]) Deno.removeSync(layout.store + suffix);
  await until("it goes on", () => agent.stderr.includes("takes batches again"));
  using collector = await TestCollector.join(layout.brokerSocket);
  assert.equal(collector.welcome.lastSequence, 500);
  // The collector still has the events from 701 on.
  await collector.send(701, events(701, 100));
  await until("it is stored", () => collector.acknowledged === 800);
  assert.equal((await agent.end()).code, 0);
  assert.equal(rows(layout.store, "SELECT count(*) AS n FROM process_events")[0]!["n"], 600);
  assert.deepEqual(rows(layout.store, "SELECT count, reason FROM gaps"), [
    { count: 200, reason: "sequence 501 to 700 never came" },
  ]);
  checkStore(layout.store);
  checkStore(backup);
});

function logOfAnotherStore(): Uint8Array {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = filled(path, 500);
  const log = Deno.readFileSync(`${path}-wal`);
  store.close();
  return log;
}

Deno.test("the agent's commands say what is wrong, by exit code and words", async () => {
  using state = new AgentState();
  const { layout } = state;
  filled(layout.store, 5_000).close();
  swapPages(layout.store);
  {
    await using damaged = await command(state, "check");
    assert.equal(damaged.ended!.code, 4, damaged.stderr);
    assert.match(damaged.stdout, /^\w+: /);
  }
  {
    await using misplaced = await command(state, "check", "--to", "a.db");
    assert.equal(misplaced.ended!.code, 1);
    assert.match(misplaced.stderr, /--to belongs to the command backup/);
  }
  {
    await using outside = await command(state, "backup", "--to=../../a.db");
    assert.equal(outside.ended!.code, 1);
    assert.match(outside.stderr, /no path; got/);
  }
  Deno.removeSync(layout.store);
  for (const name of ["check", "backup"]) {
    await using none = await command(state, name);
    assert.equal(none.ended!.code, 1);
    assert.match(none.stderr, /There is no store .*; name the agent's state directory by --state/);
  }
});
