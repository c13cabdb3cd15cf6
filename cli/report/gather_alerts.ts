/**
 * The alerts of a report: counts over all of them, and the most severe and newest in full.
 *
 * What rules and collectors wrote as JSON may be damaged: it is shown as text then, never refused. Long texts are cut,
 * and end with how much is missing.
 *
 * @module
 */
import { processOfExec } from "../../proto/identity.ts";
import type { Cell } from "../output.ts";
import { count } from "../units.ts";
import {
  type AlertFacts,
  type AlertStep,
  type FiredRule,
  type ListedAlert,
  type PressingRule,
  type Progress,
  SEVERITY_ORDER,
} from "./data.ts";
import type { Reader, ReportRange, TimeBars } from "./data.ts";
import { barWidth } from "./bar_width.ts";
import { gatherGraph } from "./gather_graph.ts";
import { parsed, shortened, texts } from "./stored_text.ts";

/** Most values of one alert's evidence. */
const MAX_EVIDENCE = 60;
/** Rules that are listed by name; the counts have all. */
const MAX_RULES = 500;
/** Steps of an alert's history that are shown, the newest. */
const MAX_STEPS = 10;
/** Ids of one query. */
const BATCH = 400;

const LISTED = [
  ..."alert_id,time,detected_time,rule_id,rule_hash,title,description,severity,tags,status,muted_by".split(","),
  ..."kind,repeat_count,reason,event_id,exec_id,pid,name,executable_path,command_line,user_name,user_id".split(","),
  ..."cwd,container_id,stdin_kind,evidence,completeness,ancestry,parent_exec_id,parent_name,ppid".split(","),
  ..."parent_executable_path,parent_command_line,start_time".split(","),
] as const;
const PLACES = new Map(LISTED.map((name, at) => [name, at]));

/** A value of an alert's row by its column. */
export type AlertCells = (name: string) => Cell;

const RANK = `CASE severity ${SEVERITY_ORDER.map((severity, at) => `WHEN '${severity}' THEN ${at}`).join(" ")} ELSE ${
  SEVERITY_ORDER.length - 1
} END`;
const WITHIN = "time >= ? AND time <= ?";
/** Nobody has taken it up. */
const OPEN = "coalesce(status, 'open') = 'open' AND muted_by IS NULL";
/** Rules that are named first of all. */
const MAX_PRESSING = 6;

/** @param limit most alerts that are listed in full */
export function gatherAlerts(reader: Reader, range: ReportRange, limit: number, progress: Progress): AlertFacts {
  progress("reading alerts");
  const { from, until } = range;
  const bySeverity: number[] = SEVERITY_ORDER.map(() => 0);
  const openBySeverity: number[] = SEVERITY_ORDER.map(() => 0);
  let partial = 0;
  for (
    const [rank, alerts, unseen, open] of reader.rows(
      `SELECT ${RANK}, count(*), sum(completeness IS NULL OR completeness NOT LIKE '{"complete":true%'),
         sum(${OPEN})
       FROM alerts WHERE ${WITHIN} GROUP BY 1`,
      from,
      until,
    )
  ) {
    bySeverity[Number(rank)]! += Number(alerts);
    openBySeverity[Number(rank)]! += Number(open);
    partial += Number(unseen);
  }
  const rows = reader.rows(
    `SELECT ${LISTED.join(", ")} FROM alerts WHERE ${WITHIN} ORDER BY ${RANK}, time DESC, alert_id LIMIT ?`,
    from,
    until,
    limit,
  );
  const cells = rows.map((row): AlertCells => (name) => row[PLACES.get(name)!] ?? null)
    .sort((a, b) => Number(b("time")) - Number(a("time")) || (String(a("alert_id")) < String(b("alert_id")) ? -1 : 1));
  const histories = gatherHistories(reader, cells);
  return {
    total: bySeverity.reduce((sum, n) => sum + n, 0),
    bySeverity,
    openBySeverity,
    pressing: gatherPressing(reader, range),
    partial,
    rules: gatherRules(reader, range),
    bars: gatherBars(reader, range),
    listed: cells.map((of) => listedAlert(of, histories.get(String(of("alert_id"))) ?? [])),
    processes: gatherGraph(reader, cells, progress),
  };
}

function gatherRules(reader: Reader, { from, until }: ReportRange): FiredRule[] {
  // The bare columns are those of the row with max(time): SQLite says so (lang_select.html, 2.5)
  return reader.rows(
    `SELECT rule_id, title, severity, tags, count(*), min(time), max(time) FROM alerts WHERE ${WITHIN}
     GROUP BY rule_id ORDER BY 5 DESC, rule_id LIMIT ${MAX_RULES}`,
    from,
    until,
  ).map(([id, title, severity, tags, alerts, first, last]) => ({
    id: String(id),
    title: shortened(String(title ?? "")),
    severity: String(severity ?? ""),
    tags: texts(tags!),
    alerts: Number(alerts),
    first: Number(first),
    last: Number(last),
  }));
}

function gatherPressing(reader: Reader, { from, until }: ReportRange): PressingRule[] {
  return reader.rows(
    `SELECT rule_id, title, ${RANK}, count(*), max(time) FROM alerts WHERE ${WITHIN} AND ${OPEN}
     GROUP BY rule_id, 3 ORDER BY 3, 4 DESC, rule_id LIMIT ${MAX_PRESSING}`,
    from,
    until,
  ).map(([id, title, rank, open, last]) => ({
    id: String(id),
    title: shortened(String(title ?? "")),
    severity: SEVERITY_ORDER[Number(rank)]!,
    open: Number(open),
    last: Number(last),
  }));
}

function gatherBars(reader: Reader, { from, until }: ReportRange): TimeBars {
  const widthMs = barWidth(until - from), first = Math.floor(from / widthMs);
  const bars = Array.from({ length: Math.floor(until / widthMs) - first + 1 }, () => SEVERITY_ORDER.map(() => 0));
  for (
    const [at, rank, alerts] of reader.rows(
      `SELECT time / ${widthMs}, ${RANK}, count(*) FROM alerts WHERE ${WITHIN} GROUP BY 1, 2`,
      from,
      until,
    )
  ) {
    bars[Number(at) - first]![Number(rank)]! += Number(alerts);
  }
  return { from: first * widthMs, widthMs, bars };
}

function gatherHistories(reader: Reader, alerts: readonly AlertCells[]): Map<string, AlertStep[]> {
  const histories = new Map<string, AlertStep[]>();
  for (let at = 0; at < alerts.length; at += BATCH) {
    const ids = alerts.slice(at, at + BATCH).map((of) => String(of("alert_id")));
    for (
      const [id, time, action, actor, text] of reader.each(
        `SELECT alert_id, time, action, actor, text FROM alert_history
         WHERE alert_id IN (SELECT value FROM json_each(?)) ORDER BY entry_id`,
        JSON.stringify(ids),
      )
    ) {
      const steps = histories.get(String(id)) ?? [];
      histories.set(String(id), steps);
      steps.push({
        time: Number(time),
        action: String(action),
        actor: String(actor ?? ""),
        text: shortened(String(text ?? "")),
      });
      if (steps.length > MAX_STEPS) steps.shift();
    }
  }
  return histories;
}

function listedAlert(of: AlertCells, history: readonly AlertStep[]): ListedAlert {
  const text = (name: string): string | null => of(name) === null ? null : shortened(String(of(name)));
  const number = (name: string): number | null => of(name) === null ? null : Number(of(name));
  const isSummary = of("kind") === "summary";
  return {
    id: String(of("alert_id")),
    time: Number(of("time")),
    detected: Number(of("detected_time") ?? of("time")),
    ruleId: String(of("rule_id")),
    ruleHash: text("rule_hash"),
    title: text("title") ?? String(of("rule_id")),
    description: (text("description") ?? "").replace(/\s+/g, " ").trim(),
    severity: severityOf(of("severity")),
    tags: texts(of("tags")),
    status: text("status") ?? "open",
    mutedBy: text("muted_by"),
    repeats: isSummary ? number("repeat_count") : null,
    reason: isSummary ? text("reason") : null,
    eventId: text("event_id"),
    processId: processOfExec(String(of("exec_id") ?? "")),
    pid: number("pid"),
    name: text("name"),
    executable: text("executable_path"),
    command: text("command_line"),
    user: text("user_name") ?? text("user_id"),
    directory: text("cwd"),
    container: text("container_id"),
    input: text("stdin_kind"),
    evidence: evidenceOf(of("evidence")),
    unseen: unseenOf(of("completeness")),
    history,
  };
}

/** One of the known severities: what is none counts as the least. */
function severityOf(cell: Cell): string {
  return SEVERITY_ORDER.find((known) => known === cell) ?? SEVERITY_ORDER.at(-1)!;
}

function evidenceOf(cell: Cell): [string, string][] {
  if (cell === null) return [];
  const selected = parsed(cell);
  if (typeof selected !== "object" || selected === null) return [["evidence", shortened(String(cell))]];
  const values = Object.entries(selected), shown = values.slice(0, MAX_EVIDENCE);
  const lines = shown.map(([name, value]): [string, string] => [shortened(name), shortened(valueText(value))]);
  return values.length === shown.length
    ? lines
    : [...lines, ["and", `${count(values.length - shown.length)} more values`]];
}

function valueText(value: unknown): string {
  if (value === null) return "NULL";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function unseenOf(cell: Cell): string[] {
  const found = parsed(cell) as { complete?: unknown; reasons?: unknown } | null;
  if (found?.complete === true) return [];
  const reasons = Array.isArray(found?.reasons) ? found.reasons.map((reason) => shortened(String(reason))) : [];
  return reasons.length === 0 ? ["it was not noted"] : reasons.slice(0, MAX_STEPS);
}
