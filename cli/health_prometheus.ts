/**
 * `health --prometheus`: the state of the host as metrics, for a textfile collector.
 *
 * Text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats): each family once, with HELP and
 * TYPE, no times. Of a daemon that does not answer nothing is told but that, and when it was heard last: old figures
 * would look like new ones. Labels hold what files and daemons say, made harmless and escaped.
 *
 * @module
 */
import { isDelay, readDelays } from "../proto/delay_meter.ts";
import { printable } from "../proto/printable.ts";
import type { TierStatus } from "../proto/status.ts";
import type { Report, StoreReading } from "./health_report.ts";
import type { Statuses, StatusReading } from "./status_reader.ts";

/** Series of one family; rules are the only thing that there may be very many of. */
const MAX_SERIES = 2_000;
/** UTF-16 units of a label. */
const MAX_LABEL = 256;
const PREFIX = "daemoneye_";
/** Steps of delay that the daemons may report. */
const DELAYS = ["drained", "flushed", "durable", "received", "judged", "committed", "delivered_file"] as const;

type Labels = Readonly<Record<string, string>>;
type Type = "gauge" | "counter" | "untyped";

class Exposition {
  #text = "";
  #dropped = 0;

  /** One family; nothing where there is no series. */
  add(name: string, type: Type, help: string, series: readonly (readonly [Labels, number | null])[]): void {
    const known = series.filter(([, value]) => value !== null);
    if (known.length === 0) return;
    const full = PREFIX + name;
    this.#text += `# HELP ${full} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${full} ${type}\n`;
    for (const [labels, value] of known.slice(0, MAX_SERIES)) this.#text += `${full}${labelText(labels)} ${value}\n`;
    this.#dropped += Math.max(0, known.length - MAX_SERIES);
  }

  end(): string {
    this.add("series_left_out", "gauge", `Series beyond ${MAX_SERIES} of a family, not written`, [[{}, this.#dropped]]);
    return this.#text;
  }
}

/** Labels in braces; `printable` has no line end left to escape. */
function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    const text = printable(value.slice(0, MAX_LABEL)).replaceAll("\\", "\\\\").replaceAll('"', '\\"');
    return `${name}="${text}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const seconds = (ms: number): number => Number((ms / 1_000).toPrecision(15));
const flag = (is: boolean): number => is ? 1 : 0;

/** All of it, ending in a newline. */
export function prometheusText({ agent, collector }: Statuses, store: StoreReading, report: Report): string {
  const all = new Exposition();
  all.add("healthy", "gauge", "1 where every process is seen, kept and judged", [[
    {},
    flag(report.verdict === "healthy"),
  ]]);
  const findings = new Map<string, [Labels, number]>();
  for (const { level, subject } of report.findings) {
    const found = findings.get(`${level} ${subject}`) ?? [{ level, subject }, 0];
    found[1] += 1;
    findings.set(`${level} ${subject}`, found);
  }
  all.add("findings", "gauge", "Things that an operator should know; daemoneye-cli health names them", [
    ...findings.values(),
  ]);
  tiers(all, { agent, collector });
  if (collector.kind === "read" && collector.live) {
    const { sources, log, ledger, ...status } = collector.status;
    const one = (name: string, type: Type, help: string, value: number | null): void =>
      all.add(name, type, help, [[{}, value]]);
    all.add(
      "source_active",
      "gauge",
      "1 where events come from this source",
      unique(sources.map(({ name, state }) => [{ source: name }, flag(state === "active")])),
    );
    one("collector_connected", "gauge", "1 where the collector is connected to the agent", flag(status.connected));
    one("collector_queued_events", "gauge", "Events that wait for the agent", status.queuedEvents);
    one("collector_tracked_processes", "gauge", "Processes that the collector knows", status.trackedProcesses);
    one("collector_log_bytes", "gauge", "Size of the write-ahead log", log.bytes);
    one("collector_log_limit_bytes", "gauge", "Size that the write-ahead log may have", log.maxBytes);
    one("collector_log_refused_items_total", "counter", "Items that found no room in the log", log.refused);
    one("collector_log_missing_items_total", "counter", "Numbers of the log lost by damage", log.missing);
    one("ledger_on", "gauge", "1 where the audit ledger is written", flag(ledger.state === "on"));
    one("ledger_entries", "gauge", "Entries of the audit ledger", ledger.size);
    one("ledger_signed_entries", "gauge", "Entries under the newest signed checkpoint", ledger.signed);
    one("ledger_refused_entries_total", "counter", "Entries that found no room in the ledger", ledger.refused);
  }
  if (agent.kind === "read" && agent.live) {
    const { rules, collectors, store: taking, storeBytes } = agent.status;
    const states = Map.groupBy(rules, ({ state }) => state);
    all.add("rules", "gauge", "Rules by state", [...states].map(([state, of]) => [{ state }, of.length]));
    all.add(
      "rule_hits_total",
      "counter",
      "Hits since the agent's start",
      unique(rules.filter(({ state }) => state === "active").map(({ id, hits }) => [{ rule: id }, hits])),
    );
    all.add("agent_collectors", "gauge", "Connected collectors", [[{}, collectors.length]]);
    all.add("store_bytes", "gauge", "Size of the store", [[{}, storeBytes]]);
    all.add("store_disk_free_bytes", "gauge", "Room on the disk of the store", [[{}, taking.freeBytes]]);
    all.add("store_taking", "gauge", "1 where the store takes what comes", [[{}, flag(taking.state === "taking")]]);
  }
  stored(all, store);
  return all.end();
}

/** What both daemons have, the series of one family beside each other. */
function tiers(all: Exposition, statuses: Statuses): void {
  const readings = Object.entries(statuses) as [string, StatusReading<TierStatus & Counted>][];
  const read = readings.flatMap(([tier, reading]) => reading.kind === "read" ? [{ tier, ...reading }] : []);
  const live = read.filter((reading) => reading.live);
  all.add(
    "up",
    "gauge",
    "1 where the daemon runs and answers",
    readings.map(([tier, reading]) => [{ tier }, flag(reading.kind === "read" && reading.live)]),
  );
  const each = (name: string, type: Type, help: string, of: (status: TierStatus) => number): void =>
    all.add(name, type, help, live.map(({ tier, status }) => [{ tier }, of(status)]));
  all.add(
    "status_timestamp_seconds",
    "gauge",
    "When the daemon said something last, in Unix time",
    read.map(({ tier, status }) => [{ tier }, seconds(status.time)]),
  );
  all.add(
    "build_info",
    "gauge",
    "Always 1; the version is a label",
    live.map(({ tier, status }) => [{ tier, version: status.version }, 1]),
  );
  each("uptime_seconds", "gauge", "Time since the daemon began", ({ uptimeMs }) => seconds(uptimeMs));
  each("cpu_seconds_total", "counter", "CPU time of the daemon", ({ cpuMs }) => seconds(cpuMs));
  each("resident_memory_bytes", "gauge", "Memory of the daemon", ({ memoryBytes }) => memoryBytes);
  each("notices_total", "counter", "Faults that the daemon reported since its start", ({ noticeCount }) => noticeCount);
  const figures = live.flatMap(({ tier, status }) =>
    Object.entries(status.counters).filter(([name]) => !isDelay(name))
      .map(([name, value]): [Labels, number] => [{ tier, name }, value])
  );
  // Some of them are sums since the start, some are of now: the name says which, not the family
  all.add("figure", "untyped", "Figures of the daemons by name, as daemoneye-cli health lists them", figures);
  const delays = live.flatMap(({ tier, status }) =>
    DELAYS.flatMap((step): [Labels, number][] => {
      const found = readDelays(status.counters, step);
      if (found === null) return [];
      const figures = [["0.5", found.p50], ["0.99", found.p99], ["1", found.max]] as const;
      return figures.map(([quantile, ms]) => [{ tier, step, quantile }, seconds(ms)]);
    })
  );
  all.add("delay_seconds", "gauge", "How long the steps on the way of an event took in the last half minute", delays);
}

interface Counted {
  readonly counters: Readonly<Record<string, number>>;
}

/** Two series of the same labels would make the whole file unreadable: the first stays. */
function unique(series: (readonly [Labels, number])[]): (readonly [Labels, number])[] {
  return [...new Map(series.toReversed().map((each) => [labelText(each[0]), each])).values()].toReversed();
}

function stored(all: Exposition, store: StoreReading): void {
  all.add("store_readable", "gauge", "1 where the store could be read", [[{}, flag(store.kind === "read")]]);
  if (store.kind !== "read") return;
  const one = (name: string, help: string, value: number | null): void => all.add(name, "gauge", help, [[{}, value]]);
  one("store_wal_bytes", "Size of the log beside the store", store.walBytes);
  one("alerts_last_day", "Alerts of the last 24 hours", store.alertsLastDay);
  one("gaps_last_day", "Gap records that ended in the last 24 hours", store.gaps?.gaps ?? 0);
  const time = (moment: number | null): number | null => moment === null ? null : seconds(moment);
  one("newest_event_timestamp_seconds", "Time of the newest stored event, in Unix time", time(store.newestEvent));
  one("oldest_event_timestamp_seconds", "Time of the oldest stored event, in Unix time", time(store.oldestEvent));
  one("last_snapshot_timestamp_seconds", "Last look at the process table, in Unix time", time(store.lastSnapshot));
}
