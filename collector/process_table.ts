/**
 * The processes that live and those that ended a short while ago, bounded in number and bytes.
 *
 * Keyed by pid: at any time one process has it, and the start tick tells whether it is the one that is meant. Ended
 * processes are kept because their children's records may come after their own last one.
 *
 * Whoever floods the host with processes or with long arguments makes the table forget, not grow: past the number the
 * oldest process is forgotten (its end is then reported as one of an unseen start), past the bytes only the begin of
 * arguments is kept (the start event has had all of them).
 *
 * @module
 */

import type { Image, TrackedProcess } from "./tracked_process.ts";

export interface TableLimits {
  readonly maxTracked: number;
  readonly maxEnded: number;
  readonly maxBytes: number;
}

export const TABLE_LIMITS: TableLimits = { maxTracked: 65_536, maxEnded: 4_096, maxBytes: 32 << 20 };

export class ProcessTable {
  readonly #limits: TableLimits;
  readonly #live = new Map<number, TrackedProcess>();
  readonly #ended = new Map<number, TrackedProcess>();
  /** Ended processes in the order of their end; the oldest is overwritten. */
  readonly #order: (TrackedProcess | undefined)[];
  #next = 0;
  #bytes = 0;
  #forgotten = 0;

  constructor(limits: TableLimits = TABLE_LIMITS) {
    this.#limits = limits;
    this.#order = new Array(limits.maxEnded).fill(undefined);
  }

  get size(): number {
    return this.#live.size;
  }

  /** Bytes of arguments and paths that it holds, shared ones counted for each process. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Living processes that were forgotten for want of room. */
  get forgotten(): number {
    return this.#forgotten;
  }

  get(pid: number): TrackedProcess | undefined {
    return this.#live.get(pid);
  }

  /** The last process of this pid that ended. */
  ended(pid: number): TrackedProcess | undefined {
    return this.#ended.get(pid);
  }

  processes(): IterableIterator<TrackedProcess> {
    return this.#live.values();
  }

  /** Adds a process; none of its pid may live. */
  add(process: TrackedProcess): void {
    if (this.#live.size >= this.#limits.maxTracked) {
      const oldest = this.#live.values().next().value!;
      this.#live.delete(oldest.pid);
      this.#release(oldest);
      this.#forgotten++;
    }
    this.#live.set(process.pid, process);
    this.weigh(process);
  }

  /** Gives a process another image. */
  replaceImage(process: TrackedProcess, image: Image): void {
    process.image = image;
    this.weigh(process);
  }

  /** Counts anew what a process holds, after its image or its parent's changed. */
  weigh(process: TrackedProcess): void {
    this.#release(process);
    let weight = weightOf(process);
    if (this.#bytes + weight > this.#limits.maxBytes) {
      process.image = process.image.lean();
      process.parentImage = process.parentImage?.lean() ?? null;
      weight = weightOf(process);
    }
    process.counted = weight;
    this.#bytes += weight;
  }

  /** Moves a process from the living to the ended. */
  end(process: TrackedProcess, time: number): void {
    process.endTime = time;
    if (this.#live.get(process.pid) === process) this.#live.delete(process.pid);
    const oldest = this.#order[this.#next];
    if (oldest !== undefined) {
      this.#release(oldest);
      if (this.#ended.get(oldest.pid) === oldest) this.#ended.delete(oldest.pid);
    }
    this.#order[this.#next] = process;
    this.#next = (this.#next + 1) % this.#order.length;
    this.#ended.set(process.pid, process);
  }

  /** The process that had `ppid` when a child of it began at `childTicks`. */
  parent(ppid: number, childTicks: number, childStart: number): TrackedProcess | null {
    const live = this.#live.get(ppid);
    if (live !== undefined && live.startTicks <= childTicks) return live;
    const ended = this.#ended.get(ppid);
    if (ended !== undefined && ended.startTicks <= childTicks && ended.endTime! >= childStart) return ended;
    return null;
  }

  #release(process: TrackedProcess): void {
    this.#bytes -= process.counted;
    process.counted = 0;
  }
}

function weightOf(process: TrackedProcess): number {
  return process.image.weight + (process.parentImage?.weight ?? 0);
}
