import assert from "node:assert/strict";
import { assess, type Report, type StoreReading } from "../../cli/health_report.ts";
import type { StatusReading } from "../../cli/status_reader.ts";
import type { AgentStatus, CollectorStatus, LogStatus, TierStatus } from "../../proto/status.ts";
import type { AttributeStanding } from "../../proto/demand.ts";
import { HEALTHY_LOG } from "../support/log_status.ts";
import { AGENT, COLLECTOR, NOW } from "../support/test_store.ts";

const STORE: StoreReading = {
  kind: "read",
  stored: new Map([["procmond e1", 500]]),
  gaps: null,
  gapReasons: [],
  newestEvent: NOW - 1_000,
  lastSnapshot: NOW - 5_000,
  alertsLastDay: 0,
  oldestEvent: NOW - 86_400_000,
  removed: null,
  walBytes: 4_096,
};

function reading<T extends TierStatus>(status: T): StatusReading<T> {
  const ageMs = NOW - status.time;
  return { kind: "read", status, ageMs, live: Math.abs(ageMs) <= 3_000 && status.state !== "stopped" };
}

interface World {
  agent?: Partial<AgentStatus>;
  collector?: Partial<CollectorStatus>;
  store?: Partial<Extract<StoreReading, { kind: "read" }>>;
}

function judge({ agent, collector, store }: World): Report {
  return assess(
    { agent: reading({ ...AGENT, ...agent }), collector: reading({ ...COLLECTOR, ...collector }) },
    { ...STORE, ...store } as StoreReading,
    NOW,
  );
}

/** Asserts the verdict and that the only finding says `pattern`. */
function finds(world: World, verdict: Report["verdict"], pattern: RegExp): void {
  const report = judge(world);
  assert.equal(report.verdict, verdict, JSON.stringify(report));
  assert.equal(report.findings.length, 1, JSON.stringify(report.findings));
  assert.match(report.findings[0]!.text, pattern);
}

Deno.test("assess() finds nothing where nothing is wrong", () => {
  assert.deepEqual(judge({}), {
    verdict: "healthy",
    summary: "every process is seen, kept and judged",
    findings: [],
  });
});

Deno.test("assess() calls a host stopped when either daemon is stopped, silent, or of another time", () => {
  finds({ agent: { state: "stopped" } }, "stopped", /agent was stopped/);
  finds(
    { collector: { time: NOW - 4_000 } },
    "stopped",
    /collector does not run or does not answer: its status is 4 s old/,
  );
  finds({ agent: { time: NOW + 60_000 } }, "stopped", /of the future.*clock was set back/);
});

Deno.test("assess() names what is not seen, not kept, not judged", () => {
  const proc = { name: "proc", state: "active", detail: "", misses: ["short ones"], unknownColumns: [] };
  finds({ collector: { sources: [proc] } }, "degraded", /source proc: short ones/);
  finds(
    { collector: { sources: [{ ...proc, state: "unavailable", misses: [], unknownColumns: [] }] } },
    "degraded",
    /no event source/,
  );
  finds({ collector: { redaction: "off by /etc/x: secrets are stored" } }, "degraded", /redaction is off by \/etc\/x/);
  const completeness = { state: "differs", detail: "99.9 % of 1000 records" };
  finds({ collector: { completeness } }, "degraded", /a second source saw other things: 99\.9 % of 1000 records/);
  finds({ collector: { redaction: "" } }, "degraded", /redaction is not spoken of by the collector/);
  const attributes = (attribute: string, state: AttributeStanding["state"]): World => ({
    collector: { attributes: [{ attribute, state, reason: "why", since: 0 }] },
  });
  for (const state of ["refused", "unavailable"] as const) {
    finds(attributes("environment.A", state), "degraded", /rules read environment\.A, which is not collected: why/);
  }
  finds(attributes("executable_hash", "refused"), "degraded", /rules read executable_hash/);
  for (const state of ["configured", "demanded", "on-demand", "off"] as const) {
    assert.equal(judge(attributes("executable_hash", state)).verdict, "healthy");
  }
  assert.equal(judge(attributes("environment", "unavailable")).verdict, "healthy", "no rule reads it");
  finds({ collector: { queuedEvents: 20_000 } }, "degraded", /20,000 events wait/);
  const log = (more: Partial<LogStatus>): World => ({ collector: { log: { ...HEALTHY_LOG, ...more } } });
  finds(log({ trouble: "it is in memory: mend that" }), "degraded", /write-ahead log: it is in memory: mend that/);
  finds(log({ fault: "the disk is full" }), "degraded", /is not written, so the agent gets nothing: the disk is full/);
  finds(log({ isSlowed: true }), "degraded", /the write-ahead log fills up/);
  finds(log({ refused: 1 }), "degraded", /1 item found no room/);
  finds(log({ missing: 3 }), "degraded", /lost by damage in the write-ahead log: 3 numbers/);
  assert.equal(judge(log({ damaged: 1, hastened: 4, pendingBytes: 100, oldestTime: NOW })).verdict, "healthy");
  finds({ agent: { state: "starting" } }, "degraded", /agent is starting/);
  const rejected = { ...AGENT.rules[0]!, id: "other", state: "rejected" };
  finds({ agent: { rules: [...AGENT.rules, rejected] } }, "degraded", /1 rule rejected/);
  finds({ agent: { rules: [] } }, "degraded", /no rule is active/);
  const refused = { hasher_refused_system_calls: 2, refused_system_calls: 0 };
  finds({ collector: { counters: refused } }, "degraded", /the kernel refused the hasher 2 system calls .*notices/);
  finds({ agent: { counters: { rule_faults: 2 } } }, "degraded", /2 times that a rule could not judge/);
  finds({ agent: { counters: { alerts_undelivered: 7 } } }, "degraded", /7 alerts are owed/);
  const gaps = { gaps: 1, from: NOW - 5_000, to: NOW - 1_000, lost: 3, uncounted: 0 };
  finds({ store: { gaps } }, "degraded", /last day, 1 gap from .*: 3 records lost/);
  finds({ store: { newestEvent: NOW + 60_000 } }, "degraded", /newest event is of the future/);
  finds({ store: { walBytes: 2 ** 30 } }, "degraded", /log beside the store is long/);
});

Deno.test("assess() takes a rule that its file turns off for no fault", () => {
  const disabled = { ...AGENT.rules[0]!, id: "other", state: "disabled", reason: "its file says enabled: false" };
  assert.equal(judge({ agent: { rules: [...AGENT.rules, disabled] } }).verdict, "healthy");
});

Deno.test("assess() holds one daemon's word against the other's", () => {
  finds({ agent: { collectors: [] } }, "degraded", /collector says that it is connected, the agent does not list it/);
  const otherEpoch = AGENT.collectors.map((connection) => ({ ...connection, epoch: "e0" }));
  finds({ agent: { collectors: otherEpoch } }, "degraded", /the agent does not list it/);
  finds({ agent: { bootId: "ffffffff" } }, "degraded", /different boots/);
  const report = judge({ collector: { connected: false } });
  assert.deepEqual(report.findings.map((finding) => finding.subject), ["collector", "cross-check"]);
});

Deno.test("assess() gives a connection the time to show in both files", () => {
  assert.equal(judge({ agent: { collectors: [], uptimeMs: 1_000 } }).verdict, "healthy");
  const fresh = AGENT.collectors.map((connection) => ({ ...connection, connectedSince: NOW - 1_000 }));
  const report = judge({ collector: { connected: false }, agent: { collectors: fresh } });
  assert.deepEqual(report.findings.map((finding) => finding.subject), ["collector"]);
});

Deno.test("assess() finds an acknowledgement of what is not stored, and lets the store be ahead", () => {
  finds(
    { store: { stored: new Map([["procmond e1", 499]]) } },
    "degraded",
    /acknowledgement up to 500, the store holds up to 499/,
  );
  finds({ store: { stored: new Map() } }, "degraded", /holds up to 0/);
  assert.equal(judge({ store: { stored: new Map([["procmond e1", 800]]) } }).verdict, "healthy");
});

Deno.test("assess() does not compare with what is not live", () => {
  const report = judge({ agent: { state: "stopped", collectors: [], bootId: "old" } });
  assert.deepEqual(report.findings.map((finding) => finding.subject), ["agent"]);
});

Deno.test("assess() knows nothing when neither status nor store can be read", () => {
  const damaged = { kind: "unreadable", reason: "it is damaged" } as const;
  const nothing = assess({ agent: damaged, collector: { kind: "absent" } }, damaged, NOW);
  assert.equal(nothing.verdict, "unknown");
  const half = assess({ agent: damaged, collector: reading(COLLECTOR) }, STORE, NOW);
  assert.equal(half.verdict, "degraded");
  assert.match(half.findings[0]!.text, /agent's status cannot be read: it is damaged/);
});

Deno.test("assess() tells that the store takes nothing, why and since when", () => {
  const store = { ...AGENT.store, state: "refusing", reason: "its disk is full; free space", since: NOW - 90_000 };
  finds(
    { agent: { state: "degraded", store } },
    "degraded",
    /^nothing is stored or judged since .* \(1 min 30 s\), and collectors keep what they see: its disk is full; free/,
  );
  finds({ agent: { state: "degraded" } }, "degraded", /degraded and does not say why/);
});

Deno.test("assess() tells what a check of the store found, and that its disk will soon be full", () => {
  const damaged = { ...AGENT.store, check: "gaps: page 7 is damaged", checkedTime: NOW - 60_000 };
  finds({ agent: { store: damaged } }, "degraded", /store is damaged, as found at .*: gaps: page 7 is damaged; run/);
  finds({ agent: { store: { ...AGENT.store, freeBytes: 40_000_000 } } }, "degraded", /has 38\.1 MiB left; free space/);
  const well = { ...AGENT.store, check: "ok", checkedTime: NOW - 60_000, freeBytes: null };
  assert.equal(judge({ agent: { store: well } }).verdict, "healthy");
});
