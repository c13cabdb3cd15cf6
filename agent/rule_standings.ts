/**
 * How each rule that judges stands: its hits, what is counted against it, and whether it is taken out for a while.
 *
 * One that runs past its deadline several batches in a row is taken out, and then tried again, each time after twice as
 * long: who can make a rule slow must not be able to turn it off for good.
 *
 * @module
 */
import type { Alert } from "../proto/alert.ts";
import type { Fault } from "../proto/rules/evaluation.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import type { Counters } from "./counters.ts";
import type { Journal } from "./journal.ts";

/** Batches in a row in which a rule may run past its deadline. */
export const MAX_FAULTS = 3;
const FIRST_PAUSE_MS = 60_000;
const LAST_PAUSE_MS = 3_600_000;

interface Standing {
  /** The version of the rule that it is of. */
  hash: string;
  hits: number;
  /** Batches in a row that it did not get through in time. */
  faults: number;
  /** How long it is taken out the next time. */
  pauseMs: number;
  /** Why it is taken out, `null` while it runs. */
  paused: string | null;
  /** When it is tried again, on the clock. */
  until: number;
}

const UNBLAMED = { faults: 0, pauseMs: FIRST_PAUSE_MS, paused: null, until: 0 } as const;

export interface StandingsOptions {
  readonly journal: Journal;
  readonly counters: Pick<Counters, "rule_faults">;
  /** A clock that does not jump, in milliseconds. */
  readonly clock: () => number;
}

export class RuleStandings {
  readonly #options: StandingsOptions;
  /** By id, of each rule that judges. */
  readonly #standings = new Map<string, Standing>();
  readonly #rules = new Map<string, ValidatedRule>();
  /** Ids of rules that a fault is counted against. */
  readonly #blamed = new Set<string>();
  /** When the next rule is to be put back, on the clock. */
  #nextReturn = Infinity;

  constructor(options: StandingsOptions) {
    this.#options = options;
  }

  /** A standing for each of them: that of its id before, but what a version is blamed for is not the next one's. */
  renew(rules: readonly ValidatedRule[]): void {
    const before = new Map(this.#standings);
    this.#standings.clear();
    this.#rules.clear();
    for (const rule of rules) {
      const { id, hash } = rule, known = before.get(id);
      this.#standings.set(id, known?.hash === hash ? known : { ...UNBLAMED, hash, hits: known?.hits ?? 0 });
      this.#rules.set(id, rule);
    }
    this.#seekReturn();
  }

  /** Of a rule that judges. */
  of(id: string): Readonly<Pick<Standing, "hits" | "paused">> {
    return this.#standings.get(id)!;
  }

  rule(id: string): ValidatedRule | undefined {
    return this.#rules.get(id);
  }

  /** Ids of rules that are taken out. */
  get paused(): string[] {
    return [...this.#standings].filter(([, { paused }]) => paused !== null).map(([id]) => id);
  }

  /** Rules raised these, which are stored. */
  raised(alerts: readonly Alert[]): void {
    for (const { ruleId } of alerts) {
      const standing = this.#standings.get(ruleId);
      if (standing !== undefined) standing.hits += 1;
    }
  }

  /** Whether {@linkcode noteFaults} has anything to do. */
  hasNews(faults: readonly Fault[]): boolean {
    return faults.length > 0 || this.#blamed.size > 0;
  }

  /**
   * What became of a batch of `rows`. Returns whether a rule was taken out.
   *
   * @param evaluated rules over windows that were due in it: others have proven nothing
   */
  noteFaults(faults: readonly Fault[], rows: number, evaluated: Iterable<{ readonly id: string }>): boolean {
    const { counters, journal } = this.#options;
    const late = new Set(faults.filter(({ timedOut }) => timedOut).map(({ rule }) => rule.id));
    const proven = new Set([...evaluated].map(({ id }) => id));
    for (const id of this.#blamed) {
      const rule = this.#rules.get(id);
      if (rule !== undefined && (late.has(id) || rule.windowMs !== null && !proven.has(id))) continue;
      this.#blamed.delete(id);
      if (rule !== undefined) this.#standings.get(id)!.faults = 0;
    }
    let isTakenOut = false;
    for (const { rule, reason, rows: unjudged, timedOut } of faults) {
      counters.rule_faults += 1;
      journal.notice(
        rule.windowMs === null
          ? `rule ${rule.id} did not judge ${unjudged} of ${rows} events: ${reason}`
          : `rule ${rule.id} did not judge the whole of its window of ${unjudged} rows: ${reason}`,
      );
      if (timedOut && this.#blame(rule, reason)) isTakenOut = true;
    }
    if (isTakenOut) this.#seekReturn();
    return isTakenOut;
  }

  #blame(rule: ValidatedRule, reason: string): boolean {
    const standing = this.#standings.get(rule.id)!;
    standing.faults += 1;
    this.#blamed.add(rule.id);
    if (standing.faults < MAX_FAULTS) return false;
    const seconds = standing.pauseMs / 1_000;
    standing.paused = `taken out for ${seconds} s after ${standing.faults} faults in a row, the last: ${reason}`;
    standing.until = this.#options.clock() + standing.pauseMs;
    standing.pauseMs = Math.min(standing.pauseMs * 2, LAST_PAUSE_MS);
    this.#options.journal.notice(`rule ${rule.id} (${rule.file}) is ${standing.paused}`);
    return true;
  }

  /** Gives rules whose time is up another try; the first fault takes them out again. Returns their ids. */
  putBack(): string[] {
    const now = this.#options.clock(), back: string[] = [];
    if (now < this.#nextReturn) return back;
    for (const [id, standing] of this.#standings) {
      if (standing.paused === null || standing.until > now) continue;
      standing.paused = null;
      standing.faults = MAX_FAULTS - 1;
      this.#blamed.add(id);
      back.push(id);
    }
    this.#seekReturn();
    return back;
  }

  #seekReturn(): void {
    const paused = [...this.#standings.values()].filter((standing) => standing.paused !== null);
    this.#nextReturn = Math.min(...paused.map((standing) => standing.until));
  }
}
