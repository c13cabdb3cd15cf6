/**
 * Processes from `/proc` with all that it tells of them, for watchers: no process can hold one up.
 *
 * Arguments and environments come from {@linkcode ArgumentReader}, everything else is read on this thread, in slices, so
 * that a large table does not keep events waiting.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { RawContext, TableEntry } from "../sources/source.ts";
import { ArgumentReader, type ProcessMemory } from "./argument_reader.ts";
import { EnvironmentFilter, type VariableNames } from "./environment.ts";
import { EACCES, EPERM, errno } from "./libc.ts";
import { listProcesses } from "./proc_files.ts";
import { readProcess, readProcMount, readThreadCount, SAFE } from "./procfs.ts";
import type { Draft } from "./procfs_context.ts";
import type { ProcMount } from "./procfs_context_parse.ts";

/** How long the table is read without a pause. */
const SLICE_MS = 10;
/** Processes whose memory is read meanwhile. */
const MAX_ASKED = 128;
/** What one table may hold of arguments, paths and environments. Of further processes they are left out. */
const MAX_TABLE_BYTES = 64 << 20;
/** Inode of the first pid namespace (`PROC_PID_INIT_INO` of linux/proc_ns.h). */
const FIRST_PID_NAMESPACE = 0xeffffffc;
/** The share of threads that is taken as hidden: fewer begin and end while the table is read. */
const HIDDEN_SHARE = 0.02;

export interface ReaderOptions {
  /** Names of the variables that are taken: see {@linkcode EnvironmentFilter}. */
  readonly environment: VariableNames;
  /** How long one process may take to answer. */
  readonly deadlineMs?: number;
  /** What one table may hold. */
  readonly maxBytes?: number;
}

export class ProcfsReader {
  readonly #arguments: ArgumentReader;
  #crowded = false;
  #mount: ProcMount | null = readProcMount();
  /** How much `/proc` kept from this user when it was noticed that it does; null when it keeps nothing that is known. */
  #hidden: string | null = null;
  readonly #maxBytes: number;

  constructor({ environment, deadlineMs, maxBytes }: ReaderOptions) {
    this.#arguments = new ArgumentReader(new EnvironmentFilter(environment), deadlineMs);
    this.#maxBytes = maxBytes ?? MAX_TABLE_BYTES;
  }

  /** What it cannot read now, in sentences. */
  get misses(): string[] {
    const misses: string[] = [];
    const hindrance = this.#arguments.hindrance;
    if (hindrance !== null) misses.push(hindrance);
    if (this.#crowded) {
      misses.push("there are so many processes with long arguments that those of some are left out of the table");
    }
    return [...misses, ...this.#hiding()];
  }

  /**
   * The whole process table. Processes that end meanwhile are not in it.
   *
   * With `known`, an earlier table, a process that began before `settledBefore` (nanoseconds since boot) and has kept
   * its name is not read whole again: all but what moves is that of the earlier table.
   */
  async table(known?: ReadonlyMap<number, TableEntry>, settledBefore = 0): Promise<TableEntry[]> {
    const table: TableEntry[] = [];
    let kept = 0, asked = 0, refused = 0, crowded = false, resume: (() => void) | null = null;
    let sliceEnd = performance.now() + SLICE_MS;
    for (const pid of listProcesses()) {
      const before = known?.get(pid) ?? null;
      const entry = readProcess(pid, SAFE, before, settledBefore);
      if (entry === null) {
        if (wasRefused()) refused++;
        continue;
      }
      table.push(entry);
      if (before !== null && entry.context === before.context && entry.argv === before.argv) {
        kept += weigh(entry);
      } else if (kept >= this.#maxBytes) {
        crowded = true;
        entry.context = null;
      } else if (!entry.kernelThread) {
        asked++;
        this.#askFor(entry, () => {
          kept += weigh(entry);
          asked--;
          resume?.();
        });
      }
      if (asked >= MAX_ASKED) await new Promise<void>((resolve) => resume = resolve);
      else if (performance.now() < sliceEnd) continue;
      else await new Promise<void>((resolve) => setImmediate(resolve));
      sliceEnd = performance.now() + SLICE_MS;
    }
    while (asked > 0) await new Promise<void>((resolve) => resume = resolve);
    this.#crowded = crowded;
    if (known === undefined) this.#noteHidden(table, refused);
    return table;
  }

  /** One process without its memory: arguments and environment are null. `null` when it is gone. */
  look(pid: number): TableEntry | null {
    return readProcess(pid, SAFE);
  }

  /**
   * One process at once, its memory as soon as it is there: `done` is called once and later, when the entry has it or
   * will not have it. `null`, and no call, when the process is gone.
   */
  follow(pid: number, done: () => void): TableEntry | null {
    // Asked for first: of a process that lives a millisecond the arguments say most.
    const memory: { entry: Draft<TableEntry> | null } = { entry: null };
    this.#arguments.ask(pid, () => mayTrace(memory.entry?.context ?? null), (found) => {
      if (memory.entry === null) return;
      take(memory.entry, found);
      done();
    });
    return memory.entry = readProcess(pid, SAFE);
  }

  close(): void {
    this.#arguments.close();
  }

  #askFor(entry: Draft<TableEntry>, done: () => void): void {
    this.#arguments.ask(entry.pid, () => mayTrace(entry.context), (memory) => {
      take(entry, memory);
      done();
    });
  }

  /** Anew with every whole table: another mount can take the place of the first, and privileges go after the first. */
  #noteHidden(table: readonly TableEntry[], refused: number): void {
    this.#mount = readProcMount();
    if (refused > 0) {
      this.#hidden ??= `${refused} processes`;
      return;
    }
    // Who sees one pid namespace of many cannot tell what is hidden from what is elsewhere.
    const all = readsFirstNamespace() ? readThreadCount() : null;
    const seen = table.reduce((sum, { threads }) => sum + (threads ?? 1), 0);
    if (all === null || all - seen <= all * HIDDEN_SHARE) this.#hidden = null;
    else this.#hidden ??= `${all - seen} of ${all} threads`;
  }

  #hiding(): string[] {
    if (this.#mount === null || this.#mount.hides === null) return [];
    const hidden = this.#hidden === null ? "" : `; there were ${this.#hidden} when that was noticed`;
    return [
      `/proc is mounted with hidepid=${this.#mount.hides}: processes that the collector may not trace are not seen${hidden}`,
    ];
  }
}

/** Whether this user may read more of a process than everybody may. */
function mayTrace(context: RawContext | null): boolean {
  return context !== null && (context.cwd !== null || context.mountNamespace !== null);
}

function readsFirstNamespace(): boolean {
  return readProcess(Deno.pid, SAFE)?.context?.pidNamespace === FIRST_PID_NAMESPACE;
}

/** Whether the call that failed just now was not allowed. */
function wasRefused(): boolean {
  const error = errno();
  return error === EPERM || error === EACCES;
}

function take(entry: Draft<TableEntry>, memory: ProcessMemory | null): void {
  if (memory === null) return;
  entry.argv = memory.argv;
  entry.argvLength = memory.argvLength;
  if (memory.environment === null || entry.context === null) return;
  entry.context = { ...entry.context, environment: memory.environment, environmentCut: memory.environmentCut };
}

function weigh({ argv, executablePath, context }: TableEntry): number {
  let bytes = (argv?.length ?? 0) + (executablePath?.length ?? 0) + (context?.cwd?.length ?? 0);
  for (const variable of context?.environment ?? []) bytes += variable.length;
  return bytes;
}
