/**
 * Reads rule files and keeps those that hold.
 *
 * Each file is bounded, parsed and validated on its own, and one that fails is rejected with its place and reason while
 * the others go on. Who edits a rule must not blind the agent: as long as a file is faulty, the last version of it that
 * held stays active and says so, and so do all rules of a directory that is gone or cannot be read. A file that is
 * removed from a directory that is there takes its rule with it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { durationText } from "../proto/rules/duration.ts";
import { ExceptionSet, NO_EXCEPTIONS } from "../proto/rules/exception_set.ts";
import { type Exception, type ExceptionFile, EXCEPTIONS_NAME, parsingExceptions } from "../proto/rules/exceptions.ts";
import { type Override, OVERRIDES_NAME, parseOverrides } from "../proto/rules/overrides.ts";
import { newRuleCost } from "../proto/rules/rule_cost.ts";
import { laneOf, RuleError, ruleHash, type ValidatedRule, validating } from "../proto/rules/rule.ts";
import { parseRule } from "../proto/rules/rule_yaml.ts";
import { SecondGate } from "../proto/rules/second_gate.ts";
import { isSigma, parsingSigma, type SigmaDocument, type SigmaFile } from "../proto/sigma/document.ts";
import { MAPPING_NAME, type MappingFile, parseMapping } from "../proto/sigma/mapping.ts";
import { allSteps } from "../proto/steps.ts";
import { NO_TABLES, type TableSet } from "../proto/table_descriptor.ts";
import { listRules, MAX_RULE_FILE_BYTES, readRule, stampOf, words } from "./rule_directories.ts";
import { type SigmaLoaded, SigmaRules } from "./sigma_rules.ts";
import type { RuleRow } from "./store/rule_table.ts";

export { MAX_RULE_FILE_BYTES };
export const MAX_RULE_FILES = 10_000;
/** Rules over windows: each has a table and a statement of its own in memory. */
export const MAX_WINDOW_RULES = 500;
/** Files that are looked at, or rules that are put together, between two steps: a millisecond or two. */
const FILES_A_STEP = 64;

/** What an operator should know of a rule beside its state. */
export interface Remark {
  readonly line: number | null;
  readonly column: number | null;
  readonly reason: string;
}

export interface LoadedRules {
  /** Those that are judged, drafts among them, sorted by id. */
  readonly active: readonly ValidatedRule[];
  /** Of those, what is not as their files say, by id. */
  readonly remarks: ReadonlyMap<string, Remark>;
  /** Those that do not run, each with the reason: faulty ones, and ones that a file turns off. */
  readonly others: readonly RuleRow[];
  /** What keeps hits of these rules from being alerts. */
  readonly exceptions: ExceptionSet;
  /** What is wrong with the directories themselves, each with its mend. */
  readonly notices: readonly string[];
}

/** What is judged by before any are loaded. */
export const NO_RULES: LoadedRules = {
  active: [],
  remarks: new Map(),
  others: [],
  exceptions: NO_EXCEPTIONS,
  notices: [],
};

/** What a file may hold. */
type Held = ValidatedRule | readonly Override[] | ExceptionFile | SigmaFile | MappingFile;

/** What a file held when it was read last. */
interface Known {
  readonly stamp: string;
  readonly directory: string;
  /** The newest version of it that holds. */
  readonly good: Held | null;
  /** What is wrong with the version of the stamp. */
  readonly fault: unknown;
}

/**
 * Loads every `*.yml` and `*.yaml` below the directories, in the order of their names. A rule over a longer window than
 * `windowMs` does not run.
 */
export function loadRuleFiles(directories: readonly string[], windowMs = Infinity): LoadedRules {
  return allSteps(new RulesLoader(directories, windowMs).load());
}

/** Loads the rules of some directories, again and again. */
export class RulesLoader {
  readonly #directories: readonly string[];
  readonly #windowMs: number;
  readonly #asked: () => readonly Override[];
  readonly #tables: () => TableSet;
  /** What the tables were when the files were read. */
  #read: TableSet = NO_TABLES;
  readonly #sigma = new SigmaRules();
  #known = new Map<string, Known>();
  /** How far the load is that is under way, or was the last: files, of all that were found. */
  progress = { done: 0, of: 0 };
  /** What the last load saw, as {@linkcode RulesLoader.fingerprinting} tells it; `null` before the first. */
  seen: string | null = null;

  /**
   * `windowMs` is the longest window that a rule may have; what is `asked` for comes after the files' own overrides;
   * `tables` are those that collectors brought.
   */
  constructor(
    directories: readonly string[],
    windowMs = Infinity,
    asked: () => readonly Override[] = () => [],
    tables: () => TableSet = () => NO_TABLES,
  ) {
    this.#tables = tables;
    this.#asked = asked;
    this.#directories = [...new Set(directories)];
    this.#windowMs = windowMs;
  }

  /**
   * Loads what is new or has changed, and gives all. It takes steps of no more than one file that is read, so that other
   * work finds room between them.
   */
  *load(): Generator<void, LoadedRules> {
    const notices: string[] = [], known = new Map<string, Known>(), absent = new Map<string, string>();
    const before = this.#known;
    this.progress = { done: 0, of: 0 };
    // Before any file is read: what changes meanwhile is another fingerprint
    const seen = yield* this.fingerprinting();
    const files = this.#list(notices, absent);
    this.progress = { done: 0, of: files.length };
    yield;
    const tables = this.#tables(), isOther = tables !== this.#read;
    this.#read = tables;
    using gate = new SecondGate();
    for (const { file, directory } of files) {
      const old = before.get(file);
      const now = absent.has(directory)
        ? old!
        : yield* looking(file, directory, isOther ? rereadable(old) : old, this.#windowMs, gate, tables);
      if (++this.progress.done % FILES_A_STEP === 0) yield;
      if (now !== null) known.set(file, now); // or it was removed since it was listed
    }
    const held = [...known.values()].flatMap(({ good }) => good !== null && "kind" in good ? [good] : []);
    const sigma = yield* this.#sigma.load(
      held.filter((each) => each.kind === "sigma"),
      held.filter((each) => each.kind === "mapping"),
      gate,
    );
    const asked = this.#asked();
    const assembled = yield* assembling(known, absent, this.#windowMs, sigma, asked);
    notices.push(...withoutRule(asked, assembled));
    this.#known = known;
    this.seen = seen;
    return { ...assembled, notices };
  }

  /** Changes when a file or directory does: what {@linkcode RulesLoader.load} would see. */
  fingerprint(): string {
    return allSteps(this.fingerprinting());
  }

  /** The same, in steps of {@linkcode FILES_A_STEP} files. */
  *fingerprinting(): Generator<void, string> {
    const hash = createHash("sha256");
    for (const directory of this.#directories) {
      const listing = listRules(directory);
      yield;
      if ("fault" in listing) {
        hash.update(`${directory}\0${listing.fault}\0`);
        continue;
      }
      for (let at = 0; at < listing.paths.length; at++) {
        const path = listing.paths[at]!;
        hash.update(`${path}\0${safeStamp(path)}\0`);
        if (at % FILES_A_STEP === FILES_A_STEP - 1) yield;
      }
    }
    return hash.digest("hex");
  }

  /** The files to look at; of a directory that is gone, those that it had. */
  #list(notices: string[], absent: Map<string, string>): { file: string; directory: string }[] {
    const files: { file: string; directory: string }[] = [];
    for (const directory of this.#directories) {
      const listing = listRules(directory);
      if ("paths" in listing) {
        files.push(...listing.paths.map((file) => ({ file, directory })));
        continue;
      }
      notices.push(`The rules directory ${directory} ${listing.fault}; create it, or set rules_dirs`);
      absent.set(directory, listing.fault);
      for (const [file, before] of this.#known) if (before.directory === directory) files.push({ file, directory });
    }
    if (files.length > MAX_RULE_FILES) {
      notices.push(`There are ${files.length} rule files; the first ${MAX_RULE_FILES} are loaded, remove some`);
    }
    return files.slice(0, MAX_RULE_FILES);
  }
}

/** Of a file whose rule may be another since there are other tables of collectors, as if it had changed. */
function rereadable(before: Known | undefined): Known | undefined {
  if (before === undefined) return undefined;
  const { good, fault } = before, isOfTable = good !== null && "id" in good && good.collected !== undefined;
  return fault === null && !isOfTable ? before : { ...before, stamp: "" };
}

function safeStamp(path: string): string {
  try {
    return stampOf(path) ?? "gone";
  } catch (error) {
    return words(error);
  }
}

/** Test rows are for `rules test`, which reads the file itself: of thousands of rules they are megabytes. */
const NOT_KEPT = { match: [], noMatch: [] } as const;

/** What a file holds now; `null` when it is gone. A step for each thing that takes long with a large file. */
function* looking(
  file: string,
  directory: string,
  before: Known | undefined,
  windowMs: number,
  gate: SecondGate,
  tables: TableSet,
): Generator<void, Known | null> {
  const good = before?.good ?? null;
  let stamp = "";
  try {
    const found = stampOf(file);
    if (found === null) return null;
    stamp = found;
    if (before?.stamp === stamp) return before;
    const text = readRule(file);
    // What is written while it is read is looked at again
    if (stampOf(file) !== stamp) stamp = "";
    const held = yield* reading(text, file, gate, tables);
    yield;
    // The first version may have faults beside documents that hold; a later one must not take those out
    if ("kind" in held && held.kind === "sigma" && held.faults.length > 0 && isRight(good)) {
      return { stamp, directory, good, fault: held.faults[0] };
    }
    if (!("id" in held)) return { stamp, directory, good: held, fault: null };
    // The first version that is read may be turned off by an override; a later one must not take a good one's place
    const fault = good === null ? null : tooLong(held, windowMs);
    return { stamp, directory, good: fault === null ? held : good, fault };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    return { stamp, directory, good, fault: error };
  }
}

/** What a text holds, in steps. */
function* reading(text: string, file: string, gate: SecondGate, tables: TableSet): Generator<void, Held> {
  if (OVERRIDES_NAME.test(file)) return parseOverrides(text, file);
  if (MAPPING_NAME.test(file)) return parseMapping(text, file, ruleHash(text));
  if (isSigma(text)) return withoutTests(yield* parsingSigma(text, file));
  if (EXCEPTIONS_NAME.test(file)) return yield* parsingExceptions(text, file);
  const parsed = parseRule(text, file, tables);
  yield;
  const rule = { ...yield* validating(parsed, tables), tests: NOT_KEPT };
  yield;
  gate.check(rule);
  return rule;
}

function withoutTests(file: SigmaFile): SigmaFile {
  const documents = file.documents.map((document): SigmaDocument => ({
    ...document,
    head: { ...document.head, tests: NOT_KEPT },
  }));
  return { ...file, documents };
}

/** Whether what a file held before was without a fault. */
function isRight(good: Held | null): boolean {
  return good !== null && !("kind" in good && good.kind === "sigma" && good.faults.length > 0);
}

/** All files together: of two rules with one id the first counts; then overrides. */
function* assembling(
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
    if (++done % FILES_A_STEP === 0) yield;
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
    if (++done % FILES_A_STEP === 0) yield;
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
    if (++done % FILES_A_STEP === 0) yield;
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
function withoutRule(asked: readonly Override[], { active, others }: Omit<LoadedRules, "notices">): string[] {
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
    if (++done % FILES_A_STEP === 0) yield;
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
    if (++done % FILES_A_STEP === 0) yield;
    // An id that is judged, by another document, keeps its row
    const row = rules.has(id) ? `${error.file}:${error.line}` : id;
    others.push({ ...rejection(error.file, error), id: row, title });
  }
}

/** Why the window of a rule that is turned on does not fit; `null` when it does. */
function tooLong(rule: ValidatedRule, most: number): string | null {
  if (!rule.enabled || rule.windowMs === null || rule.windowMs <= most) return null;
  return `its window ${durationText(rule.windowMs)} is longer than ${durationText(most)}; raise agent.window_minutes`;
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

/** What a rule that does not run has cost. */
const NEVER_RUN = { ...newRuleCost(), suppressed: 0, degraded: [] } as const;

/** A rule that could be read, as status and store show it; what it cost is not in it. */
export function ruleRow(rule: ValidatedRule, state: string, reason: string | null, hits = 0): RuleRow {
  const { id, title, description, severity, tags, sql, file, hash } = rule;
  const lane = laneOf(rule), place = { line: null, column: null };
  return { id, title, description, severity, tags, sql, file, hash, state, ...place, reason, hits, lane, ...NEVER_RUN };
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
