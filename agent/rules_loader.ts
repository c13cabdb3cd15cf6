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
import type { Override } from "../proto/rules/overrides.ts";
import { SecondGate } from "../proto/rules/second_gate.ts";
import { allSteps } from "../proto/steps.ts";
import { NO_TABLES, type TableSet } from "../proto/table_descriptor.ts";
import type { LoadedRules } from "./loaded_rules.ts";
import { assembling, withoutRule } from "./rule_assembly.ts";
import { listRules, stampOf, words } from "./rule_directories.ts";
import { type Known, looking, rereadable } from "./rule_file.ts";
import { SigmaRules } from "./sigma_rules.ts";

const MAX_RULE_FILES = 10_000;
/** Files that are looked at between two steps: a millisecond or two. */
const FILES_A_STEP = 64;

/**
 * Loads the rules of some directories, again and again: every `*.yml` and `*.yaml` below them, in the order of their names.
 */
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

function safeStamp(path: string): string {
  try {
    return stampOf(path) ?? "gone";
  } catch (error) {
    return words(error);
  }
}
