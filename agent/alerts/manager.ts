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
import { leftOf, type Mute, type MuteTerms } from "./mutes.ts";
import { Muting } from "./muting.ts";
import { type Limits, RuleLimits } from "./rule_limits.ts";
import type { AskedResponse, RuleResponder } from "./rule_responder.ts";
import { type AlertWindow, AlertWindows, newWindow } from "./windows.ts";

/** How often ends of windows are looked for. */
const TICK_MS = 1_000;
/** Windows that end in one transaction. */
const ENDS_A_TRANSACTION = 200;
/** Alerts of before that a start looks at, to know the families that they are of. */
const MAX_RECENT = 2_000;
const NOTHING = { alerts_repeated: 0, alerts_limited: 0, alerts_muted: 0, alert_summaries: 0 };
const COUNTED = Object.keys(NOTHING) as (keyof typeof NOTHING)[];

export interface ManagerOptions extends Limits {
  /** How long a hit is the same as one before, where its rule does not say. */
  readonly windowMs: number;
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

export class AlertManager implements AlertTaker {
  readonly #options: ManagerOptions;
  readonly #monotonic: () => number;
  readonly #wall: () => number;
  #store: Store | null = null;
  readonly #windows = new AlertWindows();
  readonly #families = new Families();
  readonly #limits: RuleLimits;
  readonly #muting: Muting;
  /** What was counted in the open transaction. */
  #counted = { ...NOTHING };
  /** What is done once the open transaction is durable. */
  #then: (() => void)[] = [];
  #ticks: Repeated | null = null;

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.#limits = new RuleLimits(options);
    this.#muting = new Muting(this.#windows, options.notice);
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.#wall = options.wall ?? (() => Date.now());
  }

  /** Takes over what a store knows. @throws StoreError */
  attach(store: Store): void {
    const mono = this.#monotonic(), wall = this.#wall();
    store.alerting("The store did not say what is known of alerts", (tables) => {
      this.#windows.restore(tables.windows(), wall, mono);
      this.#limits.restore(tables.rules(), wall, mono);
      this.#muting.restore(tables.mutes(), wall, mono);
      this.#families.clear();
      for (const { execId, groupId, time } of tables.recent(wall - FAMILY_MS, MAX_RECENT)) {
        const left = leftOf({ leftMs: FAMILY_MS, notedTime: time }, wall);
        this.#families.join(groupId, execId, tables.ancestry(execId).slice(1), mono + left);
      }
    }, wall);
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
    const rule = this.#limits.touch(alert.ruleId, mono), hitsBefore = rule.hits, lastHitTime = rule.lastTime;
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
    const mute = this.#muting.of(alert, mono);
    if (alert.severity !== "critical" && !this.#limits.spend(rule, mute === null, mono)) {
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
    this.#windows.open({ ...newWindow(key, "repeat", alert, until), mutedBy: mute?.id ?? null });
    for (let oldest = this.#windows.surplus; oldest !== null; oldest = this.#windows.surplus) {
      this.#end(oldest, tables, now, added);
    }
    this.#after(() => this.#families.join(groupId, alert.execId, ancestry, mono + FAMILY_MS));
    if (mute !== null) {
      this.#muting.count(mute);
      this.#counted.alerts_muted += 1;
    } else this.#muting.noteSource(whole, mono);
  }

  committed(): void {
    this.#windows.committed();
    this.#limits.committed();
    this.#muting.committed();
    const { counters } = this.#options;
    for (const name of COUNTED) counters[name] += this.#counted[name];
    this.#counted = { ...NOTHING };
    const then = this.#then;
    this.#then = [];
    for (const act of then) act();
  }

  rolledBack(): void {
    this.#windows.rolledBack();
    this.#limits.rolledBack();
    this.#muting.rolledBack();
    this.#counted = { ...NOTHING };
    this.#then = [];
  }

  /** Ends the windows and silences whose time has come. */
  tick(): void {
    const store = this.#store, mono = this.#monotonic();
    if (store === null) return;
    const ended = this.#windows.ended(mono), over = this.#muting.over(mono);
    const keep = this.#muting.isKeepDue(mono);
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
    const mute = this.#muting.make(terms, reason, durationMs, by, this.#monotonic());
    const store = this.#opened(), now = this.#wall(), { id } = mute;
    const stored = { id, kind: terms.kind, terms: JSON.stringify(terms), reason, createdTime: now, createdBy: by };
    store.alerting("The store did not take it", (tables) => {
      tables.addMute({ ...stored, leftMs: durationMs, notedTime: now, muted: 0 });
    }, now);
    this.#muting.added(mute);
    return id;
  }

  /** Ends a silence or an inhibition before its time. @throws MuteError when there is none, StoreError */
  endMute(id: string, by: string): void {
    const mute = this.#muting.held(id), now = this.#wall();
    this.#opened().alerting("The store did not end it", (tables) => {
      tables.keepMute(id, 0, now, mute.muted);
      tables.endMute(id, now, by);
    }, now);
    this.#muting.ended(id);
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
      ? `hits past ${this.#limits.describe()}`
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
      window = { ...newWindow(key, "limit", alert, mono + this.#options.windowMs), sample: JSON.stringify(alert) };
      this.#windows.open(window);
    }
    this.#windows.count(window, alert.time);
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

  #keepMutes(store: Store, over: readonly Mute[], mono: number): void {
    const now = this.#wall();
    const keep = (tables: AlertTables): void => this.#muting.keep(tables, over, now, mono);
    store.alerting("The store did not keep what silences have left", keep, now);
    this.#muting.kept(over, mono);
  }

  #write(tables: AlertTables, mono: number): void {
    const now = this.#wall();
    this.#windows.write(tables, now, mono);
    this.#limits.write(tables, now, mono);
    this.#muting.write(tables, now, mono);
  }

  #after(act: () => void): void {
    this.#then.push(act);
  }

  #windowMs(ruleId: string): number {
    return this.#options.policyOf?.(ruleId)?.windowMs ?? this.#options.windowMs;
  }
}

/** What makes hits the same. */
function keyOf({ ruleId, ruleHash, dedupKey }: Alert): string {
  return `${ruleId} ${ruleHash?.slice(0, 16) ?? ""} ${dedupKey}`;
}
