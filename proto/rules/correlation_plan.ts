/**
 * What the engine needs of a correlation, worked out once: the predicates of its leaves, which columns a row keeps, and by
 * which of them rows are put apart, so that an event is held only against the events that can meet with it.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../event_row.ts";
import {
  type Base,
  type Correlation,
  isCorrelation,
  isThresholds,
  type Occurrence,
  spanOf,
  type ValueSource,
} from "./correlation.ts";
import { columnAt, type Form } from "./predicate.ts";

/** Columns that an alert shows of the event that an absence is about; that event came long before. */
const ALERT_COLUMNS = [
  ..."exec_id,pid,ppid,name,executable_path,command_line,user_id,user_name,parent_name".split(","),
  ..."parent_executable_path,parent_command_line,executable_hash,hash_algorithm,collector_id".split(","),
];
/** Events that come so late still see the whole of their own window. */
const LATE_MS = 300_000;
/** An absence is told so much after its time, in the time of events: sources overtake one another by less. */
export const SETTLE_MS = 2_000;

const PLACES = columnPlaces("process_events");
const EXEC_ID = PLACES.get("exec_id")!;

/** One event that meets a leaf. */
export interface Row {
  readonly time: number;
  readonly id: number;
  /** In the order of arrival; not positive for what was there before a restart. */
  readonly arrival: number;
  /** A bit for each leaf that it meets. */
  readonly leaves: number;
  readonly execId: string | null;
  /** Of the columns in {@linkcode Plan.kept}. */
  readonly cells: readonly SqlValue[];
}

/** A place beyond the columns: the value of the outermost group at this index. */
export const GROUP_PLACE = PLACES.size;

/** Where a value stands: in a cell of the hit's row, or in the group of a nested hit. */
export type Slot = { readonly cell: number } | { readonly group: number };

export interface PlanBase {
  readonly name: string;
  /** Bit of its leaf; 0 for a nested correlation. */
  readonly leaf: number;
  readonly node: PlanNode | null;
  readonly by: readonly Slot[];
  readonly value: Slot | null;
}

/** One correlation, itself nested or not. */
export interface PlanNode {
  readonly correlation: Correlation;
  readonly bases: readonly PlanBase[];
}

/** Leaves whose rows are put apart by the same values of the event. */
export interface Partitioning {
  readonly leaves: number;
  /** Places of `process_events`; `null` with names of files, which {@linkcode sources} has. */
  readonly places: readonly number[] | null;
  readonly sources: readonly EventSource[];
}

/** A value of an event, whatever correlation it is in. */
export type EventSource = Exclude<ValueSource, { readonly kind: "group" }>;

export interface Plan {
  readonly top: PlanNode;
  readonly forms: readonly Form[];
  /** Bits of the leaves that exceptions take events from: see `watch_table.ts`. */
  readonly suppressible: number;
  readonly partitionings: readonly Partitioning[];
  /** Whether rows that are put apart are the groups of the outermost correlation. */
  readonly isByGroup: boolean;
  /** Whether some of them are put apart by names of files. */
  readonly hasFiles: boolean;
  /** Places of the columns that a row keeps; from {@linkcode GROUP_PLACE} on those of values of its group. */
  readonly kept: readonly number[];
  readonly columns: ReadonlySet<string>;
  readonly spanMs: number;
  /** How long rows are kept. */
  readonly keepMs: number;
  /** Fewer rows than this in a group need no look. */
  readonly least: number;
}

/** @param correlation that {@linkcode checkCorrelation} let through */
export function planOf(correlation: Correlation): Plan {
  const kept: number[] = [], forms: Form[] = [];
  const keep = (place: number): number => {
    const at = kept.indexOf(place);
    return at >= 0 ? at : kept.push(place) - 1;
  };
  if (correlation.kind === "absence") { for (const name of ALERT_COLUMNS) keep(PLACES.get(name)!); }
  const slot = (source: ValueSource, index: number): Slot => {
    if (source.kind === "group") return { group: source.index };
    return { cell: keep(source.kind === "column" ? source.place : GROUP_PLACE + index) };
  };
  const nodeOf = (of: Correlation): PlanNode => ({
    correlation: of,
    bases: of.bases.map((base): PlanBase => ({
      name: base.name,
      leaf: isCorrelation(base.of) ? 0 : 1 << forms.push(base.of) - 1,
      node: isCorrelation(base.of) ? nodeOf(base.of) : null,
      by: base.by.map(slot),
      value: base.value === null ? null : slot(base.value, -1),
    })),
  });
  const top = nodeOf(correlation), apart = partitionings(correlation, forms.length);
  const spanMs = spanOf(correlation);
  const waits = correlation.kind === "absence" ? 2 * SETTLE_MS : 0;
  const grouping = (apart ?? []).flatMap(({ sources }) => sources.flatMap(placesOf));
  const places = new Set([EXEC_ID, ...kept.filter((place) => place < GROUP_PLACE), ...grouping]);
  return {
    top,
    forms,
    suppressible: suppressibleLeaves(correlation),
    partitionings: apart ?? [{ leaves: (1 << forms.length) - 1, places: [], sources: [] }],
    isByGroup: apart !== null,
    hasFiles: (apart ?? []).some(({ places }) => places === null),
    kept,
    columns: new Set(["event_id", "time", ...[...places].map((place) => columnAt(place).name)]),
    spanMs,
    keepMs: spanMs + waits + Math.min(spanMs, LATE_MS),
    least: leastOf(correlation),
  };
}

/** All leaves but those whose events keep an alert back: what an absence waits for, and what stands under a `not`. */
function suppressibleLeaves(correlation: Correlation): number {
  let leaf = 0, bits = 0;
  const visit = (of: Correlation, isWithin: boolean): void => {
    const held = holdingBack(of);
    of.bases.forEach((base, i) => {
      const isTaken = isWithin && !held.has(i);
      if (isCorrelation(base.of)) return visit(base.of, isTaken);
      if (isTaken) bits |= 1 << leaf;
      leaf += 1;
    });
  };
  visit(correlation, true);
  return bits;
}

function holdingBack(correlation: Correlation): ReadonlySet<number> {
  if (correlation.kind === "absence") return new Set(correlation.bases.keys().drop(1));
  if (correlation.kind !== "temporal") return new Set();
  const { condition } = correlation, held = new Set<number>();
  const visit = (of: Occurrence, isNegated: boolean): void => {
    if (of.kind === "not") visit(of.item, !isNegated);
    else if (of.kind === "base") { if (isNegated) held.add(of.base); }
    else for (const item of of.items) visit(item, isNegated);
  };
  if (condition !== null && !isThresholds(condition)) visit(condition, false);
  return held;
}

/** By which columns the rows of each leaf are of one outermost group; `null` when a leaf's row alone does not tell. */
function partitionings(correlation: Correlation, count: number): Partitioning[] | null {
  const found = new Map<string, Partitioning & { leaves: number }>();
  let leaf = 0, isKnown = true;
  const visit = ({ bases }: Correlation, of: (base: Base) => readonly (ValueSource | null)[]): void => {
    for (const base of bases) {
      const sources = of(base);
      if (isCorrelation(base.of)) {
        const inner = base.of;
        const indexes = sources.map((source) => source === null ? null : groupIndex(source, inner));
        visit(inner, ({ by }) => indexes.map((index) => index === null ? null : by[index]!));
        continue;
      }
      const bit = 1 << leaf++;
      if (!sources.every((source) => source !== null && source.kind !== "group")) {
        isKnown = false;
        continue;
      }
      const known = sources as readonly EventSource[], key = JSON.stringify(known), same = found.get(key);
      const places = known.every((source) => source.kind === "column") ? known.map(({ place }) => place) : null;
      if (same === undefined) found.set(key, { leaves: bit, places, sources: known });
      else same.leaves |= bit;
    }
  };
  visit(correlation, ({ by }) => by);
  return isKnown && leaf === count ? [...found.values()] : null;
}

function placesOf(source: EventSource): readonly number[] {
  return source.kind === "column" ? [source.place] : source.places;
}

/** Which value of a nested group a source is; `null` for a column that its events need not have in common. */
function groupIndex(source: ValueSource, { bases, groupBy }: Correlation): number | null {
  if (source.kind === "group") return source.index;
  if (source.kind === "file") return null;
  const index = groupBy.findIndex((_, i) =>
    bases.every(({ by }) => by[i]!.kind === "column" && (by[i] as { place: number }).place === source.place)
  );
  return index < 0 ? null : index;
}

function leastOf(correlation: Correlation): number {
  const { kind } = correlation;
  if (kind === "temporal_ordered") return 1;
  if (kind !== "event_count" && kind !== "value_count") return 1;
  if (correlation.bases.some(({ of }) => isCorrelation(of))) return 1;
  let least = 1;
  for (const { operator, number } of correlation.condition) {
    if (operator === "gte" || operator === "eq") least = Math.max(least, Math.ceil(number));
    if (operator === "gt") least = Math.max(least, Math.floor(number) + 1);
  }
  return least;
}
