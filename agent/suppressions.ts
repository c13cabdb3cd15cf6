/**
 * What exceptions and filters took, counted for each and for each rule, since the agent's start.
 *
 * What a batch adds counts once the batch is stored: one that is judged again must not count twice. Counts stay with the
 * name of an exception over reloads. The ledger is told the sums, at most once in {@linkcode NOTE_EVERY_MS} for each.
 *
 * @module
 */
import type { ExceptionSet } from "../proto/rules/exception_set.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";
import type { Suppressed, Suppressor } from "../proto/rules/suppressor.ts";
import type { SuppressorStatus } from "../proto/status.ts";
import type { NewNote } from "./ledger_notes.ts";

/** How often the ledger is told of one exception. */
export const NOTE_EVERY_MS = 600_000;
/** Exceptions and filters that the status lists, those with the most first, and rules of each. */
export const MAX_LISTED = 1_000, MAX_LISTED_RULES = 16;

interface Count {
  readonly kind: Suppressor["kind"];
  readonly id: string;
  total: number;
  lastTime: number;
  readonly byRule: Map<string, number>;
  /** What the ledger was not told yet: how many, from when to when. */
  untold: { count: number; from: number; to: number };
  toldAt: number;
}

const keyOf = ({ kind, id }: Pick<Suppressor, "kind" | "id">): string => `${kind} ${id}`;

export class Suppressions {
  #exceptions: ExceptionSet;
  #rules: readonly ValidatedRule[];
  readonly #counts = new Map<string, Count>();
  readonly #byRule = new Map<string, number>();
  #pending: Suppressed[] = [];
  /** What the status says, which changes with the rules alone. */
  #applied: ReturnType<ExceptionSet["applied"]>;
  /** All together. */
  total = 0;

  constructor(exceptions: ExceptionSet, rules: readonly ValidatedRule[]) {
    this.#exceptions = exceptions;
    this.#rules = rules;
    this.#applied = exceptions.applied(rules);
  }

  /** From now on these apply. */
  take(exceptions: ExceptionSet, rules: readonly ValidatedRule[]): void {
    this.#exceptions = exceptions;
    this.#rules = rules;
    this.#applied = this.#exceptions.applied(this.#rules);
    const known = new Set(this.#applied.map(({ by }) => keyOf(by)));
    // What is gone goes once the ledger has it
    for (const [key, { untold }] of this.#counts) if (!known.has(key) && untold.count === 0) this.#counts.delete(key);
    const ids = new Set(rules.map(({ id }) => id));
    for (const id of this.#byRule.keys()) if (!ids.has(id)) this.#byRule.delete(id);
  }

  /** A batch is judged: what the one before would have added and did not store is forgotten. */
  begin(): void {
    this.#pending = [];
  }

  add(suppressed: readonly Suppressed[]): void {
    for (const each of suppressed) this.#pending.push(each);
  }

  /** The batch is stored. */
  stored(): void {
    for (const { by, rule: { id }, time } of this.#pending) {
      const key = keyOf(by);
      let count = this.#counts.get(key);
      if (count === undefined) {
        const untold = { count: 0, from: 0, to: 0 }, said = { toldAt: -Infinity, untold };
        count = { kind: by.kind, id: by.id, total: 0, lastTime: time, byRule: new Map(), ...said };
        this.#counts.set(key, count);
      }
      count.total += 1;
      count.lastTime = Math.max(count.lastTime, time);
      count.byRule.set(id, (count.byRule.get(id) ?? 0) + 1);
      const { untold } = count, isFirst = untold.count === 0;
      count.untold = {
        count: untold.count + 1,
        from: isFirst ? time : Math.min(untold.from, time),
        to: isFirst ? time : Math.max(untold.to, time),
      };
      this.#byRule.set(id, (this.#byRule.get(id) ?? 0) + 1);
      this.total += 1;
    }
    this.#pending = [];
  }

  /** How many hits of a rule. */
  of(ruleId: string): number {
    return this.#byRule.get(ruleId) ?? 0;
  }

  /** Exceptions that have ended. */
  expired(now: number): readonly Suppressor[] {
    return this.#applied.flatMap(({ by }) => by.expiresMs !== null && by.expiresMs <= now ? [by] : []);
  }

  /** What the status lists; the rest is in `suppressors_not_listed`. */
  statuses(): SuppressorStatus[] {
    const all = this.#applied.map(({ by, rules }): SuppressorStatus => {
      const { kind, id, file, line, reason, author, expiresMs: expires } = by, count = this.#counts.get(keyOf(by));
      const byRule = [...count?.byRule ?? []].map(([ruleId, count]) => ({ ruleId, count }));
      byRule.sort((a, b) => b.count - a.count || (a.ruleId < b.ruleId ? -1 : 1));
      return {
        ...{ kind, id, file, line, reason, author, expires, rules },
        suppressed: count?.total ?? 0,
        lastTime: count?.lastTime ?? null,
        byRule: byRule.slice(0, MAX_LISTED_RULES),
      };
    });
    if (all.length <= MAX_LISTED) return all;
    return all.sort((a, b) => b.suppressed - a.suppressed).slice(0, MAX_LISTED);
  }

  get notListed(): number {
    return Math.max(0, this.#applied.length - MAX_LISTED);
  }

  /** What the ledger is to be told now; `isLast` for all that it was not told yet. What it takes is {@linkcode told}. */
  due(now: number, isLast = false): { readonly key: string; readonly note: NewNote }[] {
    return [...this.#counts].flatMap(([key, { kind, id, untold, toldAt, byRule }]) => {
      if (untold.count === 0 || !isLast && Math.abs(now - toldAt) < NOTE_EVERY_MS) return [];
      const rules = [...byRule.keys()], some = rules.slice(0, MAX_LISTED_RULES).join(", ");
      const what = `hits that the ${kind} ${id} kept from being alerts, of ${some}`;
      const more = rules.length > MAX_LISTED_RULES ? ` and ${rules.length - MAX_LISTED_RULES} further rules` : "";
      return [{ key, note: { action: "suppressed", value: { what: (what + more).slice(0, 1_024), ...untold } } }];
    });
  }

  /** The ledger has it. */
  told(key: string, now: number): void {
    const count = this.#counts.get(key)!;
    count.untold = { count: 0, from: 0, to: 0 };
    count.toldAt = now;
  }
}
