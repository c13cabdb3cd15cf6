/**
 * A polling rung of the source ladder: the process table read from `/proc` at an interval, and its differences.
 *
 * Needs no privilege. A process that is new in a reading becomes an exec record of the time it began, one that is gone
 * an exit record of the time it was missed first, one that runs another program an exec record of now. What lives and
 * ends between two readings is not seen, and nothing counts it; the description says so.
 *
 * A reading takes only what moves of a process that has settled and kept its name. Whole readings are those of
 * {@linkcode ProcessSource.snapshot}.
 *
 * @module
 */
import { TICK_NS } from "../../proto/identity.ts";
import { bootTimeNs } from "../kernel/libc.ts";
import { readProcess, readProcessTable } from "../kernel/procfs.ts";
import type { ProcessSource, SourceCounters, SourceDescription, SourceRecord, TableEntry } from "./source.ts";
import { TableWatcher } from "./table_watcher.ts";
import { SourceUnavailableError } from "./unavailable.ts";

export interface ProcOptions {
  /** Time between two readings. */
  readonly intervalMs: number;
  /** How the table is read; `/proc` unless a test says otherwise. */
  readonly read?: typeof readProcessTable;
}

/** @throws {SourceUnavailableError} when `/proc` shows no process, not even this one. */
export function openProcSource(options: ProcOptions): ProcessSource {
  try {
    const source = new ProcSource(options.intervalMs, options.read ?? readProcessTable);
    if (source.snapshot().length > 0) return source;
  } catch (error) {
    throw new SourceUnavailableError("proc", error instanceof Error ? error.message : String(error), { cause: error });
  }
  throw new SourceUnavailableError("proc", "/proc shows no process; mount it");
}

class ProcSource implements ProcessSource {
  readonly description: SourceDescription;
  readonly #watcher: TableWatcher;
  #due = 0;

  constructor(private readonly intervalMs: number, private readonly read: typeof readProcessTable) {
    this.#watcher = new TableWatcher(youth(intervalMs));
    this.description = {
      name: "proc",
      sees: `the process table, read every ${intervalMs} ms`,
      misses: [
        `processes that live shorter than ${intervalMs} ms are mostly not seen, and nothing counts them`,
        "exit codes, signals and the exact time of an end are unknown",
        "a program that replaces another of the same command name is seen with the next whole snapshot only",
        "device, inode and control group of executables are unknown, as are the executables of other users' processes " +
        "unless the collector may read them",
      ],
      unknownColumns: ["exit_code", "exit_signal", "inode", "device"],
    };
  }

  snapshot(): TableEntry[] {
    return this.#read(undefined);
  }

  look(pid: number): TableEntry | null {
    return readProcess(pid);
  }

  drain(receive: (record: SourceRecord) => void): number {
    if (performance.now() >= this.#due) this.#read(this.#watcher.known ?? undefined);
    return this.#watcher.drain(receive);
  }

  wait(timeoutMs: number): Promise<void> {
    if (this.#watcher.waiting > 0) return Promise.resolve();
    const ms = Math.max(0, Math.min(timeoutMs, this.#due - performance.now()));
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  counters(): SourceCounters {
    const { received, damaged } = this.#watcher;
    return { received, lost: { exec: 0, fork: 0, exit: 0 }, overruns: 0, damaged };
  }

  close(): void {
    this.#watcher.close();
    this.#due = Infinity;
  }

  /** Reads the table, of processes that are known and have settled only what moves. */
  #read(known: ReadonlyMap<number, TableEntry> | undefined): TableEntry[] {
    const table = this.read(known, bootTimeNs() - youth(this.intervalMs));
    this.#due = performance.now() + this.intervalMs;
    this.#watcher.compare(table, bootTimeNs());
    return table;
  }
}

/** How long a process counts as young, in nanoseconds: two readings may still show it between fork and exec. */
function youth(intervalMs: number): number {
  return 2 * intervalMs * 1e6 + TICK_NS;
}
