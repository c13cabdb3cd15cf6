/**
 * The rules of several files together: those that run, and what is wrong with the others.
 *
 * One bad file never keeps another from loading.
 *
 * @module
 */
import { parseRule, RuleError, type ValidatedRule, validateRule } from "./rule.ts";

export interface RuleFile {
  /** As it is to be shown. */
  readonly file: string;
  readonly text: string;
}

export interface RuleSet {
  /** Sorted by id; those with `enabled: false` are in `disabled`. */
  readonly active: readonly ValidatedRule[];
  readonly disabled: readonly ValidatedRule[];
  readonly rejected: readonly RuleError[];
}

/** Checks the files in the order given; of two rules with one id the first counts. */
export function loadRules(files: Iterable<RuleFile>): RuleSet {
  const rules = new Map<string, ValidatedRule>();
  const rejected: RuleError[] = [];
  for (const { file, text } of files) {
    try {
      const rule = validateRule(parseRule(text, file));
      const other = rules.get(rule.id);
      if (other !== undefined) {
        throw new RuleError(
          file,
          rule.idPosition,
          `The id ${rule.id} is also that of ${other.file}; give each rule its own`,
        );
      }
      rules.set(rule.id, rule);
    } catch (error) {
      if (!(error instanceof RuleError)) throw error;
      rejected.push(error);
    }
  }
  const sorted = [...rules.values()].sort((a, b) => a.id < b.id ? -1 : 1);
  return {
    active: sorted.filter((rule) => rule.enabled),
    disabled: sorted.filter((rule) => !rule.enabled),
    rejected,
  };
}
