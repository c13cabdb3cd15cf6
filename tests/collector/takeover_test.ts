/** What a run of the collector says of the time since the one before, from the table that that one left. */
import assert from "node:assert/strict";
import { joinArgv } from "../../proto/argv.ts";
import type { ProcessState } from "../../proto/process_event.ts";
import type { KnownTable } from "../../collector/known_table.ts";
import { BOOT_MS, brief, entry, exec, exit, fork, MS, S, TestWorld } from "../support/lifecycle_world.ts";

const INIT = entry(1, 0, { ppid: 0, name: "init" });

/** The table as `world` would leave it at its time. */
function tableOf(world: TestWorld, bootTag = "0badcafe"): KnownTable {
  const processes = new Map<number, ProcessState>();
  for (const state of world.lifecycle.known()) processes.set(state.pid, state);
  return { bootTag, time: world.nowNs / 1e6, processes };
}

/** A world that is watched from `since` on, in which a run before it left `last`. */
function nextRun(last: KnownTable, since: number, ...entries: ReturnType<typeof entry>[]): TestWorld {
  const world = new TestWorld({ watchingSince: since });
  world.nowNs = 1_000 * S;
  world.lifecycle.baseline([INIT, ...entries], since + 100 * MS, last);
  return world;
}

function firstRun(): TestWorld {
  const world = new TestWorld();
  world.nowNs = 100 * S;
  world.lifecycle.baseline([INIT, entry(10, 5 * S), entry(11, 6 * S), entry(12, 7 * S, { ppid: 11 })], 8 * S);
  world.receive(exec(12, 11, 50 * S, { startTime: 7 * S, name: "server", executablePath: "/usr/bin/server" }));
  world.events();
  return world;
}

const server = entry(12, 7 * S, { name: "server", executablePath: "/usr/bin/server", userId: 1000 });

Deno.test("a process that lives across a restart keeps its name, and its children are joined to it", () => {
  const world = nextRun(tableOf(firstRun()), 200 * S, entry(10, 5 * S), entry(11, 6 * S), server);
  const states = world.lifecycle.settle([INIT, entry(10, 5 * S), entry(11, 6 * S), server]);
  assert.deepEqual(states.map((state) => state.execId), [
    "0badcafe-1-0",
    "0badcafe-10-500",
    "0badcafe-11-600",
    "0badcafe-12-700-5000",
  ]);
  assert.deepEqual(brief(world.events()), []);
  const events = world.receive(
    fork(300, 12, 201 * S),
    exec(300, 12, 201 * S + MS, { startTime: 201 * S }),
    fork(301, 12, 202 * S),
    exec(12, 11, 203 * S, { startTime: 7 * S }),
    exit(12, 204 * S, 7 * S),
  ).events(BOOT_MS + 210_000);
  assert.deepEqual(brief(events), ["start 300", "start 12 (exec)", "stop 12", "start 301 (fork)"]);
  assert.equal(events[0]!.parentExecId, "0badcafe-12-700-5000");
  assert.equal(events[3]!.parentExecId, "0badcafe-12-700-5000");
  assert.equal(events[1]!.execId, "0badcafe-12-700-20300");
});

Deno.test("the parent that made a process is its parent also after a restart and after its own end", () => {
  // 11 has ended: the kernel gives 12 to the first process.
  const world = nextRun(tableOf(firstRun()), 200 * S, entry(10, 5 * S), server);
  const [, , state] = world.lifecycle.settle([INIT, entry(10, 5 * S), server]);
  assert.deepEqual([state!.pid, state!.parentExecId], [12, "0badcafe-11-600"]);
  const events = world.events();
  assert.deepEqual(brief(events), ["stop 11 (ended unwatched)"]);
  const [stop] = world.receive(exit(12, 201 * S, 7 * S)).events();
  assert.deepEqual([stop!.parentExecId, stop!.ppid, stop!.execId], ["0badcafe-11-600", 11, "0badcafe-12-700-5000"]);
});

Deno.test("what ended, began or changed unwatched is told first, in the order of time", () => {
  const last = tableOf(firstRun());
  const young = entry(20, 150 * S, { ppid: 10 }), reused = entry(11, 160 * S);
  const world = nextRun(
    last,
    200 * S,
    entry(10, 5 * S, { name: "renamed", userId: 33 }),
    reused,
    young,
    entry(30, 40 * S), // older than the last word and not in it: forgotten, not begun
    { ...server, executablePath: "/tmp/other", name: "other" },
  );
  world.receive(fork(400, 1, 200 * S + MS), exit(400, 200 * S + 2 * MS, 200 * S + MS));
  world.lifecycle.settle([]);
  const events = world.events();
  assert.deepEqual(brief(events), [
    "start 20 (started unwatched)",
    "stop 11 (ended unwatched)",
    "start 11 (started unwatched)",
    "modify 10 (changed unwatched)",
    "start 12 (exec unwatched)",
    "start 400 (fork)",
    "stop 400",
  ]);
  const [start, stop, , modify, other] = events;
  assert.deepEqual([start!.time, start!.startTime, start!.parentExecId], [
    BOOT_MS + 150_000,
    BOOT_MS + 150_000,
    "0badcafe-10-500",
  ]);
  // When it ended is known only as "not after another had its pid".
  assert.deepEqual([stop!.execId, stop!.time, stop!.endTime, stop!.exitCode], [
    "0badcafe-11-600",
    BOOT_MS + 160_000,
    null,
    null,
  ]);
  assert.deepEqual(modify!.modifiedFields, ["name", "user_id"]);
  assert.deepEqual([other!.execId, other!.time], ["0badcafe-12-700-20000", BOOT_MS + 200_000]);
  assert.deepEqual(other!.modifiedFields, ["name", "executable_path"]);
});

Deno.test("what a record of the source tells needs no guess", () => {
  const last = tableOf(firstRun());
  // All of it happened between the opening of the source and the snapshot.
  const world = nextRun(
    last,
    200 * S,
    entry(10, 5 * S, { executablePath: "/opt/other" }),
    entry(20, 200 * S + 20 * MS, { ppid: 10 }),
  );
  world.receive(
    exit(11, 200 * S + 5 * MS, 6 * S, 3 << 8),
    exec(10, 1, 200 * S + 10 * MS, { startTime: 5 * S, executablePath: "/opt/other" }),
    fork(20, 10, 200 * S + 20 * MS),
    exec(20, 10, 200 * S + 21 * MS, { startTime: 200 * S + 20 * MS }),
  );
  world.lifecycle.settle([]);
  const events = world.events();
  assert.deepEqual(brief(events), ["stop 12 (ended unwatched)", "stop 11", "start 10 (exec)", "start 20"]);
  assert.equal(events[1]!.exitCode, 3);
  assert.equal(events[2]!.execId, "0badcafe-10-500-20001");
  // Fork records tell the parent; the one of 20 came when the snapshot had shown it.
  assert.equal(events[3]!.parentExecId, "0badcafe-10-500");
});

Deno.test("a record may tell the end of a process whose pid another has", () => {
  const world = nextRun(tableOf(firstRun()), 200 * S, entry(10, 5 * S), entry(11, 200 * S + 30 * MS), server);
  world.receive(exit(11, 200 * S + 10 * MS, 6 * S));
  world.lifecycle.settle([]);
  assert.deepEqual(brief(world.events()), ["stop 11 (ended unwatched)", "start 11 (started unwatched)"]);
});

Deno.test("a process that nobody has waited for has ended, one whose first thread has ended has not", () => {
  const zombie = { status: "zombie", argv: joinArgv([]), executablePath: null };
  const entries = [entry(10, 5 * S, { ...zombie, threads: 1 }), entry(11, 6 * S, { ...zombie, threads: 4 }), server];
  const world = nextRun(tableOf(firstRun()), 200 * S, ...entries);
  world.lifecycle.settle(entries);
  assert.deepEqual(brief(world.events()), ["stop 10 (ended unwatched)"]);
  world.lifecycle.reconcile([INIT, ...entries], 210 * S);
  assert.deepEqual(brief(world.events()), [], "and is not told again while it waits");
});

Deno.test("one that has ended and waits, of which the last run told all, is not told again", () => {
  const zombie = { status: "zombie", argv: joinArgv([]), executablePath: null };
  const told = entry(40, 99_900 * MS, zombie), unwatched = entry(41, 150 * S, zombie), old = entry(42, 9 * S, zombie);
  const entries = [entry(10, 5 * S), entry(11, 6 * S), server, told, unwatched, old];
  const world = nextRun(tableOf(firstRun()), 200 * S, ...entries);
  // This one has ended before the snapshot and after the source was opened.
  world.receive(exit(41, 200 * S + MS, 150 * S, 5 << 8));
  const states = world.lifecycle.settle([INIT, ...entries]);
  assert.deepEqual(states.map((state) => state.pid), [1, 10, 11, 12]);
  world.lifecycle.reconcile([INIT, entry(10, 5 * S), entry(11, 6 * S), server], 210 * S);
  world.receive(exit(40, 211 * S, 99_900 * MS), exit(42, 211 * S, 9 * S));
  const events = world.events();
  assert.deepEqual(brief(events), ["start 41 (started unwatched)", "stop 41"]);
  assert.equal(events[1]!.exitCode, 5);
});

Deno.test("a table of another boot is not compared", () => {
  const world = nextRun(tableOf(firstRun(), "feedf00d"), 200 * S, entry(10, 5 * S), entry(20, 150 * S));
  world.lifecycle.settle([]);
  assert.deepEqual(brief(world.events()), []);
});

Deno.test("nothing is told twice over any number of restarts", () => {
  let last = tableOf(firstRun());
  const told: string[] = [];
  const living = [entry(10, 5 * S), server];
  for (let run = 1; run <= 4; run++) {
    const since = (100 + 100 * run) * S;
    living.push(entry(1_000 + run, since - 50 * S));
    const world = nextRun(last, since, ...living);
    world.nowNs = since + S;
    world.lifecycle.settle([INIT, ...living]);
    told.push(...brief(world.events()));
    last = tableOf(world);
  }
  assert.deepEqual(told, [
    "start 1001 (started unwatched)",
    "stop 11 (ended unwatched)",
    "start 1002 (started unwatched)",
    "start 1003 (started unwatched)",
    "start 1004 (started unwatched)",
  ]);
});

Deno.test("a process that the table forgot is not ended twice, by its end and by a restart", () => {
  const world = new TestWorld({ limits: { maxTracked: 3, maxEnded: 10, maxBytes: 1 << 20 } });
  world.lifecycle.baseline([INIT, entry(10, 5 * S), entry(11, 6 * S)], 8 * S);
  const file = new Map(world.lifecycle.known().map((state) => [state.pid, state]));
  const write = (): void => {
    for (const state of world.lifecycle.flush(BOOT_MS).known) {
      if (state.status === "ended") file.delete(state.pid);
      else file.set(state.pid, state);
    }
  };
  world.receive(exec(20, 1, 50 * S), exec(21, 1, 51 * S));
  write();
  assert.deepEqual([...file.keys()], [1, 10, 11, 20, 21], "forgotten, and still in the file");
  world.receive(exit(10, 60 * S, 5 * S));
  write();
  assert.deepEqual([...file.keys()], [1, 11, 20, 21]);
});

Deno.test("a chain of parents reaches the first process over ended ones and over a restart", () => {
  const world = new TestWorld();
  world.lifecycle.baseline([INIT], S);
  const parents = new Map<string, string | null>();
  const keep = (events: ReturnType<TestWorld["events"]>): void => {
    for (const event of events) if (event.kind === "start") parents.set(event.execId, event.parentExecId);
  };
  // Each makes the next and ends: 50 from the first process, ..., 59.
  for (let n = 0; n < 10; n++) {
    const pid = 50 + n, parent = n === 0 ? 1 : pid - 1, at = (10 + n) * S;
    world.receive(fork(pid, parent, at), exec(pid, parent, at + MS, { startTime: at }));
    if (n > 0) world.receive(exit(parent, at + 2 * MS, at - S));
    keep(world.events());
  }
  const last = entry(59, 19 * S, { executablePath: "/usr/bin/true", name: "true", userId: 1000 });
  const next = nextRun(tableOf(world), 200 * S, last);
  next.lifecycle.settle([]);
  next.receive(fork(60, 59, 201 * S), exec(60, 59, 201 * S + MS, { startTime: 201 * S }));
  keep(next.events());
  const chain: string[] = [];
  for (let at: string | null = "0badcafe-60-20100"; at !== null; at = parents.get(at) ?? null) chain.push(at);
  assert.equal(chain.length, 12);
  assert.equal(chain.at(-1), "0badcafe-1-0");
  assert.ok(next.lifecycle.tracked <= 3, "and the ended are not kept for it");
});
