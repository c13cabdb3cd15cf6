/**
 * Removes what is older than it should be kept, or more than there is room for, in steps of some milliseconds.
 *
 * Events go by whole partitions, the oldest first, for age by a clock that cannot run away (`retention_clock.ts`) and
 * for size whatever any clock says. A step is a transaction of its own, and one that fails is tried again: a crash
 * leaves either what was before a step or what was after it. Whatever goes is told in the table `retention`, except
 * notes that only the agent reads.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { CollectedTables } from "./collected_tables.ts";
import { type Partition, type Partitions, Reclaimer } from "./partitions.ts";
import { type RemovalReason, Removals } from "./removals.ts";
import { RetentionClock } from "./retention_clock.ts";
import { SideTables } from "./side_tables.ts";
import { Space } from "./space.ts";

export interface StoreLimits {
  /** How long events are kept, in milliseconds; processes and snapshots go with them. */
  readonly retentionMs: number;
  /** How long alerts and gaps are kept. */
  readonly alertRetentionMs: number;
  /** Bytes that the database's file and its log may take. */
  readonly maxBytes: number;
}

/**
 * A month of events answers most questions that are asked when something is found; alerts and gaps are few, and those
 * of the year before are compared with. 4 GiB hold some 20 million events.
 */
export const DEFAULT_LIMITS: StoreLimits = {
  retentionMs: 30 * 86_400_000,
  alertRetentionMs: 400 * 86_400_000,
  maxBytes: 4 * 2 ** 30,
};

/**
 * Partitions that the time of retention, and likewise the size, is divided into. More would remove in smaller pieces;
 * but SQLite expands a join of events with events to one for each pair of partitions, and up to some thirty that is
 * fast (`MAX_EXPANSION`). None spans less than an hour for its age.
 */
const PARTITIONS = 24;
const MIN_SPAN_MS = 3_600_000;
/** Most events of one partition, whatever its size: freeing one then takes seconds, not minutes. */
const MAX_PARTITION_EVENTS = 2_000_000;
/** Most room that the log is given out of the whole. */
const MAX_LOG_BYTES = 64 << 20;
/** How often the clock is kept. */
const KEEP_CLOCK_MS = 600_000;
/** Between two looks at tables other than events, while nothing is to remove there. */
const SIDE_INTERVAL_MS = 2_000;

/** A partition that left the store's tables, for the log of the agent. */
export interface Removed {
  readonly partition: Partition;
  readonly reason: RemovalReason;
}

export class Retention {
  readonly #db: DatabaseSync;
  readonly #partitions: Partitions;
  #limits: StoreLimits;
  readonly #space: Space;
  readonly #reclaimer: Reclaimer;
  readonly #removals: Removals;
  readonly #side: SideTables;
  readonly #clock: RetentionClock;
  #spanMs = 0;
  /** Open since, by the clock that does not jump, and so far as it can be known by the wall clock. */
  #openSince: number;
  #partitionBytes = 0;
  /** What was in use when the store became too large. */
  #tooLargeSince: number | null = null;
  #clockKept = -Infinity;
  #sideLooked = -Infinity;
  #removed: Removed | null = null;
  /** Events that went since the start, by reason. */
  readonly removedEvents: Record<RemovalReason, number> = { age: 0, size: 0 };

  constructor(
    db: DatabaseSync,
    partitions: Partitions,
    limits: StoreLimits,
    wall: number,
    monotonic: number,
    collected: CollectedTables | null = null,
  ) {
    this.#db = db;
    this.#partitions = partitions;
    this.#limits = limits;
    this.#space = new Space(db);
    this.#reclaimer = new Reclaimer(db);
    this.#removals = new Removals(db);
    this.#side = new SideTables(db, limits.maxBytes, this.#removals, collected);
    this.limit(limits);
    const kept = db.prepare("SELECT value FROM agent_state WHERE name = 'retention_clock'").get();
    this.#clock = new RetentionClock((kept?.["value"] as number | undefined) ?? wall, monotonic);
    // A partition that seems to be from the future was opened before a clock was set back: it begins anew.
    const age = wall - partitions.open.openedTime;
    this.#openSince = monotonic - Math.max(0, Math.min(age, this.#spanMs));
  }

  /** From here on keeps the store within these. */
  limit(limits: StoreLimits): void {
    this.#limits = limits;
    this.#partitionBytes = limits.maxBytes / PARTITIONS;
    this.#spanMs = Math.max(MIN_SPAN_MS, limits.retentionMs / PARTITIONS);
    this.#side.limit(limits.maxBytes);
  }

  /** Bytes that the log may take before it has to be moved. */
  get logLimit(): number {
    return logLimit(this.#limits);
  }

  /** What the pages of the database take that hold something. */
  get usedBytes(): number {
    return this.#space.usedBytes;
  }

  /** The partition that the last step hid, once. */
  takeRemoved(): Removed | null {
    const removed = this.#removed;
    this.#removed = null;
    return removed;
  }

  /** Whether the next batch should go into a new partition. */
  isRotationDue(monotonic: number): boolean {
    const { openEvents, openBytes } = this.#partitions;
    if (openEvents === 0) return false;
    return openEvents >= MAX_PARTITION_EVENTS || openBytes >= this.#partitionBytes ||
      monotonic - this.#openSince >= this.#spanMs;
  }

  /** Closes the open partition; within a transaction. */
  rotate(wall: number, monotonic: number): void {
    if (this.#partitions.rotate(wall)) this.#openSince = monotonic;
  }

  /** One step, within a transaction. Whether another should follow soon. `inUse` are streams that are open. */
  step(wall: number, monotonic: number, inUse: ReadonlySet<number>): boolean {
    const clock = Math.floor(this.#clock.at(wall, monotonic));
    if (monotonic - this.#clockKept >= KEEP_CLOCK_MS) {
      this.#db.prepare("INSERT OR REPLACE INTO agent_state VALUES ('retention_clock', ?)").run(clock);
      this.#clockKept = monotonic;
    }
    if (this.#reclaimer.pending) return this.#reclaim(wall);
    const oldest = this.#partitions.visible[0]!;
    const { alertRetentionMs, retentionMs } = this.#limits;
    const before = { events: oldest, alerts: clock - alertRetentionMs, rows: clock - retentionMs, clock };
    if (this.#isTooLarge()) {
      // What takes more than its share goes before events do, as long as that is faster than what arrives.
      const used = this.#space.usedBytes;
      this.#tooLargeSince ??= used;
      if (used <= this.#tooLargeSince + this.#partitionBytes / 2 && this.#side.step(before, inUse, wall)) return true;
      return this.#makeRoom(oldest, wall, monotonic);
    }
    this.#tooLargeSince = null;
    if (oldest.state === "closed" && oldest.closedTime! < clock - this.#limits.retentionMs) {
      return this.#remove(oldest, "age", wall);
    }
    if (
      oldest.state === "open" && oldest.openedTime < clock - this.#limits.retentionMs && this.isRotationDue(monotonic)
    ) {
      this.rotate(wall, monotonic); // nothing arrives, and what is there becomes too old all the same
      return true;
    }
    if (monotonic - this.#sideLooked >= SIDE_INTERVAL_MS) {
      if (this.#side.step(before, inUse, wall)) return true;
      this.#sideLooked = monotonic;
    }
    return this.#space.giveBack();
  }

  #isTooLarge(): boolean {
    const { maxBytes } = this.#limits;
    // Half a partition is kept free, since removing takes some seconds and events keep coming
    return this.#space.usedBytes > maxBytes - this.logLimit - this.#partitionBytes / 2;
  }

  #makeRoom(oldest: Partition, wall: number, monotonic: number): boolean {
    if (oldest.state === "closed") return this.#remove(oldest, "size", wall);
    // Only the open one is left: is it what is large, or is it the rest?
    if (this.#partitions.openBytes < this.#partitionBytes && this.#side.makeRoom(wall)) return true;
    if (this.#partitions.openEvents === 0) return this.#space.giveBack();
    this.rotate(wall, monotonic);
    return true;
  }

  #remove(oldest: Partition, reason: RemovalReason, wall: number): boolean {
    this.#partitions.hideOldest();
    this.#side.eventsWent(reason);
    const count = oldest.events ?? 0;
    this.#removals.add(
      { table: "process_events", reason, count, from: oldest.fromTime, to: oldest.toTime },
      wall,
    );
    this.removedEvents[reason] += count;
    this.#removed = { partition: oldest, reason };
    return true;
  }

  #reclaim(wall: number): boolean {
    const { uncounted, events } = this.#reclaimer.step();
    // The table of schema 2 was not counted before
    if (uncounted && events > 0) {
      const { lastReason: reason } = this.#side;
      this.#removals.add({ table: "process_events", reason, count: events, from: null, to: null }, wall);
      this.removedEvents[reason] += events;
    }
    return true;
  }
}

/** Bytes that the log may take. */
export function logLimit({ maxBytes }: StoreLimits): number {
  return Math.min(MAX_LOG_BYTES, maxBytes / 8);
}
