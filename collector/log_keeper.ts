/**
 * Which log the collector writes, and what it does when that one cannot be used.
 *
 * Logs live in numbered directories of one home; the highest of ours is written. A log of another host, collector or
 * version, or one that holds two epochs, is left as it is and said, and a new one is begun beside it. Where the disk
 * takes none, or has not taken anything for a while, the log is in memory, bounded, and the disk is tried again by
 * itself. Whenever another log takes over, what waits is carried into it under a new epoch, since numbers of an epoch
 * must never be given out twice; the old one is kept aside for a while. Of a log that gave way to one in memory, what it
 * counted as refused stays on disk, as that of no log that is written, and the next one on disk tells of it.
 *
 * Faults of the disk never throw here; they are in {@linkcode LogKeeper.trouble} and in notices.
 *
 * @module
 */
import { carry, carryTallies } from "./carry.ts";
import { type LogHome, tryOut } from "./wal/home.ts";
import { WriteAheadLog } from "./wal/log.ts";
import type { WalOptions } from "./wal/log_options.ts";
import { MemoryStorage } from "./wal/memory_storage.ts";
import { checkOwnership, WalRefusedError } from "./wal/recovery.ts";
import type { Tally } from "./wal/shedding.ts";
import { readState, STATE_NAME } from "./wal/state_file.ts";
import { type Storage, StorageError } from "./wal/storage.ts";

export interface LogKeeperOptions
  extends Pick<WalOptions, "host" | "collectorId" | "clock" | "gapRecord" | "notice" | "taken"> {
  readonly home: LogHome;
  /** Everything on disk together. */
  readonly totalBytes: number;
  readonly segmentBytes: number;
  readonly keepMs: number;
  /** What may wait in memory while the disk takes nothing, and all of a log that is in memory. */
  readonly memoryBytes: number;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly random?: (length: number) => Uint8Array;
}

/** A log that is to be taken over by another one. */
export interface Move {
  readonly to: "disk" | "memory";
  readonly why: string;
}

/** A fault of the disk that lasts so long is answered by a log in memory, once all that is on disk is acknowledged. */
const PATIENCE_MS = 30_000;
const FIRST_TRY_MS = 10_000, LAST_TRY_MS = 600_000;
/** How often it is looked whether the log's file is still there. */
const LOOK_MS = 10_000;
/** An agent that claims numbers which were never given out is believed once in this time: it costs a log each time. */
const RENEWAL_MS = 3_600_000;
/** Logs that were replaced are kept, the newest ones. */
const MAX_ASIDE = 3;
/** After so many failed readings a file is lost. */
const READ_TRIES = 10;
/** A log has at least this many segments, so that what is acknowledged can go piece by piece. */
const LEAST_SEGMENTS = 8;

export class LogKeeper {
  readonly #options: LogKeeperOptions;
  readonly #refused: string[] = [];
  #log: WriteAheadLog;
  /** Its directory; `null` while it is in memory. */
  #name: string | null = null;
  /** Why it is in memory. */
  #why = "";
  /** A log on disk that must not be gone on with: what its last flush left is in doubt, and has been carried over. */
  #stale: { readonly name: string; readonly as: Afterlife } | null = null;
  #faultSince: number | null = null;
  #tryAt = 0;
  #tryMs = FIRST_TRY_MS;
  #lookAt = 0;
  #renewedAt = -Infinity;

  constructor(options: LogKeeperOptions) {
    this.#options = options;
    try {
      this.#log = this.#openDisk();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#log = this.#openMemory(error.message);
    }
  }

  get log(): WriteAheadLog {
    return this.#log;
  }
  /** Whether what the log says is on disk survives the collector. */
  get isDurable(): boolean {
    return this.#name !== null;
  }
  /** Where the log is, for people. */
  get place(): string {
    return this.#name === null ? "memory" : `${this.#options.home.place}/${this.#name}`;
  }
  /** What an operator should see to; empty when all is as it should be. */
  get trouble(): string {
    const words = this.#name !== null ? [] : [
      `the log is in memory, what waits is lost when the collector ends: ${this.#why}; ` +
      `let the collector's user write ${this.#options.home.place}, the collector tries again by itself`,
    ];
    return [...words, ...this.#refused].join("; ");
  }

  /** Whether another log should take over, to be asked now and then. */
  wish(): Move | null {
    const { clock } = this.#options, now = clock(), { fault } = this.#log.status;
    if (this.#name === null) return now >= this.#tryAt && this.#diskTakes(now) ? { to: "disk", why: "" } : null;
    if (fault === "") this.#faultSince = null;
    else {
      this.#faultSince ??= now;
      const isDelivered = this.#log.durable === this.#log.acknowledged;
      if (now - this.#faultSince >= PATIENCE_MS && isDelivered) return { to: "memory", why: fault };
    }
    if (now < this.#lookAt) return null;
    this.#lookAt = now + LOOK_MS;
    return this.#log.isPresent ? null : { to: "disk", why: "its files were deleted while it was written" };
  }

  /**
   * Has another log take over. What was sent and may be stored without an acknowledgement would come twice, so the
   * caller sees to it that there is nothing of that sort above `stored`. Returns whether there is another log now.
   */
  move({ to, why }: Move, stored = 0): boolean {
    const { notice } = this.#options, before = this.place;
    try {
      if (to === "memory") this.#moveToMemory(why, stored);
      else if (this.#name === null) this.#moveToDisk(stored);
      else this.#replace(stored);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      notice(`write-ahead log: ${before} cannot be replaced${why === "" ? "" : ` (${why})`}: ${error.message}`);
      return false;
    }
    this.#faultSince = null;
    notice(
      why === ""
        ? `write-ahead log: it is on disk again, in ${this.place}`
        : `write-ahead log: ${before} is replaced by ${this.place}, as ${why}`,
    );
    return true;
  }

  /** {@linkcode move} for an agent that has numbers which this log never gave out. Not at any time. */
  renew(why: string): boolean {
    const now = this.#options.clock();
    if (now - this.#renewedAt < RENEWAL_MS) return false;
    this.#renewedAt = now;
    return this.#name === null ? this.#renewMemory(why) : this.move({ to: "disk", why });
  }

  #renewMemory(why: string): boolean {
    const old = this.#log;
    this.#log = this.#openMemory(this.#why);
    carry(old, this.#log, this.#options.now());
    carryTallies(old.outstanding, this.#log);
    this.#log.flush();
    this.#options.notice(`write-ahead log: the one in memory is begun anew, as ${why}`);
    return true;
  }

  #moveToMemory(why: string, stored: number): void {
    const old = this.#log, name = this.#name!;
    const fresh = this.#open(new MemoryStorage(), this.#memoryLimits());
    carry(old, fresh, this.#options.now(), stored);
    // Counts that are on disk stay there: in memory they would not outlive the collector.
    const tallies = old.outstanding, isOwed = tallies.length > 0 && old.keepTallies();
    if (!isOwed) carryTallies(tallies, fresh);
    fresh.flush();
    old.abandon();
    this.#log = fresh;
    this.#name = null;
    this.#why = why;
    this.#tryLater();
    // What its last writes left must not be found by the next run: it is told under the new epoch. On a disk that takes
    // no change of names it waits until it does.
    const as = isOwed ? "owed" : "aside";
    if (!this.#putAside(name, as)) this.#stale = { name, as };
  }

  #moveToDisk(stored: number): void {
    const stale = this.#stale;
    if (stale !== null && !this.#putAside(stale.name, stale.as)) {
      throw new StorageError("other", `${stale.name} is stuck`);
    }
    this.#stale = null;
    const old = this.#log, fresh = this.#openDisk();
    try {
      carry(old, fresh, this.#options.now(), stored);
      carryTallies(old.outstanding, fresh);
    } catch (error) {
      fresh.abandon();
      this.#name = null;
      throw error;
    }
    fresh.flush(); // if that fails, it waits in memory as it did
    this.#log = fresh;
    this.#why = "";
    this.#tryMs = FIRST_TRY_MS;
  }

  /** Makes a whole new log beside the old one; one rename puts it in its place. */
  #replace(stored: number): void {
    const { home, now } = this.#options, old = this.#log, name = this.#name!;
    old.flush();
    const fresh = this.#begin(Math.max(highest(home.list()), Number(name)) + 1, (log) => {
      carry(old, log, now(), stored);
      carryTallies(old.outstanding, log);
    });
    old.abandon();
    // From here on a crash finds both; the higher number counts.
    try {
      this.#log = this.#open(home.storage(fresh), this.#diskLimits());
      this.#name = fresh;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#log = this.#openMemory(error.message); // what was carried is found when the disk is tried again
    }
    this.#putAside(name);
  }

  /** A log with what `fill` puts into it: there as a whole, under this number, or not at all. @throws {StorageError} */
  #begin(number: number, fill: (log: WriteAheadLog) => void): string {
    const { home } = this.#options, name = String(number), fresh = `${name}.new`;
    try {
      const log = this.#open(home.storage(fresh), this.#diskLimits());
      try {
        fill(log);
        if (!log.flush()) throw new StorageError("other", log.status.fault || "what waits cannot be written");
      } finally {
        log.close();
      }
      home.rename(fresh, name);
    } catch (error) {
      this.#attempt(() => home.remove(fresh));
      throw error;
    }
    return name;
  }

  /** Opens the log of ours with the highest number, or begins one. @throws {StorageError} */
  #openDisk(): WriteAheadLog {
    const { home } = this.#options, names = home.list();
    for (const name of names) if (/^\d+\.new$/.test(name)) this.#attempt(() => home.remove(name));
    this.#refused.length = 0;
    const existing = numbers(names).sort((a, b) => b - a).map(String);
    let log: WriteAheadLog | null = null;
    while (log === null && existing.length > 0) {
      const name = existing.shift()!;
      log = this.#unlessRefused(name, () => this.#open(home.storage(name), this.#diskLimits()));
      if (log !== null) this.#name = name;
    }
    for (const name of existing) {
      // Of ours with a lower number: a crash came between the birth of the higher one and this.
      this.#attempt(() => {
        const isOurs = this.#unlessRefused(name, () => {
          checkOwnership(home.storage(name), this.#options);
          return true;
        });
        if (isOurs) this.#putAside(name);
      });
    }
    const owed = names.filter((name) => /^\d+\.owed$/.test(name))
      .map((name) => ({ name, tallies: this.#talliesOf(name) }))
      .filter(({ tallies }) => tallies !== null);
    if (log === null) {
      let name = String(highest(names) + 1);
      const tallies = owed.flatMap((each) => each.tallies ?? []);
      if (tallies.length > 0) name = this.#begin(Number(name), (fresh) => carryTallies(tallies, fresh));
      log = this.#open(home.storage(name), this.#diskLimits());
      this.#name = name;
    }
    // A log that is there was begun after them, with what they owe.
    for (const { name } of owed) this.#putAside(name);
    return log;
  }

  /** What a log of ours counted as refused and did not tell; `null` when it is another's. */
  #talliesOf(name: string): readonly Tally[] | null {
    const { home, host, collectorId, notice } = this.#options;
    for (let tries = 1;; tries++) {
      try {
        const file = home.storage(name).open(STATE_NAME);
        try {
          const { state } = readState(file);
          if (state === null) throw new StorageError("other", `${STATE_NAME} is damaged`);
          return state.host === host && state.collectorId === collectorId ? state.tallies : null;
        } finally {
          file.close();
        }
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        if (tries < READ_TRIES) continue;
        notice(`write-ahead log: what ${home.place}/${name} counted as refused is lost: ${error.message}`);
        return [];
      }
    }
  }

  /** What `act` gives for a log, `null` when the log is not ours, which is said. */
  #unlessRefused<T>(name: string, act: () => T): T | null {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof WalRefusedError)) throw error;
      const text = `${this.#options.home.place}/${name} is left alone: ${error.message}`;
      this.#refused.push(text);
      this.#options.notice(`write-ahead log: ${text}`);
      return null;
    }
  }

  #openMemory(why: string): WriteAheadLog {
    if (why !== this.#why) this.#options.notice(`write-ahead log: it is in memory: ${why}`);
    this.#name = null;
    this.#why = why;
    this.#tryLater();
    return this.#open(new MemoryStorage(), this.#memoryLimits());
  }

  #open(storage: Storage, limits: Pick<WalOptions, "totalBytes" | "segmentBytes" | "maxPendingBytes">): WriteAheadLog {
    const { host, collectorId, clock, gapRecord, notice, keepMs, random, taken } = this.#options;
    return new WriteAheadLog({
      ...{ storage, host, collectorId, clock, gapRecord, notice, keepMs, ...limits },
      ...random === undefined ? {} : { random },
      ...taken === undefined ? {} : { taken },
    });
  }

  #diskLimits(): Pick<WalOptions, "totalBytes" | "segmentBytes" | "maxPendingBytes"> {
    const { totalBytes, segmentBytes, memoryBytes } = this.#options;
    const segment = Math.min(segmentBytes, Math.floor(totalBytes / LEAST_SEGMENTS));
    return { totalBytes, segmentBytes: segment, maxPendingBytes: memoryBytes };
  }

  #memoryLimits(): Pick<WalOptions, "totalBytes" | "segmentBytes" | "maxPendingBytes"> {
    const { memoryBytes } = this.#options;
    return {
      totalBytes: memoryBytes,
      segmentBytes: Math.floor(memoryBytes / LEAST_SEGMENTS),
      maxPendingBytes: memoryBytes,
    };
  }

  #diskTakes(now: number): boolean {
    try {
      tryOut(this.#options.home, PROBE);
      return true;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#why = error.message;
      this.#tryAt = now + this.#tryMs;
      this.#tryMs = Math.min(this.#tryMs * 2, LAST_TRY_MS);
      return false;
    }
  }

  #tryLater(): void {
    this.#tryAt = this.#options.clock() + this.#tryMs;
    this.#tryMs = Math.min(this.#tryMs * 2, LAST_TRY_MS);
  }

  /** Gives a log of ours another name, and forgets those that have long had one. */
  #putAside(name: string, as: Afterlife = "aside"): boolean {
    const { home } = this.#options;
    return this.#attempt(() => {
      const names = home.list();
      // Renamed before, by a call that failed after that, in syncing the directory: making the next log does that.
      if (!names.includes(name)) return;
      const aside = names.filter((each) => /^\d+\.aside$/.test(each)).map((each) => parseInt(each)).sort(
        byNumber,
      );
      for (const old of aside.slice(0, Math.max(0, aside.length + 1 - MAX_ASIDE))) home.remove(`${old}.aside`);
      home.rename(name, `${parseInt(name)}.${as}`);
    });
  }

  #attempt(act: () => void): boolean {
    try {
      act();
      return true;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return false;
    }
  }
}

/** What becomes of a log that is not written any more: nothing, or the next one on disk tells what it refused. */
type Afterlife = "aside" | "owed";

/** Removed at each start, like every name of this form. */
const PROBE = "0.new";

function numbers(names: readonly string[]): number[] {
  return names.filter((name) => /^[1-9]\d{0,8}$/.test(name)).map(Number);
}

/** The highest number that a log here has or had. */
function highest(names: readonly string[]): number {
  return Math.max(0, ...numbers(names.map((name) => name.replace(/\.(aside|owed)$/, ""))));
}

function byNumber(a: number, b: number): number {
  return a - b;
}
