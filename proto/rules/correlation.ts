/**
 * Correlations: what several events mean together, as plain data.
 *
 * A front end makes one from its language: `correlation_yaml.ts` from the key `correlation:` of our rule files, Sigma's
 * correlation documents likewise. {@linkcode checkCorrelation} is the only gate to the engine, which takes nothing from
 * the front end on trust.
 *
 * What a correlation means, for every kind but the last two: at each event `e` that meets one of its bases, the events of
 * `e`'s group whose time is in (e.time - window, e.time] are looked at; when the condition holds over them, the correlation
 * has a hit, and `e` is it. So `lt` and `lte` are judged when an event arrives, and nothing fires because nothing came:
 * that is `absence`. A base that is a correlation meets at the events that are its hits.
 *
 * An event that has NULL for a value of the group takes no part, nor has one that has NULL for the value that is counted.
 *
 * @module
 */
import type { FileSource } from "./file_values.ts";
import { columnAt, type Form, formSize, MAX_FORM_NODES } from "./predicate.ts";

/** Bounds of one correlation, everything that is nested in it included. */
export const MAX_BASES = 16, MAX_NESTING = 4, MAX_GROUP_COLUMNS = 8;
/** Longest window, and longest time that `first_seen` remembers. */
export const MAX_SPAN_MS = 86_400_000, MAX_MEMORY_MS = 400 * 86_400_000;
const MIN_SPAN_MS = 1_000;
const MAX_CONDITION_NODES = 64;

export const CORRELATION_KINDS = [
  "event_count",
  "value_count",
  "value_sum",
  "value_avg",
  "value_percentile",
  "temporal",
  "temporal_ordered",
  "absence",
  "first_seen",
] as const;
export type CorrelationKind = (typeof CORRELATION_KINDS)[number];

/** How a number may be compared, in words of Sigma. */
export const COMPARISONS = ["gt", "gte", "lt", "lte", "eq", "neq"] as const;
/** A number that the count, sum, … is compared with. */
export interface Threshold {
  /** How the number is compared. */
  readonly operator: (typeof COMPARISONS)[number];
  /** What it is compared with. */
  readonly number: number;
}

/** Which bases have a hit in the window; `base` is an index of {@linkcode Correlated.bases}. */
export type Occurrence =
  | { readonly kind: "base"; readonly base: number }
  | { readonly kind: "and" | "or"; readonly items: readonly Occurrence[] }
  | { readonly kind: "not"; readonly item: Occurrence };

/**
 * Where a value of a hit stands: in a column of the event (of a nested correlation: of the event that is its hit), or, of a
 * nested correlation alone, among the values of its own group, which all of its events have in common. A file's name makes
 * an event one of a group for each name that it has.
 */
export type ValueSource =
  | { readonly kind: "column"; readonly place: number }
  | FileSource
  | { readonly kind: "group"; readonly index: number };

/** What is correlated. */
export interface Base {
  /** As the rule calls it; unique within its correlation. */
  readonly name: string;
  /** A predicate over one event, or a correlation whose hits take part. */
  readonly of: Form | Correlation;
  /** Where each of {@linkcode Correlated.groupBy} stands. */
  readonly by: readonly ValueSource[];
  /** What is counted, added and so on; `null` for kinds that take no value. */
  readonly value: ValueSource | null;
  /** What all kinds of correlations have. */
}
/** What is correlated, each by name. */

export interface Correlated {
  /** What is correlated, each by name. */
  readonly bases: readonly Base[];
  /** Names of the values that events have in common, for people; empty: all are one group. */
  readonly groupBy: readonly string[];
  /** Of `absence` how long is waited; of `first_seen` how long a value is remembered. */
  readonly windowMs: number;
}

/** What several events mean together. */
export type Correlation =
  | Correlated & {
    /** An event that meets several bases counts once; of `value_*` with one value once. All thresholds must hold. */
    readonly kind: "event_count" | "value_count" | "value_sum" | "value_avg";
    readonly condition: readonly Threshold[];
  }
  | Correlated & {
    /** The smallest value that is no less than `percentile` percent of the values are (nearest rank). */
    readonly kind: "value_percentile";
    readonly percentile: number;
    readonly condition: readonly Threshold[];
  }
  | Correlated & {
    /** In any order. `null`: every base has a hit; thresholds: on how many do. */
    readonly kind: "temporal";
    readonly condition: Occurrence | readonly Threshold[] | null;
  }
  | Correlated & {
    /** Hits of all bases, each later than that of the base before it, or at the same time with a later event id. */
    readonly kind: "temporal_ordered";
  }
  | Correlated & {
    /** A hit of the first base that no hit of any other base follows within the window, the bounds included. */
    readonly kind: "absence";
  }
  | Correlated & {
    /** A group that had no hit for as long as it is remembered. Until `learnMs` after the rule began nothing fires. */
    readonly kind: "first_seen";
    readonly learnMs: number;
    /** Most groups that are remembered; past that the one that was seen longest ago is forgotten. */
    readonly remember: number;
  };

/** Most values that one `first_seen` remembers. */
const MAX_REMEMBERED = 100_000;

/** A correlation says something that the engine does not do. */
export class CorrelationError extends Error {
  override name = "CorrelationError";
}

/** Whether a base is a correlation and not a predicate. */
export function isCorrelation(of: Form | Correlation): of is Correlation {
  return (CORRELATION_KINDS as readonly string[]).includes(of.kind);
}

/** Whether a condition of `temporal` is a list of thresholds. */
export function isThresholds(condition: Occurrence | readonly Threshold[]): condition is readonly Threshold[] {
  return Array.isArray(condition);
}

/** The time that events must be kept for: windows of nested correlations add up. */
export function spanOf(correlation: Correlation): number {
  const nested = correlation.bases.map(({ of }) => isCorrelation(of) ? spanOf(of) : 0);
  return (correlation.kind === "first_seen" ? 0 : correlation.windowMs) + Math.max(...nested);
}

/** The predicates of all bases, nested ones included, in the order in which they stand. */
export function formsOf(correlation: Correlation): Form[] {
  return correlation.bases.flatMap(({ of }) => isCorrelation(of) ? formsOf(of) : [of]);
}

/** @throws CorrelationError with a reason for people */
export function checkCorrelation(correlation: Correlation): void {
  checkOne(correlation, 1);
  const forms = formsOf(correlation);
  if (forms.length > MAX_BASES) wrong(`It has ${forms.length} bases; ${MAX_BASES} are the most`);
  if (forms.some((form) => formSize(form) > MAX_FORM_NODES)) wrong("A condition of a base is too large");
  const span = spanOf(correlation);
  if (span > MAX_SPAN_MS) wrong(`Its windows span ${span / 3_600_000} h together; 24 h are the most`);
}

function checkOne(correlation: Correlation, depth: number): void {
  const { kind, bases, groupBy, windowMs } = correlation;
  if (!(CORRELATION_KINDS as readonly string[]).includes(kind)) wrong(`${String(kind)} is no kind of correlation`);
  if (depth > MAX_NESTING) wrong(`Correlations are nested ${MAX_NESTING} deep at most`);
  if (bases.length === 0) wrong("A correlation needs events to correlate");
  if (groupBy.length > MAX_GROUP_COLUMNS) wrong(`A group has ${MAX_GROUP_COLUMNS} values at most`);
  if (new Set(bases.map(({ name }) => name)).size < bases.length) wrong("Two bases have one name");
  const longest = kind === "first_seen" ? MAX_MEMORY_MS : MAX_SPAN_MS;
  if (!Number.isSafeInteger(windowMs) || windowMs < MIN_SPAN_MS || windowMs > longest) {
    wrong(`The window is from ${MIN_SPAN_MS} to ${longest} ms`);
  }
  const takesValue = kind.startsWith("value_");
  for (const base of bases) {
    if (base.by.length !== groupBy.length) wrong(`${base.name} must say where each value of the group stands`);
    if (takesValue !== (base.value !== null)) wrong(`${base.name} ${takesValue ? "needs a" : "takes no"} value`);
    for (const source of base.value === null ? base.by : [...base.by, base.value]) checkSource(source, base);
    if (base.value?.kind === "file") wrong("The name of a file is no value to count or compute with");
    if (base.by.some((source) => source.kind === "file")) checkFiles(correlation, depth);
    if (base.value?.kind === "column" && kind !== "value_count" && columnAt(base.value.place).type === "TEXT") {
      wrong(`${columnAt(base.value.place).name} holds texts, and ${kind} needs numbers`);
    }
    if (!isCorrelation(base.of)) continue;
    if (kind === "first_seen" || kind === "absence") wrong(`${kind} takes no correlation as a base`);
    if (base.of.kind === "first_seen" || base.of.kind === "absence") wrong(`${base.of.kind} cannot be a base`);
    checkOne(base.of, depth + 1);
  }
  if (kind === "absence" && bases.length < 2) wrong("absence needs an event, and one that does not follow");
  if (kind === "temporal_ordered" && bases.length < 2) wrong("A sequence needs two bases at least");
  checkCondition(correlation);
}

/** Events are put apart by files, so nothing may look at them that is put apart otherwise. */
function checkFiles({ kind, bases }: Correlation, depth: number): void {
  if (kind === "first_seen" || kind === "absence") wrong(`${kind} is not by names of files`);
  if (depth > 1 || bases.some(({ of }) => isCorrelation(of))) {
    wrong("A correlation by names of files stands alone: not in another, nor of others");
  }
}

function checkSource(source: ValueSource, { name, of }: Base): void {
  if (source.kind === "group") {
    if (!isCorrelation(of) || !(source.index >= 0 && source.index < of.groupBy.length)) {
      wrong(`${name} has no such value in its group`);
    }
  } else if (source.kind === "file") {
    if (source.places.length === 0 || source.places.some((place) => columnAt(place)?.type !== "TEXT")) {
      wrong(`${name} takes the name of a file from columns of texts`);
    }
  } else if (columnAt(source.place) === undefined) wrong(`${name} names a column that process_events has not`);
}

function checkCondition(correlation: Correlation): void {
  if (correlation.kind === "first_seen") {
    const { learnMs, remember, windowMs, groupBy } = correlation;
    if (groupBy.length === 0) wrong("first_seen needs the values that are seen or not");
    if (!(learnMs >= 0 && learnMs <= windowMs)) wrong("The time to learn is at most the time to remember");
    if (!Number.isSafeInteger(remember) || remember < 1 || remember > MAX_REMEMBERED) {
      wrong(`first_seen remembers 1 to ${MAX_REMEMBERED} values`);
    }
  }
  if (correlation.kind === "value_percentile" && !(correlation.percentile > 0 && correlation.percentile <= 100)) {
    wrong("A percentile is more than 0 and at most 100");
  }
  if (!("condition" in correlation) || correlation.condition === null) return;
  const { condition, bases } = correlation;
  if (isThresholds(condition)) {
    if (condition.length === 0 || condition.length > 4) wrong("A condition has one to four comparisons");
    if (condition.some(({ operator, number }) => !COMPARISONS.includes(operator) || !Number.isFinite(number))) {
      wrong("A condition compares with a number");
    }
    return;
  }
  let nodes = 0;
  const visit = (node: Occurrence, depth: number): void => {
    if (++nodes > MAX_CONDITION_NODES || depth > 16) wrong("The condition is too large");
    if (node.kind === "base") {
      if (!(node.base >= 0 && node.base < bases.length)) wrong("The condition names a base that is not there");
    } else if (node.kind === "not") visit(node.item, depth + 1);
    else for (const item of node.items) visit(item, depth + 1);
  };
  visit(condition, 1);
  if (occurs(condition, () => false)) wrong("The condition holds without any event; name one that must be there");
}

/** Whether a condition of `temporal` holds. */
export function occurs(condition: Occurrence, has: (base: number) => boolean): boolean {
  switch (condition.kind) {
    case "base":
      return has(condition.base);
    case "and":
      return condition.items.every((item) => occurs(item, has));
    case "or":
      return condition.items.some((item) => occurs(item, has));
    case "not":
      return !occurs(condition.item, has);
  }
}

/** Whether a value is what all thresholds ask for. */
export function holds(condition: readonly Threshold[], value: number): boolean {
  return condition.every(({ operator, number }) => {
    switch (operator) {
      case "gt":
        return value > number;
      case "gte":
        return value >= number;
      case "lt":
        return value < number;
      case "lte":
        return value <= number;
      case "eq":
        return value === number;
      case "neq":
        return value !== number;
    }
  });
}

function wrong(reason: string): never {
  throw new CorrelationError(reason);
}
