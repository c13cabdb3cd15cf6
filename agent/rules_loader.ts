/**
 * Reads rule files and keeps those that hold.
 *
 * The directories are trusted to the operator, the files are not: each is bounded, parsed and validated on its own, and
 * one that fails is rejected with its place and reason while the others go on.
 *
 * @module
 */
import { parseRule, RuleError, type ValidatedRule, validateRule } from "../proto/rules/rule.ts";
import type { RuleRow } from "./store/store.ts";

export const MAX_RULE_FILE_BYTES = 262_144;
export const MAX_RULE_FILES = 10_000;
/** Directories within directories. */
const MAX_DEPTH = 8;

export interface LoadedRules {
  readonly rules: readonly ValidatedRule[];
  readonly rejected: readonly RuleRow[];
  /** What is wrong with the directories themselves, each with its mend. */
  readonly notices: readonly string[];
}

/** Loads every `*.yml` and `*.yaml` below the directories, in the order of their names. */
export function loadRules(directories: readonly string[]): LoadedRules {
  const notices: string[] = [], rules = new Map<string, ValidatedRule>(), rejected: RuleRow[] = [];
  const files = [...new Set(directories)].flatMap((directory) => listDirectory(directory, notices));
  if (files.length > MAX_RULE_FILES) {
    notices.push(
      `${files.length} rule files were found and the first ${MAX_RULE_FILES} are loaded; remove some, or join them`,
    );
  }
  for (const file of files.slice(0, MAX_RULE_FILES)) {
    try {
      const rule = validateRule(parseRule(readBounded(file), file));
      const first = rules.get(rule.id);
      if (first !== undefined) {
        throw new RuleError({ file, line: 1, column: 1, reason: `The id ${rule.id} is taken by ${first.file}` });
      }
      rules.set(rule.id, rule);
    } catch (error) {
      rejected.push(rejection(file, error));
    }
  }
  return { rules: [...rules.values()], rejected, notices };
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

function readBounded(file: string): string {
  const { size } = Deno.statSync(file);
  if (size > MAX_RULE_FILE_BYTES) {
    throw new RangeError(`The file has ${size} bytes; at most ${MAX_RULE_FILE_BYTES} are read`);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(file));
}

/** Under its file's name: its id could not be read, or belongs to another. */
function rejection(file: string, error: unknown): RuleRow {
  const place = error instanceof RuleError
    ? { line: error.line, column: error.column, reason: error.reason }
    : { line: null, column: null, reason: words(error) };
  const unknown = { title: "", description: null, severity: "", tags: [], sql: null };
  return { id: file, ...unknown, file, state: "rejected", ...place, hits: 0 };
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
