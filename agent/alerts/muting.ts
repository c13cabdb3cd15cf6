/**
 * The silences and inhibitions that hold: which of them mutes an alert, how many each has muted, and when it ends.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import type { AlertTables, StoredMute } from "../store/alert_tables.ts";
import {
  checkMute,
  equalKey,
  matches,
  MAX_MUTES,
  type Mute,
  MuteError,
  type MuteTerms,
  restoredMute,
} from "./mutes.ts";
import { type AlertWindows, newWindow } from "./windows.ts";

/** How often the time that silences have left is kept. */
const KEEP_MS = 60_000;

export class Muting {
  /** Where it is noted how long an alert is fresh that others are kept back by. */
  readonly #windows: AlertWindows;
  readonly #notice: (text: string) => void;
  readonly #mutes = new Map<string, Mute>();
  /** Alerts that each muted in the open transaction. */
  readonly #muting = new Map<Mute, number>();
  #keptAt = 0;

  constructor(windows: AlertWindows, notice: (text: string) => void) {
    this.#windows = windows;
    this.#notice = notice;
  }

  /** Takes over what a store knows. */
  restore(stored: readonly StoredMute[], wall: number, mono: number): void {
    this.#mutes.clear();
    this.#muting.clear();
    for (const each of stored) {
      const mute = restoredMute(each, wall, mono);
      if (mute !== null) this.#mutes.set(mute.id, mute);
      else this.#notice(`the ${each.kind} ${each.id} cannot be read, and mutes nothing; end it`);
    }
    this.#keptAt = mono;
  }

  /** What keeps this alert from the sinks; `null` for most. */
  of(alert: Alert, mono: number): Mute | null {
    for (const mute of this.#mutes.values()) {
      if (mute.until <= mono) continue;
      const { terms } = mute;
      if (terms.kind === "silence") {
        if (matches(terms.match, alert)) return mute;
        continue;
      }
      // An alert that is a source is not kept back by itself
      if (!matches(terms.target, alert) || matches(terms.source, alert)) continue;
      const fresh = this.#windows.get(sourceKey(mute.id, equalKey(terms.equal, alert)));
      if (fresh !== undefined && fresh.until > mono) return mute;
    }
    return null;
  }

  /** An alert was muted, in the open transaction. */
  count(mute: Mute): void {
    this.#muting.set(mute, (this.#muting.get(mute) ?? 0) + 1);
  }

  /** An alert that others are kept back by is fresh from now on. */
  noteSource(alert: Alert, mono: number): void {
    for (const { id, terms, until } of this.#mutes.values()) {
      if (terms.kind !== "inhibition" || until <= mono || !matches(terms.source, alert)) continue;
      const key = sourceKey(id, equalKey(terms.equal, alert)), known = this.#windows.get(key);
      if (known !== undefined) this.#windows.extend(known, mono + terms.freshMs);
      else this.#windows.open(newWindow(key, "inhibit", alert, mono + terms.freshMs));
    }
  }

  /** A silence or an inhibition that may be, to be {@linkcode added} once it is stored. @throws MuteError */
  make(terms: MuteTerms, reason: string, durationMs: number, by: string, mono: number): Mute {
    checkMute(terms, reason, durationMs);
    if (this.#mutes.size >= MAX_MUTES) {
      throw new MuteError(`There are ${MAX_MUTES} silences and inhibitions, which is the most; end one first`);
    }
    const id = `${terms.kind === "silence" ? "s" : "i"}${crypto.getRandomValues(new Uint8Array(5)).toHex()}`;
    return { id, terms, reason, createdBy: by, until: mono + durationMs, muted: 0 };
  }

  added(mute: Mute): void {
    this.#mutes.set(mute.id, mute);
  }

  /** The one of that id that holds. @throws MuteError when there is none */
  held(id: string): Mute {
    const mute = this.#mutes.get(id);
    if (mute !== undefined) return mute;
    throw new MuteError(`No silence or inhibition ${id} holds; alerts stats lists those that do`);
  }

  /** It was ended before its time. */
  ended(id: string): void {
    this.#mutes.delete(id);
  }

  /** Those whose time has come. */
  over(mono: number): Mute[] {
    return [...this.#mutes.values()].filter(({ until }) => until <= mono);
  }

  /** Whether what they have left is to be kept. */
  isKeepDue(mono: number): boolean {
    return this.#mutes.size > 0 && mono - this.#keptAt >= KEEP_MS;
  }

  /** Keeps what all have left, and that those are over. */
  keep(tables: AlertTables, over: readonly Mute[], now: number, mono: number): void {
    for (const { id, until, muted } of this.#mutes.values()) tables.keepMute(id, until - mono, now, muted);
    for (const { id } of over) tables.endMute(id, now, null);
  }

  /** That is durable. */
  kept(over: readonly Mute[], mono: number): void {
    this.#keptAt = mono;
    for (const { id, terms, reason, muted } of over) {
      this.#mutes.delete(id);
      this.#notice(`the ${terms.kind} ${id} (${reason}) ended; it kept ${muted} alerts from the sinks`);
    }
  }

  /** What the open transaction muted. */
  write(tables: AlertTables, now: number, mono: number): void {
    for (const [mute, count] of this.#muting) tables.keepMute(mute.id, mute.until - mono, now, mute.muted + count);
  }

  committed(): void {
    for (const [mute, count] of this.#muting) mute.muted += count;
    this.#muting.clear();
  }

  rolledBack(): void {
    this.#muting.clear();
  }
}

function sourceKey(muteId: string, equal: string): string {
  return `inhibit ${muteId} ${equal}`;
}
