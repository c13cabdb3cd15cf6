/**
 * What readings of the whole process table change in the book of processes: the first one, and those that find what no
 * record told.
 *
 * @module
 */

import type { ProcessState } from "../proto/process_event.ts";
import { contextChanges } from "./contexts.ts";
import { changesOf } from "./images.ts";
import type { ProcessBook } from "./process_book.ts";
import type { TableEntry } from "./sources/source.ts";
import { TrackedProcess } from "./tracked_process.ts";

/** By how many percent a number must have changed to be told; 0: it never is. */
export interface ChangeThresholds {
  readonly memoryPercent: number;
  readonly cpuPercent: number;
}

export const NO_THRESHOLDS: ChangeThresholds = { memoryPercent: 0, cpuPercent: 0 };

export class Snapshots {
  readonly #book: ProcessBook;
  readonly #thresholds: ChangeThresholds;
  /** Whether changes of memory and CPU time are told; without it they are told later, as one. */
  tellsUsage = true;
  #count = 0;
  /** Nanoseconds since boot of the snapshot before. */
  #before = 0;
  /** Nanoseconds since boot by when the snapshot was read whole. */
  #readAt = 0;

  constructor(book: ProcessBook, thresholds: ChangeThresholds) {
    this.#book = book;
    this.#thresholds = thresholds;
  }

  /** Adds the processes of the first snapshot, parents before children. Returns them. */
  add(entries: readonly TableEntry[], takenAt: number): TrackedProcess[] {
    const { table } = this.#book;
    this.#before = takenAt;
    this.#readAt = this.#book.now;
    return entries.filter((entry) => table.get(entry.pid) === undefined).sort(byStart)
      .map((entry) => this.#addEntry(entry, takenAt, "baseline"));
  }

  /** See `Lifecycle.reconcile()`. */
  reconcile(entries: readonly TableEntry[], takenAt: number): void {
    const book = this.#book, snapshot = ++this.#count;
    this.#readAt = book.now;
    const added: TrackedProcess[] = [];
    for (const entry of [...entries].sort(byStart)) {
      const process = this.#matching(entry, takenAt);
      if (process === null) {
        if (this.#isUnseen(entry, takenAt) && !this.#wasForgotten(entry)) {
          added.push(this.#addEntry(entry, takenAt, "event"));
        }
      } else if (process.imageSince <= takenAt) this.#compare(process, entry, takenAt);
    }
    for (const process of added) {
      book.adopt(process, process.ppid);
      book.pushStart(process, takenAt, "snapshot", []);
      const unknown = { before: null, setsUserId: null, stdinFamily: null, deletedBy: null };
      book.suspectExecution({ process, ...unknown, isLate: true }, takenAt);
    }
    for (const entry of entries) {
      const process = book.table.get(entry.pid);
      if (process !== undefined) process.seenIn = snapshot;
    }
    for (const process of [...book.table.processes()]) {
      if (process.seenIn === snapshot || process.startTime > takenAt) continue;
      if (book.table.get(process.pid) === process) book.lose(process, takenAt, "snapshot");
    }
    this.#before = takenAt;
  }

  /** The living processes of a snapshot as the store keeps them. */
  states(entries: readonly TableEntry[]): ProcessState[] {
    const book = this.#book;
    const states: ProcessState[] = [];
    for (const entry of entries) {
      const process = book.table.get(entry.pid);
      if (process === undefined || process.relate(entry.startTime) !== "same" || book.isLeftOut(process)) continue;
      book.name(process);
      states.push(book.maker.state(process, entry));
    }
    return states;
  }

  #addEntry(entry: TableEntry, takenAt: number, reported: "event" | "baseline"): TrackedProcess {
    const book = this.#book;
    const process = new TrackedProcess(entry.pid, entry.startTime, "exact", book.redactor.imageOfEntry(entry));
    book.takeFacts(process, entry);
    process.idsUntil = this.#readAt;
    process.reported = reported;
    process.imageSince = takenAt;
    process.imageFromTable = true;
    process.cpuTime = entry.cpuTime;
    process.memoryUsage = entry.memoryUsage;
    book.table.add(process);
    return process;
  }

  /** The living process that an entry of a snapshot shows; null when it is none of the table. */
  #matching(entry: TableEntry, takenAt: number): TrackedProcess | null {
    const process = this.#book.table.get(entry.pid);
    if (process === undefined) return null;
    const relation = process.relate(entry.startTime);
    if (relation === "same") {
      process.correctStart(entry.startTime);
      return process;
    }
    if (relation === "younger" && process.startTime <= takenAt) {
      this.#book.lose(process, entry.startTime, "pid reused");
    }
    return null;
  }

  /** Whether an entry that matches no living process is one that no record told of. */
  #isUnseen(entry: TableEntry, takenAt: number): boolean {
    if (entry.startTime > takenAt) return false; // its records may still come, or have come and it has ended
    if (entry.status === "zombie" || entry.status === "dead") return false; // it has ended, and that was reported
    if (this.#book.table.get(entry.pid) !== undefined) return false; // the pid is a younger process' already
    const ended = this.#book.table.ended(entry.pid);
    return ended === undefined || ended.relate(entry.startTime) === "younger";
  }

  /**
   * Whether an unseen process is one that the table forgot for want of room: it was there in the snapshot before, so it
   * was reported. With each snapshot anew it would fill the stream with starts and push others out.
   */
  #wasForgotten(entry: TableEntry): boolean {
    return this.#book.table.forgotten > 0 && entry.startTime <= this.#before;
  }

  /** Reports what a snapshot shows changed in a process. */
  #compare(process: TrackedProcess, entry: TableEntry, takenAt: number): void {
    const book = this.#book;
    const before = process.image, contextBefore = process.context;
    const after = book.redactor.update(before, entry);
    const context = book.contexts.update(contextBefore, entry.context, process, entry);
    const changed = [...changesOf(process, before, after, entry), ...contextChanges(contextBefore, context)];
    process.context = context;
    process.namespacePid = entry.namespacePid ?? process.namespacePid;
    process.idsUntil = this.#readAt;
    process.userId = entry.userId ?? process.userId;
    process.effectiveUserId = entry.effectiveUserId ?? process.effectiveUserId;
    process.groupId = entry.groupId ?? process.groupId;
    if (after !== before) book.table.replaceImage(process, after);
    else if (context !== contextBefore) book.table.weigh(process);
    changed.push(...this.#usageChanges(process, entry));
    // A fork that waits to be reported will be with what it is then; a worker of the kernel changes its name all day.
    if (process.reported === "no" || process.kernelThread) return;
    if (changed.length > 0) book.pushModify(process, takenAt, "snapshot", changed, entry);
    if (after !== before) book.suspectDisguise(process, takenAt);
  }

  /** What grew or shrank beyond its threshold since it was last told, so that no slow growth escapes. */
  #usageChanges(process: TrackedProcess, entry: TableEntry): string[] {
    const { memoryPercent, cpuPercent } = this.#thresholds;
    const changed: string[] = [];
    if (!this.tellsUsage) return changed;
    if (exceeds(process.memoryUsage, entry.memoryUsage, memoryPercent)) changed.push("memory_usage");
    if (exceeds(process.cpuTime, entry.cpuTime, cpuPercent)) changed.push("cpu_time_ms");
    if (process.memoryUsage === null || changed.includes("memory_usage")) process.memoryUsage = entry.memoryUsage;
    if (process.cpuTime === null || changed.includes("cpu_time_ms")) process.cpuTime = entry.cpuTime;
    return changed;
  }
}

function exceeds(before: number | null, now: number | null, percent: number): boolean {
  if (percent === 0 || before === null || now === null) return false;
  if (before === 0) return now > 0;
  return Math.abs(now - before) / before * 100 > percent;
}

function byStart(a: TableEntry, b: TableEntry): number {
  return a.startTime - b.startTime || a.pid - b.pid;
}
