/**
 * Puts together what the files of rules hold: which rules are judged, with the overrides that apply to them, and why the
 * others are not.
 *
 * @module
 */
import { ExceptionSet } from "../proto/rules/exception_set.ts";
import type { Exception } from "../proto/rules/exceptions.ts";
import type { Override } from "../proto/rules/overrides.ts";
import { RuleError, type ValidatedRule } from "../proto/rules/rule.ts";
import { type LoadedRules, NEVER_RUN, type Remark, ruleRow } from "./loaded_rules.ts";
import { words } from "./rule_directories.ts";
import { type Known, tooLong } from "./rule_file.ts";
import type { SigmaLoaded } from "./sigma_rules.ts";
import type { RuleRow } from "./store/rule_table.ts";

/** Rules over windows: each has a table and a statement of its own in memory. */
const MAX_WINDOW_RULES = 500;
/** Rules that are put together between two steps: a millisecond or two. */
const RULES_A_STEP = 64;

/** All files together: of two rules with one id the first counts; then overrides. */
export function* assembling(
  known: ReadonlyMap<string, Known>,
  absent: ReadonlyMap<string, string>,
  windowMs: number,
  sigma: SigmaLoaded,
  asked: readonly Override[],
): Generator<void, Omit<LoadedRules, "notices">> {
  const rules = new Map<string, ValidatedRule>(), remarks = new Map<string, Remark>(), others: RuleRow[] = [];
  const overrides: Override[] = [], excepted: Exception[] = [];
  let done = 0;
  for (const [file, { good, fault, directory }] of known) {
    if (++done % RULES_A_STEP === 0) yield;
    if (good === null) {
      others.push(rejection(file, fault));
    } else if ("id" in good) {
      const other = rules.get(good.id);
      if (other !== undefined) {
        const reason = `The id ${good.id} is also that of ${other.file}; give each rule its own`;
        others.push(rejection(file, new RuleError(file, good.idPosition, reason)));
        continue;
      }
      rules.set(good.id, good);
      const remark = remarkOn(fault, absent.get(directory), directory);
      if (remark !== null) remarks.set(good.id, remark);
    } else if ("kind" in good) {
      if (good.kind === "exceptions") excepted.push(...good.exceptions);
      if (fault !== null) others.push(rejection(file, fault, "; what it held before still counts"));
    } else {
      overrides.push(...good);
      if (fault !== null) others.push(rejection(file, fault, "; the overrides before it still count"));
    }
  }
  yield* addingSigma(sigma, known, absent, rules, remarks, others);
  for (const override of overrides) {
    if (++done % RULES_A_STEP === 0) yield;
    applyOverride(override, rules, remarks, others);
  }
  for (const override of asked) if (rules.has(override.id)) applyOverride(override, rules, remarks, others);
  yield;
  const exceptions = new ExceptionSet(excepted, rules.values());
  for (const error of exceptions.faults) {
    others.push({ ...rejection(error.file, error), id: `${error.file}:${error.line}:${error.column}` });
  }
  yield;
  const active: ValidatedRule[] = [];
  let overWindows = 0;
  for (const rule of [...rules.values()].sort((a, b) => a.id < b.id ? -1 : 1)) {
    if (++done % RULES_A_STEP === 0) yield;
    if (rule.enabled) {
      const fault = tooLong(rule, windowMs) ??
        (rule.windowMs !== null && ++overWindows > MAX_WINDOW_RULES
          ? `there are ${MAX_WINDOW_RULES} rules over windows already; disable one`
          : null);
      if (fault === null) active.push(rule);
      else {
        others.push(rejection(rule.file, fault));
        remarks.delete(rule.id);
      }
    } else {
      const remark = remarks.get(rule.id);
      others.push(ruleRow(rule, "disabled", remark?.reason ?? "its file says enabled: false"));
      remarks.delete(rule.id);
    }
  }
  return { active, remarks, others, exceptions };
}

/** What was asked for of rules that are not there, which an operator should know. */
export function withoutRule(asked: readonly Override[], { active, others }: Omit<LoadedRules, "notices">): string[] {
  if (asked.length === 0) return [];
  const ids = new Set([...active, ...others].map(({ id }) => id));
  return asked.filter(({ id }) => !ids.has(id)).map(({ id, file }) =>
    `There is no rule ${id}, which ${file} disables; 'ask rules enable ${id}' forgets that`
  );
}

/** Rules of Sigma files, after our own: of two with one id the first counts. */
function* addingSigma(
  { active, rejected }: SigmaLoaded,
  known: ReadonlyMap<string, Known>,
  absent: ReadonlyMap<string, string>,
  rules: Map<string, ValidatedRule>,
  remarks: Map<string, Remark>,
  others: RuleRow[],
): Generator<void> {
  let done = 0;
  for (const { rule, remark } of active) {
    if (++done % RULES_A_STEP === 0) yield;
    const { id, file, idPosition } = rule, other = rules.get(id);
    if (other !== undefined) {
      const reason = `The id ${id} is also that of ${other.file}; give each rule its own`;
      others.push({ ...rejection(file, new RuleError(file, idPosition, reason)), id: `${file}:${idPosition.line}` });
      continue;
    }
    rules.set(id, rule);
    const { directory } = known.get(file)!, gone = remarkOn(null, absent.get(directory), directory);
    if (gone !== null) remarks.set(id, gone);
    else if (remark !== null) remarks.set(id, { line: null, column: null, reason: remark });
  }
  for (const { id, title, error } of rejected) {
    if (++done % RULES_A_STEP === 0) yield;
    // An id that is judged, by another document, keeps its row
    const row = rules.has(id) ? `${error.file}:${error.line}` : id;
    others.push({ ...rejection(error.file, error), id: row, title });
  }
}

function remarkOn(fault: unknown, absence: string | undefined, directory: string): Remark | null {
  if (absence !== undefined) {
    return { line: null, column: null, reason: `its directory ${directory} ${absence}; what it was stays active` };
  }
  if (fault === null) return null;
  const { line, column, reason } = placeOf(fault);
  return { line, column, reason: `${reason}; the version before this one stays active` };
}

function applyOverride(
  { id, state, severity, reason, file, position }: Override,
  rules: Map<string, ValidatedRule>,
  remarks: Map<string, Remark>,
  others: RuleRow[],
): void {
  const rule = rules.get(id);
  if (rule === undefined) {
    const fault = new RuleError(file, position, `There is no rule ${id} to override; remove this, or mend the id`);
    others.push({ ...rejection(file, fault), id: `${file}#${id}` });
    return;
  }
  rules.set(id, {
    ...rule,
    severity: severity ?? rule.severity,
    ...state === null ? {} : state === "disabled" ? { enabled: false } : { enabled: true, status: state },
  });
  const what = [state, severity].filter((word) => word !== null).join(", ");
  const before = remarks.get(id);
  const words = `${what} by ${file}: ${reason}`;
  // A fault of its file must stay to be seen; an override is meant, and no remark on what runs
  if (state === "disabled") remarks.set(id, { line: null, column: null, reason: words });
  else if (before !== undefined) remarks.set(id, before);
}

/** Under its file's name: its id could not be read, or belongs to another. */
function rejection(file: string, error: unknown, more = ""): RuleRow {
  const { line, column, reason } = placeOf(error);
  const unknown = { title: "", description: null, severity: "", tags: [], sql: null, lane: null, hash: null };
  return { id: file, ...unknown, file, state: "rejected", line, column, reason: reason + more, hits: 0, ...NEVER_RUN };
}

function placeOf(error: unknown): Remark {
  if (error instanceof RuleError) return { line: error.line, column: error.column, reason: error.reason };
  return { line: null, column: null, reason: words(error) };
}
