/**
 * Analyses: what triggers and people ask for, carried out a few at a time, stored as it goes on, and judged at its end.
 *
 * Events come here while they are judged, and set analyses going once they are stored; a fault here costs none of them.
 * What an analysis found is judged by the rules over results, whose hits become alerts like those of other rules, and by
 * triggers over results, which may set the next one going: at most {@linkcode MAX_DEPTH} deep, and never a chain that it
 * came from.
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
import type { Journal } from "../journal.ts";
import type { Store } from "../store/store.ts";
import { StoreError } from "../store/store_error.ts";
import { EventTriggers, type TriggerHits } from "./event_triggers.ts";
import type { Executor } from "./executor.ts";
import { resultAlert } from "./result_alert.ts";
import { type Order, Run } from "./run.ts";
import { RunWriter } from "./run_writer.ts";
import { eventKey, type Target, targetKey, targetOfEvent } from "./target.ts";
import { type Asker, TriggerQueue } from "./trigger_queue.ts";

/** Analyses under way at once. */
const MAX_RUNNING = 2;

/** What waits to be analysed. */
interface Wanted {
  readonly chain: Chain;
  readonly by: Asker | null;
  readonly priority: Priority;
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
  readonly #writer: RunWriter;
  readonly #clock: () => number;
  #plan: Plan = NO_PLAN;
  #triggers: EventTriggers | null = null;
  #lane: ResultLane | null = null;
  #attached: Store | null = null;
  #nextId = 1;
  #isStopping = false;
  #lastFault = "";

  constructor(options: AnalysesOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#clock = options.clock ?? (() => performance.now());
    this.#queue = new TriggerQueue((lost) => lost.ended(null), this.#clock);
    const { store, failed } = options;
    this.#writer = new RunWriter({ store, failed, refused: (reason) => this.#fault(reason) });
  }

  /** Takes what the files say now in the place of what they said. */
  use(plan: Plan): void {
    const triggers = EventTriggers.of(plan);
    this.#triggers?.[Symbol.dispose]();
    this.#triggers = triggers;
    this.#plan = plan;
    this.#lane?.[Symbol.dispose]();
    const queries = [...plan.rules.map(({ query }) => query), ...plan.queries.values()];
    this.#lane = queries.length === 0 ? null : new ResultLane(queries);
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
      store.carry(this.#writer);
      for (const run of this.#running.keys()) this.#writer.changed(run);
      this.#writer.settle();
      this.#pump();
    } catch (error) {
      this.#storeFailed(store, error);
    }
  }

  detach(): void {
    this.#attached = null;
  }

  /** Finds what events set going, one batch at a time; what it gives is called once they are stored. Neither throws. */
  async judge(rows: readonly (readonly SqlValue[])[]): Promise<() => void> {
    if (this.#triggers === null || rows.length === 0 || this.#isStopping) return () => {};
    try {
      const found = await this.#triggers.judge(rows);
      return () => this.#take(found);
    } catch (error) {
      this.#fault(`triggers did not judge ${rows.length} events: ${error instanceof Error ? error.message : error}`);
      return () => {};
    }
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
    const wanted: Wanted = { priority: "critical", by: null, chain, target, actor, lineage: [], ended: resolve };
    if (this.#queue.add(crypto.randomUUID(), wanted.priority, null, () => wanted) !== "taken") resolve(null);
    this.#pump();
    return await promise;
  }

  /** Ends what runs; resolves when that is in the store. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const run of this.#running.keys()) run.cancel();
    await Promise.all(this.#running.values());
    this.#writer.stop();
    this.#triggers?.[Symbol.dispose]();
    this.#triggers = null;
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
      analyses_unstored: this.#writer.unstored,
      analysis_waiting: this.#queue.size,
      analysis_running: this.#running.size,
      analysis_remembered: this.#queue.remembered,
      analysis_moved: this.#options.executor.moved,
      analysis_short: Number(this.isShort),
      analysis_triggers: this.#plan.triggers.length,
      analysis_files_rejected: this.#plan.rejected.length,
    };
  }

  /** Events that triggers want are stored. */
  #take({ hits, faults }: TriggerHits): void {
    const now = this.#clock();
    for (const { wish: { trigger, chain }, row } of hits) {
      const wanted = (): Wanted => wantedBy(trigger, chain, targetOfEvent(row), []);
      this.#queue.add(`${chain.id} ${eventKey(row)}`, trigger.priority, trigger, wanted, now);
    }
    for (const { rule, reason } of faults) this.#fault(`trigger ${rule.id} did not judge all events: ${reason}`);
    this.#pump();
  }

  /** A result sets the next analysis going. */
  #follow(trigger: Trigger, target: Target, lineage: readonly string[]): void {
    const chain = this.#plan.chains.get(trigger.chain)!, wanted = wantedBy(trigger, chain, target, lineage);
    if (lineage.length > MAX_DEPTH) {
      this.#counts.analysis_too_deep++;
      return;
    }
    if (lineage.includes(chain.id)) {
      this.#counts.analysis_cycles++;
      return;
    }
    this.#queue.add(`${chain.id} ${targetKey(target)}`, trigger.priority, trigger, () => wanted);
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
      const run = new Run(order, { executor, changed: (changed) => this.#writer.changed(changed), now: this.#now });
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
    // Who asked reads it next
    if (run.order.actor !== null) this.#writer.settle();
    ended(run);
    this.#pump();
  }

  /** Rules and triggers over what was found. */
  #judge(run: Run): void {
    const { chain, target, lineage } = run.order, rows = run.rows(), now = this.#now(), alerts: Alert[] = [];
    const { rules, queries } = this.#plan;
    const lane = this.#lane;
    if (lane === null) return;
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
      if (hits.length > 0) this.#follow(trigger, targetAfter(target, rows), [...lineage, chain.id]);
    }
    if (alerts.length === 0) return;
    // No alert is stored whose analysis is not
    this.#writer.settle();
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

function wantedBy(by: Trigger, chain: Chain, target: Target, lineage: readonly string[]): Wanted {
  return { by, priority: by.priority, chain, target, actor: null, lineage, ended: () => {} };
}

/** The target of what follows: the same, by the hash that was found. */
function targetAfter(target: Target, rows: StageRows): Target {
  const hash = rows["file_facts"]?.[0]?.["executable_hash"];
  return typeof hash === "string" ? { ...target, hash } : target;
}
