/**
 * The last resort against a query: ends this process when a step of SQLite does not come back.
 *
 * A statement that runs cannot be interrupted, and while it runs nothing else runs on its thread. The deadline view
 * stops what passes the guard; this is for what neither knows of. A worker watches from a thread of its own, and since
 * nothing that it may do stops another thread, it says why and kills the process, which needs no permission. The shell
 * sees exit code 137. Its code is a `data:` module: it loads without reading a file.
 *
 * It counts its own ticks, not the clock: a process that was stopped and goes on, or that gets no time to run, is not
 * one whose query runs on.
 *
 * @module
 */
import { span } from "./units.ts";

const TICK_MS = 100;
/**
 * Time that a step has after its deadline, which every row that is read looks at: so much, and twice as long as the
 * deadline, since SQLite may sort then what it has read, in one go.
 */
const GRACE_MS = 3_000, SORTING = 2;

/** Of steps: odd while one is under way. */
const STEPS = 0;

const WATCH = `onmessage = ({ data: { shared, ticks, tickMs, words } }) => {
  const steps = new Int32Array(shared);
  let seen = 0, left = 0;
  setInterval(() => {
    const step = Atomics.load(steps, ${STEPS});
    if (step % 2 === 0 || step !== seen) [seen, left] = [step, ticks];
    else if (--left <= 0) {
      console.error(words);
      Deno.kill(Deno.pid, "SIGKILL");
    }
  }, tickMs);
};`;

/** Runs a query step by step, and ends the process when a step does not come back. */
export interface StepWatch {
  watch<T>(step: () => T): T;
  each<T>(rows: Iterable<T>): Generator<T>;
}

/** How long a step may take that looks at a deadline itself. */
export function stepLimitMs(deadlineMs: number, graceMs = GRACE_MS): number {
  return deadlineMs * (1 + SORTING) + graceMs;
}

/** What `rows` gives, every step of it run by `watch`; what is done with a row is not. */
export function* eachWatched<T>(rows: Iterable<T>, watch: StepWatch["watch"]): Generator<T> {
  const iterator = rows[Symbol.iterator]();
  try {
    for (let next = watch(() => iterator.next()); !next.done; next = watch(() => iterator.next())) yield next.value;
  } finally {
    iterator.return?.();
  }
}

/** Why the process ends. */
export function killedWords(deadlineMs: number, limitMs: number): string {
  return `Killed: the query was to end after ${span(deadlineMs)}, did not come back for ${span(limitMs)}, and SQLite ` +
    "does not let it be stopped. What was printed is not the whole answer. Narrow it (--since, an exec_id, a LIMIT " +
    "beside ORDER BY, fewer joins and patterns)";
}

/** Steps of which none can take long. */
export const UNWATCHED: StepWatch = {
  watch: (step) => step(),
  *each(rows) {
    yield* rows;
  },
};

/** Its worker is made for the first step: that alone takes some 15 ms. */
export class Watchdog implements Disposable, StepWatch {
  readonly #deadlineMs: number;
  readonly #graceMs: number;
  readonly #steps = new Int32Array(new SharedArrayBuffer(4));
  #worker: Worker | null = null;

  /** @param deadlineMs what every step looks at itself */
  constructor(deadlineMs: number, graceMs = GRACE_MS) {
    this.#deadlineMs = deadlineMs;
    this.#graceMs = graceMs;
  }

  #start(): Worker {
    const limit = stepLimitMs(this.#deadlineMs, this.#graceMs);
    const worker = new Worker(`data:text/javascript,${encodeURIComponent(WATCH)}`, { type: "module" });
    worker.postMessage({
      shared: this.#steps.buffer,
      ticks: Math.ceil(limit / TICK_MS),
      tickMs: TICK_MS,
      words: killedWords(this.#deadlineMs, limit),
    });
    return worker;
  }

  /** Runs one step. */
  watch<T>(step: () => T): T {
    this.#worker ??= this.#start();
    Atomics.add(this.#steps, STEPS, 1);
    try {
      return step();
    } finally {
      Atomics.add(this.#steps, STEPS, 1);
    }
  }

  each<T>(rows: Iterable<T>): Generator<T> {
    return eachWatched(rows, (step) => this.watch(step));
  }

  [Symbol.dispose](): void {
    this.#worker?.terminate();
  }
}
