import assert from "node:assert/strict";
import fc from "fast-check";
import { RuleStatusBytes } from "../../proto/rule_status_bytes.ts";
import type { AgentStatus, CollectorStatus, RuleStatus } from "../../proto/status.ts";
import {
  decodeAgentStatus,
  decodeCollectorStatus,
  encodeAgentStatus,
  encodeCollectorStatus,
  MAX_STATUS_BYTES,
} from "../../proto/status_codec.ts";
import { WireError } from "../../proto/wire_error.ts";
import { HEALTHY_LEDGER, HEALTHY_LOG } from "../support/log_status.ts";

const TIER = {
  bootId: "a1b2c3d4",
  time: 1_732_166_400_123,
  uptimeMs: 1_234.5,
  pid: 77,
  userId: 0,
  version: "0.1.0",
  state: "running",
  memoryBytes: 90_000_000,
  cpuMs: 12.25,
  notices: [{ time: 5, text: "ein Hinweis, höflich" }, { time: 6, text: "" }],
  noticeCount: 2 ** 40,
};

const COLLECTOR: CollectorStatus = {
  ...TIER,
  collectorId: "procmond",
  epoch: "e1",
  sources: [{ name: "ebpf", state: "active", detail: "all", misses: [], unknownColumns: [] }, {
    name: "proc",
    state: "unavailable",
    detail: "",
    misses: ["short lives"],
    unknownColumns: ["inode"],
  }],
  confinement: "all threads",
  redaction: "on",
  completeness: { state: "proven", detail: "100 % of 900 records of the last hour seen by ebpf and by netlink" },
  attributes: [
    { attribute: "executable_hash", state: "configured", reason: "collector.hashing is on", since: 0 },
    { attribute: "environment", state: "configured", reason: "LD_*, BASH_ENV", since: 0 },
    { attribute: "environment.GLIBC_TUNABLES", state: "demanded", reason: "rules read it", since: 2 ** 41 },
  ],
  connected: true,
  lastSequence: 2 ** 40 - 1,
  acknowledgedSequence: 12,
  durableTime: 1_732_166_400_000,
  ledger: { ...HEALTHY_LEDGER, trouble: "full", refused: 2 ** 40, pendingBytes: 7, faults: 3 },
  log: { ...HEALTHY_LOG, trouble: "moved", isSlowed: true, load: 0.75, fault: "full", refused: 2 ** 40, oldestTime: 0 },
  queuedEvents: 3,
  trackedProcesses: 400,
  forksSinceBoot: 0,
  counters: { exec_received: 9, events: 2 ** 45, rate: 0.5 },
};

const AGENT: AgentStatus = {
  busClients: [{ name: "netmond", connected: false, patterns: 2, queued: 3, delivered: 2 ** 40, lost: 5, refused: 6 }],
  ...TIER,
  userId: null,
  notices: [],
  rules: [
    {
      id: "r1",
      title: "T",
      severity: "high",
      file: "r1.yml",
      state: "active",
      line: null,
      column: null,
      reason: null,
      hits: 3,
      lane: "stream",
      hash: "0f".repeat(32),
      evaluations: 12,
      matches: 3,
      cpuMs: 1.5,
      rows: 400,
      suppressed: 2 ** 40 + 7,
      degraded: ["why"],
    },
    {
      id: "r2",
      title: "",
      severity: "",
      file: "r2.yml",
      state: "rejected",
      line: 1,
      column: 0,
      reason: "no",
      hits: 0,
      lane: null,
      hash: null,
      evaluations: 0,
      matches: 0,
      cpuMs: 0,
      rows: 0,
      suppressed: 0,
      degraded: [],
    },
  ],
  suppressors: [
    {
      kind: "exception",
      id: "backup",
      file: "exceptions.yml",
      line: 3,
      reason: "R",
      author: "A",
      expires: 2 ** 41,
      rules: 4,
      suppressed: 9,
      lastTime: 7,
      byRule: [{ ruleId: "r1", count: 9 }],
    },
    {
      kind: "filter",
      id: "f",
      file: "f.yml",
      line: 1,
      reason: "",
      author: "",
      expires: null,
      rules: 0,
      suppressed: 0,
      lastTime: null,
      byRule: [],
    },
  ],
  collectors: [{ collectorId: "procmond", epoch: "e1", connectedSince: 1, lastSequence: 2, lastEventTime: 3 }],
  lifecycle: { state: "startupFailed", since: 5, reason: "x", history: [{ time: 5, event: "timedOut", state: "y" }] },
  registry: [
    {
      collectorId: "procmond",
      lifecycle: { state: "failed", since: 6, reason: "silent", history: [] },
      connected: true,
      epoch: "e1",
      softwareVersion: "1",
      source: "ebpf",
      registration: {
        collectorType: "process-monitor",
        domains: ["process", "network"],
        kernelLevel: true,
        realtime: false,
        systemWide: true,
        tables: [{ name: "process_events", version: 4, columns: ["pid"] }],
        heartbeatMs: 5_000,
        keepsLedger: true,
      },
      missed: 3,
      lastHeard: 2 ** 42,
      registrations: 2,
      refused: 1,
      refusal: "twice",
    },
    {
      collectorId: "old",
      lifecycle: { state: "joined", since: 6, reason: "", history: [] },
      ...{ connected: false, epoch: "", softwareVersion: "", source: "", registration: null },
      ...{ missed: 0, lastHeard: 0, registrations: 0, refused: 0, refusal: "" },
    },
  ],
  supervised: [
    { name: "procmond", state: "waiting", pid: 0, restarts: 3, budget: 17, lastEnd: "signal SIGKILL", nextStart: 9 },
  ],
  storeBytes: 2 ** 41,
  store: { state: "refusing", reason: "full", since: 7, freeBytes: 2 ** 40, checkedTime: 8, check: "ok" },
  lastCommitTime: 4,
  counters: {},
};

Deno.test("statuses come back as they went", () => {
  assert.deepEqual(decodeCollectorStatus(encodeCollectorStatus(COLLECTOR)), COLLECTOR);
  const blank = { ...COLLECTOR, userId: null, sources: [], notices: [], counters: {}, forksSinceBoot: null };
  assert.deepEqual(decodeCollectorStatus(encodeCollectorStatus(blank)), blank);
  assert.deepEqual(decodeAgentStatus(encodeAgentStatus(AGENT)), AGENT);
  const full = { ...AGENT, ...TIER, counters: { events: 1 } };
  assert.deepEqual(decodeAgentStatus(encodeAgentStatus(full)), full);
});

Deno.test("what is kept of rules from one status to the next says what each says", () => {
  const kept = new RuleStatusBytes(), [first, second] = AGENT.rules as [RuleStatus, RuleStatus];
  const counted = [{ ...first, hits: 4, cpuMs: 2.5 }, second];
  const lists = [AGENT.rules, AGENT.rules, counted, [second], [second, first], counted, AGENT.rules, []];
  for (const rules of lists) {
    assert.deepEqual(decodeAgentStatus(encodeAgentStatus({ ...AGENT, rules }, kept)).rules, rules);
  }
  const wrong = [first, { ...second, hits: -1 }];
  for (let i = 0; i < 2; i++) assert.throws(() => encodeAgentStatus({ ...AGENT, rules: wrong }, kept), WireError);
  assert.deepEqual(decodeAgentStatus(encodeAgentStatus(AGENT, kept)).rules, AGENT.rules);
});

Deno.test("a counter's name cannot be taken for a property of all objects", () => {
  const counters = JSON.parse('{"__proto__": 7, "constructor": 1}');
  const decoded = decodeAgentStatus(encodeAgentStatus({ ...AGENT, counters })).counters;
  assert.deepEqual(Object.entries(decoded).sort(), [["__proto__", 7], ["constructor", 1]]);
  assert.equal(Object.getPrototypeOf(decoded), Object.prototype);
});

Deno.test("statuses with numbers that are none are refused both ways", () => {
  assert.throws(() => encodeCollectorStatus({ ...COLLECTOR, lastSequence: -1 }), WireError);
  assert.throws(() => encodeAgentStatus({ ...AGENT, storeBytes: 0.5 }), WireError);
  assert.throws(() => decodeAgentStatus(encodeAgentStatus({ ...AGENT, uptimeMs: NaN })), WireError);
  assert.throws(() => decodeAgentStatus(encodeAgentStatus({ ...AGENT, counters: { a: Infinity } })), WireError);
});

Deno.test("a status without the part of both daemons is refused", () => {
  assert.throws(() => decodeAgentStatus(new Uint8Array(0)), /This is no status: it does not say of which daemon/);
  assert.throws(() => decodeCollectorStatus(new Uint8Array(0)), WireError);
});

Deno.test("a status is refused before much is made of it", () => {
  assert.throws(() => decodeAgentStatus(new Uint8Array(MAX_STATUS_BYTES + 1)), /bytes/);
  const rules = new Uint8Array(40_002); // 20,001 empty rules
  for (let at = 0; at < rules.length; at += 2) rules[at] = 0x12;
  assert.throws(() => decodeAgentStatus(rules), /more than 20000 fields/);
  const notices = new Uint8Array(40_002);
  for (let at = 0; at < notices.length; at += 2) notices[at] = 0x52;
  assert.throws(() => decodeAgentStatus(Uint8Array.of(0x0a, 0xc2, 0xb8, 0x02, ...notices)), /more than 20000 fields/);
});

Deno.test("damaged and random statuses throw nothing but WireError", () => {
  const survives = (bytes: Uint8Array) => {
    for (const decode of [decodeAgentStatus, decodeCollectorStatus]) {
      try {
        decode(bytes);
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }
  };
  for (const bytes of [encodeAgentStatus(AGENT), encodeCollectorStatus(COLLECTOR)]) {
    for (let cut = 0; cut < bytes.length; cut++) survives(bytes.subarray(0, cut));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = bytes.slice();
      damaged[bit >>> 3]! ^= 1 << (bit & 7);
      survives(damaged);
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), survives), { numRuns: 1_000 });
});
