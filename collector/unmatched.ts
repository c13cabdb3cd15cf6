/**
 * Records of two sources that wait for their counterpart in the other one.
 *
 * A table by kind and pid in typed arrays, as in a storm there are tens of thousands a second: no object for any, and
 * no more memory than {@linkcode MAX_UNMATCHED} of them take. Of several of one kind and pid the oldest is matched first.
 *
 * Both sources tell the time, and counterparts are of nearly the same: pids come round, in a storm within seconds, and a
 * record whose counterpart was lost must not take that of the pid's next process, which would then be alone in its place
 * and take that of the next but one. Where the kernel itself stops between telling the one and the other (a tracer holds
 * a program that has just begun, a large process gives its memory back) the times lie apart; so what is left of a kind
 * and pid in both sources, when it has waited and nothing nearer can come, is matched whatever its time.
 *
 * @module
 */

/** Records that can wait at once. */
export const MAX_UNMATCHED = 131_072;
/**
 * How far apart the times of counterparts may be that are matched at once: more than the kernel takes between telling
 * both, less than pids take to come round (32,768 of them, some 10 us each on each processor).
 */
export const NEAR_NS = 100e6;
const FIRST_SLOTS = 4_096;
/** Pids take 22 bits of a key, kinds two, the source one; a key of 0 is an empty slot. */
const MAX_PID = 0x3f_ffff;

/** A record that found no counterpart. */
export interface Unmatched {
  readonly kind: number;
  readonly pid: number;
  /** 0: the first source saw it; 1: the second did. */
  readonly source: number;
  readonly time: number;
}

/** What came of the records that waited. */
export interface Expired {
  /** Pairs of which both had waited. */
  readonly matched: number;
  /** Those without a counterpart, the oldest first. */
  readonly alone: Unmatched[];
}

export class UnmatchedRecords {
  #keys = new Int32Array(FIRST_SLOTS);
  #times = new Float64Array(FIRST_SLOTS);
  #rounds = new Int32Array(FIRST_SLOTS);
  #mask = FIRST_SLOTS - 1;
  #size = 0;
  #round = 0;

  get size(): number {
    return this.#size;
  }

  /** Takes a record of `source`. `matched` when the other source had it, `full` when it cannot be kept. */
  take(source: number, kind: number, pid: number, time: number): "matched" | "waits" | "full" {
    if (pid > MAX_PID) return "full";
    const key = keyOf(source, kind, pid), counterpart = keyOf(1 - source, kind, pid);
    let slot = this.#home(key);
    for (; this.#keys[slot] !== 0; slot = (slot + 1) & this.#mask) {
      if (this.#keys[slot] !== counterpart || Math.abs(this.#times[slot]! - time) > NEAR_NS) continue;
      this.#remove(slot);
      return "matched";
    }
    return this.#put(key, time, this.#round) ? "waits" : "full";
  }

  /** Puts one back that was handed out, to wait for two more rounds. */
  putBack({ source, kind, pid, time }: Unmatched): void {
    this.#put(keyOf(source, kind, pid), time, this.#round);
  }

  /**
   * Ends a round, and takes out what has waited for a whole one beside the one in which it came. What could be the
   * counterpart, at another time, of a record that has come since stays for a round more: that one's own may yet come.
   */
  expire(): Expired {
    const round = this.#round++;
    if (this.#size === 0) return NOTHING;
    const keys = this.#keys, times = this.#times, rounds = this.#rounds;
    const due: (Unmatched & { readonly round: number })[] = [];
    for (let slot = 0; slot < keys.length; slot++) {
      const key = keys[slot]!;
      if (key === 0 || rounds[slot]! >= round) continue;
      due.push({ kind: (key >> 1) & 3, pid: key >>> 3, source: key & 1, time: times[slot]!, round: rounds[slot]! });
    }
    if (due.length === 0) return NOTHING;
    this.#allot(keys.length);
    for (let slot = 0; slot < keys.length; slot++) {
      if (keys[slot] !== 0 && rounds[slot]! >= round) this.#put(keys[slot]!, times[slot]!, rounds[slot]!);
    }
    due.sort((a, b) => a.time - b.time);
    const left = withoutPairs(due);
    const alone = left.filter(({ source, kind, pid, time, round }) =>
      !this.#has(keyOf(1 - source, kind, pid)) || !this.#put(keyOf(source, kind, pid), time, round)
    ).map(({ round: _, ...record }) => record);
    return { matched: (due.length - left.length) / 2, alone };
  }

  /** Forgets everything. */
  clear(): void {
    this.#allot(FIRST_SLOTS);
  }

  #has(key: number): boolean {
    let slot = this.#home(key);
    while (this.#keys[slot] !== 0 && this.#keys[slot] !== key) slot = (slot + 1) & this.#mask;
    return this.#keys[slot] === key;
  }

  #put(key: number, time: number, round: number): boolean {
    if (this.#size >= MAX_UNMATCHED) return false;
    if (this.#size * 2 >= this.#keys.length) this.#grow();
    let slot = this.#home(key);
    while (this.#keys[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#keys[slot] = key;
    this.#times[slot] = time;
    this.#rounds[slot] = round;
    this.#size++;
    return true;
  }

  /** Empties a slot, and moves those after it up that would otherwise not be found (Knuth, 6.4, algorithm R). */
  #remove(slot: number): void {
    const keys = this.#keys, mask = this.#mask;
    this.#size--;
    for (let next = (slot + 1) & mask; keys[next] !== 0; next = (next + 1) & mask) {
      const distance = (next - this.#home(keys[next]!)) & mask;
      if (distance < ((next - slot) & mask)) continue;
      keys[slot] = keys[next]!;
      this.#times[slot] = this.#times[next]!;
      this.#rounds[slot] = this.#rounds[next]!;
      slot = next;
    }
    keys[slot] = 0;
  }

  #grow(): void {
    const keys = this.#keys, times = this.#times, rounds = this.#rounds;
    this.#allot(keys.length * 2);
    for (let slot = 0; slot < keys.length; slot++) {
      if (keys[slot] !== 0) this.#put(keys[slot]!, times[slot]!, rounds[slot]!);
    }
  }

  #allot(slots: number): void {
    this.#keys = new Int32Array(slots);
    this.#times = new Float64Array(slots);
    this.#rounds = new Int32Array(slots);
    this.#mask = slots - 1;
    this.#size = 0;
  }

  /** The same for a record and its counterpart. */
  #home(key: number): number {
    return (Math.imul(key >>> 1, 0x9e37_79b1) >>> 8) & this.#mask;
  }
}

const NOTHING: Expired = { matched: 0, alone: [] };

/** What is left when records of one kind and pid that both sources have are taken out in pairs, the oldest first. */
function withoutPairs<R extends Unmatched>(records: readonly R[]): R[] {
  const waiting = new Map<number, R[]>();
  const left = new Set<R>();
  for (const record of records) {
    const { source, kind, pid } = record, key = keyOf(0, kind, pid), others = waiting.get(key);
    if (others === undefined) waiting.set(key, [record]);
    else if (others[0]?.source === 1 - source) {
      left.delete(others.shift()!);
      continue;
    } else others.push(record);
    left.add(record);
  }
  return [...left];
}

/** Never 0: no process has the pid 0. */
function keyOf(source: number, kind: number, pid: number): number {
  return pid << 3 | kind << 1 | source;
}
