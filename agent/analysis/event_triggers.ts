/**
 * Triggers over events, all of them behind one engine: which of a batch's events set an analysis going.
 *
 * An event that no trigger wants costs one look at it, however many triggers there are (`stream_index.ts`). Judging gives
 * way to other work, as that of rules does; a trigger past its time for a batch misses the rest of it, as a fault that is
 * told.
 *
 * @module
 */
import type { Chain } from "../../proto/analysis/chain.ts";
import type { Plan } from "../../proto/analysis/plan.ts";
import type { Trigger } from "../../proto/analysis/trigger.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { RuleEngine } from "../../proto/rules/engine.ts";
import type { Fault } from "../../proto/rules/evaluation.ts";
import type { ValidatedRule } from "../../proto/rules/rule.ts";
import { paced } from "../paced.ts";

/** What one trigger may cost on one batch. */
const TRIGGER_DEADLINE_MS = 20;

/** What a trigger sets going. */
export interface Wish {
  readonly trigger: Trigger;
  readonly chain: Chain;
}

export interface TriggerHits {
  readonly hits: readonly { readonly wish: Wish; readonly row: readonly SqlValue[] }[];
  readonly faults: readonly Fault[];
}

export class EventTriggers implements Disposable {
  readonly #engine: RuleEngine;
  readonly #wishes: ReadonlyMap<ValidatedRule, Wish>;
  #isJudging = false;
  #isDisposed = false;

  private constructor(wishes: ReadonlyMap<ValidatedRule, Wish>) {
    this.#wishes = wishes;
    this.#engine = new RuleEngine([...wishes.keys()], { deadlineMs: TRIGGER_DEADLINE_MS });
  }

  /** Those of a plan; `null` when it has none. */
  static of({ triggers, chains }: Plan): EventTriggers | null {
    const wishes = new Map<ValidatedRule, Wish>();
    for (const trigger of triggers) {
      if (trigger.rule !== null) wishes.set(trigger.rule, { trigger, chain: chains.get(trigger.chain)! });
    }
    return wishes.size === 0 ? null : new EventTriggers(wishes);
  }

  /** One batch is judged at a time. */
  async judge(rows: readonly (readonly SqlValue[])[]): Promise<TriggerHits> {
    this.#isJudging = true;
    try {
      const { hits, faults } = await paced(this.#engine.steps(rows), { began: performance.now() });
      return { hits: hits.map(({ rule, row }) => ({ wish: this.#wishes.get(rule)!, row: rows[row]! })), faults };
    } finally {
      this.#isJudging = false;
      if (this.#isDisposed) this.#engine.close();
    }
  }

  /** Others take their place; a batch that is being judged is judged to its end. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    if (!this.#isJudging) this.#engine.close();
  }
}
