/**
 * `alerts stats`: alerts and hits that became none, by rule, and what is silent now.
 *
 * @module
 */
import { type Call, EXIT, type Exit } from "./command.ts";
import { Conditions, timeConditions } from "./conditions.ts";
import type { ShownColumn } from "./output.ts";
import { timeCell } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { severityStyle } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { Store } from "./store_reader.ts";
import { counted, span } from "./units.ts";

const NAMES = ["rule_id", "severity", "alerts", "repeated", "limited", "muted", "open", "last_time"];

const SHOWN: readonly ShownColumn[] = [
  { name: "rule_id", title: "RULE", least: 20 },
  {
    name: "severity",
    title: "SEVERITY",
    keep: true,
    show: (cell) => ({ text: String(cell), style: severityStyle(String(cell)) }),
  },
  { name: "alerts", title: "ALERTS", keep: true },
  { name: "repeated", title: "REPEATED", keep: true, optional: 3 },
  { name: "limited", title: "LIMITED", keep: true, optional: 2 },
  { name: "muted", title: "MUTED", keep: true, optional: 1 },
  { name: "open", title: "OPEN", keep: true, optional: 5 },
  { name: "last_time", title: "LAST", keep: true, optional: 4, show: (cell) => timeCell(cell, "s") },
];

export function alertStats(call: Call): Exit {
  const where = new Conditions();
  timeConditions(call, where);
  const { layout } = findPlaces(call);
  using store = Store.open(layout.store);
  // Windows that have not ended have no summary yet
  const rows = store.rows(
    `SELECT rule_id, severity,
       count(*) FILTER (WHERE kind IS NOT 'summary'),
       coalesce(sum(repeat_count) FILTER (WHERE alert_id NOT LIKE '%@summary:limit:%'), 0)
         + coalesce((SELECT sum(w.count) FROM alert_windows w WHERE w.rule_id = alerts.rule_id AND w.kind = 'repeat'), 0),
       coalesce(sum(repeat_count) FILTER (WHERE alert_id LIKE '%@summary:limit:%'), 0)
         + coalesce((SELECT sum(w.count) FROM alert_windows w WHERE w.rule_id = alerts.rule_id AND w.kind = 'limit'), 0),
       count(muted_by),
       count(*) FILTER (WHERE kind IS NOT 'summary' AND coalesce(status, 'open') = 'open'),
       max(time) AS last_time
     FROM alerts ${where.sql} GROUP BY rule_id ORDER BY 3 DESC, rule_id`,
    ...where.parameters,
  );
  const output = openRows(call, NAMES, SHOWN);
  for (const row of rows) output.add(row);
  output.end();
  if (rows.length === 0) call.note("No alert matches");
  const mutes = store.rows(
    `SELECT mute_id, kind, reason, created_by, left_ms, noted_time, muted, terms FROM alert_mutes WHERE ended_time IS NULL
     ORDER BY created_time`,
  );
  for (const [id, kind, reason, by, left, noted, muted, terms] of mutes) {
    const rest = Math.max(0, Number(left) - Math.max(0, call.now() - Number(noted)));
    const what = termsText(String(terms));
    call.note(
      `${kind} ${id} of ${by}, ${span(rest)} left, ${counted(Number(muted), "alert")} muted: ${reason} (${what})`,
    );
  }
  return EXIT.complete;
}

interface Matcher {
  readonly fields: Readonly<Record<string, string>>;
  readonly atMost: string | null;
}

/** What a silence or inhibition says, as it was typed. */
function termsText(json: string): string {
  const matcher = ({ fields, atMost }: Matcher, side = ""): string[] => [
    ...Object.entries(fields).map(([field, pattern]) => `${side}${field}=${pattern}`),
    ...atMost === null ? [] : [`${side}severity=${atMost}`],
  ];
  try {
    const terms = JSON.parse(json);
    if (terms.kind === "silence") return matcher(terms.match).join(" ");
    const equal = terms.equal.length === 0 ? [] : [`equal in ${terms.equal.join(", ")}`];
    return [...matcher(terms.source, "source."), ...matcher(terms.target, "target."), ...equal].join(" ");
  } catch {
    return "what it says cannot be read";
  }
}
