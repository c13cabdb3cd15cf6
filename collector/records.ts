/**
 * What the records of a source change in the book of processes.
 *
 * Records are trusted in shape only. They may come late, twice, or never: a record of a process that has ended changes
 * nothing, an end without a begin is reported with what is known, a pid with a new start tick is a new process.
 *
 * How a fork becomes a start: with its `execve`, which is nearly always near; a process that ends or lives
 * {@linkcode FORK_PATIENCE_MS} without one is reported with its parent's program and the reason `fork`. The parent of a
 * process is the one that made it, where the source saw that, also after that one has ended and the kernel has given the
 * process another.
 *
 * @module
 */

import { execId, TICK_NS } from "../proto/identity.ts";
import { type Rights, rightsOf } from "./executions.ts";
import { changesOf } from "./images.ts";
import { type ProcessBook, takeIds } from "./process_book.ts";
import type { ExecRecord, ExitRecord, ForkRecord } from "./sources/source.ts";
import { SAME_START_NS, TrackedProcess, UNKNOWN_IMAGE } from "./tracked_process.ts";

/** How long a new process may take to its `execve` before it is reported as a fork. */
export const FORK_PATIENCE_MS = 500;

export class Records {
  readonly #book: ProcessBook;
  /** Processes that were forked and not yet reported, oldest first; those reported meanwhile are skipped. */
  #forked: TrackedProcess[] = [];

  constructor(book: ProcessBook) {
    this.#book = book;
  }

  fork(record: ForkRecord): void {
    const book = this.#book, { pid, time } = record;
    const startTime = record.startTime ?? time;
    const live = book.table.get(pid);
    if (live !== undefined) {
      const relation = live.relate(startTime);
      if (relation === "same" || record.startTime === null && isNear(live, time)) {
        // Its exec or a snapshot was here first; only its parent may be news.
        if (live.parentExecId === null) book.adopt(live, record.ppid);
        return;
      }
      if (relation === "older") return;
      book.lose(live, startTime, "pid reused");
    }
    if (book.hasEnded(pid, record.startTime, time)) return;
    const process = new TrackedProcess(pid, startTime, record.startTime === null ? "near" : "exact", UNKNOWN_IMAGE);
    process.imageSince = time;
    process.namespacePid = record.namespacePid;
    book.table.add(process);
    const parent = book.adopt(process, record.ppid);
    if (parent !== null) {
      takeIds(process, parent);
      if (time <= parent.idsUntil) process.idsUntil = Infinity;
      process.context = book.contexts.ofChild(parent.context, record.pidNamespace);
      process.kernelThread = parent.kernelThread;
      book.table.replaceImage(process, parent.image);
    }
    this.#forked.push(process);
  }

  exec(record: ExecRecord): void {
    const book = this.#book, { pid, time } = record;
    const startTime = record.startTime ?? time;
    let process = book.table.get(pid);
    if (process !== undefined && record.startTime !== null) {
      const relation = process.relate(record.startTime);
      if (relation === "older") return this.#lateExec(record);
      if (relation === "same") process.correctStart(record.startTime);
      else {
        book.lose(process, startTime, "pid reused");
        process = undefined;
      }
    }
    if (process === undefined) {
      if (book.hasEnded(pid, record.startTime, time)) return this.#lateExec(record);
      process = new TrackedProcess(pid, startTime, record.startTime === null ? "unknown" : "exact", UNKNOWN_IMAGE);
      book.table.add(process);
      book.adopt(process, record.ppid);
    } else if (time < process.imageSince && process.reported === "event") {
      // Overtaken: by a snapshot, that has reported it, or by the exec after it.
      return process.imageFromTable ? undefined : this.#lateExec(record);
    }
    const image = book.redactor.imageOfExec(record);
    const isFirst = process.reported === "no";
    const isInBaseline = process.reported === "baseline" && time <= process.imageSince;
    const changed = isFirst ? [] : changesOf(process, process.image, image, record);
    const before = time > process.idsUntil ? rightsOf(process) : null;
    process.idsUntil = 0;
    process.image = image;
    takeIds(process, record);
    process.context = book.contexts.of(record.context, record);
    process.namespacePid = record.namespacePid ?? process.namespacePid;
    process.kernelThread = false;
    process.imageSince = time;
    process.imageFromTable = false;
    // A name from the last run is that of the execution before.
    if (!isFirst && (!isInBaseline || process.isCarried)) {
      process.lastExecTicks = Math.max(Math.floor(time / TICK_NS), process.lastExecTicks + 1);
      process.execId = execId(book.tag, pid, process.startTicks, process.lastExecTicks);
    }
    const isNew = isFirst || (isInBaseline && time - process.startTime < FORK_PATIENCE_MS * 1e6);
    book.pushStart(process, time, isNew ? null : "exec", changed);
    this.#suspect(process, record, before);
    // After the event, which has all of it: the table may keep less.
    book.table.weigh(process);
  }

  exit(record: ExitRecord): void {
    const book = this.#book, { pid, time, startTime } = record;
    const live = book.table.get(pid);
    if (live !== undefined) {
      const relation = startTime !== null ? live.relate(startTime) : live.startTime <= time ? "same" : "older";
      if (relation === "same") return this.#stop(live, record);
      if (relation === "younger") book.lose(live, startTime!, "pid reused");
    }
    if (!book.hasEnded(pid, startTime, time)) this.#stopUnseen(record);
  }

  /** Reports the processes that were forked before `due` and run their parent's program still. */
  reportForks(due: number): void {
    let next = 0;
    for (; next < this.#forked.length; next++) {
      const process = this.#forked[next]!;
      if (process.reported !== "no" || process.endTime !== null) continue;
      if (process.imageSince > due) break;
      if (process.image === UNKNOWN_IMAGE || process.start !== "exact") this.#book.learn(process);
      this.#book.pushStart(process, process.startTime, "fork", []);
    }
    if (next > 0) this.#forked = this.#forked.slice(next);
  }

  /** An exec that comes after the end of its process or after the next exec: still a start, but of nothing that is. */
  #lateExec(record: ExecRecord): void {
    const book = this.#book;
    const image = book.redactor.imageOfExec(record);
    const startTime = record.startTime ?? record.time;
    const process = new TrackedProcess(record.pid, startTime, record.startTime === null ? "unknown" : "exact", image);
    process.endTime = record.time;
    book.adopt(process, record.ppid);
    takeIds(process, record);
    process.context = book.contexts.of(record.context, record);
    process.namespacePid = record.namespacePid;
    book.pushStart(process, record.time, "late", []);
    this.#suspect(process, record, null);
  }

  #suspect(process: TrackedProcess, record: ExecRecord, before: Rights | null): void {
    const { image } = process;
    this.#book.suspectExecution({
      process,
      before,
      setsUserId: record.setsUserId ?? null,
      stdinFamily: record.context?.stdinFamily ?? null,
      deletedBy: image.onDiskMismatch === true ? this.#book.managers.during(image.changeTime) : null,
      isLate: false,
    }, record.time);
  }

  #stop(process: TrackedProcess, record: ExitRecord): void {
    const book = this.#book;
    if (process.reported === "no") book.pushStart(process, process.startTime, "fork", []);
    book.pushStop(process, record.time, null, record);
    book.table.end(process, record.time);
  }

  /** The end of a process that nobody saw begin. */
  #stopUnseen(record: ExitRecord): void {
    const book = this.#book;
    // A process that has ended and was not waited for yet can still be looked at.
    const found = record.startTime === null ? book.look(record.pid) : null;
    const entry = found !== null && found.startTime <= record.time ? found : null;
    const startTime = record.startTime ?? entry?.startTime ?? null;
    const image = entry === null ? UNKNOWN_IMAGE : book.redactor.imageOfEntry(entry);
    const process = new TrackedProcess(
      record.pid,
      startTime ?? record.time,
      startTime === null ? "unknown" : "exact",
      image,
    );
    if (entry !== null) book.takeFacts(process, entry);
    book.adopt(process, process.ppid);
    // It may be one that the table forgot, which the file of the last known table still has.
    process.isWritten = book.table.forgotten > 0;
    book.pushStop(process, record.time, "unseen start", record);
    book.table.end(process, record.time);
  }
}

/** Whether a fork record without a start time is of this living process, which a snapshot or its exec showed first. */
function isNear(live: TrackedProcess, time: number): boolean {
  return time >= live.startTime && time - live.startTime < SAME_START_NS;
}
