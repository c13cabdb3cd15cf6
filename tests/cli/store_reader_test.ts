import assert from "node:assert/strict";
import { closeDatabase, openDatabase } from "../../agent/store/database.ts";
import { Store } from "../../cli/store_reader.ts";
import { DeadlineError, StoreError } from "../../cli/store_error.ts";
import { guardSql } from "../../proto/rules/sql_guard.ts";
import { CliProgram, NOBODY } from "../support/cli_program.ts";
import { needs } from "../support/needs.ts";
import { NOW, TestState } from "../support/test_store.ts";

const PIDS = "SELECT pid FROM process_events ORDER BY event_id";

function pids(path: string): unknown[] {
  using store = Store.open(path);
  return store.rows(PIDS).map(([pid]) => pid);
}

/** A store whose writer was killed: its logs lie there as they were. */
async function killedStore(state: TestState): Promise<void> {
  state.stop();
  const script = new URL("../support/store_writer.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-A", script, state.layout.store],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
}

Deno.test("Store reads a live agent's store, with what was committed a moment ago", () => {
  using state = new TestState();
  state.event({ pid: 7 });
  using store = Store.open(state.layout.store);
  assert.deepEqual(store.rows(PIDS), [[7]]);
  state.event({ pid: 8 });
  assert.deepEqual(store.rows(PIDS), [[7], [8]]);
});

Deno.test("Store reads the store of an agent that was stopped", () => {
  using state = new TestState();
  state.event({ pid: 7 });
  state.stop();
  assert.deepEqual(pids(state.layout.store), [7]);
});

Deno.test("Store reads the store of an agent that was killed, every committed row", async () => {
  using state = new TestState();
  await killedStore(state);
  assert.deepEqual(pids(state.layout.store), [4242]);
});

Deno.test({
  name: "The CLI reads the store as another user while the agent is live, stopped, killed",
  ...needs({ root: true, setpriv: true }),
  async fn() {
    using program = await CliProgram.make();
    const ask = async (state: TestState): Promise<unknown> => {
      for (const suffix of ["", "-wal", "-shm"]) Deno.chmodSync(state.layout.store + suffix, 0o644);
      const { out, err } = await program.run(state, ["query", PIDS, "--format", "json"], { user: NOBODY });
      assert.ok(out !== "", err);
      return JSON.parse(out);
    };
    using live = new TestState();
    live.event({ pid: 7 });
    assert.deepEqual(await ask(live), [{ pid: 7 }]);
    live.stop();
    assert.deepEqual(await ask(live), [{ pid: 7 }]);
    using killed = new TestState();
    await killedStore(killed);
    assert.deepEqual(await ask(killed), [{ pid: 4242 }]);
  },
});

Deno.test({
  name: "The CLI reads a store whose logs are gone and that it may not make, and says why it may not read one",
  ...needs({ root: true, setpriv: true }),
  async fn() {
    using program = await CliProgram.make();
    using state = new TestState();
    state.event();
    state.stop();
    for (const suffix of ["-wal", "-shm"]) Deno.removeSync(state.layout.store + suffix);
    Deno.chmodSync(state.layout.store, 0o644);
    const noLogs = await program.run(state, ["query", PIDS, "-f", "jsonl"], { user: NOBODY });
    assert.equal(noLogs.out, '{"pid":100}\n', noLogs.err);
    assert.deepEqual([...Deno.readDirSync(state.layout.agent)].map(({ name }) => name), ["events.db"]);
    Deno.chmodSync(state.layout.agent, 0o700);
    const closed = await program.run(state, ["events"], { user: NOBODY });
    assert.equal(closed.code, 1);
    assert.match(closed.err, /you may not read it; become a member of the group/);
    assert.equal(closed.out, "");
  },
});

/** What opening or reading a store says. */
function refusal(path: string, sql = "SELECT count(*) FROM process_events"): string {
  try {
    using store = Store.open(path);
    store.rows(sql);
  } catch (error) {
    assert.ok(error instanceof StoreError, `${error}`);
    return error.message;
  }
  return "";
}

Deno.test("Store says in words why a file is no store", () => {
  using state = new TestState();
  const path = `${state.directory}/x`;
  assert.match(refusal(path), /There is no store at .*\/x: the agent has not run here/);
  Deno.mkdirSync(path);
  assert.match(refusal(path), /not a regular file/);
  assert.match(refusal(`${state.layout.store}/below`), /There is no store/);
  Deno.symlinkSync("loop", `${state.directory}/loop`);
  assert.match(refusal(`${state.directory}/loop`), /loop of symbolic links/);
  Deno.writeFileSync(`${state.directory}/random`, crypto.getRandomValues(new Uint8Array(8_192)));
  assert.match(refusal(`${state.directory}/random`), /is damaged \(SQLite 26\)/);
  Deno.writeFileSync(`${state.directory}/nothing`, new Uint8Array());
  assert.match(refusal(`${state.directory}/nothing`), /is empty: the agent has not finished its first start/);
});

Deno.test("Store does not open a pipe that stands in its place", async () => {
  using state = new TestState();
  const path = `${state.directory}/pipe`;
  await new Deno.Command("mkfifo", { args: [path] }).output();
  assert.match(refusal(path), /not a regular file/);
});

Deno.test("Store says which version to use for another schema", () => {
  using state = new TestState();
  state.db.exec("PRAGMA user_version = 99");
  assert.match(refusal(state.layout.store), /schema version 99, this program knows \d+: use the CLI of the agent's/);
  state.db.exec("PRAGMA user_version = -1");
  assert.match(refusal(state.layout.store), /start the agent of this version once/);
});

Deno.test("Store names the tables that are missing", () => {
  using state = new TestState();
  state.db.exec("DROP TABLE gaps; DROP TABLE alerts");
  assert.match(refusal(state.layout.store), /lacks the tables alerts, gaps/);
});

Deno.test("Store tells of damage in the middle of an answer, and gives no shortened one", () => {
  using state = new TestState();
  for (let i = 0; i < 6_000; i++) state.event({ pid: i });
  state.stop();
  const sql = "SELECT command_line FROM process_events ORDER BY event_id";
  assert.equal(refusal(state.layout.store, sql), "");
  const file = Deno.openSync(state.layout.store, { read: true, write: true });
  try {
    const pages = file.statSync().size / 4_096;
    let told = 0;
    for (let page = 20; page < pages; page += 9) {
      const kept = new Uint8Array(4_096);
      file.seekSync(page * 4_096, Deno.SeekMode.Start);
      file.readSync(kept);
      file.seekSync(page * 4_096, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(4_096).fill(0xab));
      const said = refusal(state.layout.store, sql);
      if (said === "") {
        // A page of an index: the answer is whole
        using store = Store.open(state.layout.store);
        assert.equal(store.rows(sql).length, 6_000);
      } else {
        assert.match(said, /is damaged \(SQLite \d+\)/);
        told += 1;
      }
      file.seekSync(page * 4_096, Deno.SeekMode.Start);
      file.writeSync(kept);
    }
    assert.ok(told > 5, `damage was told ${told} times`);
  } finally {
    file.close();
  }
});

Deno.test("Store stops its own queries at the deadline, whichever table they run over", () => {
  using state = new TestState();
  state.db.exec("BEGIN");
  for (let i = 0; i < 20_000; i++) state.insert("process_events", { event_id: i, time: i, pid: i, name: `n${i}` });
  state.db.exec("COMMIT");
  using store = Store.open(state.layout.store, { deadlineMs: 1_000 });
  const began = performance.now();
  assert.throws(
    () => store.rows("SELECT count(*) FROM process_events a JOIN process_events b ON a.pid + b.pid = -1"),
    (error: Error) => error instanceof DeadlineError && /Stopped after 1 s/.test(error.message),
  );
  assert.ok(performance.now() - began < 30_000);
  // And it can be asked again
  assert.deepEqual(store.rows("SELECT count(*) FROM process_events"), [[20_000]]);
});

Deno.test("Store stops a hunt at the deadline, also between rows that nobody takes", () => {
  using state = new TestState();
  for (let i = 0; i < 10; i++) state.event({ pid: i });
  using store = Store.open(state.layout.store, { deadlineMs: 50 });
  const { rows } = store.hunt(guardSql("SELECT pid FROM process_events", "hunt"));
  assert.throws(() => {
    for (const _ of rows) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }, DeadlineError);
});

Deno.test("Store lets a hunt see only what happened since a moment", () => {
  using state = new TestState();
  for (const age of [100, 50, 10]) state.event({ pid: age, time: NOW - age * 1_000 });
  state.process(1, { end_time: NOW - 100_000 });
  state.process(2);
  using store = Store.open(state.layout.store, { since: NOW - 60_000 });
  const ask = (sql: string): unknown[] => [...store.hunt(guardSql(sql, "hunt")).rows];
  assert.deepEqual(ask("SELECT pid FROM process_events"), [[50], [10]]);
  assert.deepEqual(ask("SELECT pid FROM processes"), [[2]]);
});

Deno.test("Store changes nothing: the same file before and after, and no table can be made", () => {
  using state = new TestState();
  state.event();
  state.stop();
  const before = Deno.readFileSync(state.layout.store);
  {
    using store = Store.open(state.layout.store);
    store.rows(PIDS);
    for (const sql of ["INSERT INTO gaps (gap_id) VALUES (1)", "CREATE TABLE t (a)", "PRAGMA journal_mode = DELETE"]) {
      assert.throws(() => store.rows(sql), StoreError, sql);
    }
  }
  assert.deepEqual(Deno.readFileSync(state.layout.store), before);
  closeDatabase(openDatabase(state.layout.store));
});

Deno.test("Store gives integers beyond 2^53 exactly", () => {
  using state = new TestState();
  state.db.exec("INSERT INTO gaps (gap_id, count) VALUES (9007199254740993, 5)");
  using store = Store.open(state.layout.store);
  assert.deepEqual([...store.hunt(guardSql("SELECT count, count * 9007199254740993 AS n FROM gaps", "hunt")).rows], [
    [5, 45035996273704965n],
  ]);
});
