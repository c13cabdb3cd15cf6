/**
 * Runs seeds of a simulation on all processors and gathers what they show.
 *
 * @module
 */

/** Seeds that a worker takes at once. */
export interface Job {
  readonly from: number;
  readonly count: number;
}

/** What the seeds of a job showed together, and those that broke a promise. */
export interface Done<T> {
  readonly sum: T;
  readonly failed: readonly { readonly seed: number; readonly why: string }[];
}

const MAX_PIECE = 250;

/** `worker` is a module that calls {@linkcode serveSeeds}; `sum` is nothing to begin with and what `add` adds to. */
export async function runSeeds<T>(
  worker: URL,
  from: number,
  count: number,
  sum: T,
  add: (sum: T, one: T) => void,
): Promise<Done<T>> {
  const failed: { seed: number; why: string }[] = [];
  const workers = Math.min(navigator.hardwareConcurrency, 16);
  const piece = Math.min(MAX_PIECE, Math.ceil(count / workers / 4));
  let next = from;
  await Promise.all(Array.from({ length: workers }, async () => {
    const thread = new Worker(worker, { type: "module" });
    try {
      while (next < from + count) {
        const job: Job = { from: next, count: Math.min(piece, from + count - next) };
        next += job.count;
        const done = await new Promise<Done<T>>((resolve, reject) => {
          thread.onmessage = ({ data }) => resolve(data);
          thread.onerror = (event) => reject(event.error ?? new Error(event.message));
          thread.postMessage(job);
        });
        add(sum, done.sum);
        failed.push(...done.failed);
      }
    } finally {
      thread.terminate();
    }
  }));
  return { sum, failed: failed.sort((a, b) => a.seed - b.seed) };
}

/** Has this thread simulate the seeds that it is given. */
export function serveSeeds<T>(
  nothing: () => T,
  add: (sum: T, one: T) => void,
  simulate: (seed: number) => T | Promise<T>,
): void {
  const scope = self as unknown as {
    onmessage: (event: MessageEvent<Job>) => void;
    postMessage: (done: Done<T>) => void;
  };
  scope.onmessage = async ({ data: { from, count } }) => {
    const sum = nothing(), failed: { seed: number; why: string }[] = [];
    for (let seed = from; seed < from + count; seed++) {
      try {
        add(sum, await simulate(seed));
      } catch (error) {
        failed.push({ seed, why: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
      }
    }
    scope.postMessage({ sum, failed });
  };
}
