/**
 * What could not be seen, kept or judged in the time of a report, and what ATT&CK says of the rules that looked.
 *
 * @module
 */
import { ATTACK_VERSION } from "../../proto/rules/attack.ts";
import { coverageOf } from "../../proto/rules/coverage.ts";
import { gapReasons, gapsWithin, removedWithin, removedWords, touching } from "../coverage.ts";
import type {
  AttackFacts,
  CoverageFacts,
  FiredRule,
  GapFact,
  Reader,
  ReportRange,
  RuleFacts,
  SourceFact,
} from "./data.ts";
import { barWidth, HOUR_MS } from "./bar_width.ts";
import { shortened, texts } from "./stored_text.ts";

/** Reasons and single gaps that are listed; the sums have all. */
const MAX_REASONS = 50, MAX_GAPS = 100;
const MAX_SOURCES = 200, MAX_UNHEALTHY = 500;

/** What only living daemons can say; a bundle has less. */
export type Live = Pick<CoverageFacts, "health" | "blind"> & {
  /** Rules that the agent says judge less than they should; `null` where it says nothing. */
  readonly rules: Pick<RuleFacts, "unhealthy" | "suppressed"> | null;
};

export function gatherCoverage(reader: Reader, { from, until }: ReportRange, live: Live): CoverageFacts {
  const range = { from, until }, gaps = gapsWithin(reader, range), removed = removedWithin(reader, range);
  const [ends] = reader.rows(
    `SELECT (SELECT time FROM process_events ORDER BY time LIMIT 1),
       (SELECT time FROM process_events ORDER BY time DESC LIMIT 1), (SELECT max(time) FROM scan_metadata)`,
  );
  const time = (at: number): number | null => ends![at] === null ? null : Number(ends![at]);
  const oldestEvent = time(0), newestEvent = time(1), lastScan = time(2);
  const known = [newestEvent, lastScan].filter((each) => each !== null);
  return {
    health: live.health,
    blind: live.blind,
    lastKnown: known.length === 0 ? null : Math.max(...known),
    oldestEvent,
    newestEvent,
    gaps: gaps?.gaps ?? 0,
    lost: gaps?.lost ?? 0,
    uncounted: gaps?.uncounted ?? 0,
    gapReasons: gapReasons(reader, range, MAX_REASONS),
    gapSpans: gapSpans(reader, range),
    listedGaps: longestGaps(reader, range),
    removed: removed === null ? null : removedWords(removed),
    sources: gatherSources(reader),
    rules: gatherRules(reader, live),
  };
}

function gapSpans(reader: Reader, range: ReportRange): [number, number][] {
  const unit = Math.min(HOUR_MS, barWidth(range.until - range.from)), spans: [number, number][] = [];
  const rows = reader.each(
    `SELECT DISTINCT from_time / ${unit}, to_time / ${unit} FROM gaps WHERE ${touching.sql} ORDER BY 1, 2`,
    ...touching.parameters(range),
  );
  for (const [first, last] of rows) {
    const from = Math.max(Number(first) * unit, Math.floor(range.from / unit) * unit);
    const to = Math.min((Number(last) + 1) * unit, (Math.floor(range.until / unit) + 1) * unit), open = spans.at(-1);
    if (open !== undefined && from <= open[1]) open[1] = Math.max(open[1], to);
    else spans.push([from, to]);
  }
  return spans;
}

function longestGaps(reader: Reader, range: ReportRange): GapFact[] {
  return reader.rows(
    `SELECT from_time, to_time, source, record_kind, count, reason FROM gaps WHERE ${touching.sql}
     ORDER BY to_time - from_time DESC, gap_id LIMIT ${MAX_GAPS}`,
    ...touching.parameters(range),
  ).map(([from, to, source, kind, lost, reason]) => ({
    from: Number(from),
    to: Number(to),
    source: shortened(String(source ?? "")),
    kind: shortened(String(kind ?? "")),
    lost: lost === null || lost === undefined ? null : Number(lost),
    reason: shortened(String(reason ?? "")),
  })).sort((a, b) => a.from - b.from || a.to - b.to);
}

function gatherSources(reader: Reader): SourceFact[] {
  return reader.rows(
    `SELECT collector_id, name, state, detail, misses, unknown_columns FROM sources
     ORDER BY collector_id, state <> 'active', name LIMIT ${MAX_SOURCES}`,
  ).map(([collector, name, state, detail, misses, unknown]) => ({
    collector: shortened(String(collector)),
    name: shortened(String(name)),
    state: shortened(String(state)),
    detail: shortened(String(detail ?? "")),
    misses: texts(misses!),
    unknownColumns: texts(unknown!),
  }));
}

function gatherRules(reader: Reader, { rules }: Live): RuleFacts {
  const states = new Map(
    reader.rows("SELECT state, count(*) FROM detection_rules GROUP BY state").map(([state, n]) => [state, Number(n)]),
  );
  const rejected = (): RuleFacts["unhealthy"] =>
    reader.rows(
      `SELECT rule_id, state, reason FROM detection_rules WHERE state = 'rejected' ORDER BY rule_id LIMIT ${MAX_UNHEALTHY}`,
    ).map(([id, state, why]) => ({ id: String(id), state: String(state), why: shortened(String(why ?? "")) }));
  return {
    active: states.get("active") ?? 0,
    draft: states.get("draft") ?? 0,
    disabled: states.get("disabled") ?? 0,
    rejected: states.get("rejected") ?? 0,
    unhealthy: (rules?.unhealthy ?? rejected()).slice(0, MAX_UNHEALTHY),
    suppressed: rules?.suppressed ?? null,
  };
}

/** The matrix: what active rules look for, and what has fired. */
export function gatherAttack(reader: Reader, fired: readonly FiredRule[]): AttackFacts {
  const active = new Map(
    reader.rows("SELECT rule_id, tags FROM detection_rules WHERE state = 'active' ORDER BY rule_id")
      .map(([id, tags]) => [String(id), texts(tags!)]),
  );
  const alerts = new Map(fired.map((rule) => [rule.id, rule.alerts]));
  // A rule that has fired may be gone by now
  const all = new Map([...fired.map(({ id, tags }) => [id, tags] as const), ...active]);
  const found = coverageOf([...all].map(([id, tags]) => ({ id, tags, isSigma: false })));
  return {
    version: ATTACK_VERSION,
    tactics: found.tactics.filter(({ tactic, techniques }) => tactic.isSeen || techniques.length > 0).map((each) => ({
      id: each.tactic.id,
      title: each.tactic.title,
      techniques: each.techniques.map(({ id, name, rules }) => ({
        id,
        name,
        rules: rules.filter((rule) => active.has(rule)).length,
        alerts: rules.reduce((sum, rule) => sum + (alerts.get(rule) ?? 0), 0),
      })),
    })),
    rules: active.size,
    untagged: found.untagged.filter((id) => active.has(id)).length,
  };
}
