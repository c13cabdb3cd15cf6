/**
 * Reads the whole store while the agent works, a few pages at a time, and says whether every page is what it should be.
 *
 * SQLite's own check runs to its end once it is asked, minutes for a large store, and nothing can interrupt it. So each
 * tree is walked page by page through SQLite's table of pages (`dbstat`), in slices that are shorter than a commit, on a
 * handle of its own that cannot write. Found are pages that cannot be read, are not of their kind, hold cells outside of
 * themselves, or belong to a tree twice; not found are rows that differ from their index: `agent check` does that.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";

/** Work of one slice, and the rest after it: a small part of one core. */
const SLICE_MS = 3;
const PAUSE_MS = 30;
/** The first check begins so long after the store was opened, the next after the last ended. */
const FIRST_MS = 60_000;
/** Each tree pins the log: while events come in a storm it waits for better times, but not for longer than this. */
const LOOK_AGAIN_MS = 60_000;
const LONGEST_WAIT_MS = 3_600_000;
const AGAIN_MS = 86_400_000;
const CACHE_KIB = 1_024;

/** What the last check of all of the store found. */
export interface CheckResult {
  /** Unix milliseconds of its end. */
  readonly time: number;
  /** `ok`, or what is damaged. */
  readonly verdict: string;
}

export interface CheckOptions {
  readonly ended: (result: CheckResult) => void;
  /** Whether a check should begin later. */
  readonly isBusy?: () => boolean;
  readonly firstMs?: number;
  readonly againMs?: number;
  readonly sliceMs?: number;
  readonly pauseMs?: number;
  readonly lookAgainMs?: number;
  readonly longestWaitMs?: number;
}

export class BackgroundCheck {
  readonly #path: string;
  readonly #options: CheckOptions;
  #timer: ReturnType<typeof setTimeout>;
  #db: DatabaseSync | null = null;

  constructor(path: string, options: CheckOptions) {
    this.#path = path;
    this.#options = options;
    this.#timer = setTimeout(() => this.#begin(), options.firstMs ?? FIRST_MS);
  }

  /** Ends it where it is; to be called before the store is closed. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#db?.close();
    this.#db = null;
  }

  #begin(waitedMs = 0): void {
    const { isBusy, lookAgainMs = LOOK_AGAIN_MS, longestWaitMs = LONGEST_WAIT_MS } = this.#options;
    if (waitedMs < longestWaitMs && isBusy?.() === true) {
      this.#timer = setTimeout(() => this.#begin(waitedMs + lookAgainMs), lookAgainMs);
      return;
    }
    try {
      this.#db = new DatabaseSync(this.#path, { readOnly: true });
      this.#db.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
      this.#slice(checkTrees(this.#db));
    } catch (error) {
      this.#end(error instanceof Error ? error.message : String(error));
    }
  }

  /** Takes steps for the time of a slice, and comes back after a pause until the walk is over. */
  #slice(walk: Iterator<undefined, string>): void {
    if (this.#db === null) return;
    const end = performance.now() + (this.#options.sliceMs ?? SLICE_MS);
    try {
      for (let step = walk.next();; step = walk.next()) {
        if (step.done) return this.#end(step.value);
        if (performance.now() >= end) break;
      }
    } catch (error) {
      return this.#end(error instanceof Error ? error.message : String(error));
    }
    this.#timer = setTimeout(() => this.#slice(walk), this.#options.pauseMs ?? PAUSE_MS);
  }

  #end(verdict: string): void {
    this.stop();
    this.#timer = setTimeout(() => this.#begin(), this.#options.againMs ?? AGAIN_MS);
    this.#options.ended({ time: Date.now(), verdict });
  }
}

/** One step for each page; returns `ok` or the first damage. Each tree is read as of one moment, which pins the log. */
function* checkTrees(db: DatabaseSync): Generator<undefined, string> {
  const count = Number(Object.values(db.prepare("PRAGMA page_count").get()!)[0]);
  const pages = db.prepare("SELECT pageno, pagetype, path FROM dbstat WHERE name = ? UNION ALL SELECT -1, 'end', ''");
  for (const name of names(db)) {
    // A partition that was dropped since then has no pages, and that is no damage.
    const damage = yield* checkTree(pages, name, new PageSet(count));
    if (damage !== null) return `${name}: ${damage}`;
  }
  return "ok";
}

function names(db: DatabaseSync): string[] {
  const text = "SELECT json_group_array(name) AS names FROM sqlite_schema WHERE rootpage > 0";
  return ["sqlite_schema", ...JSON.parse(db.prepare(text).get()!["names"] as string) as string[]];
}

function* checkTree(pages: StatementSync, name: string, seen: PageSet): Generator<undefined, string | null> {
  let whole = false, count = 0;
  for (const { pageno, pagetype, path } of pages.iterate(name)) {
    if (pagetype === "end") whole = true;
    else if (pagetype === "corrupted") return `page ${pageno} is damaged`;
    // An overflow page is listed with the page that it belongs to, and only there.
    else if (!seen.add(pageno as number)) return `page ${pageno} belongs to it twice (${path})`;
    else count += 1;
    yield;
  }
  // iterate() takes an error of SQLite for the end of the rows (Deno 2.9.6): then the mark after the last is missing.
  return whole ? null : `it cannot be read after ${count} of its pages`;
}

/** Numbers of pages, a bit for each: a large tree has millions. */
class PageSet {
  #bits: Uint8Array;

  constructor(pages: number) {
    this.#bits = new Uint8Array((pages >>> 3) + 1);
  }

  /** Says no when it was there already. */
  add(page: number): boolean {
    const at = page >>> 3, bit = 1 << (page & 7);
    if (at >= this.#bits.length) { // the store has grown since
      const bits = new Uint8Array(at * 2);
      bits.set(this.#bits);
      this.#bits = bits;
    }
    if ((this.#bits[at]! & bit) !== 0) return false;
    this.#bits[at]! |= bit;
    return true;
  }
}
