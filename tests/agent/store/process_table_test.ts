import assert from "node:assert/strict";
import { joinArgv } from "../../../proto/argv.ts";
import { tableNamed } from "../../../proto/catalog.ts";
import type { SqlValue } from "../../../proto/event_row.ts";
import { BLANK_CONTEXT, type ProcessContext, type ProcessEvent } from "../../../proto/process_event.ts";
import { Store } from "../../../agent/store/store.ts";
import type { SnapshotPart } from "../../../agent/store/process_table.ts";
import { commitEvents, execIdOf, openTestStream, rows, start, state, stop, TempDir } from "../support.ts";
import { FULL_CONTEXT } from "../../support/event_samples.ts";

/** A store with one stream, and what its table of processes says. */
class World implements Disposable {
  readonly #dir = new TempDir();
  readonly path = `${this.#dir.path}/events.db`;
  readonly store = new Store(this.path);
  stream = openTestStream(this.store);

  snapshot(part: Omit<SnapshotPart, "sequence">): void {
    const sequence = this.stream.lastSequence + 1;
    commitEvents(this.store, this.stream, [], { lastSequence: sequence, snapshots: [{ sequence, ...part }] });
  }

  process(pid: number): Record<string, SqlValue> | undefined {
    return rows(this.path, "SELECT * FROM processes WHERE pid = ?", pid)[0];
  }

  event(pid: number): Record<string, SqlValue> {
    return rows(this.path, "SELECT * FROM process_events WHERE pid = ?", pid)[0]!;
  }

  [Symbol.dispose](): void {
    this.store.close();
    this.#dir[Symbol.dispose]();
  }
}

const T = 1_700_000_000_000;

Deno.test("a process that starts and ends in one batch is one ended row", () => {
  using world = new World();
  commitEvents(world.store, world.stream, [start(7), stop(7)]);
  const row = world.process(7)!;
  assert.equal(row["status"], "ended");
  assert.equal(row["start_time"], T + 7);
  assert.equal(row["end_time"], T + 12);
  assert.equal(row["exit_code"], 0);
  assert.equal(row["command_line"], "prog arg-7");
  assert.equal(rows(world.path, "SELECT count(*) AS n FROM processes")[0]!["n"], 1);
});

Deno.test("processes of which different things are known are each as they were told", () => {
  using world = new World();
  const unknown = { parentExecId: null, ppid: null, executablePath: null, argv: null, userName: null } as const;
  const names = Object.keys(unknown) as (keyof typeof unknown)[];
  for (let known = 0; known < 2 ** names.length; known++) {
    const left = Object.fromEntries(names.filter((_, bit) => (known >> bit & 1) === 0).map((name) => [name, null]));
    commitEvents(world.store, world.stream, [start(known + 2, { parentExecId: "p", userName: "u", ...left })]);
    const row = world.process(known + 2)!, event = world.event(known + 2);
    for (const column of Object.keys(row).filter((name) => name in event)) assert.equal(row[column], event[column]);
    assert.equal(row["argv"] === null, "argv" in left);
  }
  assert.ok(tableNamed("processes").columns.length <= 53, "what is known is numbered by bits of a double");
});

Deno.test("a stop in a later batch ends the row and keeps what it does not say", () => {
  using world = new World();
  commitEvents(world.store, world.stream, [start(7, { parentExecId: "p", memoryUsage: 9 })]);
  assert.equal(world.process(7)!["end_time"], null);
  commitEvents(world.store, world.stream, [stop(7, { ppid: null, memoryUsage: null, exitCode: 3 })]);
  const row = world.process(7)!;
  assert.deepEqual([row["status"], row["exit_code"], row["ppid"], row["memory_usage"], row["parent_exec_id"]], [
    "ended",
    3,
    1,
    9,
    "p",
  ]);
});

Deno.test("another execution of a process replaces the image as a whole, in one batch and in two", () => {
  for (const batches of [1, 2]) {
    using world = new World();
    const again = start(7, { execId: execIdOf(7) + "-5000", executablePath: "/bin/new", argv: null, argvLength: null });
    if (batches === 1) commitEvents(world.store, world.stream, [start(7), again]);
    else for (const event of [start(7), again]) commitEvents(world.store, world.stream, [event]);
    const row = world.process(7)!;
    assert.equal(row["exec_id"], execIdOf(7) + "-5000");
    assert.equal(row["executable_path"], "/bin/new");
    // The old image's arguments are not the new one's.
    assert.equal(row["command_line"], null);
    assert.equal(row["argv"], null);
    assert.equal(row["user_id"], 1_000);
  }
});

/** Circumstances with everything known, and what the table then shows of them. */
const CONTEXT = {
  ...FULL_CONTEXT,
  cgroupPath: "/docker/aa",
  containerId: "aa",
  containerRuntime: "docker",
  podId: "p",
};
const CIRCUMSTANCES = tableNamed("processes").columns.map((column) => column.name).filter((name) =>
  name in contextRow(CONTEXT)
);

/** Circumstances by the names of their columns. */
function contextRow(context: ProcessContext): Record<string, SqlValue> {
  return Object.fromEntries(
    Object.entries(context).map(([name, value]) => [name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`), value]),
  );
}

function circumstances(row: Record<string, SqlValue>): Record<string, SqlValue> {
  return Object.fromEntries(CIRCUMSTANCES.map((name) => [name, row[name]!]));
}

/** Commits the events in one batch, and in one batch each: what the table says must be the same. */
function bothWays(events: readonly ProcessEvent[], check: (row: Record<string, SqlValue>) => void): void {
  for (const batches of [[events], events.map((event) => [event])]) {
    using world = new World();
    for (const batch of batches) commitEvents(world.store, world.stream, batch);
    check(world.process(events[0]!.pid)!);
  }
}

Deno.test("a start brings every circumstance, and neither a stop nor a change erases one", () => {
  assert.equal(CIRCUMSTANCES.length, Object.keys(CONTEXT).length);
  const begin = start(7, { context: CONTEXT, executableKind: "memfd", namespacePid: 2 });
  const blank = start(7, { kind: "modify", context: BLANK_CONTEXT, argv: null, namespacePid: null });
  bothWays([begin, blank, stop(7, { context: null, executableKind: null })], (row) => {
    assert.deepEqual(circumstances(row), contextRow(CONTEXT));
    assert.deepEqual([row["executable_kind"], row["namespace_pid"], row["status"]], ["memfd", 2, "ended"]);
  });
});

Deno.test("a snapshot brings circumstances, and one that knows none erases none, nor the image", () => {
  using world = new World();
  commitEvents(world.store, world.stream, [start(7)]);
  const known = state(7, { context: CONTEXT, threads: 4, executableKind: "foreign" });
  world.snapshot({ time: T + 1_000, part: 0, last: true, processes: [known] });
  const blank = {
    name: "prog",
    argv: null,
    argvLength: null,
    executablePath: null,
    executableKind: null,
    threads: null,
  };
  for (const [at, context] of [null, BLANK_CONTEXT].entries()) {
    world.snapshot({ time: T + 2_000 + at, part: 0, last: true, processes: [state(7, { ...blank, context })] });
    const row = world.process(7)!;
    assert.deepEqual(circumstances(row), contextRow(CONTEXT));
    assert.deepEqual(
      [row["threads"], row["executable_kind"], row["executable_path"], row["command_line"], row["argv_length"]],
      [4, "foreign", "/usr/bin/prog", "prog arg-7", 20],
    );
    assert.equal(row["collection_time"], T + 2_000 + at);
  }
});

Deno.test("another execution has none of the old one's script and environment, and keeps where it runs", () => {
  const events = [
    start(7, { context: CONTEXT, executableKind: "memfd" }),
    start(7, { execId: `${execIdOf(7)}-5000`, context: { ...BLANK_CONTEXT, cwd: "/new" }, executablePath: "/bin/new" }),
  ];
  bothWays(events, (row) => {
    const image = { interpreter_path: null, script_path: null, environment: null };
    assert.deepEqual(circumstances(row), { ...contextRow(CONTEXT), ...image, cwd: "/new" });
    assert.equal(row["executable_kind"], null);
  });
});

Deno.test("the end of an execution whose start was missed does not go on with the image before it", () => {
  const missed = stop(7, { execId: `${execIdOf(7)}-5000`, executablePath: null, argv: null, argvLength: null });
  bothWays([start(7, { context: CONTEXT }), missed], (row) => {
    assert.deepEqual([row["exec_id"], row["executable_path"], row["command_line"], row["script_path"]], [
      `${execIdOf(7)}-5000`,
      null,
      null,
      null,
    ]);
    assert.equal(row["cwd"], CONTEXT.cwd);
  });
});

Deno.test("a name goes with its number, and a container with its control group", () => {
  const begin = start(7, { context: CONTEXT, userName: "me", groupId: 5, effectiveUserId: 5 });
  const context = { ...BLANK_CONTEXT, cgroupPath: "/user.slice" };
  const moved = { kind: "modify", context, userName: null, groupId: 60_000, effectiveUserId: 60_000 } as const;
  const names = (row: Record<string, SqlValue>) =>
    ["user_name", "effective_user_name", "group_name", "container_id", "container_runtime", "pod_id"]
      .map((name) => row[name]);
  bothWays([begin, start(7, { ...moved, userId: 60_000 })], (row) => {
    assert.deepEqual(names(row), [null, null, null, null, null, null]);
    assert.equal(row["cgroup_path"], "/user.slice");
  });
  // The same numbers, and no control group said: nothing is news.
  const same = { ...moved, context: BLANK_CONTEXT, groupId: 5, effectiveUserId: null };
  bothWays([begin, start(7, same)], (row) => {
    assert.deepEqual(names(row), ["me", CONTEXT.effectiveUserName, CONTEXT.groupName, "aa", "docker", "p"]);
  });
});

Deno.test("an event of what the table does not show changes nothing in it, however late it comes", () => {
  using world = new World();
  const hashed = { kind: "modify", modifiedFields: ["executable_hash", "file_exists"], name: "old" } as const;
  commitEvents(world.store, world.stream, [start(7), stop(7), start(8), start(7, hashed), start(8, hashed)]);
  commitEvents(world.store, world.stream, [start(8, { ...hashed, kind: "suspicious" })]);
  assert.deepEqual([world.process(7)!["status"], world.process(7)!["end_time"]], ["ended", T + 12]);
  assert.equal(world.process(8)!["name"], start(8).name);
});

Deno.test("a modify event changes what it names and leaves the rest", () => {
  using world = new World();
  commitEvents(world.store, world.stream, [start(7)]);
  const change = { kind: "modify", userId: 0, argv: null, executablePath: null, modifiedFields: ["user_id"] } as const;
  commitEvents(world.store, world.stream, [start(7, change)]);
  const row = world.process(7)!;
  assert.deepEqual([row["user_id"], row["executable_path"], row["command_line"]], [0, "/usr/bin/prog", "prog arg-7"]);
  assert.equal(row["status"], "running");
});

Deno.test("a whole snapshot adds what lives and marks as lost what is not in it", () => {
  using world = new World();
  commitEvents(world.store, world.stream, [start(1), start(2), start(3), stop(3)]);
  const time = T + 1_000;
  world.snapshot({ time, part: 0, last: true, processes: [state(1, { argv: joinArgv(["x"]) }), state(9)] });
  assert.equal(world.process(1)!["status"], "sleeping");
  assert.equal(world.process(9)!["end_time"], null);
  assert.deepEqual([world.process(2)!["status"], world.process(2)!["end_time"]], ["lost", time]);
  assert.equal(world.process(3)!["status"], "ended");
  const scan = rows(world.path, "SELECT time, process_count, collector_id FROM scan_metadata");
  assert.deepEqual(scan, [{ time, process_count: 2, collector_id: "col" }]);
});

Deno.test("a snapshot does not bring back what has ended, nor lose what began after it was read", () => {
  using world = new World();
  const late = start(2, { time: T + 2_000 });
  commitEvents(world.store, world.stream, [start(1), stop(1), late]);
  world.snapshot({ time: T + 1_000, part: 0, last: true, processes: [state(1)] });
  assert.equal(world.process(1)!["status"], "ended");
  assert.equal(world.process(2)!["status"], "running");
});

Deno.test("a snapshot does not put an older image in place of a newer one", () => {
  using world = new World();
  const exec = start(1, { execId: execIdOf(1) + "-9", time: T + 2_000, executablePath: "/new" });
  commitEvents(world.store, world.stream, [start(1), exec]);
  world.snapshot({ time: T + 1_000, part: 0, last: true, processes: [state(1)] });
  assert.equal(world.process(1)!["executable_path"], "/new");
});

Deno.test("the end of a process that was thought lost is taken, and so is news that it lives", () => {
  using world = new World();
  commitEvents(world.store, world.stream, [start(1), start(2)]);
  world.snapshot({ time: T + 1_000, part: 0, last: true, processes: [] });
  assert.equal(world.process(1)!["status"], "lost");
  commitEvents(world.store, world.stream, [stop(1)]);
  assert.deepEqual([world.process(1)!["status"], world.process(1)!["end_time"]], ["ended", T + 6]);
  world.snapshot({ time: T + 2_000, part: 0, last: true, processes: [state(2)] });
  assert.deepEqual([world.process(2)!["status"], world.process(2)!["end_time"]], ["sleeping", null]);
});

Deno.test("a snapshot in parts counts as whole only when every part came", () => {
  using world = new World();
  commitEvents(world.store, world.stream, [start(1)]);
  const time = T + 1_000;
  world.snapshot({ time, part: 0, last: false, processes: [state(5)] });
  world.snapshot({ time, part: 2, last: true, processes: [state(6)] });
  assert.equal(world.process(1)!["status"], "running", "part 1 might have held it");
  assert.deepEqual(rows(world.path, "SELECT * FROM scan_metadata"), []);
  world.snapshot({ time: time + 1, part: 0, last: false, processes: [state(5)] });
  world.snapshot({ time: time + 1, part: 1, last: true, processes: [state(6)] });
  assert.equal(world.process(1)!["status"], "lost");
  assert.equal(rows(world.path, "SELECT process_count AS n FROM scan_metadata")[0]!["n"], 2);
});

Deno.test("a snapshot in parts goes on after a restart of the agent between two of them", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, time = T + 1_000;
  {
    const store = new Store(path), stream = openTestStream(store);
    commitEvents(store, stream, [start(1)]);
    const part = { sequence: 2, time, part: 0, last: false, processes: [state(5)] };
    commitEvents(store, stream, [], { lastSequence: 2, snapshots: [part] });
    store.close();
  }
  const store = new Store(path), stream = openTestStream(store);
  assert.equal(stream.lastSequence, 2);
  const part = { sequence: 3, time, part: 1, last: true, processes: [state(6)] };
  commitEvents(store, stream, [], { lastSequence: 3, snapshots: [part] });
  assert.deepEqual(rows(path, "SELECT process_count AS n FROM scan_metadata"), [{ n: 2 }]);
  assert.equal(rows(path, "SELECT status FROM processes WHERE pid = 1")[0]!["status"], "lost");
  store.close();
});

Deno.test("processes of an earlier boot are lost with the first whole snapshot, those of other collectors not", () => {
  using world = new World();
  const other = openTestStream(world.store, "e", "other");
  commitEvents(world.store, other, [start(4)]);
  commitEvents(world.store, other, [start(5, { execId: "99999999-5-5" })]);
  world.snapshot({ time: T + 1_000, part: 0, last: true, processes: [] });
  assert.equal(world.process(4)!["status"], "running");
  assert.equal(world.process(5)!["status"], "lost");
});
