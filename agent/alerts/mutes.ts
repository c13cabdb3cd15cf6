/**
 * Silences and inhibitions: which alerts are kept from the sinks, for how long, and why.
 *
 * A silence names alerts by what they hold, with `*` for any text. An inhibition keeps alerts back while another one is
 * fresh that agrees with them in some fields. Both end, say why they are there, and hide nothing: the alert is stored
 * with the name of what muted it. They come from operators and are bounded here. Their time is counted on a clock that
 * does not jump; over a restart the wall clock can only shorten it.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import { SEVERITIES, type Severity } from "../../proto/process_event.ts";
import type { StoredMute } from "../store/alert_tables.ts";

export const MIN_MUTE_MS = 1_000, MAX_MUTE_MS = 366 * 86_400_000;
/** Silences and inhibitions that hold at once. */
export const MAX_MUTES = 500;
const MAX_PATTERN = 512, MAX_REASON = 1_024;

/** Fields that a silence can name, and what of an alert they stand for. */
const FIELDS = {
  rule: (alert: Alert) => alert.ruleId,
  user: (alert: Alert) => alert.userName ?? (alert.userId === null ? "" : String(alert.userId)),
  name: (alert: Alert) => alert.name,
  executable: (alert: Alert) => alert.executablePath ?? "",
  command: (alert: Alert) => alert.commandLine ?? "",
  parent: (alert: Alert) => alert.parentExecutablePath ?? alert.parentName ?? "",
  container: (alert: Alert) => alert.containerId ?? "",
  group: (alert: Alert) => alert.groupId,
  process: (alert: Alert) => alert.execId,
} satisfies Record<string, (alert: Alert) => string>;

export const MUTE_FIELDS = Object.keys(FIELDS) as readonly MuteField[];
export type MuteField = keyof typeof FIELDS;

/** All that is named must hold. */
export interface Matcher {
  readonly fields: Readonly<Partial<Record<MuteField, string>>>;
  /** Alerts above it are not meant; `null` for any. */
  readonly atMost: Severity | null;
}

export type MuteTerms =
  | { readonly kind: "silence"; readonly match: Matcher }
  | {
    readonly kind: "inhibition";
    /** While an alert like this is fresh, … */
    readonly source: Matcher;
    /** … one like this is muted, … */
    readonly target: Matcher;
    /** … if both have the same in these. */
    readonly equal: readonly MuteField[];
    readonly freshMs: number;
  };

/** What an operator asked for cannot be: the text says why and what to do. */
export class MuteError extends Error {
  override name = "MuteError";
}

/** @throws MuteError */
export function checkMute(terms: MuteTerms, reason: string, durationMs: number): void {
  if (reason.trim() === "" || reason.length > MAX_REASON) {
    throw new MuteError(`Say why, in at most ${MAX_REASON} characters: who finds it later must know`);
  }
  if (!(durationMs >= MIN_MUTE_MS && durationMs <= MAX_MUTE_MS)) {
    throw new MuteError(`It must end: name a time from 1 s to ${MAX_MUTE_MS / 86_400_000} days`);
  }
  if (terms.kind === "silence") return checkMatcher(terms.match, "the alerts");
  checkMatcher(terms.source, "the alert that keeps others back");
  checkMatcher(terms.target, "the alerts that are kept back");
  const wrong = terms.equal.find((field) => !MUTE_FIELDS.includes(field));
  if (wrong !== undefined) throw new MuteError(`There is no field ${wrong}; there are ${MUTE_FIELDS.join(", ")}`);
  if (!(terms.freshMs >= MIN_MUTE_MS && terms.freshMs <= 86_400_000)) {
    throw new MuteError("An alert is fresh for 1 s to 24 h; name such a time");
  }
}

function checkMatcher({ fields, atMost }: Matcher, what: string): void {
  const entries = Object.entries(fields);
  if (entries.length === 0) {
    throw new MuteError(`Name ${what} by at least one of ${MUTE_FIELDS.join(", ")}: nothing may mute everything`);
  }
  for (const [field, pattern] of entries) {
    if (!MUTE_FIELDS.includes(field as MuteField)) {
      throw new MuteError(`There is no field ${field}; there are ${MUTE_FIELDS.join(", ")}`);
    }
    if (typeof pattern !== "string" || pattern.length > MAX_PATTERN) {
      throw new MuteError(`The pattern of ${field} is a text of at most ${MAX_PATTERN} characters`);
    }
    if (/^\**$/.test(pattern)) throw new MuteError(`The pattern of ${field} holds for everything; say what is meant`);
  }
  if (atMost !== null && !SEVERITIES.includes(atMost)) {
    throw new MuteError(`There is no severity ${atMost}; there are ${SEVERITIES.join(", ")}`);
  }
}

export function matches({ fields, atMost }: Matcher, alert: Alert): boolean {
  if (atMost !== null && SEVERITIES.indexOf(alert.severity) > SEVERITIES.indexOf(atMost)) return false;
  for (const field of Object.keys(fields) as MuteField[]) {
    if (!fits(fields[field]!, FIELDS[field](alert))) return false;
  }
  return true;
}

/** Whether a text is what a pattern says, `*` being any text; in time linear in the text for each star. */
export function fits(pattern: string, text: string): boolean {
  const pieces = pattern.split("*"), first = pieces[0]!, last = pieces.at(-1)!;
  if (pieces.length === 1) return pattern === text;
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}

/** What must be equal, of one alert. */
export function equalKey(equal: readonly MuteField[], alert: Alert): string {
  return JSON.stringify(equal.map((field) => FIELDS[field](alert)));
}

/** A silence or inhibition that holds. */
export interface Mute {
  readonly id: string;
  readonly terms: MuteTerms;
  readonly reason: string;
  readonly createdBy: string;
  /** When it ends, on the clock that does not jump. */
  until: number;
  /** Alerts that it muted. */
  muted: number;
}

/** One of before a restart; `null` when its terms cannot be read any more, and then it mutes nothing. */
export function restoredMute(stored: StoredMute, wall: number, monotonic: number): Mute | null {
  try {
    const terms = JSON.parse(stored.terms) as MuteTerms;
    checkMute(terms, stored.reason, MIN_MUTE_MS);
    const { id, reason, createdBy, muted } = stored;
    return { id, terms, reason, createdBy, muted, until: monotonic + leftOf(stored, wall) };
  } catch {
    return null;
  }
}

/** What is left of a time that was noted in an earlier run: the wall clock can shorten it, never lengthen it. */
export function leftOf({ leftMs, notedTime }: { leftMs: number; notedTime: number }, wall: number): number {
  return Math.max(0, leftMs - Math.max(0, wall - notedTime));
}
