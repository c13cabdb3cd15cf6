/**
 * The collector at work: records from the source through the lifecycle into the outbox, and a status once a second.
 *
 * One loop, one thread. It sleeps in the kernel while the host is quiet, so that an event is seen at once and idleness
 * costs nothing, and drains at intervals while it is busy (`drain_pace.ts`), so that a storm costs few wake-ups. What a
 * drain brought is on disk before it is offered; the disk works beside the drains (`flusher.ts`). An error of one record
 * is noticed and does not end the loop; an error of the source does, and the supervisor starts the collector anew.
 *
 * @module
 */
import process from "node:process";
import type { AttributeStanding } from "../proto/demand.ts";
import { NoticeLog } from "../proto/notice_log.ts";
import type { Gap, ProcessEvent, ProcessState } from "../proto/process_event.ts";
import { type CollectorStatus, type LedgerStatus, type SourceStatus, STATUS_INTERVAL_MS } from "../proto/status.ts";
import type { SignsOfLife } from "../proto/status_image.ts";
import { bootTimeNs } from "./kernel/libc.ts";
import { collectorStatus } from "./collector_status.ts";
import type { Completeness } from "./completeness.ts";
import { CollectorDelays } from "./delays.ts";
import { DrainPace, LEAST_PAUSE_MS } from "./drain_pace.ts";
import { Flusher } from "./flusher.ts";
import type { KnownFile, KnownTable } from "./known_table.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { Outbox } from "./outbox.ts";
import { Pressure } from "./pressure.ts";
import type { Publisher } from "./publisher.ts";
import type { ProcessSource, SourceRecord } from "./sources/source.ts";
import { StatusFile } from "./status_file.ts";
import type { Checked, Hidden, TableCheck } from "./table_check.ts";

/** Longest sleep in the kernel: a status is due once a second. */
const MAX_WAIT_MS = STATUS_INTERVAL_MS;
/** The least time between two snapshots that losses ask for: under constant loss a snapshot each loop helps nobody. */
const LOSS_SNAPSHOT_MS = 1_000;

/** Records that come after a wait of this length come to a thread that has nothing else to do. */
const CALM_MS = 100;
/** How long hashes gather before they are sent on. */
const POKE_MS = 50;

export interface ObservationOptions {
  readonly collectorId: string;
  readonly bootId: string;
  readonly userId: number;
  readonly confinement: string;
  readonly redaction: string;
  /** Told of events as they are offered, where somebody watches. */
  readonly watch: (events: readonly ProcessEvent[]) => void;
  /** What was opened, what was not, and what cannot be seen: asked again all the time, as a source may learn it late. */
  readonly sources: () => SourceStatus[];
  readonly completeness: Completeness;
  /** What is collected of what costs something, and why. */
  readonly attributes: () => readonly AttributeStanding[];
  /** `null` where there are no two process tables to compare. */
  readonly tables: TableCheck | null;
  readonly statusFile: string;
  /** Closed by {@linkcode Observation.sayStopped}. */
  readonly knownFile: KnownFile;
  readonly snapshotIntervalMs: number;
  /** What became of the hashes of executables, and which calls were refused, by name. */
  readonly moreCounters: () => Record<string, number>;
  /** Reads what was refused since it was last asked, and gives what is to be noticed of it. */
  readonly lookAtRefusals: () => readonly string[];
  /** The audit ledger: what time asks of it, and its standing. */
  readonly ledger: { readonly tick: () => void; readonly status: () => LedgerStatus };
  /** Room of the log on disk, for the status. */
  readonly logBytes: number;
}

export class Observation {
  readonly notices: NoticeLog = new NoticeLog();
  #stopping = false;
  #events = 0;
  #gaps = 0;
  #records = 0;
  /** What {@linkcode #isActive} saw last. */
  #seen = "";
  #faults = 0;
  #hidden = 0;
  #nextSnapshot = 0;
  #nextStatus = 0;
  #lastSnapshot = 0;
  #lossSeen = false;
  #reading = false;
  #sourcesSaid = "";
  #knownFault = "";
  #poked: ReturnType<typeof setTimeout> | null = null;
  readonly #pressure = new Pressure();
  readonly #statusFile: StatusFile;
  readonly #pace = new DrainPace();
  readonly #flusher: Flusher;
  readonly #delays = new CollectorDelays();
  /** When the last drain began, and in nanoseconds since boot. */
  #drainedAt = 0;
  #drainedAtNs = 0;
  #epoch = "";
  /** Never changes. */
  readonly #nothing = new Int32Array(new SharedArrayBuffer(4));
  readonly #began = performance.now();

  constructor(
    private readonly source: ProcessSource,
    private readonly lifecycle: Lifecycle,
    private readonly outbox: Outbox,
    private readonly publisher: Publisher,
    private readonly options: ObservationOptions,
  ) {
    this.#statusFile = new StatusFile(options.statusFile);
    this.#flusher = new Flusher({
      flush: () => outbox.flush(),
      flushBeside: () => outbox.flushBeside(),
      flushed: () => this.#flushed(),
    });
  }

  /** Keeps a notice and says it on stderr. */
  notice(text: string): void {
    console.error(`collector: ${this.notices.add(text, Date.now())}`);
  }

  /**
   * Reads the process table for the first time, and says what happened since the last run's table was written. Returns
   * how many processes there are.
   */
  async begin(last: KnownTable | null): Promise<number> {
    const time = Date.now();
    const { hidden, entries } = await this.#readTable();
    this.lifecycle.baseline(entries, bootTimeNs(), last);
    this.#read();
    this.options.completeness.learnThreads(entries);
    const states = this.lifecycle.settle(entries);
    this.#tellHidden(hidden);
    const { events, gaps } = this.lifecycle.flush(Date.now());
    this.#replaceKnown();
    this.#offer(events, gaps);
    this.#tellSources();
    this.outbox.addSnapshot(states, time);
    this.#flusher.now();
    this.#nextSnapshot = Date.now() + this.options.snapshotIntervalMs;
    this.#writeStatus("running");
    return states.length;
  }

  /** Observes until {@linkcode stop}. */
  async run(): Promise<void> {
    let pause = LEAST_PAUSE_MS;
    while (!this.#stopping) {
      const began = performance.now();
      await this.source.wait(MAX_WAIT_MS);
      if (this.source.pending !== false) await this.#gatherAfter(performance.now() - began, pause);
      // Before the drain: what the last one brought has had the pause to get onto the disk.
      if (Date.now() >= this.#nextStatus) this.#writeStatus("running");
      pause = this.#pace.next(this.#drain());
      if (this.#snapshotIsDue(Date.now())) this.#snapshot().catch((error) => this.#snapshotFailed(error));
    }
    await this.#gather(0);
    this.#drain(true);
  }

  stop(): void {
    this.#stopping = true;
  }

  /** What the status says now. */
  status(): CollectorStatus {
    return this.#status(this.#stopping ? "stopping" : "running");
  }

  /** Says that there are events that came of no record. */
  poke(): void {
    this.#poked ??= setTimeout(() => {
      this.#poked = null;
      if (!this.#stopping) this.#drain();
    }, POKE_MS);
  }

  /** The last word, for the reader and for the next run. */
  sayStopped(): void {
    this.#flusher.stop();
    this.outbox.flush();
    this.#replaceKnown();
    this.options.knownFile.close();
    this.#writeStatus("stopped");
    this.#statusFile.close();
  }

  readonly #receive = (record: SourceRecord): void => {
    if (record.kind === "loss") this.#lossSeen = true;
    else this.#delays.drained((this.#drainedAtNs - record.time) / 1e6);
    this.options.completeness.first(record);
    try {
      this.lifecycle.receive(record);
    } catch (error) {
      this.#faults++;
      this.notice(`a ${record.kind} record could not be understood: ${error instanceof Error ? error.message : error}`);
    }
  };

  /** The same after so long a wait: a timer costs a quiet host more than the rest of what a record does here. */
  #gatherAfter(waitedMs: number, ms: number): Promise<void> | void {
    if (waitedMs < CALM_MS || this.source.gather !== undefined) return this.#gather(ms);
    Atomics.wait(this.#nothing, 0, 0, ms);
  }

  /** Lets records gather for a while, so that a storm costs few wake-ups. */
  #gather(ms: number): Promise<void> {
    return this.source.gather?.(ms) ?? new Promise((resolve) => setTimeout(resolve, ms));
  }

  #read(): number {
    this.#drainedAt = performance.now();
    this.#drainedAtNs = bootTimeNs();
    return this.source.drain(this.#receive);
  }

  #drain(isLast = false): number {
    const count = this.#read();
    this.#records += count;
    this.#compare();
    const { events, gaps, known } = this.lifecycle.flush(Date.now(), isLast);
    this.#keepKnown(() => this.options.knownFile.append(known, Math.floor(bootTimeNs() / 1e6)));
    this.#offer(events, gaps);
    if (isLast) this.#flusher.now();
    this.#feelPressure();
    return count;
  }

  /** Offers what is on disk now. */
  #flushed(): void {
    const { epoch, durable } = this.outbox;
    if (epoch !== this.#epoch) this.#delays.forget(); // its numbers are others
    else this.#delays.flushed(durable);
    this.#epoch = epoch;
    this.publisher.poke();
  }

  /** Looks less often and says less while the log fills up. */
  #feelPressure(): void {
    const change = this.#pressure.update(this.outbox.load);
    if (change === null) return;
    const { isRaised } = this.#pressure;
    this.outbox.isEconomical = isRaised;
    this.lifecycle.tellsUsage = !isRaised;
    this.notice(
      isRaised
        ? "what waits takes 70 % of the log: process tables are read less often, and environments and changes of memory " +
          "and CPU time are left out"
        : "what waits takes less than 50 % of the log: everything is told again",
    );
  }

  /** Has the second source's word, and tells of what only one of them saw. */
  #compare(): void {
    const findings = this.options.completeness.advance(performance.now(), bootTimeNs());
    if (findings === null) return;
    for (const { pid, time, kinds, seenBy, missedBy, isOfFirst } of findings.differences) {
      const severity = isOfFirst ? "low" : missedBy === this.source.description.name ? "high" : "medium";
      const what = isOfFirst ? "fork by process 1" : kinds.join(" and ");
      this.lifecycle.accuse(pid, time, severity, `its ${what} seen by ${seenBy}, not by ${missedBy}`);
    }
    for (const { source, loss } of findings.gaps) this.lifecycle.miss(source, loss);
    for (const notice of findings.notices) this.notice(notice);
    // The table shows who lives of those that were missed.
    if (findings.differences.length > 0) this.#lossSeen = true;
  }

  /** Reads the process table, and finds who is hidden from it or from another way to list processes. */
  async #readTable(): Promise<Checked> {
    const { tables } = this.options;
    const before = tables?.before() ?? null;
    const entries = await this.source.snapshot();
    return tables === null || before === null ? { hidden: [], entries } : await tables.after(before, entries);
  }

  /** To be called when the lifecycle knows of the table that they are hidden from, and so what they are. */
  #tellHidden(hidden: readonly Hidden[]): void {
    for (const { pid, seenBy, missedBy } of hidden) {
      this.#hidden++;
      // Nobody is misled about the first one: sandboxes keep it from being looked at.
      const severity = pid === 1 ? "low" : "high";
      this.lifecycle.accuse(pid, bootTimeNs(), severity, `it is hidden: seen by ${seenBy}, not by ${missedBy}`);
    }
  }

  #offer(events: readonly ProcessEvent[], gaps: readonly Gap[]): void {
    if (events.length === 0 && gaps.length === 0) return;
    for (const gap of gaps) this.outbox.addGap(gap);
    if (events.length > 0) {
      this.outbox.addEvents(events);
      this.options.watch(events);
      this.#delays.offered(this.outbox.lastSequence, this.#drainedAt, events);
    }
    this.#events += events.length;
    this.#gaps += gaps.length;
    this.#flusher.soon();
  }

  #replaceKnown(): void {
    this.#keepKnown(() => this.options.knownFile.replace(this.lifecycle.known(), Math.floor(bootTimeNs() / 1e6)));
  }

  /** A table that cannot be written is noticed once; the next snapshot tries again. */
  #keepKnown(write: () => void): void {
    try {
      write();
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== this.#knownFault) this.notice(`the last known process table cannot be written: ${fault}`);
      this.#knownFault = fault;
    }
  }

  #snapshotIsDue(now: number): boolean {
    if (this.#reading) return false;
    return now >= this.#nextSnapshot ||
      (this.#lossSeen && now >= this.#lastSnapshot + this.#pressure.stretched(LOSS_SNAPSHOT_MS));
  }

  /** Reads the table beside the loop: a process can hold up who reads its memory, and events must not wait for it. */
  async #snapshot(): Promise<void> {
    this.#reading = true;
    this.#lossSeen = false;
    this.#lastSnapshot = Date.now();
    this.#nextSnapshot = this.#lastSnapshot + this.#pressure.stretched(this.options.snapshotIntervalMs);
    this.#pressure.lengthen();
    try {
      const takenAt = bootTimeNs();
      const { hidden, entries } = await this.#readTable();
      await this.#gather(0);
      if (this.#stopping) return;
      // What happened up to the snapshot can be drained now: with that done first, whatever the snapshot shows and the
      // lifecycle does not know was truly missed.
      this.#drain();
      if (this.options.completeness.wantsThreads) this.options.completeness.learnThreads(entries);
      const states: ProcessState[] = this.lifecycle.reconcile(entries, takenAt);
      this.#tellHidden(hidden);
      this.#drain();
      if (this.options.knownFile.isDue) this.#replaceKnown();
      this.outbox.addSnapshot(states, this.#lastSnapshot);
      this.#flusher.soon();
    } finally {
      this.#reading = false;
    }
  }

  #snapshotFailed(error: unknown): void {
    this.#faults++;
    this.notice(`the process table cannot be read: ${error instanceof Error ? error.message : error}`);
  }

  /** Reports the sources when what they say has changed. */
  #tellSources(): void {
    const sources = this.options.sources(), said = JSON.stringify(sources);
    if (said === this.#sourcesSaid) return;
    if (this.#sourcesSaid !== "") {
      for (const { name, misses } of sources) for (const miss of misses) this.notice(`source ${name}: ${miss}`);
    }
    this.#sourcesSaid = said;
    this.outbox.addSources(sources, Date.now());
  }

  #writeStatus(state: string): void {
    this.#nextStatus = Date.now() + STATUS_INTERVAL_MS;
    for (const notice of this.options.lookAtRefusals()) this.notice(notice);
    this.#tellSources();
    // Also for a log that tries again by itself; and the last status says how far it came in the end.
    if (state === "stopped") this.#flusher.now();
    else this.#flusher.soon();
    this.outbox.tend();
    this.options.ledger.tick();
    try {
      if (this.#isActive(state) || !this.#statusFile.live(this.#signs())) this.#statusFile.write(this.#status(state));
    } catch (error) {
      this.notice(`the status file cannot be written: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Whether something may have happened since the last status: what this does not see may be told late. */
  #isActive(state: string): boolean {
    const { lastSequence, acknowledged, epoch } = this.outbox;
    const now = [state, lastSequence, acknowledged, epoch, this.#records, this.#gaps, this.notices.count];
    const seen = this.#seen, activity = this.#seen = `${now} ${this.publisher.connections} ${this.publisher.connected}`;
    return activity !== seen;
  }

  #signs(): SignsOfLife {
    const cpu = process.cpuUsage();
    return {
      time: Date.now(),
      uptimeMs: performance.now() - this.#began,
      memoryBytes: Deno.memoryUsage().rss,
      cpuMs: (cpu.user + cpu.system) / 1000,
    };
  }

  #status(state: string): CollectorStatus {
    const { source, lifecycle, outbox, publisher, options, notices } = this;
    const parts = { source, lifecycle, outbox, publisher, options, notices, delays: this.#delays };
    const counts = { events: this.#events, gaps: this.#gaps, faults: this.#faults, hidden: this.#hidden };
    return collectorStatus(parts, state, this.#signs(), counts, this.#pressure.isRaised);
  }
}
