/**
 * A small world for tests of the CLI: a state directory with a store that the agent's own code made, and status files.
 *
 * @module
 */
import { HEALTHY_LEDGER, HEALTHY_LOG } from "./log_status.ts";
import type { DatabaseSync } from "node:sqlite";
import { closeDatabase, openDatabase } from "../../agent/store/database.ts";
import { Partitions } from "../../agent/store/partitions.ts";
import { tableNamed } from "../../proto/catalog.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { execId } from "../../proto/identity.ts";
import { type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import { processTables } from "../../proto/registration.ts";
import type { AgentStatus, CollectorStatus } from "../../proto/status.ts";
import { encodeAgentStatus, encodeCollectorStatus } from "../../proto/status_codec.ts";

/** "Now" of the tests: 2026-08-05T12:00:00Z. */
export const NOW = Date.UTC(2026, 7, 5, 12);
export const BOOT_ID = "0123abcd-0000-4000-8000-000000000000";
const TAG = "0123abcd";

/** Values by column; what is left out is NULL. */
export type Row = Readonly<Record<string, SqlValue>>;

/** The name of a process of the test's boot. */
export function testProcess(pid: number, startTicks = pid * 10): string {
  return execId(TAG, pid, startTicks, null);
}

export class TestState implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "daemoneye-cli-" });
  readonly layout: StateLayout = stateLayout(this.directory);
  #db: DatabaseSync | null;
  #events: Partitions | null = null;
  #nextEvent = 2 ** 40 + 1;

  constructor() {
    Deno.chmodSync(this.directory, 0o755);
    for (const path of [this.layout.agent, this.layout.collector, this.layout.rules]) {
      Deno.mkdirSync(path, { mode: 0o755 });
    }
    this.#db = openDatabase(this.layout.store);
  }

  /** The writer's handle. */
  get db(): DatabaseSync {
    if (this.#db === null) throw new Error("The store of this test is closed");
    return this.#db;
  }

  /** To be called when a test changed the partitions itself. */
  reopenPartitions(): void {
    this.#events = null;
  }

  insert(table: string, row: Row): void {
    const columns = tableNamed(table).columns.map((column) => column.name);
    const unknown = Object.keys(row).filter((name) => !columns.includes(name));
    if (unknown.length > 0) throw new RangeError(`${table} has no column ${unknown.join(", ")}`);
    if (table === "process_events") {
      this.#events ??= new Partitions(this.db);
      return this.#events.insert(columns.map((name) => row[name] ?? null));
    }
    this.db.prepare(`INSERT INTO ${table} VALUES (${columns.map(() => "?").join(", ")})`)
      .run(...columns.map((name) => row[name] ?? null));
  }

  /** A process of pid `pid`, alive unless `end_time` is given. */
  process(pid: number, row: Row = {}): void {
    const id = testProcess(pid);
    this.insert("processes", {
      process_id: id,
      exec_id: row["process_id"] ?? id,
      pid,
      ppid: 1,
      name: `p${pid}`,
      command_line: `/usr/bin/p${pid} --run`,
      executable_path: `/usr/bin/p${pid}`,
      user_id: 1000,
      user_name: "alice",
      effective_user_id: 1000,
      start_time: NOW - 3_600_000 + pid,
      cpu_time_ms: pid,
      memory_usage: pid * 1024,
      status: "sleeping",
      kernel_thread: 0,
      collection_time: NOW - 1_000,
      collector_id: "procmond",
      ...row,
    });
  }

  /** Returns the event's number. */
  event(row: Row = {}): number {
    const eventId = this.#nextEvent++;
    const pid = Number(row["pid"] ?? 100);
    this.insert("process_events", {
      event_id: eventId,
      time: NOW - 60_000 + (eventId % 2 ** 40),
      event_type: "start",
      exec_id: testProcess(pid),
      pid,
      ppid: 1,
      name: "sh",
      executable_path: "/bin/sh",
      command_line: "sh -c true",
      argv: '["sh","-c","true"]',
      user_id: 1000,
      user_name: "alice",
      source: "ebpf",
      collector_id: "procmond",
      ...row,
    });
    return eventId;
  }

  alert(eventId: number, row: Row = {}): void {
    const ruleId = String(row["rule_id"] ?? "test-rule");
    this.insert("alerts", {
      alert_id: `${ruleId}@procmond:e1:${eventId % 2 ** 40}`,
      time: NOW - 50_000,
      detected_time: NOW - 49_995,
      rule_id: ruleId,
      title: "A test rule matched",
      description: "What it is about",
      severity: "high",
      tags: '["attack.t1059"]',
      event_id: eventId,
      exec_id: testProcess(100),
      pid: 100,
      ppid: 1,
      name: "sh",
      executable_path: "/bin/sh",
      command_line: "sh -c true",
      user_id: 1000,
      user_name: "alice",
      parent_name: "init",
      evidence: '{"pid":100,"name":"sh"}',
      collector_id: "procmond",
      completeness: '{"complete":true,"reasons":[]}',
      rule_hash: "ab".repeat(32),
      ...row,
    });
  }

  gap(gapId: number, from: number, to: number, count: number | null, reason = "ring buffer overflow"): void {
    this.insert("gaps", {
      gap_id: gapId,
      source: "ebpf",
      record_kind: "exec",
      from_time: from,
      to_time: to,
      count,
      reason,
      collector_id: "procmond",
    });
  }

  /** A snapshot that was received whole. */
  scan(time: number): void {
    this.insert("scan_metadata", { scan_id: time, time, process_count: 3, collector_id: "procmond" });
  }

  writeStatus(agent: Partial<AgentStatus> | null, collector: Partial<CollectorStatus> | null): void {
    // Whole at any moment, as daemons write theirs
    const write = (path: string, bytes: Uint8Array<ArrayBuffer>): void => {
      Deno.writeFileSync(`${path}.new`, bytes, { mode: 0o644 });
      Deno.renameSync(`${path}.new`, path);
    };
    if (agent !== null) write(this.layout.agentStatus, encodeAgentStatus({ ...AGENT, ...agent }));
    if (collector !== null) write(this.layout.collectorStatus, encodeCollectorStatus({ ...COLLECTOR, ...collector }));
  }

  /** Both daemons run, and the store is at what they say. */
  live(now = NOW): void {
    this.writeStatus({ time: now }, { time: now });
    this.insert("collectors", {
      stream: 1,
      collector_id: "procmond",
      epoch: "e1",
      boot_id: BOOT_ID,
      version: "0.1.0",
      source: "ebpf",
      first_seen: now - 60_000,
      last_seen: now,
      last_sequence: 500,
    });
    this.scan(now - 5_000);
  }

  /** As the agent does at its end. */
  stop(): void {
    closeDatabase(this.db);
    this.#db = null;
  }

  [Symbol.dispose](): void {
    if (this.#db?.isOpen) this.#db.close();
    Deno.removeSync(this.directory, { recursive: true });
  }
}

const TIER = {
  bootId: BOOT_ID,
  time: NOW,
  uptimeMs: 7_200_000,
  pid: 321,
  userId: 998,
  version: "0.1.0",
  state: "running",
  memoryBytes: 80_000_000,
  cpuMs: 14_400,
  notices: [],
  noticeCount: 0,
};

export const COLLECTOR: CollectorStatus = {
  ...TIER,
  collectorId: "procmond",
  epoch: "e1",
  sources: [{
    name: "ebpf",
    state: "active",
    detail: "tracepoints of exec, fork and exit",
    misses: [],
    unknownColumns: [],
  }],
  confinement: "no capabilities, user 997, seccomp on",
  redaction: "on",
  completeness: { state: "proven", detail: "100 % of 900 records of the last hour seen by ebpf and by netlink" },
  attributes: [],
  connected: true,
  lastSequence: 500,
  acknowledgedSequence: 500,
  durableTime: NOW - 100,
  log: HEALTHY_LOG,
  ledger: HEALTHY_LEDGER,
  queuedEvents: 0,
  trackedProcesses: 120,
  forksSinceBoot: 5_000,
  counters: { events: 500, exec_received: 260, exec_lost: 0, gaps: 0, ...delays({ drained: 4, flushed: 0.51 }) },
};

export const AGENT: AgentStatus = {
  busClients: [],
  ...TIER,
  pid: 322,
  rules: [
    {
      id: "test-rule",
      title: "A test rule matched",
      severity: "high",
      file: "/rules/test.yaml",
      state: "active",
      line: null,
      column: null,
      reason: null,
      hits: 2,
      lane: "stream",
      hash: "ab".repeat(32),
      evaluations: 120,
      rows: 40_000,
      matches: 2,
      cpuMs: 12.5,
      suppressed: 0,
      degraded: [],
    },
  ],
  suppressors: [],
  collectors: [{
    collectorId: "procmond",
    epoch: "e1",
    connectedSince: NOW - 7_000_000,
    lastSequence: 500,
    lastEventTime: NOW - 200,
  }],
  lifecycle: { state: "steadyState", since: NOW - 7_000_000, reason: "", history: [] },
  registry: [{
    collectorId: "procmond",
    lifecycle: { state: "running", since: NOW - 7_000_000, reason: "", history: [] },
    connected: true,
    epoch: "e1",
    softwareVersion: "0.1.0",
    source: "ebpf",
    registration: {
      collectorType: "process-monitor",
      domains: ["process"],
      kernelLevel: true,
      realtime: true,
      systemWide: true,
      tables: processTables([]),
      heartbeatMs: 5_000,
      keepsLedger: true,
    },
    missed: 0,
    lastHeard: NOW - 1_000,
    registrations: 1,
    refused: 0,
    refusal: "",
  }],
  supervised: [],
  storeBytes: 1_234_567,
  store: { state: "taking", reason: "", since: 0, freeBytes: 2 ** 36, checkedTime: 0, check: "" },
  lastCommitTime: NOW - 100,
  counters: { events: 500, duplicates: 0, alerts: 2, gaps: 0, ...delays({ received: 6.2, judged: 0.3, committed: 1 }) },
};

/** What a tier says of steps that usually take so long: see `proto/delay_meter.ts`. */
function delays(usual: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(usual).flatMap(([step, ms]) => [
      [`delay_${step}_p50_ms`, ms],
      [`delay_${step}_p99_ms`, 2 * ms],
      [`delay_${step}_max_ms`, 10 * ms],
    ]),
  );
}
