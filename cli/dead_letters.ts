/**
 * `alerts dead`: alerts that a sink will never take, and why.
 *
 * @module
 */
import { integerOption } from "./arguments.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { Conditions, timeConditions } from "./conditions.ts";
import type { ShownColumn } from "./output.ts";
import { timeCell } from "./process_cells.ts";
import { openRows } from "./row_output.ts";
import { severityStyle } from "./screen.ts";
import { findPlaces } from "./settings.ts";
import { Store } from "./store_reader.ts";
import { counted } from "./units.ts";

const NAMES = ["sink", "alert_id", "severity", "rule_id", "time", "attempts", "reason"];

const SHOWN: readonly ShownColumn[] = [
  { name: "sink", title: "SINK", keep: true },
  { name: "time", title: "TIME", optional: 1, show: (cell) => timeCell(cell) },
  {
    name: "severity",
    title: "SEVERITY",
    keep: true,
    show: (cell) => ({ text: String(cell), style: severityStyle(String(cell)) }),
  },
  { name: "alert_id", title: "ALERT", least: 20 },
  { name: "reason", title: "REASON", least: 20 },
];

export function deadLetters(call: Call): Exit {
  const limit = integerOption(call, "limit", 1, 1_000_000, 100);
  const where = new Conditions();
  where.add("d.state = 'dead'");
  timeConditions(call, where);
  using store = Store.open(findPlaces(call).layout.store);
  const statement = `SELECT d.sink, d.alert_id, a.severity, a.rule_id, a.time, d.attempts, d.reason
     FROM alert_deliveries d JOIN alerts a ON a.alert_id = d.alert_id ${where.sql}
     ORDER BY d.delivery_id DESC LIMIT ?`;
  const rows = store.rows(statement, ...where.parameters, limit + 1);
  const cut = rows.length > limit;
  if (cut) rows.pop();
  const output = openRows(call, NAMES, SHOWN);
  for (const row of rows.reverse()) output.add(row);
  output.end();
  if (rows.length === 0) call.note("No dead letter");
  if (cut) call.note(`The newest ${counted(limit, "dead letter")}; --limit or --since shows more`);
  return EXIT.complete;
}
