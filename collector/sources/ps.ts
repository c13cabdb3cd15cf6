/**
 * The last rung of the source ladder: the process table as `ps` prints it, run at an interval, and its differences.
 *
 * For hosts with none of the others. Needs the right to run `ps` and nothing else of the kernel. `ps` runs beside the
 * collector, so a reading is never waited for by {@linkcode ProcessSource.drain}; a reading that fails becomes a loss of
 * unknown number, and until one succeeds again the description says so.
 *
 * `ps` tells starts to the second, and on Linux works them out anew each time from two clocks, so that they waver by a
 * second: a pid whose start is within two seconds of the one before is the same process, and keeps its first start.
 *
 * @module
 */
import { TICK_NS } from "../../proto/identity.ts";
import { type Clock, kernelClock } from "../kernel/clock.ts";
import { grantedPs, PsCommand, type PsOutput } from "./ps_command.ts";
import { parsePsTable, PS_ARGUMENTS, PS_ENVIRONMENT, type PsRow } from "./ps_table.ts";
import {
  NOTHING_KNOWN,
  type ProcessSource,
  type SourceCounters,
  type SourceDescription,
  type SourceRecord,
  type TableEntry,
} from "./source.ts";
import { TableWatcher } from "./table_watcher.ts";
import { SourceUnavailableError } from "./unavailable.ts";

/** Two readings of one start differ by less. */
const SAME_START_NS = 2e9;
/** `ps` may take one part in so many of a processor: after a long reading the next waits longer. */
const REST = 4;
/** Longest pause between readings that fail. */
const MAX_RETRY_MS = 60_000;

export interface PsOptions {
  /** Least time between two readings. */
  readonly intervalMs: number;
  /** What is run; the `ps` that this process may run, unless a test says otherwise. */
  readonly command?: { run(): Promise<PsOutput>; close(): void };
  /** The process that must be in every table. */
  readonly self?: number;
  readonly clock?: Clock;
}

/** @throws {SourceUnavailableError} when this process may not run `ps`. Whether it works shows with the first snapshot. */
export function openPsSource(options: PsOptions): ProcessSource {
  if (options.command !== undefined) return new PsSource(options, options.command);
  const path = grantedPs();
  if (path === null) {
    throw new SourceUnavailableError(
      "ps",
      "this program was not granted to run ps; deno task start grants it when collector.source is ps, " +
        "and installed programs are built without it",
    );
  }
  return new PsSource(options, new PsCommand({ path, args: PS_ARGUMENTS, env: PS_ENVIRONMENT }));
}

class PsSource implements ProcessSource {
  readonly #intervalMs: number;
  readonly #command: NonNullable<PsOptions["command"]>;
  readonly #self: number;
  readonly #clock: Clock;
  readonly #watcher: TableWatcher;
  #starts: ReadonlyMap<number, Start> = new Map();
  /** The reading that runs now or ran last; the next begins when it has ended. */
  #last: Promise<unknown> = Promise.resolve();
  #underWay = 0;
  #due = 0;
  #isClosed = false;
  /** Why readings fail, `null` while they succeed. */
  #fault: string | null = null;
  #failures = 0;
  #failuresInRow = 0;
  #damaged = 0;
  /** Until when all is known, in nanoseconds since boot. */
  #knownUntil: number;

  constructor(options: PsOptions, command: NonNullable<PsOptions["command"]>) {
    this.#intervalMs = options.intervalMs;
    this.#command = command;
    this.#self = options.self ?? Deno.pid;
    this.#clock = options.clock ?? kernelClock;
    this.#watcher = new TableWatcher(2 * options.intervalMs * 1e6 + SAME_START_NS);
    this.#knownUntil = this.#clock.bootTimeNs();
  }

  get description(): SourceDescription {
    const intervalMs = this.#intervalMs;
    return {
      name: "ps",
      sees: `the process table as ps prints it, read every ${intervalMs} ms`,
      misses: [
        ...(this.#fault === null ? [] : [`nothing new is seen now: ${this.#fault}`]),
        `processes that live shorter than ${intervalMs} ms are mostly not seen, and nothing counts them; ` +
        `while ps takes longer than ${intervalMs / REST} ms, readings are ${REST} times as far apart as it takes`,
        "exit codes, signals and the exact time of an end are unknown, and starts are known to the second",
        "arguments are not told apart: all of them are one, without what is not ASCII, which ps replaces or escapes",
        "executables are unknown, so a program that replaces another of the same name is seen as a change only",
        "a process that begins within two seconds after another of its pid is taken for that one",
        "directories, namespaces, control groups and containers, capabilities and standard streams are unknown",
      ],
      unknownColumns: UNKNOWN_COLUMNS,
    };
  }

  snapshot(): Promise<TableEntry[]> {
    return this.#read();
  }

  look(pid: number): TableEntry | null {
    return this.#watcher.known?.get(pid) ?? null;
  }

  drain(receive: (record: SourceRecord) => void): number {
    if (this.#underWay === 0 && performance.now() >= this.#due) {
      this.#read().catch(() => {}); // what it failed of is kept in #fault
    }
    return this.#watcher.drain(receive);
  }

  async wait(timeoutMs: number): Promise<void> {
    if (this.#watcher.waiting > 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ms = this.#underWay > 0 ? timeoutMs : Math.max(0, Math.min(timeoutMs, this.#due - performance.now()));
    const waited = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await (this.#underWay > 0 ? Promise.race([waited, this.#last]) : waited);
    clearTimeout(timer);
  }

  counters(): SourceCounters {
    const { received, damaged } = this.#watcher;
    return {
      received,
      lost: { exec: 0, fork: 0, exit: 0 },
      overruns: this.#failures,
      damaged: damaged + this.#damaged,
    };
  }

  close(): void {
    this.#isClosed = true;
    this.#due = Infinity;
    this.#watcher.close();
    this.#command.close();
  }

  /** Reads the table after the readings before it, so that it shows what is there now. */
  #read(): Promise<TableEntry[]> {
    this.#underWay++;
    const reading = this.#last.then(() => this.#readNow()).finally(() => this.#underWay--);
    this.#last = reading.catch(() => {});
    return reading;
  }

  async #readNow(): Promise<TableEntry[]> {
    const begin = performance.now(), from = this.#clock.bootTimeNs();
    try {
      if (this.#isClosed) throw new Error("the source is closed");
      const { pid, bytes } = await this.#command.run();
      if (this.#isClosed) throw new Error("the source was closed");
      const { rows, damaged, doubtful } = parsePsTable(bytes, this.#self, Deno.build.os);
      this.#damaged += damaged;
      // The ps that made the table would be a process that begins and ends with every reading.
      const entries = this.#entries(rows.filter((row) => row.pid !== pid));
      for (const uncertain of doubtful) {
        const known = this.look(uncertain);
        if (known !== null) entries.push(known);
      }
      this.#succeeded(from);
      this.#watcher.compare(entries, this.#clock.bootTimeNs());
      return entries;
    } catch (error) {
      this.#failed(error instanceof Error ? error.message : String(error));
      throw error;
    } finally {
      const took = performance.now() - begin;
      const retryMs = Math.min(MAX_RETRY_MS, this.#intervalMs * 2 ** Math.min(this.#failuresInRow, 16));
      const pause = Math.max(this.#intervalMs, REST * took, this.#failuresInRow > 0 ? retryMs : 0);
      if (!this.#isClosed) this.#due = performance.now() + pause;
    }
  }

  #succeeded(from: number): void {
    if (this.#failuresInRow > 1) this.#lose(from); // what came after the first failure
    this.#failuresInRow = 0;
    this.#fault = null;
    this.#knownUntil = from;
  }

  #failed(reason: string): void {
    if (this.#isClosed) return;
    this.#fault = reason;
    this.#failures++;
    // Two losses for each time in which readings fail: when it begins, and when it has ended.
    if (++this.#failuresInRow === 1) this.#lose(this.#clock.bootTimeNs());
  }

  #lose(to: number): void {
    const reason = `the process table could not be read: ${this.#fault}`;
    this.#watcher.push({ kind: "loss", recordKind: "all", from: this.#knownUntil, to, count: null, reason });
    this.#knownUntil = to;
  }

  #entries(rows: readonly PsRow[]): TableEntry[] {
    const now = this.#clock.bootTimeNs(), bootMs = this.#clock.bootOffsetMs();
    const starts = new Map<number, Start>(), fresh: PsRow[] = [];
    for (const row of rows) {
      const time = Math.max(0, Math.min(now, (row.startedAt * 1000 - bootMs) * 1e6));
      const before = this.#starts.get(row.pid);
      if (before !== undefined && isSameStart(before, time, row.startedAt)) starts.set(row.pid, before);
      else {
        starts.set(row.pid, { time: time - time % TICK_NS, startedAt: row.startedAt });
        fresh.push(row);
      }
    }
    // A child may seem to have begun before its parent, when its start wavered and its parent's was kept.
    fresh.sort((a, b) => a.startedAt - b.startedAt || a.pid - b.pid);
    for (const { pid, ppid, startedAt } of fresh) {
      const parent = starts.get(ppid), own = starts.get(pid)!;
      if (parent !== undefined && parent.time > own.time && parent.time - own.time < SAME_START_NS) {
        starts.set(pid, { time: parent.time, startedAt });
      }
    }
    this.#starts = starts;
    return rows.map((row) => entryOf(row, starts.get(row.pid)!.time));
  }
}

interface Start {
  /** Nanoseconds since boot, in whole ticks. */
  readonly time: number;
  /** As `ps` showed it first, in Unix seconds. */
  readonly startedAt: number;
}

/** By the time since boot, which stays when the clock is set, or by the clock's, where the kernel remembers that. */
function isSameStart(before: Start, time: number, startedAt: number): boolean {
  return Math.abs(time - before.time) < SAME_START_NS || Math.abs(startedAt - before.startedAt) * 1e9 < SAME_START_NS;
}

function entryOf(row: PsRow, startTime: number): TableEntry {
  return {
    pid: row.pid,
    ppid: row.ppid,
    startTime,
    name: row.name,
    executablePath: null,
    argv: row.argv,
    argvLength: null,
    userId: row.userId,
    groupId: row.groupId,
    effectiveUserId: row.effectiveUserId,
    cpuTime: row.cpuTime,
    memoryUsage: row.memoryUsage,
    threads: null,
    namespacePid: null,
    context: row.kernelThread ? null : { ...NOTHING_KNOWN, tty: row.tty },
    status: row.status,
    kernelThread: row.kernelThread,
  };
}

/** Columns of `process_events` that stay NULL on this rung. */
const UNKNOWN_COLUMNS: readonly string[] = [
  "executable_path",
  "argv_length",
  "namespace_pid",
  "exit_code",
  "exit_signal",
  "executable_hash",
  "hash_algorithm",
  "fuzzy_hash",
  "file_exists",
  "on_disk_mismatch",
  "parent_executable_path",
  "executable_kind",
  "inode",
  "device",
  "cwd",
  "saved_user_id",
  "effective_group_id",
  "saved_group_id",
  "login_user_id",
  "session_id",
  "effective_capabilities",
  "user_namespace",
  "pid_namespace",
  "mount_namespace",
  "network_namespace",
  "cgroup_path",
  "cgroup_id",
  "container_id",
  "container_runtime",
  "pod_id",
  "interpreter_path",
  "script_path",
  "stdin_kind",
  "stdout_kind",
  "environment",
];
