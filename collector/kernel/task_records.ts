/**
 * The records that our task iterators write, and their way into entries of the process table.
 *
 * The layouts stand here once: `task_programs.ts` writes by them, {@linkcode TableParser} reads by them.
 *
 * @module
 */
import type { RawContext, TableEntry } from "../sources/source.ts";
import { CONTEXT, ContextDecoder } from "./context_records.ts";
import type { EnvironmentFilter } from "./environment.ts";
import { libc } from "./libc.ts";
import { readU64 } from "./little_endian.ts";
import { NAME_BYTES } from "./process_records.ts";
import { decodeName, TextCache } from "./text_cache.ts";

/**
 * Followed by the texts: those of the context (`context_records.ts`), the path, the arguments, the environment; then by
 * nothing that means anything up to a multiple of eight. Ends are counted from where the texts begin.
 */
export const PROCESS = {
  kind: 0,
  pid: 4,
  runtime: 8,
  startTime: 16,
  runtimeOfDead: 24,
  ppid: 32,
  threads: 36,
  userId: 40,
  groupId: 44,
  effectiveUserId: 48,
  flags: 52,
  state: 56,
  exitState: 60,
  name: 64,
  residentPages: 80,
  argvLength: 104,
  environmentLength: 112,
  namespacePid: 120,
  pathEnd: 124,
  argvEnd: 128,
  environmentEnd: 132,
  /** 1 when the arguments that follow are what there is to read; and so for the environment. */
  argvRead: 136,
  environmentRead: 140,
  context: 144,
  bytes: 144 + CONTEXT.bytes,
};
/** A thread that is not its process' first. */
export const THREAD = { kind: 0, pid: 4, runtime: 8, bytes: 16 };
export const KIND_PROCESS = 1, KIND_THREAD = 2;
/** Less than the kernel hands out per read, 32 KiB: a record that fills that is refused. */
export const MAX_PROCESS_BYTES = 32_760;
export const PROCESS_TEXT_LIMIT = MAX_PROCESS_BYTES - PROCESS.bytes - 7;
/** `PF_KTHREAD` of `include/linux/sched.h`. */
const KERNEL_THREAD = 0x20_0000;

/** An entry whose CPU time is known. */
type Process = TableEntry & { readonly cpuTime: number };

/** Takes the records of one pass. */
export class TableParser {
  readonly #texts: TableTexts;
  readonly #processes: Process[] = [];
  readonly #runtimeOfThreads = new Map<number, number>();

  constructor(texts: TableTexts) {
    this.#texts = texts;
  }

  /**
   * Takes the whole records of the first `end` bytes and returns how many bytes they were.
   *
   * @throws {RangeError} on bytes that no program of ours writes: where the next record begins cannot be told.
   */
  take(bytes: Uint8Array, view: DataView, end: number): number {
    let at = 0;
    while (at + THREAD.bytes <= end) {
      if (view.getUint32(at + THREAD.kind, true) === KIND_THREAD) {
        const pid = view.getUint32(at + THREAD.pid, true);
        const runtime = readU64(view, at + THREAD.runtime);
        this.#runtimeOfThreads.set(pid, (this.#runtimeOfThreads.get(pid) ?? 0) + runtime);
        at += THREAD.bytes;
        continue;
      }
      if (at + PROCESS.bytes > end) break;
      if (view.getUint32(at + PROCESS.kind, true) !== KIND_PROCESS || !isOrdered(view, at)) {
        throw new RangeError("The iterator gave a record that is none of ours");
      }
      const length = PROCESS.bytes + view.getUint32(at + PROCESS.environmentEnd, true);
      const next = at + Math.ceil(length / 8) * 8;
      if (next > end) break;
      this.#processes.push(this.#process(bytes, view, at, next));
      at = next;
    }
    return at;
  }

  /** The processes, with the CPU time of all their threads. */
  finish(): TableEntry[] {
    return this.#processes.map((process) => {
      const ofThreads = this.#runtimeOfThreads.get(process.pid);
      return ofThreads === undefined ? process : { ...process, cpuTime: process.cpuTime + ofThreads };
    });
  }

  #process(bytes: Uint8Array, view: DataView, at: number, end: number): Process {
    const { names, paths, pageBytes } = this.#texts;
    const argvLength = readU64(view, at + PROCESS.argvLength);
    const texts = at + PROCESS.bytes;
    const path = texts + view.getUint32(at + PROCESS.context + CONTEXT.ttyEnd, true);
    const argv = texts + view.getUint32(at + PROCESS.pathEnd, true);
    const argvEnd = texts + view.getUint32(at + PROCESS.argvEnd, true);
    let nameEnd = at + PROCESS.name;
    while (nameEnd < at + PROCESS.name + NAME_BYTES && bytes[nameEnd] !== 0) nameEnd++;
    return {
      pid: view.getUint32(at + PROCESS.pid, true),
      ppid: view.getUint32(at + PROCESS.ppid, true),
      startTime: readU64(view, at + PROCESS.startTime),
      name: names.text(bytes, at + PROCESS.name, nameEnd),
      // Without its NUL.
      executablePath: argv === path ? null : paths.text(bytes, path, argv - 1),
      argv: view.getUint32(at + PROCESS.argvRead, true) === 1 ? bytes.slice(argv, argvEnd) : null,
      argvLength: argvLength <= Number.MAX_SAFE_INTEGER ? argvLength : null,
      userId: view.getUint32(at + PROCESS.userId, true),
      groupId: view.getUint32(at + PROCESS.groupId, true),
      effectiveUserId: view.getUint32(at + PROCESS.effectiveUserId, true),
      cpuTime: readU64(view, at + PROCESS.runtime) + readU64(view, at + PROCESS.runtimeOfDead),
      memoryUsage: residentPages(view, at) * pageBytes,
      threads: view.getUint32(at + PROCESS.threads, true),
      namespacePid: view.getUint32(at + PROCESS.namespacePid, true) || null,
      context: this.#context(bytes, view, at, argvEnd, end),
      status: taskStatus(view.getUint32(at + PROCESS.state, true), view.getUint32(at + PROCESS.exitState, true)),
      kernelThread: (view.getUint32(at + PROCESS.flags, true) & KERNEL_THREAD) !== 0,
    };
  }

  #context(bytes: Uint8Array, view: DataView, at: number, environment: number, end: number): RawContext | null {
    const shared = this.#texts.contexts.decode(bytes, view, at + PROCESS.context, end);
    const filter = this.#texts.environment;
    if (shared === null || filter === null || view.getUint32(at + PROCESS.environmentRead, true) === 0) return shared;
    const environmentEnd = at + PROCESS.bytes + view.getUint32(at + PROCESS.environmentEnd, true);
    return {
      ...shared,
      environment: filter.select(bytes, environment, environmentEnd),
      environmentCut: readU64(view, at + PROCESS.environmentLength) > environmentEnd - environment,
    };
  }
}

/** Where the ends of a record's texts stand, in the order of the texts. */
const TEXT_ENDS = [
  ...[CONTEXT.cwdEnd, CONTEXT.groupEnd, CONTEXT.ttyEnd].map((place) => PROCESS.context + place),
  ...[PROCESS.pathEnd, PROCESS.argvEnd, PROCESS.environmentEnd],
];

/** Whether the texts of a record follow each other and fit where records are made. */
function isOrdered(view: DataView, at: number): boolean {
  let before = 0;
  for (const place of TEXT_ENDS) {
    const textEnd = view.getUint32(at + place, true);
    if (textEnd < before) return false;
    before = textEnd;
  }
  return PROCESS.bytes + before <= MAX_PROCESS_BYTES;
}

/** What passes share: texts that come again and again, and what is wanted of environments. */
export class TableTexts {
  /** Null when nothing is. */
  readonly environment: EnvironmentFilter | null;
  readonly contexts = new ContextDecoder();

  readonly names = new TextCache(decodeName);
  readonly paths = new TextCache(decodeName);
  readonly pageBytes: number = libc.getpagesize();

  constructor(environment: EnvironmentFilter | null) {
    this.environment = environment;
  }
}

/** The kernel's counters lag behind their per-CPU parts and can be below zero, which it shows as zero too. */
function residentPages(view: DataView, at: number): number {
  let pages = 0;
  for (let index = 0; index < 3; index++) {
    pages += Math.max(0, Number(view.getBigInt64(at + PROCESS.residentPages + index * 8, true)));
  }
  return pages;
}

/** Bits of `task_struct.__state` and `exit_state` (`include/linux/sched.h`). */
const STATE = {
  interruptible: 0x01,
  uninterruptible: 0x02,
  stopped: 0x04,
  traced: 0x08,
  dead: 0x10,
  zombie: 0x20,
  parked: 0x40,
  noLoad: 0x400,
  lockWait: 0x1000,
  frozen: 0x8000,
};

/** The word for a state, as the letter in `/proc/PID/stat` would have it (`__task_state_index()`). */
export function taskStatus(state: number, exitState: number): string {
  const idle = STATE.uninterruptible | STATE.noLoad;
  const bits = state | exitState;
  if ((bits & STATE.parked) !== 0) return "idle";
  if ((bits & STATE.zombie) !== 0) return "zombie";
  if ((bits & STATE.dead) !== 0) return "dead";
  if ((state & idle) === idle) return "idle";
  if ((bits & STATE.traced) !== 0) return "traced";
  if ((bits & STATE.stopped) !== 0) return "stopped";
  if ((bits & (STATE.uninterruptible | STATE.lockWait | STATE.frozen)) !== 0) return "disk_sleep";
  return (bits & STATE.interruptible) !== 0 ? "sleeping" : "running";
}
