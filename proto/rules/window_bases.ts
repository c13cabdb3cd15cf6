/**
 * Which rules over several rows can use a row: those whose base predicates it meets (`window_query.ts`), found by one look
 * at the row for all of them, and not kept out of the window by an exception.
 *
 * A predicate ends by itself, but one may be slow. While rows go fast no rule's time is taken; when they do not, each
 * one's is, and a rule that has spent its time sees no more of the batch, which is told as a fault.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { columnAt, columnsOf } from "./predicate.ts";
import type { Predicate } from "./predicate_calls.ts";
import { programOf } from "./program.ts";
import type { Term } from "./required_terms.ts";
import { RowView } from "./row_view.ts";
import { StreamIndex } from "./stream_index.ts";
import type { SuppressorJudge } from "./suppressor.ts";
import { UNDECIDED } from "./undecided.ts";
import { SLOW, UNJUDGED, type WindowEvaluation } from "./window_evaluation.ts";
import type { Watch } from "./window_watch.ts";

interface BasePredicate {
  readonly watch: Watch;
  readonly bit: number;
  readonly matches: Predicate;
}

const NOBODY: ReadonlyMap<Watch, number> = new Map();

export class WindowBases {
  readonly #predicates: readonly BasePredicate[];
  readonly #index: StreamIndex;
  readonly #view: RowView;
  readonly #suppressors: SuppressorJudge;
  /** Whether each rule's time is taken. */
  isMeasured = false;

  constructor(
    predicates: readonly BasePredicate[],
    index: StreamIndex,
    view: RowView,
    suppressors: SuppressorJudge,
  ) {
    this.#predicates = predicates;
    this.#index = index;
    this.#view = view;
    this.#suppressors = suppressors;
  }

  /** Makes one in steps of a rule. */
  static *building(watches: readonly Watch[], suppressors: SuppressorJudge): Generator<void, WindowBases> {
    const predicates: BasePredicate[] = [], terms: (readonly Term[] | null)[] = [], further: typeof terms = [];
    const places = new Set<number>();
    for (const watch of watches) {
      watch.table.bases.forEach((form, base) => {
        const program = programOf(form);
        predicates.push({ watch, bit: 1 << base, matches: program.predicate });
        terms.push(program.terms);
        further.push(program.further);
        columnsOf(form, places);
      });
      yield;
    }
    const index = yield* StreamIndex.building(terms, further);
    const view = new RowView([...places].filter((place) => columnAt(place).type === "TEXT"));
    return new WindowBases(predicates, index, view, suppressors);
  }

  /** Columns of `process_events` that exceptions ask for. */
  get columns(): Iterable<string> {
    return this.#suppressors.columns;
  }

  /** The rules that can use a row, each with the bits of the bases that it meets. Exceptions were not asked. */
  wanting(cells: readonly SqlValue[], newest: number): ReadonlyMap<Watch, number> {
    const { always } = this.#index, view = this.#view, { isMeasured } = this;
    view.load(cells);
    const { ids, count } = this.#index.find(view.cells);
    if (count + always.length === 0) return NOBODY;
    let wanting: Map<Watch, number> | null = null;
    for (let i = 0; i < count + always.length; i++) {
      const { watch, bit, matches } = this.#predicates[i < count ? ids[i]! : always[i - count]!]!;
      if (watch.spent > watch.limit) continue;
      const began = isMeasured ? performance.now() : 0;
      let isMet: boolean;
      try {
        isMet = matches(view);
      } catch (error) {
        if (error !== UNDECIDED && !(error instanceof RangeError)) throw error;
        isMet = watch.table.judgesAgain; // the query itself will tell
        if (!isMet) watch.marks.set(UNJUDGED, newest);
      }
      if (isMet) (wanting ??= new Map()).set(watch, (wanting.get(watch) ?? 0) | bit);
      if (isMeasured) watch.spent += performance.now() - began;
    }
    return wanting ?? NOBODY;
  }

  /** The bases that a row still meets when exceptions were asked. */
  unsuppressed(watch: Watch, met: number, cells: readonly SqlValue[], out: WindowEvaluation | null): number {
    const { rule, table } = watch, taken = met & table.suppressible;
    if (taken === 0) return met;
    const found = this.#suppressors.find(rule, cells);
    if (found === null) return met;
    out?.excepted.push(found);
    return met & ~taken;
  }
}

/** A rule whose bases have taken their time sees no more of the batch: so long nobody else was judged. */
export function leaveOutSlow(
  watches: readonly Watch[],
  { left, newest, deadlineMs }: { readonly left: number; readonly newest: number; readonly deadlineMs: number },
  out: WindowEvaluation,
): void {
  for (const watch of watches) {
    const { rule, limit } = watch;
    if (!(watch.spent > limit) || watch.spent === Infinity) continue;
    watch.spent = Infinity;
    if (left === 0) continue;
    watch.marks.set(SLOW, newest);
    if (limit < deadlineMs) continue;
    out.faults.push({
      rule,
      rows: left,
      reason: `its conditions on one event took ${limit} ms of a batch`,
      timedOut: true,
    });
  }
}
