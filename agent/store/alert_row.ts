/**
 * An alert as a row of the catalog's `alerts` table, and back.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import type { Completeness } from "../../proto/completeness.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { Severity } from "../../proto/process_event.ts";

/** In the order of the catalog's columns. */
export function alertRow(alert: Alert): SqlValue[] {
  return [
    alert.alertId,
    alert.time,
    alert.detectedTime,
    alert.ruleId,
    alert.title,
    alert.description,
    alert.severity,
    JSON.stringify(alert.tags),
    alert.eventId,
    alert.execId,
    alert.pid,
    alert.ppid,
    alert.name,
    alert.executablePath,
    alert.commandLine,
    alert.userId,
    alert.userName,
    alert.parentName,
    alert.parentExecutablePath,
    alert.parentCommandLine,
    JSON.stringify(alert.evidence),
    alert.collectorId,
    JSON.stringify(alert.completeness),
    alert.ledger?.origin ?? null,
    alert.ledger?.size ?? null,
    alert.ledger?.root ?? null,
    alert.ruleHash,
  ];
}

/** The alert of a row that {@linkcode alertRow} made, by column. */
export function alertOfRow(row: Readonly<Record<string, SqlValue>>): Alert {
  return {
    alertId: row["alert_id"] as string,
    time: row["time"] as number,
    detectedTime: row["detected_time"] as number,
    ruleId: row["rule_id"] as string,
    ruleHash: row["rule_hash"] as string | null,
    title: row["title"] as string,
    description: row["description"] as string,
    severity: row["severity"] as Severity,
    tags: JSON.parse(row["tags"] as string),
    eventId: row["event_id"] as number,
    execId: row["exec_id"] as string,
    pid: row["pid"] as number,
    ppid: row["ppid"] as number | null,
    name: row["name"] as string,
    executablePath: row["executable_path"] as string | null,
    commandLine: row["command_line"] as string | null,
    userId: row["user_id"] as number | null,
    userName: row["user_name"] as string | null,
    parentName: row["parent_name"] as string | null,
    parentExecutablePath: row["parent_executable_path"] as string | null,
    parentCommandLine: row["parent_command_line"] as string | null,
    evidence: JSON.parse(row["evidence"] as string),
    collectorId: row["collector_id"] as string,
    completeness: row["completeness"] === null ? UNKNOWN : JSON.parse(row["completeness"] as string),
    ledger: row["ledger_origin"] === null ? null : {
      origin: row["ledger_origin"] as string,
      size: row["ledger_size"] as number,
      root: row["ledger_root"] as string,
    },
  };
}

/** Of an alert that an agent of schema version 3 raised. */
const UNKNOWN: Completeness = { complete: false, reasons: ["raised before the agent noted what rules could see"] };
