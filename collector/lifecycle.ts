/**
 * From records and snapshots of a source to the events of processes' lives.
 *
 * One `start` for each program that a process runs, one `stop` for each process, `modify` for what a snapshot shows
 * changed, a gap for what the source lost. It keeps a bounded table of the living, so that an end can say what ended
 * and a child who its parent was. Redaction happens here, exactly once, before anything is kept or made an event.
 *
 * Records are trusted in shape only. They may come late, twice, or never: a record of a process that has ended changes
 * nothing, an end without a begin is reported with what is known, a pid with a new start tick is a new process.
 *
 * How a fork becomes a start: with its `execve`, which is nearly always near; a process that ends or lives 500 ms
 * without one is reported with its parent's program and the reason `fork`. The parent of a process is the one that made
 * it, where the source saw that, also after that one has ended and the kernel has given the process another.
 *
 * @module
 */

import { bootTag, execId, processId, TICK_NS } from "../proto/identity.ts";
import type { Gap, ProcessEvent, ProcessState } from "../proto/process_event.ts";
import { contextChanges, Contexts, type Names } from "./contexts.ts";
import { EventMaker, nullIfZero } from "./event_maker.ts";
import { changesOf, type Ids, Redactor } from "./images.ts";
import { type Clock, kernelClock } from "./kernel/clock.ts";
import { ProcessTable, TABLE_LIMITS, type TableLimits } from "./process_table.ts";
import type { RedactionMode } from "./redaction_mode.ts";
import type { ExecRecord, ExitRecord, ForkRecord, ProcessSource, SourceRecord, TableEntry } from "./sources/source.ts";
import { SAME_START_NS, TrackedProcess, UNKNOWN_IMAGE } from "./tracked_process.ts";
import { groupName, userName } from "./users.ts";

/** How long a new process may take to its `execve` before it is reported as a fork. */
export const FORK_PATIENCE_MS = 500;

export interface LifecycleOptions {
  readonly bootId: string;
  readonly source: Pick<ProcessSource, "description" | "look">;
  readonly names?: Names;
  readonly clock?: Clock;
  readonly limits?: TableLimits;
  /** How secrets are masked; without it they are, and all marks are alike. */
  readonly redaction?: RedactionMode;
}

export interface Flushed {
  readonly events: ProcessEvent[];
  readonly gaps: Gap[];
}

export class Lifecycle {
  readonly #tag: string;
  readonly #source: Pick<ProcessSource, "description" | "look">;
  readonly #clock: Clock;
  readonly #table: ProcessTable;
  readonly #redactor: Redactor;
  readonly #maker: EventMaker;
  readonly #contexts: Contexts;
  /** Processes that were forked and not yet reported, oldest first; those reported meanwhile are skipped. */
  #forked: TrackedProcess[] = [];
  #events: ProcessEvent[] = [];
  #gaps: Gap[] = [];
  #snapshots = 0;

  constructor(options: LifecycleOptions) {
    this.#tag = bootTag(options.bootId);
    this.#source = options.source;
    this.#clock = options.clock ?? kernelClock;
    this.#table = new ProcessTable(options.limits ?? TABLE_LIMITS);
    const names = options.names ?? { userName, groupName };
    this.#maker = new EventMaker(options.source.description.name, names.userName);
    this.#redactor = new Redactor(options.redaction ?? { kind: "unkeyed", reason: "none was given" });
    this.#contexts = new Contexts(names, this.#redactor);
    this.#maker.begin(this.#clock.bootOffsetMs());
  }

  /** Living processes in the table. */
  get tracked(): number {
    return this.#table.size;
  }

  /** Living processes that were forgotten for want of room. */
  get forgotten(): number {
    return this.#table.forgotten;
  }

  /** Bytes of arguments and paths in the table. */
  get retainedBytes(): number {
    return this.#table.bytes;
  }

  /** Secrets masked since the start. */
  get masked(): number {
    return this.#redactor.masked;
  }

  /**
   * Takes over the first snapshot, which makes no events. `takenAt` is a time (nanoseconds since boot) at which it was
   * read whole; records of execs up to then tell of programs that the snapshot may show already.
   */
  baseline(entries: readonly TableEntry[], takenAt: number = this.#clock.bootTimeNs()): ProcessState[] {
    this.#maker.begin(this.#clock.bootOffsetMs());
    const added = entries.filter((entry) => this.#table.get(entry.pid) === undefined).sort(byStart)
      .map((entry) => this.#addEntry(entry, takenAt, "baseline"));
    for (const process of added) this.#adopt(process, process.ppid);
    this.#maker.setHostMounts(this.#table.get(1)?.context?.mountNamespace ?? null);
    return this.#states(entries);
  }

  /** Takes one record; what follows from it waits for {@linkcode flush}. */
  receive(record: SourceRecord): void {
    switch (record.kind) {
      case "fork":
        return this.#fork(record);
      case "exec":
        return this.#exec(record);
      case "exit":
        return this.#exit(record);
      case "loss":
        this.#gaps.push(this.#maker.gap(record));
    }
  }

  /**
   * Compares the table with a snapshot and reports what no record told: starts, ends and changes, with the reason
   * `snapshot`. `takenAt` is the time (nanoseconds since boot) just before it was read, and every record from before it
   * must have been received: the source is to be drained after the snapshot and before this.
   */
  reconcile(entries: readonly TableEntry[], takenAt: number): ProcessState[] {
    const snapshot = ++this.#snapshots;
    const added: TrackedProcess[] = [];
    for (const entry of [...entries].sort(byStart)) {
      const process = this.#matching(entry, takenAt);
      if (process === null) {
        if (this.#isUnseen(entry, takenAt)) added.push(this.#addEntry(entry, takenAt, "event"));
      } else if (process.imageSince <= takenAt) this.#compare(process, entry, takenAt);
    }
    for (const process of added) {
      this.#adopt(process, process.ppid);
      this.#pushStart(process, takenAt, "snapshot", []);
    }
    for (const entry of entries) {
      const process = this.#table.get(entry.pid);
      if (process !== undefined) process.seenIn = snapshot;
    }
    for (const process of [...this.#table.processes()]) {
      if (process.seenIn !== snapshot && process.startTime <= takenAt) this.#lose(process, takenAt, "snapshot");
    }
    return this.#states(entries);
  }

  /** Hands out what came of the records so far. `nowMs` is the Unix time, which says which forks waited long enough. */
  flush(nowMs: number): Flushed {
    this.#maker.begin(this.#clock.bootOffsetMs());
    this.#reportForks((nowMs - FORK_PATIENCE_MS - this.#maker.offsetMs) * 1e6);
    const flushed = { events: this.#events, gaps: this.#gaps };
    this.#events = [];
    this.#gaps = [];
    return flushed;
  }

  #fork(record: ForkRecord): void {
    const { pid, time } = record;
    const startTime = record.startTime ?? time;
    const live = this.#table.get(pid);
    if (live !== undefined) {
      const relation = live.relate(startTime);
      if (relation === "same" || record.startTime === null && isNear(live, time)) {
        // Its exec or a snapshot was here first; only its parent may be news.
        if (live.parentExecId === null) this.#adopt(live, record.ppid);
        return;
      }
      if (relation === "older") return;
      this.#lose(live, startTime, "pid reused");
    }
    if (this.#hasEnded(pid, record.startTime, time)) return;
    const process = new TrackedProcess(pid, startTime, record.startTime === null ? "near" : "exact", UNKNOWN_IMAGE);
    process.imageSince = time;
    process.namespacePid = record.namespacePid;
    this.#table.add(process);
    const parent = this.#adopt(process, record.ppid);
    if (parent !== null) {
      takeIds(process, parent);
      process.context = this.#contexts.ofChild(parent.context, record.pidNamespace);
      process.kernelThread = parent.kernelThread;
      this.#table.replaceImage(process, parent.image);
    }
    this.#forked.push(process);
  }

  #exec(record: ExecRecord): void {
    const { pid, time } = record;
    const startTime = record.startTime ?? time;
    let process = this.#table.get(pid);
    if (process !== undefined && record.startTime !== null) {
      const relation = process.relate(record.startTime);
      if (relation === "older") return this.#lateExec(record);
      if (relation === "same") process.correctStart(record.startTime);
      else {
        this.#lose(process, startTime, "pid reused");
        process = undefined;
      }
    }
    if (process === undefined) {
      if (this.#hasEnded(pid, record.startTime, time)) return this.#lateExec(record);
      process = new TrackedProcess(pid, startTime, record.startTime === null ? "unknown" : "exact", UNKNOWN_IMAGE);
      this.#table.add(process);
      this.#adopt(process, record.ppid);
    } else if (time < process.imageSince && process.reported === "event") {
      // Overtaken: by a snapshot, that has reported it, or by the exec after it.
      return process.imageFromTable ? undefined : this.#lateExec(record);
    }
    const image = this.#redactor.imageOfExec(record);
    const isFirst = process.reported === "no";
    const isInBaseline = process.reported === "baseline" && time <= process.imageSince;
    const changed = isFirst ? [] : changesOf(process, process.image, image, record);
    process.image = image;
    takeIds(process, record);
    process.context = this.#contexts.of(record.context, record);
    process.namespacePid = record.namespacePid ?? process.namespacePid;
    process.kernelThread = false;
    process.imageSince = time;
    process.imageFromTable = false;
    if (!isFirst && !isInBaseline) {
      process.lastExecTicks = Math.max(Math.floor(time / TICK_NS), process.lastExecTicks + 1);
      process.execId = execId(this.#tag, pid, process.startTicks, process.lastExecTicks);
    }
    const isNew = isFirst || (isInBaseline && time - process.startTime < FORK_PATIENCE_MS * 1e6);
    this.#pushStart(process, time, isNew ? null : "exec", changed);
    // After the event, which has all of it: the table may keep less.
    this.#table.weigh(process);
  }

  /** An exec that comes after the end of its process or after the next exec: still a start, but of nothing that is. */
  #lateExec(record: ExecRecord): void {
    const image = this.#redactor.imageOfExec(record);
    const startTime = record.startTime ?? record.time;
    const process = new TrackedProcess(record.pid, startTime, record.startTime === null ? "unknown" : "exact", image);
    this.#adopt(process, record.ppid);
    takeIds(process, record);
    process.context = this.#contexts.of(record.context, record);
    process.namespacePid = record.namespacePid;
    this.#pushStart(process, record.time, "late", []);
  }

  #exit(record: ExitRecord): void {
    const { pid, time, startTime } = record;
    const live = this.#table.get(pid);
    if (live !== undefined) {
      const relation = startTime !== null ? live.relate(startTime) : live.startTime <= time ? "same" : "older";
      if (relation === "same") return this.#stop(live, record);
      if (relation === "younger") this.#lose(live, startTime!, "pid reused");
    }
    if (!this.#hasEnded(pid, startTime, time)) this.#stopUnseen(record);
  }

  #stop(process: TrackedProcess, record: ExitRecord): void {
    if (process.reported === "no") this.#pushStart(process, process.startTime, "fork", []);
    this.#pushStop(process, record.time, null, record);
    this.#table.end(process, record.time);
  }

  /** The end of a process that nobody saw begin. */
  #stopUnseen(record: ExitRecord): void {
    // A process that has ended and was not waited for yet can still be looked at.
    const found = record.startTime === null ? this.#source.look(record.pid) : null;
    const entry = found !== null && found.startTime <= record.time ? found : null;
    const startTime = record.startTime ?? entry?.startTime ?? null;
    const image = entry === null ? UNKNOWN_IMAGE : this.#redactor.imageOfEntry(entry);
    const process = new TrackedProcess(
      record.pid,
      startTime ?? record.time,
      startTime === null ? "unknown" : "exact",
      image,
    );
    if (entry !== null) this.#takeFacts(process, entry);
    this.#adopt(process, process.ppid);
    this.#pushStop(process, record.time, "unseen start", record);
    this.#table.end(process, record.time);
  }

  /** The end of a process that is known only from its absence. When it ended is not known, only until when. */
  #lose(process: TrackedProcess, before: number, reason: string): void {
    if (process.reported === "no") this.#pushStart(process, process.startTime, "fork", []);
    this.#pushStop(process, before, reason, null);
    this.#table.end(process, before);
  }

  /** Reports the processes that were forked before `due` and run their parent's program still. */
  #reportForks(due: number): void {
    let next = 0;
    for (; next < this.#forked.length; next++) {
      const process = this.#forked[next]!;
      if (process.reported !== "no" || process.endTime !== null) continue;
      if (process.imageSince > due) break;
      if (process.image === UNKNOWN_IMAGE || process.start !== "exact") this.#learn(process);
      this.#pushStart(process, process.startTime, "fork", []);
    }
    if (next > 0) this.#forked = this.#forked.slice(next);
  }

  /** Asks the source for what the records of a process did not say. */
  #learn(process: TrackedProcess): void {
    const entry = this.#source.look(process.pid);
    if (entry === null || process.relate(entry.startTime) !== "same") return;
    process.correctStart(entry.startTime);
    if (process.image !== UNKNOWN_IMAGE) return;
    this.#takeFacts(process, entry);
    this.#table.replaceImage(process, this.#redactor.imageOfEntry(entry));
  }

  /** The living process that an entry of a snapshot shows; null when it is none of the table. */
  #matching(entry: TableEntry, takenAt: number): TrackedProcess | null {
    const process = this.#table.get(entry.pid);
    if (process === undefined) return null;
    const relation = process.relate(entry.startTime);
    if (relation === "same") {
      process.correctStart(entry.startTime);
      return process;
    }
    if (relation === "younger" && process.startTime <= takenAt) this.#lose(process, entry.startTime, "pid reused");
    return null;
  }

  /** Whether an entry that matches no living process is one that no record told of. */
  #isUnseen(entry: TableEntry, takenAt: number): boolean {
    if (entry.startTime > takenAt) return false; // its records may still come, or have come and it has ended
    if (entry.status === "zombie" || entry.status === "dead") return false; // it has ended, and that was reported
    if (this.#table.get(entry.pid) !== undefined) return false; // the pid is a younger process' already
    const ended = this.#table.ended(entry.pid);
    return ended === undefined || ended.relate(entry.startTime) === "younger";
  }

  /** Whether a process has ended: its own end was reported, or that of one that had the pid after it. */
  #hasEnded(pid: number, startTime: number | null, time: number): boolean {
    const ended = this.#table.ended(pid);
    if (ended === undefined) return false;
    return startTime === null ? ended.endTime! >= time : ended.relate(startTime) !== "younger";
  }

  #addEntry(entry: TableEntry, takenAt: number, reported: "event" | "baseline"): TrackedProcess {
    const process = new TrackedProcess(entry.pid, entry.startTime, "exact", this.#redactor.imageOfEntry(entry));
    this.#takeFacts(process, entry);
    process.reported = reported;
    process.imageSince = takenAt;
    process.imageFromTable = true;
    this.#table.add(process);
    return process;
  }

  #takeFacts(process: TrackedProcess, entry: TableEntry): void {
    process.ppid = nullIfZero(entry.ppid);
    takeIds(process, entry);
    process.context = this.#contexts.of(entry.context, entry);
    process.namespacePid = entry.namespacePid;
    process.kernelThread = entry.kernelThread;
  }

  /** Reports what a snapshot shows changed in a process. */
  #compare(process: TrackedProcess, entry: TableEntry, takenAt: number): void {
    const before = process.image;
    const after = this.#redactor.update(before, entry);
    const context = this.#contexts.update(process.context, entry.context, process, entry);
    const changed = [...changesOf(process, before, after, entry), ...contextChanges(process.context, context)];
    process.context = context;
    process.namespacePid = entry.namespacePid ?? process.namespacePid;
    process.userId = entry.userId ?? process.userId;
    process.effectiveUserId = entry.effectiveUserId ?? process.effectiveUserId;
    process.groupId = entry.groupId ?? process.groupId;
    if (after !== before) this.#table.replaceImage(process, after);
    // A fork that waits to be reported will be with what it is then; a worker of the kernel changes its name all day.
    if (changed.length === 0 || process.reported === "no" || process.kernelThread) return;
    this.#name(process);
    this.#events.push(this.#maker.modify(process, takenAt, "snapshot", changed, entry));
  }

  /** Finds the parent of a process by its pid, and takes over its name and program. */
  #adopt(process: TrackedProcess, ppid: number | null): TrackedProcess | null {
    process.ppid = nullIfZero(ppid);
    if (process.ppid === null) return null;
    const parent = this.#table.parent(process.ppid, process.startTicks, process.startTime);
    if (parent === null || parent === process) return null;
    process.parentExecId = this.#name(parent);
    process.parentImage = parent.image;
    return parent;
  }

  /** The name of the last execution of a process. Once given, its start stays what it is. */
  #name(process: TrackedProcess): string {
    if (process.execId === "") {
      if (process.start === "near" && process.endTime === null) this.#learn(process);
      process.execId = processId(this.#tag, process.pid, process.startTicks);
    }
    return process.execId;
  }

  #pushStart(process: TrackedProcess, time: number, reason: string | null, changed: readonly string[]): void {
    this.#name(process);
    process.reported = "event";
    this.#events.push(this.#maker.start(process, time, reason, changed));
  }

  #pushStop(process: TrackedProcess, time: number, reason: string | null, record: ExitRecord | null): void {
    this.#name(process);
    this.#events.push(this.#maker.stop(process, time, reason, record));
  }

  /** The living processes of a snapshot as the store keeps them. */
  #states(entries: readonly TableEntry[]): ProcessState[] {
    const states: ProcessState[] = [];
    for (const entry of entries) {
      const process = this.#table.get(entry.pid);
      if (process === undefined || process.relate(entry.startTime) !== "same") continue;
      this.#name(process);
      states.push(this.#maker.state(process, entry));
    }
    return states;
  }
}

/** Whether a fork record without a start time is of this living process, which a snapshot or its exec showed first. */
function isNear(live: TrackedProcess, time: number): boolean {
  return time >= live.startTime && time - live.startTime < SAME_START_NS;
}

function takeIds(process: TrackedProcess, ids: Ids): void {
  process.userId = ids.userId;
  process.effectiveUserId = ids.effectiveUserId;
  process.groupId = ids.groupId;
}

function byStart(a: TableEntry, b: TableEntry): number {
  return a.startTime - b.startTime || a.pid - b.pid;
}
