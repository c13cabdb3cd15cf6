/**
 * `alerts`: what the rules found, as a list, in numbers, or one in full.
 *
 * @module
 */
import { tableNamed } from "../proto/catalog.ts";
import { SEVERITIES } from "../proto/process_event.ts";
import { atMostArguments, choiceOption, integerOption, refuseForeign } from "./arguments.ts";
import { alertDetail, verdict } from "./alert_detail.ts";
import { alertStats } from "./alert_stats.ts";
import { type Call, EXIT, type Exit, UsageError } from "./command.ts";
import { Conditions, timeConditions } from "./conditions.ts";
import { tellCoverage } from "./coverage.ts";
import { deadLetters } from "./dead_letters.ts";
import type { CellByName, ShownColumn } from "./output.ts";
import { timeCell, userOf } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { severityStyle } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { readStatuses, type Statuses } from "./status_reader.ts";
import { Store } from "./store_reader.ts";
import type { TableCell } from "./table.ts";
import { timeline } from "./timeline.ts";
import { count, counted } from "./units.ts";

const NAMES = tableNamed("alerts").columns.map((column) => column.name);
const TIME = NAMES.indexOf("time"), COMPLETENESS = NAMES.indexOf("completeness");
const SELECT = `SELECT ${NAMES.join(", ")} FROM alerts`;

export function alerts(call: Call): Exit {
  const [word, ...rest] = call.arguments;
  const takes = (...options: readonly string[]): void =>
    refuseForeign(call, word === undefined ? "alerts" : `alerts ${word}`, options);
  const alone = (answer: (call: Call) => Exit, ...options: readonly string[]): Exit => {
    atMostArguments({ ...call, arguments: rest }, 0, `alerts ${word}`);
    takes(...options);
    return answer(call);
  };
  switch (word) {
    case undefined:
    case "list":
      return alone(list, "rule", "severity", "status", "since", "until", "limit", "columns");
    case "stats":
      return alone(alertStats, "since", "until", "columns");
    case "dead":
      return alone(deadLetters, "since", "until", "limit", "columns");
    case "show":
      if (rest.length !== 1) throw new UsageError("alerts show takes the id of an alert, or the number of its event");
      takes();
      return alertDetail(call, rest[0]!);
    case "timeline":
      if (rest.length !== 1) {
        throw new UsageError("alerts timeline takes the id of an alert, or the number of its event");
      }
      takes("since", "until", "limit");
      return timeline({ ...call, arguments: [], values: { ...call.values, alert: rest[0]! } });
    default:
      atMostArguments(call, 1, "alerts");
      takes();
      return alertDetail(call, word);
  }
}

const STATUSES = ["open", "acknowledged", "closed"] as const;

function list(call: Call): Exit {
  const limit = integerOption(call, "limit", 1, 1_000_000, 100);
  const where = new Conditions();
  const rule = call.values["rule"] as string | undefined;
  if (rule !== undefined) where.add("rule_id = ?", rule);
  const least = choiceOption(call, "severity", SEVERITIES);
  if (least !== null) {
    const enough = SEVERITIES.slice(SEVERITIES.indexOf(least));
    where.add(`severity IN (${enough.map(() => "?").join(", ")})`, ...enough);
  }
  const status = choiceOption(call, "status", STATUSES);
  if (status !== null) where.add("coalesce(status, 'open') = ?", status);
  const range = timeConditions(call, where);
  const { layout } = findPlaces(call);

  using store = Store.open(layout.store);
  const rows = store.rows(
    `${SELECT} ${where.sql} ORDER BY time DESC, alert_id DESC LIMIT ?`,
    ...where.parameters,
    limit + 1,
  );
  const cut = rows.length > limit;
  if (cut) rows.pop();
  rows.reverse();
  const output = openRows(call, NAMES, SHOWN);
  for (const row of rows) output.add(row);
  output.end();
  if (rows.length === 0) call.note("No alert matches");
  if (cut) call.note(`The newest ${counted(limit, "alert")}; --limit or --since shows more`);
  const partial =
    rows.filter((row) => row[COMPLETENESS] !== null && verdict(row[COMPLETENESS]!).reasons !== null).length;
  if (partial > 0) {
    call.note(
      `${counted(partial, "alert")} of rules that could not see everything; ` +
        'the line "saw" of alerts ALERT says what was missing',
    );
  }
  const from = cut ? Number(rows[0]![TIME]) : range.from;
  const statuses = readStatuses(layout, call.now());
  tellExceptions(call, statuses);
  const rejected = tellRejectedRules(call, store);
  const lacking = tellCoverage(call, store, statuses, { from, until: range.until });
  return rejected || lacking ? EXIT.degraded : EXIT.complete;
}

/** What is no alert because somebody said so. */
function tellExceptions(call: Call, { agent }: Statuses): void {
  if (agent.kind !== "read" || !agent.live) return;
  const rule = call.values["rule"], { rules } = agent.status;
  const took = rules.reduce((sum, { id, suppressed }) => sum + (rule === undefined || rule === id ? suppressed : 0), 0);
  if (took > 0) {
    call.note(
      `${counted(took, "hit")} since the agent's start became no alert, by exceptions (rules exceptions lists them)`,
    );
  }
}

/** A rule that was rejected finds nothing: no alert of it means nothing. */
function tellRejectedRules(call: Call, store: Store): boolean {
  const rejected = Number(store.rows("SELECT count(*) FROM detection_rules WHERE state = 'rejected'")[0]![0]);
  if (rejected > 0) call.note(`${counted(rejected, "rule")} rejected, which can find nothing (rules list says why)`);
  return rejected > 0;
}

const SHOWN: readonly ShownColumn[] = [
  // The other formats, and one alert in full, have the milliseconds
  { name: "time", title: "TIME", keep: true, show: (cell) => timeCell(cell, "s") },
  {
    name: "severity",
    title: "SEVERITY",
    keep: true,
    show: (cell) => ({ text: String(cell), style: severityStyle(String(cell)) }),
  },
  { name: "status", title: "STATE", keep: true, unlessEmpty: true, show: (_, of) => stateOf(of) },
  { name: "rule_id", title: "RULE", least: 14 },
  { name: "pid", title: "PID", keep: true, optional: 2 },
  { name: "user_name", title: "USER", optional: 1, show: (_, of) => userOf(of) },
  { name: "event_id", title: "EVENT", keep: true },
  {
    name: "command_line",
    title: "COMMAND",
    least: 12,
    optional: 3,
    show: (_, of) => String(of("command_line") ?? of("name") ?? ""),
  },
];

/** What became of it; nothing of an alert that is as it was raised. */
function stateOf(of: CellByName): TableCell {
  if (of("kind") === "summary") return { text: `${count(Number(of("repeat_count")))} more`, style: "accent" };
  const words = [of("status") ?? "open", ...of("muted_by") === null ? [] : ["muted"]].filter((word) => word !== "open");
  return words.length === 0 ? { text: "-", style: "null" } : { text: words.join(", "), style: "faint" };
}
