/**
 * From records and snapshots of a source to the events of processes' lives.
 *
 * One `start` for each program that a process runs, one `stop` for each process, `modify` for what a snapshot shows
 * changed, `suspicious` for what cannot be or hides, a gap for what the source lost, the table forgot or the host's clock
 * did. It keeps a bounded table of the living, so that an end can say what ended and a child who its parent was. What
 * records change is in `records.ts`, what snapshots do in `snapshots.ts`, what the last run knew in `takeover.ts`.
 *
 * @module
 */

import type { Gap, ProcessEvent, ProcessState, Severity } from "../proto/process_event.ts";
import type { Names } from "./contexts.ts";
import { hostMounts } from "./event_maker.ts";
import type { HashBook } from "./hash_book.ts";
import { GapBook } from "./gap_book.ts";
import { HostWatch } from "./host_watch.ts";
import { type Clock, kernelClock } from "./kernel/clock.ts";
import { ENDED, type KnownTable, SUSPECTED } from "./known_table.ts";
import { PackageManagers } from "./package_managers.ts";
import { ProcessBook } from "./process_book.ts";
import { TABLE_LIMITS, type TableLimits } from "./process_table.ts";
import { FORK_PATIENCE_MS, Records } from "./records.ts";
import type { RedactionMode } from "./redaction_mode.ts";
import { type ChangeThresholds, NO_THRESHOLDS, Snapshots } from "./snapshots.ts";
import type { LossRecord, ProcessSource, SourceRecord, TableEntry } from "./sources/source.ts";
import { SUSPECTED as BITS } from "./suspicions.ts";
import { Takeover } from "./takeover.ts";
import type { TrackedProcess } from "./tracked_process.ts";
import { groupName, userName } from "./users.ts";

export { FORK_PATIENCE_MS };

export interface LifecycleOptions {
  readonly bootId: string;
  readonly source: Pick<ProcessSource, "description" | "look">;
  readonly names?: Names;
  readonly clock?: Clock;
  readonly limits?: TableLimits;
  /** How secrets are masked; without it they are, and all marks are alike. */
  readonly redaction?: RedactionMode;
  /** Nanoseconds since boot from which on the source sees; now by default. */
  readonly watchingSince?: number;
  readonly skipsKernelThreads?: boolean;
  readonly thresholds?: ChangeThresholds;
  readonly hashes?: HashBook | null;
  /** What is known of when package managers ran: the same that {@linkcode hashes} asks. */
  readonly managers?: PackageManagers;
  /** Which variables are captured always, not for rules alone; all by default. */
  readonly isKept?: (name: string) => boolean;
}

export interface Flushed {
  readonly events: ProcessEvent[];
  readonly gaps: Gap[];
  /** What the file of the last known table is to be told, which comes before the events are offered to anybody. */
  readonly known: ProcessState[];
}

export class Lifecycle {
  readonly #clock: Clock;
  readonly #book: ProcessBook;
  readonly #records: Records;
  readonly #snapshots: Snapshots;
  readonly #host: HostWatch;
  readonly #gaps = new GapBook();
  readonly #watchingSince: number;
  readonly #hashes: HashBook | null;
  #takeover: Takeover | null = null;
  #forgottenTold = 0;

  constructor(options: LifecycleOptions) {
    this.#clock = options.clock ?? kernelClock;
    this.#book = new ProcessBook({
      bootId: options.bootId,
      source: options.source,
      names: options.names ?? { userName, groupName },
      clock: this.#clock,
      limits: options.limits ?? TABLE_LIMITS,
      redaction: options.redaction ?? { kind: "unkeyed", reason: "none was given" },
      skipsKernelThreads: options.skipsKernelThreads ?? false,
      hashes: options.hashes ?? null,
      managers: options.managers ?? new PackageManagers(),
      isKept: options.isKept,
    });
    this.#hashes = options.hashes ?? null;
    this.#records = new Records(this.#book);
    this.#snapshots = new Snapshots(this.#book, options.thresholds ?? NO_THRESHOLDS);
    this.#host = new HostWatch(this.#clock);
    this.#watchingSince = options.watchingSince ?? this.#host.looked;
    this.#book.maker.begin(this.#host.offsetMs);
  }

  /** Living processes in the table. */
  get tracked(): number {
    return this.#book.table.size;
  }

  /** Living processes that were forgotten for want of room. */
  get forgotten(): number {
    return this.#book.table.forgotten;
  }

  /** Bytes of arguments, paths and circumstances in the table. */
  get retainedBytes(): number {
    return this.#book.table.bytes;
  }

  /** Suspicious executions that were so many of one program that they were only counted. */
  get repeated(): number {
    return this.#book.repeated;
  }

  /** Secrets masked since the start. */
  get masked(): number {
    return this.#book.redactor.masked;
  }

  /**
   * Takes over the first snapshot, which makes no events. `takenAt` is a time (nanoseconds since boot) at which it was
   * read whole; records of execs up to then tell of programs that the snapshot may show already.
   *
   * With the last run's table, if it is of this boot, processes that live on keep their names; what happened unwatched
   * is reported by {@linkcode settle}, which is then to be called when the source has been drained for the first time.
   */
  baseline(
    entries: readonly TableEntry[],
    takenAt: number = this.#clock.bootTimeNs(),
    last: KnownTable | null = null,
  ): ProcessState[] {
    const book = this.#book;
    this.#lookAtHost();
    const takeover = last?.bootTag === book.tag ? new Takeover(book, last, this.#watchingSince) : null;
    takeover?.addGone(entries);
    const added = this.#snapshots.add(entries, takenAt);
    takeover?.meet(added);
    for (const process of added) {
      book.adopt(process, process.ppid);
      book.forgetDemanded(process);
    }
    takeover?.restoreParents();
    book.maker.setHostMounts(hostMounts(book.table));
    const states = this.#snapshots.states(entries);
    for (const process of added) {
      book.suspectDisguise(process, takenAt);
      book.noteManager(process);
    }
    this.#takeover = takeover;
    return states;
  }

  /**
   * Reports what happened while no collector ran, before all other events, and returns the snapshot that
   * {@linkcode baseline} was given as it is known now. Does nothing the second time.
   */
  settle(entries: readonly TableEntry[]): ProcessState[] {
    this.#takeover?.report();
    this.#takeover = null;
    return this.#snapshots.states(entries);
  }

  /** Whether changes of memory and CPU time are told; they are, unless said otherwise. */
  set tellsUsage(tells: boolean) {
    this.#snapshots.tellsUsage = tells;
  }

  /** Takes one record; what follows from it waits for {@linkcode flush}. */
  receive(record: SourceRecord): void {
    switch (record.kind) {
      case "fork":
        return this.#records.fork(record);
      case "exec":
        return this.#records.exec(record);
      case "exit":
        return this.#records.exit(record);
      case "loss":
        this.#gaps.add(this.#book.maker.gap(record));
    }
  }

  /**
   * Compares the table with a snapshot and reports what no record told: starts, ends and changes, with the reason
   * `snapshot`. `takenAt` is the time (nanoseconds since boot) just before it was read, and every record from before it
   * must have been received: the source is to be drained after the snapshot and before this.
   */
  reconcile(entries: readonly TableEntry[], takenAt: number): ProcessState[] {
    this.#snapshots.reconcile(entries, takenAt);
    return this.#snapshots.states(entries);
  }

  /** Marks the process that had a pid at a time (nanoseconds since boot), for a reason that lies outside of it. */
  accuse(pid: number, time: number, severity: Severity, reason: string): void {
    this.#book.accuse(pid, time, severity, reason);
  }

  /** Takes a loss of another source than the one that records come from. */
  miss(source: string, record: LossRecord): void {
    this.#gaps.add({ ...this.#book.maker.gap(record), source });
  }

  /**
   * Hands out what came of the records so far. `nowMs` is the Unix time, which says which forks waited long enough. Gaps
   * of one cause come once a second at most; `isLast` has all come.
   */
  flush(nowMs: number, isLast = false): Flushed {
    const { maker } = this.#book;
    this.#lookAtHost();
    this.#records.reportForks((nowMs - FORK_PATIENCE_MS - maker.offsetMs) * 1e6);
    const { begun, ended } = this.#book.changes.take();
    // Ends first: their pids may be others' already.
    const known = ended.length + begun.length === 0
      ? NO_STATES
      : [...ended.map((process) => maker.known(process, ENDED)), ...begun.map((process) => this.#known(process))];
    const events = this.#book.takeEvents();
    // After the starts that they are about.
    const hashed = this.#hashes?.takeEvents() ?? [];
    return {
      events: hashed.length === 0 ? events : [...events, ...hashed],
      gaps: this.#gaps.take(this.#host.looked, isLast),
      known,
    };
  }

  /** Every living process that was reported, with its name. */
  *processes(): Iterable<TrackedProcess> {
    for (const process of this.#book.table.processes()) {
      if (process.reported === "no") continue;
      this.#book.name(process);
      yield process;
    }
  }

  /** Every living process that was reported, as the file of the last known table keeps it. */
  known(): ProcessState[] {
    const states: ProcessState[] = [];
    for (const process of this.#book.table.processes()) {
      if (process.reported === "no") continue;
      this.#book.name(process);
      process.isWritten = true;
      states.push(this.#known(process));
    }
    return states;
  }

  #known(process: TrackedProcess): ProcessState {
    return this.#book.maker.known(process, (process.suspected & BITS.disguise) !== 0 ? SUSPECTED : "");
  }

  #lookAtHost(): void {
    const from = this.#host.looked;
    for (const gap of this.#host.look()) this.#gaps.add(gap);
    this.#book.maker.begin(this.#host.offsetMs);
    const forgotten = this.#book.table.forgotten - this.#forgottenTold;
    if (forgotten === 0) return;
    this.#forgottenTold += forgotten;
    const reason = "the process table was full; of processes that it forgot, ends say little (max_tracked_processes)";
    const gap = this.#book.maker.gap({
      kind: "loss",
      recordKind: "all",
      from,
      to: this.#host.looked,
      count: forgotten,
      reason,
    });
    this.#gaps.add({ ...gap, source: "collector" });
  }
}

const NO_STATES: ProcessState[] = [];
