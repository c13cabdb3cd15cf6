// Correlations against what they mean, computed naively over everything that came: random correlations, chains of them too,
// over random events, late ones among them, one by one, in batches, and with restarts and batches undone in between.
import assert from "node:assert/strict";
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import {
  type Base,
  checkCorrelation,
  type Correlation,
  CORRELATION_KINDS,
  type CorrelationKind,
  isCorrelation,
  type Occurrence,
  spanOf,
  type Threshold,
  type ValueSource,
} from "../../../proto/rules/correlation.ts";
import { SETTLE_MS } from "../../../proto/rules/correlation_plan.ts";
import type { Form } from "../../../proto/rules/predicate.ts";
import type { ValidatedRule } from "../../../proto/rules/rule.ts";
import type { WindowEvaluation } from "../../../proto/rules/window_evaluation.ts";
import type { WindowLane } from "../../../proto/rules/window_lane.ts";
import { Random } from "../../fuzz/random.ts";
import { correlationRule, judge, open } from "./correlation_support.ts";
import { eventCells, take } from "./window_support.ts";

const PLACES = columnPlaces("process_events");
const TIME = PLACES.get("time")!, ID = PLACES.get("event_id")!, NAME = PLACES.get("name")!;
const NAMES = ["a", "b", "c", "d"];
const TEMPLATE = correlationRule("random", "type: count\nof: name = 'a'\nwithin: 10s\nat_least: 2");

/** What files the texts of the events name. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  "get f1": ["get", "f1"],
  "f2 /t/f1 .": ["f2", "f1"],
  "--out=f1 http://h/f2?x=/f3#/f4": ["f1", "f2"],
  "-f1 f3  f3": ["f3"],
  "/bin/f1": ["f1"],
  "/bin/f2": ["f2"],
  "/s/f3": ["f3"],
  "/s/": [],
};
const COMMANDS = Object.keys(FILES).slice(0, 4), PATHS = Object.keys(FILES).slice(4);
const COMMAND = PLACES.get("command_line")!, PATH = PLACES.get("executable_path")!, SCRIPT = PLACES.get("script_path")!;

type Row = readonly SqlValue[];
const timeOf = (row: Row): number => row[TIME] as number;
const idOf = (row: Row): number => row[ID] as number;
const inOrder = (a: Row, b: Row): number => timeOf(a) - timeOf(b) || idOf(a) - idOf(b);

function namesForm(names: readonly string[]): Form {
  const list = names.map((value): Form => ({ kind: "literal", value, real: false }));
  return { kind: "in", item: { kind: "column", place: NAME }, list };
}

/** Whether a row meets a form that {@linkcode namesForm} made. */
function isNamed(form: Form, row: Row): boolean {
  return form.kind === "in" && form.list.some((item) => item.kind === "literal" && item.value === row[NAME]);
}

/** A correlation of this kind; its bases have the names of the events that meet them. */
function randomCorrelation(random: Random, kind: CorrelationKind, depth: number): Correlation {
  const column = (name: string): ValueSource => ({ kind: "column", place: PLACES.get(name)! });
  const groupBy: string[] = [
    ["user_id"],
    ["ppid"],
    ["user_id", "ppid"],
    [],
  ][random.below(kind === "first_seen" ? 3 : 4)]!;
  const takesValue = kind.startsWith("value_"), atLeastTwo = ["temporal_ordered", "absence", "temporal"].includes(kind);
  const count = (atLeastTwo ? 2 : 1) + random.below(2);
  const bases: Base[] = Array.from({ length: count }, (_, i): Base => {
    const names = NAMES.filter(() => random.chance(0.4));
    let of: Form | Correlation = namesForm(names.length > 0 ? names : [NAMES[i]!]);
    if (depth > 0 && kind !== "absence" && kind !== "first_seen" && random.chance(0.35)) {
      of = randomCorrelation(random, CORRELATION_KINDS[random.below(7)]!, depth - 1);
    }
    // Now and then another column than the other bases'; of a nested one its group where it has the value
    const by = groupBy.map((name): ValueSource => {
      if (isCorrelation(of) && of.groupBy.includes(name)) return { kind: "group", index: of.groupBy.indexOf(name) };
      return column(random.chance(0.1) ? "effective_user_id" : name);
    });
    const value = kind === "value_count" ? "pid" : random.chance(0.5) ? "memory_usage" : "duration_ms";
    return { name: `base${i}`, of, by, value: takesValue ? column(value) : null };
  });
  if (depth === 2 && !bases.some(({ of }) => isCorrelation(of)) && kind !== "absence" && kind !== "first_seen") {
    if (random.chance(0.5)) byFiles(random, groupBy, bases);
  }
  const operators = ["gt", "gte", "gte", "lt", "lte", "eq", "neq"] as const;
  const thresholds = (most: number): Threshold[] =>
    Array.from({ length: random.chance(0.2) ? 2 : 1 }, () => ({
      operator: operators[random.below(7)]!,
      number: 1 + random.below(most),
    }));
  const common = { bases, groupBy, windowMs: 1_000 * (1 + random.below(6)) };
  switch (kind) {
    case "event_count":
    case "value_count":
      return { kind, ...common, condition: thresholds(4) };
    case "value_sum":
    case "value_avg":
      return { kind, ...common, condition: thresholds(6) };
    case "value_percentile":
      return { kind, ...common, percentile: [1, 25, 50, 90, 100][random.below(5)]!, condition: thresholds(4) };
    case "temporal": {
      const base = (): Occurrence => ({ kind: "base", base: random.below(count) });
      const free: Occurrence = { kind: "or", items: [base(), { kind: "not", item: base() }] };
      const conditions = [null, thresholds(count), { kind: "and", items: [base(), free] } as const, base()];
      return { kind, ...common, condition: conditions[random.below(4)]! };
    }
    case "temporal_ordered":
    case "absence":
      return { kind, ...common };
    case "first_seen":
      return { kind, ...common, windowMs: 20_000, learnMs: 5_000, remember: 1_000 };
  }
}

/** Puts the events apart by files too. */
function byFiles(random: Random, groupBy: string[], bases: Base[]): void {
  groupBy.push("file");
  bases.forEach((base, i) => {
    const sources: ValueSource[] = [
      { kind: "file", places: [COMMAND], words: true },
      { kind: "file", places: [SCRIPT, PATH], words: false },
      { kind: "column", place: PLACES.get("parent_name")! },
    ];
    bases[i] = { ...base, by: [...base.by, sources[i === 0 ? 0 : random.below(3)]!] };
  });
}

interface Hit {
  readonly row: Row;
  readonly group: readonly SqlValue[];
}

/** What meets a base, and the values of it. */
interface Met extends Hit {
  readonly base: number;
  readonly value: SqlValue;
}

function met(correlation: Correlation, rows: readonly Row[]): Met[] {
  return correlation.bases.flatMap((base, i) => {
    const { of } = base;
    const hits: Hit[] = isCorrelation(of) ? hitsOf(of, rows) : rows.filter((row) => isNamed(of, row))
      .map((row) => ({ row, group: [] }));
    return hits.flatMap(({ row, group }) => {
      const at = (source: ValueSource): readonly SqlValue[] => {
        if (source.kind === "group") return [group[source.index]!];
        if (source.kind === "column") return [row[source.place]!];
        const text = source.places.map((place) => row[place]!).find((cell) => cell !== null);
        return text === undefined ? [] : FILES[text as string]!;
      };
      const [value] = base.value === null ? [0] : at(base.value);
      const groups = base.by.reduce<SqlValue[][]>(
        (sofar, source) => sofar.flatMap((values) => at(source).map((each) => [...values, each])),
        [[]],
      );
      return groups.flatMap((values) =>
        values.includes(null) || value === null ? [] : [{ row, group: values, base: i, value: value! }]
      );
    });
  });
}

function isHeld({ operator, number }: Threshold, value: number): boolean {
  return {
    gt: value > number,
    gte: value >= number,
    lt: value < number,
    lte: value <= number,
    eq: value === number,
    neq: value !== number,
  }[operator];
}

function isSo(condition: Occurrence, present: ReadonlySet<number>): boolean {
  if (condition.kind === "base") return present.has(condition.base);
  if (condition.kind === "not") return !isSo(condition.item, present);
  const items = condition.items.map((item) => isSo(item, present));
  return condition.kind === "and" ? !items.includes(false) : items.includes(true);
}

/** Whether steps from this one on are among the events, each after the one before. */
function hasSteps(events: readonly Met[], step: number, until: Met, last: number): boolean {
  if (step < 0) return true;
  return events.some((event) =>
    event.base === step && inOrder(event.row, until.row) < 0 && hasSteps(events, step - 1, event, last)
  );
}

/** The hits of a correlation over everything that came. */
function hitsOf(correlation: Correlation, rows: readonly Row[]): Hit[] {
  const all = met(correlation, rows), hits = new Map<string, Hit>();
  for (const event of all) {
    const { row, group } = event, key = JSON.stringify([idOf(row), group]);
    if (hits.has(key)) continue;
    const window = all.filter((other) =>
      JSON.stringify(other.group) === JSON.stringify(group) && timeOf(other.row) <= timeOf(row) &&
      timeOf(other.row) > timeOf(row) - correlation.windowMs
    );
    // An event counts once, or once for each value
    const once = [...new Map(window.map((other) => [
      JSON.stringify([idOf(other.row), correlation.kind.startsWith("value_") ? other.value : null]),
      other,
    ])).values()];
    const numbers = once.map(({ value }) => value as number).sort((a, b) => a - b);
    const present = new Set(window.map(({ base }) => base));
    const holds = (value: number): boolean =>
      (correlation as { condition: readonly Threshold[] }).condition.every((threshold) => isHeld(threshold, value));
    const sum = numbers.reduce((whole, number) => whole + number, 0);
    let isHit: boolean;
    switch (correlation.kind) {
      case "event_count":
        isHit = holds(once.length);
        break;
      case "value_count":
        isHit = holds(new Set(numbers).size);
        break;
      case "value_sum":
        isHit = holds(sum);
        break;
      case "value_avg":
        isHit = holds(sum / numbers.length);
        break;
      case "value_percentile":
        isHit = holds(numbers.find((_, i) => (i + 1) / numbers.length >= correlation.percentile / 100)!);
        break;
      case "temporal":
        if (correlation.condition === null) isHit = present.size === correlation.bases.length;
        else if (Array.isArray(correlation.condition)) isHit = holds(present.size);
        else isHit = isSo(correlation.condition as Occurrence, present);
        break;
      case "temporal_ordered": {
        const last = correlation.bases.length - 1;
        isHit = event.base === last && hasSteps(window, last - 1, event, last);
        break;
      }
      default:
        throw new TypeError(correlation.kind);
    }
    if (isHit) hits.set(key, { row, group });
  }
  return [...hits.values()].sort((a, b) => inOrder(a.row, b.row));
}

/** What is raised by each event, as `time values`. */
class Oracle {
  readonly #of: Correlation;
  readonly #rows: Row[] = [];
  readonly #raised = new Map<string, number>();
  readonly #decided = new Set<string>();
  readonly #seen = new Map<string, number>();
  readonly #spanMs: number;
  #newest = -Infinity;
  #first: number | null = null;

  constructor(of: Correlation) {
    this.#of = of;
    this.#spanMs = spanOf(of);
  }

  take(row: Row): string[] {
    const time = timeOf(row);
    this.#first ??= time;
    this.#newest = Math.max(this.#newest, time);
    if (this.#of.kind === "first_seen") return this.#see(row);
    const isLate = time <= this.#newest - this.#spanMs;
    if (!isLate && !this.#rows.some((other) => idOf(other) === idOf(row))) this.#rows.push(row);
    if (this.#of.kind === "absence") return this.#absent();
    if (isLate) return [];
    const near = this.#rows.filter((other) => Math.abs(timeOf(other) - time) <= 2 * this.#spanMs);
    return hitsOf(this.#of, near)
      .filter((hit) => timeOf(hit.row) >= time && timeOf(hit.row) < time + this.#spanMs)
      .flatMap(({ group }) => this.#raise(group, time));
  }

  #raise(group: readonly SqlValue[], time: number): string[] {
    const key = JSON.stringify(group), before = this.#raised.get(key);
    if (before !== undefined && time < before + this.#spanMs) return [];
    this.#raised.set(key, time);
    return [`${time} ${key}`];
  }

  #absent(): string[] {
    const all = met(this.#of, this.#rows), { windowMs } = this.#of;
    const due = all.filter(({ row, base, group }) => {
      if (base !== 0 || timeOf(row) + windowMs + SETTLE_MS > this.#newest) return false;
      const key = JSON.stringify([idOf(row), group]);
      if (this.#decided.has(key)) return false;
      this.#decided.add(key);
      return true;
    }).sort((a, b) => inOrder(a.row, b.row));
    return due.flatMap(({ row, group }) => {
      const followed = all.some((other) =>
        other.base > 0 && JSON.stringify(other.group) === JSON.stringify(group) && inOrder(other.row, row) > 0 &&
        timeOf(other.row) <= timeOf(row) + windowMs
      );
      return followed ? [] : this.#raise(group, timeOf(row));
    });
  }

  #see(row: Row): string[] {
    const { windowMs, learnMs } = this.#of as Extract<Correlation, { kind: "first_seen" }>, time = timeOf(row);
    return met(this.#of, [row]).flatMap(({ group }) => {
      const key = JSON.stringify(group), last = this.#seen.get(key);
      if (last !== undefined && time - last <= windowMs / 64) return [];
      this.#seen.set(key, time);
      const isNew = last === undefined || time - last > windowMs;
      return isNew && time >= this.#first! + learnMs ? [`${time} ${key}`] : [];
    });
  }
}

function stream(random: Random, count: number, isLate: boolean): SqlValue[][] {
  let time = 1_700_000_000_000;
  return Array.from({ length: count }, (_, i) => {
    time += 1 + (random.chance(0.03) ? random.below(20_000) : random.below(700));
    const late = isLate && random.chance(0.2) ? random.below(9_000) : 0;
    return eventCells(i + 1, time - late, {
      name: NAMES[random.below(4)]!,
      user_id: random.chance(0.05) ? null : random.below(2),
      effective_user_id: random.below(2),
      ppid: random.below(2),
      pid: random.chance(0.05) ? null : random.below(3),
      memory_usage: random.below(5),
      duration_ms: random.below(12) / 4,
      exec_id: `e${i}`,
      command_line: random.chance(0.1) ? null : COMMANDS[random.below(4)]!,
      executable_path: random.chance(0.1) ? null : PATHS[random.below(4)]!,
      script_path: random.chance(0.7) ? null : PATHS[random.below(4)]!,
      parent_name: random.chance(0.1) ? null : ["f1", "f2", "f3", "get"][random.below(4)]!,
    });
  });
}

function ruleOf(correlation: Correlation): ValidatedRule {
  checkCorrelation(correlation);
  return { ...TEMPLATE, correlation, windowMs: Math.max(1_000, spanOf(correlation)) };
}

function shown({ findings, faults }: WindowEvaluation, { groupBy }: Correlation): string[] {
  assert.deepEqual(faults, []);
  return findings.map(({ time, evidence }) => `${time} ${JSON.stringify(groupBy.map((name) => evidence[name]!))}`);
}

/** A lane that knows what the other knew when it was killed. */
function restarted(
  lane: WindowLane,
  rule: ValidatedRule,
  taken: readonly Row[],
  raised: readonly Raised[],
): WindowLane {
  lane.rollback();
  const next = open(rule), memory = new Map<string, number>();
  next.clear(lane.newest);
  for (const row of taken.toSorted(inOrder).reverse()) {
    if (timeOf(row) > lane.newest - lane.windowMs) assert(next.restore(row));
  }
  for (const { key, time } of raised) {
    if (time > lane.newest - lane.windowMs) next.restoreRaised(rule.id, key, time);
  }
  for (const [of, values] of SEEN.get(lane) ?? []) {
    memory.clear();
    for (const [key, time] of values) memory.set(key, time);
    assert(next.restoreSeen(of, [...memory].sort((a, b) => a[1] - b[1])));
  }
  SEEN.set(next, SEEN.get(lane) ?? []);
  return next;
}

interface Raised {
  readonly key: string;
  readonly time: number;
}

/** What was stored of the values that a lane remembers. */
const SEEN = new WeakMap<WindowLane, [Parameters<WindowLane["restoreSeen"]>[0], Map<string, number>][]>();

function store(lane: WindowLane): void {
  for (const { values, ...memory } of lane.seenChanges) {
    const known = SEEN.get(lane)?.[0]?.[1] ?? new Map<string, number>();
    for (const [key, time] of values) time === null ? known.delete(key) : known.set(key, time);
    SEEN.set(lane, [[memory, known]]);
  }
  lane.commit();
}

const SEEDS = 16, EVENTS = 220;

for (const kind of CORRELATION_KINDS) {
  Deno.test(`${kind}: event by event, late ones too, what is raised is what the correlation means`, () => {
    let found = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed), of = randomCorrelation(random, kind, 2), rule = ruleOf(of);
      const oracle = new Oracle(of);
      using lane = open(rule);
      for (const row of stream(random, EVENTS, true)) {
        const ours = shown(take(lane, [row]), of), theirs = oracle.take(row);
        // Groups of one moment come in no order
        assert.deepEqual(ours.sort(), theirs.sort(), `seed ${seed}, event ${idOf(row)}, ${JSON.stringify(of)}`);
        found += ours.length;
      }
    }
    assert(found > 60, `${found} were raised: the streams prove nothing`);
  });

  Deno.test(`${kind}: in batches, with restarts and batches undone and sent again, it is the same`, () => {
    let found = 0, restarts = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new Random(seed), of = randomCorrelation(random, kind, 2), rule = ruleOf(of);
      const oracle = new Oracle(of), all = stream(random, EVENTS, false);
      let lane = open(rule);
      const raised: Raised[] = [], ours: string[] = [], theirs: string[] = [];
      for (let at = 0; at < all.length;) {
        const begin = at, batch = all.slice(at, at += 1 + random.below(20));
        theirs.push(...batch.flatMap((row) => oracle.take(row)));
        if (random.chance(0.2)) judge(lane, batch); // never stored
        if (random.chance(0.15)) {
          const next = restarted(lane, rule, all.slice(0, begin), raised);
          lane[Symbol.dispose]();
          lane = next;
          restarts += 1;
        }
        const out = judge(
          lane,
          random.chance(0.3) ? [...batch, ...batch.slice(0, kind === "first_seen" ? 0 : 3)] : batch,
        );
        store(lane);
        raised.push(...out.findings);
        ours.push(...shown(out, of));
      }
      lane[Symbol.dispose]();
      assert.deepEqual(ours.sort(), theirs.sort(), `seed ${seed}, ${JSON.stringify(of)}`);
      found += ours.length;
    }
    assert(found > 40 && restarts > 20, `${found} were raised, ${restarts} restarts: the streams prove nothing`);
  });
}
