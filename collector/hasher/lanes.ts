/**
 * Files under way: few at a time, each within a time, and the others behind them in a bounded queue.
 *
 * A file that is late is answered as such and its lane goes to the next one. Where its work only takes long, it ends with
 * its current piece. Where a call hangs, it costs a thread of the pool until the file system lets go; only few may hang,
 * and from a device where some do no more are begun meanwhile.
 *
 * @module
 */
import { Deadlines, type Timed } from "../deadlines.ts";
import { FileCalls } from "./file_calls.ts";
import { failed } from "./file_hasher.ts";
import type { HashAnswer, HashRequest } from "./protocol.ts";

/** Files under way at once: one is read while the other is computed. */
const LANES = 2;
/** Requests that wait. */
export const MAX_QUEUED = 4_096;
/** Files that may hang, on one device and in all. */
const MAX_HANGING_PER_DEVICE = 2, MAX_HANGING = 16;

/** What is done with one request: see `hashFile`. */
export type Work = (request: HashRequest, calls: FileCalls, isGivenUp: () => boolean) => Promise<HashAnswer>;

interface Job extends Timed {
  readonly request: HashRequest;
  readonly tell: (answer: HashAnswer) => void;
  told: boolean;
}

export class Lanes {
  readonly #work: Work;
  #queue: Job[] = [];
  #next = 0;
  readonly #deadlines: Deadlines<Job>;
  readonly #hanging = new Set<Job>();
  readonly #idle: FileCalls[] = [];

  constructor(work: Work, deadlineMs: number) {
    this.#work = work;
    this.#deadlines = new Deadlines(deadlineMs, (job) => this.#giveUp(job), () => this.#begin());
  }

  /** Files whose work does not end. */
  get hanging(): number {
    return this.#hanging.size;
  }

  /** Hashes one file. `tell` is called once and later. */
  ask(request: HashRequest, tell: (answer: HashAnswer) => void): void {
    const job = { request, tell, due: 0, told: false };
    if (this.#queue.length - this.#next >= MAX_QUEUED || this.#hanging.size >= MAX_HANGING) {
      queueMicrotask(() => this.#tell(job, failed(request, "busy")));
      return;
    }
    this.#queue.push(job);
    this.#begin();
  }

  #begin(): void {
    while (this.#deadlines.running.size < LANES && this.#next < this.#queue.length) {
      const job = this.#queue[this.#next++]!;
      if (this.#next === this.#queue.length || this.#next >= MAX_QUEUED) {
        this.#queue = this.#queue.slice(this.#next);
        this.#next = 0;
      }
      if (this.#isHopeless(job.request)) {
        queueMicrotask(() => this.#tell(job, failed(job.request, "timed_out")));
        continue;
      }
      this.#deadlines.begun(job);
      this.#run(job);
    }
  }

  async #run(job: Job): Promise<void> {
    const calls = this.#idle.pop() ?? new FileCalls();
    let answer = failed(job.request, "unreadable");
    try {
      answer = await this.#work(job.request, calls, () => job.told);
    } finally {
      if (this.#idle.length < LANES) this.#idle.push(calls);
      else calls.release();
      this.#deadlines.ended(job);
      this.#hanging.delete(job);
      this.#tell(job, answer);
      this.#begin();
      if (this.#deadlines.running.size === 0) this.#deadlines.stop();
    }
  }

  /** Whether so many files of the same device hang that this one would too. */
  #isHopeless({ device }: HashRequest): boolean {
    if (this.#hanging.size < MAX_HANGING_PER_DEVICE) return false;
    if (this.#hanging.size >= MAX_HANGING) return true;
    const same = [...this.#hanging].filter(({ request }) => request.device === device);
    return device !== null && same.length >= MAX_HANGING_PER_DEVICE;
  }

  /** It is late: others take its place. */
  #giveUp(job: Job): void {
    this.#hanging.add(job);
    this.#tell(job, failed(job.request, "timed_out"));
  }

  #tell(job: Job, answer: HashAnswer): void {
    if (job.told) return;
    job.told = true;
    job.tell(answer);
  }
}
