/**
 * Rule files for `rules validate` and `rules test`, read as the agent reads them.
 *
 * @module
 */
import { type Exception, EXCEPTIONS_NAME, parseExceptions } from "../proto/rules/exceptions.ts";
import { type Override, OVERRIDES_NAME, parseOverrides } from "../proto/rules/overrides.ts";
import { MAX_RULE_LENGTH, RuleError, type ValidatedRule } from "../proto/rules/rule.ts";
import { parseRule } from "../proto/rules/rule_yaml.ts";
import { checkSecondGate } from "../proto/rules/second_gate.ts";
import { NO_TABLES, type TableSet } from "../proto/table_descriptor.ts";
import { loadRules, type RuleFile } from "../proto/rules/rule_set.ts";
import { isSigma, parseSigma } from "../proto/sigma/document.ts";
import { MAPPING_NAME } from "../proto/sigma/mapping.ts";
import { CommandError } from "./command.ts";
import { fileProblem, readProblem } from "./file_problem.ts";

/** Directories within directories, as the agent goes down. */
const MAX_DEPTH = 8;
const MAX_FILES = 10_000;
/** Name under which standard input is shown. */
const STDIN_NAME = "stdin";

export interface RefusedRule {
  readonly file: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly reason: string;
}

export interface CheckedRules {
  /** Those that can run, also ones that their file turns off. */
  readonly rules: readonly ValidatedRule[];
  readonly refused: readonly RefusedRule[];
  readonly exceptions: readonly Exception[];
  /** By the id of the rule. */
  readonly overrides: ReadonlyMap<string, Override>;
  /** Files that are Sigma's. */
  readonly sigma: ReadonlySet<string>;
}

/**
 * Reads and checks rules of files, of directories, and of standard input (`-`).
 *
 * @param tables those that collectors brought
 * @param isWanted which of them are wanted; a rule of Sigma needs its filters and mappings beside it
 * @throws CommandError when a path does not exist or may not be read
 */
export function checkRules(
  paths: readonly string[],
  readStdin: (limit: number) => Uint8Array,
  isWanted: (rule: ValidatedRule) => boolean = () => true,
  tables: TableSet = NO_TABLES,
): CheckedRules {
  const refused: RefusedRule[] = [], files: RuleFile[] = [];
  const exceptions: Exception[] = [], overrides = new Map<string, Override>(), sigma = new Set<string>();
  const names = [...new Set(paths.flatMap((path) => path === "-" ? [path] : listFiles(path)))];
  if (names.length > MAX_FILES) {
    throw new CommandError(`There are ${names.length} rule files; ${MAX_FILES} can be read`);
  }
  for (const name of names) {
    const file = name === "-" ? STDIN_NAME : name;
    try {
      const bytes = name === "-" ? readStdin(MAX_RULE_LENGTH) : readBounded(name);
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
      if (OVERRIDES_NAME.test(file)) { for (const each of parseOverrides(text, file)) overrides.set(each.id, each); }
      else if (isExceptions(file, text)) exceptions.push(...parseExceptions(text, file).exceptions);
      else {
        if (isSigma(text)) sigma.add(file);
        files.push({ file, text });
      }
    } catch (error) {
      if (error instanceof CommandError) throw error;
      const { line, column } = error instanceof RuleError ? error : { line: null, column: null };
      refused.push({ file, line, column, reason: words(error) });
    }
  }
  const { active, disabled, rejected } = loadRules(files, tables);
  for (const { file, line, column, reason } of rejected) refused.push({ file, line, column, reason });
  const rules = [...active, ...disabled].filter((rule) => {
    if (!isWanted(rule)) return false;
    const reason = engineFault(rule);
    if (reason !== null) refused.push({ file: rule.file, line: null, column: null, reason });
    return reason === null;
  });
  refused.sort((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : 0);
  return { rules, refused, exceptions, overrides, sigma };
}

/**
 * The files of the rule with an id, found without judging any; `null` with the ids that there are. Of a rule of Sigma they
 * are all Sigma files, which may filter it or be made of it. Files that cannot be read are passed over: they have no id.
 *
 * @throws CommandError when a directory does not exist or may not be read
 */
export function findRule(
  paths: readonly string[],
  id: string,
  tables: TableSet = NO_TABLES,
): { files: string[] | null; ids: string[] } {
  const ids: string[] = [], sigma: string[] = [];
  let isSigmas = false;
  for (const path of paths.flatMap(listFiles)) {
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readBounded(path));
      if (OVERRIDES_NAME.test(path)) continue;
      if (MAPPING_NAME.test(path)) sigma.push(path);
      else if (isSigma(text)) {
        sigma.push(path);
        const found = parseSigma(text, path).documents.filter(({ kind }) => kind !== "filter").map(({ head }) =>
          head.id
        );
        isSigmas ||= found.includes(id);
        ids.push(...found);
      } else {
        const rule = parseRule(text, path, tables);
        if (rule.id === id) return { files: [path], ids };
        ids.push(rule.id);
      }
    } catch {
      continue;
    }
  }
  return { files: isSigmas ? sigma : null, ids };
}

/** What is piped in says by itself what it is. */
function isExceptions(file: string, text: string): boolean {
  return file === STDIN_NAME ? /^exceptions[ \t]*:/m.test(text) : EXCEPTIONS_NAME.test(file) && !isSigma(text);
}

export function listFiles(path: string): string[] {
  const problem = fileProblem(path);
  if (problem === null) return [path];
  if (!isDirectory(path)) {
    throw new CommandError(
      problem === "absent" ? `There is no rule file ${path}` : `${path} cannot be read: ${problem}`,
    );
  }
  const found: string[] = [];
  const walk = (directory: string, depth: number): void => {
    const entries = [...Deno.readDirSync(directory)].sort((a, b) => a.name < b.name ? -1 : 1);
    for (const entry of entries) {
      const child = `${directory.replace(/\/+$/, "")}/${entry.name}`;
      // What is in analysis/ is about analyses: docs/analysis.md
      const isRules = depth > 0 || entry.name !== "analysis";
      if (entry.isDirectory && depth < MAX_DEPTH && isRules) walk(child, depth + 1);
      else if (entry.isFile && /\.ya?ml$/.test(entry.name)) found.push(child);
    }
  };
  try {
    walk(path, 0);
  } catch (error) {
    throw new CommandError(`The directory ${path} cannot be read: ${readProblem(error)}`, { cause: error });
  }
  return found;
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** A file's text, the byte order mark included. */
export function readText(file: string): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readBounded(file));
}

function readBounded(file: string): Uint8Array {
  const { size } = Deno.statSync(file);
  if (size > MAX_RULE_LENGTH) throw new RangeError(`The file has ${size} bytes; ${MAX_RULE_LENGTH} are allowed`);
  return Deno.readFileSync(file);
}

/** What the engine's own gate says against a rule that the guard let through. */
function engineFault(rule: ValidatedRule): string | null {
  try {
    checkSecondGate([rule]);
    return null;
  } catch (error) {
    return words(error);
  }
}

function words(error: unknown): string {
  if (error instanceof RuleError) return error.reason;
  if (error instanceof TypeError) return "The file is not UTF-8";
  return error instanceof Error ? error.message : String(error);
}
