/**
 * What triggers ask for: each once, the most urgent first, in bounded room, and no more often than is allowed.
 *
 * Nothing is dropped in silence: what was the same as before, past a limit, or found no room is counted, and while room or
 * rate is short, detection is degraded and says so. What is asked for again while it waits is not asked for twice, but its
 * count goes up.
 *
 * @module
 */
import { PRIORITIES, type Priority } from "../../proto/analysis/trigger.ts";
import { TokenBucket } from "../token_bucket.ts";

/** Requests that wait, and what was asked for before that is remembered. */
export const MAX_PENDING = 1_000, MAX_REMEMBERED = 20_000;
/** For so long after the last request that was not taken, detection counts as degraded. */
const DEGRADED_MS = 300_000;

/** Who asks, with how often and how soon again. */
export interface Asker {
  readonly id: string;
  readonly perMinute: number;
  readonly againMs: number;
}

export interface QueueCounts {
  /** Requests in all. */
  analysis_hits: number;
  /** The same as one that waits, or was taken a short while ago. */
  analysis_repeated: number;
  /** Past the limit of their trigger. */
  analysis_limited: number;
  /** That found no room, or lost theirs to a more urgent one. */
  analysis_dropped: number;
}

interface Waiting<T> {
  readonly request: T;
  hits: number;
}

/** What became of a request. */
export type Verdict = "taken" | "repeated" | "limited" | "dropped";

export class TriggerQueue<T> {
  readonly counts: QueueCounts = { analysis_hits: 0, analysis_repeated: 0, analysis_limited: 0, analysis_dropped: 0 };
  /** By priority, each in the order of coming; a Map keeps that order and takes one out at no cost. */
  readonly #lanes = new Map<Priority, Map<string, Waiting<T>>>(PRIORITIES.map((priority) => [priority, new Map()]));
  readonly #waiting = new Map<string, Waiting<T>>();
  /** Until when the same is not asked for again, the oldest first. */
  readonly #remembered = new Map<string, number>();
  readonly #buckets = new Map<string, { readonly perMinute: number; readonly bucket: TokenBucket }>();
  readonly #clock: () => number;
  readonly #dropped: (request: T) => void;
  #shortUntil = -Infinity;

  /** `dropped` hears of a request that waited and lost its place. */
  constructor(dropped: (request: T) => void = () => {}, clock: () => number = () => performance.now()) {
    this.#dropped = dropped;
    this.#clock = clock;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** What was asked for lately and is remembered. */
  get remembered(): number {
    return this.#remembered.size;
  }

  /** Whether requests were not taken of late for want of room or rate. */
  get isShort(): boolean {
    return this.#clock() < this.#shortUntil;
  }

  /**
   * Asks for something. Most of a storm is not taken, so that nothing is made for it but its key.
   *
   * @param key what it is about: the same is not asked for twice
   * @param by `null` for a person, who is not limited
   * @param make what waits, made where it is taken
   */
  add(key: string, priority: Priority, by: Asker | null, make: () => T, now: number = this.#clock()): Verdict {
    const { counts } = this;
    counts.analysis_hits++;
    const same = this.#waiting.get(key);
    if (same !== undefined) {
      same.hits++;
      counts.analysis_repeated++;
      return "repeated";
    }
    if (by !== null && (this.#remembered.get(key) ?? -Infinity) > now) {
      counts.analysis_repeated++;
      return "repeated";
    }
    if (by !== null && !this.#bucket(by, now).take(now)) {
      counts.analysis_limited++;
      this.#shortUntil = now + DEGRADED_MS;
      return "limited";
    }
    if (this.#waiting.size >= MAX_PENDING && !this.#makeRoom(priority)) {
      this.#lost(now);
      return "dropped";
    }
    const waiting = { request: make(), hits: 1 };
    this.#waiting.set(key, waiting);
    this.#lanes.get(priority)!.set(key, waiting);
    // Only what is taken is remembered: what found no room is asked for anew.
    if (by !== null) this.#remember(key, now + by.againMs);
    return "taken";
  }

  /** The most urgent request, of those the oldest, with how often it was asked for. */
  take(): { readonly request: T; readonly hits: number } | null {
    for (const priority of PRIORITIES.toReversed()) {
      const first = this.#lanes.get(priority)!.entries().next();
      if (first.done) continue;
      const [key, waiting] = first.value;
      this.#lanes.get(priority)!.delete(key);
      this.#waiting.delete(key);
      return waiting;
    }
    return null;
  }

  /** Other triggers take the place of those before: their limits begin anew where they changed. */
  forget(triggers: ReadonlySet<string>): void {
    for (const id of this.#buckets.keys()) if (!triggers.has(id)) this.#buckets.delete(id);
  }

  #bucket({ id, perMinute }: Asker, now: number): TokenBucket {
    let known = this.#buckets.get(id);
    if (known?.perMinute !== perMinute) {
      known = { perMinute, bucket: new TokenBucket({ burst: perMinute, perSecond: perMinute / 60 }, now) };
      this.#buckets.set(id, known);
    }
    return known.bucket;
  }

  /** Takes the place of the newest that is less urgent. */
  #makeRoom(priority: Priority): boolean {
    for (const lower of PRIORITIES.slice(0, PRIORITIES.indexOf(priority))) {
      const lane = this.#lanes.get(lower)!, key = [...lane.keys()].at(-1);
      if (key === undefined) continue;
      const { request } = lane.get(key)!;
      lane.delete(key);
      this.#waiting.delete(key);
      this.#remembered.delete(key);
      this.#lost(this.#clock());
      this.#dropped(request);
      return true;
    }
    return false;
  }

  #lost(now: number): void {
    this.counts.analysis_dropped++;
    this.#shortUntil = now + DEGRADED_MS;
  }

  #remember(key: string, until: number): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, until);
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= MAX_REMEMBERED) break;
      this.#remembered.delete(oldest);
    }
  }
}
