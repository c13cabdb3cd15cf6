/**
 * What the store and the alert file hold after a run, held against what a writer of known events was told.
 *
 * @module
 */
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";
import { rows } from "../agent/support.ts";
import { EVIL, HITS, knownBy } from "./known_events.ts";

/** What one life of the writer was told. */
export interface Told {
  /** Everything up to this event of it is on disk, and of that so many were refused. */
  durable: number;
  refused: number;
  /** It was about to write up to here, when it was last heard of. */
  about: number;
  aboutRefused: number;
}

/** Numbers of a stream, both included. */
export interface Range {
  readonly first: number;
  readonly last: number;
}

export interface Expected {
  /** By life. */
  readonly told: ReadonlyMap<number, Told>;
  /** The highest number that the agent acknowledged, by epoch. */
  readonly acknowledged: ReadonlyMap<string, number>;
  /** Numbers that a power cut took before they were on disk, so that nobody was promised them, by epoch. */
  readonly torn: ReadonlyMap<string, readonly Range[]>;
  /** Events that one step of a writer adds: what a kill may have cut off before it was said. */
  readonly step: number;
}

/** What became of the events of one life, or of several together. */
export interface Tally {
  acknowledged: number;
  present: number;
  doubled: number;
  lost: number;
  /** Events that were on disk; of those, the ones that are stored. */
  durable: number;
  arrived: number;
  /** Numbers that a power cut took before they were promised. */
  torn: number;
  /** Items that gap records tell of. */
  told: number;
  alerts: number;
}

export interface Verdict extends Tally {
  /** Lines of the alert file beyond one for each alert. */
  again: number;
  readonly faults: string[];
}

/** Reads everything; wants the agent to have ended, or to stand still. `delivered`: ids of alerts, as they came. */
export function judge(store: string, delivered: readonly string[], expected: Expected): Verdict {
  const verdict: Verdict = {
    acknowledged: 0,
    present: 0,
    doubled: 0,
    lost: 0,
    durable: 0,
    arrived: 0,
    torn: 0,
    told: 0,
    alerts: 0,
    again: 0,
    faults: [],
  };
  judgeStreams(store, expected, verdict);
  judgeEvents(store, expected, verdict);
  judgeAlerts(store, delivered, verdict);
  return verdict;
}

function judgeStreams(store: string, { acknowledged, torn }: Expected, verdict: Verdict): void {
  const { faults } = verdict;
  const streams = rows(store, "SELECT stream, epoch FROM collectors");
  for (const [epoch, sequence] of acknowledged) {
    verdict.acknowledged += sequence;
    const stream = streams.find((each) => each["epoch"] === epoch)?.["stream"] as number | undefined;
    const present = stream === undefined ? 0 : numbersUpTo(store, stream, sequence);
    verdict.present += present;
    verdict.lost += sequence - present;
    if (present !== sequence) faults.push(`${sequence} were acknowledged of epoch ${epoch}, ${present} are there`);
  }
  const sql = `SELECT c.epoch, g.gap_id % ${SEQUENCES_PER_STREAM} AS first, g.count, g.reason FROM gaps g
    JOIN collectors c ON c.stream = g.gap_id / ${SEQUENCES_PER_STREAM} WHERE g.source = 'transport'`;
  for (const row of rows(store, sql)) {
    const first = row["first"] as number, last = first + (row["count"] as number) - 1;
    verdict.torn += last - first + 1;
    const known = torn.get(row["epoch"] as string)?.some((range) => range.first <= first && last <= range.last);
    if (!known) faults.push(`a number that was on disk is lost: ${row["reason"]}`);
  }
}

/** How many numbers up to `sequence` are told of: a writer sends nothing but events and gaps, each with a row. */
function numbersUpTo(store: string, stream: number, sequence: number): number {
  const base = stream * SEQUENCES_PER_STREAM, within = [base + 1, base + sequence];
  const [row] = rows(
    store,
    `SELECT (SELECT count(*) FROM process_events WHERE event_id BETWEEN ? AND ?) +
      (SELECT coalesce(sum(CASE source WHEN 'transport' THEN count ELSE 1 END), 0) FROM gaps
        WHERE gap_id BETWEEN ? AND ?) AS n`,
    ...within,
    ...within,
  );
  return row!["n"] as number;
}

function judgeEvents(store: string, { told, step }: Expected, verdict: Verdict): void {
  const { faults } = verdict, seen = new Map<number, Set<number>>();
  let last = { stream: 0, life: 0, number: 0 };
  const items = `SELECT event_id AS id, exec_id AS name FROM process_events
    UNION ALL SELECT gap_id, reason FROM gaps WHERE source = 'ebpf' ORDER BY 1`;
  for (const { id, name } of rows(store, items)) {
    const { life, number } = knownBy(name as string);
    const stream = Math.floor(id as number / SEQUENCES_PER_STREAM);
    let numbers = seen.get(life);
    if (numbers === undefined) seen.set(life, numbers = new Set());
    if (numbers.has(number)) verdict.doubled += 1;
    numbers.add(number);
    if (stream === last.stream && (life < last.life || (life === last.life && number < last.number))) {
      faults.push(`event ${life}/${number} comes after ${last.life}/${last.number}`);
    }
    last = { stream, life, number };
  }
  if (verdict.doubled > 0) faults.push(`${verdict.doubled} events are there twice`);
  let least = 0, most = 0;
  for (const [life, { durable, refused, about, aboutRefused }] of told) {
    const numbers = seen.get(life) ?? new Set();
    let arrived = 0;
    for (const number of numbers) {
      if (number <= durable) arrived += 1;
      else if (number > about + step) faults.push(`event ${life}/${number} was never made`);
    }
    verdict.durable += durable - refused;
    verdict.arrived += arrived;
    if (arrived !== durable - refused) {
      faults.push(`life ${life}: of ${durable} events on disk ${refused} were refused, but ${arrived} arrived`);
    }
    least += refused;
    most += aboutRefused + step;
  }
  const [{ n }] = rows(store, "SELECT coalesce(sum(count), 0) AS n FROM gaps WHERE source = 'collector'") as [
    { n: number },
  ];
  verdict.told = n;
  if (n < least || n > most) faults.push(`gaps tell of ${n} events, ${least} to ${most} were refused`);
}

function judgeAlerts(store: string, delivered: readonly string[], verdict: Verdict): void {
  const { faults } = verdict;
  const [{ evil }] = rows(store, "SELECT count(*) AS evil FROM process_events WHERE name = ?", EVIL) as [
    { evil: number },
  ];
  const alerts = rows(store, "SELECT alert_id, rule_id, event_id FROM alerts");
  verdict.alerts = alerts.length;
  const pairs = new Set(alerts.map(({ rule_id, event_id }) => `${rule_id} ${event_id}`));
  if (alerts.length !== evil * HITS || pairs.size !== alerts.length) {
    faults.push(`${evil} evil events gave ${alerts.length} alerts, ${pairs.size} of them different`);
  }
  const orphans = "SELECT count(*) AS n FROM alerts WHERE event_id NOT IN (SELECT event_id FROM process_events)";
  if (rows(store, orphans)[0]!["n"] !== 0) faults.push("there are alerts on events that are not there");
  const ids = new Set(delivered);
  verdict.again = delivered.length - ids.size;
  for (const { alert_id } of alerts) {
    if (!ids.delete(alert_id as string)) faults.push(`alert ${alert_id} was never delivered`);
  }
  for (const id of ids) faults.push(`alert ${id} was delivered and is not in the store`);
}

/** Ids of the alerts in a file of them, line by line. */
export function readAlertIds(path: string): string[] {
  try {
    return Deno.readTextFileSync(path).split("\n").filter((line) => line !== "").map((line) =>
      JSON.parse(line).alertId
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
