/**
 * Which of many rules a row may match: one look at the row for all of them.
 *
 * Texts are found by one automaton for each column, values by one table for each column, and what has neither is always
 * a candidate. Who is none cannot match.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { allSteps } from "../steps.ts";
import { Candidates, LiteralAutomaton } from "./literal_automaton.ts";
import type { Term } from "./required_terms.ts";

interface Column {
  readonly place: number;
  readonly automaton: LiteralAutomaton | null;
  readonly values: ReadonlyMap<string | number, Int32Array> | null;
}

/** What an index is made of, and takes long to make. */
interface Parts {
  readonly columns: readonly Column[];
  readonly always: readonly number[];
}

/** Terms between two steps of building an index: some rules have hundreds. */
export const TERMS_A_STEP = 2_048;

function* partsOf(terms: readonly (readonly Term[] | null)[]): Generator<void, Parts> {
  const texts = new Map<number, Map<string, number[]>>(), values = new Map<number, Map<string | number, number[]>>();
  const always: number[] = [];
  let left = TERMS_A_STEP;
  for (let rule = 0; rule < terms.length; rule++) {
    const ofRule = terms[rule]!;
    if (ofRule === null) always.push(rule);
    for (const term of ofRule ?? []) {
      if (term.kind === "text") push(texts, term.place, term.text, rule);
      else push(values, term.place, term.value, rule);
    }
    if ((left -= 1 + (ofRule?.length ?? 0)) > 0) continue;
    left = TERMS_A_STEP;
    yield;
  }
  const places = [...new Set([...texts.keys(), ...values.keys()])].sort((a, b) => a - b), columns: Column[] = [];
  for (const place of places) {
    const ofTexts = texts.get(place), ofValues = values.get(place);
    const automaton = ofTexts === undefined ? null : yield* LiteralAutomaton.building(ofTexts);
    const rules = ofValues === undefined ? null : new Map<string | number, Int32Array>();
    for (const [value, numbers] of ofValues ?? []) {
      rules!.set(value, Int32Array.from(numbers));
      if (rules!.size % TERMS_A_STEP === 0) yield;
    }
    columns.push({ place, automaton, values: rules });
  }
  return { columns, always };
}

export class StreamIndex {
  readonly #columns: readonly Column[];
  /** Candidates on every row. */
  readonly always: Int32Array;
  readonly #candidates: Candidates;

  /**
   * Makes an index at once; {@linkcode StreamIndex.building} does so in steps.
   *
   * @param terms of each rule, by its number; `null` for one that is always a candidate
   */
  constructor(
    terms: readonly (readonly Term[] | null)[],
    { columns, always }: Parts = allSteps(partsOf(terms)),
  ) {
    this.#columns = columns;
    this.always = Int32Array.from(always);
    this.#candidates = new Candidates(terms.length);
  }

  /** Makes an index in steps of {@linkcode TERMS_A_STEP} terms, or of what is as much work. */
  static *building(terms: readonly (readonly Term[] | null)[]): Generator<void, StreamIndex> {
    return new StreamIndex(terms, yield* partsOf(terms));
  }

  /** Bytes of the automata. */
  get bytes(): number {
    return this.#columns.reduce((sum, { automaton }) => sum + (automaton?.bytes ?? 0), 0);
  }

  /** The rules that this row may match, but for {@linkcode always}. The next call overwrites them. */
  find(cells: readonly SqlValue[]): Candidates {
    const found = this.#candidates;
    found.clear();
    for (const { place, automaton, values } of this.#columns) {
      const cell = cells[place]!;
      if (cell === null) continue;
      if (automaton !== null && typeof cell === "string") automaton.scan(cell, found);
      const rules = values?.get(cell);
      if (rules !== undefined) { for (let i = 0; i < rules.length; i++) found.add(rules[i]!); }
    }
    return found;
  }
}

function push<Key>(into: Map<number, Map<Key, number[]>>, place: number, key: Key, rule: number): void {
  let column = into.get(place);
  if (column === undefined) into.set(place, column = new Map());
  const rules = column.get(key);
  if (rules === undefined) column.set(key, [rule]);
  else rules.push(rule);
}
