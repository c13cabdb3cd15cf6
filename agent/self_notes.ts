/**
 * What the agent says of itself in the audit ledger: its settings, its rules, what it was asked for, and its end.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { settingsStatement } from "../proto/ledger/settings_statement.ts";
import type { SettingValue } from "../proto/setting_values.ts";
import type { LoadedRules } from "./loaded_rules.ts";
import type { NewNote } from "./ledger_notes.ts";
import type { Store } from "./store/store.ts";
import { StoreError } from "./store/store_error.ts";

/** Under these names the store keeps what was said last: 48 bits of a digest. */
const SAID = "ledgered_rules", SAID_SETTINGS = "ledgered_settings";
/** Ids that a note lists. */
const MAX_LISTED = 100;

/** Says which rules there are, when that is not what was said last. @throws StoreError */
export function noteRules(store: Store, rules: LoadedRules, paused: readonly string[]): void {
  const lines = rules.active.map(({ id, hash, status, severity }) => `${id} ${hash} ${status} ${severity}\n`).sort();
  for (const { id, hash } of rules.exceptions.exceptions) lines.push(`exception ${id} ${hash}\n`);
  const digest = createHash("sha256").update(lines.join("")).digest("hex");
  const rejected = rules.others.filter(({ state }) => state === "rejected").length;
  const value = {
    digest,
    active: rules.active.filter(({ status }) => status === "active").length,
    drafts: rules.active.filter(({ status }) => status === "draft").length,
    rejected,
    disabled: rules.others.length - rejected,
    paused: paused.slice(0, MAX_LISTED),
  };
  const mark = markOf(JSON.stringify(value));
  if (store.number(SAID) === mark) return;
  store.note({ action: "rulesChanged", value }, Date.now());
  store.setNumber(SAID, mark);
}

/** Says by which settings the agent runs, when those are not what was said last: flags of its own are in no file. @throws StoreError */
export function noteSettings(store: Store, values: ReadonlyMap<string, SettingValue>): void {
  const value = settingsStatement(values, null), mark = markOf(value.digest);
  if (store.number(SAID_SETTINGS) === mark) return;
  store.note({ action: "configurationChanged", value }, Date.now());
  store.setNumber(SAID_SETTINGS, mark);
}

/** Longest text of a request's note. */
const MAX_SAID = 1_000;

/**
 * Says that somebody asked for something, and what came of it; a signal does not tell who. Whether the store has taken
 * it: what is not in the ledger must not be done.
 */
export function noteRequest(
  store: Store | null,
  what: string,
  by: string | null = null,
  outcome: string | null = null,
): boolean {
  const time = Date.now(),
    cut = (text: string | null): string | null => text?.slice(0, MAX_SAID).toWellFormed() ?? null;
  const value = { what: cut(what)!, by: cut(by), time, outcome: cut(outcome) };
  return noteIfTaken(store, { action: "request", value }, time);
}

/** Says that something came so often that it was only counted. */
export function noteSuppressed(store: Store | null, what: string, count: number, from: number, to: number): boolean {
  return noteIfTaken(store, { action: "suppressed", value: { what, count, from, to } }, to);
}

/** Says that the agent ends. */
export function noteStop(store: Store | null, why: string): void {
  const time = Date.now();
  noteIfTaken(store, { action: "tierStopped", value: { tier: "agent", pid: Deno.pid, time, why } }, time);
}

/** A store that does not take it any more has worse to tell. */
function noteIfTaken(store: Store | null, note: NewNote, time: number): boolean {
  if (store === null) return false;
  try {
    return store.note(note, time);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return false;
  }
}

function markOf(text: string): number {
  return parseInt(createHash("sha256").update(text).digest("hex").slice(0, 12), 16);
}
