import assert from "node:assert/strict";
import { joinArgv } from "../../proto/argv.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { BOOT_MS, brief, entry, exec, exit, fork, MS, S, TestWorld } from "../support/lifecycle_world.ts";

function suspicious(events: readonly ProcessEvent[]): [number, string | null, string | null][] {
  return events.filter((e) => e.kind === "suspicious").map((e) => [e.pid, e.severity, e.reason]);
}

Deno.test("a start in the future is marked once, and its events are not dropped", () => {
  const world = new TestWorld();
  const events = world.receive(
    exec(10, 1, 100 * S + 50 * MS), // the two clocks may differ a little
    exec(11, 1, 100 * S, { startTime: 4_000 * S }),
    exec(11, 1, 100 * S + MS, { startTime: 4_000 * S }),
    exit(11, 101 * S, 4_000 * S),
  ).events();
  assert.deepEqual(brief(events.filter((e) => e.kind !== "suspicious")), [
    "start 10",
    "start 11",
    "start 11 (exec)",
    "stop 11",
  ]);
  assert.deepEqual(suspicious(events), [[11, "high", "its start time lies 3900.0 s in the future"]]);
  const mark = events.find((e) => e.kind === "suspicious")!;
  assert.equal(mark.execId, events[1]!.execId);
  assert.equal(mark.executablePath, "/usr/bin/true");
});

Deno.test("a start before boot is marked, also when its time cannot be told", () => {
  const world = new TestWorld();
  world.offsetMs = 1_000;
  world.events();
  const events = world.receive(exec(10, 1, 5 * S, { startTime: -30 * S })).events();
  assert.deepEqual(suspicious(events), [[10, "high", "its start time lies before the boot of the host"]]);
  assert.ok(events.every((event) => event.execId === "0badcafe-10-0"));
  assert.ok(events.every((event) => event.startTime === 0), "the wire knows no time before 1970");
});

Deno.test("a start before that of the parent is marked, a reused pid is not", () => {
  const world = new TestWorld();
  world.receive(exec(40, 1, 20 * S));
  const events = world.receive(exec(50, 40, 21 * S, { startTime: 10 * S })).events();
  assert.deepEqual(suspicious(events), [
    [50, "medium", "its start time lies before that of its parent, process 40"],
  ]);
  // 60 makes 61 and ends, and its pid goes to another before 61 runs its program.
  world.receive(
    exec(60, 1, 30 * S),
    fork(61, 60, 31 * S),
    exit(60, 32 * S, 30 * S),
    exec(60, 1, 33 * S),
    exec(61, 60, 34 * S, { startTime: 31 * S }),
  );
  assert.deepEqual(suspicious(world.events()), []);
});

Deno.test("arguments of a kernel thread on a process that runs a file are marked, where they come first and once", () => {
  const world = new TestWorld();
  const disguised = { argv: joinArgv(["[kworker/0:1]"]) };
  world.lifecycle.baseline([
    entry(2, 0, { kernelThread: true, executablePath: null, argv: joinArgv(["[kthreadd]"]) }),
    entry(20, 5 * S, { ...disguised, executablePath: "/tmp/x" }),
    entry(21, 5 * S),
  ], 6 * S);
  assert.deepEqual(suspicious(world.events()), [
    [20, "high", "its arguments are those of a kernel thread, but it runs /tmp/x"],
  ]);
  world.receive(
    exec(10, 1, 7 * S, { argv: joinArgv(["[my thing]", "", ""]) }),
    exec(10, 1, 8 * S, {
      ...disguised,
      startTime: 7 * S,
    }),
  );
  assert.deepEqual(suspicious(world.events()), [
    [10, "medium", "its arguments are those of a kernel thread, but it runs /usr/bin/true"],
  ]);
  // Rewritten while it runs: the rest of the old arguments is blanks or empty.
  const rewritten = entry(21, 5 * S, { argv: joinArgv(["[ksoftirqd/1]   ", "", ""]) });
  const same = [entry(20, 5 * S, { ...disguised, executablePath: "/tmp/x" })];
  world.lifecycle.reconcile([rewritten, ...same], 9 * S);
  world.lifecycle.reconcile([{ ...rewritten, argv: joinArgv(["[kworker/1]"]) }, ...same], 10 * S);
  const events = world.events();
  assert.deepEqual(suspicious(events), [
    [21, "high", "its arguments are those of a kernel thread, but it runs /usr/bin/sleep"],
  ]);
  assert.equal(events.filter((e) => e.kind === "modify" && e.pid === 21).length, 2, "the changes themselves are told");
});

Deno.test("what only looks a little like it is not marked", () => {
  const world = new TestWorld();
  const harmless = [
    ["[lxc monitor] /var/lib/lxc c1"],
    ["[", "-f", "x", "]"],
    ["sshd: me [priv]"],
    ["[a]", "b"],
    ["["],
    [""],
  ];
  harmless.forEach((args, i) => world.receive(exec(10 + i, 1, 5 * S, { argv: joinArgv(args) })));
  world.receive(exec(50, 1, 5 * S, { argv: joinArgv(["[kworker/0:1]"]), executablePath: null }));
  assert.deepEqual(suspicious(world.events()), []);
});

Deno.test("a disguise that the last run has told is not told again", () => {
  const disguised = entry(20, 5 * S, { argv: joinArgv(["[kworker/0:1]"]) });
  const first = new TestWorld();
  first.lifecycle.baseline([disguised], 6 * S);
  assert.equal(suspicious(first.events()).length, 1);
  const processes = new Map(first.lifecycle.known().map((state) => [state.pid, state]));
  const second = new TestWorld({ watchingSince: 200 * S });
  second.lifecycle.baseline([disguised], 200 * S, { bootTag: "0badcafe", time: 100_000, processes });
  second.lifecycle.settle([]);
  assert.deepEqual(brief(second.events(BOOT_MS)), []);
});
