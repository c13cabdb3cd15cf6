/**
 * Decides what becomes of the hits of rules: an alert, one more of the same, or one too many.
 *
 * A hit that is the same as that of an alert (by rule, its version and key: the process, unless the rule says otherwise)
 * is counted for a window. Rules have a limit, and so have all together; hits past it are counted too, critical ones
 * never. Silences and inhibitions keep alerts from the sinks, not from the store. When a window ends in which hits were
 * counted, a summary says how many: nothing is dropped in silence.
 *
 * All that this knows is in the store, in the transaction of the events that it judged, and is read back at a start. Time
 * is measured on a clock that does not jump; over a restart the wall clock can only shorten what is left of a window, so
 * that no clock floods anybody or mutes anything for longer than was said.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import type { AlertPolicy } from "../../proto/rules/alert_policy.ts";
import { responseWords } from "../../proto/rules/rule_responses.ts";
import type { AlertTables } from "../store/alert_tables.ts";
import type { AlertTaker } from "../store/batch.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import { every, type Repeated } from "../beat.ts";
import type { Counters } from "../counters.ts";
import type { NewNote } from "../ledger_notes.ts";
import { Families, FAMILY_MS } from "./families.ts";
import {
  checkMute,
  equalKey,
  leftOf,
  matches,
  MAX_MUTES,
  type Mute,
  MuteError,
  type MuteTerms,
  restoredMute,
} from "./mutes.ts";
import { TokenBucket, type TokenRate } from "../token_bucket.ts";
import type { AskedResponse, RuleResponder } from "./rule_responder.ts";
import { type AlertWindow, AlertWindows } from "./windows.ts";

/** How often ends of windows are looked for. */
const TICK_MS = 1_000;
/** How often the time that silences have left is kept. */
const KEEP_MUTES_MS = 60_000;
/** Windows that end in one transaction. */
const ENDS_A_TRANSACTION = 200;
/** Alerts of before that a start looks at, to know the families that they are of. */
const MAX_RECENT = 2_000;
/** Of all rules together, where rules are kept by id. */
const OVERALL = "";
const NOTHING = { alerts_repeated: 0, alerts_limited: 0, alerts_muted: 0, alert_summaries: 0 };
const COUNTED = Object.keys(NOTHING) as (keyof typeof NOTHING)[];

export interface ManagerOptions {
  /** How long a hit is the same as one before, where its rule does not say. */
  readonly windowMs: number;
  /** Alerts a minute of one rule, and of all together. */
  readonly rulePerMinute: number;
  readonly perMinute: number;
  /** What a rule says of its alerts. */
  readonly policyOf?: (ruleId: string) => AlertPolicy | undefined;
  /** Asks for what rules want done to the processes of their alerts; without it nothing is asked for. */
  readonly responder?: Pick<RuleResponder, "responsesOf" | "refusalOf" | "ask">;
  readonly counters: Counters;
  readonly notesOf?: (alerts: readonly Alert[]) => readonly NewNote[];
  /** Called after a transaction that raised alerts. */
  readonly alerted: (alerts: readonly Alert[]) => void;
  readonly failed: (store: Store, error: unknown) => void;
  readonly notice: (text: string) => void;
  /** Milliseconds on a clock that does not jump, and of the day. */
  readonly monotonic?: () => number;
  readonly wall?: () => number;
}

interface RuleHits {
  hits: number;
  lastTime: number | null;
  readonly bucket: TokenBucket;
}

export class AlertManager implements AlertTaker {
  readonly #options: ManagerOptions;
  readonly #monotonic: () => number;
  readonly #wall: () => number;
  #store: Store | null = null;
  readonly #windows = new AlertWindows();
  readonly #families = new Families();
  readonly #rules = new Map<string, RuleHits>();
  /** Changed in the open transaction, with what undoes it. */
  readonly #touched = new Map<string, () => void>();
  readonly #mutes = new Map<string, Mute>();
  /** Alerts that each muted in the open transaction. */
  readonly #muting = new Map<Mute, number>();
  /** What was counted in the open transaction. */
  #counted = { ...NOTHING };
  /** What is done once the open transaction is durable. */
  #then: (() => void)[] = [];
  #mutesKept = 0;
  #ticks: Repeated | null = null;

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#wall = options.wall ?? (() => Date.now());
  }

  /** Takes over what a store knows. @throws StoreError */
  attach(store: Store): void {
    const mono = this.#monotonic(), wall = this.#wall();
    store.alerting("The store did not say what is known of alerts", (tables) => {
      this.#windows.restore(tables.windows(), wall, mono);
      this.#rules.clear();
      this.#touched.clear();
      for (const { ruleId, hits, lastTime, tokens, notedTime } of tables.rules()) {
        const bucket = new TokenBucket(this.#rate(ruleId), mono, tokens + this.#refilled(ruleId, wall - notedTime));
        this.#rules.set(ruleId, { hits, lastTime, bucket });
      }
      this.#mutes.clear();
      this.#muting.clear();
      for (const stored of tables.mutes()) {
        const mute = restoredMute(stored, wall, mono);
        if (mute !== null) this.#mutes.set(mute.id, mute);
        else this.#options.notice(`the ${stored.kind} ${stored.id} cannot be read, and mutes nothing; end it`);
      }
      this.#families.clear();
      for (const { execId, groupId, time } of tables.recent(wall - FAMILY_MS, MAX_RECENT)) {
        const left = leftOf({ leftMs: FAMILY_MS, notedTime: time }, wall);
        this.#families.join(groupId, execId, tables.ancestry(execId).slice(1), mono + left);
      }
    }, wall);
    this.#mutesKept = mono;
    this.#store = store;
  }

  detach(): void {
    this.#store = null;
  }

  /** Looks for ends of windows from now on. */
  begin(): void {
    this.#ticks = every(TICK_MS, () => this.tick());
  }

  stop(): void {
    this.#ticks?.stop();
  }

  take(alerts: readonly Alert[], tables: AlertTables, now: number): readonly Alert[] {
    const mono = this.#monotonic(), added: Alert[] = [];
    for (const alert of alerts) this.#takeOne(alert, tables, now, mono, added);
    this.#write(tables, mono);
    return added;
  }

  #takeOne(alert: Alert, tables: AlertTables, now: number, mono: number, added: Alert[]): void {
    const key = keyOf(alert), known = this.#windows.get(key);
    if (known !== undefined && known.alertId === alert.alertId) return; // it is that very alert, told again
    const rule = this.#touchRule(alert.ruleId, mono), hitsBefore = rule.hits, lastHitTime = rule.lastTime;
    rule.hits += 1;
    rule.lastTime = Math.max(rule.lastTime ?? alert.time, alert.time);
    if (known !== undefined) {
      if (known.until > mono) {
        this.#windows.count(known, alert.time);
        this.#counted.alerts_repeated += 1;
        return;
      }
      this.#end(known, tables, now, added);
    }
    const mute = this.#muteOf(alert, mono);
    if (alert.severity !== "critical" && !this.#spend(rule, mute === null, mono)) {
      this.#countLimited(alert, mono);
      this.#counted.alerts_limited += 1;
      return;
    }
    const ancestry = tables.ancestry(alert.parentExecId);
    const groupId = this.#families.groupOf(alert, ancestry, mono);
    const whole: Alert = { ...alert, hitsBefore, lastHitTime, ancestry, groupId };
    if (!tables.add(whole, mute?.id ?? null)) return;
    added.push(whole);
    this.#respond(whole, mute, tables, now);
    const until = mono + this.#windowMs(alert.ruleId);
    this.#windows.open({ ...blank(key, "repeat", alert, until), mutedBy: mute?.id ?? null });
    for (let oldest = this.#windows.surplus; oldest !== null; oldest = this.#windows.surplus) {
      this.#end(oldest, tables, now, added);
    }
    this.#after(() => this.#families.join(groupId, alert.execId, ancestry, mono + FAMILY_MS));
    if (mute !== null) {
      this.#muting.set(mute, (this.#muting.get(mute) ?? 0) + 1);
      this.#counted.alerts_muted += 1;
    } else this.#noteSource(whole, mono);
  }

  committed(): void {
    this.#windows.committed();
    this.#touched.clear();
    for (const [mute, count] of this.#muting) mute.muted += count;
    this.#muting.clear();
    const { counters } = this.#options;
    for (const name of COUNTED) counters[name] += this.#counted[name];
    this.#counted = { ...NOTHING };
    const then = this.#then;
    this.#then = [];
    for (const act of then) act();
  }

  rolledBack(): void {
    this.#windows.rolledBack();
    for (const undo of this.#touched.values()) undo();
    this.#touched.clear();
    this.#muting.clear();
    this.#counted = { ...NOTHING };
    this.#then = [];
  }

  /** Ends the windows and silences whose time has come. */
  tick(): void {
    const store = this.#store, mono = this.#monotonic();
    if (store === null) return;
    const ended = this.#windows.ended(mono), over = [...this.#mutes.values()].filter(({ until }) => until <= mono);
    const keep = this.#mutes.size > 0 && mono - this.#mutesKept >= KEEP_MUTES_MS;
    if (ended.length === 0 && over.length === 0 && !keep) return;
    try {
      for (let at = 0; at < ended.length; at += ENDS_A_TRANSACTION) {
        this.#endAll(store, ended.slice(at, at + ENDS_A_TRANSACTION));
      }
      if (over.length > 0 || keep) this.#keepMutes(store, over, mono);
    } catch (error) {
      this.#windows.retry();
      if (!(error instanceof StoreError)) throw error;
      this.#options.failed(store, error);
    }
  }

  /** Adds a silence or an inhibition; gives its id. @throws MuteError, StoreError */
  addMute(terms: MuteTerms, reason: string, durationMs: number, by: string): string {
    checkMute(terms, reason, durationMs);
    if (this.#mutes.size >= MAX_MUTES) {
      throw new MuteError(`There are ${MAX_MUTES} silences and inhibitions, which is the most; end one first`);
    }
    const store = this.#opened(), now = this.#wall(), until = this.#monotonic() + durationMs;
    const id = `${terms.kind === "silence" ? "s" : "i"}${crypto.getRandomValues(new Uint8Array(5)).toHex()}`;
    const stored = { id, kind: terms.kind, terms: JSON.stringify(terms), reason, createdTime: now, createdBy: by };
    store.alerting("The store did not take it", (tables) => {
      tables.addMute({ ...stored, leftMs: durationMs, notedTime: now, muted: 0 });
    }, now);
    this.#mutes.set(id, { id, terms, reason, createdBy: by, until, muted: 0 });
    return id;
  }

  /** Ends a silence or an inhibition before its time. @throws MuteError when there is none, StoreError */
  endMute(id: string, by: string): void {
    const mute = this.#mutes.get(id), now = this.#wall();
    if (mute === undefined) {
      throw new MuteError(`No silence or inhibition ${id} holds; alerts stats lists those that do`);
    }
    this.#opened().alerting("The store did not end it", (tables) => {
      tables.keepMute(id, 0, now, mute.muted);
      tables.endMute(id, now, by);
    }, now);
    this.#mutes.delete(id);
  }

  /** From now on a hit that is the same as this alert's is an alert of its own. @throws StoreError */
  forget(alertId: string): void {
    const window = this.#windows.ofAlert(alertId);
    if (window !== null) this.#endAll(this.#opened(), [window]);
  }

  #opened(): Store {
    if (this.#store === null) {
      throw new StoreError("The store cannot be used now; health says why", { kind: "io" });
    }
    return this.#store;
  }

  #endAll(store: Store, windows: readonly AlertWindow[]): void {
    const now = this.#wall(), { notesOf } = this.#options;
    const taker: AlertTaker = {
      take: (_, tables) => {
        const summaries: Alert[] = [];
        for (const window of windows) {
          if (this.#windows.get(window.key) === window) this.#end(window, tables, now, summaries);
        }
        return summaries;
      },
      committed: () => this.committed(),
      rolledBack: () => this.rolledBack(),
    };
    const added = store.addAlerts([], notesOf, now, taker);
    if (added.length > 0) this.#options.alerted(added);
  }

  /** A window ends; what was counted in it becomes a summary. */
  #end(window: AlertWindow, tables: AlertTables, now: number, added: Alert[]): void {
    this.#windows.end(window, tables);
    if (window.kind === "inhibit" || window.count === 0) return;
    const { ruleId, count, first: from, last: to, sample } = window;
    const of = sample === null ? tables.alert(window.alertId) : JSON.parse(sample) as Alert;
    if (of === null) {
      return this.#after(() =>
        this.#options.notice(`${count} hits of rule ${ruleId} were the same as an alert that is not stored any more`)
      );
    }
    const which = `${window.kind === "limit" ? "limit:" : ""}${of.alertId.slice(ruleId.length + 1)}`;
    const reason = window.kind === "limit"
      ? `hits past the limit of ${this.#perMinute(ruleId)} alerts a minute of this rule, or ${
        this.#perMinute(OVERALL)
      } of all (agent.alert_rule_per_minute, agent.alert_per_minute)`
      : `the same again, within ${Math.round(this.#windowMs(ruleId) / 1_000)} s of the alert`;
    const repeats = { count, from, to, reason }, alertId = `${ruleId}@summary:${which}`;
    const summary: Alert = { ...of, alertId, kind: "summary", repeats, time: to, detectedTime: now };
    if (!tables.add(summary, window.mutedBy)) return;
    added.push(summary);
    this.#counted.alert_summaries += 1;
  }

  #countLimited(alert: Alert, mono: number): void {
    const key = `limit ${alert.ruleId}`;
    let window = this.#windows.get(key);
    if (window === undefined) {
      window = { ...blank(key, "limit", alert, mono + this.#options.windowMs), sample: JSON.stringify(alert) };
      this.#windows.open(window);
    }
    this.#windows.count(window, alert.time);
  }

  #touchRule(ruleId: string, mono: number): RuleHits {
    let rule = this.#rules.get(ruleId);
    if (rule === undefined) {
      rule = { hits: 0, lastTime: null, bucket: new TokenBucket(this.#rate(ruleId), mono) };
      this.#rules.set(ruleId, rule);
    }
    if (!this.#touched.has(ruleId)) {
      const { hits, lastTime, bucket } = rule, undo = bucket.mark, touched = rule;
      this.#touched.set(ruleId, () => {
        Object.assign(touched, { hits, lastTime });
        undo();
      });
    }
    return rule;
  }

  /** Takes what an alert costs; false when there is not enough. A muted one costs only its rule. */
  #spend({ bucket }: RuleHits, isSent: boolean, mono: number): boolean {
    if (!bucket.has(mono)) return false;
    if (isSent && !this.#touchRule(OVERALL, mono).bucket.take(mono)) return false;
    return bucket.take(mono);
  }

  /** Notes what the alert's rule asks for, and has it asked once that is durable; of what is muted nothing is. */
  #respond(alert: Alert, mute: Mute | null, tables: AlertTables, now: number): void {
    const { responder } = this.#options, asked: AskedResponse[] = [];
    const wanted = responder?.responsesOf(alert.ruleId) ?? [];
    for (const response of wanted) {
      const why = mute === null ? responder!.refusalOf(alert) : `it is muted by ${mute.id}`;
      const text = responseWords(response) + (why === null ? "" : `: ${why}`);
      const state = why === null ? "asked" : "not asked";
      const entryId = tables.noteResponse(alert.alertId, state, alert.ruleId, text, now);
      if (why === null) asked.push({ response, entryId });
    }
    const dropped = wanted.length - asked.length;
    if (wanted.length > 0) this.#after(() => responder!.ask(alert, asked, dropped));
  }

  #muteOf(alert: Alert, mono: number): Mute | null {
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

  /** An alert that others are kept back by is fresh from now on. */
  #noteSource(alert: Alert, mono: number): void {
    for (const { id, terms, until } of this.#mutes.values()) {
      if (terms.kind !== "inhibition" || until <= mono || !matches(terms.source, alert)) continue;
      const key = sourceKey(id, equalKey(terms.equal, alert)), known = this.#windows.get(key);
      if (known !== undefined) this.#windows.extend(known, mono + terms.freshMs);
      else this.#windows.open(blank(key, "inhibit", alert, mono + terms.freshMs));
    }
  }

  #keepMutes(store: Store, over: readonly Mute[], mono: number): void {
    const now = this.#wall();
    store.alerting("The store did not keep what silences have left", (tables) => {
      for (const { id, until, muted } of this.#mutes.values()) tables.keepMute(id, until - mono, now, muted);
      for (const { id } of over) tables.endMute(id, now, null);
    }, now);
    this.#mutesKept = mono;
    for (const { id, terms, reason, muted } of over) {
      this.#mutes.delete(id);
      this.#options.notice(`the ${terms.kind} ${id} (${reason}) ended; it kept ${muted} alerts from the sinks`);
    }
  }

  #write(tables: AlertTables, mono: number): void {
    const now = this.#wall();
    this.#windows.write(tables, now, mono);
    for (const ruleId of this.#touched.keys()) {
      const { hits, lastTime, bucket } = this.#rules.get(ruleId)!;
      tables.putRule({ ruleId, hits, lastTime, tokens: bucket.tokens(mono), notedTime: now });
    }
    for (const [mute, count] of this.#muting) tables.keepMute(mute.id, mute.until - mono, now, mute.muted + count);
  }

  #after(act: () => void): void {
    this.#then.push(act);
  }

  #windowMs(ruleId: string): number {
    return this.#options.policyOf?.(ruleId)?.windowMs ?? this.#options.windowMs;
  }

  /** What a minute brings, at once or evenly. */
  #rate(ruleId: string): TokenRate {
    const burst = this.#perMinute(ruleId);
    return { burst, perSecond: burst / 60 };
  }

  #perMinute(ruleId: string): number {
    return ruleId === OVERALL ? this.#options.perMinute : this.#options.rulePerMinute;
  }

  /** Tokens that came while nothing ran, as far as the wall clock is believed: a minute is all that a bucket holds. */
  #refilled(ruleId: string, passedMs: number): number {
    return Math.max(0, Math.min(passedMs, 60_000)) * this.#perMinute(ruleId) / 60_000;
  }
}

/** What makes hits the same. */
function keyOf({ ruleId, ruleHash, dedupKey }: Alert): string {
  return `${ruleId} ${ruleHash?.slice(0, 16) ?? ""} ${dedupKey}`;
}

function sourceKey(muteId: string, equal: string): string {
  return `inhibit ${muteId} ${equal}`;
}

function blank(key: string, kind: AlertWindow["kind"], alert: Alert, until: number): AlertWindow {
  const { ruleId, alertId, time } = alert;
  return { key, kind, ruleId, alertId, count: 0, first: time, last: time, until, mutedBy: null, sample: null };
}
