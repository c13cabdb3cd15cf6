/**
 * What the agent has to enter into the audit ledger, kept in its store until a collector says that it is there.
 *
 * Notes of alerts are written in the transaction of their alerts, so neither is there without the other. The ledger is
 * the collector's, which takes notes at its own rate; what waits is bounded, and what finds no room is counted and told
 * by a note of its own. A note's number is in its payload: a collector enters none twice.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Alert, alertText } from "../proto/alert.ts";
import { ACTIONS } from "../proto/ledger/entry.ts";
import { type AlertDigest, encodeStatement, MAX_ALERTS, type Statements } from "../proto/ledger/statement.ts";
import { MAX_NOTES, NOTED_ACTIONS, type NotedAction } from "../proto/ledger/noted_actions.ts";
import { MAX_PAYLOAD_BYTES } from "../proto/ledger/payload.ts";
import type { LedgerNote } from "../proto/messages.ts";
import { WireError } from "../proto/wire_error.ts";

/** Notes that wait: of a storm, some hundred thousand alerts. */
export const MAX_WAITING = 10_000;
/** Bytes of one message. */
const MESSAGE_BYTES = 262_144;
/** Under this name the store keeps the last number that it gave out. */
const LAST_NUMBER = "ledger_note";
/** What an alert takes in a note beside its id, and how much of a note alerts fill. */
const ALERT_BYTES = 192, FULL_BYTES = MAX_PAYLOAD_BYTES - 1_024;

/** What is to be said. */
export type NewNote = {
  readonly [A in NotedAction]: { readonly action: A; readonly value: Statements[A] };
}[NotedAction];

/** The table of notes of a store, used inside its transactions. */
export class NoteTable {
  readonly #insert: StatementSync;
  readonly #select: StatementSync;
  readonly #delete: StatementSync;
  readonly #keepLast: StatementSync;
  #waiting: number;
  #last: number;
  #refused = { count: 0, from: 0, to: 0 };
  /** What a note of the open transaction says of those: without that note it is still to be told. */
  #told: { readonly count: number; readonly from: number; readonly to: number } | null = null;
  /** Notes that found no room, since start. */
  refusals = 0;

  constructor(db: DatabaseSync) {
    this.#insert = db.prepare("INSERT INTO ledger_notes (note_id, collector_id, action, payload) VALUES (?, ?, ?, ?)");
    this.#select = db.prepare(
      `SELECT note_id, action, payload FROM ledger_notes WHERE collector_id IN ('', ?) ORDER BY note_id LIMIT ${MAX_NOTES}`,
    );
    this.#delete = db.prepare("DELETE FROM ledger_notes WHERE note_id <= ? AND collector_id IN ('', ?)");
    this.#keepLast = db.prepare("INSERT OR REPLACE INTO agent_state VALUES (?, ?)");
    const { n, last } = db.prepare(
      `SELECT count(*) AS n, max(coalesce(max(note_id), 0),
        coalesce((SELECT value FROM agent_state WHERE name = '${LAST_NUMBER}'), 0)) AS last FROM ledger_notes`,
    ).get()!;
    this.#waiting = n as number;
    this.#last = last as number;
  }

  /** Notes that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Adds a note for the ledger of one collector, or of whichever comes when that is `""`. Returns how many were added. */
  add(note: NewNote, collectorId: string, now: number): number {
    if (this.#waiting >= MAX_WAITING) {
      this.#refuse(now);
      return 0;
    }
    if (this.#refused.count > 0) {
      const value = { what: "notes that the agent could not keep for the ledger", ...this.#refused };
      this.#told ??= this.#refused;
      this.#refused = { count: 0, from: 0, to: 0 };
      this.#put({ action: "suppressed", value }, "", now);
    }
    this.#put(note, collectorId, now);
    return 1;
  }

  /** The oldest that wait. */
  oldest(collectorId: string): LedgerNote[] {
    const notes: LedgerNote[] = [];
    let bytes = 0;
    for (const row of this.#select.iterate(collectorId)) {
      const payload = row["payload"] as Uint8Array;
      bytes += payload.length;
      if (bytes > MESSAGE_BYTES && notes.length > 0) break;
      const action = NOTED_ACTIONS.find((name) => ACTIONS[name] === row["action"])!;
      notes.push({ id: row["note_id"] as number, action, payload });
    }
    return notes;
  }

  /** Those up to this number are in the ledger. */
  forget(upTo: number, collectorId: string): void {
    this.#waiting -= Number(this.#delete.run(upTo, collectorId).changes);
  }

  /** What was added in a transaction is there for good. */
  committed(): void {
    this.#told = null;
  }

  /** What was added in a transaction that was undone is not there. */
  rolledBack(db: DatabaseSync): void {
    const told = this.#told, { count, to } = this.#refused;
    this.#told = null;
    if (told !== null) {
      this.#refused = { count: told.count + count, from: told.from, to: Math.max(told.to, to) };
    }
    this.#waiting = db.prepare("SELECT count(*) AS n FROM ledger_notes").get()!["n"] as number;
  }

  #put({ action, value }: NewNote, collectorId: string, now: number): void {
    // By time, so that a store that is set back gives out no number again; of a clock that went back, the next one. A
    // number that came again would be taken for a note that is entered already.
    const id = Math.max(this.#last + 1, Math.floor(now) * 1_024);
    let payload: Uint8Array;
    try {
      payload = encodeStatement(action, value as never, id);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return this.#refuse(now);
    }
    this.#insert.run(id, collectorId, ACTIONS[action], payload);
    this.#keepLast.run(LAST_NUMBER, id);
    this.#last = id;
    this.#waiting += 1;
  }

  #refuse(now: number): void {
    if (this.#refused.count === 0) this.#refused.from = now;
    this.#refused.count += 1;
    this.#refused.to = now;
    this.refusals += 1;
  }
}

/** What to say of alerts. */
export function alertNotes(alerts: readonly Alert[]): NewNote[] {
  const digests = alerts.map((alert): AlertDigest => ({
    id: alert.alertId,
    rule: alert.ruleHash ?? "",
    hash: createHash("sha256").update(alertText(alert)).digest("hex"),
  }));
  const notes: NewNote[] = [];
  for (let at = 0; at < digests.length;) {
    let end = at, bytes = 0;
    while (end < digests.length && end - at < MAX_ALERTS) {
      bytes += digests[end]!.id.length + ALERT_BYTES;
      if (bytes > FULL_BYTES && end > at) break;
      end += 1;
    }
    notes.push({ action: "alert", value: { alerts: digests.slice(at, end) } });
    at = end;
  }
  return notes;
}
