/**
 * Runs the rules over new events and keeps each rule's standing.
 *
 * A rule that fails costs its own verdict on one batch, which is counted and noticed, never the events. A rule that
 * keeps failing is taken out, and says so in `health` and `rules list`.
 *
 * @module
 */
import type { Alert } from "../proto/alert.ts";
import type { SqlValue } from "../proto/event_row.ts";
import { RuleEngine } from "../proto/rules/engine.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import type { RuleStatus } from "../proto/status.ts";
import { alertOf } from "./alerts/alert_of.ts";
import type { Counters } from "./counters.ts";
import type { Journal } from "./journal.ts";
import type { LoadedRules } from "./rules_loader.ts";
import type { RuleRow, Stream } from "./store/store.ts";

/** Failures after which a rule is taken out. */
export const MAX_RULE_FAULTS = 3;

interface Standing {
  hits: number;
  faults: number;
  /** Why it was taken out. */
  disabled: string | null;
}

export interface DetectionOptions {
  /** Time that one rule may take for one batch. */
  readonly deadlineMs: number;
  readonly journal: Journal;
  readonly counters: Counters;
  /** Called when a rule was taken out. */
  readonly changed?: () => void;
}

export class Detection {
  readonly #loaded: LoadedRules;
  readonly #options: DetectionOptions;
  readonly #standing = new Map<string, Standing>();
  #engine: RuleEngine;

  constructor(loaded: LoadedRules, options: DetectionOptions) {
    this.#loaded = loaded;
    this.#options = options;
    for (const rule of loaded.rules) this.#standing.set(rule.id, { hits: 0, faults: 0, disabled: null });
    this.#engine = this.#build();
  }

  /** The alerts that the rules raise on rows of `process_events`, at most one for each rule and row. */
  judge(rows: readonly SqlValue[][], stream: Stream, now: number): Alert[] {
    if (rows.length === 0) return [];
    let evaluation;
    try {
      evaluation = this.#engine.evaluate(rows);
    } catch (error) {
      this.#options.counters.rule_faults += 1;
      this.#options.journal.notice(`rules: a batch of ${rows.length} events was not judged: ${words(error)}`);
      return [];
    }
    const alerts = new Map<string, Alert>();
    for (const { rule, row, evidence } of evaluation.hits) {
      const alert = alertOf(rule, rows[row]!, evidence, stream, now);
      if (alerts.has(alert.alertId)) continue;
      alerts.set(alert.alertId, alert);
      this.#standing.get(rule.id)!.hits += 1;
    }
    for (const { rule, reason } of evaluation.faults) this.#noteFault(rule, reason);
    return [...alerts.values()];
  }

  /** Every rule that was found, active or not. */
  statuses(): RuleStatus[] {
    return this.rows().map(({ id, title, severity, file, state, line, column, reason, hits }) => ({
      id,
      title,
      severity,
      file,
      state,
      line,
      column,
      reason,
      hits,
    }));
  }

  /** The same, as the store keeps them. */
  rows(): RuleRow[] {
    const accepted = this.#loaded.rules.map((rule) => {
      const { hits, disabled } = this.#standing.get(rule.id)!;
      return {
        id: rule.id,
        title: rule.title,
        description: rule.description,
        severity: rule.severity,
        tags: rule.tags,
        sql: rule.sql,
        file: rule.file,
        state: disabled === null ? "active" : "rejected",
        line: null,
        column: null,
        reason: disabled,
        hits,
      };
    });
    return [...accepted, ...this.#loaded.rejected];
  }

  get active(): number {
    return [...this.#standing.values()].filter((standing) => standing.disabled === null).length;
  }

  close(): void {
    this.#engine.close();
  }

  #build(): RuleEngine {
    const active = this.#loaded.rules.filter((rule) => this.#standing.get(rule.id)!.disabled === null);
    return new RuleEngine(active, { deadlineMs: this.#options.deadlineMs });
  }

  #noteFault(rule: ValidatedRule, reason: string): void {
    const standing = this.#standing.get(rule.id)!;
    standing.faults += 1;
    this.#options.counters.rule_faults += 1;
    if (standing.faults < MAX_RULE_FAULTS) {
      this.#options.journal.notice(`rule ${rule.id} did not judge a batch: ${reason}`);
      return;
    }
    standing.disabled = `disabled after ${standing.faults} faults, the last: ${reason}`;
    this.#options.journal.notice(`rule ${rule.id} (${rule.file}) is ${standing.disabled}; mend it and restart`);
    this.#engine.close();
    this.#engine = this.#build();
    this.#options.changed?.();
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
