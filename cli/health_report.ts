/**
 * The judgement behind `health`: what the daemons say, held against each other and against the store.
 *
 * Pure: readings in, findings out. A daemon's word about itself is believed only as far as the other one and the store
 * do not contradict it.
 *
 * @module
 */
import { PARTIAL } from "../proto/rules/rule.ts";
import {
  type AgentStatus,
  type CollectorStatus,
  REDACTION_ON,
  type RuleStatus,
  STALE_AFTER_MS,
  type TierStatus,
} from "../proto/status.ts";
import { ENVIRONMENT } from "../proto/demand.ts";
import { namesOf, stateOf } from "./rule_exceptions.ts";
import type { GapReason, GapSummary, RemovedSummary } from "./coverage.ts";
import { gapWords } from "./coverage.ts";
import type { Statuses, StatusReading } from "./status_reader.ts";
import { bytes, count, counted, localTime, span } from "./units.ts";

export type Level = "ok" | "degraded" | "stopped";

/** One thing that an operator should know. */
export interface Finding {
  readonly level: Exclude<Level, "ok">;
  readonly subject: string;
  readonly text: string;
}

/** What the store says, or why it says nothing. */
export type StoreReading =
  | {
    readonly kind: "read";
    /** Last stored sequence by `collector epoch`. */
    readonly stored: ReadonlyMap<string, number>;
    /** Gaps that ended within the last day. */
    readonly gaps: GapSummary | null;
    /** The same by source and reason, the most frequent. */
    readonly gapReasons: readonly GapReason[];
    readonly newestEvent: number | null;
    readonly lastSnapshot: number | null;
    readonly alertsLastDay: number;
    readonly oldestEvent: number | null;
    /** What retention took. */
    readonly removed: RemovedSummary | null;
    readonly walBytes: number | null;
  }
  | { readonly kind: "unreadable"; readonly reason: string };

export interface Report {
  readonly verdict: "healthy" | "degraded" | "stopped" | "unknown";
  /** One sentence for the verdict line. */
  readonly summary: string;
  readonly findings: readonly Finding[];
}

/** Collector's queue above which an operator should know that the agent does not keep up. */
const LONG_QUEUE = 10_000;
/** Log beside the store that somebody must be pinning. */
const LONG_LOG_BYTES = 268_435_456;
/** Room on the disk of the store below which it may soon take nothing. */
const LITTLE_ROOM_BYTES = 268_435_456;
/** Time that a batch may be on its way before the two counts of sequences must agree. */
const SETTLE_MS = 10_000;

/** Counters of the agent that say that something was not judged or not told, and what they mean. */
const SHORTFALLS: Readonly<Record<string, string>> = {
  ledger_notes_refused: "times that the agent could not keep what is to be entered into the audit ledger",
  rule_faults: "times that a rule could not judge a batch",
  alerts_undelivered: "alerts are owed to a sink",
  sinks_failing: "of the sinks fail again and again, or take nothing any more (sinks says which)",
  alerts_dead: "alerts are dead letters: a sink will never take them (alerts dead says why)",
  alerts_dropped: "alerts were given up, since too many were owed to a sink (sinks)",
  bus_behind:
    "subscribers of the bus do not acknowledge alerts, which go on without them (the agent's notices name them)",
  analysis_dropped: "analyses were asked for by triggers and found no room (docs/analysis.md)",
  analysis_limited: "analyses were asked for by triggers more often than they may (docs/analysis.md)",
  analysis_faults: "times that a trigger or a rule over results could not judge",
  analysis_files_rejected: "files in analysis/ of a rules directory are not right; the agent's notices say why",
  analyses_unstored: "times that the store did not take what an analysis found",
};

export function assess(statuses: Statuses, store: StoreReading, now: number): Report {
  const { agent, collector } = statuses;
  const findings: Finding[] = [
    ...tierFindings("agent", agent),
    ...tierFindings("collector", collector),
    ...(collector.kind === "read" && collector.live ? collectorFindings(collector.status) : []),
    ...(agent.kind === "read" && agent.live ? agentFindings(agent.status) : []),
    ...crossFindings(statuses, store, now),
    ...storeFindings(store, now),
  ];
  const nothing = agent.kind !== "read" && collector.kind !== "read" && store.kind !== "read";
  if (nothing) return { verdict: "unknown", summary: "neither daemon's status nor the store can be read", findings };
  const stopped = findings.filter((finding) => finding.level === "stopped");
  const rest = findings.filter((finding) => finding.level === "degraded");
  if (stopped.length > 0) {
    return { verdict: "stopped", summary: "this host is not watched", findings };
  }
  if (rest.length > 0) {
    return {
      verdict: "degraded",
      summary: `this host is watched, with ${counted(rest.length, "reservation")}`,
      findings,
    };
  }
  return { verdict: "healthy", summary: "every process is seen, kept and judged", findings };
}

function tierFindings(tier: "agent" | "collector", reading: StatusReading<TierStatus>): Finding[] {
  const stopped = (text: string): Finding[] => [{ level: "stopped", subject: tier, text }];
  if (reading.kind === "absent") return stopped(`the ${tier} has not run here`);
  if (reading.kind === "unreadable") {
    return [{ level: "degraded", subject: tier, text: `the ${tier}'s status cannot be read: ${reading.reason}` }];
  }
  const { status, ageMs, live } = reading;
  if (status.state === "stopped") return stopped(`the ${tier} was stopped ${span(ageMs)} ago`);
  if (ageMs < -STALE_AFTER_MS) {
    return stopped(`the ${tier}'s status is of the future (${localTime(status.time)}): the clock was set back`);
  }
  if (!live) return stopped(`the ${tier} does not run or does not answer: its status is ${span(ageMs)} old`);
  const findings: Finding[] = [];
  // A degraded agent says why: see agentFindings()
  if (status.state !== "running" && status.state !== "degraded") {
    findings.push({ level: "degraded", subject: tier, text: `the ${tier} is ${status.state}` });
  }
  return findings;
}

function collectorFindings(status: CollectorStatus): Finding[] {
  const findings: Finding[] = [];
  const add = (text: string): void => void findings.push({ level: "degraded", subject: "collector", text });
  const active = status.sources.filter((source) => source.state === "active");
  if (active.length === 0) add("no event source is active");
  for (const source of active) {
    for (const missed of source.misses) add(`not all is seen by source ${source.name}: ${missed}`);
  }
  if (status.redaction !== REDACTION_ON) add(`redaction is ${status.redaction || "not spoken of by the collector"}`);
  if (status.completeness.state === "differs") add(`a second source saw other things: ${status.completeness.detail}`);
  if (!status.connected) add("the collector is not connected to the agent");
  for (
    const [name, who] of [["refused_system_calls", "collector"], ["hasher_refused_system_calls", "hasher"]] as const
  ) {
    const refused = status.counters[name] ?? 0;
    if (refused > 0) {
      add(
        `the kernel refused the ${who} ${
          counted(refused, "system call")
        } that it is not meant to make; see the notices`,
      );
    }
  }
  for (const { attribute, state, reason } of status.attributes) {
    // That a source reads no environments is the source's to say; here it matters what rules read.
    if (state !== "refused" && (state !== "unavailable" || attribute === ENVIRONMENT)) continue;
    add(`rules read ${attribute}, which is not collected: ${reason}`);
  }
  const { log } = status;
  if (log.trouble !== "") add(`the write-ahead log: ${log.trouble}`);
  if (log.fault !== "") add(`the write-ahead log is not written, so the agent gets nothing: ${log.fault}`);
  if (log.isSlowed) {
    add("the write-ahead log fills up: the process table is read less often, environments and usage are left out");
  }
  if (log.refused > 0) add(`${counted(log.refused, "item")} found no room in the write-ahead log; gaps say which`);
  if (log.missing > 0) add(`lost by damage in the write-ahead log: ${counted(log.missing, "number")}`);
  const { ledger } = status;
  if (ledger.trouble !== "") add(`the audit ledger: ${ledger.trouble}`);
  else if (ledger.state !== "on") add(`the audit ledger is ${ledger.state}`);
  if (ledger.refused > 0) add(`${counted(ledger.refused, "entry", "entries")} found no room in the audit ledger`);
  if (status.queuedEvents > LONG_QUEUE) add(`${counted(status.queuedEvents, "event")} wait for the agent`);
  return findings;
}

/** Whether a rule judges in a version that its file does not have any more. */
export function isKept({ state, reason }: RuleStatus): boolean {
  return (state === "active" || state === "draft") && reason !== null && !reason.startsWith(PARTIAL);
}

function agentFindings(status: AgentStatus): Finding[] {
  const findings: Finding[] = [];
  const rejected = status.rules.filter((rule) => rule.state === "rejected").length;
  const add = (text: string): void => void findings.push({ level: "degraded", subject: "rules", text });
  if (rejected > 0) add(`${counted(rejected, "rule")} rejected, below`);
  const kept = status.rules.filter(isKept).length;
  if (kept > 0) add(`${counted(kept, "rule")} active in an earlier version, because the file is not right, below`);
  if (!status.rules.some((rule) => rule.state === "active")) add("no rule is active: nothing is judged");
  const expired = status.suppressors.filter((each) => stateOf(each, status.time) === "expired");
  if (expired.length > 0) {
    const what = counted(expired.length, "exception has expired", "exceptions have expired");
    add(`${what}, so what was excepted raises alerts again; renew or remove: ${namesOf(expired)}`);
  }
  findings.push(...agentStoreFindings(status), ...collectorsFindings(status));
  if (status.counters["analyzers_connected"] === 0) {
    findings.push({ level: "degraded", subject: "agent", text: "analyses are on and no analyzer is connected" });
  }
  for (const [name, words] of Object.entries(SHORTFALLS)) {
    const value = status.counters[name] ?? 0;
    if (value > 0) findings.push({ level: "degraded", subject: "agent", text: `${count(value)} ${words}` });
  }
  return findings;
}

/** What is wrong with the collectors as the agent, and the supervisor, see them. */
function collectorsFindings({ lifecycle, registry, supervised }: AgentStatus): Finding[] {
  const findings: Finding[] = [];
  const add = (text: string): void => void findings.push({ level: "degraded", subject: "collectors", text });
  if (lifecycle.state === "startupFailed") add(`the agent's start failed: ${lifecycle.reason}`);
  for (const { collectorId, lifecycle: { state, reason, since } } of registry) {
    const why = reason === "" ? "" : `: ${reason}`, when = localTime(since, "s");
    if (state === "failed") add(`collector ${collectorId} has failed at ${when}${why}; events may be missing`);
    else if (state === "degraded") add(`collector ${collectorId} has missed a heartbeat at ${when}${why}`);
    else if (state === "expected") add(`collector ${collectorId} has not connected since the agent's start`);
    else if (state === "joined") add(`collector ${collectorId} has not said what it sees`);
  }
  for (const { name, state, lastEnd, nextStart } of supervised) {
    const next = nextStart === 0 ? "it is not started again" : `it starts again at ${localTime(nextStart, "s")}`;
    if (state === "waiting") add(`${name} has ended (${lastEnd}); ${next}`);
    else if (state === "exhausted") add(`${name} has ended too often (${lastEnd}), its restarts are used up; ${next}`);
    else if (state === "stopped") add(`${name} was stopped on request`);
  }
  return findings;
}

function agentStoreFindings({ store, state, time }: AgentStatus): Finding[] {
  const findings: Finding[] = [];
  const add = (text: string): void => void findings.push({ level: "degraded", subject: "store", text });
  if (store.state === "refusing") {
    add(
      `nothing is stored or judged since ${localTime(store.since, "s")} (${span(Math.max(0, time - store.since))}), ` +
        `and collectors keep what they see: ${store.reason}`,
    );
  } else if (state === "degraded") add("the agent is degraded and does not say why");
  if (store.checkedTime > 0 && store.check !== "ok") {
    add(`the store is damaged, as found at ${localTime(store.checkedTime, "s")}: ${store.check}; run 'agent check'`);
  }
  if (store.freeBytes !== null && store.freeBytes < LITTLE_ROOM_BYTES) {
    add(`the disk of the store has ${bytes(store.freeBytes)} left; free space on it`);
  }
  return findings;
}

/** What one daemon says, against the other and the store. Only where both speak of now. */
function crossFindings({ agent, collector }: Statuses, store: StoreReading, now: number): Finding[] {
  if (agent.kind !== "read" || collector.kind !== "read" || !agent.live || !collector.live) return [];
  const findings: Finding[] = [];
  const add = (text: string): void => void findings.push({ level: "degraded", subject: "cross-check", text });
  const c = collector.status, a = agent.status;
  if (c.bootId !== a.bootId) {
    add("agent and collector name different boots of the host: one of the files is not of this run");
  }
  const listed = a.collectors.find((connection) =>
    connection.collectorId === c.collectorId && connection.epoch === c.epoch
  );
  // Both files are a moment old: a connection just made or lost shows in one of them first
  const settled = c.uptimeMs > STALE_AFTER_MS && a.uptimeMs > STALE_AFTER_MS;
  if (c.connected && listed === undefined && settled) {
    add(`the collector says that it is connected, the agent does not list it (${c.collectorId})`);
  }
  if (!c.connected && listed !== undefined && settled && now - listed.connectedSince > SETTLE_MS) {
    add("the agent lists the collector, which says that it is not connected");
  }
  const stored = store.kind === "read" ? store.stored.get(`${c.collectorId} ${c.epoch}`) : undefined;
  // The store was read after the status was written, so it may only be ahead
  if (store.kind === "read" && (stored ?? 0) < c.acknowledgedSequence) {
    add(
      `the collector got an acknowledgement up to ${count(c.acknowledgedSequence)}, the store holds up to ` +
        `${count(stored ?? 0)}: events that the collector has forgotten are not stored`,
    );
  }
  return findings;
}

function storeFindings(store: StoreReading, now: number): Finding[] {
  if (store.kind === "unreadable") return [{ level: "degraded", subject: "store", text: store.reason }];
  const findings: Finding[] = [];
  const add = (text: string): void => void findings.push({ level: "degraded", subject: "store", text });
  if (store.gaps !== null) add(`in the last day, ${gapWords(store.gaps)}`);
  if (store.newestEvent !== null && store.newestEvent > now + STALE_AFTER_MS) {
    add(`the newest event is of the future (${localTime(store.newestEvent)}): the clock was set back`);
  }
  if (store.walBytes !== null && store.walBytes > LONG_LOG_BYTES) {
    add("the log beside the store is long: a reader keeps it from being written back; end readers that wait");
  }
  return findings;
}
