/**
 * Which events are hits of a correlation: a function of rows, without memory of its own.
 *
 * The rows are those of one partition in the order of time. A correlation's hits are found group by group by one pass with
 * a window that slides over the group's events; of a nested correlation the hits are such events in their turn.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { type Correlation, holds, isThresholds, occurs } from "./correlation.ts";
import type { PlanBase, PlanNode, Row, Slot } from "./correlation_plan.ts";

/** Events between two looks at the deadline. */
const LOOK_EVERY = 512;

/** An event of a group: what one or several bases met. */
interface Entry {
  readonly row: Row;
  /** A bit for each base. */
  bases: number;
  readonly value: SqlValue;
  /** Of a nested correlation. */
  readonly hit: Hit | null;
}

export interface Hit {
  readonly row: Row;
  readonly group: readonly SqlValue[];
  /** What was compared, `null` where nothing was. */
  readonly measure: number | null;
  /** The events that it is made of, oldest first; those of nested hits are in their place. */
  readonly causes: () => Row[];
}

interface Group {
  readonly values: readonly SqlValue[];
  readonly entries: Entry[];
}

export class HitFinder {
  #looked = 0;

  /** `look` throws when there is no time left. */
  constructor(readonly look: () => void) {}

  /** The hits at events not earlier than `from`, in the order of time. `isOneGroup`: the rows are one group. */
  hits(node: PlanNode, rows: readonly Row[], from: number, isOneGroup: boolean): Hit[] {
    const { correlation } = node, hits: Hit[] = [];
    for (const { values, entries } of this.groups(node, rows, from - correlation.windowMs + 1, isOneGroup)) {
      if (correlation.kind === "temporal_ordered") this.#sequences(correlation, entries, values, from, hits);
      else this.#slide(correlation, entries, values, from, hits);
    }
    return hits.sort((a, b) => byTime(a.row, b.row));
  }

  /** The events of each group that are not earlier than `since`, in the order of time. */
  groups(node: PlanNode, rows: readonly Row[], since: number, isOneGroup: boolean): Iterable<Group> {
    const groups = new Map<string, Group>(), { correlation } = node;
    const add = (base: PlanBase, bit: number, row: Row, hit: Hit | null): void => {
      if (++this.#looked % LOOK_EVERY === 0) this.look();
      const at = (slot: Slot): SqlValue => "cell" in slot ? row.cells[slot.cell]! : hit!.group[slot.group]!;
      const value = base.value === null ? null : at(base.value);
      if (base.value !== null && value === null) return;
      let group = isOneGroup ? groups.get("") : undefined;
      if (group === undefined) {
        const values = base.by.map(at);
        if (values.includes(null)) return;
        const key = isOneGroup ? "" : JSON.stringify(values);
        group = groups.get(key);
        if (group === undefined) groups.set(key, group = { values, entries: [] });
      }
      group.entries.push({ row, bases: bit, value, hit });
    };
    const begin = indexFrom(rows, since);
    node.bases.forEach((base, i) => {
      if (base.node !== null) {
        for (const hit of this.hits(base.node, rows, since, false)) add(base, 1 << i, hit.row, hit);
      } else {for (let at = begin; at < rows.length; at++) {
          if (rows[at]!.leaves & base.leaf) add(base, 1 << i, rows[at]!, null);
        }}
    });
    if (node.bases.length > 1) { for (const { entries } of groups.values()) merge(entries, correlation); }
    return groups.values();
  }

  #slide(correlation: Correlation, entries: Entry[], values: readonly SqlValue[], from: number, hits: Hit[]): void {
    let low = 0, high = 0;
    const state = stateOf(correlation), { windowMs } = correlation;
    while (low < entries.length && entries[low]!.row.time < from - windowMs + 1) low++;
    high = low;
    for (let at = low; at < entries.length; at++) {
      const { row } = entries[at]!;
      if (row.time < from) continue;
      for (; high < entries.length && entries[high]!.row.time <= row.time; high++) {
        if (++this.#looked % LOOK_EVERY === 0) this.look();
        state.add(entries[high]!);
      }
      for (; entries[low]!.row.time <= row.time - windowMs; low++) if (low < high) state.remove(entries[low]!);
      const measure = state.measure(entries, low, high);
      if (!state.holds(measure)) continue;
      const [first, end] = [low, high];
      hits.push({ row, group: values, measure, causes: () => entries.slice(first, end).flatMap(rowsOf) });
    }
  }

  #sequences(of: Correlation, entries: Entry[], values: readonly SqlValue[], from: number, hits: Hit[]): void {
    const chains = new Chains(of);
    for (const entry of entries) {
      if (++this.#looked % LOOK_EVERY === 0) this.look();
      chains.add(entry, values, from, hits);
    }
  }
}

interface Chain {
  readonly begin: number;
  readonly entry: Entry;
  readonly before: Chain | null;
}

/** The steps of a sequence so far. A hit is an event of the last base that the others come before, in their order. */
class Chains {
  readonly #windowMs: number;
  /** For each base the chain up to it that began latest. */
  readonly #best: (Chain | null)[];

  constructor({ bases, windowMs }: Correlation) {
    this.#windowMs = windowMs;
    this.#best = bases.map(() => null);
  }

  /** Takes an event that is not earlier than those before. */
  add(entry: Entry, values: readonly SqlValue[], from: number, hits: Hit[]): void {
    const best = this.#best, last = best.length - 1, { row } = entry;
    // From the last base to the first: no event is two steps
    for (let base = last; base >= 0; base--) {
      if ((entry.bases & 1 << base) === 0) continue;
      const before = base === 0 ? null : best[base - 1]!;
      if (base > 0 && before === null) continue;
      const chain: Chain = { begin: before?.begin ?? row.time, entry, before };
      if (base < last) {
        if (best[base] === null || chain.begin >= best[base]!.begin) best[base] = chain;
      } else if (row.time >= from && chain.begin > row.time - this.#windowMs) {
        hits.push({ row, group: values, measure: null, causes: () => stepsOf(chain) });
      }
    }
  }
}

function stepsOf(chain: Chain): Row[] {
  const steps: (readonly Row[])[] = [];
  for (let step: Chain | null = chain; step !== null; step = step.before) steps.unshift(rowsOf(step.entry));
  return steps.flat();
}

/** What is known of one group whose events come in the order of time, kept from one look to the next. */
export interface Course {
  /** How many rows of the group it has seen, and the time of the last. */
  length: number;
  readonly lastTime: number;
  /** Takes the rows that follow, all later than those before; the hits at those not earlier than `from`. */
  advance(rows: readonly Row[], from: number, look: () => void): Hit[];
}

/** A course for a correlation whose bases are all predicates; `null` for a kind that is judged by what lies between. */
export function courseOf(node: PlanNode): Course | null {
  const { correlation: { kind }, bases } = node;
  if (kind === "absence" || bases.some(({ node }) => node !== null)) return null;
  return kind === "temporal_ordered" ? new Sequence(node) : new Slide(node);
}

/** A sequence in one group: a look costs what came since, however many events wait for the steps before theirs. */
class Sequence implements Course {
  readonly #node: PlanNode;
  readonly #chains: Chains;
  #values: readonly SqlValue[] | null = null;
  length = 0;
  lastTime = -Infinity;

  constructor(node: PlanNode) {
    this.#node = node;
    this.#chains = new Chains(node.correlation);
  }

  advance(rows: readonly Row[], from: number, look: () => void): Hit[] {
    const hits: Hit[] = [], { bases } = this.#node;
    rows.forEach((row, at) => {
      if (at % LOOK_EVERY === LOOK_EVERY - 1) look();
      let met = 0;
      bases.forEach(({ leaf, by }, i) => {
        if ((row.leaves & leaf) === 0) return;
        met |= 1 << i;
        this.#values ??= by.map((slot) => row.cells[(slot as { cell: number }).cell]!);
      });
      if (met === 0) return;
      this.#chains.add({ row, bases: met, value: null, hit: null }, this.#values!, from, hits);
    });
    this.length += rows.length;
    this.lastTime = rows.at(-1)?.time ?? this.lastTime;
    return hits;
  }
}

/** A window that slides over one group: a look costs what came since, however many events the window holds. */
class Slide implements Course {
  readonly #node: PlanNode;
  readonly #entries: Entry[] = [];
  readonly #state: State;
  #low = 0;
  #values: readonly SqlValue[] | null = null;
  length = 0;
  lastTime = -Infinity;

  constructor(node: PlanNode) {
    this.#node = node;
    this.#state = stateOf(node.correlation);
  }

  advance(rows: readonly Row[], from: number, look: () => void): Hit[] {
    const entries = this.#entries, hits: Hit[] = [], { windowMs } = this.#node.correlation;
    if (this.#low > entries.length / 2) {
      entries.splice(0, this.#low);
      this.#low = 0;
    }
    for (let at = 0, begin = entries.length; at < rows.length;) {
      const { time } = rows[at]!;
      // What is of one moment is in one window
      for (; at < rows.length && rows[at]!.time === time; at++) {
        if (at % LOOK_EVERY === LOOK_EVERY - 1) look();
        this.#add(rows[at]!);
      }
      for (let i = begin; i < entries.length; i++) this.#state.add(entries[i]!);
      for (; this.#low < entries.length && entries[this.#low]!.row.time <= time - windowMs; this.#low++) {
        this.#state.remove(entries[this.#low]!);
      }
      const low = this.#low, end = entries.length, measure = this.#state.measure(entries, low, end);
      if (time >= from && end > begin && this.#state.holds(measure)) {
        const causes = (): Row[] => entries.slice(low, end).map(({ row }) => row), group = this.#values!;
        hits.push({ row: entries[begin]!.row, group, measure, causes });
      }
      begin = end;
    }
    this.length += rows.length;
    this.lastTime = rows.at(-1)?.time ?? this.lastTime;
    return hits;
  }

  #add(row: Row): void {
    const begin = this.#entries.length, entries = this.#entries, { bases, correlation: { kind } } = this.#node;
    const cell = (slot: Slot): SqlValue => row.cells[(slot as { cell: number }).cell]!,
      byValue = kind.startsWith("value_");
    bases.forEach(({ leaf, by, value: slot }, i) => {
      if ((row.leaves & leaf) === 0) return;
      const value = slot === null ? null : cell(slot);
      if (slot !== null && value === null) return;
      this.#values ??= by.map(cell);
      let same = begin;
      while (same < entries.length && byValue && entries[same]!.value !== value) same++;
      if (same < entries.length) entries[same]!.bases |= 1 << i;
      else entries.push({ row, bases: 1 << i, value, hit: null });
    });
  }
}

export function byTime(a: Row, b: Row): number {
  return a.time - b.time || a.id - b.id;
}

/** Index of the first row that is not earlier than `time`. */
export function indexFrom(rows: readonly Row[], time: number): number {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]!.time < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function rowsOf({ row, hit }: Entry): readonly Row[] {
  return hit === null ? [row] : hit.causes();
}

/** Puts the events of several bases in order, and one that meets several of them together. */
function merge(entries: Entry[], { kind }: Correlation): void {
  entries.sort((a, b) => byTime(a.row, b.row));
  const byValue = kind.startsWith("value_");
  let kept = 0;
  for (const entry of entries) {
    let same = kept - 1;
    while (same >= 0 && entries[same]!.row.id === entry.row.id && byValue && entries[same]!.value !== entry.value) {
      same--;
    }
    if (same >= 0 && entries[same]!.row.id === entry.row.id) entries[same]!.bases |= entry.bases;
    else entries[kept++] = entry;
  }
  entries.length = kept;
}

/** What is known of the events in the window. */
interface State {
  add(entry: Entry): void;
  remove(entry: Entry): void;
  measure(entries: readonly Entry[], low: number, high: number): number | null;
  holds(measure: number | null): boolean;
}

function stateOf(correlation: Correlation): State {
  switch (correlation.kind) {
    case "event_count":
      return thresholds(correlation.condition, { add() {}, remove() {}, measure: (_, low, high) => high - low });
    case "value_count":
      return thresholds(correlation.condition, distinct());
    case "value_sum":
    case "value_avg":
      return thresholds(correlation.condition, sum(correlation.kind === "value_avg"));
    case "value_percentile":
      return thresholds(correlation.condition, percentile(correlation.percentile));
    case "temporal": {
      const { condition, bases } = correlation, counts = bases.map(() => 0);
      const change = ({ bases: bits }: Entry, by: number): void => {
        for (let i = 0; i < counts.length; i++) if (bits & 1 << i) counts[i]! += by;
      };
      return {
        add: (entry) => change(entry, 1),
        remove: (entry) => change(entry, -1),
        measure: () => counts.filter((count) => count > 0).length,
        holds(measure) {
          if (condition === null) return measure === counts.length;
          return isThresholds(condition) ? holds(condition, measure!) : occurs(condition, (base) => counts[base]! > 0);
        },
      };
    }
    case "temporal_ordered":
    case "absence":
    case "first_seen":
      throw new TypeError(`${correlation.kind} is not judged by what a window holds`);
  }
}

type Measured = Omit<State, "holds">;

function thresholds(condition: Parameters<typeof holds>[0], state: Measured): State {
  return { ...state, holds: (measure) => measure !== null && holds(condition, measure) };
}

function distinct(): Measured {
  const counts = new Map<SqlValue, number>();
  return {
    add: ({ value }) => void counts.set(value, (counts.get(value) ?? 0) + 1),
    remove({ value }) {
      const count = counts.get(value)!;
      if (count === 1) counts.delete(value);
      else counts.set(value, count - 1);
    },
    measure: () => counts.size,
  };
}

function sum(isAverage: boolean): Measured {
  let total = 0, fractions = 0;
  const change = ({ value }: Entry, by: number): void => {
    if (!Number.isInteger(value)) fractions += by;
    else total += by * (value as number);
  };
  return {
    add: (entry) => change(entry, 1),
    remove: (entry) => change(entry, -1),
    measure(entries, low, high) {
      let whole = total;
      // What was added and taken away again would leave its rounding behind
      if (fractions > 0) { for (let i = low; i < high; i++) whole += fraction(entries[i]!.value); }
      return isAverage ? whole / (high - low) : whole;
    },
  };
}

function fraction(value: SqlValue): number {
  return Number.isInteger(value) ? 0 : value as number;
}

function percentile(percent: number): Measured {
  const sorted: number[] = [];
  const place = (value: number): number => {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    add: ({ value }) => void sorted.splice(place(value as number), 0, value as number),
    remove: ({ value }) => void sorted.splice(place(value as number), 1),
    measure: () => sorted.length === 0 ? null : sorted[Math.ceil(sorted.length * percent / 100) - 1]!,
  };
}
