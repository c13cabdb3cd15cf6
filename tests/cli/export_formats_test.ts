/** OCSF and ECS of events and alerts: what a receiver gets, and that no text in any column harms it. */
import assert from "node:assert/strict";
import { ecsEventLine } from "../../proto/formats/ecs_event.ts";
import { EventFacts } from "../../proto/formats/event_facts.ts";
import { cli } from "../support/cli_run.ts";
import { WORLDS } from "../support/cli_worlds.ts";
import { NOW, testProcess, TestState } from "../support/test_store.ts";

type Json = Record<string, unknown>;

async function lines(state: TestState, ...args: string[]): Promise<Json[]> {
  const { out } = await cli(state, ["export", ...args]);
  return out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Json);
}

function at(value: unknown, path: string): unknown {
  return path.split(".").reduce((object: unknown, name) => (object as Json | undefined)?.[name], value);
}

function told(state: TestState): TestState {
  state.live();
  state.insert("system_info", { name: "hostname", value: "web1", time: NOW });
  const common = { pid: 7, ppid: 6, parent_name: "bash", parent_exec_id: testProcess(6), cwd: "/root", tty: "pts/0" };
  state.event({ ...common, executable_hash: "ab".repeat(32), hash_algorithm: "sha256", container_id: "c0ffee" });
  state.event({ ...common, event_type: "modify", modified_fields: '["effective_user_id"]', effective_user_id: 0 });
  state.event({ ...common, event_type: "suspicious", severity: "high", reason: "why" });
  state.event({
    ...common,
    ...{ event_type: "stop", start_time: NOW - 2_000, end_time: NOW - 500, duration_ms: 1500.25, exit_code: 3 },
  });
  state.event({ event_type: "odd", ppid: null, name: null, command_line: null, argv: "no JSON", time: 9e15 });
  return state;
}

Deno.test("export writes events as OCSF Process Activity", async () => {
  using state = told(new TestState());
  const events = await lines(state, "events", "-f", "ocsf");
  assert.deepEqual(events.map((event) => [event["type_uid"], event["type_name"], event["severity"]]), [
    [100701, "Process Activity: Launch", "Informational"],
    [100705, "Process Activity: Set User ID", "Informational"],
    [100799, "Process Activity: Other", "High"],
    [100702, "Process Activity: Terminate", "Informational"],
    [100799, "Process Activity: Other", "Informational"],
  ]);
  const [start, , , stop, odd] = events as [Json, Json, Json, Json, Json];
  for (const event of events) {
    assert.deepEqual([event["class_uid"], at(event, "device.hostname")], [1007, "web1"]);
    assert.equal(event["type_uid"], Number(event["class_uid"]) * 100 + Number(event["activity_id"]));
  }
  assert.deepEqual(
    ["metadata.uid", "metadata.profiles", "process.container.uid", "process.pid", "actor.process.name"].map((path) =>
      at(start, path)
    ),
    [String(2 ** 40 + 1), ["host", "container"], "c0ffee", 7, "bash"],
  );
  assert.deepEqual(at(start, "process.file.hashes"), [
    { algorithm_id: 3, algorithm: "SHA-256", value: "ab".repeat(32) },
  ]);
  assert.deepEqual([at(start, "unmapped.tty"), at(start, "unmapped.executable_hash")], ["pts/0", undefined]);
  assert.deepEqual(
    ["start_time", "end_time", "duration", "exit_code", "process.terminated_time"].map((p) => at(stop, p)),
    [
      ...[NOW - 2_000, NOW - 500, 1500, 3, NOW - 500],
    ],
  );
  assert.deepEqual([at(odd, "actor"), odd["activity_name"]], [{ app_name: "unknown" }, "odd"]);
});

Deno.test("export writes events in the Elastic Common Schema", async () => {
  using state = told(new TestState());
  const [start, , suspicious, stop, odd] = await lines(state, "events", "-f", "ecs") as [Json, Json, Json, Json, Json];
  assert.deepEqual(
    ["event.type", "event.action", "process.args", "process.args_count", "host.name"].map((p) => at(start, p)),
    [
      ...[["start"], "start", ["sh", "-c", "true"], 3, "web1"],
    ],
  );
  assert.deepEqual([at(suspicious, "event.severity"), at(suspicious, "event.reason")], [73, "why"]);
  assert.deepEqual(["event.type", "event.duration", "process.exit_code", "process.end"].map((p) => at(stop, p)), [
    ...[["end"], 1_500_250_000, 3, new Date(NOW - 500).toISOString()],
  ]);
  assert.deepEqual([odd["@timestamp"], at(odd, "event.type"), at(odd, "process.args")], [
    ...["1970-01-01T00:00:00.000Z", ["info"], undefined],
  ]);
  assert.equal(at(start, "daemoneye.tty"), "pts/0");
});

Deno.test("a number that no double holds is in neither format a number", () => {
  const event = new EventFacts(
    new Map<string, number | bigint>([["time", NOW], ["pid", 2n ** 60n], ["memory_usage", 2n ** 60n]]),
  );
  const written = JSON.parse(ecsEventLine(event, { host: "h", valueBytes: Infinity }));
  assert.deepEqual([written.process.pid, written.daemoneye], [0, {
    pid: `${2n ** 60n}`,
    memory_usage: `${2n ** 60n}`,
  }]);
});

Deno.test("export writes alerts as OCSF Detection Finding and in ECS, as the sinks do, and says which rows are none", async () => {
  using state = WORLDS["watched"]!();
  const findings = await lines(state, "alerts", "-f", "ocsf"), alerts = await lines(state, "alerts", "-f", "ecs");
  assert.deepEqual(findings.map((finding) => [finding["class_uid"], at(finding, "finding_info.analytic.uid")]), [
    [2004, "build-started"],
    [2004, "execution-from-temporary-directory"],
  ]);
  assert.deepEqual(alerts.map((alert) => at(alert, "rule.id")), [
    "build-started",
    "execution-from-temporary-directory",
  ]);
  state.db.exec("UPDATE alerts SET evidence = 'no JSON' WHERE rule_id = 'build-started'");
  const { out, err, code } = await cli(state, ["export", "alerts", "-f", "ecs"]);
  assert.equal(out.trimEnd().split("\n").length, 1);
  assert.match(err, /1 row cannot be written as ecs: jsonl has what they hold/);
  assert.equal(code, 3);
});

Deno.test("export names the tables and options that a receiver's format does not go with", async () => {
  using state = WORLDS["watched"]!();
  for (
    const [args, words] of [
      [["gaps", "-f", "ocsf"], /There is no ocsf of gaps, only of events and alerts/],
      [["events", "-f", "ecs", "--columns", "pid"], /--columns goes with jsonl, csv, json, line/],
      [["events", "-f", "cef"], /--format must be one of/],
    ] as const
  ) {
    const { err, code } = await cli(state, ["export", ...args]);
    assert.match(err, words);
    assert.equal(code, 2);
  }
  const { err } = await cli(state, ["events", "-f", "ocsf"]);
  assert.match(err, /--format must be one of table, line, json, jsonl, csv/);
});
