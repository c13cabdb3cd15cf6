/**
 * `health`: is everything seen, kept and judged?
 *
 * @module
 */
import { isDelay, readDelays } from "../proto/delay_meter.ts";
import type { AttributeStanding } from "../proto/demand.ts";
import type { StateLayout } from "../proto/state_layout.ts";
import type {
  AgentStatus,
  BusClientStatus,
  CollectorStatus,
  LedgerStatus,
  LogStatus,
  StoreStatus,
  TierStatus,
} from "../proto/status.ts";
import { atMostArguments, spanOption } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { gapReasons, gapsWithin, lossWords, removedWithin, removedWords } from "./coverage.ts";
import { assess, isKept, type Report, type StoreReading } from "./health_report.ts";
import { writeCheck } from "./health_check.ts";
import { prometheusText } from "./health_prometheus.ts";
import { runLive } from "./live_screen.ts";
import { openOutput } from "./output.ts";
import { record, type RecordLine } from "./record.ts";
import { suppressorNotes } from "./rule_exceptions.ts";
import { safeJson } from "./safe_json.ts";
import type { Style } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses, type Statuses, type StatusReading } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import { TextView } from "./text_view.ts";
import { bytes, count, counted, localTime, span } from "./units.ts";

const DAY_MS = 86_400_000;
/** Reasons of gaps that are listed; the sum counts all. */
const MAX_GAP_REASONS = 20;
/** Enough for an index; a store under heavy load should not keep `health` waiting. */
const STORE_DEADLINE_MS = 5_000;

/** Time between two screens of --watch. */
const WATCH_INTERVAL_MS = 2_000;

export async function health(call: Call): Promise<Exit> {
  atMostArguments(call, 0, "health");
  const asked = ["check", "prometheus", "watch"].filter((name) => call.values[name] === true);
  if (asked.length > 1) throw new UsageError(`--${asked[0]} and --${asked[1]} exclude each other`);
  if (asked.length > 0 && call.values["format"] !== undefined) {
    throw new UsageError(`--${asked[0]} has a format of its own; leave --format out`);
  }
  const intervalMs = spanOption(call, "interval", WATCH_INTERVAL_MS);
  if (asked[0] !== "watch") {
    if (call.values["interval"] !== undefined) throw new UsageError("--interval needs --watch");
    return healthOnce(call);
  }
  if (!call.isInteractive) throw new CommandError("health --watch needs a terminal; health says the same once");
  const view = new TextView(call, (call) => void healthOnce(call), { isLive: true, leave: "quit" });
  await runLive(call, view, intervalMs);
  return EXIT.complete;
}

function healthOnce(call: Call): Exit {
  const { layout } = findPlaces(call);
  // In this order: what the store says is then never older than what the daemons say of it
  const statuses = readStatuses(layout, call.now());
  const store = readStore(layout, call.now());
  const report = assess(statuses, store, call.now());
  if (call.values["check"] === true) return writeCheck(call, statuses, store, report);
  if (call.values["prometheus"] === true) {
    call.out.write(prometheusText(statuses, store, report));
    return EXIT.complete;
  }
  if (call.format === "table") show(call, layout, statuses, store, report);
  else if (call.format === "json") call.out.write(safeJson(machineReport(statuses, store, report), 2) + "\n");
  else {
    const names = ["level", "subject", "text"];
    const output = openOutput(call.format, names, [], call.screen, (text) => call.out.write(text));
    for (const { level, subject, text } of report.findings) output.add([level, subject, text]);
    output.end();
  }
  if (report.verdict === "healthy") return EXIT.complete;
  return report.verdict === "unknown" ? EXIT.failed : EXIT.degraded;
}

/** What `health` asks the store. */
export function readStore(layout: StateLayout, now: number): StoreReading {
  try {
    using store = Store.open(layout.store, { deadlineMs: STORE_DEADLINE_MS });
    const one = (sql: string, ...parameters: number[]): number | null => {
      const cell = store.rows(sql, ...parameters)[0]?.[0] ?? null;
      return cell === null ? null : Number(cell);
    };
    const lastDay = { from: now - DAY_MS, until: null };
    return {
      kind: "read",
      stored: new Map(
        store.rows("SELECT collector_id, epoch, last_sequence FROM collectors")
          .map(([id, epoch, last]) => [`${id} ${epoch}`, Number(last)]),
      ),
      gaps: gapsWithin(store, lastDay),
      gapReasons: gapReasons(store, lastDay, MAX_GAP_REASONS),
      newestEvent: one("SELECT time FROM process_events ORDER BY time DESC LIMIT 1"),
      lastSnapshot: one("SELECT max(time) FROM scan_metadata"),
      alertsLastDay: one("SELECT count(*) FROM alerts WHERE time >= ?", now - DAY_MS) ?? 0,
      oldestEvent: one("SELECT time FROM process_events ORDER BY time LIMIT 1"),
      removed: removedWithin(store, { from: null, until: null }),
      walBytes: sizeOf(`${layout.store}-wal`),
    };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { kind: "unreadable", reason: error.message };
  }
}

function sizeOf(path: string): number | null {
  try {
    return Deno.statSync(path).size;
  } catch {
    return null;
  }
}

/** The same for programs: what was read, what was concluded. */
function machineReport(statuses: Statuses, store: StoreReading, report: Report): unknown {
  const storeJson = store.kind === "read" ? { ...store, stored: Object.fromEntries(store.stored) } : store;
  return { ...report, agent: statuses.agent, collector: statuses.collector, store: storeJson };
}

const VERDICT_STYLES: Readonly<Record<Report["verdict"], Style>> = {
  healthy: "good",
  degraded: "warning",
  stopped: "worst",
  unknown: "worst",
};

function show(call: Call, layout: StateLayout, statuses: Statuses, store: StoreReading, report: Report): void {
  const { out, screen } = call;
  const { good, bad, worst } = screen.marks;
  const mark = report.verdict === "healthy" ? good : report.verdict === "degraded" ? bad : worst;
  const findings = report.findings.map(({ level, subject, text }): RecordLine =>
    level === "stopped" ? [`${worst} ${subject}`, text, "worst"] : [`${bad} ${subject}`, text, "warning"]
  );
  record(call, `${mark} ${report.verdict}: ${report.summary}`, VERDICT_STYLES[report.verdict], findings);
  out.write("\n");
  showCollector(call, statuses.collector);
  out.write("\n");
  showAgent(call, statuses, layout, store);
  showGaps(call, store);
  showRules(call, statuses);
  showNotices(call, statuses);
}

function tierLines(reading: StatusReading<TierStatus>): RecordLine[] {
  if (reading.kind === "absent") return [["status", "none: it has not run here", "worst"]];
  if (reading.kind === "unreadable") return [["status", `cannot be read: ${reading.reason}`, "worst"]];
  const { status, ageMs, live } = reading;
  const age = `${span(Math.abs(ageMs))} ${ageMs < 0 ? "in the future" : "ago"}`;
  return [
    [
      "status",
      live ? status.state : status.state === "stopped" ? `stopped ${age}` : `stale, last written ${age}`,
      live ? "good" : "worst",
    ],
    ["process", `pid ${status.pid}, user ${status.userId ?? "unknown"}, version ${status.version}`],
    ["running for", span(status.uptimeMs)],
    ["uses", `${bytes(status.memoryBytes)}, ${span(status.cpuMs)} of CPU (${share(status)} of a core)`],
  ];
}

function share(status: TierStatus): string {
  return status.uptimeMs <= 0 ? "unknown share" : `${(100 * status.cpuMs / status.uptimeMs).toFixed(1)} %`;
}

function showCollector(call: Call, reading: StatusReading<CollectorStatus>): void {
  const lines = tierLines(reading);
  if (reading.kind === "read") {
    const { status } = reading;
    lines.push(["confinement", status.confinement]);
    const { state, detail } = status.completeness;
    lines.push(["completeness", detail, state === "proven" ? "good" : "warning"]);
    for (const source of status.sources) {
      const active = source.state === "active";
      lines.push([`source ${source.name}`, `${source.state}: ${source.detail}`, active ? "good" : "warning"]);
      for (const missed of source.misses) lines.push(["", missed, "warning"]);
      if (active && source.unknownColumns.length > 0) {
        lines.push(["", `NULL on this rung: ${source.unknownColumns.join(", ")}`, "faint"]);
      }
    }
    status.attributes.forEach((standing, i) => lines.push(attributeLine(standing, i === 0 ? "collects" : "")));
    lines.push(
      ["agent", status.connected ? "connected" : "not connected", status.connected ? "good" : "warning"],
      [
        "queue",
        `${counted(status.queuedEvents, "event")}; sent up to ${count(status.lastSequence)}, acknowledged up to ${
          count(status.acknowledgedSequence)
        }`,
      ],
      ...logLines(status.log),
      ledgerLine(status.ledger),
      ["tracked", counted(status.trackedProcesses, "process", "processes")],
      ["losses", losses(status.counters), "warning"],
      ...delayLines(status.counters, COLLECTOR_DELAYS),
      ["counters", counters(status.counters)],
    );
  }
  record(call, "collector", undefined, lines);
}

function showAgent(call: Call, { agent }: Statuses, layout: StateLayout, store: StoreReading): void {
  const lines = tierLines(agent);
  if (agent.kind === "read") {
    const { status } = agent;
    for (const connection of status.collectors) {
      lines.push([
        "collector",
        `${connection.collectorId}, connected ${localTime(connection.connectedSince, "s")}, stored up to ${
          count(connection.lastSequence)
        }`,
      ]);
    }
    if (status.collectors.length === 0) lines.push(["collector", "none connected", "warning"]);
    for (const client of status.busClients) lines.push(busLine(client));
    lines.push(...registryLines(status));
    lines.push(...delayLines(status.counters, AGENT_DELAYS));
    lines.push(["counters", counters(status.counters)], checkLine(status.store));
  }
  if (store.kind === "unreadable") lines.push(["store", store.reason, "worst"]);
  else {
    const size = agent.kind === "read" ? `, ${bytes(agent.status.storeBytes)}` : "";
    lines.push(["store", `readable (${layout.store}${size})`, "good"]);
    const time = (moment: number | null): string => moment === null ? "none" : localTime(moment);
    if (store.removed !== null) {
      lines.push(["kept", `events since ${time(store.oldestEvent)}; ${removedWords(store.removed)}`]);
    }
    lines.push(["newest event", time(store.newestEvent)], ["last snapshot", time(store.lastSnapshot)]);
    lines.push(["alerts", `${count(store.alertsLastDay)} in the last day`]);
  }
  record(call, "agent", undefined, lines);
}

/** One that hears or says something on the agent's bus, and what it was too slow for or may not. */
function busLine({ name, connected, patterns, queued, delivered, lost, refused }: BusClientStatus): RecordLine {
  const parts = [
    `${name}${connected ? "" : ", not connected"}, ${counted(patterns, "subscription")}`,
    `${count(delivered)} delivered, ${count(queued)} wait`,
    ...lost === 0 ? [] : [`${count(lost)} lost, as it is too slow or was away`],
    ...refused === 0 ? [] : [`${count(refused)} refused`],
  ];
  return ["bus", parts.join("; "), lost + refused > 0 ? "warning" : undefined];
}

/** The agent's phase, what collectors registered, and what the supervisor runs. */
function registryLines({ lifecycle, registry, supervised, time }: AgentStatus): RecordLine[] {
  const lines: RecordLine[] = [];
  if (lifecycle.state !== "") {
    const why = lifecycle.reason === "" ? "" : `: ${lifecycle.reason}`;
    lines.push(["phase", `${lifecycle.state}${why}`, lifecycle.state === "steadyState" ? undefined : "warning"]);
  }
  for (const { collectorId, lifecycle: { state }, registration, lastHeard, refused, refusal } of registry) {
    const what = registration === null
      ? ""
      : `, ${registration.collectorType} of ${registration.domains.join(", ")}, heartbeat ${
        span(registration.heartbeatMs)
      }`;
    const heard = lastHeard === 0 ? "never heard" : `heard ${span(Math.max(0, time - lastHeard))} before`;
    lines.push([
      "registered",
      `${collectorId}, ${state}${what}, ${heard}`,
      state === "running" ? undefined : "warning",
    ]);
    if (refused > 0) lines.push(["", `${counted(refused, "time")} refused, the last: ${refusal}`, "warning"]);
  }
  for (const { name, state, pid, restarts, budget } of supervised) {
    const process = pid === 0 ? "" : `, pid ${pid}`;
    const text = `${name}, ${state}${process}, ${counted(restarts, "restart")}, ${count(budget)} left`;
    lines.push(["supervised", text, state === "running" ? undefined : "warning"]);
  }
  return lines;
}

function checkLine({ checkedTime, check }: StoreStatus): RecordLine {
  if (checkedTime === 0) return ["store check", "not yet since the start; 'agent check' does it at once"];
  return ["store check", `${check}, ${localTime(checkedTime, "s")}`, check === "ok" ? "good" : "worst"];
}

/** What is collected of an attribute that costs something, and why. */
function attributeLine({ attribute, state, reason, since }: AttributeStanding, title: string): RecordLine {
  const isMissed = state === "refused" || state === "unavailable";
  const when = since === 0 ? "" : `, since ${localTime(since, "s")}`;
  return [title, `${attribute}, ${state}: ${reason}${when}`, isMissed ? "warning" : undefined];
}

/** The collector's log: where it is, how full, and what went wrong with it. */
function logLines(log: LogStatus): RecordLine[] {
  const lines: RecordLine[] = [[
    "log",
    `${log.place}, ${bytes(log.bytes)} of ${bytes(log.maxBytes)} in ${counted(log.segments, "segment")}`,
    log.trouble === "" ? undefined : "warning",
  ]];
  const add = (text: string): void => void lines.push(["", text, "warning"]);
  if (log.oldestTime !== null) lines.push(["", `oldest that is not acknowledged: ${localTime(log.oldestTime, "s")}`]);
  if (log.pendingBytes > 0) lines.push(["", `${bytes(log.pendingBytes)} not on disk yet`]);
  if (log.fault !== "") add(`nothing is written: ${log.fault}`);
  const counts: [number, string, many?: string][] = [
    [log.refused, "refused", "refused"],
    [log.missing, "lost by damage", "lost by damage"],
    [log.damaged, "damaged place"],
    [log.faults, "failed call of the disk", "failed calls of the disk"],
    [log.hastened, "segment deleted before its time", "segments deleted before their time"],
  ];
  const shown = counts.filter(([number]) => number > 0).map((each) => counted(...each));
  if (shown.length > 0) add(`since the start: ${shown.join(", ")}`);
  return lines;
}

/** The audit ledger: where it is, how long, and what of it is signed. */
function ledgerLine({ state, place, size, signed, checkpointTime, trouble, refused }: LedgerStatus): RecordLine {
  if (state !== "on") return ["ledger", `${state}${place === "" ? "" : ` (${place})`}`, "warning"];
  const when = checkpointTime === 0 ? "" : `, signed to ${count(signed)} at ${localTime(checkpointTime, "s")}`;
  const text = `${place}, ${counted(size, "entry", "entries")}${when}`;
  return ["ledger", text, trouble === "" && refused === 0 ? undefined : "warning"];
}

/** What the sources had to give up since the collector began; a gap record stands for each. */
function losses(values: Readonly<Record<string, number>>): string | null {
  const lost = Object.entries(values).filter(([name, value]) => name.endsWith("_lost") && value > 0);
  return lost.length === 0 ? null : lost.map(([name, value]) => `${name.slice(0, -5)} ${count(value)}`).join(", ");
}

/** What counted something; those at zero would bury it, and stand in --format json and --prometheus. */
function counters(values: Readonly<Record<string, number>>): string {
  const all = Object.entries(values).filter(([name]) => !isDelay(name)), some = all.filter(([, value]) => value !== 0);
  const shown = some.map(([name, value]) => `${name} ${count(value)}`), none = all.length - some.length;
  if (none > 0) shown.push(some.length === 0 ? `all ${count(none)} are 0` : `${count(none)} more at 0`);
  return shown.join(", ");
}

/** Steps on the way of an event, by the names of their figures. */
const COLLECTOR_DELAYS: Readonly<Record<string, string>> = {
  drained: "from the kernel to the collector",
  flushed: "from there onto the disk",
  durable: "from the event until it is on disk",
};
const AGENT_DELAYS: Readonly<Record<string, string>> = {
  received: "from the event to the agent",
  judged: "from there until it is judged",
  committed: "from there until it is stored",
  delivered_file: "from there until an alert is in the file",
};

/** How long the steps took in the last half minute. */
function delayLines(values: Readonly<Record<string, number>>, steps: Readonly<Record<string, string>>): RecordLine[] {
  const lines = Object.entries(steps).flatMap(([name, what]) => {
    const delays = readDelays(values, name);
    if (delays === null) return [];
    const [p50, p99, max] = [delays.p50, delays.p99, delays.max].map((ms) => ms.toFixed(ms < 10 ? 1 : 0));
    return [`${what}: ${p50} ms, 1 % more than ${p99}, longest ${max}`];
  });
  return lines.map((text, at): RecordLine => [at === 0 ? "delays" : "", text]);
}

function showGaps(call: Call, store: StoreReading): void {
  if (store.kind === "unreadable" || store.gaps === null) return;
  const lines = store.gapReasons.map(({ source, reason, gaps, ...loss }): RecordLine => {
    const cost = lossWords(loss);
    return [source, `${reason}: ${counted(gaps, "gap")}${cost === "" ? "" : `, ${cost}`}`, "warning"];
  });
  const listed = store.gapReasons.reduce((sum, { gaps }) => sum + gaps, 0);
  if (listed < store.gaps.gaps) lines.push(["", `${counted(store.gaps.gaps - listed, "gap")} for other reasons`]);
  call.out.write("\n");
  record(call, "gaps of the last day", undefined, lines);
}

/** Rules of one state that are listed; rules list has all. */
const MAX_LISTED = 20;

function showRules(call: Call, { agent }: Statuses): void {
  if (agent.kind !== "read") return;
  const { rules } = agent.status;
  const rejected = rules.filter((rule) => rule.state === "rejected");
  const hits = rules.reduce((sum, rule) => sum + rule.hits, 0);
  const active = rules.filter((rule) => rule.state === "active").length;
  const lines: RecordLine[] = [[
    "active",
    `${count(active)}, with ${counted(hits, "hit")} since the start`,
  ]];
  for (const rule of rejected) {
    const place = rule.line === null ? rule.file : `${rule.file}:${rule.line}:${rule.column ?? 1}`;
    lines.push(["rejected", `${place}: ${rule.reason ?? "no reason given"}`, "warning"]);
  }
  for (const rule of rules.filter(isKept).slice(0, MAX_LISTED)) {
    const place = rule.line === null ? rule.file : `${rule.file}:${rule.line}:${rule.column ?? 1}`;
    lines.push(["as before", `${place}: ${rule.reason}`, "warning"]);
  }
  const drafts = rules.filter((rule) => rule.state === "draft");
  if (drafts.length > 0) {
    const matches = drafts.reduce((sum, rule) => sum + rule.matches, 0);
    lines.push(["drafts", `${count(drafts.length)}, with ${counted(matches, "match", "matches")} and no alert`]);
  }
  for (const rule of rules.filter((rule) => rule.state === "disabled").slice(0, MAX_LISTED)) {
    lines.push(["disabled", `${rule.id}: ${rule.reason ?? "no reason given"}`]);
  }
  suppressorNotes(agent.status.suppressors, agent.status.time).forEach((text, at) => {
    lines.push([at === 0 ? "exceptions" : "", text, at === 0 ? undefined : "warning"]);
  });
  call.out.write("\n");
  record(call, "rules", undefined, lines);
}

function showNotices(call: Call, { agent, collector }: Statuses): void {
  for (const [tier, reading] of [["collector", collector], ["agent", agent]] as const) {
    if (reading.kind !== "read" || reading.status.notices.length === 0) continue;
    const { notices, noticeCount } = reading.status;
    const older = noticeCount > notices.length ? ` (the last ${notices.length} of ${count(noticeCount)})` : "";
    call.out.write("\n");
    record(
      call,
      `notices of the ${tier}${older}`,
      undefined,
      notices.map((n): RecordLine => [localTime(n.time, "s"), n.text]),
    );
  }
}
