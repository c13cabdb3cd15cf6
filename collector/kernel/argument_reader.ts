/**
 * Arguments and environments of processes from `/proc/PID/cmdline` and `environ`, read beside this thread and within a
 * time.
 *
 * Whoever reads another process' memory can be made to wait: for a page that a hostile file system backs, or behind a
 * thread of that process that changes its address space. There is no way to ask without waiting, and a process that
 * looks harmless can become hostile within the read. So every read runs on a thread of the pool, and what is not there
 * in time is left out. A read that hangs costs one such thread until the process lets go; only few may hang, and a
 * process is not asked again while it holds one.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import { Deadlines, type Timed } from "../deadlines.ts";
import type { EnvironmentFilter } from "./environment.ts";
import { AT_FDCWD, copyFrom, copyTo, cString, libc, NativeArena, O_CLOEXEC, O_RDONLY } from "./libc.ts";
import { MAX_COUNTED_BYTES, readRunState } from "./procfs.ts";

/** Reads under way at once. */
const LANES = 8;
/** Reads that may hang. With so many none is begun: a host with so many hostile processes is not one to read from. */
const MAX_HANGING = 64;
/**
 * How long one process may take to answer. A read takes some 20 us, and where thirty threads want two processors it waits
 * a quarter of a second for its own to run: one that is not hiding must not be said to hide.
 */
const DEADLINE_MS = 500;
/** Bytes of an environment that are looked at. */
const MAX_ENVIRONMENT_BYTES = 32_768;

/** Where in the memory of a lane the path of a file stands, and where what is read of it. */
const PATH_BYTES = 64, READ_BYTES = 1 << 16;

/** What the memory of a process says. */
export interface ProcessMemory {
  /** At most {@linkcode MAX_ARGV_BYTES}. */
  readonly argv: Uint8Array;
  /** True length in bytes; null past {@linkcode MAX_COUNTED_BYTES}. */
  readonly argvLength: number | null;
  /** The wanted variables; null when they were not asked for or may not be read. */
  readonly environment: readonly string[] | null;
  readonly environmentCut: boolean;
}

interface Job extends Timed {
  readonly pid: number;
  /** Asked when its arguments are there. */
  readonly wantsEnvironment: () => boolean;
  readonly tell: (memory: ProcessMemory | null) => void;
  /** Nobody waits for it any more. */
  told: boolean;
}

export class ArgumentReader {
  readonly #filter: EnvironmentFilter | null;
  /** Not begun yet, from `#next` on. */
  #queue: Job[] = [];
  #next = 0;
  readonly #deadlines: Deadlines<Job>;
  readonly #hanging = new Map<number, Job>();
  readonly #idle: NativeArena[] = [];
  readonly #environment = new Uint8Array(MAX_ENVIRONMENT_BYTES);
  #late = 0;
  #closed = false;

  /** `filter` says what is taken of environments; without one none is read. */
  constructor(filter: EnvironmentFilter | null = null, deadlineMs: number = DEADLINE_MS) {
    this.#filter = filter === null || filter.isEmpty ? null : filter;
    this.#deadlines = new Deadlines(deadlineMs, (job) => this.#giveUp(job), () => this.#begin());
  }

  /** Processes that did not answer in time, or were not asked because too many do not. */
  get late(): number {
    return this.#late;
  }

  /** Whether reads wait for processes that did not answer. */
  get hindrance(): string | null {
    const [pid] = this.#hanging.keys();
    if (pid === undefined) return null;
    const others = this.#hanging.size - 1;
    const who = others === 0 ? `process ${pid} does` : `process ${pid} and others do`;
    const all = this.#hanging.size < MAX_HANGING ? "" : "; no arguments are read until one of them does";
    return `${who} not let its arguments be read; it may be hiding from whoever lists processes${all}`;
  }

  /**
   * Reads of one process. `tell` is called once and later: with null when it is gone, may not be read, holds an earlier
   * read, or does not answer within the deadline, which begins with its read. `wantsEnvironment` is asked when its
   * arguments are there.
   */
  ask(pid: number, wantsEnvironment: () => boolean, tell: (memory: ProcessMemory | null) => void): void {
    this.#ask({ pid, wantsEnvironment, tell, due: 0, told: false });
  }

  /**
   * The arguments of each process, at most {@linkcode MAX_ARGV_BYTES}. A process is missing that is gone, that has none,
   * that may not be read, or that did not answer within `deadlineMs` in all.
   */
  async read(pids: readonly number[], deadlineMs: number): Promise<Map<number, Uint8Array>> {
    const found = new Map<number, Uint8Array>();
    if (pids.length === 0) return found;
    const { promise, resolve } = Promise.withResolvers<void>();
    let left = pids.length;
    const jobs = pids.map((pid): Job => {
      const tell = (memory: ProcessMemory | null): void => {
        if (memory !== null && memory.argv.length > 0) found.set(pid, memory.argv);
        if (--left === 0) resolve();
      };
      return { pid, wantsEnvironment: () => false, tell, due: 0, told: false };
    });
    for (const job of jobs) this.#ask(job);
    const timer = setTimeout(resolve, deadlineMs);
    await promise;
    clearTimeout(timer);
    for (const job of jobs) job.told = true;
    return found;
  }

  /** Whoever waits is told that there is nothing. What hangs goes on until it is let go. */
  close(): void {
    this.#closed = true;
    this.#deadlines.stop();
    for (const arena of this.#idle.splice(0)) arena.release();
    const waiting = [...this.#deadlines.running, ...this.#queue.splice(this.#next)];
    for (const job of waiting) this.#tell(job, null);
  }

  #ask(job: Job): void {
    this.#queue.push(job);
    if (this.#closed) queueMicrotask(() => this.#tell(job, null));
    else this.#begin();
  }

  /** It is late: others take its place. */
  #giveUp(job: Job): void {
    this.#hanging.set(job.pid, job);
    this.#late++;
    this.#tell(job, null);
  }

  #tell(job: Job, memory: ProcessMemory | null): void {
    if (job.told) return;
    job.told = true;
    job.tell(memory);
  }

  #begin(): void {
    while (!this.#closed && this.#deadlines.running.size < LANES && this.#next < this.#queue.length) {
      const job = this.#queue[this.#next++]!;
      if (this.#next === this.#queue.length) {
        this.#queue = [];
        this.#next = 0;
      }
      if (job.told) continue;
      if (this.#hanging.size >= MAX_HANGING || this.#hanging.has(job.pid)) {
        this.#late++;
        queueMicrotask(() => this.#tell(job, null));
        continue;
      }
      // Opening it looks at nothing that could make it wait.
      const fd = libc.openat(AT_FDCWD, cString(`/proc/${job.pid}/cmdline`), O_RDONLY | O_CLOEXEC, 0);
      if (fd < 0) {
        queueMicrotask(() => this.#tell(job, null));
        continue;
      }
      this.#deadlines.begun(job);
      this.#run(job, fd);
    }
  }

  async #run(job: Job, fd: number): Promise<void> {
    const arena = this.#idle.pop() ?? new NativeArena(PATH_BYTES + READ_BYTES);
    let memory: ProcessMemory | null = null;
    try {
      memory = await this.#readMemory(job, fd, arena);
    } finally {
      if (this.#idle.length < LANES && !this.#closed) this.#idle.push(arena);
      else arena.release();
      this.#deadlines.ended(job);
      if (this.#hanging.get(job.pid) === job) this.#hanging.delete(job.pid);
      this.#tell(job, memory);
      this.#begin();
      if (this.#deadlines.running.size === 0) this.#deadlines.stop();
    }
  }

  async #readMemory({ pid, wantsEnvironment }: Job, fd: number, arena: NativeArena): Promise<ProcessMemory | null> {
    const at = arena.address + BigInt(PATH_BYTES);
    let argv: Uint8Array<ArrayBuffer>, length: number;
    try {
      let got = await libc.readAsync(fd, at, BigInt(READ_BYTES));
      if (got < 0) return null;
      argv = new Uint8Array(Math.min(got, MAX_ARGV_BYTES));
      if (got > 0) copyFrom(at, argv);
      for (length = got; got === READ_BYTES && length < MAX_COUNTED_BYTES; length += Math.max(0, got)) {
        got = await libc.readAsync(fd, at, BigInt(READ_BYTES));
      }
    } finally {
      libc.close(fd);
    }
    // Nothing is what a process has that wiped its arguments, and what one has that has just ended.
    if (length === 0 && (readRunState(pid)?.isEnded ?? true)) return null;
    const variables = this.#filter?.isIdle === false && wantsEnvironment()
      ? await this.#readEnvironment(pid, arena, at)
      : null;
    return {
      argv,
      argvLength: length < MAX_COUNTED_BYTES ? length : null,
      environment: variables === null ? null : variables.wanted,
      environmentCut: variables?.cut ?? false,
    };
  }

  /** Also opening it can wait: for a process that is within an `execve` (`exec_update_lock` of the kernel). */
  async #readEnvironment(
    pid: number,
    arena: NativeArena,
    at: bigint,
  ): Promise<{ wanted: readonly string[]; cut: boolean } | null> {
    copyTo(arena.address, cString(`/proc/${pid}/environ`));
    const fd = await libc.openatAsync(AT_FDCWD, arena.address, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return null;
    try {
      // All that there is comes with one read. Nothing comes also of a process that ended, or that put the first page of
      // it where nobody may wait for it.
      const got = await libc.readAsync(fd, at, BigInt(MAX_ENVIRONMENT_BYTES));
      if (got <= 0) return null;
      copyFrom(at, this.#environment.subarray(0, got));
      return { wanted: this.#filter!.select(this.#environment, 0, got), cut: got === MAX_ENVIRONMENT_BYTES };
    } finally {
      libc.close(fd);
    }
  }
}
