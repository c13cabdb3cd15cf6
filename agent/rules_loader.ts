/**
 * Reads rule files and keeps those that hold.
 *
 * The directories are trusted to the operator, the files are not: each is bounded, parsed and validated on its own, and
 * one that fails is rejected with its place and reason while the others go on.
 *
 * @module
 */
import { RuleEngine } from "../proto/rules/engine.ts";
import { laneOf, RuleError, type ValidatedRule } from "../proto/rules/rule.ts";
import { loadRules, type RuleFile } from "../proto/rules/rule_set.ts";
import type { RuleRow } from "./store/store.ts";

export const MAX_RULE_FILE_BYTES = 262_144;
export const MAX_RULE_FILES = 10_000;
/** Directories within directories. */
const MAX_DEPTH = 8;

export interface LoadedRules {
  readonly active: readonly ValidatedRule[];
  /** Those that do not run, each with the reason: faulty ones, and ones that their file turns off. */
  readonly others: readonly RuleRow[];
  /** What is wrong with the directories themselves, each with its mend. */
  readonly notices: readonly string[];
}

/** Loads every `*.yml` and `*.yaml` below the directories, in the order of their names. */
export function loadRuleFiles(directories: readonly string[]): LoadedRules {
  const notices: string[] = [];
  const paths = [...new Set(directories)].flatMap((directory) => listDirectory(directory, notices));
  if (paths.length > MAX_RULE_FILES) {
    notices.push(`There are ${paths.length} rule files; the first ${MAX_RULE_FILES} are loaded, remove some`);
  }
  const files: RuleFile[] = [], others: RuleRow[] = [];
  for (const file of paths.slice(0, MAX_RULE_FILES)) {
    try {
      files.push({ file, text: readBounded(file) });
    } catch (error) {
      others.push(rejection(file, error));
    }
  }
  const { active, disabled, rejected } = loadRules(files);
  const sound = engineFault(active) === null ? active : active.filter((rule) => {
    const fault = engineFault([rule]);
    if (fault !== null) others.push(rejection(rule.file, fault));
    return fault === null;
  });
  others.push(...rejected.map((error) => rejection(error.file, error)));
  others.push(...disabled.map((rule) => ruleRow(rule, "disabled", "its file says enabled: false", 0)));
  return { active: sound, others, notices };
}

/** What the engine says against these rules; it is the second gate, so the guard let them pass. */
function engineFault(rules: readonly ValidatedRule[]): unknown {
  try {
    using engine = new RuleEngine(rules);
    engine.check();
    return null;
  } catch (error) {
    return error;
  }
}

/** A rule that could be read, as status and store show it. */
export function ruleRow(rule: ValidatedRule, state: string, reason: string | null, hits: number): RuleRow {
  const { id, title, description, severity, tags, sql, file } = rule;
  const lane = laneOf(rule);
  return { id, title, description, severity, tags, sql, file, state, line: null, column: null, reason, hits, lane };
}

function listDirectory(directory: string, notices: string[]): string[] {
  const found: string[] = [];
  const walk = (path: string, depth: number): void => {
    const entries = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
    for (const entry of entries) {
      const child = `${path}/${entry.name}`;
      // A symbolic link is neither: it could lead out of what the operator named.
      if (entry.isDirectory && depth < MAX_DEPTH) walk(child, depth + 1);
      else if (entry.isFile && /\.ya?ml$/.test(entry.name)) found.push(child);
    }
  };
  try {
    walk(directory, 0);
  } catch (error) {
    const what = error instanceof Deno.errors.NotFound ? "does not exist" : `cannot be read (${words(error)})`;
    notices.push(`The rules directory ${directory} ${what}; create it, or set rules_dirs`);
  }
  return found;
}

/**
 * Reads a file of at most {@linkcode MAX_RULE_FILE_BYTES}, whatever it becomes while it is read: one that another takes
 * the place of is read whole, as it was; one that is written to in place is refused, since half of it may be new. A writer
 * that pauses leaves a file that ends early and looks whole: the next load sees the rest.
 */
function readBounded(file: string): string {
  // Opening a pipe would wait for its writer
  if (!Deno.lstatSync(file).isFile) throw new TypeError("It is no file any more; put one there, or remove it");
  using handle = Deno.openSync(file, { read: true });
  const before = handle.statSync();
  const bytes = new Uint8Array(Math.min(before.size, MAX_RULE_FILE_BYTES) + 1);
  let length = 0;
  while (length < bytes.length) {
    const read = handle.readSync(bytes.subarray(length));
    if (read === null) break;
    length += read;
  }
  if (before.size > MAX_RULE_FILE_BYTES || length > MAX_RULE_FILE_BYTES) {
    throw new RangeError(
      `The file has ${Math.max(before.size, length)} bytes; at most ${MAX_RULE_FILE_BYTES} are read`,
    );
  }
  const after = handle.statSync();
  if (length !== before.size || after.size !== before.size || after.mtime?.getTime() !== before.mtime?.getTime()) {
    throw new RangeError("The file was written to while it was read; write a new one beside it and rename that");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length));
  } catch (error) {
    throw new TypeError("The file is not UTF-8; save it as UTF-8", { cause: error });
  }
}

/** Under its file's name: its id could not be read, or belongs to another. */
function rejection(file: string, error: unknown): RuleRow {
  const place = error instanceof RuleError
    ? { line: error.line, column: error.column, reason: error.reason }
    : { line: null, column: null, reason: words(error) };
  const unknown = { title: "", description: null, severity: "", tags: [], sql: null };
  return { id: file, ...unknown, file, state: "rejected", ...place, hits: 0, lane: null };
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
