/**
 * How often each rule was hit, and how many alerts it and all rules together may raise a minute.
 *
 * What a transaction changes here is written with it, and taken back when it is undone.
 *
 * @module
 */
import type { AlertTables, StoredRule } from "../store/alert_tables.ts";
import { TokenBucket, type TokenRate } from "../token_bucket.ts";

/** Of all rules together, where rules are kept by id. */
const OVERALL = "";

export interface Limits {
  /** Alerts a minute of one rule, and of all together. */
  readonly rulePerMinute: number;
  readonly perMinute: number;
}

export interface RuleHits {
  hits: number;
  lastTime: number | null;
  readonly bucket: TokenBucket;
}

export class RuleLimits {
  readonly #limits: Limits;
  readonly #rules = new Map<string, RuleHits>();
  /** Changed in the open transaction, with what undoes it. */
  readonly #touched = new Map<string, () => void>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Takes over what a store knows. */
  restore(stored: readonly StoredRule[], wall: number, mono: number): void {
    this.#rules.clear();
    this.#touched.clear();
    for (const { ruleId, hits, lastTime, tokens, notedTime } of stored) {
      const bucket = new TokenBucket(this.#rate(ruleId), mono, tokens + this.#refilled(ruleId, wall - notedTime));
      this.#rules.set(ruleId, { hits, lastTime, bucket });
    }
  }

  /** The hits of a rule, to be changed in the open transaction. */
  touch(ruleId: string, mono: number): RuleHits {
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
  spend({ bucket }: RuleHits, isSent: boolean, mono: number): boolean {
    if (!bucket.has(mono)) return false;
    if (isSent && !this.touch(OVERALL, mono).bucket.take(mono)) return false;
    return bucket.take(mono);
  }

  /** What these limits are, for people. */
  describe(): string {
    const { rulePerMinute, perMinute } = this.#limits;
    return `the limit of ${rulePerMinute} alerts a minute of this rule, or ${perMinute} of all ` +
      "(agent.alert_rule_per_minute, agent.alert_per_minute)";
  }

  write(tables: AlertTables, now: number, mono: number): void {
    for (const ruleId of this.#touched.keys()) {
      const { hits, lastTime, bucket } = this.#rules.get(ruleId)!;
      tables.putRule({ ruleId, hits, lastTime, tokens: bucket.tokens(mono), notedTime: now });
    }
  }

  committed(): void {
    this.#touched.clear();
  }

  rolledBack(): void {
    for (const undo of this.#touched.values()) undo();
    this.#touched.clear();
  }

  /** What a minute brings, at once or evenly. */
  #rate(ruleId: string): TokenRate {
    const burst = this.#perMinute(ruleId);
    return { burst, perSecond: burst / 60 };
  }

  #perMinute(ruleId: string): number {
    return ruleId === OVERALL ? this.#limits.perMinute : this.#limits.rulePerMinute;
  }

  /** Tokens that came while nothing ran, as far as the wall clock is believed: a minute is all that a bucket holds. */
  #refilled(ruleId: string, passedMs: number): number {
    return Math.max(0, Math.min(passedMs, 60_000)) * this.#perMinute(ruleId) / 60_000;
  }
}
