import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { joinArgv, splitArgv } from "../../proto/argv.ts";
import { eventRow } from "../../proto/event_row.ts";
import { BLANK_CONTEXT, MAX_ARGV_BYTES, type ProcessEvent } from "../../proto/process_event.ts";
import { Lifecycle } from "../../collector/lifecycle.ts";
import { keyedDigest } from "../../collector/redaction/marks.ts";
import type { RedactionMode } from "../../collector/redaction_mode.ts";
import type { ExecRecord, RawContext, TableEntry } from "../../collector/sources/source.ts";
import { innocentArguments, plantSecrets } from "../support/planted.ts";

const S = 1e9;
const KEYED: RedactionMode = { kind: "keyed", digest: keyedDigest(new Uint8Array(32).fill(1)) };
const RAW: RawContext = { ...BLANK_CONTEXT, environment: null, environmentCut: false };

function lifecycleOf(redaction: RedactionMode, isKept: (name: string) => boolean = () => true): Lifecycle {
  return new Lifecycle({
    isKept,
    bootId: "0badcafe-1111-2222-3333-444444444444",
    source: { description: { name: "ebpf", sees: "", misses: [], unknownColumns: [] }, look: () => null },
    names: { userName: () => null, groupName: () => null },
    clock: { bootTimeNs: () => 100 * S, bootOffsetMs: () => 0, sleptNs: () => 0 },
    redaction,
  });
}

function exec(pid: number, ppid: number, args: readonly string[], environment: readonly string[] | null): ExecRecord {
  const argv = joinArgv(args);
  return {
    kind: "exec",
    time: pid * S,
    pid,
    ppid,
    startTime: pid * S,
    userId: 0,
    groupId: 0,
    effectiveUserId: 0,
    name: "app",
    executablePath: "/bin/app",
    argv,
    argvLength: argv.length,
    inode: null,
    device: null,
    namespacePid: null,
    context: { ...RAW, environment: environment?.map(latin1) ?? null },
  };
}

function entry(pid: number, args: readonly string[], more: Partial<TableEntry> = {}): TableEntry {
  const argv = joinArgv(args);
  return {
    pid,
    ppid: 1,
    startTime: pid * S,
    name: "app",
    executablePath: "/bin/app",
    argv,
    argvLength: argv.length,
    userId: 0,
    groupId: 0,
    effectiveUserId: 0,
    cpuTime: 0,
    memoryUsage: 0,
    threads: 1,
    namespacePid: null,
    context: RAW,
    status: "sleeping",
    kernelThread: false,
    ...more,
  };
}

/** As sources give variables: a character for each byte. */
function latin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}

/** Everything that leaves the collector of an event, as the store will have it. */
function stored(event: ProcessEvent): string {
  return JSON.stringify(eventRow(event, 1, "c"));
}

Deno.test("an execution's arguments, its environment and its children's rows say the same mark", () => {
  const lifecycle = lifecycleOf(KEYED);
  lifecycle.receive(exec(10, 1, ["app", "--password", "hunter2"], ["LD_PRELOAD=/x.so", "DB_PASSWORD=hunter2"]));
  lifecycle.receive(exec(11, 10, ["child"], null));
  const [parent, child] = lifecycle.flush(0).events as [ProcessEvent, ProcessEvent];
  const mark = splitArgv(parent.argv!)[2]!;
  assert.match(mark, /^\[REDACTED:[0-9a-f]{8}\]$/);
  assert.equal(parent.context!.environment, `{"LD_PRELOAD":"/x.so","DB_PASSWORD":"${mark}"}`);
  assert.equal(child.parentCommandLine, `app --password ${mark}`);
  assert.equal(child.context!.environment, null);
  assert.ok(![parent, child].some((event) => stored(event).includes("hunter2")));
  assert.equal(lifecycle.masked, 2);
});

Deno.test("a fork has its parent's environment, a snapshot takes it from nobody", () => {
  const lifecycle = lifecycleOf(KEYED);
  const environment = ["API_KEY=hunter2"];
  lifecycle.receive(exec(10, 1, ["app"], environment));
  lifecycle.receive({
    kind: "fork",
    time: 12 * S,
    pid: 12,
    ppid: 10,
    startTime: 12 * S,
    namespacePid: 12,
    pidNamespace: 7,
  });
  const states = lifecycle.reconcile([entry(10, ["app"], { userId: 5 }), entry(12, ["app"], { ppid: 10 })], 50 * S);
  const events = lifecycle.flush(60_000).events;
  assert.deepEqual(events.map((event) => `${event.kind} ${event.pid}`), ["start 10", "modify 10", "start 12"]);
  const [masked] = new Set(events.map((event) => event.context!.environment));
  assert.match(masked!, /^\{"API_KEY":"\[REDACTED:[0-9a-f]{8}\]"\}$/);
  for (const one of [...events, ...states]) assert.equal(one.context!.environment, masked);
});

Deno.test("a process that rewrites its arguments is masked in the change, and is changed once", () => {
  const lifecycle = lifecycleOf(KEYED);
  lifecycle.receive(exec(10, 1, ["app", "--token=first"], null));
  lifecycle.flush(0);
  lifecycle.reconcile([entry(10, ["app", "--token=first"])], 50 * S);
  assert.deepEqual(lifecycle.flush(0).events, [], "the same secret again");
  lifecycle.reconcile([entry(10, ["app", "--token=second"])], 60 * S);
  lifecycle.reconcile([entry(10, ["app", "--token=second"])], 70 * S);
  const events = lifecycle.flush(0).events;
  assert.deepEqual(events.map((event) => event.modifiedFields), [["command_line"]]);
  assert.match(splitArgv(events[0]!.argv!)[1]!, /^--token=\[REDACTED:[0-9a-f]{8}\]$/);
});

Deno.test("an argument that the limit cuts has a mark without digits", () => {
  const lifecycle = lifecycleOf(KEYED);
  lifecycle.receive(exec(10, 1, ["app", "--token", `hunter2${"x".repeat(MAX_ARGV_BYTES)}`], null));
  const [event] = lifecycle.flush(0).events as [ProcessEvent];
  assert.deepEqual(splitArgv(event.argv!), ["app", "--token", "[REDACTED]"]);
  const many = Array.from({ length: 3_000 }, () => "-px");
  lifecycle.receive(exec(11, 1, ["mysql", ...many], null));
  assert.equal((lifecycle.flush(0).events[0] as ProcessEvent).argv!.length, MAX_ARGV_BYTES);
});

Deno.test("with redaction off everything is as it was", () => {
  const lifecycle = lifecycleOf({ kind: "off", file: "/etc/daemoneye/config.yaml" });
  lifecycle.receive(exec(10, 1, ["app", "--password", "hunter2"], ["DB_PASSWORD=hunter2"]));
  const [event] = lifecycle.flush(0).events as [ProcessEvent];
  assert.deepEqual(splitArgv(event.argv!), ["app", "--password", "hunter2"]);
  assert.equal(event.context!.environment, `{"DB_PASSWORD":"hunter2"}`);
  assert.equal(lifecycle.masked, 0);
});

Deno.test("of 200 planted secrets no event and no state holds any, and 200 innocent executions are whole", () => {
  const lifecycle = lifecycleOf(KEYED);
  const plants = plantSecrets(), innocents = innocentArguments();
  plants.forEach(({ args, variable }, i) => lifecycle.receive(exec(1_000 + i, 1, args, [variable])));
  plants.forEach((_, i) => lifecycle.receive(exec(2_000 + i, 1_000 + i, ["child"], null)));
  innocents.forEach((args, i) => lifecycle.receive(exec(3_000 + i, 1, args, args.map((arg, n) => `LD_${n}=${arg}`))));
  const table = [...plants.map(({ args }, i) => entry(1_000 + i, [...args, "--more"]))];
  const states = lifecycle.reconcile(table, 9_000 * S);
  const { events } = lifecycle.flush(0);
  const text = events.map(stored).join("\n") + JSON.stringify(states.map((state) => splitArgv(state.argv!)));
  for (const { core } of plants) {
    for (const part of [core.slice(0, 8), core.slice(8, 16), core.slice(-8)]) assert.ok(!text.includes(part), part);
  }
  for (const event of events.filter((event) => event.kind === "start" && event.pid < 2_000)) {
    assert.match(String(event.context!.environment), /\[REDACTED:[0-9a-f]{8}\]/);
  }
  innocents.forEach((args, i) => {
    const event = events.find((one) => one.pid === 3_000 + i && one.kind === "start")!;
    assert.deepEqual(splitArgv(event.argv!), args);
    assert.deepEqual(Object.values(JSON.parse(event.context!.environment!)), args);
  });
});

Deno.test("a variable that rules alone ask for is in the start of its program, and in nothing that follows", () => {
  const world = lifecycleOf(KEYED, (name) => name === "LD_X");
  const baseline = world.baseline([
    entry(1, ["init"], { context: { ...RAW, environment: ["LD_X=0", "GIT_SSH=early"] } }),
  ]);
  assert.deepEqual(baseline.map(({ context }) => context!.environment), [`{"LD_X":"0"}`]);
  world.receive(exec(5, 1, ["sh"], ["LD_X=1", "GIT_SSH=asked"]));
  world.receive({ kind: "fork", time: 6 * S, pid: 6, ppid: 5, startTime: 6 * S, namespacePid: null, pidNamespace: 7 });
  const [start, forked] = world.flush(100_000_000).events;
  assert.equal(start!.context!.environment, `{"LD_X":"1","GIT_SSH":"asked"}`);
  assert.deepEqual([forked!.reason, forked!.context!.environment], ["fork", `{"LD_X":"1"}`]);

  world.accuse(5, 7 * S, "high", "for a test");
  const later = world.flush(100_000_000).events;
  const states = world.reconcile([entry(5, ["sh"], { userId: 9 }), entry(6, ["sh"])], 50 * S);
  const last = [...later, ...world.flush(100_000_000).events];
  assert.deepEqual(last.map(({ kind }) => kind).sort(), ["modify", "stop", "suspicious"]);
  for (const item of [...last, ...states]) assert.ok(!JSON.stringify(item).includes("asked"), JSON.stringify(item));
});
