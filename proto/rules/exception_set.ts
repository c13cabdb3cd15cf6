/**
 * Which exceptions are for which rules.
 *
 * A name that no rule and no tag has is a fault with its place, as an override of no rule is: a rule that is renamed must
 * not come back unseen. What else the exception names still counts.
 *
 * @module
 */
import type { Exception } from "./exceptions.ts";
import { RuleError, type ValidatedRule } from "./rule.ts";
import { suggestion } from "./sql_refused.ts";
import { filtersOf, type Suppressor } from "./suppressor.ts";

/** Most exceptions of all files together: each may be asked about each hit. */
export const MAX_EXCEPTIONS_TOGETHER = 1_000;

/** What is to be told of a suppressor. */
export interface Applied {
  readonly by: Suppressor;
  /** How many rules it is for. */
  readonly rules: number;
}

export class ExceptionSet {
  /** Those that count. */
  readonly exceptions: readonly Exception[];
  readonly faults: readonly RuleError[];
  /** Those for all rules, and of rules that have others too: all for the rule. */
  readonly #forAll: Exception[] = [];
  readonly #byRule = new Map<string, Exception[]>();

  /** @param rules all that could be read, also those that are turned off */
  constructor(exceptions: readonly Exception[], rules: Iterable<Pick<ValidatedRule, "id" | "tags">>) {
    const ids = new Set<string>(), tags = new Map<string, string[]>(), faults: RuleError[] = [];
    const kept = new Map<string, Exception>();
    for (const rule of rules) {
      ids.add(rule.id);
      for (const tag of rule.tags) {
        const known = tags.get(tag);
        if (known === undefined) tags.set(tag, [rule.id]);
        else known.push(rule.id);
      }
    }
    for (const exception of exceptions) {
      const other = kept.get(exception.id), { file, id, line, column } = exception;
      const fault = (reason: string, at = { line, column }): void => void faults.push(new RuleError(file, at, reason));
      if (other !== undefined) {
        fault(`The exception ${id} is also in ${other.file}:${other.line}; give each a name of its own`);
        continue;
      }
      if (kept.size >= MAX_EXCEPTIONS_TOGETHER) {
        fault(`There are ${MAX_EXCEPTIONS_TOGETHER} exceptions already, and this one does not count; remove some`);
        continue;
      }
      kept.set(id, exception);
      const named = new Set<string>();
      for (const { name, ...at } of exception.rules ?? []) {
        const found = ids.has(name) ? [name] : tags.get(name) ?? [];
        if (found.length === 0) {
          const near = suggestion(name, ids);
          fault(`The exception ${id} is for ${name}, and no rule has that id or tag${near}; mend it, or remove it`, at);
        }
        for (const rule of found) named.add(rule);
      }
      if (exception.rules === null) {
        this.#forAll.push(exception);
        continue;
      }
      for (const rule of named) {
        const known = this.#byRule.get(rule);
        if (known === undefined) this.#byRule.set(rule, [exception]);
        else known.push(exception);
      }
    }
    // In the order in which they are written, which is the order in which they are asked
    const places = new Map([...kept.values()].map((exception, place) => [exception, place]));
    for (const [rule, own] of this.#byRule) {
      this.#byRule.set(rule, [...own, ...this.#forAll].sort((a, b) => places.get(a)! - places.get(b)!));
    }
    this.exceptions = [...kept.values()];
    this.faults = faults;
  }

  /** The exceptions for a rule. */
  exceptionsFor({ id }: Pick<ValidatedRule, "id">): readonly Exception[] {
    return this.#byRule.get(id) ?? this.#forAll;
  }

  /** Everything that may suppress hits of a rule: its filters, then the exceptions. */
  readonly of = (rule: ValidatedRule): readonly Suppressor[] => {
    const filters = filtersOf(rule), exceptions = this.exceptionsFor(rule);
    return filters.length === 0 ? exceptions : exceptions.length === 0 ? filters : [...filters, ...exceptions];
  };

  /** Changes when what is suppressed of a rule does. */
  versionFor(rule: Pick<ValidatedRule, "id">): string {
    return this.exceptionsFor(rule).map(({ hash }) => hash).join(" ");
  }

  /** Every exception, and every filter of these rules, with how many of them it is for. */
  applied(rules: readonly ValidatedRule[]): Applied[] {
    const counts = new Map<Suppressor, number>(this.exceptions.map((exception) => [exception, 0]));
    const add = (by: Suppressor): void => void counts.set(by, (counts.get(by) ?? 0) + 1);
    for (const rule of rules) {
      filtersOf(rule).forEach(add);
      for (const by of this.#byRule.get(rule.id) ?? []) if (by.rules !== null) add(by);
    }
    for (const by of this.#forAll) counts.set(by, rules.length);
    return [...counts].map(([by, rules]) => ({ by, rules }));
  }
}

export const NO_EXCEPTIONS: ExceptionSet = new ExceptionSet([], []);
