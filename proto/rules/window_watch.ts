/**
 * One rule over several rows, as its lane keeps it: its table, whether it is due, what it has raised, and what keeps its
 * verdict from being whole.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { CorrelationTable } from "./correlation_table.ts";
import type { RuleCost } from "./rule_cost.ts";
import type { ValidatedRule } from "./rule.ts";
import { SeenTable } from "./seen_table.ts";
import type { WatchTable } from "./watch_table.ts";
import { CAPPED, FORGOT, WENT_BACK } from "./window_evaluation.ts";
import { WindowTable } from "./window_table.ts";

/** Evaluations of a rule within a batch, beside the one at its end, each because rows are about to leave. */
const MAX_EXTRA = 16;
const GRAIN = 20;
/** Findings of one rule that are remembered as raised. */
const MAX_RAISED = 10_000;

export class Watch {
  readonly table: WatchTable;
  readonly windowMs: number;
  /** The newest time when it became due. */
  dueAt = 0;
  /** Index in the batch of the last row that it can use. */
  trigger = 0;
  /** Evaluations within the batch. */
  extra = 0;
  /** Time for which a finding was raised last. */
  readonly raised = new Map<string, number>();
  /** Times of what keeps verdicts from being whole, by reason. */
  readonly marks = new Map<string, number>();
  /** Why its last evaluation was not whole. */
  cut: string | null = null;
  /** Milliseconds that its bases took of this batch, as far as that was measured. */
  spent = 0;
  /** Most that they may. */
  limit: number;

  /** @param name of the rule's table in a database of the lane */
  constructor(db: DatabaseSync, readonly rule: ValidatedRule, name: string, readonly cost: RuleCost, limitMs: number) {
    this.table = tableOf(db, rule, name);
    this.windowMs = rule.windowMs!;
    this.limit = limitMs;
  }

  /** How far back events are of use, in milliseconds. */
  get keepMs(): number {
    return Math.max(this.windowMs, this.table.keepMs);
  }

  /** Whether it is due and must be evaluated before the newest time becomes this one. */
  leavesTooMuch(time: number): boolean {
    // The others keep what an evaluation needs until it was
    if (!(this.table instanceof WindowTable) || this.table.oldest > time - this.windowMs) return false;
    return this.extra < MAX_EXTRA || time - this.dueAt > this.windowMs / GRAIN;
  }

  /** Why its verdict is not whole when this is the newest time; empty when it is. */
  reasons(newest: number): string[] {
    const reasons: string[] = [], { rule, table } = this;
    if (table instanceof SeenTable && table.forgot > newest - rule.correlation!.windowMs && table.forgot > 0) {
      reasons.push(FORGOT);
    }
    if (table instanceof SeenTable && !(table.learnsUntil <= newest)) {
      const { learnsUntil } = table, until = Number.isFinite(learnsUntil) ? new Date(learnsUntil).toISOString() : null;
      reasons.push(until === null ? "it has seen no event yet" : `it learns what is usual until ${until}`);
    }
    for (const [reason, time] of this.marks) {
      if (time > newest - this.windowMs) reasons.push(reason);
      else this.marks.delete(reason);
    }
    if (this.cut !== null) reasons.push(`its last evaluation was not whole: ${this.cut}`);
    return reasons;
  }

  /** Takes over what another version's verdicts, or its own in another lane, had against them. */
  inherit({ rule, marks, cut }: Watch): void {
    for (const [reason, time] of marks) if (!(this.marks.get(reason)! >= time)) this.marks.set(reason, time);
    if (this.rule.hash === rule.hash) this.cut = cut;
  }

  /** Forgets everything. */
  clear(newest: number): void {
    this.table.clear(newest);
    this.raised.clear();
    this.marks.clear();
    this.cut = null;
  }

  /** Drops the oldest tenth of its rows. */
  shrink(): void {
    const until = this.table.shrink();
    if (until !== null) this.marks.set(CAPPED, until);
  }

  /** Drops what left its window while it was not due, and findings that may be raised again. */
  tidy(newest: number): void {
    const { table, windowMs, raised, keepMs } = this;
    table.settle();
    if (table.oldest <= newest - keepMs * 1.25) table.evict(newest - keepMs);
    if (raised.size <= MAX_RAISED) return;
    for (const [key, time] of raised) if (time <= newest - windowMs) raised.delete(key);
    // One that is forgotten early is raised twice rather than not at all.
    for (const key of raised.keys()) {
      if (raised.size <= MAX_RAISED) break;
      raised.delete(key);
    }
  }

  /** The host's clock was set back: what is later than it would keep everything that comes out of the window. */
  goBack(until: number): void {
    const { table, raised, marks } = this;
    table.evictAfter(until);
    for (const [key, time] of raised) if (time > until) raised.delete(key);
    marks.clear();
    marks.set(WENT_BACK, until);
  }
}

/** The memory of a rule. */
function tableOf(db: DatabaseSync, rule: ValidatedRule, name: string): WatchTable {
  if (rule.correlation === null) return new WindowTable(db, rule, name);
  return rule.correlation.kind === "first_seen" ? new SeenTable(rule) : new CorrelationTable(rule);
}
