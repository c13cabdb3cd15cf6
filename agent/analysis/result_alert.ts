/**
 * Makes the alert for a hit of a rule over results: on the event that set the analysis going, or on the file alone where a
 * person asked.
 *
 * @module
 */
import type { Alert, AlertHead } from "../../proto/alert.ts";
import type { FactRow } from "../../proto/analysis/stage.ts";
import { tableNamed } from "../../proto/catalog.ts";
import { completenessOf } from "../../proto/completeness.ts";
import { columnPlaces, type SqlValue } from "../../proto/event_row.ts";
import type { Rule } from "../../proto/rules/rule.ts";
import { alertOf } from "../alerts/alert_of.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";
import type { Run } from "./run.ts";
import { type Target, targetKey } from "./target.ts";

const PLACE = columnPlaces("process_events"), WIDTH = tableNamed("process_events").columns.length;

export function resultAlert(
  rule: Rule,
  run: Run,
  hit: FactRow,
  hits: number,
  now: number,
  head: (collectorId: string) => AlertHead | null = () => null,
): Alert {
  const { id, target, chain } = run.order, row = target.row ?? rowOf(target, now);
  const collectorId = row[PLACE.get("collector_id")!] as string | null ?? "";
  const number = Math.floor((row[PLACE.get("event_id")!] as number) / SEQUENCES_PER_STREAM);
  const { reason } = run, evidence = { analysis_id: id, chain_id: chain.id, ...hits > 1 ? { rows: hits } : {}, ...hit };
  return alertOf(
    rule,
    row,
    evidence,
    { number, collectorId, epoch: "" },
    now,
    head(collectorId),
    completenessOf(reason === null ? [] : [`analysis ${id}: ${reason}`]),
    `analysis:${id}:${now}`,
    `analysis ${targetKey(target)}`,
  );
}

/** A row of no event, for a file that a person named. */
function rowOf({ path, name }: Target, now: number): SqlValue[] {
  const row: SqlValue[] = Array(WIDTH).fill(null);
  const known = { event_id: 0, time: now, exec_id: "", pid: 0, name: name ?? "", executable_path: path };
  for (const [column, value] of Object.entries(known)) row[PLACE.get(column)!] = value;
  return row;
}
