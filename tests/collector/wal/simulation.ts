/**
 * One simulated life of a log on a bad disk, compared with a model after every crash.
 *
 * The model knows what the log promised: a number is promised when a flush said that it is on disk. After each crash,
 * kill and clean end the log is opened again and must hold every promised record that was not acknowledged away, none
 * twice, all in order, each with the bytes that were written; and every item that it refused must be counted, once.
 *
 * @module
 */
import { WriteAheadLog } from "../../../collector/wal/log.ts";
import type { NewRecord } from "../../../collector/wal/log_options.ts";
import { ITEM_CLASSES } from "../../../collector/wal/shedding.ts";
import { StorageError } from "../../../collector/wal/storage.ts";
import { Random } from "../../fuzz/random.ts";
import { NO_FAULTS, SimStorage, SimulatedCrash } from "../../support/sim_storage.ts";
import { EVENTS, gapCount, gapRecord, lastOf, readAll, smallLog } from "./support.ts";

export interface SimulationResult {
  /** Items that a flush said are on disk. */
  acknowledged: number;
  /** Of those, found after the restarts that followed, or acknowledged away before. */
  present: number;
  doubled: number;
  lost: number;
  refused: number;
  /** Numbers that a crash took before any flush promised them, told as missing. */
  torn: number;
  crashes: number;
  kills: number;
  closes: number;
  steps: number;
}

export function nothing(): SimulationResult {
  return {
    acknowledged: 0,
    present: 0,
    doubled: 0,
    lost: 0,
    refused: 0,
    torn: 0,
    crashes: 0,
    kills: 0,
    closes: 0,
    steps: 0,
  };
}

/** Adds what one life showed to what others did. */
export function add(sum: SimulationResult, one: SimulationResult): void {
  for (const key of Object.keys(sum) as (keyof SimulationResult)[]) sum[key] += one[key];
}

/** The log broke a promise. */
export class BrokenPromise extends Error {
  override name = "BrokenPromise";
}

/** Runs the life with this seed, and tells `trace` its steps. @throws {BrokenPromise} */
export async function simulate(seed: number, trace?: (text: string) => void): Promise<SimulationResult> {
  return await new Life(seed, trace).run();
}

class Life {
  readonly #random: Random;
  readonly #storage: SimStorage;
  readonly #result = nothing();
  readonly #segmentBytes: number;
  readonly #totalBytes: number;
  readonly #maxPendingBytes: number;
  /** Whether the agent of this life hardly ever acknowledges. */
  readonly #lazy: boolean;
  #now = 0;
  #log!: WriteAheadLog;
  /** Payloads by first number, of everything taken and not known to be gone. */
  readonly #taken = new Map<number, { count: number; payload: Uint8Array }>();
  /** Items told of, by the number of their gap record. */
  readonly #gaps = new Map<number, number>();
  /** Numbers that were missing after a crash, and may be. */
  readonly #torn = new Set<number>();
  #promised = 0;
  #acknowledged = 0;
  #refused = 0;
  #refusedPromised = 0;
  #epoch = "";
  #quiet = true;
  #allowance = Infinity;
  /** A flush beside other work that is under way. */
  #flight: Promise<boolean | Error> | null = null;

  constructor(seed: number, private readonly trace: (text: string) => void = () => {}) {
    this.#random = new Random(seed);
    this.#storage = new SimStorage(this.#random);
    this.#storage.trace = trace;
    this.#segmentBytes = this.#random.pick([1_024, 4_096]);
    this.#totalBytes = this.#random.pick([6_144, 12_288, 65_536]);
    this.#maxPendingBytes = this.#random.pick([1_024, 8_192]);
    this.#lazy = this.#random.chance(0.5);
  }

  async run(): Promise<SimulationResult> {
    this.#open();
    const rounds = 2 + this.#random.below(4);
    for (let round = 0; round < rounds; round++) {
      let ended = "alive";
      try {
        await this.#live(5 + this.#random.below(60));
        if (this.#random.chance(0.5)) await this.#land();
        ended = this.#end();
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
      }
      if (ended === "alive") this.#crash();
      this.#flight = null; // nothing of the process that ended is heard of any more
      this.#reopen();
    }
    this.#recoverByItself();
    this.#result.refused = this.#refused;
    this.#result.steps = this.#storage.steps;
    return this.#result;
  }

  #open(): void {
    this.#log = new WriteAheadLog(smallLog(this.#storage, {
      segmentBytes: this.#segmentBytes,
      totalBytes: this.#totalBytes,
      maxPendingBytes: this.#maxPendingBytes,
      clock: () => this.#now,
      random: (length) => this.#random.bytes(length),
      notice: this.trace,
      gapRecord: (sequence, tally) => {
        const made = gapRecord(sequence, tally);
        this.#taken.set(sequence, { count: 1, payload: made.payload });
        this.#gaps.set(sequence, tally.count);
        return made;
      },
    }));
  }

  async #live(steps: number): Promise<void> {
    const random = this.#random;
    for (let i = 0; i < steps; i++) {
      this.#now += random.chance(0.05) ? 60_000 : random.below(300);
      const what = random.below(20);
      if (what < 11) this.#append();
      else if (what < 13) this.#flush();
      else if (what < 15) await this.#flushBeside();
      else if (what < 17) {
        if (!this.#lazy || random.chance(0.1)) this.#acknowledge();
      } else if (what < 18) this.#checkReading();
      else this.#changeFaults();
    }
  }

  #append(): void {
    const random = this.#random, log = this.#log, first = log.nextSequence;
    const count = 1 + random.below(5), payload = random.bytes(8 + random.below(random.chance(0.1) ? 3_000 : 200));
    const time = Math.floor(this.#now), itemClass = random.pick(ITEM_CLASSES);
    const taken: NewRecord = { kind: EVENTS, itemClass, count, time, lastTime: time, payload };
    // Noted first: the append itself may flush, and the flush may be the last thing that happens.
    this.#taken.set(first, { count, payload });
    this.#gaps.delete(first);
    const before = this.#log.nextSequence;
    if (log.append(taken)) return this.#notePromise();
    if (log.nextSequence !== before) throw new BrokenPromise("A refused record took a number");
    this.#taken.delete(first);
    this.#refused += count;
  }

  #flush(): void {
    const waiting = this.#log.nextSequence - 1;
    const refused = this.#refused;
    const flushed = this.#log.flush();
    this.#forgetAbove();
    this.trace(`flush of ${waiting}: ${flushed}, ${this.#log.durable} is on disk`);
    if (flushed) {
      if (this.#log.durable < waiting) throw new BrokenPromise(`flush() said yes, but ${waiting} is not on disk`);
      this.#refusedPromised = refused;
      this.#checkTallies(refused, refused);
    }
    this.#notePromise();
    if (this.#quiet && this.#storage.used() > this.#allowance) {
      throw new BrokenPromise(`The log takes ${this.#storage.used()} bytes`);
    }
  }

  /** Begins one, or has the one that is under way come to its end. */
  async #flushBeside(): Promise<void> {
    if (this.#flight !== null) return await this.#land();
    this.trace(`flush beside of ${this.#log.nextSequence - 1}`);
    this.#storage.holdsSyncs = true;
    let isOver = false;
    this.#flight = this.#log.flushBeside().catch((error: Error) => error).finally(() => isOver = true);
    for (let turns = 0; turns < 8 && !isOver; turns++) await Promise.resolve();
    if (isOver) return await this.#land(); // it was done at once
    this.#forgetAbove();
    this.#notePromise();
  }

  async #land(): Promise<void> {
    if (this.#flight === null) return;
    const end = this.#flight, before = this.#log.nextSequence - 1, refused = this.#refused;
    this.#flight = null;
    this.#storage.land();
    const flushed = await end;
    this.#forgetAbove();
    if (flushed instanceof Error) throw flushed;
    this.trace(`flush beside ended: ${flushed}, ${this.#log.durable} is on disk`);
    if (flushed) {
      if (this.#log.durable < before) throw new BrokenPromise(`flushBeside() said yes, but ${before} is not on disk`);
      this.#refusedPromised = refused;
      this.#checkTallies(refused, refused);
    }
    this.#notePromise();
  }

  #notePromise(): void {
    if (this.#log.durable < this.#promised) throw new BrokenPromise("durable went back");
    this.#result.acknowledged += this.#log.durable - this.#promised;
    this.#result.present += this.#log.durable - this.#promised;
    this.#promised = this.#log.durable;
  }

  #acknowledge(): void {
    const low = this.#acknowledged, high = this.#log.durable;
    this.#acknowledged = Math.max(low, low + this.#random.below(high - low + 1));
    this.trace(`acknowledge ${this.#acknowledged}`);
    this.#log.acknowledge(this.#acknowledged);
  }

  #checkReading(): void {
    const after = this.#acknowledged + this.#random.below(this.#log.durable - this.#acknowledged + 1);
    try {
      for (const item of this.#log.read(after, 1_000)) {
        if (item.kind === "record") this.#checkRecord(item.record.first, item.record.payload);
        else if (this.#quiet) this.#checkMissing(item.first, item.last);
      }
    } catch (error) {
      if (!(error instanceof StorageError)) throw error; // the disk failed, and may do so
    }
  }

  #changeFaults(): void {
    const random = this.#random, faults = this.#storage.faults;
    const kind = random.below(5);
    if (kind === 0) faults.io = random.pick([0, 0.02, 0.3]);
    else if (kind === 1) faults.short = random.pick([0, 0.2]);
    else if (kind === 2) faults.crash = random.pick([0, 0.01, 0.05]);
    else if (kind === 3) faults.capacity = this.#storage.used() + random.below(3_000);
    else this.#storage.faults = { ...NO_FAULTS };
    if (faults.io > 0) this.#quiet = false;
  }

  #end(): string {
    const kind = this.#random.below(3);
    if (kind === 0) return "alive";
    if (kind === 1) {
      this.#result.kills += 1;
      this.#storage.kill();
      return "killed";
    }
    const refused = this.#refused, waiting = this.#log.nextSequence - 1;
    if (this.#log.close()) {
      this.#refusedPromised = refused;
      if (this.#log.durable < waiting) throw new BrokenPromise("close() said yes, but not all is on disk");
    }
    this.#notePromise();
    if (this.#storage.handles !== 0) throw new BrokenPromise(`${this.#storage.handles} files stay open`);
    this.#result.closes += 1;
    // A clean end, and then the machine goes down or it does not.
    if (this.#random.chance(0.5)) this.#storage.crash();
    else this.#storage.kill();
    return "closed";
  }

  #crash(): void {
    this.#result.crashes += 1;
    this.#storage.crash();
  }

  /** Opens what is left, now and then on a disk that fails during that, and holds it against the model. */
  #reopen(): void {
    const { faults } = this.#storage;
    if (this.#random.chance(0.3)) Object.assign(faults, { io: 0.05, short: 0.2, crash: 0.05 });
    this.#quiet = true;
    for (;;) {
      try {
        this.#open();
        break;
      } catch (error) {
        if (error instanceof SimulatedCrash) this.#crash();
        else if (error instanceof StorageError) this.#storage.kill();
        else throw error;
      }
    }
    this.#storage.faults = { ...NO_FAULTS };
    this.#check();
    this.#acknowledged = Math.min(this.#acknowledged, this.#log.durable);
  }

  #check(): void {
    const log = this.#log;
    if (this.#epoch !== "" && this.#promised > 0 && log.identity.epoch !== this.#epoch) {
      throw new BrokenPromise(`Epoch ${this.#epoch} became ${log.identity.epoch}`);
    }
    this.#epoch = log.identity.epoch;
    if (log.nextSequence <= this.#promised) {
      throw new BrokenPromise(`${this.#promised} was on disk, the log goes on with ${log.nextSequence}`);
    }
    // What no flush promised and no restart found is gone; its numbers are given out again.
    this.#forgetAbove();
    this.#flushAfterRestart();
    this.#forgetAbove();
    if (log.durable < this.#promised) throw new BrokenPromise(`${this.#promised} was on disk, now ${log.durable} is`);
    let expected = 1;
    const missing: [number, number][] = [];
    for (const item of readAll(log)) {
      const first = item.kind === "record" ? item.record.first : item.first;
      if (first < expected) this.#result.doubled += 1;
      if (first > expected) throw new BrokenPromise(`After ${expected - 1} comes ${first}, and nothing says why`);
      if (item.kind === "record") this.#checkRecord(first, item.record.payload);
      else missing.push([item.first, item.last]);
      expected = lastOf(item) + 1;
    }
    if (expected !== log.durable + 1) throw new BrokenPromise(`Reading ends at ${expected - 1}, not at ${log.durable}`);
    for (const [first, last] of missing) this.#checkMissing(first, last);
    if (this.#result.doubled > 0) throw new BrokenPromise("A number came twice");
    this.#checkTallies(this.#refusedPromised, this.#refused);
    this.#refused = this.#refusedPromised = this.#told();
    this.#notePromise();
    // Files that were set aside, or that a bad disk did not let go, do not count for the log.
    const { bytes } = log.status;
    this.#allowance = Math.max(this.#totalBytes, bytes) + this.#storage.used() - bytes + 2_048;
  }

  /** What is missing was acknowledged and deleted, or torn by a crash before any flush promised it. */
  #checkMissing(first: number, last: number): void {
    for (let number = first; number <= last; number++) {
      if (number <= this.#acknowledged || this.#torn.has(number)) continue;
      if (number <= this.#promised) {
        this.#result.lost += 1;
        this.#result.present -= 1;
        throw new BrokenPromise(`Number ${number} was on disk and is missing`);
      }
      this.#result.torn += 1;
      this.#torn.add(number);
      this.#taken.delete(number);
      this.#gaps.delete(number);
    }
  }

  /** The end that nothing proved is on disk after the first flush that succeeds. */
  #flushAfterRestart(): void {
    this.#now += 60_000;
    if (!this.#log.flush()) throw new BrokenPromise(`On a good disk a flush failed: ${this.#log.status.fault}`);
  }

  #checkRecord(first: number, payload: Uint8Array): void {
    const model = this.#taken.get(first);
    if (model === undefined) throw new BrokenPromise(`Number ${first} was never taken`);
    if (!same(model.payload, payload)) throw new BrokenPromise(`Number ${first} has other bytes than were taken`);
    if (this.#gaps.has(first) && gapCount(payload) !== this.#gaps.get(first)) throw new BrokenPromise("A gap changed");
  }

  /** Forgets records that have no number: a gap record is made before it is known whether there is room for it. */
  #forgetAbove(): void {
    for (const first of [...this.#taken.keys()]) {
      if (first < this.#log.nextSequence) continue;
      this.#taken.delete(first);
      this.#gaps.delete(first);
    }
  }

  /** Refused items that gap records on disk or tallies tell of. */
  #told(): number {
    let told = 0;
    for (const [number, count] of this.#gaps) if (number <= this.#log.durable) told += count;
    for (const { count } of this.#log.outstanding) told += count;
    return told;
  }

  #checkTallies(least: number, most: number): void {
    const told = this.#told();
    if (told < least || told > most) {
      throw new BrokenPromise(`${told} refused items are told of, but it were at least ${least} and at most ${most}`);
    }
  }

  /** With the disk good again, waiting is all it takes. */
  #recoverByItself(): void {
    this.#storage.faults = { ...NO_FAULTS };
    this.#now += 60_000;
    if (!this.#log.flush() || this.#log.status.fault !== "") {
      throw new BrokenPromise(`The log does not recover: ${this.#log.status.fault}`);
    }
    this.#notePromise();
    this.#log.acknowledge(this.#log.durable);
    this.#acknowledged = this.#log.durable;
    for (let i = 0; i < 3; i++) {
      this.#now += 60_000;
      this.#log.flush();
    }
    this.#notePromise();
    if (!this.#log.close()) throw new BrokenPromise("The log cannot be closed");
    this.#forgetAbove();
    this.#checkTallies(this.#refused, this.#refused);
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
