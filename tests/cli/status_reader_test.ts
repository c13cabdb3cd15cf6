import assert from "node:assert/strict";
import { readStatus, readStatuses } from "../../cli/status_reader.ts";
import { decodeAgentStatus } from "../../proto/status_codec.ts";
import { AGENT, NOW, TestState } from "../support/test_store.ts";

Deno.test("readStatuses() reads both daemons, and knows a fresh word from a stale one", () => {
  using state = new TestState();
  state.writeStatus({ time: NOW - 2_900 }, { time: NOW - 3_100 });
  const { agent, collector } = readStatuses(state.layout, NOW);
  assert.ok(agent.kind === "read" && collector.kind === "read");
  assert.deepEqual(agent.status.rules, AGENT.rules);
  assert.deepEqual([agent.ageMs, agent.live], [2_900, true]);
  assert.deepEqual([collector.ageMs, collector.live], [3_100, false]);
});

Deno.test("readStatuses() calls a daemon that says it stopped not live, and one of the future neither", () => {
  using state = new TestState();
  state.writeStatus({ time: NOW, state: "stopped" }, { time: NOW + 60_000 });
  const { agent, collector } = readStatuses(state.layout, NOW);
  assert.ok(agent.kind === "read" && !agent.live);
  assert.ok(collector.kind === "read" && !collector.live);
});

Deno.test("readStatus() answers for whatever stands in the place of a status file", async () => {
  using state = new TestState();
  const path = `${state.directory}/status`;
  const read = () => readStatus(path, decodeAgentStatus, NOW);
  const refused = (pattern: RegExp): void => {
    const reading = read();
    assert.ok(reading.kind === "unreadable", reading.kind);
    assert.match(reading.reason, pattern);
  };
  assert.deepEqual(read(), { kind: "absent" });
  for (let i = 0; i < 200; i++) {
    Deno.writeFileSync(path, crypto.getRandomValues(new Uint8Array(1 + i * 7)));
    refused(/damaged/);
  }
  Deno.writeFileSync(path, new Uint8Array(4_194_305));
  refused(/damaged: 4194305 bytes long/);
  Deno.removeSync(path);
  Deno.symlinkSync("status", path);
  refused(/loop of symbolic links/);
  Deno.removeSync(path);
  await new Deno.Command("mkfifo", { args: [path] }).output();
  refused(/not a regular file/);
  Deno.removeSync(path);
  Deno.mkdirSync(path);
  refused(/not a regular file/);
});

Deno.test("readStatus() tells of every shortening of a status file, or reads what is one", () => {
  using state = new TestState();
  state.writeStatus({}, null);
  const whole = Deno.readFileSync(state.layout.agentStatus);
  for (let length = 0; length < whole.length; length += 3) {
    Deno.writeFileSync(state.layout.agentStatus, whole.subarray(0, length));
    const reading = readStatus(state.layout.agentStatus, decodeAgentStatus, NOW);
    assert.ok(reading.kind === "unreadable" || reading.kind === "read");
  }
});
