import assert from "node:assert/strict";
import fc from "fast-check";
import { joinArgv, splitArgv } from "../../proto/argv.ts";
import { TICK_NS } from "../../proto/identity.ts";
import { MAX_ARGV_BYTES, type ProcessEvent } from "../../proto/process_event.ts";
import { FORK_PATIENCE_MS } from "../../collector/lifecycle.ts";
import { NOTHING_KNOWN, type SourceRecord } from "../../collector/sources/source.ts";
import { BOOT_MS, brief, entry, exec, exit, fork, MS, S, TestWorld } from "../support/lifecycle_world.ts";

Deno.test("a fork with its exec and exit makes one start and one stop", () => {
  const world = new TestWorld();
  world.lifecycle.baseline([entry(1, 0, { ppid: 0, name: "init", argv: joinArgv(["init", "--x"]) })], S);
  const events = world.receive(
    fork(50, 1, 10 * S),
    exec(50, 1, 10 * S + 2 * MS, { startTime: 10 * S, argv: joinArgv(["true", "a"]), argvLength: 7 }),
    exit(50, 10 * S + 5 * MS, 10 * S, 3 << 8),
  ).events();
  assert.deepEqual(brief(events), ["start 50", "stop 50"]);
  const [start, stop] = events as [ProcessEvent, ProcessEvent];
  assert.equal(start.execId, "0badcafe-50-1000");
  assert.equal(start.parentExecId, "0badcafe-1-0");
  assert.equal(start.ppid, 1);
  assert.equal(start.time, BOOT_MS + 10_002);
  assert.equal(start.startTime, BOOT_MS + 10_000);
  assert.equal(start.name, "true");
  assert.equal(start.executablePath, "/usr/bin/true");
  assert.deepEqual(splitArgv(start.argv!), ["true", "a"]);
  assert.equal(start.argvLength, 7);
  assert.deepEqual([start.userId, start.userName, start.effectiveUserId, start.groupId], [1000, null, 1000, 100]);
  assert.deepEqual([start.inode, start.device], [7, 8]);
  assert.deepEqual([start.parentName, start.parentExecutablePath], ["init", "/usr/bin/sleep"]);
  assert.equal(start.parentCommandLine, "init --x");
  assert.deepEqual(start.modifiedFields, []);
  assert.equal(start.source, "ebpf");
  assert.equal(stop.execId, start.execId);
  assert.equal(stop.parentExecId, start.parentExecId);
  assert.deepEqual(splitArgv(stop.argv!), ["true", "a"]);
  assert.deepEqual([stop.exitCode, stop.exitSignal, stop.cpuTimeMs, stop.durationMs], [3, null, 2, 5]);
  assert.deepEqual([stop.time, stop.endTime, stop.startTime], [BOOT_MS + 10_005, BOOT_MS + 10_005, start.startTime]);
  assert.equal(stop.userId, 1000);
  assert.equal(world.lifecycle.tracked, 1);
});

Deno.test("a signal that ended a process is its exit signal, and it has no exit code", () => {
  const world = new TestWorld();
  const [, stop] = world.receive(exec(5, 1, S), exit(5, 2 * S, S, 9 | 0x80)).events();
  assert.deepEqual([stop!.exitCode, stop!.exitSignal], [null, 9]);
});

Deno.test("a second exec makes a start of its own and no stop", () => {
  const world = new TestWorld();
  const second = { startTime: 10 * S, name: "sh", executablePath: "/bin/sh", argv: joinArgv(["sh"]), argvLength: 3 };
  const events = world.receive(
    fork(50, 1, 10 * S),
    exec(50, 1, 10 * S, { startTime: 10 * S }),
    exec(50, 1, 11 * S, { ...second, userId: 0 }),
    exec(50, 1, 11 * S + 1, { ...second, userId: 0 }),
    exit(50, 12 * S, 10 * S),
  ).events();
  assert.deepEqual(brief(events), ["start 50", "start 50 (exec)", "start 50 (exec)", "stop 50"]);
  assert.deepEqual(events.map((e) => e.execId), [
    "0badcafe-50-1000",
    "0badcafe-50-1000-1100",
    "0badcafe-50-1000-1101", // in the same tick, and yet another name
    "0badcafe-50-1000-1101",
  ]);
  assert.deepEqual(events[1]!.modifiedFields, ["name", "executable_path", "command_line", "user_id"]);
  assert.deepEqual(events[2]!.modifiedFields, []);
  assert.equal(events[3]!.name, "sh");
});

Deno.test("a fork without exec is reported when it ends, and when it has lived long enough", () => {
  const world = new TestWorld();
  world.receive(exec(40, 1, 9 * S, { name: "server" }), fork(50, 40, 10 * S), exit(50, 10 * S + MS, 10 * S));
  const ended = world.events();
  assert.deepEqual(brief(ended), ["start 40", "start 50 (fork)", "stop 50"]);
  assert.deepEqual([ended[1]!.name, ended[1]!.userId, ended[1]!.parentExecId], ["server", 1000, "0badcafe-40-900"]);
  assert.equal(ended[1]!.parentName, "server");

  world.receive(fork(51, 40, 20 * S));
  assert.deepEqual(brief(world.events(BOOT_MS + 20_000 + FORK_PATIENCE_MS - 1)), []);
  assert.deepEqual(brief(world.events(BOOT_MS + 20_000 + FORK_PATIENCE_MS)), ["start 51 (fork)"]);
  assert.deepEqual(brief(world.events(BOOT_MS + 90_000)), []);
  const later = world.receive(exec(51, 40, 30 * S, { startTime: 20 * S }), exit(51, 31 * S, 20 * S)).events();
  assert.deepEqual(brief(later), ["start 51 (exec)", "stop 51"]);
  assert.equal(later[1]!.execId, "0badcafe-51-2000-3000");
});

Deno.test("an exec may come before its fork", () => {
  const world = new TestWorld();
  world.receive(exec(1, 0, S));
  const events = world.receive(
    exec(50, 9, 10 * S + MS, { startTime: 10 * S }),
    fork(50, 1, 10 * S),
    exit(50, 11 * S, 10 * S),
    fork(50, 1, 10 * S),
  ).events(BOOT_MS + 60_000);
  assert.deepEqual(brief(events), ["start 1", "start 50", "stop 50"]);
  assert.equal(events[1]!.parentExecId, null);
  assert.equal(events[2]!.parentExecId, "0badcafe-1-100");
  assert.equal(events[2]!.ppid, 1);
  assert.equal(world.lifecycle.tracked, 1);
});

Deno.test("a parent that has just ended is still known", () => {
  const world = new TestWorld();
  const events = world.receive(
    exec(40, 1, 9 * S, { name: "dropper", argv: joinArgv(["dropper", "--token=x1"]) }),
    fork(50, 40, 10 * S),
    exit(40, 10 * S + MS, 9 * S),
    exec(50, 1, 10 * S + 2 * MS, { startTime: 10 * S }),
  ).events();
  const child = events.at(-1)!;
  assert.equal(child.parentExecId, "0badcafe-40-900");
  assert.equal(child.parentName, "dropper");
  assert.equal(child.parentCommandLine, "dropper --token=[REDACTED]");
  assert.equal(child.ppid, 40, "the process that made it, not the one that took it over");

  // Its own fork record was lost: the parent is found among the ended by the time.
  const [orphan] = world.receive(exec(51, 40, 10 * S + 3 * MS, { startTime: 10 * S })).events();
  assert.equal(orphan!.parentExecId, "0badcafe-40-900");
  const [late] = world.receive(exec(52, 40, 20 * S)).events();
  assert.equal(late!.parentExecId, null, "a process that ended before cannot be the parent");
});

Deno.test("a parent with a later start than its child is another process", () => {
  const world = new TestWorld();
  world.receive(exec(40, 1, 20 * S));
  const events = world.receive(exec(50, 40, 21 * S, { startTime: 10 * S })).events();
  assert.equal(events[1]!.parentExecId, null);
});

Deno.test("an exit without a start is a stop with what is known", () => {
  const world = new TestWorld();
  const [stop] = world.receive(exit(50, 12 * S, 10 * S, 1 << 8)).events();
  assert.equal(stop!.reason, "unseen start");
  assert.equal(stop!.execId, "0badcafe-50-1000");
  assert.deepEqual([stop!.exitCode, stop!.durationMs, stop!.name, stop!.argv], [1, 2_000, "", null]);
  assert.deepEqual(brief(world.receive(exit(50, 12 * S, 10 * S)).events()), [], "twice is once");

  // Without a start time: a process that nobody has waited for can be looked at.
  world.looks.set(60, entry(60, 9 * S, { name: "job", status: "zombie" }));
  const [looked] = world.receive(exit(60, 12 * S, null)).events();
  assert.deepEqual([looked!.execId, looked!.name, looked!.durationMs], ["0badcafe-60-900", "job", 3_000]);
  const [nothing] = world.receive(exit(61, 12 * S, null)).events();
  assert.deepEqual([nothing!.startTime, nothing!.durationMs, nothing!.name], [null, null, ""]);
  world.looks.set(62, entry(62, 50 * S));
  const [other] = world.receive(exit(62, 12 * S, null)).events();
  assert.equal(other!.name, "", "what has the pid now is a younger process");
});

Deno.test("a new start tick of a living pid is a new process", () => {
  const world = new TestWorld();
  const events = world.receive(
    exec(50, 1, 10 * S),
    fork(50, 1, 20 * S),
    exec(50, 1, 20 * S, { name: "new" }),
    exit(50, 11 * S, 10 * S),
    exit(50, 21 * S, 20 * S),
  ).events();
  assert.deepEqual(brief(events), ["start 50", "stop 50 (pid reused)", "start 50", "stop 50"]);
  assert.deepEqual(events.map((e) => e.execId), [
    "0badcafe-50-1000",
    "0badcafe-50-1000",
    "0badcafe-50-2000",
    "0badcafe-50-2000",
  ]);
  assert.deepEqual([events[1]!.endTime, events[1]!.durationMs], [null, null], "when it ended is not known");

  const byExec = new TestWorld().receive(exec(50, 1, 10 * S), exec(50, 1, 20 * S, { name: "b" })).events();
  assert.deepEqual(brief(byExec), ["start 50", "stop 50 (pid reused)", "start 50"]);
  const byExit = new TestWorld().receive(exec(50, 1, 10 * S), exit(50, 30 * S, 20 * S)).events();
  assert.deepEqual(brief(byExit), ["start 50", "stop 50 (pid reused)", "stop 50 (unseen start)"]);
});

Deno.test("an exec that comes after its exit is still a start", () => {
  const world = new TestWorld();
  const events = world.receive(
    fork(50, 1, 10 * S),
    exit(50, 10 * S + 2 * MS, 10 * S),
    exec(50, 1, 10 * S + MS, { startTime: 10 * S, name: "late" }),
  ).events();
  assert.deepEqual(brief(events), ["start 50 (fork)", "stop 50", "start 50 (late)"]);
  assert.equal(events[2]!.execId, events[1]!.execId);
  assert.equal(world.lifecycle.tracked, 0);
});

Deno.test("records without start times are joined with what the table and a look say", () => {
  const world = new TestWorld();
  world.lifecycle.baseline([entry(1, 0, { ppid: 0 })], S);
  // The kernel's start of process 50 is one tick before its fork was reported.
  const start = 10 * S - 5 * MS;
  world.receive(
    fork(50, 1, 10 * S, null),
    exec(50, 1, 10 * S + MS, { startTime: start - start % TICK_NS }),
    exit(50, 11 * S, null),
    fork(51, 1, 12 * S, null),
    exit(51, 12 * S + MS, null),
    fork(52, 1, 13 * S, null),
    exec(52, null, 13 * S + MS, {
      startTime: null,
      userId: null,
      groupId: null,
      effectiveUserId: null,
      name: "",
      executablePath: null,
      argv: null,
      argvLength: null,
    }),
    exit(52, 14 * S, null),
    exit(52, 14 * S, null),
  );
  const events = world.events();
  assert.deepEqual(brief(events), ["start 50", "stop 50", "start 51 (fork)", "stop 51", "start 52", "stop 52"]);
  assert.equal(events[0]!.execId, "0badcafe-50-999");
  assert.equal(events[1]!.execId, "0badcafe-50-999");
  assert.deepEqual([events[4]!.name, events[4]!.userId, events[4]!.ppid], ["", null, 1]);
  assert.equal(events[4]!.parentExecId, "0badcafe-1-0");

  world.looks.set(53, entry(53, 14 * S));
  world.receive(fork(53, 1, 14 * S + 12 * MS, null), fork(54, 53, 14 * S + 20 * MS, null));
  const forks = world.events(BOOT_MS + 15_000);
  assert.deepEqual(brief(forks), ["start 53 (fork)", "start 54 (fork)"]);
  assert.equal(forks[0]!.execId, "0badcafe-53-1400", "named by its own start, which a look told");
  assert.equal(forks[1]!.parentExecId, "0badcafe-53-1400");
});

Deno.test("no argument is longer than the limit, masked or not", () => {
  const world = new TestWorld();
  const many = joinArgv(Array.from({ length: 3_000 }, () => "-tokens=1"));
  const [event] = world.receive(exec(10, 1, 5 * S, { argv: many, argvLength: many.length })).events();
  assert.equal(event!.argv!.length, MAX_ARGV_BYTES);
  assert.equal(event!.argvLength, many.length);
});

Deno.test("losses are gaps in Unix time", () => {
  const world = new TestWorld();
  world.receive({ kind: "loss", recordKind: "exec", from: 5 * S, to: 6 * S, count: 17, reason: "full" });
  const { gaps } = world.lifecycle.flush(BOOT_MS);
  assert.deepEqual(gaps, [{
    source: "ebpf",
    recordKind: "exec",
    from: BOOT_MS + 5_000,
    to: BOOT_MS + 6_000,
    count: 17,
    reason: "full",
  }]);
  assert.deepEqual(world.lifecycle.flush(BOOT_MS), { events: [], gaps: [], known: [] });
});

Deno.test("a step of the clock moves the times of events and not the start of a process", () => {
  const world = new TestWorld();
  const [start] = world.receive(exec(10, 1, 5 * S)).events();
  world.offsetMs += 3_600_000.25;
  world.events();
  const [stop] = world.receive(exit(10, 7 * S, 5 * S)).events();
  assert.equal(stop!.time, BOOT_MS + 3_600_000 + 7_000);
  assert.equal(stop!.startTime, start!.startTime);
  assert.equal(stop!.durationMs, 2_000);
});

Deno.test("the table stays within its bounds, whatever is started", () => {
  const limits = { maxTracked: 100, maxEnded: 10, maxBytes: 50_000 };
  const world = new TestWorld({ limits });
  const argv = joinArgv(["app", "x".repeat(8_000)]);
  for (let i = 0; i < 500; i++) {
    world.receive(exec(1_000 + i, 999 + i, (10 + i) * S, { argv, argvLength: argv.length }));
  }
  assert.equal(world.lifecycle.tracked, 100);
  assert.equal(world.lifecycle.forgotten, 400);
  assert.ok(world.lifecycle.retainedBytes <= limits.maxBytes + 100 * 600, `${world.lifecycle.retainedBytes} bytes`);
  const starts = world.events();
  assert.ok(starts.every((event) => event.argv!.length === argv.length), "events have all arguments");
  const stops = [];
  for (let i = 0; i < 500; i++) stops.push(...world.receive(exit(1_000 + i, 900 * S, (10 + i) * S)).events());
  assert.equal(stops.length, 500);
  assert.equal(stops.filter((event) => event.reason === "unseen start").length, 400);
  assert.equal(world.lifecycle.tracked, 0);
  // Only the last ten ended are remembered; they give their bytes back as they are forgotten.
  for (let i = 0; i < 20; i++) {
    world.receive(exec(5_000, 1, (2_000 + i) * S), exit(5_000, (2_000.5 + i) * S, (2_000 + i) * S));
  }
  assert.ok(world.lifecycle.retainedBytes < 1_000, `${world.lifecycle.retainedBytes} bytes`);
});

Deno.test("processes that the table forgot are a gap with their exact number, once a second at most", () => {
  const world = new TestWorld({ limits: { maxTracked: 100, maxEnded: 10, maxBytes: 1 << 20 } });
  const gaps = [];
  for (let i = 0; i < 500; i++) {
    world.receive(exec(1_000 + i, 1, 10 * S));
    world.nowNs += 10 * MS;
    gaps.push(...world.lifecycle.flush(BOOT_MS).gaps);
  }
  gaps.push(...world.lifecycle.flush(BOOT_MS, true).gaps);
  assert.ok(gaps.length >= 4 && gaps.length <= 6, `${gaps.length} gaps in five seconds`);
  assert.equal(gaps.reduce((sum, gap) => sum + gap.count!, 0), world.lifecycle.forgotten);
  assert.equal(world.lifecycle.forgotten, 400);
  for (const gap of gaps) {
    assert.deepEqual([gap.source, gap.recordKind], ["collector", "all"]);
    assert.match(gap.reason, /^the process table was full/);
    assert.ok(gap.from <= gap.to && gap.to <= BOOT_MS + 106_000);
  }
});

Deno.test("circumstances count among the bytes of the table, and the environment goes first", () => {
  const limits = { maxTracked: 1_000, maxEnded: 10, maxBytes: 20_000 };
  const world = new TestWorld({ limits });
  const context = {
    ...NOTHING_KNOWN,
    cwd: `/${"d".repeat(499)}`,
    mountNamespace: 1,
    cgroupPath: `/${"c".repeat(499)}`,
  };
  world.receive(exec(1_000, 1, 10 * S, { context }));
  assert.ok(world.lifecycle.retainedBytes >= 1_000);
  for (let i = 1; i < 300; i++) {
    world.receive(exec(1_000 + i, 1, 10 * S, { context, executablePath: "/x".repeat(500) }));
  }
  const starts = world.events();
  assert.ok(starts.every((event) => event.context!.cwd === context.cwd), "events have all of it");
  assert.ok(world.lifecycle.retainedBytes <= 2 * limits.maxBytes, `${world.lifecycle.retainedBytes} bytes`);
  assert.ok(world.lifecycle.forgotten > 200, "what even a lean form has no room for is forgotten");
  assert.equal(world.lifecycle.tracked + world.lifecycle.forgotten, 300);
});

Deno.test("names that an attacker chose go through as they are", () => {
  const world = new TestWorld();
  const name = "\u001b[31m\n)(\u202e";
  const [event] = world.receive(exec(10, 1, 5 * S, { name, executablePath: `/tmp/${name}` })).events();
  assert.deepEqual([event!.name, event!.executablePath], [name, `/tmp/${name}`]);
});

/** Records of a few pids at a few times, in any order. */
const anyRecord: fc.Arbitrary<SourceRecord> = fc.record({
  kind: fc.constantFrom("fork", "exec", "exit"),
  pid: fc.integer({ min: 1, max: 4 }),
  ppid: fc.integer({ min: 0, max: 5 }),
  time: fc.integer({ min: 0, max: 40 }).map((n) => n * S / 4),
  known: fc.boolean(),
  age: fc.integer({ min: 0, max: 8 }),
}).map(({ kind, pid, ppid, time, known, age }): SourceRecord => {
  const startTime = known ? Math.max(0, time - age * S / 4) : null;
  if (kind === "fork") return fork(pid, ppid, time, known ? time : null);
  return kind === "exec" ? exec(pid, ppid, time, { startTime }) : exit(pid, time, startTime);
});

Deno.test("no order of records makes a process stop twice or throws", () => {
  fc.assert(
    fc.property(fc.array(anyRecord, { maxLength: 40 }), fc.boolean(), (records, withSnapshots) => {
      const world = new TestWorld();
      const stops = new Map<string, number>();
      const count = (events: readonly ProcessEvent[]): void => {
        for (const event of events) {
          assert.ok(event.execId !== "" && Number.isInteger(event.time));
          if (event.kind !== "stop") continue;
          // Ends of unknown processes have no name of their own.
          if (event.reason !== "unseen start" && event.startTime !== null) {
            const key = `${event.execId} ${event.startTime}`;
            stops.set(key, (stops.get(key) ?? 0) + 1);
          }
        }
      };
      records.forEach((record, index) => {
        world.receive(record);
        if (withSnapshots && index % 7 === 6) world.lifecycle.reconcile([entry(2, 3 * S), entry(3, 5 * S)], 6 * S);
        count(world.events(BOOT_MS + index * 300));
      });
      world.lifecycle.reconcile([], 1_000 * S);
      count(world.events(BOOT_MS + 1_000_000));
      assert.equal(world.lifecycle.tracked, 0);
      // A process that was lost and comes back (late records, snapshots of the past) may be reported anew, not more.
      for (const [key, times] of stops) assert.ok(times <= 1 || withSnapshots, `${key} stopped ${times} times`);
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("a process is never its own parent, whatever a record says", () => {
  const world = new TestWorld();
  world.receive(exec(50, 1, 11 * S, { startTime: 10 * S }), exec(50, 50, 10 * S, { startTime: 10 * S }));
  const events = world.events();
  assert.deepEqual(brief(events), ["start 50", "start 50 (late)"]);
  assert.equal(events[1]!.execId, events[0]!.execId);
  assert.equal(events[1]!.parentExecId, null);
});
