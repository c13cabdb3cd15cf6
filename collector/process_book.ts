/**
 * What is known of processes, and the events about them that wait to be handed out: what records, snapshots and the
 * last run's table have in common.
 *
 * Redaction happens here, exactly once, before anything is kept or made an event.
 *
 * @module
 */

import { bootTag, processId } from "../proto/identity.ts";
import type { ProcessEvent } from "../proto/process_event.ts";
import { Contexts, type Names } from "./contexts.ts";
import type { HashBook } from "./hash_book.ts";
import { EventMaker, nullIfZero, type Usage } from "./event_maker.ts";
import { type Ids, Redactor } from "./images.ts";
import type { Clock } from "./kernel/clock.ts";
import { KnownChanges } from "./known_changes.ts";
import { ProcessTable, type TableLimits } from "./process_table.ts";
import type { RedactionMode } from "./redaction_mode.ts";
import type { ExitRecord, ProcessSource, TableEntry } from "./sources/source.ts";
import { disguise, impossibleStart, type Suspicion } from "./suspicions.ts";
import { type TrackedProcess, UNKNOWN_IMAGE } from "./tracked_process.ts";

export interface BookOptions {
  readonly bootId: string;
  readonly source: Pick<ProcessSource, "description" | "look">;
  readonly names: Names;
  readonly clock: Clock;
  readonly limits: TableLimits;
  readonly redaction: RedactionMode;
  /** Threads of the kernel are known and not told of. */
  readonly skipsKernelThreads: boolean;
  /** Completes starts by the hashes of their executables; `null` where none are wanted. */
  readonly hashes: Pick<HashBook, "started"> | null;
}

export class ProcessBook {
  readonly tag: string;
  readonly table: ProcessTable;
  readonly redactor: Redactor;
  readonly maker: EventMaker;
  readonly contexts: Contexts;
  readonly changes: KnownChanges = new KnownChanges();
  readonly #options: BookOptions;
  #events: ProcessEvent[] = [];
  /** A time that has passed, so that most starts need no look at the clock. */
  #passed = 0;

  constructor(options: BookOptions) {
    this.#options = options;
    this.tag = bootTag(options.bootId);
    this.table = new ProcessTable(options.limits);
    this.maker = new EventMaker(options.source.description.name, options.names.userName);
    this.redactor = new Redactor(options.redaction);
    this.contexts = new Contexts(options.names, this.redactor);
  }

  /** Hands out the events so far, in the order in which they were found. */
  takeEvents(): ProcessEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Has events wait that were taken, in another order. */
  putBack(events: ProcessEvent[]): void {
    this.#events = events;
  }

  /** Whether a process is one that the operator does not want to hear of. */
  isLeftOut(process: TrackedProcess): boolean {
    return process.kernelThread && this.#options.skipsKernelThreads;
  }

  look(pid: number): TableEntry | null {
    return this.#options.source.look(pid);
  }

  takeFacts(process: TrackedProcess, entry: TableEntry): void {
    process.ppid = nullIfZero(entry.ppid);
    takeIds(process, entry);
    process.context = this.contexts.of(entry.context, entry);
    process.namespacePid = entry.namespacePid;
    process.kernelThread = entry.kernelThread;
  }

  /** Asks the source for what the records of a process did not say. */
  learn(process: TrackedProcess): void {
    const entry = this.look(process.pid);
    if (entry === null || process.relate(entry.startTime) !== "same") return;
    process.correctStart(entry.startTime);
    if (process.image !== UNKNOWN_IMAGE) return;
    this.takeFacts(process, entry);
    this.table.replaceImage(process, this.redactor.imageOfEntry(entry));
  }

  /** Whether a process has ended: its own end was reported, or that of one that had the pid after it. */
  hasEnded(pid: number, startTime: number | null, time: number): boolean {
    const ended = this.table.ended(pid);
    if (ended === undefined) return false;
    return startTime === null ? ended.endTime! >= time : ended.relate(startTime) !== "younger";
  }

  /** Finds the parent of a process by its pid, and takes over its name and program. */
  adopt(process: TrackedProcess, ppid: number | null): TrackedProcess | null {
    process.ppid = nullIfZero(ppid);
    if (process.ppid === null) return null;
    const parent = this.table.parent(process.ppid, process.startTicks, process.startTime);
    if (parent === null || parent === process) return null;
    process.parentExecId = this.name(parent);
    process.parentImage = parent.image;
    return parent;
  }

  /** The name of the last execution of a process. Once given, its start stays what it is. */
  name(process: TrackedProcess): string {
    if (process.execId === "") {
      if (process.start === "near" && process.endTime === null) this.learn(process);
      process.execId = processId(this.tag, process.pid, process.startTicks);
    }
    return process.execId;
  }

  pushStart(process: TrackedProcess, time: number, reason: string | null, changed: readonly string[]): void {
    this.name(process);
    process.reported = "event";
    this.#changed(process);
    if (this.isLeftOut(process)) return;
    const start = this.maker.start(process, time, reason, changed);
    this.#options.hashes?.started(start, process.image.changeTime);
    this.#events.push(start);
    this.#suspect(process, time, this.#impossibleStart(process));
    this.#suspect(process, time, disguise(process));
  }

  pushModify(process: TrackedProcess, time: number, reason: string, changed: string[], usage: Usage): void {
    this.name(process);
    this.#changed(process);
    if (this.isLeftOut(process)) return;
    this.#events.push(this.maker.modify(process, time, reason, changed, usage));
  }

  pushStop(process: TrackedProcess, time: number, reason: string | null, record: ExitRecord | null): void {
    this.name(process);
    this.changes.ended(process);
    if (this.isLeftOut(process)) return;
    this.#events.push(this.maker.stop(process, time, reason, record));
  }

  /** Marks a process whose arguments hide what it is. */
  suspectDisguise(process: TrackedProcess, time: number): void {
    if (process.reported !== "no") this.#suspect(process, time, disguise(process));
  }

  /** The end of a process that is known only from its absence. When it ended is not known, only until when. */
  lose(process: TrackedProcess, before: number, reason: string): void {
    if (process.reported === "no") this.pushStart(process, process.startTime, "fork", []);
    this.pushStop(process, before, reason, null);
    this.table.end(process, before);
  }

  #changed(process: TrackedProcess): void {
    if (process.endTime === null) this.changes.changed(process);
  }

  #impossibleStart(process: TrackedProcess): Suspicion | null {
    if (process.startTime > this.#passed) this.#passed = this.#options.clock.bootTimeNs();
    const hasParent = process.parentExecId !== null || process.ppid === null;
    const parent = hasParent ? undefined : this.table.get(process.ppid!);
    return impossibleStart(process, parent, this.#passed);
  }

  #suspect(process: TrackedProcess, time: number, suspicion: Suspicion | null): void {
    if (suspicion === null || (process.suspected & suspicion.bit) !== 0) return;
    process.suspected |= suspicion.bit;
    this.name(process);
    this.#changed(process);
    this.#events.push(this.maker.suspicious(process, time, suspicion));
  }
}

export function takeIds(process: TrackedProcess, ids: Ids): void {
  process.userId = ids.userId;
  process.effectiveUserId = ids.effectiveUserId;
  process.groupId = ids.groupId;
}
