/**
 * The processes that live and those that ended a short while ago, bounded in number and bytes.
 *
 * Keyed by pid: at any time one process has it, and the start tick tells whether it is the one that is meant. Ended
 * processes are kept because their children's records may come after their own last one.
 *
 * Whoever floods the host with processes or with long arguments makes the table forget, not grow: past the number the
 * oldest process is forgotten (its end is then reported as one of an unseen start); past the bytes a process keeps no
 * environment, then only the begin of its arguments and nothing of its circumstances (the start event has had all of
 * it); past twice the bytes the oldest are forgotten. What was forgotten is counted.
 *
 * @module
 */

import type { ProcessContext } from "../proto/process_event.ts";
import type { Image, TrackedProcess } from "./tracked_process.ts";

export interface TableLimits {
  readonly maxTracked: number;
  readonly maxEnded: number;
  /** Bytes of text from which on less is kept of each process. The table never holds twice as many. */
  readonly maxBytes: number;
}

export const TABLE_LIMITS: TableLimits = { maxTracked: 65_536, maxEnded: 4_096, maxBytes: 32 << 20 };

/** Bytes for each process of a table that may hold many. */
const BYTES_EACH = 512;

/** The limits of a table of at most `maxTracked` living processes. */
export function limitsFor(maxTracked: number): TableLimits {
  return { ...TABLE_LIMITS, maxTracked, maxBytes: Math.max(TABLE_LIMITS.maxBytes, maxTracked * BYTES_EACH) };
}

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

  /** Bytes of arguments, paths and circumstances that it holds, shared ones counted for each process. */
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
    if (this.#live.size >= this.#limits.maxTracked) this.#forget(this.#live.values().next().value!);
    this.#live.set(process.pid, process);
    this.weigh(process);
  }

  /** Gives a process another image. */
  replaceImage(process: TrackedProcess, image: Image): void {
    process.image = image;
    this.weigh(process);
  }

  /** Counts anew what a process holds, after its image, its parent's or its circumstances changed. */
  weigh(process: TrackedProcess): void {
    this.#release(process);
    let weight = weightOf(process);
    if (this.#bytes + weight > this.#limits.maxBytes) weight = this.#lighten(process);
    process.counted = weight;
    this.#bytes += weight;
    if (this.#bytes > 2 * this.#limits.maxBytes) this.#makeRoom(process);
  }

  /** Moves a process from the living to the ended. */
  end(process: TrackedProcess, time: number): void {
    process.endTime = time;
    if (this.#live.get(process.pid) === process) this.#live.delete(process.pid);
    const oldest = this.#order[this.#next];
    if (oldest !== undefined) this.#drop(oldest);
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

  /** Lets go of what a process can do without, as far as the bytes ask for it. Returns what it weighs then. */
  #lighten(process: TrackedProcess): number {
    if (process.context?.environment) {
      process.context = { ...process.context, environment: null };
      const weight = weightOf(process);
      if (this.#bytes + weight <= this.#limits.maxBytes) return weight;
    }
    process.image = process.image.lean();
    process.parentImage = process.parentImage?.lean() ?? null;
    process.context = null;
    return weightOf(process);
  }

  /** Forgets the ended and then the oldest, until the bytes are within their limit or only `kept` lives. */
  #makeRoom(kept: TrackedProcess): void {
    const limit = 2 * this.#limits.maxBytes;
    for (let i = 0; i < this.#order.length && this.#bytes > limit; i++) {
      const at = (this.#next + i) % this.#order.length;
      if (this.#order[at] !== undefined && this.#order[at] !== kept) {
        this.#drop(this.#order[at]!);
        this.#order[at] = undefined;
      }
    }
    for (const process of this.#live.values()) {
      if (this.#bytes <= limit) break;
      if (process !== kept) this.#forget(process);
    }
  }

  #forget(process: TrackedProcess): void {
    this.#live.delete(process.pid);
    this.#release(process);
    this.#forgotten++;
  }

  /** Lets go of an ended process. */
  #drop(process: TrackedProcess): void {
    this.#release(process);
    if (this.#ended.get(process.pid) === process) this.#ended.delete(process.pid);
  }

  #release(process: TrackedProcess): void {
    this.#bytes -= process.counted;
    process.counted = 0;
  }
}

function weightOf(process: TrackedProcess): number {
  const { image, parentImage, context } = process;
  return image.weight + (parentImage?.weight ?? 0) + (context === null ? 0 : weightOfContext(context));
}

function weightOfContext(context: ProcessContext): number {
  return (context.cwd?.length ?? 0) + (context.cgroupPath?.length ?? 0) + (context.containerId?.length ?? 0) +
    (context.interpreterPath?.length ?? 0) + (context.scriptPath?.length ?? 0) + (context.environment?.length ?? 0);
}
