/**
 * The last rung of the source ladder: the process table read from `/proc` at an interval, and its differences.
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
  #known: Map<number, TableEntry> | null = null;
  #pending: SourceRecord[] = [];
  #due = 0;
  readonly #received = { exec: 0, fork: 0, exit: 0 };
  #damaged = 0;

  constructor(private readonly intervalMs: number, private readonly read: typeof readProcessTable) {
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
    if (performance.now() >= this.#due) this.#read(this.#known ?? undefined);
    const records = this.#pending;
    this.#pending = [];
    let fault: { error: unknown } | null = null;
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

  wait(timeoutMs: number): Promise<void> {
    if (this.#pending.length > 0) return Promise.resolve();
    const ms = Math.max(0, Math.min(timeoutMs, this.#due - performance.now()));
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  counters(): SourceCounters {
    return { received: this.#received, lost: { exec: 0, fork: 0, exit: 0 }, overruns: 0, damaged: this.#damaged };
  }

  close(): void {
    this.#pending = [];
    this.#due = Infinity;
  }

  /** Reads the table, of processes that are known and have settled only what moves. */
  #read(known: ReadonlyMap<number, TableEntry> | undefined): TableEntry[] {
    const table = this.read(known, bootTimeNs() - youth(this.intervalMs));
    this.#due = performance.now() + this.intervalMs;
    this.#compare(table);
    return table;
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
      namespacePid: null,
      context: null,
    };
    this.#pending.push(record);
  }

  #ended(entry: TableEntry, time: number): void {
    this.#received.exit++;
    const { pid, startTime, cpuTime } = entry;
    this.#pending.push({ kind: "exit", time, pid, startTime, exitStatus: null, cpuTime });
  }
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
