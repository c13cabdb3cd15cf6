/**
 * Messages of every kind for tests of the wire: the usual, the empty and the full.
 *
 * @module
 */
import type { WireMessage } from "../../proto/messages.ts";
import { BUS_MESSAGES } from "./bus_samples.ts";
import {
  BLANK_EVENT,
  BLANK_RECORD,
  BLANK_STATE,
  FULL_EVENT,
  FULL_RECORD,
  FULL_STATE,
  USUAL_EVENT,
} from "./event_samples.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** At least one of every kind. */
export const MESSAGES: readonly WireMessage[] = [
  { kind: "challenge", nonce: new Uint8Array(32).fill(1), versionMin: 1, versionMax: 3 },
  {
    kind: "hello",
    version: 1,
    collectorId: "procmond",
    epoch: "6f0c4c1e-8f2e-4f4e-9d8c-0123456789ab",
    bootId: "a1b2c3d4-e5f6-4711-8899-aabbccddeeff",
    softwareVersion: "0.1.0+dev",
    source: "ebpf",
    nonce: new Uint8Array(32).fill(2),
    proof: new Uint8Array(32).fill(3),
  },
  { kind: "welcome", proof: new Uint8Array(32).fill(4), lastSequence: 0, credit: 16_384 },
  { kind: "welcome", proof: new Uint8Array(32).fill(4), lastSequence: 2 ** 40 - 1, credit: Number.MAX_SAFE_INTEGER },
  { kind: "refused", reason: "nicht erwünscht" },
  { kind: "events", firstSequence: 1, events: [USUAL_EVENT] },
  { kind: "events", firstSequence: 2 ** 40 - 3, events: [FULL_EVENT, BLANK_EVENT, USUAL_EVENT] },
  {
    kind: "gap",
    sequence: 9,
    gap: { source: "ebpf", recordKind: "exec", from: 1, to: 2 ** 41, count: 2 ** 33, reason: "ring" },
  },
  {
    kind: "gap",
    sequence: 10,
    gap: { source: "collector", recordKind: "all", from: 0, to: 0, count: null, reason: "" },
  },
  { kind: "snapshot", sequence: 11, time: 5, part: 0, last: false, processes: [BLANK_STATE, FULL_STATE] },
  { kind: "snapshot", sequence: 12, time: 5, part: 4_000_000_000, last: true, processes: [] },
  {
    kind: "sources",
    sequence: 13,
    sources: [
      { name: "ebpf", state: "unavailable", detail: "no BTF", misses: [], unknownColumns: [] },
      {
        name: "proc",
        state: "active",
        detail: "polls",
        misses: ["short lives", "exit codes"],
        unknownColumns: ["exit_code", "inode"],
      },
    ],
  },
  { kind: "sources", sequence: 14, sources: [] },
  { kind: "ack", sequence: 0, credit: 0 },
  { kind: "ack", sequence: 14, credit: 16_384 },
  { kind: "heartbeat", time: 1_732_166_400_123 },
  { kind: "challenge", nonce: new Uint8Array(32).fill(9), versionMin: 1, versionMax: 1, registrationVersion: 1 },
  {
    kind: "registration",
    collectorType: "process-monitor",
    domains: ["process", "performance"],
    kernelLevel: true,
    realtime: false,
    systemWide: true,
    tables: [{ name: "process_events", version: 4, columns: ["pid", "name"] }, {
      name: "processes",
      version: 1,
      columns: [],
    }],
    heartbeatMs: 60_000,
    keepsLedger: true,
  },
  {
    kind: "registration",
    collectorType: "x",
    domains: [],
    kernelLevel: false,
    realtime: false,
    systemWide: false,
    tables: [],
    heartbeatMs: 100,
    keepsLedger: false,
  },
  {
    kind: "registration",
    collectorType: "log",
    domains: [],
    kernelLevel: false,
    realtime: true,
    systemWide: false,
    tables: [{
      name: "log_lines",
      version: 2,
      columns: ["line", "size"],
      definition: {
        description: "Lines",
        columns: [
          { name: "line", type: "TEXT", description: "the line" },
          { name: "size", type: "INTEGER", description: "" },
        ],
      },
    }],
    heartbeatMs: 100,
    keepsLedger: false,
  },
  {
    kind: "rows",
    firstSequence: 14,
    table: "log_lines",
    rows: [
      { time: 1_732_166_400_123, values: ["é\u0000", 0, null, "", -1.5, 2 ** 53 - 1] },
      { time: 0, values: [] },
    ],
  },
  { kind: "registered", heartbeatMs: 5_000 },
  { kind: "begin", time: 1_732_166_400_123 },
  { kind: "goodbye", reason: "stopping" },
  {
    kind: "request",
    id: 1,
    body: {
      kind: "capabilities",
      clientId: "agent",
      domains: ["process", "network", "filesystem", "performance"],
      clientVersion: null,
    },
  },
  {
    kind: "request",
    id: 0xffffffff,
    body: {
      kind: "task",
      taskId: "t1",
      taskType: "check_process_hash",
      processFilter: { processNames: ["sh", "ü"], pids: [1, 0xffffffff], executablePattern: "/tmp/*" },
      hashCheck: { expectedHash: "ab", hashAlgorithm: "sha256", executablePath: "/bin/sh" },
      metadata: "{}",
    },
  },
  {
    kind: "request",
    id: 2,
    body: {
      kind: "task",
      taskId: "",
      taskType: "enumerate_processes",
      processFilter: null,
      hashCheck: null,
      metadata: null,
    },
  },
  {
    kind: "reply",
    id: 1,
    body: {
      kind: "capabilities",
      success: true,
      domains: ["process"],
      kernelLevel: true,
      realtime: true,
      systemWide: false,
      errorMessage: null,
      serverVersion: "0.1.0",
      demandVersion: 1,
      rpcVersion: 1,
    },
  },
  { kind: "request", id: 3, body: { kind: "demand", demand: { hashes: true, variables: ["A", "GLIBC_TUNABLES"] } } },
  { kind: "request", id: 4, body: { kind: "demand", demand: { hashes: false, variables: [] } } },
  {
    kind: "reply",
    id: 5,
    body: {
      kind: "demand",
      attributes: [
        { attribute: "executable_hash", state: "configured", reason: "", since: 0 },
        { attribute: "environment.A", state: "demanded", reason: "rules read it", since: 2 ** 41 },
        { attribute: "environment.B_1", state: "refused", reason: "ü", since: 0 },
      ],
    },
  },
  { kind: "reply", id: 6, body: { kind: "demand", attributes: [] } },
  {
    kind: "reply",
    id: 2,
    body: {
      kind: "result",
      taskId: "t1",
      success: true,
      errorMessage: null,
      processes: [FULL_RECORD, BLANK_RECORD],
      hashResult: {
        hashValue: "ab",
        algorithm: "sha256",
        filePath: "/bin/sh",
        success: false,
        errorMessage: "differs",
      },
    },
  },
  {
    kind: "reply",
    id: 3,
    body: { kind: "result", taskId: "", success: false, errorMessage: "no", processes: [], hashResult: null },
  },
  { kind: "reply", id: 4, body: { kind: "error", reason: "unknown task" } },
  { kind: "ledgerHead", origin: "daemoneye/0a1b", size: 2 ** 40, root: new Uint8Array(32).fill(7) },
  { kind: "ledgerNotes", notes: [] },
  {
    kind: "ledgerNotes",
    notes: [
      { id: 1, action: "alert", payload: bytes('{"alerts":[]}') },
      { id: Number.MAX_SAFE_INTEGER, action: "tierStopped", payload: bytes("{}") },
    ],
  },
  { kind: "ledgerTaken", id: 9 },
  ...BUS_MESSAGES,
];
