/**
 * The rules of Sigma files, taken together: filters, correlations and mappings reach from file to file.
 *
 * A rule that this host cannot judge any more, because its file, a filter or the mapping changed, stays as it was and says
 * so, as all rules do whose files are not right any more; the memory of it is the agent's.
 *
 * @module
 */
import { PARTIAL, RuleError, type ValidatedRule } from "../proto/rules/rule.ts";
import type { SecondGate } from "../proto/rules/second_gate.ts";
import { SigmaCompiler } from "../proto/sigma/collection.ts";
import type { SigmaFile } from "../proto/sigma/document.ts";
import type { MappingFile } from "../proto/sigma/mapping.ts";
import { words } from "./rule_directories.ts";

/** Documents that are put together between two steps: a millisecond or two. */
const RULES_A_STEP = 256;

/** A rule that runs; `remark` says what is not as its file says. */
export interface SigmaActive {
  readonly rule: ValidatedRule;
  readonly remark: string | null;
}

export interface SigmaRejected {
  /** The id of the document, or its place when it has none. */
  readonly id: string;
  readonly title: string;
  readonly error: RuleError;
}

export interface SigmaLoaded {
  readonly active: readonly SigmaActive[];
  readonly rejected: readonly SigmaRejected[];
}

export class SigmaRules {
  readonly #compiler = new SigmaCompiler();
  /** What SQLite's gate says against a query or a correlation; `null` for nothing. */
  readonly #gate = new WeakMap<object, string | null>();
  /** By file and id, what held last. */
  #before = new Map<string, ValidatedRule>();

  /** Compiles what is new or has changed, in steps of one document, and gives all. */
  *load(
    files: readonly SigmaFile[],
    mappings: readonly MappingFile[],
    gate: SecondGate,
  ): Generator<void, SigmaLoaded> {
    if (files.length === 0 && mappings.length === 0) {
      this.#before.clear();
      return { active: [], rejected: [] };
    }
    const { verdicts, mappingFaults } = yield* this.#compiler.steps(files, mappings);
    for (const { rule } of verdicts) {
      if (rule === null || this.#gate.has(gateKey(rule))) continue;
      this.#gate.set(gateKey(rule), gateFault(gate, rule));
      yield;
    }
    const active: SigmaActive[] = [], rejected: SigmaRejected[] = [], held = new Map<string, ValidatedRule>();
    for (const error of mappingFaults) rejected.push({ id: placeOf(error), title: "", error });
    let done = 0;
    for (const verdict of verdicts) {
      if (++done % RULES_A_STEP === 0) yield;
      const { rule, file, id, title } = verdict, key = `${file}\n${id}`;
      const refusal = rule === null ? null : this.#gate.get(gateKey(rule))!;
      if (rule !== null && refusal === null) {
        held.set(key, rule);
        active.push({ rule, remark: rule.missing.length === 0 ? null : PARTIAL + rule.missing.join("; ") });
        continue;
      }
      // A filter that is not applied in part is told as well
      const errors = refusal === null ? verdict.reasons : [new RuleError(file, verdict, refusal)], [error] = errors;
      if (error === undefined) continue;
      const before = verdict.kind === "filter" || id === null ? undefined : this.#before.get(key);
      if (before !== undefined) {
        held.set(key, before);
        active.push({ rule: before, remark: `${error.reason}; the version before this one stays active` });
      } else rejected.push({ id: id ?? placeOf(error), title, error: joined(errors) });
    }
    this.#before = held;
    return { active, rejected };
  }
}

/** What stays the same while a rule is only turned on or off. */
function gateKey({ query, correlation }: ValidatedRule): object {
  return query ?? correlation!;
}

function gateFault(gate: SecondGate, rule: ValidatedRule): string | null {
  try {
    gate.check(rule);
    return null;
  } catch (error) {
    return words(error);
  }
}

function placeOf({ file, line }: RuleError): string {
  return `${file}:${line}`;
}

/** The first with its place, and how many more there are. */
function joined([first, ...more]: readonly RuleError[]): RuleError {
  const rest = more.map(({ line, reason }) => `; line ${line}: ${reason}`).join("");
  return rest === "" ? first! : new RuleError(first!.file, first!, first!.reason + rest.slice(0, 1_000));
}
