/**
 * What keeps hits of rules from becoming alerts: the operator's exceptions and Sigma's filters, as the engine needs them.
 *
 * Each is a form over one event, asked only of events that a rule has hit already, so that it costs nothing otherwise. One
 * that cannot be computed on an event suppresses nothing. When it ends stands in its form, by the time of the event: so it
 * means the same when events come late, are read back or replayed.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { columnAt, columnsOf, type Form } from "./predicate.ts";
import type { Predicate } from "./predicate_calls.ts";
import { preparePrograms, programOf } from "./program.ts";
import { RowView } from "./row_view.ts";
import type { ValidatedRule } from "./rule.ts";
import { UNDECIDED } from "./undecided.ts";

/** Longest text of what is said about one. */
export const MAX_SAID = 512;

const TIME = columnPlaces("process_events").get("time")!;

/** One exception or filter. */
export interface Suppressor {
  /** What it is: an exception of the operator, or a filter of a Sigma rule. */
  readonly kind: "exception" | "filter";
  /** Its id. */
  readonly id: string;
  /** The file that it stands in. */
  readonly file: string;
  /** One-based. */
  readonly line: number;
  /** Why it is right that these are suppressed. */
  readonly reason: string;
  /** Empty where nobody says. */
  readonly author: string;
  /** Unix milliseconds from which on it suppresses nothing; `null` for never. */
  readonly expiresMs: number | null;
  /** Holds for the events that it suppresses, its end included. */
  readonly form: Form;
}

/** A hit of a rule that did not become one. */
export interface Suppressed {
  /** The rule. */
  readonly rule: ValidatedRule;
  /** What suppressed it. */
  readonly by: Suppressor;
  /** Time of the event. */
  readonly time: number;
}

/** What may suppress hits of a rule. */
export type SuppressorsOf = (rule: ValidatedRule) => readonly Suppressor[];

/** Only a Sigma rule's own filters. */
export function filtersOf({ filters }: ValidatedRule): readonly Suppressor[] {
  return filters?.by ?? [];
}

/** A condition until it ends. An event without a time, as tests write them, is of before. */
export function untilThen(form: Form, expiresMs: number | null): Form {
  if (expiresMs === null) return form;
  const time: Form = { kind: "column", place: TIME }, end: Form = { kind: "literal", value: expiresMs, real: false };
  const isOver: Form = { kind: "compare", operator: ">=", left: time, right: end };
  return { kind: "and", items: [form, { kind: "truth", item: isOver, wanted: true, negated: true }] };
}

/** The day after the one that a text such as `2027-01-31` names begins then, in UTC; `null` for a text that names none. */
export function endOfDay(text: string): number | null {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return null;
  const begin = Date.parse(`${text}T00:00:00Z`);
  // 2027-02-30 is the second of March to some
  if (!Number.isFinite(begin) || new Date(begin).toISOString().slice(0, 10) !== text) return null;
  return begin + 86_400_000;
}

/** The last day on which something holds that ends then. */
export function lastDay(expiresMs: number): string {
  return new Date(expiresMs - 1).toISOString().slice(0, 10);
}

/** A suppressor, ready to be asked. */
interface Asked {
  readonly by: Suppressor;
  readonly holds: Predicate;
}

/** What a judge is made of, and takes long to make. */
interface Parts {
  readonly of: ReadonlyMap<ValidatedRule, readonly Asked[]>;
  readonly places: ReadonlySet<number>;
}

/** Rules between two steps. */
const RULES_A_STEP = 64;

function* partsOf(rules: readonly ValidatedRule[], suppressorsOf: SuppressorsOf): Generator<void, Parts> {
  const of = new Map<ValidatedRule, readonly Asked[]>(), places = new Set<number>();
  // What is for all rules is the same list for most of them
  const made = new Map<readonly Suppressor[], readonly Asked[]>(), one = new Map<Suppressor, Asked>();
  let done = 0;
  for (const rule of rules) {
    if (++done % RULES_A_STEP === 0) yield;
    const suppressors = suppressorsOf(rule);
    if (suppressors.length === 0) continue;
    let asked = made.get(suppressors);
    if (asked === undefined) {
      yield* preparePrograms(suppressors.map(({ form }) => form));
      made.set(
        suppressors,
        asked = suppressors.map((by) => {
          let known = one.get(by);
          if (known === undefined) {
            one.set(by, known = { by, holds: programOf(by.form).predicate });
            columnsOf(by.form, places);
          }
          return known;
        }),
      );
    }
    of.set(rule, asked);
  }
  return { of, places };
}

/** Asks suppressors about the events that rules have hit. */
export class SuppressorJudge {
  readonly #of: ReadonlyMap<ValidatedRule, readonly Asked[]>;
  readonly #view: RowView;
  /** Names of the columns that an event must have. */
  readonly columns: ReadonlySet<string>;

  private constructor({ of, places }: Parts) {
    this.#of = of;
    this.#view = new RowView([...places].filter((place) => columnAt(place).type === "TEXT"));
    this.columns = new Set([...places].map((place) => columnAt(place).name));
  }

  /** Makes a judge in steps of a millisecond or two. */
  static *building(rules: readonly ValidatedRule[], of: SuppressorsOf): Generator<void, SuppressorJudge> {
    return new SuppressorJudge(yield* partsOf(rules, of));
  }

  /** Whether a rule has any. */
  has(rule: ValidatedRule): boolean {
    return this.#of.has(rule);
  }

  /** The first that suppresses a rule's hit on an event; `null` when none does. */
  find(rule: ValidatedRule, cells: readonly SqlValue[]): Suppressed | null {
    const suppressors = this.#of.get(rule);
    if (suppressors === undefined) return null;
    this.#view.load(cells);
    for (const { by, holds } of suppressors) {
      try {
        if (holds(this.#view) === true) return { rule, by, time: cells[TIME] as number };
      } catch (error) {
        // Only SQLite can tell, or nobody: the hit stays
        if (error !== UNDECIDED && !(error instanceof RangeError)) throw error;
      }
    }
    return null;
  }
}
