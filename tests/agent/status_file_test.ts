import assert from "node:assert/strict";
import { Journal } from "../../agent/journal.ts";
import { type AgentPart, StatusFile } from "../../agent/status_file.ts";
import { decodeAgentStatus } from "../../proto/status_codec.ts";
import { needs } from "../support/needs.ts";
import { SmallDisk } from "../support/small_disk.ts";
import { TempDir } from "./support.ts";

const part: AgentPart = {
  bootId: "b",
  rules: [],
  suppressors: [],
  collectors: [{ collectorId: "c", epoch: "e", connectedSince: 1, lastSequence: 2, lastEventTime: 3 }],
  busClients: [],
  lifecycle: { state: "steadyState", since: 1, reason: "", history: [] },
  registry: [],
  supervised: [],
  storeBytes: 4,
  store: { state: "taking", reason: "", since: 0, freeBytes: null, checkedTime: 0, check: "" },
  lastCommitTime: 5,
  counters: { events: 6 },
};

Deno.test("StatusFile says who the agent is and how it does, in a file that is never half there", () => {
  using dir = new TempDir();
  const path = `${dir.path}/status.pb`, lines: string[] = [];
  const journal = new Journal((line) => lines.push(line));
  journal.notice("a fault");
  const file = new StatusFile(path, journal, () => part);
  file.begin();
  file.say("running");
  const status = decodeAgentStatus(Deno.readFileSync(path));
  assert.equal(status.state, "running");
  assert.equal(status.pid, Deno.pid);
  assert.equal(status.userId, Deno.uid());
  assert.ok(status.memoryBytes > 1e6 && status.cpuMs > 0 && status.uptimeMs > 0);
  assert.ok(Math.abs(status.time - Date.now()) < 5_000);
  assert.deepEqual(status.notices.map((notice) => notice.text), ["a fault"]);
  assert.deepEqual(status.collectors, part.collectors);
  assert.deepEqual(status.counters, { events: 6 });
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o640);
  file.end();
  assert.equal(decodeAgentStatus(Deno.readFileSync(path)).state, "stopped");
  assert.deepEqual([...Deno.readDirSync(dir.path)].map((entry) => entry.name), ["status.pb"]);
});

Deno.test("StatusFile says what it knew when the rest of the agent is closed", () => {
  using dir = new TempDir();
  const path = `${dir.path}/status.pb`, lines: string[] = [];
  let isClosed = false;
  const file = new StatusFile(path, new Journal((line) => lines.push(line)), () => {
    if (isClosed) throw new Error("statement has been finalized");
    return part;
  });
  file.say("stopping");
  file.keep();
  isClosed = true;
  file.end();
  const { state, counters, storeBytes } = decodeAgentStatus(Deno.readFileSync(path));
  assert.deepEqual([state, counters, storeBytes], ["stopped", part.counters, part.storeBytes]);
  assert.deepEqual(lines, []);
});

Deno.test("StatusFile that cannot write says so once and goes on", () => {
  using dir = new TempDir();
  const lines: string[] = [];
  const file = new StatusFile(`${dir.path}/no/status.pb`, new Journal((line) => lines.push(line)), () => part);
  for (let i = 0; i < 5; i++) file.say("running");
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /status .* cannot be written/);
  Deno.mkdirSync(`${dir.path}/no`);
  file.say("running");
  assert.equal(decodeAgentStatus(Deno.readFileSync(`${dir.path}/no/status.pb`)).state, "running");
  file.end();
});

Deno.test("StatusFile keeps the file while nothing happens, and has it say that it is so now", () => {
  using dir = new TempDir();
  const path = `${dir.path}/status.pb`;
  let now: AgentPart = part;
  const file = new StatusFile(path, new Journal(() => {}), () => now);
  const inode = (): number => Deno.statSync(path).ino!;
  file.say("running");
  const first = inode(), before = decodeAgentStatus(Deno.readFileSync(path));
  now = { ...part, store: { ...part.store, freeBytes: null } };
  file.say("running");
  const after = decodeAgentStatus(Deno.readFileSync(path));
  assert.equal(inode(), first);
  assert.ok(after.uptimeMs >= before.uptimeMs && after.time >= before.time && after.cpuMs >= before.cpuMs);
  assert.deepEqual(after.counters, part.counters);
  now = { ...part, counters: { events: 7 } };
  file.say("running");
  assert.notEqual(inode(), first);
  assert.deepEqual(decodeAgentStatus(Deno.readFileSync(path)).counters, { events: 7 });
  file.end();
});

Deno.test({
  name: "StatusFile goes on where the disk has not a byte left, and says so when it cannot",
  ...needs({ root: true, mount: true }),
  fn() {
    using dir = new TempDir();
    using disk = new SmallDisk(dir.path, 1);
    const path = `${dir.path}/status.pb`, lines: string[] = [];
    let events = 0;
    const look = (): AgentPart => ({ ...part, counters: { events: ++events } });
    const file = new StatusFile(path, new Journal((line) => lines.push(line)), look);
    file.say("running");
    disk.fill();
    for (let i = 0; i < 20; i++) {
      file.say("degraded");
      assert.equal(decodeAgentStatus(Deno.readFileSync(path)).counters["events"], events);
      disk.fill();
    }
    // Somebody took the room of the spare as well.
    Deno.removeSync(`${path}.spare`);
    disk.fill();
    for (let i = 0; i < 3; i++) file.say("degraded");
    assert.ok(decodeAgentStatus(Deno.readFileSync(path)).counters["events"]! < events);
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /cannot be written: No (space left|such file)/);
    disk.free();
    file.say("running");
    assert.equal(decodeAgentStatus(Deno.readFileSync(path)).counters["events"], events);
    file.end();
  },
});
