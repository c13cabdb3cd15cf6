/**
 * Rows of `export` in the formats of receivers: OCSF and ECS, as the agent's sinks write them, one object a line.
 *
 * @module
 */
import { alertOfRow } from "../proto/alert_row.ts";
import type { FormatOptions } from "../proto/formats/alert_format.ts";
import { ECS } from "../proto/formats/ecs.ts";
import { ecsEventLine } from "../proto/formats/ecs_event.ts";
import { EventFacts } from "../proto/formats/event_facts.ts";
import { DETECTION_FINDING } from "../proto/formats/ocsf.ts";
import { ocsfEventLine } from "../proto/formats/ocsf_event.ts";
import type { SqlValue } from "../proto/event_row.ts";
import type { Cell } from "./output.ts";

export const RECEIVER_FORMATS = ["ocsf", "ecs"] as const;
export type ReceiverFormat = (typeof RECEIVER_FORMATS)[number];

/** The tables that have a class in them. */
export const RECEIVER_TABLES: readonly string[] = ["events", "alerts"];

/**
 * Gives the line of a row, all columns of its table in their order; `null` where the row is none that the agent writes,
 * such as an alert whose evidence is no JSON.
 *
 * @param host the name of the host that the rows are of
 */
export function receiverLines(
  format: ReceiverFormat,
  table: string,
  names: readonly string[],
  host: string,
): (row: readonly Cell[]) => string | null {
  // A file takes lines of any length
  const options: FormatOptions = { host, valueBytes: Infinity };
  if (table === "events") {
    const line = format === "ocsf" ? ocsfEventLine : ecsEventLine;
    return (row) => `${line(new EventFacts(new Map(names.map((name, i) => [name, row[i] ?? null]))), options)}\n`;
  }
  const { line } = format === "ocsf" ? DETECTION_FINDING : ECS;
  return (row) => {
    try {
      const cells = Object.fromEntries(names.map((name, i) => [name, row[i] ?? null]));
      return `${line(alertOfRow(cells as Record<string, SqlValue>), options)}\n`;
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TypeError) return null;
      throw error;
    }
  };
}
