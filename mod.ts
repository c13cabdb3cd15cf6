/**
 * The toolkit's face: what a third party needs to write a collector of its own, or to read what DaemonEye keeps.
 *
 * Everything here is pure: it takes bytes and values and gives them back, and needs no permission. A collector connects to
 * the agent's socket, wraps the connection in a {@linkcode Channel}, proves itself with {@linkcode joinAgent}, and sends
 * `events` messages whose sequence numbers count from 1 without a hole.
 *
 * @example A collector that reports one event
 * ```ts ignore
 * import { blankProcessEvent, Channel, execId, joinAgent, joinArgv } from "daemoneye";
 *
 * const channel = new Channel(await Deno.connect({ transport: "unix", path: "/run/daemoneye/broker.sock" }));
 * const token = (await Deno.readTextFile("/run/daemoneye/collector.token")).trim();
 * const identity = { collectorId: "mine", epoch: crypto.randomUUID(), bootId, softwareVersion: "1.0", source: "mine" };
 * const { lastSequence } = await joinAgent(channel, token, identity);
 * const event = { ...blankProcessEvent("start", Date.now(), execId("0badcafe", 42, 7, null), 42), argv: joinArgv(["ls"]) };
 * await channel.send({ kind: "events", firstSequence: lastSequence + 1, events: [event] });
 * ```
 *
 * What reads, verifies and proves audit ledgers is exported as `daemoneye/ledger` too, without the rest: that runs in a
 * browser. A proof needs nothing but the ledger's key; whoever keeps checkpoints can tell a ledger that was rewritten.
 *
 * @example Verify a ledger whose files are in memory, against a head that was kept elsewhere
 * ```ts
 * import { describeVerdict, MemorySource, verifyLedger } from "./mod.ts";
 * import assert from "node:assert/strict";
 *
 * const files = new Map<string, Uint8Array>(); // name and bytes of each file
 * const kept = { size: 4711, root: new Uint8Array(32) };
 * const verdict = await verifyLedger({ source: new MemorySource(files), now: Date.now(), anchors: [kept] });
 * assert.equal(verdict.fault?.reason, "file");
 * assert.match(describeVerdict(verdict), /header is missing.*verified to 0, anchored to 0/);
 * ```
 *
 * @module
 */
export type { Alert } from "./proto/alert.ts";
export { commandLine, decodeBytes, encodeText, joinArgv, splitArgv } from "./proto/argv.ts";
export type { Completeness } from "./proto/completeness.ts";
export {
  type AttributeStanding,
  type Demand,
  DEMAND_VERSION,
  ENVIRONMENT,
  HASHES,
  MAX_DEMANDED_VARIABLES,
  variableAttribute,
} from "./proto/demand.ts";
export { CATALOG, type Column, type ColumnType, SCHEMA_VERSION, type Table, tableNamed } from "./proto/catalog.ts";
export { Channel, ChannelTimeoutError } from "./proto/channel.ts";
export { crc32c } from "./proto/crc32c.ts";
export { encodeFrame, FrameError, FrameReader, MAX_FRAME_BYTES } from "./proto/frame.ts";
export { HandshakeError, joinAgent } from "./proto/handshake.ts";
export { bootTag, execId, processId, processOfExec } from "./proto/identity.ts";
export * from "./proto/ledger/mod.ts";
export { printable } from "./proto/printable.ts";
export {
  blankProcessEvent,
  type Gap,
  MAX_ARGV_BYTES,
  type ProcessEvent,
  type ProcessEventKind,
  type ProcessState,
  SEVERITIES,
  type Severity,
} from "./proto/process_event.ts";
export { RuleEngine } from "./proto/rules/engine.ts";
export { parseRule, type Rule, RuleError, type ValidatedRule, validateRule } from "./proto/rules/rule.ts";
export { type GuardedQuery, guardSql } from "./proto/rules/sql_guard.ts";
export { SqlRefusedError } from "./proto/rules/sql_refused.ts";
export type { AgentStatus, CollectorStatus } from "./proto/status.ts";
export { decodeAgentStatus, decodeCollectorStatus } from "./proto/status_codec.ts";
export { decodeMessage, encodeMessage, type WireMessage } from "./proto/wire.ts";
