import assert from "node:assert/strict";
import { joinArgv, splitArgv } from "../../proto/argv.ts";
import { TICK_NS } from "../../proto/identity.ts";
import { MAX_ARGV_BYTES, type ProcessEvent } from "../../proto/process_event.ts";
import { BOOT_MS, brief, entry, exec, exit, fork, MS, S, TestWorld } from "../support/lifecycle_world.ts";

Deno.test("the baseline makes no events, and what was exec'ed before it starts once", () => {
  const world = new TestWorld();
  const states = world.lifecycle.baseline([
    entry(20, 8 * S, { ppid: 10, argv: joinArgv(["app", "--password", "x1"]), executablePath: "/x (deleted)" }),
    entry(2, 0, { ppid: 0, name: "kthreadd", kernelThread: true, argv: null, executablePath: null }),
    entry(10, 5 * S, { ppid: 1 }),
    entry(30, 9 * S, { status: "zombie", argv: joinArgv([]) }),
  ], 20 * S);
  assert.deepEqual(brief(world.events(BOOT_MS + 60_000)), []);
  assert.deepEqual(states.map((s) => s.execId).sort(), [
    "0badcafe-10-500",
    "0badcafe-2-0",
    "0badcafe-20-800",
    "0badcafe-30-900",
  ]);
  const app = states.find((s) => s.pid === 20)!;
  assert.equal(app.parentExecId, "0badcafe-10-500");
  assert.deepEqual(splitArgv(app.argv!), ["app", "--password", "[REDACTED]"]);
  assert.equal(app.executablePath, "/x");
  assert.equal(app.userName, "root");
  assert.equal(states.find((s) => s.pid === 2)!.ppid, null);
  assert.equal(world.lifecycle.masked, 1);

  const events = world.receive(
    fork(20, 10, 8 * S),
    exec(20, 10, 8 * S + MS, { startTime: 8 * S }), // seen in the ring, from before the snapshot
    exec(10, 1, 19 * S, { startTime: 5 * S }),
    exec(20, 10, 21 * S, { startTime: 8 * S, name: "b" }),
    exit(20, 22 * S, 8 * S),
  ).events();
  assert.deepEqual(brief(events), ["start 20", "start 10 (exec)", "start 20 (exec)", "stop 20"]);
  assert.equal(events[0]!.execId, "0badcafe-20-800");
  assert.equal(events[2]!.execId, "0badcafe-20-800-2100");
});

Deno.test("a snapshot reports what no record told", () => {
  const world = new TestWorld();
  world.lifecycle.baseline([entry(1, 0, { ppid: 0 }), entry(10, 5 * S), entry(11, 5 * S), entry(12, 5 * S)], 6 * S);
  world.receive(exec(60, 1, 29 * S), fork(61, 1, 29 * S), exit(12, 29 * S, 5 * S), exec(62, 1, 31 * S));
  world.events();
  const states = world.lifecycle.reconcile([
    entry(1, 0, { ppid: 0 }),
    entry(11, 25 * S, { name: "reused" }),
    entry(12, 5 * S), // ended after the snapshot was read
    entry(71, 28 * S, { ppid: 70 }),
    entry(70, 27 * S),
    entry(72, 20 * S, { status: "zombie" }),
    entry(73, 30 * S + TICK_NS), // began while the snapshot was read: its records are to come
  ], 30 * S);
  const events = world.events();
  assert.deepEqual(brief(events), [
    "stop 11 (pid reused)",
    "start 11 (snapshot)",
    "start 70 (snapshot)",
    "start 71 (snapshot)",
    "stop 10 (snapshot)",
    "stop 60 (snapshot)",
    "start 61 (fork)",
    "stop 61 (snapshot)",
  ]);
  assert.equal(events[3]!.parentExecId, "0badcafe-70-2700");
  assert.deepEqual([events[4]!.endTime, events[4]!.exitCode, events[4]!.durationMs], [null, null, null]);
  assert.deepEqual(states.map((s) => s.pid).sort(), [1, 11, 70, 71]);
  assert.equal(world.lifecycle.tracked, 5, "and 62, which began after the snapshot");
  // What comes after it about the lost changes nothing.
  assert.deepEqual(brief(world.receive(exit(10, 29 * S, 5 * S), exit(61, 29 * S + MS, 29 * S)).events()), []);
});

Deno.test("a snapshot reports what changed in a process, and only that", () => {
  const world = new TestWorld();
  const before = entry(10, 5 * S, { argv: joinArgv(["app", "--token=a1"]) });
  const worker = entry(2, 0, { name: "kworker/0:0", kernelThread: true, argv: null, executablePath: null });
  world.lifecycle.baseline([before, worker, entry(11, 5 * S), entry(12, 5 * S)], 6 * S);
  const changed = entry(10, 5 * S, {
    argv: joinArgv(["app2", "--token=b2"]),
    name: "app2",
    executablePath: "/usr/bin/sleep (deleted)",
    effectiveUserId: 33,
    memoryUsage: 8192,
    cpuTime: 3 * MS,
  });
  const same = [
    { ...worker, name: "kworker/0:0-events" },
    entry(11, 5 * S, { executablePath: null, argv: null, argvLength: null, userId: null }), // not readable just now
    entry(12, 5 * S, { status: "zombie", argv: joinArgv([]), argvLength: 0, executablePath: null }),
  ];
  world.lifecycle.reconcile([changed, ...same], 30 * S);
  const events = world.events();
  assert.deepEqual(brief(events), ["modify 10 (snapshot)"]);
  const [event] = events as [ProcessEvent];
  assert.deepEqual(event.modifiedFields, ["name", "on_disk_mismatch", "command_line", "effective_user_id"]);
  assert.equal(event.onDiskMismatch, true);
  assert.deepEqual([event.effectiveUserId, event.memoryUsage, event.cpuTimeMs], [33, 8192, 3]);
  assert.deepEqual(splitArgv(event.argv!), ["app2", "--token=[REDACTED]"]);
  assert.equal(event.execId, "0badcafe-10-500");
  assert.equal(world.lifecycle.masked, 2);
  world.lifecycle.reconcile([changed, ...same], 40 * S);
  assert.deepEqual(brief(world.events()), [], "the second time it is no change");
  assert.equal(world.lifecycle.masked, 2, "and no other secret");
});

Deno.test("a snapshot that is older than an exec does not undo it", () => {
  const world = new TestWorld();
  world.lifecycle.baseline([entry(10, 5 * S)], 6 * S);
  world.receive(exec(10, 1, 31 * S, { startTime: 5 * S }));
  world.lifecycle.reconcile([entry(10, 5 * S)], 30 * S);
  assert.deepEqual(brief(world.events()), ["start 10 (exec)"]);
});

Deno.test("arguments that were cut are not taken for changed ones", () => {
  const world = new TestWorld();
  const long = joinArgv(["app", "x".repeat(3_000), "--token=secret", "y".repeat(20_000)]);
  const cut = long.slice(0, MAX_ARGV_BYTES);
  world.receive(exec(10, 1, 5 * S, { argv: cut, argvLength: long.length }));
  const shorter = entry(10, 5 * S, { argv: long.slice(0, 4_096), argvLength: long.length, name: "true" });
  const ids = { userId: 1000, effectiveUserId: 1000, groupId: 100, executablePath: "/usr/bin/true" };
  world.lifecycle.reconcile([{ ...shorter, ...ids }], 30 * S);
  assert.deepEqual(brief(world.events()), ["start 10"]);
  assert.ok(world.lifecycle.masked > 0);

  // What a source could read of them only in part, and what it could not read.
  const whole = joinArgv(["app", "x".repeat(3_000), "end"]);
  world.receive(exec(11, 1, 5 * S, { argv: whole, argvLength: whole.length }));
  for (const argv of [whole.slice(0, 1_000), null]) {
    world.lifecycle.reconcile([{ ...shorter, ...ids }, {
      ...entry(11, 5 * S, { argv, name: "true" }),
      ...ids,
      argvLength: whole.length,
    }], 30 * S);
  }
  assert.deepEqual(brief(world.events()), ["start 11"]);
  const [stop] = world.receive(exit(11, 40 * S, 5 * S)).events();
  assert.equal(stop!.argv!.length, whole.length);
});

Deno.test("use of memory and CPU is no event unless a threshold is set", () => {
  const world = new TestWorld();
  world.lifecycle.baseline([entry(10, 5 * S)], 6 * S);
  world.lifecycle.reconcile([entry(10, 5 * S, { memoryUsage: 1 << 30, cpuTime: 900 * S })], 30 * S);
  assert.deepEqual(brief(world.events()), []);
});

Deno.test("use beyond its threshold is a change, measured from what was last told", () => {
  const world = new TestWorld({ thresholds: { memoryPercent: 50, cpuPercent: 25 } });
  const changes = (memoryUsage: number | null, cpuTime: number | null): string[][] => {
    world.lifecycle.reconcile([entry(10, 5 * S, { memoryUsage, cpuTime })], 30 * S);
    return world.events().map((event) => [event.kind, ...event.modifiedFields]);
  };
  world.lifecycle.baseline([entry(10, 5 * S, { memoryUsage: 1_000, cpuTime: 0 })], 6 * S);
  assert.deepEqual(changes(1_500, 0), [], "50 % is not more than 50 %");
  assert.deepEqual(changes(1_501, 0), [["modify", "memory_usage"]]);
  assert.deepEqual(changes(1_501, 1), [["modify", "cpu_time_ms"]], "from nothing to something");
  assert.deepEqual(changes(null, null), [], "what is not known is no change");
  assert.deepEqual(changes(751, 1), [], "50.0 % less");
  assert.deepEqual(changes(750, 2), [["modify", "memory_usage", "cpu_time_ms"]]);
  // Slow growth is told when it has come far enough.
  let told = 0;
  for (let memory = 750; memory <= 7_500; memory += 10) told += changes(memory, 2).length;
  assert.equal(told, 5);

  // One that was exec'ed: the first snapshot is what it is measured from.
  world.receive(exec(11, 1, 40 * S));
  world.events();
  const own = { name: "true", executablePath: "/usr/bin/true", argv: joinArgv(["true"]), userId: 1000 };
  const ids = { effectiveUserId: 1000, groupId: 100 };
  const started = (memoryUsage: number): ReturnType<typeof entry> =>
    entry(11, 40 * S, { ...own, ...ids, memoryUsage, cpuTime: 2 });
  const rest = entry(10, 5 * S, { memoryUsage: 7_500, cpuTime: 2 });
  world.lifecycle.reconcile([rest, started(10)], 50 * S);
  world.events();
  world.lifecycle.reconcile([rest, started(16)], 60 * S);
  assert.deepEqual(brief(world.events()), ["modify 11 (snapshot)"]);
});

Deno.test("threads of the kernel can be left out of events and snapshots, what they start cannot", () => {
  const world = new TestWorld({ skipsKernelThreads: true });
  const thread = (pid: number, startTime: number): ReturnType<typeof entry> =>
    entry(pid, startTime, { ppid: 2, kernelThread: true, argv: null, executablePath: null, name: "kworker" });
  const kthreadd = entry(2, 0, { ppid: 0, kernelThread: true, argv: null, executablePath: null });
  const entries = [entry(1, 0, { ppid: 0 }), kthreadd, thread(30, 5 * S)];
  assert.deepEqual(world.lifecycle.baseline(entries, 6 * S).map((state) => state.pid), [1]);
  world.receive(fork(31, 2, 7 * S), exit(30, 8 * S, 5 * S), fork(32, 2, 9 * S), fork(33, 31, 9 * S));
  // The kernel starts a program of its own accord: a thread becomes a process.
  world.receive(exec(33, 31, 9 * S + MS, { startTime: 9 * S, name: "modprobe" }));
  const events = world.events(BOOT_MS + 60_000);
  assert.deepEqual(brief(events), ["start 33"]);
  assert.equal(events[0]!.parentExecId, "0badcafe-31-700");
  const states = world.lifecycle.reconcile([...entries.slice(0, 2), thread(40, 20 * S)], 30 * S);
  assert.deepEqual(states.map((state) => state.pid), [1]);
  assert.deepEqual(brief(world.events()), ["stop 33 (snapshot)"]);
});

Deno.test("what the table forgot for want of room is not started anew by each snapshot", () => {
  const world = new TestWorld({ limits: { maxTracked: 10, maxEnded: 10, maxBytes: 1 << 20 } });
  const entries = Array.from({ length: 25 }, (_, i) => entry(100 + i, (5 + i) * S));
  world.lifecycle.baseline(entries, 40 * S);
  for (let i = 0; i < 5; i++) world.lifecycle.reconcile(entries, (50 + i) * S);
  assert.deepEqual(brief(world.events()), []);
  world.lifecycle.reconcile([...entries, entry(200, 55 * S)], 60 * S);
  assert.deepEqual(brief(world.events()), ["start 200 (snapshot)"], "one that is new is");
  assert.equal(world.lifecycle.tracked, 10);
});
