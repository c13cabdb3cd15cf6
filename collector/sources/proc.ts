/**
 * A polling rung of the source ladder: the process table read from `/proc` at an interval, and its differences.
 *
 * Needs no privilege. A process that is new in a reading becomes an exec record of the time it began, one that is gone
 * an exit record of the time it was missed first, one that runs another program an exec record of now. What lives and
 * ends between two readings is not seen, and nothing counts it; the description says so.
 *
 * A reading takes only what moves of a process that has settled and kept its name. Whole readings are those of
 * {@linkcode ProcessSource.snapshot}. A reading goes on beside this thread, as a process can make wait who reads its
 * memory, and its records are there when it is done; one follows the other.
 *
 * @module
 */
import { TICK_NS } from "../../proto/identity.ts";
import type { VariableNames } from "../kernel/environment.ts";
import { bootTimeNs } from "../kernel/libc.ts";
import { ProcfsReader } from "../kernel/procfs_reader.ts";
import type { ProcessSource, SourceCounters, SourceDescription, SourceRecord, TableEntry } from "./source.ts";
import { TableWatcher } from "./table_watcher.ts";
import { SourceUnavailableError } from "./unavailable.ts";

export interface ProcOptions {
  /** Time between two readings. */
  readonly intervalMs: number;
  /** Names of the environment variables to capture: see `EnvironmentFilter`. */
  readonly environment?: VariableNames;
  /** Whether executables and directories of other users stay readable. */
  readonly readsOthers?: boolean;
  /** How the table is read; `/proc` unless a test says otherwise. */
  readonly processes?: TableReader;
}

export type TableReader = Pick<ProcfsReader, "table" | "look" | "misses" | "close">;

/** @throws {SourceUnavailableError} when `/proc` shows no process, not even this one. */
export function openProcSource(options: ProcOptions): ProcessSource {
  const processes = options.processes ?? new ProcfsReader({ environment: options.environment ?? [] });
  try {
    if (processes.look(Deno.pid) !== null) {
      return new ProcSource(options.intervalMs, processes, options.readsOthers ?? false);
    }
  } catch (error) {
    throw new SourceUnavailableError("proc", error instanceof Error ? error.message : String(error), { cause: error });
  }
  throw new SourceUnavailableError("proc", "/proc does not even show this process; mount it");
}

class ProcSource implements ProcessSource {
  readonly #watcher: TableWatcher;
  #due = 0;
  /** The last of the readings that were asked for, and how many are not done yet. */
  #reading: Promise<TableEntry[]> = Promise.resolve([]);
  #underWay = 0;
  /** Why the last reading failed; for the next drain to throw. */
  #fault: { readonly error: unknown } | null = null;
  #closed = false;

  constructor(
    private readonly intervalMs: number,
    private readonly processes: TableReader,
    private readonly readsOthers: boolean,
  ) {
    this.#watcher = new TableWatcher(youth(intervalMs));
  }

  get description(): SourceDescription {
    const { intervalMs } = this;
    return {
      name: "proc",
      sees: `the process table, read every ${intervalMs} ms`,
      misses: [
        `processes that live shorter than ${intervalMs} ms are mostly not seen, and nothing counts them`,
        "exit codes, signals and the exact time of an end are unknown",
        "a program that replaces another of the same command name is seen with the next whole snapshot only",
        "device and inode of executables are unknown",
        (this.readsOthers ? "" : "executable, directory, namespaces, ") +
        "streams and environment of other users' processes are unknown unless the collector may read them",
        ...this.processes.misses,
      ],
      unknownColumns: [...UNKNOWN_COLUMNS],
    };
  }

  snapshot(): Promise<TableEntry[]> {
    return this.#read(true);
  }

  look(pid: number): TableEntry | null {
    return this.processes.look(pid);
  }

  drain(receive: (record: SourceRecord) => void): number {
    const fault = this.#fault;
    this.#fault = null;
    const count = this.#watcher.drain(receive);
    if (fault !== null) throw fault.error;
    return count;
  }

  async wait(timeoutMs: number): Promise<void> {
    if (this.#watcher.waiting > 0 || this.#fault !== null || this.#closed) return;
    const end = performance.now() + Math.max(0, timeoutMs);
    if (this.#underWay === 0) {
      await sleep(Math.min(end, this.#due) - performance.now());
      if (this.#closed || performance.now() < this.#due) return;
      if (this.#underWay === 0) this.#read(false).catch((error) => this.#fault ??= { error });
    }
    // A reading that is late goes on by itself.
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, Math.max(0, end - performance.now())));
    await Promise.race([this.#reading.catch(() => {}), late]);
    clearTimeout(timer);
  }

  counters(): SourceCounters {
    const { received, damaged } = this.#watcher;
    return { received, lost: { exec: 0, fork: 0, exit: 0 }, overruns: 0, damaged };
  }

  close(): void {
    this.#closed = true;
    this.#watcher.close();
    this.processes.close();
  }

  /** Reads the table when the reading under way is done; of processes that have settled only what moves, unless `whole`. */
  #read(whole: boolean): Promise<TableEntry[]> {
    this.#underWay++;
    return this.#reading = this.#reading.catch(() => {}).then(async () => {
      const known = whole ? undefined : this.#watcher.known ?? undefined;
      try {
        const table = await this.processes.table(known, bootTimeNs() - youth(this.intervalMs));
        if (!this.#closed) this.#watcher.compare(table, bootTimeNs());
        return table;
      } finally {
        this.#underWay--;
        this.#due = performance.now() + this.intervalMs;
      }
    });
  }
}

/** Columns of `process_events` that nothing of this fills. `/proc` has no place for what a script was asked for by. */
const UNKNOWN_COLUMNS = [
  "exit_code",
  "exit_signal",
  "inode",
  "device",
  "cgroup_id",
  "interpreter_path",
  "script_path",
] as const;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

/** How long a process counts as young, in nanoseconds: two readings may still show it between fork and exec. */
function youth(intervalMs: number): number {
  return 2 * intervalMs * 1e6 + TICK_NS;
}
