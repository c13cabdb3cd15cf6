/** Every operation of the table, asked for through the spool, on the parts of an agent that it works on. */
import assert from "node:assert/strict";
import { OPERATIONS } from "../../../agent/requests/operations.ts";
import { responseTo } from "../../../proto/bus/answering.ts";
import { failure, OPERATIONS as CALLS, type RpcRequest, success } from "../../../proto/bus/rpc.ts";
import { decodeStatement } from "../../../proto/ledger/statement.ts";
import type { Ending, RequestArguments } from "../../../proto/request.ts";
import { refusal, type ResponseAnswer } from "../../../proto/response/action.ts";
import { commitEvents, newAlert, openTestStream, rows, start, until } from "../support.ts";
import { ServiceWorld } from "./service_world.ts";

Deno.test("each operation does what it says, and is in the ledger by who asked", async () => {
  await using world = new ServiceWorld();
  const tried = new Set<string>();
  const ask = (operation: string, args: RequestArguments = {}): Promise<Ending> => {
    tried.add(operation);
    return world.ask(operation, args);
  };
  commitEvents(world.store!, openTestStream(world.store!), [start(1, { userId: Deno.uid()!, userName: "the-tester" })]);
  const by = `user ${Deno.uid()} (the-tester)`;

  const status = await ask("status");
  assert.deepEqual([status.outcome, status.degraded], ["done", false]);
  assert.match(status.text, /rules: 2 active, 0 draft, 0 disabled, 0 rejected\ncollectors: host\n/);
  assert.deepEqual(world.notes().map(({ what, by, outcome }) => [what, by, outcome]), [["status", by, "done"]]);

  Deno.writeTextFileSync(`${world.rules}/broken.yml`, "id: [");
  const reloaded = await ask("rules reload");
  assert.deepEqual([reloaded.degraded, reloaded.value], [true, { active: 2, disabled: 0, draft: 0, rejected: 1 }]);
  assert.equal((await ask("rules disable", { rule: "rule-a", reason: "noisy" })).outcome, "done");
  assert.deepEqual(world.detection.loaded.active.map(({ id }) => id), ["rule-b"]);
  assert.equal((await ask("rules enable", { rule: "rule-a" })).outcome, "done");
  assert.deepEqual(world.detection.loaded.active.map(({ id }) => id), ["rule-a", "rule-b"]);
  assert.deepEqual(world.notes().map(({ what, outcome }) => `${what}: ${outcome}`), [
    "rules reload: accepted",
    "rules reload: done",
    'rules disable reason="noisy" rule="rule-a": accepted',
    'rules disable reason="noisy" rule="rule-a": done',
    'rules enable rule="rule-a": accepted',
    'rules enable rule="rule-a": done',
  ]);

  const assignments = ["agent.retention_hours=2", "agent.max_connections=3", "agent.store_max_bytes=99999999"];
  assert.deepEqual((await ask("config set", { assignments })).value, { version: 1 });
  assert.deepEqual(world.limits, { retentionMs: 7_200_000, alertRetentionMs: 0, maxBytes: 99_999_999 });
  assert.deepEqual(world.connections, { maxConnections: 3, idleTimeoutMs: 30_000 });
  const notes = world.store!.notesFor("c").filter(({ action }) => action === "configurationChanged");
  assert.equal(decodeStatement("configurationChanged", notes[0]!.payload).value.settings["agent.retention_hours"], "2");
  assert.match(
    (await ask("config show")).text,
    /^agent\.retention_hours = 2 {2}\(request of user \d+ \(the-tester\) at /m,
  );
  assert.equal((await ask("config revert")).outcome, "done");
  assert.deepEqual(world.connections, { maxConnections: 16, idleTimeoutMs: 30_000 });

  await alertsAreHandled(world, ask, by);
  await sinksAreHandled(world, ask);
  await responsesArePassedOn(world, ask, by);
  await analysesAreAsked(ask);

  assert.deepEqual([...tried].sort(), namesOf(false), "an operation of the table was not tried");
});

Deno.test("collectors are asked by calls and given tasks; what comes of it is said in words and values", async () => {
  await using world = new ServiceWorld();
  const tried = new Set<string>();
  await collectorsAreAsked(world, (operation, args = {}) => {
    tried.add(operation);
    return world.ask(operation, args);
  });
  assert.deepEqual([...tried].sort(), namesOf(true), "an operation of the table was not tried");
  const notes = world.notes().map(({ what, outcome }) => `${what}: ${outcome?.split(":")[0]}`);
  assert.deepEqual(notes.slice(0, 3), [
    'collector restart id="host": accepted',
    'collector restart id="host": refused',
    'collector start id="host": accepted',
  ]);
});

/** Names of the table's operations: those of collectors and tasks, or the others. */
function namesOf(areOfCollectors: boolean): string[] {
  return Object.keys(OPERATIONS).filter((name) => /^(?:collector |task$)/.test(name) === areOfCollectors).sort();
}

type Ask = (operation: string, args?: RequestArguments) => Promise<Ending>;

async function collectorsAreAsked(world: ServiceWorld, ask: Ask): Promise<void> {
  const { collector } = world, restart = await ask("collector restart", { id: "host" });
  assert.deepEqual([restart.outcome, restart.text], [
    "refused",
    "nobody supervises this agent; use what started it, such as systemctl",
  ]);
  world.supervision = {
    isThere: true,
    request: (action, id) => Promise.resolve({ accepted: true, detail: `${action} of ${id}` }),
  };
  for (const verb of ["start", "stop", "restart"]) {
    assert.equal((await ask(`collector ${verb}`, { id: "host" })).text, `${verb} of host`);
  }
  assert.equal(collector.came.length, 0);
  for (
    const [operation, more, text, call] of [
      ["health", {}, "host is degraded\nlog: degraded: it is full", "health_check"],
      [
        "capabilities",
        {},
        `host 1\noperations: ${CALLS.join(", ")}\ntasks: enumerate_processes, check_process_hash`,
        "get_capabilities",
      ],
      ["pause", { within: "3s" }, "it did pause", "pause"],
      ["resume", {}, "it did resume", "resume"],
      ["shutdown", {}, "it did graceful_shutdown", "graceful_shutdown"],
      ["shutdown", { how: "force" }, "it did force_shutdown", "force_shutdown"],
      ["config", { assignments: ["a=5", "b=c=d"] }, "a = 5\nversion 2; changed: a", "update_config"],
    ] as const
  ) {
    const { outcome, text: said, degraded } = await ask(`collector ${operation}`, { id: "host", ...more });
    assert.deepEqual([outcome, said, degraded], ["done", text, operation === "health"]);
    assert.equal(collector.came.at(-1)!.operation, call);
  }
  const { payload } = collector.came.at(-1)!;
  assert.ok(payload.kind === "config");
  assert.deepEqual(payload.update, { expectedVersion: 0, validateOnly: false, changes: { a: "5", b: "c=d" } });
  assert.match((await ask("collector config", { id: "host", assignments: ["a=1", "a=2"] })).text, /named twice/);
  assert.match((await ask("collector pause", { id: "host", within: "9m" })).text, /^within is 110s at most, not 9m/);
  const gone = await ask("collector pause", { id: "none" });
  assert.deepEqual([gone.outcome, gone.text], ["refused", "unavailable: collector none is not connected"]);
  collector.answer = () => failure("internal", "INTERNAL", "it broke");
  assert.deepEqual((await ask("collector pause", { id: "host" })).outcome, "failed");
  collector.answer = null;

  const list = await ask("task", { type: "enumerate_processes", pids: "7", names: "sh,dash", path: "/bin/*" });
  assert.deepEqual([list.outcome, /answers success without a result/.test(list.text)], ["failed", true]);
  const task = (): unknown => (collector.came.at(-1)!.payload as { task: unknown }).task;
  const filter = { processNames: ["sh", "dash"], pids: [7], executablePattern: "/bin/*" };
  assert.deepEqual((task() as { processFilter: unknown }).processFilter, filter);
  const usual = (pid: number) => ({
    ...{ pid, ppid: 1, name: "sh", executablePath: "/bin/dash", commandLine: ["sh", "x".repeat(200), "\x1b[2J"] },
    ...{ startTime: 5, cpuUsage: null, memoryUsage: null, executableHash: null, hashAlgorithm: null, userId: "0" },
    ...{ accessible: true, fileExists: true, collectionTime: 0, fuzzyHash: null, onDiskMismatch: false },
    fuzzyHashDegraded: false,
  });
  let count = 2;
  const capable = collector.answer;
  collector.answer = (request) => {
    if (request.operation === "get_capabilities") {
      return success({ kind: "capabilities", operations: CALLS, taskTypes: ["enumerate_processes"], version: "1" });
    }
    const result = {
      ...{ taskId: "x", success: true, errorMessage: null, hashResult: null },
      processes: Array.from({ length: count }, (_, i) => usual(i + 10)),
    };
    return success({ kind: "result", result });
  };
  const two = await ask("task", { type: "enumerate_processes", target: "all" });
  assert.deepEqual([two.outcome, two.degraded], ["done", false], two.text);
  assert.equal(two.text.includes("\x1b"), false);
  assert.match(two.text, /^host: 2 processes\n2 processes\n10 1 0 \/bin\/dash x{200} .*\n11 1 /);
  count = 5_000;
  const many = await ask("task", { type: "enumerate_processes" }), value = many.value as { count: number };
  assert.deepEqual([many.outcome, many.degraded, value.count], ["done", true, 5_000]);
  assert.match(many.text, /\nand 49\d\d more$/);
  assert.ok((many.value as { processes: unknown[] }).processes.length > 100);
  for (
    const [wrong, why] of [
      [{ type: "verify_executable" }, /needs --path/],
      [{ type: "check_process_hash", path: "/x", pids: "1" }, /takes a path, no processes/],
      [{ type: "enumerate_processes", expect: "0".repeat(64) }, /takes no hash/],
      [{ type: "monitor_process_tree", pids: "1", for: "3m" }, /for must be less than 110s/],
      [{ type: "track_file_operations" }, /no collector sees the domain filesystem/],
      [{ type: "check_process_hash", path: "/x" }, /host does not have that task/],
      [{ type: "dance" }, /type is not what it should be/],
    ] as const
  ) {
    const { outcome, text } = await ask("task", wrong);
    assert.deepEqual([outcome, why.test(text)], ["refused", true], text);
  }
  collector.answer = capable;
}

async function responsesArePassedOn(world: ServiceWorld, ask: Ask, by: string): Promise<void> {
  world.notes();
  const came: [string, RpcRequest][] = [], process = "1a2b3c4d-812-99", reason = "it mines";
  let answer: ResponseAnswer = { outcome: "done", text: "SIGSTOP was sent", processes: [process], place: "" };
  world.respond = (by, request) => {
    came.push([by, request]);
    return Promise.resolve(responseTo(request, success({ kind: "response", answer }), 0));
  };
  const none = await ask("respond stop", { process, reason });
  assert.deepEqual([none.outcome, none.text], ["refused", "No collector is connected that sees processes"]);
  world.responders = ["host", "other"];
  assert.match((await ask("respond stop", { process, reason })).text, /^Name one with --collector: host, other$/);
  // An execution of a process names the process
  const stopped = await ask("respond stop", { process: `${process}-104`, reason, collector: "other", rule: "odd" });
  assert.deepEqual([stopped.outcome, stopped.text], ["done", "SIGSTOP was sent"]);
  assert.deepEqual(stopped.value, { outcome: "done", place: "", processes: [process] });
  const [caller, { operation, target, payload }] = came[0]!;
  assert.deepEqual([caller, operation, target], [by, "respond", "other"]);
  const common = { process, by, reason, rule: "", byRule: false, seconds: 0, tree: false };
  assert.deepEqual(payload, { kind: "response", request: { ...common, action: "stop", rule: "odd" } });
  world.responders = ["host"];
  for (
    const [name, args, more] of [
      ["respond resume", {}, { action: "resume" }],
      ["respond kill", { tree: "yes" }, { action: "kill", tree: true }],
      ["respond trace", { for: "2m" }, { action: "trace", seconds: 120 }],
      ["respond evidence", {}, { action: "evidence" }],
    ] as const
  ) {
    assert.equal((await ask(name, { process, reason, ...args })).outcome, "done", name);
    assert.deepEqual(came.at(-1)![1].payload, { kind: "response", request: { ...common, ...more } });
  }
  answer = refusal("process 812 is protected: it is the first process of the host");
  assert.deepEqual((await ask("respond kill", { process, reason })).text, answer.text);
  answer = { ...answer, outcome: "failed" };
  assert.equal((await ask("respond kill", { process, reason })).outcome, "failed");
  for (const bad of ["812", "1a2b3c4d-0-99", "1a2b3c4d-812", "../1", "1a2b3c4d-812-99-1-1"]) {
    assert.equal((await ask("respond kill", { process: bad, reason })).outcome, "refused", bad);
  }
  assert.equal((await ask("respond trace", { process, reason, for: "2h" })).outcome, "refused");
  world.respond = (_, request) =>
    Promise.resolve(responseTo(request, failure("unavailable", "NOT_CONNECTED", "unavailable: gone"), 0));
  assert.deepEqual((await ask("respond kill", { process, reason })).text, "unavailable: gone");
  const notes = world.notes().filter(({ what }) => what.startsWith("respond resume"));
  assert.deepEqual(notes.map(({ by, outcome }) => [by, outcome]), [[by, "accepted"], [by, "done"]]);
}

async function analysesAreAsked(ask: Ask): Promise<void> {
  const analysed = await ask("analyze file", { path: "/opt/x" });
  assert.deepEqual([analysed.outcome, analysed.text], [
    "done",
    "analysis 7 is completed\n  hash: completed\nkind: elf",
  ]);
  assert.equal((await ask("analyze file", { path: "/a/../b" })).outcome, "refused");
  assert.equal((await ask("analyze file", { path: "opt/x" })).outcome, "refused");
  assert.match((await ask("analyze process", { pid: "7" })).text, /The store knows no process 7 that is alive/);
}

async function alertsAreHandled(world: ServiceWorld, ask: Ask, by: string): Promise<void> {
  world.raise("odd@1");
  world.notes();
  const words = ({ outcome, text }: Ending): string => `${outcome}: ${text}`;
  assert.equal(
    words(await ask("alerts ack", { id: "odd@1", text: "I look" })),
    "done: The alert odd@1 is acknowledged",
  );
  assert.match(words(await ask("alerts ack", { id: "odd@1" })), /^refused: The alert odd@1 is acknowledged already/);
  assert.match(words(await ask("alerts ack", { id: "odd@2" })), /^refused: There is no alert odd@2; alerts show/);
  assert.equal((await ask("alerts close", { id: "odd@1", text: "it was us" })).outcome, "done");
  assert.equal((await ask("alerts reopen", { id: "odd@1" })).outcome, "done");
  const history = rows(world.path, "SELECT action, actor, text FROM alert_history ORDER BY entry_id");
  assert.deepEqual(history.map((row) => ({ ...row })), [
    { action: "acknowledged", actor: by, text: "I look" },
    { action: "closed", actor: by, text: "it was us" },
    { action: "reopened", actor: by, text: "" },
  ]);
  assert.deepEqual(world.notes().map(({ what, by: who, outcome }) => [what, who, outcome?.split(":")[0]]).slice(0, 4), [
    ['alerts ack id="odd@1" text="I look"', by, "accepted"],
    ['alerts ack id="odd@1" text="I look"', by, "done"],
    ['alerts ack id="odd@1"', by, "accepted"],
    ['alerts ack id="odd@1"', by, "refused"],
  ]);

  const mutedBy = (alert: string): unknown =>
    rows(world.path, `SELECT muted_by FROM alerts WHERE alert_id = '${alert}'`)[0]!["muted_by"];
  const silence = { terms: ["rule=odd", "severity=high"], for: "2h", reason: "an exercise" };
  const added = await ask("silence add", silence), id = (added.value as { id: string }).id;
  assert.match(words(added), /^done: The silence s\w{10} holds until \d{4}-.*; 'silence expire s\w{10}' ends it$/);
  world.raise("odd@3");
  assert.equal(mutedBy("odd@3"), id);
  const [mute] = rows(world.path, "SELECT reason, created_by, terms FROM alert_mutes");
  assert.deepEqual([mute!["reason"], mute!["created_by"]], ["an exercise", by]);
  assert.deepEqual(JSON.parse(mute!["terms"] as string).match, { fields: { rule: "odd" }, atMost: "high" });
  assert.equal((await ask("silence expire", { id })).outcome, "done");
  assert.match(words(await ask("silence expire", { id })), /^refused: No silence or inhibition s\w+ holds/);
  world.raise("odd@4");
  assert.equal(mutedBy("odd@4"), null);
  for (
    const [wrong, reason] of [
      [{ terms: ["rule=*"] }, /holds for everything/],
      [{ terms: ["severity=high"] }, /nothing may mute everything/],
      [{ terms: ["rulle=odd"] }, /There is no field rulle; there are rule, user/],
      [{ terms: ["rule=a", "severity=worst"] }, /There is no severity worst/],
      [{ terms: ["rule=a", "rule=b"] }, /rule is named twice/],
      [{ terms: ["odd"] }, /terms is not what it should be/],
      [{ for: "900d" }, /It must end/],
      [{ for: "soon" }, /for is not what it should be/],
      [{ reason: " " }, /Say why/],
    ] as const
  ) {
    assert.match(words(await ask("silence add", { ...silence, ...wrong })), reason);
  }
  assert.equal(rows(world.path, "SELECT 1 FROM alert_mutes").length, 1);

  const inhibition = {
    ...{ terms: ["source.rule=cause", "target.rule=odd", "target.severity=high"], equal: "user,container" },
    ...{ fresh: "10m", for: "1h", reason: "follows from the other" },
  };
  const inhibited = await ask("inhibition add", inhibition), of = (inhibited.value as { id: string }).id;
  assert.equal(inhibited.outcome, "done", inhibited.text);
  world.store!.addAlerts([newAlert("cause@1", { ruleId: "cause" })], undefined, Date.now(), world.manager);
  world.raise("odd@5");
  assert.equal(mutedBy("odd@5"), of);
  assert.match(words(await ask("inhibition add", { ...inhibition, equal: "colour" })), /There is no field colour/);
  assert.match(
    words(await ask("inhibition add", { ...inhibition, terms: ["target.rule=odd"] })),
    /^refused: Name the alert that keeps others back/,
  );
  assert.equal((await ask("inhibition expire", { id: of })).outcome, "done");
  assert.equal(rows(world.path, "SELECT 1 FROM alert_mutes WHERE ended_by IS NOT NULL").length, 2);
}

async function sinksAreHandled(world: ServiceWorld, ask: Ask): Promise<void> {
  const { sink } = world, dead = (): number => world.store!.counters["alerts_dead"]!;
  await until("what is owed is delivered", () => world.store!.owedDeliveries === 0);
  sink.answer = "refuses";
  world.raise("dead@1", "dead@2", "dead@3");
  await until("they are dead letters", () => dead() === 3);
  assert.match((await ask("dead retry", { sink: "seim" })).text, /There is no sink seim; there are siem/);
  assert.match((await ask("dead retry", { sink: "siem", id: "odd@1" })).text, /No such dead letter of siem is there/);
  sink.answer = "takes";
  assert.equal(
    (await ask("dead retry", { sink: "siem", id: "dead@1" })).text,
    "1 dead letter of siem: owed to it again",
  );
  await until("it is delivered", () => sink.got.includes("dead@1"));
  const dropped = await ask("dead drop", { sink: "siem", reason: "too old" });
  assert.deepEqual([dropped.text, dropped.value], ["2 dead letters of siem: given up", { sink: "siem", count: 2 }]);
  assert.equal((await ask("dead drop", { sink: "nobody", reason: "x" })).outcome, "refused");
  assert.deepEqual(rows(world.path, "SELECT sink FROM alert_sinks").map((row) => row["sink"]), ["siem"]);
  assert.equal(dead(), 0);
  const [reason] = rows(world.path, "SELECT reason FROM alert_deliveries WHERE state = 'dropped'");
  assert.match(reason!["reason"] as string, /^too old \(user \d+ \(the-tester\)\)$/);

  assert.equal((await ask("sinks test", { sink: "siem", severity: "high" })).text, "The sink siem took the test alert");
  assert.match(sink.got.at(-1)!, /^test@/);
  assert.equal((await ask("sinks test", { sink: "nobody" })).outcome, "refused");
  assert.match((await ask("sinks test", { sink: "siem", severity: "big" })).text, /severity is not what it should be/);
  sink.answer = "fails";
  const failing = await ask("sinks test", { sink: "siem" });
  assert.deepEqual([failing.outcome, failing.text], [
    "failed",
    "The sink siem did not take the test alert: connection refused",
  ]);
  world.raise("late@1");
  await until("it waits", () => rows(world.path, "SELECT state FROM alert_sinks")[0]!["state"] === "retrying");
  sink.answer = "takes";
  assert.equal((await ask("sinks retry", { sink: "siem" })).outcome, "done");
  await until("it is delivered at once", () => sink.got.includes("late@1"));

  assert.equal((await ask("sinks reload")).text, "The sinks are loaded again: added hook");
  assert.equal((await ask("sinks check")).text, "The sinks of the configuration can be taken: added hook");
  world.sinkReload = { isTaken: false, text: "The sinks stay as they are: the list is not right" };
  const { outcome, text } = await ask("sinks reload");
  assert.deepEqual([outcome, text], ["failed", world.sinkReload.text]);
  assert.equal((await ask("sinks check")).outcome, "failed");
}

Deno.test("while the store takes nothing, what changes something is refused, and the rest is answered", async () => {
  await using world = new ServiceWorld();
  world.store!.close();
  world.store = null;
  const refused = await world.ask("config set", { assignments: ["agent.max_connections=3"] });
  assert.match(`${refused.outcome}: ${refused.text}`, /^refused: The audit ledger's notes are not kept now/);
  assert.equal(world.connections.maxConnections, 16);
  assert.equal((await world.ask("status")).outcome, "done");
});

Deno.test("rules that cannot be loaded again are said to have failed, and the disabled rule judges on", async () => {
  await using world = new ServiceWorld();
  await world.reloader.stop();
  const { outcome, text } = await world.ask("rules disable", { rule: "rule-a", reason: "x" });
  assert.deepEqual([outcome, text.slice(0, 36)], ["failed", "The rules could not be loaded again,"]);
  assert.equal(world.detection.loaded.active.length, 2);
  assert.equal((await world.ask("rules reload")).outcome, "failed");
  assert.match((await world.ask("status")).text, /0 rules disabled/);
});
