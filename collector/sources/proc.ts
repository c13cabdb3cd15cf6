/**
 * The last rung of the source ladder: the process table read from `/proc` at an interval, and its differences.
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
import { bootTimeNs } from "../kernel/libc.ts";
import { ProcfsReader } from "../kernel/procfs_reader.ts";
import type {
  ExecRecord,
  ProcessSource,
  SourceCounters,
  SourceDescription,
  SourceRecord,
  TableEntry,
} from "./source.ts";
import { SourceUnavailableError } from "./unavailable.ts";

export interface ProcOptions {
  /** Time between two readings. */
  readonly intervalMs: number;
  /** Names of the environment variables to capture: see `EnvironmentFilter`. */
  readonly environment?: readonly string[];
  /** How the table is read; `/proc` unless a test says otherwise. */
  readonly processes?: TableReader;
}

export type TableReader = Pick<ProcfsReader, "table" | "look" | "misses" | "close">;

/** @throws {SourceUnavailableError} when `/proc` shows no process, not even this one. */
export function openProcSource(options: ProcOptions): ProcessSource {
  const processes = options.processes ?? new ProcfsReader({ environment: options.environment ?? [] });
  try {
    if (processes.look(Deno.pid) !== null) return new ProcSource(options.intervalMs, processes);
  } catch (error) {
    throw new SourceUnavailableError("proc", error instanceof Error ? error.message : String(error), { cause: error });
  }
  throw new SourceUnavailableError("proc", "/proc does not even show this process; mount it");
}

class ProcSource implements ProcessSource {
  #known: Map<number, TableEntry> | null = null;
  #pending: SourceRecord[] = [];
  #due = 0;
  /** The last of the readings that were asked for, and how many are not done yet. */
  #reading: Promise<TableEntry[]> = Promise.resolve([]);
  #underWay = 0;
  /** Why the last reading failed; for the next drain to throw. */
  #fault: { readonly error: unknown } | null = null;
  readonly #received = { exec: 0, fork: 0, exit: 0 };
  #damaged = 0;
  #closed = false;

  constructor(private readonly intervalMs: number, private readonly processes: TableReader) {}

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
        "executable, directory, namespaces, streams and environment of other users' processes are unknown unless the " +
        "collector may read them",
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
    let fault = this.#fault;
    this.#fault = null;
    const records = this.#pending;
    this.#pending = [];
    for (const record of records) {
      try {
        receive(record);
      } catch (error) {
        fault ??= { error };
      }
    }
    if (fault !== null) throw fault.error;
    return records.length;
  }

  async wait(timeoutMs: number): Promise<void> {
    if (this.#pending.length > 0 || this.#fault !== null || this.#closed) return;
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
    return { received: this.#received, lost: { exec: 0, fork: 0, exit: 0 }, overruns: 0, damaged: this.#damaged };
  }

  close(): void {
    this.#closed = true;
    this.#pending = [];
    this.processes.close();
  }

  /** Reads the table when the reading under way is done; of processes that have settled only what moves, unless `whole`. */
  #read(whole: boolean): Promise<TableEntry[]> {
    this.#underWay++;
    return this.#reading = this.#reading.catch(() => {}).then(async () => {
      const known = whole ? undefined : this.#known ?? undefined;
      try {
        const table = await this.processes.table(known, bootTimeNs() - youth(this.intervalMs));
        if (!this.#closed) this.#compare(table);
        return table;
      } finally {
        this.#underWay--;
        this.#due = performance.now() + this.intervalMs;
      }
    });
  }

  #compare(table: readonly TableEntry[]): void {
    const known = this.#known, now = bootTimeNs();
    const next = new Map<number, TableEntry>();
    for (const entry of table) {
      next.set(entry.pid, entry);
      if (known === null) continue; // the first reading is the baseline
      const before = known.get(entry.pid);
      if (before === undefined || before.startTime !== entry.startTime) {
        if (before !== undefined) this.#ended(before, entry.startTime);
        this.#began(entry, entry.startTime);
      } else if (runsAnother(before, entry, this.intervalMs)) this.#began(entry, now);
    }
    if (known !== null) { for (const entry of known.values()) if (!next.has(entry.pid)) this.#ended(entry, now); }
    this.#known = next;
  }

  #began(entry: TableEntry, time: number): void {
    if (entry.status === "zombie" || entry.status === "dead") return; // its program and arguments are gone already
    this.#received.exec++;
    if (entry.argv === null && !entry.kernelThread) this.#damaged++;
    const record: ExecRecord = {
      kind: "exec",
      time,
      pid: entry.pid,
      ppid: entry.ppid,
      startTime: entry.startTime,
      userId: entry.userId,
      groupId: entry.groupId,
      effectiveUserId: entry.effectiveUserId,
      name: entry.name,
      executablePath: entry.executablePath,
      argv: entry.argv,
      argvLength: entry.argvLength,
      inode: null,
      device: null,
      namespacePid: entry.namespacePid,
      context: entry.context,
    };
    this.#pending.push(record);
  }

  #ended(entry: TableEntry, time: number): void {
    this.#received.exit++;
    const { pid, startTime, cpuTime } = entry;
    this.#pending.push({ kind: "exit", time, pid, startTime, exitStatus: null, cpuTime });
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

/**
 * Whether a process runs another program than before. Arguments alone may also have been rewritten by the process; in
 * its first moments, between fork and exec, they are taken as a new program's, and later the lifecycle reports a change.
 */
function runsAnother(before: TableEntry, after: TableEntry, intervalMs: number): boolean {
  if (after.kernelThread || after.status === "zombie") return false;
  if (
    after.executablePath !== null && before.executablePath !== null && after.executablePath !== before.executablePath
  ) {
    return true;
  }
  const isYoung = bootTimeNs() - after.startTime < youth(intervalMs);
  return isYoung && after.argv !== null && before.argv !== null && !sameBytes(after.argv, before.argv);
}

/** How long a process counts as young, in nanoseconds: two readings may still show it between fork and exec. */
function youth(intervalMs: number): number {
  return 2 * intervalMs * 1e6 + TICK_NS;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
