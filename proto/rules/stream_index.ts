/**
 * Which of many rules a row may match: one look at the row for all of them.
 *
 * Texts are found by one automaton for each column, values by one table for each column, and what has neither is always
 * a candidate. A rule with a second set of terms is one only where a term of each was found. Who is none cannot match.
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
  /** 1 for a rule with a second set of terms, which is found under its number plus that of all rules. */
  readonly two: Uint8Array;
}

type RuleTerms = readonly (readonly Term[] | null)[];

/** Terms between two steps of building an index: some rules have hundreds. */
const TERMS_A_STEP = 2_048;

function* partsOf(terms: RuleTerms, further: RuleTerms): Generator<void, Parts> {
  const texts = new Map<number, Map<string, number[]>>(), values = new Map<number, Map<string | number, number[]>>();
  const always: number[] = [], two = new Uint8Array(terms.length);
  const add = (term: Term, number: number): void => {
    if (term.kind === "text") push(texts, term.place, term.text, number);
    else push(values, term.place, term.value, number);
  };
  let left = TERMS_A_STEP;
  for (let rule = 0; rule < terms.length; rule++) {
    const ofRule = terms[rule]!, second = ofRule === null ? null : further[rule] ?? null;
    if (ofRule === null) always.push(rule);
    for (const term of ofRule ?? []) add(term, rule);
    for (const term of second ?? []) add(term, terms.length + rule);
    if (second !== null) two[rule] = 1;
    if ((left -= 1 + (ofRule?.length ?? 0) + (second?.length ?? 0)) > 0) continue;
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
  return { columns, always, two };
}

export class StreamIndex {
  readonly #columns: readonly Column[];
  /** Candidates on every row. */
  readonly always: Int32Array;
  readonly #candidates: Candidates;
  readonly #two: Uint8Array;

  /**
   * Makes an index at once; {@linkcode StreamIndex.building} does so in steps.
   *
   * @param terms of each rule, by its number; `null` for one that is always a candidate
   * @param further of each rule, of which a row must have one too; `null` for nothing further
   */
  constructor(
    terms: RuleTerms,
    further: RuleTerms = [],
    { columns, always, two }: Parts = allSteps(partsOf(terms, further)),
  ) {
    this.#columns = columns;
    this.always = Int32Array.from(always);
    this.#two = two;
    this.#candidates = new Candidates(terms.length * 2, terms.length);
  }

  /** Makes an index in steps of {@linkcode TERMS_A_STEP} terms, or of what is as much work. */
  static *building(terms: RuleTerms, further: RuleTerms): Generator<void, StreamIndex> {
    return new StreamIndex(terms, further, yield* partsOf(terms, further));
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
    const two = this.#two, rules = two.length, { ids, count } = found;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const id = ids[i]!;
      if (two[id] === 0 || found.has(id + rules)) ids[kept++] = id;
    }
    found.count = kept;
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
