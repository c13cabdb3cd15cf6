import assert from "node:assert/strict";
import { Partitions } from "../../agent/store/partitions.ts";
import { Store } from "../../cli/store_reader.ts";
import { withLog } from "../../cli/store_image.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, TestState } from "../support/test_store.ts";

/** A state directory with the store's files of these endings alone, as they are while the agent runs. */
function copied(state: TestState, endings: readonly string[]): string {
  const copy = Deno.makeTempDirSync({ prefix: "daemoneye-copy-", dir: state.directory });
  Deno.mkdirSync(`${copy}/agent`);
  for (const ending of endings) Deno.copyFileSync(`${state.layout.store}${ending}`, `${copy}/agent/events.db${ending}`);
  return copy;
}

function pids(directory: string): unknown[] {
  using store = Store.open(`${directory}/agent/events.db`);
  return store.rows("SELECT pid FROM process_events ORDER BY event_id").map(([pid]) => pid);
}

const listed = (directory: string): string[] =>
  [...Deno.readDirSync(`${directory}/agent`)].map(({ name }) => name).sort();

Deno.test("a store that was copied by itself is read by its owner, and no file is made beside it", async () => {
  using state = new TestState();
  state.event({ pid: 7 });
  state.db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const copy = copied(state, [""]), before = Deno.readFileSync(`${copy}/agent/events.db`);
  assert.deepEqual(pids(copy), [7]);
  const { code, out } = await cli(null, ["--state", copy, "query", "SELECT pid FROM process_events", "-f", "jsonl"]);
  assert.deepEqual([code, out], [3, '{"pid":7}\n']);
  assert.deepEqual(listed(copy), ["events.db"]);
  assert.deepEqual(Deno.readFileSync(`${copy}/agent/events.db`), before);
});

Deno.test("a store that was copied with its log has every committed row, also where the log grew over several commits", () => {
  using state = new TestState();
  const expected: number[] = [];
  for (let pid = 1; pid <= 400; pid++) {
    state.event({ pid, command_line: "x".repeat(pid) });
    expected.push(pid);
    if (pid === 100) state.db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    if (pid % 150 === 0) {
      new Partitions(state.db).rotate(NOW);
      state.reopenPartitions();
    }
  }
  const copy = copied(state, ["", "-wal"]);
  assert.deepEqual(pids(copy), expected);
  assert.deepEqual(listed(copy), ["events.db", "events.db-wal"]);
});

Deno.test("withLog() cut or changed anywhere gives the store as of a commit before, as SQLite takes it", () => {
  using state = new TestState();
  state.db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  for (let pid = 1; pid <= 5; pid++) state.event({ pid });
  const store = Deno.readFileSync(state.layout.store), log = Deno.readFileSync(`${state.layout.store}-wal`);
  const seen = new Set<number>();
  for (const at of [...Array.from({ length: 14 }, (_, i) => i * 2_797), log.length]) {
    for (const cut of [true, false]) {
      const changed = cut ? log.slice(0, at) : log.slice();
      if (!cut && at < log.length) changed[at]! ^= 1;
      const copy = copied(state, []);
      Deno.writeFileSync(`${copy}/agent/events.db`, store);
      Deno.writeFileSync(`${copy}/agent/events.db-wal`, changed);
      const found = pids(copy).length;
      seen.add(found);
      // SQLite itself, which makes the third file
      Deno.writeFileSync(`${copy}/agent/events.db-shm`, new Uint8Array());
      assert.equal(found, pids(copy).length, `${cut ? "cut" : "changed"} at ${at}`);
    }
  }
  assert.ok(seen.has(0) && seen.has(5) && seen.size > 3, [...seen].join());
  assert.equal(withLog(store, new Uint8Array(40)), store);
});
