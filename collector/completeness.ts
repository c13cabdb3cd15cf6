/**
 * The proof that the first source misses nothing: what it saw against what a second, independent one saw.
 *
 * Each record of one must have its counterpart in the other: the same kind, the same process. What has none after both
 * were read for a whole round more is a difference: told as an event that names the process, and as a gap of the source
 * that missed it. A round is half the interval, so a difference is told within one.
 *
 * What is no difference: a record that the first source itself counted as lost (a gap stands for it already, see
 * {@linkcode CountedLosses}), the moments in which one of them began, and what the second one's socket could not hold. A time of the last kind cannot be
 * compared, and that is said. What both miss still counts in the kernel: see {@linkcode ForkBalance}.
 *
 * @module
 */

import type { CompletenessStatus } from "../proto/status.ts";
import { CountedLosses } from "./counted_losses.ts";
import { ForkBalance } from "./fork_balance.ts";
import { HourlyTally, shareOf } from "./hourly_tally.ts";
import { type Findings, Round } from "./round.ts";
import type { ProcessSource, SourceRecord, TableEntry } from "./sources/source.ts";
import { type Unmatched, UnmatchedRecords } from "./unmatched.ts";
import { EXEC, EXIT, FORK, KINDS, type OpenedWitness, type Witness, type WitnessReading } from "./witness.ts";

/** Nanoseconds after the second source began in which a record of one may be too old for the other. */
const SETTLING_NS = 1e9;
/** The least time between two readings of the second source while records come. */
const READ_MS = 80;
/** What was lost may be of this round or the one before, and its counterpart may come in the next. */
const BLIND_ROUNDS = 3;
/** Ends of which a second record is known for what it is. */
const RECENT_ENDS = 4_096;
/** New children of the first process that are remembered, and for how many rounds: as long as their forks may wait. */
const MAX_FIRSTBORN = 4_096, FIRSTBORN_ROUNDS = 4;

export interface CompletenessOptions {
  readonly source: Pick<ProcessSource, "description" | "look">;
  readonly opened: OpenedWitness;
  readonly intervalMs: number;
  readonly readForkCount: () => number | null;
}

export class Completeness {
  readonly #options: CompletenessOptions;
  readonly #witness: Witness | null;
  readonly #unmatched = new UnmatchedRecords();
  readonly #tally = new HourlyTally();
  readonly #forks = new ForkBalance();
  readonly #losses = new CountedLosses();
  readonly #endedPids = new Int32Array(RECENT_ENDS);
  readonly #endedStarts = new Float64Array(RECENT_ENDS);
  /** New children of the first process, with the time of their fork and the round in which it was told. */
  readonly #firstborn = new Map<number, { readonly time: number; readonly round: number }>();
  #matched = 0;
  #explained = 0;
  #incomparable = 0;
  #unseenTasks = 0;
  #roundFrom = 0;
  /** Rounds that the second source still cannot confirm, as it lost messages in them. */
  #blind = 0;
  /** Rounds in which it can accuse nobody either, as what waited was thrown away. */
  #deaf = 0;
  #wasBlind = false;
  #whole = true;
  #wantsThreads = true;
  /** Why the second source can no longer be read. */
  #failure: string | null = null;
  #nextRead = 0;
  #nextRound = 0;
  #rounds = 0;

  constructor(options: CompletenessOptions) {
    this.#options = options;
    this.#witness = options.opened.witness;
    this.#roundFrom = this.#witness?.since ?? 0;
  }

  /** Takes a record of the first source. */
  first(record: SourceRecord): void {
    if (this.#witness === null || this.#failure !== null) return;
    switch (record.kind) {
      case "fork":
        return this.#take(0, FORK, record.pid, record.time);
      case "exec":
        return this.#take(0, EXEC, record.pid, record.time);
      case "exit":
        if (!this.#isRepeated(record.pid, record.startTime ?? record.time)) {
          this.#take(0, EXIT, record.pid, record.time);
        }
        return;
      case "loss": {
        const kind = KINDS.indexOf(record.recordKind as (typeof KINDS)[number]);
        if (kind >= 0 && record.count !== null) this.#losses.add(kind, record.from, record.to, record.count);
      }
    }
  }

  /** Whether the second source no longer knows how many threads processes have. */
  get wantsThreads(): boolean {
    return this.#wantsThreads;
  }

  /** Tells the second source how many threads processes have: at the start, and when it {@linkcode wantsThreads}. */
  learnThreads(table: readonly TableEntry[]): void {
    if (this.#witness === null) return;
    this.#read(this.#witness);
    this.#witness.learnThreads(table);
    this.#wantsThreads = false;
  }

  /**
   * Reads the second source when that is due, and ends the round when it is over. To be called often, each time right
   * after the first source was drained. `now` is of a clock in milliseconds that does not jump.
   */
  advance(now: number, bootTime: number): Findings | null {
    const witness = this.#witness;
    if (witness === null || this.#failure !== null) return null;
    if (now < this.#nextRead && now < this.#nextRound) return null;
    this.#read(witness);
    if (this.#failure !== null) {
      const notices = [`completeness is no longer proven: ${this.#failure}`];
      return { differences: [], gaps: [], notices };
    }
    this.#nextRead = this.#whole ? now + READ_MS : now;
    if (this.#nextRound === 0) this.#nextRound = now + this.#options.intervalMs / 2;
    // Not before everything of the round was read from both.
    if (now < this.#nextRound || !this.#whole) return null;
    this.#nextRound = now + this.#options.intervalMs / 2;
    return this.#endRound(witness, now, bootTime);
  }

  /** How much of what happened is proven, for the status. */
  status(now: number): CompletenessStatus {
    const { opened, source } = this.#options;
    if (opened.witness === null) return { state: "unproven", detail: `not proven: ${opened.reason}` };
    if (this.#failure !== null) return { state: "unproven", detail: `not proven any more: ${this.#failure}` };
    if (this.#rounds < 2) return { state: "unproven", detail: "not proven yet: the comparison has just begun" };
    const hour = this.#tally.lastHour(now);
    const words = [
      `${shareOf(hour)} of the last hour seen by ${source.description.name} and by ${opened.witness.name}`,
      `since the start ${shareOf(this.#tally.total)}`,
    ];
    if (this.#explained > 0) words.push(`${this.#explained} missed records counted as lost`);
    if (this.#unseenTasks > 0) words.push(`${this.#unseenTasks} tasks seen by neither`);
    if (this.#incomparable > 0) {
      words.push(
        `${this.#incomparable} rounds not comparable: the socket of ${opened.witness.name} was full, or too much waited`,
      );
    }
    const differs = hour.missed + hour.unconfirmed + this.#unseenTasks > 0;
    return { state: differs ? "differs" : this.#wasBlind ? "unproven" : "proven", detail: words.join("; ") };
  }

  counters(): Record<string, number> {
    const { matched, missed, unconfirmed } = this.#tally.total;
    return {
      records_matched: matched,
      records_missed: missed,
      records_unconfirmed: unconfirmed,
      missed_and_counted: this.#explained,
      rounds_incomparable: this.#incomparable,
      tasks_unseen: this.#unseenTasks,
    };
  }

  close(): void {
    this.#witness?.close();
  }

  readonly #second = (kind: number, pid: number, time: number, creator: number): void => {
    if (creator === 1 && this.#firstborn.size < MAX_FIRSTBORN) this.#firstborn.set(pid, { time, round: this.#rounds });
    this.#take(1, kind, pid, time);
  };

  #take(source: number, kind: number, pid: number, time: number): void {
    if (time < this.#witness!.since) return;
    switch (this.#unmatched.take(source, kind, pid, time)) {
      case "matched":
        this.#matched++;
        return;
      case "waits":
        return;
      case "full":
        // Without it its counterpart would seem to be alone: what waits cannot be compared.
        this.#unmatched.clear();
        this.#blind = this.#deaf = BLIND_ROUNDS;
    }
  }

  #read(witness: Witness): void {
    let reading: WitnessReading;
    try {
      reading = witness.read(this.#second);
    } catch (error) {
      // The first source is what counts: without the second one it goes on, unproven.
      this.#failure = error instanceof Error ? error.message : String(error);
      return;
    }
    const { whole, overrun } = reading;
    this.#whole = whole;
    if (!overrun) return;
    this.#blind = BLIND_ROUNDS;
    this.#wantsThreads = true;
    this.#forks.reset();
  }

  /** Two threads that end at once may both seem to be the last of their process. */
  #isRepeated(pid: number, startTime: number): boolean {
    const slot = pid % RECENT_ENDS;
    if (this.#endedPids[slot] === pid && this.#endedStarts[slot] === startTime) return true;
    this.#endedPids[slot] = pid;
    this.#endedStarts[slot] = startTime;
    return false;
  }

  #endRound(witness: Witness, now: number, bootTime: number): Findings | null {
    const from = this.#roundFrom, isBlind = this.#blind > 0;
    this.#roundFrom = bootTime;
    this.#rounds++;
    const before = witness.tasks, kernel = this.#options.readForkCount();
    this.#read(witness);
    const unseenTasks = this.#forks.compare(before, kernel, witness.tasks);
    const round = new Round(this.#options.source, witness);
    const { matched, alone } = this.#unmatched.expire();
    this.#matched += matched;
    for (const record of alone) {
      if (record.time < witness.since + SETTLING_NS) continue;
      switch (this.#judge(record, round)) {
        case "wait":
          this.#unmatched.putBack(record);
          break;
        case "missed":
          round.add(record, record.kind === FORK && this.#firstborn.get(record.pid)?.time === record.time);
      }
    }
    this.#losses.endRound();
    for (const [pid, { round }] of this.#firstborn) {
      if (this.#rounds - round > FIRSTBORN_ROUNDS) this.#firstborn.delete(pid);
    }
    this.#tally.add(now, { matched: this.#matched, missed: round.missed, unconfirmed: round.unconfirmed });
    this.#explained += round.explained;
    this.#unseenTasks += unseenTasks;
    this.#matched = 0;
    const notices: string[] = [];
    if (isBlind) {
      this.#incomparable++;
      if (!this.#wasBlind) {
        notices.push(`completeness cannot be proven now: the socket of ${witness.name} was full, or too much waits`);
      }
      this.#blind--;
    }
    this.#deaf = Math.max(0, this.#deaf - 1);
    this.#wasBlind = isBlind;
    return round.findings(from, bootTime, unseenTasks, notices);
  }

  #judge(record: Unmatched, round: Round): "missed" | "wait" | "known" {
    if (record.source === 0) return this.#blind > 0 ? "known" : round.isUnderWay(record) ? "wait" : "missed";
    if (this.#deaf > 0 || record.kind === EXIT && round.goesOn(record)) return "known";
    if (this.#losses.explain(record.kind, record.time)) {
      round.explain();
      return "known";
    }
    return "missed";
  }
}
