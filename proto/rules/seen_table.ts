/**
 * What a `first_seen` has seen: a bounded memory of values, each with the time for which it was seen last.
 *
 * It outlives the agent: what a batch changes is stored with its events ({@linkcode SeenTable.changes}) and given back at
 * the start ({@linkcode SeenTable.restore}). So that values that are seen all day are not written all day, the time that
 * is kept for one is up to a {@linkcode GRAIN}th of the time to remember behind, here as in the store: a restart changes
 * nothing.
 *
 * Full, it forgets what was seen longest ago, which is a reason against its verdicts for as long as that might have counted.
 *
 * @module
 */
import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { type Base, type Correlation, formsOf } from "./correlation.ts";
import { bounded } from "./evidence.ts";
import { columnAt, type Form } from "./predicate.ts";
import type { ValidatedRule } from "./rule.ts";
import { type Evaluated, type Found, MAX_FOUND, type WatchTable } from "./watch_table.ts";
import { keyOf } from "./window_evaluation.ts";

const GRAIN = 64;
/** What a value takes, measured. */
const VALUE_BYTES = 120;
/** Longest text that stands for values as it is. */
const MAX_PLAIN_KEY = 64;

const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!, EXEC_ID = PLACES.get("exec_id")!;

/** What is kept of one rule. */
export interface SeenMemory {
  readonly ruleId: string;
  /** Names what the rule looks for: other values are none of these. */
  readonly fingerprint: string;
  /** When it began to learn. */
  readonly began: number;
  /** When a value was last forgotten for want of room, in the time of events; 0 when none was. */
  readonly forgot: number;
}

/** What one batch changes of it: `null` is a value that was forgotten. */
export interface SeenChanges extends SeenMemory {
  readonly values: ReadonlyMap<string, number | null>;
}

export class SeenTable implements WatchTable {
  readonly bases: readonly Form[];
  readonly suppressible = -1;
  readonly columns: ReadonlySet<string>;
  readonly keepMs = 0;
  readonly rows = 0;
  readonly oldest = Infinity;
  readonly due = Infinity;
  readonly takesLate = true;
  readonly judgesAgain = false;
  readonly #rule: ValidatedRule;
  readonly #of: Extract<Correlation, { kind: "first_seen" }>;
  readonly #fingerprint: string;
  readonly #places: readonly (readonly number[])[];
  /** Oldest first. */
  readonly #seen = new Map<string, number>();
  #began = Infinity;
  #forgot = 0;
  #fresh: Found[] = [];
  /** What was there before the batch. */
  #before: { began: number; forgot: number } = { began: Infinity, forgot: 0 };
  readonly #changed = new Map<string, number | undefined>();

  constructor(rule: ValidatedRule) {
    const of = rule.correlation!;
    if (of.kind !== "first_seen") throw new TypeError("A memory of values belongs to first_seen");
    this.#rule = rule;
    this.#of = of;
    this.bases = formsOf(of);
    this.#fingerprint = fingerprintOf(of.bases);
    this.#places = of.bases.map(({ by }) => by.map((source) => source.kind === "column" ? source.place : -1));
    const columns = this.#places.flat().map((place) => columnAt(place).name);
    this.columns = new Set(["event_id", "time", "exec_id", ...columns]);
  }

  get bytes(): number {
    return this.#seen.size * VALUE_BYTES;
  }

  /** How many values it knows. */
  get size(): number {
    return this.#seen.size;
  }

  get isEnough(): boolean {
    return this.#fresh.length > 0;
  }

  /** When its verdicts can first be found; `Infinity` before the first event. */
  get learnsUntil(): number {
    return this.#began + this.#of.learnMs;
  }

  /** When a value was last forgotten for want of room; 0 when none was. */
  get forgot(): number {
    return this.#forgot;
  }

  begin(time: number): void {
    if (this.#began === Infinity) this.#began = time;
  }

  insert(cells: readonly SqlValue[], arrival: number, bases: number): void {
    if (arrival <= 0) return; // what was there before a restart is in the memory
    const time = cells[TIME] as number;
    this.#places.forEach((places, base) => {
      if ((bases & 1 << base) === 0) return;
      const values: SqlValue[] = places.map((place) => cells[place]!);
      if (values.includes(null)) return;
      this.#see(values, time, arrival, cells[EXEC_ID] as string | null);
    });
  }

  #see(values: readonly SqlValue[], time: number, arrival: number, execId: string | null): void {
    const text = JSON.stringify(values), key = text.length <= MAX_PLAIN_KEY ? text : keyOf(values);
    const { windowMs, remember, groupBy } = this.#of, last = this.#seen.get(key);
    const isNew = last === undefined || time - last > windowMs;
    if (!isNew && time - last <= windowMs / GRAIN) return;
    this.#change(key);
    this.#seen.delete(key);
    this.#seen.set(key, time);
    if (this.#seen.size > remember) this.#forget(time);
    if (!isNew || time < this.learnsUntil) return;
    this.#fresh.push({
      key: keyOf(values),
      arrival,
      cells: null,
      evidence: () => ({
        ...Object.fromEntries(groupBy.map((name, i) => [name, bounded(values[i]!)])),
        events: 1,
        exec_ids: JSON.stringify(execId === null ? [] : [execId]),
      }),
    });
  }

  /** Makes room for one value. */
  #forget(now: number): void {
    const [oldest] = this.#seen;
    const [key, time] = oldest!;
    this.#change(key);
    this.#seen.delete(key);
    if (now - time <= this.#of.windowMs) this.#forgot = Math.max(this.#forgot, now);
  }

  #change(key: string): void {
    if (!this.#changed.has(key)) this.#changed.set(key, this.#seen.get(key));
  }

  evict(): void {}

  shrink(): null {
    return null;
  }

  /** What was seen after a clock that went back was seen when it says. */
  evictAfter(from: number): void {
    this.#began = Math.min(this.#began, from);
    for (const [key, time] of this.#seen) {
      if (time <= from) continue;
      this.#change(key);
      this.#seen.set(key, from);
    }
  }

  evaluate(): Evaluated {
    const found = this.#fresh.slice(0, MAX_FOUND), isCut = found.length < this.#fresh.length;
    this.#fresh = [];
    const reason = `only the first ${MAX_FOUND} findings were taken`;
    return { found, suppressed: 0, fault: isCut ? { reason, timedOut: false } : null, ms: 0 };
  }

  settle(): void {
    this.#fresh = [];
  }

  /** What is to be stored with the batch; `null` when it changed nothing. */
  get changes(): SeenChanges | null {
    if (this.#changed.size === 0 && this.#before.began === this.#began) return null;
    const values = new Map([...this.#changed.keys()].map((key) => [key, this.#seen.get(key) ?? null]));
    const { id: ruleId } = this.#rule;
    return { ruleId, fingerprint: this.#fingerprint, began: this.#began, forgot: this.#forgot, values };
  }

  /** Takes back what was stored. Says no to what is of other values. */
  restore({ fingerprint, began, forgot }: SeenMemory, values: Iterable<readonly [string, number]>): boolean {
    if (fingerprint !== this.#fingerprint) return false;
    this.#began = began;
    this.#forgot = forgot;
    this.#seen.clear();
    for (const [key, time] of values) {
      if (this.#seen.size === this.#of.remember) break;
      this.#seen.set(key, time);
    }
    this.keep();
    return true;
  }

  keep(): void {
    this.#changed.clear();
    this.#before = { began: this.#began, forgot: this.#forgot };
  }

  undo(): void {
    const changed = [...this.#changed];
    for (const [key, before] of changed) {
      this.#seen.delete(key);
      if (before !== undefined) this.#seen.set(key, before);
    }
    this.#began = this.#before.began;
    this.#forgot = this.#before.forgot;
    this.#changed.clear();
    this.#fresh = [];
    if (changed.length === 0) return;
    const byTime = [...this.#seen].sort((a, b) => a[1] - b[1]);
    this.#seen.clear();
    for (const [key, time] of byTime) this.#seen.set(key, time);
  }

  clear(): void {
    this.#seen.clear();
    this.#began = Infinity;
    this.#forgot = 0;
    this.#fresh = [];
    this.keep();
  }
}

/** The same for rules that look for the same values in the same events. */
function fingerprintOf(bases: readonly Base[]): string {
  const text = JSON.stringify(bases.map(({ of, by }) => [of, by]));
  return bytesToHex(blake3(new TextEncoder().encode(text), { dkLen: 12 }));
}
