/**
 * What to ask the store after an alert: queries that the guard takes, made of what the alert holds.
 *
 * Nothing of them is stored: whoever has the alert can make them again.
 *
 * @module
 */
import type { Alert } from "./alert.ts";

export interface NextQuery {
  /** What it answers. */
  readonly about: string;
  readonly sql: string;
}

/** Texts longer than this make no condition. */
const MAX_TEXT = 512;
/** What the same login did before and after. */
const AROUND_MS = 600_000;

type Known = Pick<
  Alert,
  "time" | "ruleId" | "execId" | "executablePath" | "evidence" | "loginUserId" | "parentExecId" | "groupId"
>;

/**
 * Queries over the tables of the catalog, the most telling first.
 *
 * @example
 * ```ts
 * import { nextQueries } from "./alert_queries.ts";
 * import assert from "node:assert/strict";
 * const alert = { time: 1, ruleId: "r", execId: "b-1-1", executablePath: "/tmp/it's", evidence: {}, loginUserId: null,
 *   parentExecId: null, groupId: "g" };
 * assert.ok(nextQueries(alert).some(({ sql }) => sql.includes("executable_path = '/tmp/it''s'")));
 * ```
 */
export function nextQueries(alert: Known): NextQuery[] {
  const { time, execId, executablePath, parentExecId, loginUserId, groupId } = alert;
  const hash = alert.evidence["executable_hash"];
  const shown = "SELECT time, event_type, pid, user_name, command_line FROM process_events WHERE";
  const queries: (NextQuery | null)[] = [
    where("what the process did, and how it ended", shown, "exec_id", execId, "ORDER BY time"),
    where("what it started", shown, "parent_exec_id", execId, "AND event_type = 'start' ORDER BY time"),
    where(
      "what else its parent started",
      shown,
      "parent_exec_id",
      parentExecId,
      "AND event_type = 'start' ORDER BY time",
    ),
    typeof hash === "string"
      ? where("where else this file ran, whatever its name", shown, "executable_hash", hash, LATEST)
      : where("when else this file ran", shown, "executable_path", executablePath, LATEST),
    loginUserId === null ? null : {
      about: "what else was done in logins of the same user then",
      sql: `${shown} login_user_id = ${loginUserId} AND event_type = 'start' AND time BETWEEN ${
        Math.round(time) - AROUND_MS
      } AND ${Math.round(time) + AROUND_MS} ORDER BY time`,
    },
    where(
      "the other alerts of the same family of processes",
      "SELECT time, severity, rule_id, pid, command_line FROM alerts WHERE",
      "group_id",
      groupId,
      "ORDER BY time",
    ),
  ];
  return queries.filter((query) => query !== null);
}

const LATEST = "AND event_type = 'start' ORDER BY time DESC LIMIT 20";

function where(about: string, select: string, column: string, value: string | null, rest: string): NextQuery | null {
  // What no text of SQL can hold makes no condition
  if (value === null || value === "" || value.length > MAX_TEXT || !value.isWellFormed() || value.includes("\0")) {
    return null;
  }
  return { about, sql: `${select} ${column} = '${value.replaceAll("'", "''")}' ${rest}` };
}
