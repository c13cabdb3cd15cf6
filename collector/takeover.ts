/**
 * What happened while no collector ran: the last run's table, compared with the first snapshot of this one.
 *
 * A process that lives on keeps its name and its parent's, so that what its children are joined to does not change with
 * a restart. One that is gone has ended unwatched, at an unknown time before this run's source was opened; one that is
 * new has started unwatched; one that runs another file has replaced its program unwatched. These events wait until the
 * records of the source have been received: a source sees from its opening, and what a record told needs no guess.
 *
 * Of another boot nothing lives on, and nothing is compared: the gap before this run says it.
 *
 * @module
 */

import { execId, TICK_NS } from "../proto/identity.ts";
import type { ProcessState } from "../proto/process_event.ts";
import { type ExecName, readExecId } from "./exec_names.ts";
import { changesOf, type Ids } from "./images.ts";
import { type KnownTable, SUSPECTED } from "./known_table.ts";
import type { ProcessBook } from "./process_book.ts";
import type { TableEntry } from "./sources/source.ts";
import { SUSPECTED as BITS } from "./suspicions.ts";
import { Image, TrackedProcess } from "./tracked_process.ts";

/**
 * Before its last word by this time the last run had reported every process: a fork waits half a second for its program
 * and records wait some milliseconds. What is older and not in the table was forgotten for want of room.
 */
const REPORTED_AFTER_MS = 1_000;

interface Survivor {
  readonly process: TrackedProcess;
  readonly before: Image;
  readonly ids: Ids;
  /** Whether it runs another file than it did. */
  readonly isAnother: boolean;
}

export class Takeover {
  readonly #book: ProcessBook;
  readonly #last: KnownTable;
  /** Nanoseconds since boot from which on the source sees. */
  readonly #watchingSince: number;
  #living: ReadonlySet<number> = new Set();
  readonly #gone: TrackedProcess[] = [];
  /** Those whose pid another process has. */
  readonly #replaced: TrackedProcess[] = [];
  readonly #unwatched: TrackedProcess[] = [];
  /** Those that nobody has waited for and that the last run did not know as living. */
  readonly #dead = new Set<TrackedProcess>();
  readonly #survivors: Survivor[] = [];

  constructor(book: ProcessBook, last: KnownTable, watchingSince: number) {
    this.#book = book;
    this.#last = last;
    this.#watchingSince = watchingSince;
  }

  /** Adds the processes that the last run knew and that do not live in the snapshot, until a record tells their end. */
  addGone(entries: readonly TableEntry[]): void {
    this.#living = new Set(entries.filter(isAlive).map(({ pid }) => pid));
    for (const state of this.#last.processes.values()) {
      if (this.#living.has(state.pid)) continue;
      const process = knownProcess(state, this.#book.maker.offsetMs);
      this.#book.table.add(process);
      this.#gone.push(process);
    }
  }

  /** Compares the processes of the snapshot, which are in the book and have no names yet. */
  meet(processes: readonly TrackedProcess[]): void {
    for (const process of processes) {
      const state = this.#last.processes.get(process.pid);
      const name = state === undefined ? null : readExecId(state.execId);
      if (state === undefined || name === null) {
        this.#meetNew(process);
      } else if (name.startTicks === process.startTicks) this.#carry(process, state, name);
      else {
        // Its pid is another's: it ended before that one began.
        const old = knownProcess(state, this.#book.maker.offsetMs);
        this.#book.table.end(old, Math.min(this.#watchingSince, process.startTime));
        this.#replaced.push(old);
        this.#meetNew(process);
      }
    }
  }

  /** Gives back the parents that the last run knew, after each process was given the one that it has now. */
  restoreParents(): void {
    for (const { process } of this.#survivors) {
      const { parentExecId, ppid } = this.#last.processes.get(process.pid)!;
      if (parentExecId === null || parentExecId === process.parentExecId) continue;
      process.parentExecId = parentExecId;
      process.ppid = ppid;
      process.parentImage = null;
    }
  }

  /** Reports what no record told, before all that waits. Every record of the source must have been received. */
  report(): void {
    const book = this.#book, since = this.#watchingSince;
    const waiting = book.takeEvents();
    for (const process of this.#replaced) book.pushStop(process, process.endTime!, "ended unwatched", null);
    for (const process of this.#gone) {
      // Else a record told its end.
      if (book.table.get(process.pid) === process) book.lose(process, since, "ended unwatched");
    }
    for (const process of this.#unwatched) {
      // Else a record told its start. One that has ended may have been told whole by the last run, unless a record of
      // its end came to this one.
      const isToldWhole = this.#dead.has(process) && process.endTime === null;
      if (process.reported === "baseline" && !isToldWhole) {
        book.pushStart(process, process.startTime, "started unwatched", []);
      }
    }
    for (const process of this.#dead) if (process.endTime === null) book.table.end(process, since);
    for (const survivor of this.#survivors) this.#reportSurvivor(survivor);
    book.putBack([...book.takeEvents().sort((a, b) => a.time - b.time), ...waiting]);
  }

  #meetNew(process: TrackedProcess): void {
    if (!this.#living.has(process.pid)) this.#dead.add(process);
    if (process.startTime / 1e6 > this.#last.time - REPORTED_AFTER_MS) this.#unwatched.push(process);
  }

  #carry(process: TrackedProcess, state: ProcessState, name: ExecName): void {
    process.execId = state.execId;
    process.lastExecTicks = name.execTicks ?? 0;
    process.startMs = state.startTime;
    process.isCarried = true;
    if (state.status === SUSPECTED) process.suspected |= BITS.disguise;
    const { executablePath } = process.image;
    const isAnother = executablePath !== null && state.executablePath !== null &&
      executablePath !== state.executablePath;
    const ids = { userId: state.userId, effectiveUserId: null, groupId: null };
    this.#survivors.push({ process, before: imageOf(state), ids, isAnother });
  }

  #reportSurvivor({ process, before, ids, isAnother }: Survivor): void {
    const book = this.#book;
    // A record told of its program or its end.
    if (!process.imageFromTable || book.table.get(process.pid) !== process) return;
    const changed = changesOf(ids, before, process.image, process).filter((column) => column !== "on_disk_mismatch");
    if (isAnother) {
      process.lastExecTicks = Math.max(Math.floor(this.#watchingSince / TICK_NS), process.lastExecTicks + 1);
      process.execId = execId(book.tag, process.pid, process.startTicks, process.lastExecTicks);
      book.pushStart(process, this.#watchingSince, "exec unwatched", changed);
    } else if (changed.length > 0 && !process.kernelThread) {
      book.pushModify(process, this.#watchingSince, "changed unwatched", changed, process);
    }
  }
}

/** A process of which a first thread that has ended is shown lives as long as its other threads. */
function isAlive({ status, threads }: TableEntry): boolean {
  return (status !== "zombie" && status !== "dead") || (threads ?? 1) > 1;
}

function imageOf(state: ProcessState): Image {
  return new Image(state.name, state.executablePath, null, null, null, null, null);
}

/** A process as the last run knew it. */
function knownProcess(state: ProcessState, offsetMs: number): TrackedProcess {
  const name = readExecId(state.execId)!;
  const startTime = name.startTicks * TICK_NS;
  const process = new TrackedProcess(
    state.pid,
    startTime,
    state.startTime === null ? "unknown" : "exact",
    imageOf(state),
  );
  process.execId = state.execId;
  process.startMs = state.startTime ?? Math.floor(offsetMs + startTime / 1e6);
  process.lastExecTicks = name.execTicks ?? 0;
  process.ppid = state.ppid;
  process.parentExecId = state.parentExecId;
  process.userId = state.userId;
  process.kernelThread = state.kernelThread;
  process.reported = "event";
  process.isWritten = true;
  return process;
}
