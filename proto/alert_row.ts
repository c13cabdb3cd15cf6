/**
 * An alert as a row of the catalog's `alerts` table, and back.
 *
 * @module
 */
import type { Alert } from "./alert.ts";
import { decodeAncestry, encodeAncestry } from "./ancestry.ts";
import type { Completeness } from "./completeness.ts";
import type { SqlValue } from "./event_row.ts";
import type { Severity } from "./process_event.ts";

/** In the order of the catalog's columns. `mutedBy` is what keeps it from the sinks. */
export function alertRow(alert: Alert, mutedBy: string | null = null): SqlValue[] {
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
    alert.kind,
    "open",
    null,
    mutedBy,
    alert.dedupKey,
    alert.groupId,
    alert.hitsBefore,
    alert.lastHitTime,
    JSON.stringify(alert.causes),
    alert.parentExecId,
    alert.startTime,
    alert.effectiveUserId,
    alert.loginUserId,
    alert.cwd,
    alert.containerId,
    alert.stdinKind,
    alert.stdoutKind,
    encodeAncestry(alert.ancestry),
    alert.repeats?.count ?? null,
    alert.repeats?.from ?? null,
    alert.repeats?.to ?? null,
    alert.repeats?.reason ?? null,
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
    kind: row["kind"] === "summary" ? "summary" : "alert",
    repeats: row["repeat_count"] === null ? null : {
      count: row["repeat_count"] as number,
      from: row["first_time"] as number,
      to: row["last_time"] as number,
      reason: row["reason"] as string,
    },
    dedupKey: row["dedup_key"] as string | null ?? "",
    groupId: row["group_id"] as string | null ?? row["alert_id"] as string,
    hitsBefore: row["hits_before"] as number | null ?? 0,
    lastHitTime: row["last_hit_time"] as number | null,
    causes: row["causes"] === null ? [row["event_id"] as number] : JSON.parse(row["causes"] as string),
    parentExecId: row["parent_exec_id"] as string | null,
    startTime: row["start_time"] as number | null,
    effectiveUserId: row["effective_user_id"] as number | null,
    loginUserId: row["login_user_id"] as number | null,
    cwd: row["cwd"] as string | null,
    containerId: row["container_id"] as string | null,
    stdinKind: row["stdin_kind"] as string | null,
    stdoutKind: row["stdout_kind"] as string | null,
    ancestry: decodeAncestry(row["ancestry"] as string | null),
  };
}

/** Of an alert that an agent of schema version 3 raised. Of versions up to 4, what is not known is empty. */
const UNKNOWN: Completeness = { complete: false, reasons: ["raised before the agent noted what rules could see"] };
