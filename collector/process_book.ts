/**
 * What is known of processes, and the events about them that wait to be handed out: what records, snapshots and the
 * last run's table have in common.
 *
 * Redaction happens here, exactly once, before anything is kept or made an event.
 *
 * @module
 */

import { bootTag, processId } from "../proto/identity.ts";
import type { ProcessEvent, Severity } from "../proto/process_event.ts";
import { Contexts, type Names } from "./contexts.ts";
import type { HashBook } from "./hash_book.ts";
import { EventMaker, nullIfZero, type Usage } from "./event_maker.ts";
import { type Execution, EXECUTION_CHECKS } from "./executions.ts";
import { type Ids, Redactor } from "./images.ts";
import type { Clock } from "./kernel/clock.ts";
import { KnownChanges } from "./known_changes.ts";
import type { PackageManagers } from "./package_managers.ts";
import { ProcessTable, type TableLimits } from "./process_table.ts";
import type { RedactionMode } from "./redaction_mode.ts";
import { Repetitions } from "./repetitions.ts";
import type { ExitRecord, ProcessSource, TableEntry } from "./sources/source.ts";
import { disguise, impossibleStart, type Suspicion } from "./suspicions.ts";
import { SAME_START_NS, TrackedProcess, UNKNOWN_IMAGE } from "./tracked_process.ts";

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
  /** Told of every start and end. */
  readonly managers: PackageManagers;
  /** Which variables are captured always, not for rules alone; all by default. */
  readonly isKept?: ((name: string) => boolean) | undefined;
}

export class ProcessBook {
  readonly tag: string;
  readonly table: ProcessTable;
  readonly redactor: Redactor;
  readonly maker: EventMaker;
  readonly contexts: Contexts;
  readonly changes: KnownChanges = new KnownChanges();
  readonly managers: PackageManagers;
  readonly #options: BookOptions;
  readonly #repetitions = new Repetitions();
  #events: ProcessEvent[] = [];
  /** A time that has passed, so that most starts need no look at the clock. */
  #passed = 0;

  constructor(options: BookOptions) {
    this.#options = options;
    this.managers = options.managers;
    this.tag = bootTag(options.bootId);
    this.table = new ProcessTable(options.limits);
    this.maker = new EventMaker(options.source.description.name, options.names.userName);
    this.redactor = new Redactor(options.redaction, options.isKept);
    this.contexts = new Contexts(options.names, this.redactor);
  }

  /** Hands out the events so far, in the order in which they were found. */
  takeEvents(): ProcessEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Suspicious executions that were counted and not told: see {@linkcode Repetitions}. */
  get repeated(): number {
    return this.#repetitions.omitted;
  }

  /** Has events wait that were taken, in another order. */
  putBack(events: ProcessEvent[]): void {
    this.#events = events;
  }

  /** Nanoseconds since boot. */
  get now(): number {
    return this.#options.clock.bootTimeNs();
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
    if (parent === null || parent.pid === process.pid) return null;
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
    if (this.isLeftOut(process)) return this.forgetDemanded(process);
    const start = this.maker.start(process, time, reason, changed);
    this.managers.started(start);
    this.#options.hashes?.started(start, process.image.changeTime);
    this.#events.push(start);
    this.#suspect(process, time, this.#impossibleStart(process));
    this.#suspect(process, time, disguise(process));
    this.forgetDemanded(process);
  }

  /** What was captured for rules alone stands in the start, and nowhere after it. */
  forgetDemanded(process: TrackedProcess): void {
    process.context = this.contexts.keptOf(process.context);
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
    const stop = this.maker.stop(process, time, reason, record);
    this.managers.ended(process.pid, stop.time);
    this.#events.push(stop);
  }

  /** Takes note of a package manager that the first table shows at work. */
  noteManager(process: TrackedProcess): void {
    if (!process.kernelThread) this.managers.started(this.maker.start(process, process.startTime, null, []));
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

  /** Marks what is suspicious in the start of a program that was just reported. */
  suspectExecution(execution: Execution, time: number): void {
    const { process } = execution;
    if (this.isLeftOut(process)) return;
    for (const check of EXECUTION_CHECKS) {
      const judgement = check(execution);
      if (judgement === null) continue;
      const reason = this.#repetitions.judge(judgement, process.image.executablePath ?? "", time);
      if (reason !== null) {
        this.#events.push(this.maker.suspicious(process, time, { bit: 0, severity: judgement.severity, reason }));
      }
    }
  }

  /**
   * Marks the process that had a pid at a time, for something that is not read from it: also one that no record told of,
   * or that has ended.
   */
  accuse(pid: number, time: number, severity: Severity, reason: string): void {
    const process = this.#whoWas(pid, time);
    this.name(process);
    this.#events.push(this.maker.suspicious(process, time, { bit: 0, severity, reason }));
  }

  #whoWas(pid: number, time: number): TrackedProcess {
    const live = this.table.get(pid), ended = this.table.ended(pid);
    if (live !== undefined && live.startTime - SAME_START_NS <= time) return live;
    if (ended !== undefined && ended.startTime - SAME_START_NS <= time && ended.endTime! >= time) return ended;
    const found = this.look(pid), entry = found !== null && found.startTime <= time ? found : null;
    const image = entry === null ? UNKNOWN_IMAGE : this.redactor.imageOfEntry(entry);
    const process = new TrackedProcess(pid, entry?.startTime ?? time, entry === null ? "unknown" : "exact", image);
    if (entry !== null) this.takeFacts(process, entry);
    this.adopt(process, process.ppid);
    return process;
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
