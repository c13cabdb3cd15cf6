/**
 * Analyses: what triggers and people ask for, carried out a few at a time, stored as it goes on, and judged at its end.
 *
 * Events come here when they are stored; a fault here costs none of them. What an analysis found is judged by the rules over
 * results, whose hits become alerts like those of other rules, and by triggers over results, which may set the next one
 * going: at most {@linkcode MAX_DEPTH} deep, and never a chain that it came from.
 *
 * @module
 */
import type { Alert, AlertHead } from "../../proto/alert.ts";
import type { Chain } from "../../proto/analysis/chain.ts";
import { MAX_DEPTH, NO_PLAN, type Plan } from "../../proto/analysis/plan.ts";
import { ResultLane } from "../../proto/analysis/result_query.ts";
import type { FactRow, StageRows } from "../../proto/analysis/stage.ts";
import { type Priority, type Trigger } from "../../proto/analysis/trigger.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { RuleEngine } from "../../proto/rules/engine.ts";
import type { ValidatedRule } from "../../proto/rules/rule.ts";
import type { Journal } from "../journal.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import type { Executor } from "./executor.ts";
import { resultAlert } from "./result_alert.ts";
import { type Order, Run } from "./run.ts";
import { type Target, targetKey, targetOfEvent } from "./target.ts";
import { type QueueRequest, TriggerQueue } from "./trigger_queue.ts";

/** Analyses under way at once. */
export const MAX_RUNNING = 2;
/** What one trigger may cost on one batch. */
const TRIGGER_DEADLINE_MS = 20;

/** What waits to be analysed. */
interface Wanted extends QueueRequest {
  readonly chain: Chain;
  readonly target: Target;
  readonly actor: string | null;
  readonly lineage: readonly string[];
  readonly ended: (run: Run | null) => void;
}

export interface AnalysesOptions {
  readonly executor: Executor;
  readonly journal: Journal;
  readonly store: () => Store | null;
  /** The store did not take rows. */
  readonly failed: (store: Store, error: unknown) => void;
  /** Stores alerts, and sees to their delivery. */
  readonly raise: (store: Store, alerts: readonly Alert[]) => void;
  /** The newest checkpoint of a collector's ledger. */
  readonly head?: (collectorId: string) => AlertHead | null;
  readonly now?: () => number;
  /** Milliseconds of a clock that does not jump. */
  readonly clock?: () => number;
}

/** What became of them since the start. */
const COUNTS = {
  analyses_begun: 0,
  analyses_completed: 0,
  analyses_partial: 0,
  analyses_failed: 0,
  analyses_timed_out: 0,
  analyses_cancelled: 0,
  analyses_unstored: 0,
  analysis_too_deep: 0,
  analysis_cycles: 0,
  analysis_faults: 0,
};

export class Analyses {
  readonly #options: AnalysesOptions;
  readonly #now: () => number;
  readonly #queue: TriggerQueue<Wanted>;
  /** Analyses under way, with their ends. */
  readonly #running = new Map<Run, Promise<void>>();
  readonly #counts = { ...COUNTS };
  #plan: Plan = NO_PLAN;
  #engine: RuleEngine | null = null;
  #triggers = new Map<ValidatedRule, Trigger>();
  #lane: ResultLane | null = null;
  #attached: Store | null = null;
  #nextId = 1;
  #isStopping = false;
  #lastFault = "";

  constructor(options: AnalysesOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#queue = new TriggerQueue((lost) => lost.ended(null), options.clock);
  }

  /** Takes what the files say now in the place of what they said. */
  use(plan: Plan): void {
    const triggers = plan.triggers.filter(({ rule }) => rule !== null);
    const engine = triggers.length === 0
      ? null
      : new RuleEngine(triggers.map(({ rule }) => rule!), { deadlineMs: TRIGGER_DEADLINE_MS });
    this.#engine?.close();
    this.#engine = engine;
    this.#plan = plan;
    this.#triggers = new Map(triggers.map((trigger) => [trigger.rule!, trigger]));
    this.#queue.forget(new Set(plan.triggers.map(({ id }) => id)));
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** A store is in use: analyses are numbered after those that it has, and what was under way in the last run ended. */
  attach(store: Store): void {
    try {
      this.#nextId = store.analysing("The store did not take what became of analyses", (tables) => {
        tables.closeOpen(this.#now());
        return Math.max(this.#nextId, tables.last() + 1);
      });
      this.#attached = store;
      this.#pump();
    } catch (error) {
      this.#storeFailed(store, error);
    }
  }

  detach(): void {
    this.#attached = null;
  }

  /** Events were stored. Does not throw. */
  saw(rows: readonly (readonly SqlValue[])[]): void {
    if (this.#engine === null || rows.length === 0 || this.#isStopping) return;
    try {
      const { hits, faults } = this.#engine.evaluate(rows);
      for (const { rule, row } of hits) this.#hit(this.#triggers.get(rule)!, targetOfEvent(rows[row]!), []);
      for (const { rule, reason } of faults) this.#fault(`trigger ${rule.id} did not judge all events: ${reason}`);
    } catch (error) {
      this.#fault(`triggers did not judge ${rows.length} events: ${error instanceof Error ? error.message : error}`);
    }
    this.#pump();
  }

  /** Analyses what a person names; what it came to, `null` when it found no room. @throws RangeError for no such chain */
  async ask(chainId: string, target: Target, actor: string): Promise<Run | null> {
    const chain = this.#plan.chains.get(chainId);
    if (chain === undefined) {
      const known = [...this.#plan.chains.keys()].join(", ") ||
        "none, as no file in analysis/ of a rules directory says any";
      throw new RangeError(`There is no chain ${chainId}; there are ${known}`);
    }
    const { promise, resolve } = Promise.withResolvers<Run | null>();
    // A key of its own: what a person asks for is looked at now, whatever was found before.
    const wanted = { key: `${crypto.randomUUID()}`, priority: "critical" as Priority, by: null, chain, target, actor };
    if (this.#queue.add({ ...wanted, lineage: [], ended: resolve }) !== "taken") resolve(null);
    this.#pump();
    return await promise;
  }

  /** Ends what runs; resolves when that is in the store. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const run of this.#running.keys()) run.cancel();
    await Promise.all(this.#running.values());
    this.#engine?.close();
    this.#engine = null;
    this.#lane?.[Symbol.dispose]();
    this.#lane = null;
  }

  /** Whether triggers ask for more than is carried out. */
  get isShort(): boolean {
    return this.#queue.isShort;
  }

  /** By the names of the status. */
  get counters(): Readonly<Record<string, number>> {
    return {
      ...this.#counts,
      ...this.#queue.counts,
      analysis_waiting: this.#queue.size,
      analysis_running: this.#running.size,
      analysis_remembered: this.#queue.remembered,
      analysis_moved: this.#options.executor.moved,
      analysis_short: Number(this.isShort),
      analysis_triggers: this.#plan.triggers.length,
      analysis_files_rejected: this.#plan.rejected.length,
    };
  }

  #hit(trigger: Trigger, target: Target, lineage: readonly string[]): void {
    const { id, perMinute, againMs, priority } = trigger, chain = this.#plan.chains.get(trigger.chain)!;
    if (lineage.length > MAX_DEPTH) {
      this.#counts.analysis_too_deep++;
      return;
    }
    if (lineage.includes(chain.id)) {
      this.#counts.analysis_cycles++;
      return;
    }
    const key = `${chain.id} ${targetKey(target)}`, by = { id, perMinute, againMs };
    this.#queue.add({ key, priority, by, chain, target, actor: null, lineage, ended: () => {} });
  }

  #pump(): void {
    while (this.#attached !== null && !this.#isStopping && this.#running.size < MAX_RUNNING) {
      const next = this.#queue.take();
      if (next === null) return;
      const { request: { chain, target, by, actor, priority, lineage, ended }, hits } = next, time = this.#now();
      const order: Order = {
        id: this.#nextId++,
        time,
        chain,
        triggerId: by?.id ?? null,
        actor,
        priority,
        target,
        hits,
        lineage,
      };
      const { executor } = this.#options;
      const run = new Run(order, { executor, changed: (changed) => this.#write(changed), now: this.#now });
      this.#counts.analyses_begun++;
      this.#running.set(run, run.carryOut().then(() => this.#ended(run, ended)));
    }
  }

  #ended(run: Run, ended: Wanted["ended"]): void {
    this.#running.delete(run);
    const { state } = run;
    if (state !== "running") this.#counts[`analyses_${state}`]++;
    try {
      if (state !== "cancelled" && !this.#isStopping) this.#judge(run);
    } catch (error) {
      this.#fault(`what an analysis found was not judged: ${error instanceof Error ? error.message : error}`);
    }
    ended(run);
    this.#pump();
  }

  /** Rules and triggers over what was found. */
  #judge(run: Run): void {
    const { chain, target, lineage } = run.order, rows = run.rows(), now = this.#now(), alerts: Alert[] = [];
    const { rules, queries } = this.#plan;
    if (rules.length === 0 && queries.size === 0) return;
    const lane = this.#lane ??= new ResultLane();
    lane.put(rows);
    for (const { rule, query } of rules) {
      const hits = this.#hits(`rule ${rule.id}`, () => lane.hits(query, now));
      if (rule.status === "draft") continue;
      // One analysis is one alert of a rule: further rows are of the same file.
      if (hits[0] !== undefined) alerts.push(resultAlert(rule, run, hits[0], hits.length, now, this.#options.head));
    }
    for (const [trigger, query] of queries) {
      if (!trigger.results!.after.includes(chain.id)) continue;
      const hits = this.#hits(`trigger ${trigger.id}`, () => lane.hits(query, now));
      if (hits.length > 0) this.#hit(trigger, targetAfter(target, rows), [...lineage, chain.id]);
    }
    if (alerts.length === 0) return;
    const store = this.#options.store();
    if (store === null) return this.#fault(`${alerts.length} alerts over results found no store`);
    try {
      this.#options.raise(store, alerts);
    } catch (error) {
      this.#storeFailed(store, error);
    }
  }

  #hits(what: string, find: () => FactRow[]): FactRow[] {
    try {
      return find();
    } catch (error) {
      this.#fault(`${what} did not judge a result: ${error instanceof Error ? error.message : error}`);
      return [];
    }
  }

  #write(run: Run): void {
    const store = this.#options.store(), { id } = run.order;
    if (store === null) {
      this.#counts.analyses_unstored++;
      return;
    }
    try {
      store.analysing("The store did not take an analysis", (tables) => tables.put(id, run.rows()));
    } catch (error) {
      this.#counts.analyses_unstored++;
      this.#storeFailed(store, error);
    }
  }

  #storeFailed(store: Store, error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    this.#options.failed(store, error);
  }

  #fault(text: string): void {
    this.#counts.analysis_faults++;
    if (text !== this.#lastFault) this.#options.journal.notice(text);
    this.#lastFault = text;
  }
}

/** The target of what follows: the same, by the hash that was found. */
function targetAfter(target: Target, rows: StageRows): Target {
  const hash = rows["file_facts"]?.[0]?.["executable_hash"];
  return typeof hash === "string" ? { ...target, hash } : target;
}
