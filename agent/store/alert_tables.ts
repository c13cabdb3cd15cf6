/**
 * Everything the store holds of alerts: the alerts, what keeps hits from being alerts, silences, and what operators did.
 * Used inside the store's transactions.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Alert, type Ancestor, MAX_ANCESTORS } from "../../proto/alert.ts";
import { tableNamed } from "../../proto/catalog.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { pidOfExec, processOfExec } from "../../proto/identity.ts";
import type { ResponseOutcome } from "../../proto/response/action.ts";
import { alertOfRow, alertRow } from "../../proto/alert_row.ts";
import type { Dropped, Outbox } from "./outbox.ts";

export type AlertStatus = "open" | "acknowledged" | "closed";
const WINDOW_KINDS = ["repeat", "limit", "inhibit"] as const;

/** What became of a response that a rule asked for. */
export type ResponseState = ResponseOutcome | "asked" | "not asked";

/** A window as it is stored; `leftMs` is how long it lasted still at `notedTime`, by a clock that does not jump. */
export interface StoredWindow {
  readonly key: string;
  readonly kind: (typeof WINDOW_KINDS)[number];
  readonly ruleId: string;
  readonly alertId: string;
  readonly count: number;
  readonly first: number;
  readonly last: number;
  readonly leftMs: number;
  readonly notedTime: number;
  readonly mutedBy: string | null;
  /** Of a limit: the first alert that did not become one. */
  readonly sample: string | null;
}

/** What is known of a rule's hits. */
export interface StoredRule {
  readonly ruleId: string;
  readonly hits: number;
  readonly lastTime: number | null;
  readonly tokens: number;
  readonly notedTime: number;
}

/** A silence or inhibition as it is stored. */
export interface StoredMute {
  readonly id: string;
  readonly kind: "silence" | "inhibition";
  readonly terms: string;
  readonly reason: string;
  readonly createdTime: number;
  readonly createdBy: string;
  readonly leftMs: number;
  readonly notedTime: number;
  readonly muted: number;
}

export class AlertTables {
  readonly #statements: ReturnType<typeof prepare>;
  readonly outbox: Outbox;
  /** What had to go from backlogs in the open transaction. */
  #dropped: Dropped[] = [];

  constructor(db: DatabaseSync, outbox: Outbox) {
    this.#statements = prepare(db);
    this.outbox = outbox;
  }

  /**
   * Adds an alert and owes it to every sink, unless `mutedBy` keeps it from them. False for an id that is there already:
   * it was raised before, and is owed already.
   */
  add(alert: Alert, mutedBy: string | null = null): boolean {
    const row = alertRow(alert, mutedBy);
    if (Number(this.#statements.insert.run(...row).changes) === 0) return false;
    if (mutedBy === null) this.#dropped.push(...this.outbox.owe(alert, bytesOf(row)));
    return true;
  }

  /** What had to go from backlogs since this was asked last. */
  takeDropped(): Dropped[] {
    const dropped = this.#dropped;
    if (dropped.length > 0) this.#dropped = [];
    return dropped;
  }

  alert(alertId: string): Alert | null {
    const row = this.#statements.alert.get(alertId);
    return row === undefined ? null : alertOfRow(row as Record<string, SqlValue>);
  }

  /** The processes that an execution comes from, itself first. */
  ancestry(execId: string | null): Ancestor[] {
    const found: Ancestor[] = [], seen = new Set<string>();
    for (let next = execId; next !== null && found.length < MAX_ANCESTORS;) {
      const process = processOfExec(next);
      if (seen.has(process)) break; // what a collector says may go in a circle
      seen.add(process);
      const row = this.#statements.process.get(process);
      if (row === undefined) break;
      found.push({
        execId: next,
        pid: pidOfExec(next),
        name: row["name"] as string | null,
        executablePath: row["executable_path"] as string | null,
        userName: row["user_name"] as string | null,
      });
      next = row["parent_exec_id"] as string | null;
    }
    return found;
  }

  /** Of alerts found later than `after`, newest last: their executions and groups. */
  recent(after: number, limit: number): { readonly execId: string; readonly groupId: string; readonly time: number }[] {
    return [...this.#statements.recent.iterate(Math.floor(after), limit)].reverse().map((row) => ({
      execId: row["exec_id"] as string,
      groupId: row["group_id"] as string,
      time: row["detected_time"] as number,
    }));
  }

  /** Status of an alert; `null` when there is none of that id. */
  status(alertId: string): AlertStatus | null {
    const row = this.#statements.status.get(alertId);
    return row === undefined ? null : row["status"] as AlertStatus | null ?? "open";
  }

  setStatus(alertId: string, status: AlertStatus, action: string, actor: string, text: string, now: number): void {
    this.#statements.setStatus.run(status, now, alertId);
    this.#statements.addHistory.run(alertId, now, action, actor, text);
  }

  /** Notes with an alert what its rule asks for, or why it does not; the number of that entry. */
  noteResponse(alertId: string, state: "asked" | "not asked", ruleId: string, text: string, now: number): number {
    const action = responseAction(state);
    return Number(this.#statements.addHistory.run(alertId, now, action, `rule ${ruleId}`, text).lastInsertRowid);
  }

  /** Notes what became of it; nothing when its alert is not stored any more. */
  answerResponse(entryId: number, state: ResponseState, text: string): void {
    this.#statements.answerResponse.run(responseAction(state), text, entryId);
  }

  /** Notes of all that have no answer that there will be none; how many they are. */
  loseResponses(why: string): number {
    return Number(this.#statements.loseResponses.run(responseAction("failed"), `: ${why}`).changes);
  }

  windows(): StoredWindow[] {
    return [...this.#statements.windows.iterate()].map((row) => ({
      key: row["window_key"] as string,
      kind: row["kind"] as StoredWindow["kind"],
      ruleId: row["rule_id"] as string,
      alertId: row["alert_id"] as string,
      count: row["count"] as number,
      first: row["first_time"] as number,
      last: row["last_time"] as number,
      leftMs: row["left_ms"] as number,
      notedTime: row["noted_time"] as number,
      mutedBy: row["muted_by"] as string | null,
      sample: row["sample"] as string | null,
    }));
  }

  putWindow(w: StoredWindow): void {
    const times = [Math.round(w.first), Math.round(w.last), Math.max(0, Math.round(w.leftMs)), Math.round(w.notedTime)];
    this.#statements.putWindow.run(w.key, w.kind, w.ruleId, w.alertId, w.count, ...times, w.mutedBy, w.sample);
  }

  dropWindow(key: string): void {
    this.#statements.dropWindow.run(key);
  }

  rules(): StoredRule[] {
    return [...this.#statements.rules.iterate()].map((row) => ({
      ruleId: row["rule_id"] as string,
      hits: row["hits"] as number,
      lastTime: row["last_time"] as number | null,
      tokens: row["tokens"] as number,
      notedTime: row["noted_time"] as number,
    }));
  }

  putRule(rule: StoredRule): void {
    this.#statements.putRule.run(rule.ruleId, rule.hits, rule.lastTime, rule.tokens, Math.round(rule.notedTime));
  }

  /** Silences and inhibitions that hold. */
  mutes(): StoredMute[] {
    return [...this.#statements.mutes.iterate()].map((row) => ({
      id: row["mute_id"] as string,
      kind: row["kind"] as StoredMute["kind"],
      terms: row["terms"] as string,
      reason: row["reason"] as string,
      createdTime: row["created_time"] as number,
      createdBy: row["created_by"] as string,
      leftMs: row["left_ms"] as number,
      notedTime: row["noted_time"] as number,
      muted: row["muted"] as number,
    }));
  }

  addMute(m: StoredMute): void {
    const left = [Math.round(m.leftMs), Math.round(m.notedTime)];
    this.#statements.addMute.run(m.id, m.kind, m.terms, m.reason, m.createdTime, m.createdBy, ...left);
  }

  keepMute(id: string, leftMs: number, now: number, muted: number): void {
    this.#statements.keepMute.run(Math.max(0, Math.round(leftMs)), Math.round(now), muted, id);
  }

  endMute(id: string, now: number, by: string | null): void {
    this.#statements.endMute.run(now, by, id);
  }
}

/** As it stands in the history of an alert: `response asked`, `response done` and so on. */
function responseAction(state: ResponseState): string {
  return `response ${state.replace("_", " ")}`;
}

/** What an alert takes in a backlog, about. */
function bytesOf(row: readonly SqlValue[]): number {
  let bytes = 0;
  for (const value of row) bytes += typeof value === "string" ? value.length : 8;
  return bytes;
}

// The type is spelt out by the object: every statement once, by name.
// deno-lint-ignore explicit-function-return-type
function prepare(db: DatabaseSync) {
  const columns = tableNamed("alerts").columns.map((column) => column.name);
  return {
    insert: db.prepare(
      `INSERT INTO alerts (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})
       ON CONFLICT (alert_id) DO NOTHING`,
    ),
    alert: db.prepare(`SELECT ${columns.join(", ")} FROM alerts WHERE alert_id = ?`),
    process: db.prepare(
      "SELECT parent_exec_id, name, executable_path, user_name FROM processes WHERE process_id = ?",
    ),
    recent: db.prepare(
      `SELECT exec_id, group_id, detected_time FROM alerts
       WHERE rowid > (SELECT max(rowid) FROM alerts) - 10000 AND detected_time > ? AND group_id IS NOT NULL
         AND kind = 'alert' ORDER BY rowid DESC LIMIT ?`,
    ),
    status: db.prepare("SELECT status FROM alerts WHERE alert_id = ?"),
    setStatus: db.prepare("UPDATE alerts SET status = ?, status_time = ? WHERE alert_id = ?"),
    addHistory: db.prepare(
      "INSERT INTO alert_history (alert_id, time, action, actor, text) VALUES (?, ?, ?, ?, ?)",
    ),
    answerResponse: db.prepare("UPDATE alert_history SET action = ?, text = ? WHERE entry_id = ?"),
    loseResponses: db.prepare("UPDATE alert_history SET action = ?, text = text || ? WHERE action = 'response asked'"),
    windows: db.prepare("SELECT * FROM alert_windows"),
    putWindow: db.prepare(
      `INSERT OR REPLACE INTO alert_windows (window_key, kind, rule_id, alert_id, count, first_time, last_time, left_ms,
         noted_time, muted_by, sample) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    dropWindow: db.prepare("DELETE FROM alert_windows WHERE window_key = ?"),
    rules: db.prepare("SELECT * FROM alert_rules"),
    putRule: db.prepare(
      "INSERT OR REPLACE INTO alert_rules (rule_id, hits, last_time, tokens, noted_time) VALUES (?, ?, ?, ?, ?)",
    ),
    mutes: db.prepare("SELECT * FROM alert_mutes WHERE ended_time IS NULL"),
    addMute: db.prepare(
      `INSERT INTO alert_mutes (mute_id, kind, terms, reason, created_time, created_by, left_ms, noted_time, muted)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)`,
    ),
    keepMute: db.prepare("UPDATE alert_mutes SET left_ms = ?, noted_time = ?, muted = ? WHERE mute_id = ?"),
    endMute: db.prepare("UPDATE alert_mutes SET ended_time = ?, ended_by = ?, left_ms = 0 WHERE mute_id = ?"),
  } satisfies Record<string, StatementSync>;
}
