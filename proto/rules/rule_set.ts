/**
 * The rules of several files together: those that run, and what is wrong with the others.
 *
 * One bad file never keeps another from loading. Sigma files are taken together, since filters, correlations and mappings
 * reach from file to file.
 *
 * @module
 */
import { SigmaCompiler } from "../sigma/collection.ts";
import { isSigma, parseSigma, type SigmaFile } from "../sigma/document.ts";
import { MAPPING_NAME, type MappingFile, parseMapping } from "../sigma/mapping.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { RuleError, ruleHash, type ValidatedRule, validateRule } from "./rule.ts";
import { parseRule } from "./rule_yaml.ts";

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

/** Checks the files in the order given, Sigma's last; of two rules with one id the first counts. */
export function loadRules(files: Iterable<RuleFile>, tables: TableSet = NO_TABLES): RuleSet {
  const rules = new Map<string, ValidatedRule>();
  const rejected: RuleError[] = [], sigma: SigmaFile[] = [], mappings: MappingFile[] = [];
  const add = (rule: ValidatedRule): void => {
    const { id, file, idPosition } = rule, other = rules.get(id);
    if (other !== undefined) {
      throw new RuleError(file, idPosition, `The id ${id} is also that of ${other.file}; give each rule its own`);
    }
    rules.set(id, rule);
  };
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof RuleError)) throw error;
      rejected.push(error);
    }
  };
  for (const { file, text } of files) {
    attempt(() => {
      if (MAPPING_NAME.test(file)) mappings.push(parseMapping(text, file, ruleHash(text)));
      else if (isSigma(text)) sigma.push(parseSigma(text, file));
      else add(validateRule(parseRule(text, file, tables), tables));
    });
  }
  if (sigma.length + mappings.length > 0) {
    const { verdicts, mappingFaults } = new SigmaCompiler().compile(sigma, mappings);
    rejected.push(...mappingFaults);
    for (const { rule, verdict, kind, reasons } of verdicts) {
      if (rule !== null) attempt(() => add(rule));
      // A filter that is not applied in part is told as well; what a rule lacks stands with the rule
      else if (verdict === "unsupported" || kind === "filter") rejected.push(...reasons);
    }
  }
  const sorted = [...rules.values()].sort((a, b) => a.id < b.id ? -1 : 1);
  return {
    active: sorted.filter((rule) => rule.enabled),
    disabled: sorted.filter((rule) => !rule.enabled),
    rejected,
  };
}
