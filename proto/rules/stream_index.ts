/**
 * Which of many rules a row may match: one look at the row for all of them.
 *
 * Texts are found by one automaton for each column, values by one table for each column, and what has neither is always
 * a candidate. Who is none cannot match.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { Candidates, LiteralAutomaton } from "./literal_automaton.ts";
import type { Term } from "./required_terms.ts";

interface Column {
  readonly place: number;
  readonly automaton: LiteralAutomaton | null;
  readonly values: ReadonlyMap<string | number, Int32Array> | null;
}

export class StreamIndex {
  readonly #columns: readonly Column[];
  /** Candidates on every row. */
  readonly always: Int32Array;
  readonly #candidates: Candidates;

  /** @param terms of each rule, by its number; `null` for one that is always a candidate */
  constructor(terms: readonly (readonly Term[] | null)[]) {
    const texts = new Map<number, Map<string, number[]>>(), values = new Map<number, Map<string | number, number[]>>();
    const always: number[] = [];
    terms.forEach((ofRule, rule) => {
      if (ofRule === null) always.push(rule);
      for (const term of ofRule ?? []) {
        if (term.kind === "text") push(texts, term.place, term.text, rule);
        else push(values, term.place, term.value, rule);
      }
    });
    this.always = Int32Array.from(always);
    this.#candidates = new Candidates(terms.length);
    const places = [...new Set([...texts.keys(), ...values.keys()])].sort((a, b) => a - b);
    this.#columns = places.map((place) => {
      const ofTexts = texts.get(place), ofValues = values.get(place);
      return {
        place,
        automaton: ofTexts === undefined ? null : new LiteralAutomaton(ofTexts),
        values: ofValues === undefined
          ? null
          : new Map([...ofValues].map(([value, rules]) => [value, Int32Array.from(rules)])),
      };
    });
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
