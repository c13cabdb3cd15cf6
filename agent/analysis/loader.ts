/**
 * Reads triggers, chains and rules over results: the files in `analysis/` of each rules directory.
 *
 * They are the operator's, as rules are, and like them bounded and taken one by one: a file that is not right is left out
 * and told with its place, and the others hold. They are read again when one has changed.
 *
 * @module
 */
import { NO_PLAN, type Plan, readPlan } from "../../proto/analysis/plan.ts";
import { every, type Repeated } from "../beat.ts";
import type { Journal } from "../journal.ts";
import { ANALYSIS_DIRECTORY, listFilesBelow, readRule, stampOf, words } from "../rule_directories.ts";

const LOOK_MS = 5_000, MAX_FILES = 1_000;

export interface PlanLoaderOptions {
  readonly rulesDirs: readonly string[];
  readonly journal: Journal;
  readonly changed: (plan: Plan) => void;
}

export class PlanLoader {
  readonly #options: PlanLoaderOptions;
  #stamps = "";
  #looks: Repeated | null = null;

  constructor(options: PlanLoaderOptions) {
    this.#options = options;
  }

  /** Reads them now, and again when they change. */
  begin(): void {
    this.look();
    this.#looks = every(LOOK_MS, () => this.look());
  }

  stop(): void {
    this.#looks?.stop();
  }

  /** Reads them where they are not what they were. */
  look(): void {
    const { rulesDirs, journal, changed } = this.#options, files: string[] = [];
    for (const directory of rulesDirs) {
      const listing = listFilesBelow(`${directory}/${ANALYSIS_DIRECTORY}`);
      if ("paths" in listing) files.push(...listing.paths);
      else if (listing.fault !== "does not exist") journal.notice(`${listing.directory} ${listing.fault}`);
    }
    const used = files.slice(0, MAX_FILES), stamps = JSON.stringify(used.map((file) => [file, stamp(file)]));
    if (stamps === this.#stamps) return;
    this.#stamps = stamps;
    const unread: Plan["rejected"][number][] = [], texts: [string, string][] = [];
    for (const file of used) {
      try {
        texts.push([file, readRule(file)]);
      } catch (error) {
        unread.push({ file, reason: words(error) });
      }
    }
    if (files.length > MAX_FILES) unread.push({ file: files[MAX_FILES]!, reason: `only ${MAX_FILES} files are read` });
    const plan = texts.length === 0 ? NO_PLAN : readPlan(texts), rejected = [...plan.rejected, ...unread];
    for (const { file, reason } of rejected) journal.say(`analysis file rejected: ${file}: ${reason}`);
    changed({ ...plan, rejected });
  }
}

function stamp(file: string): string | null {
  try {
    return stampOf(file);
  } catch {
    return null;
  }
}
