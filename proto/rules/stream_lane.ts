/**
 * Rules as predicates over a batch of rows: what every rule whose condition has a form is judged by.
 *
 * One look at a row finds the few rules that it may match (`stream_index.ts`), and their predicates tell which do. What a
 * rule computes of a row that it matched SQLite tells, over that row alone, and SQLite decides where a predicate cannot.
 *
 * A predicate ends by itself, but long texts and many patterns may make one slow. While rows go fast the clock is looked
 * at once in {@linkcode ROWS_PER_LOOK}; when they do not, each rule's time is taken, and one past its deadline misses the
 * rest of the batch, which is told as a fault.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import type { Fault, Hit } from "./evaluation.ts";
import { evidenceOf } from "./evidence.ts";
import { columnAt, columnsOf, type Form } from "./predicate.ts";
import type { Predicate } from "./predicate_calls.ts";
import { programOf } from "./program.ts";
import { RowView } from "./row_view.ts";
import { newRuleCost, type RuleCost, SAMPLED_ROWS } from "./rule_cost.ts";
import { rowQuery, type ValidatedRule } from "./rule.ts";
import { SqlLane } from "./sql_lane.ts";
import { StreamIndex } from "./stream_index.ts";
import { UNDECIDED } from "./undecided.ts";

const ROWS_PER_LOOK = 32;
/** Time for so many rows from which on each rule's own is taken, until they go faster: looking costs more than judging. */
const SLOW_MS = 4;

/** One rule, ready to run. */
interface Program {
  readonly rule: ValidatedRule;
  readonly predicate: Predicate;
  /** Whether it shows columns as they are, and nothing that is computed. */
  readonly plain: boolean;
  readonly cost: RuleCost;
}

/** Why a rule did not judge rows of this batch, and how many. */
interface Misses {
  rows: number;
  reason: string;
  timedOut: boolean;
}

export class StreamLane implements Disposable {
  readonly #programs: readonly Program[];
  readonly #index: StreamIndex;
  readonly #view: RowView;
  readonly #sql: SqlLane;
  /** Milliseconds that each rule took of this batch, once the clock runs. */
  readonly #spent: Float64Array;
  /** When the clock was last looked at. */
  #last = 0;
  /** Rows since the last of which each rule's time was taken for its cost. */
  #unsampled = 0;

  constructor(rules: readonly ValidatedRule[], costOf: (rule: ValidatedRule) => RuleCost = newRuleCost) {
    this.#programs = rules.map((rule) => ({
      rule,
      predicate: programOf(formOf(rule)).predicate,
      plain: rowQuery(rule).outputs.every(({ column }) => column !== null),
      cost: costOf(rule),
    }));
    this.#index = new StreamIndex(rules.map((rule) => programOf(formOf(rule)).terms));
    const places = new Set<number>();
    for (const rule of rules) columnsOf(formOf(rule), places);
    this.#view = new RowView([...places].filter((place) => columnAt(place).type === "TEXT"));
    this.#sql = new SqlLane(rules);
    this.#spent = new Float64Array(rules.length);
  }

  /** Bytes of the automata that find texts. */
  get automatonBytes(): number {
    return this.#index.bytes;
  }

  /** How many rules are looked at on every row. */
  get always(): number {
    return this.#index.always.length;
  }

  /** How many predicates rows are asked, all together. */
  candidates(rows: readonly (readonly SqlValue[])[]): number {
    return rows.reduce((sum, row) => sum + this.#index.find(row).count + this.always, 0);
  }

  /** Whether SQLite's own gate lets these rules pass. Throws what it says against one. */
  check(): void {
    this.#sql.check(this.#programs.map(({ rule }) => rule));
  }

  /** Judges a batch. Hits are appended in no order. */
  run(rows: readonly (readonly SqlValue[])[], deadlineMs: number, hits: Hit[], faults: Fault[]): void {
    for (const _ of this.steps(rows, deadlineMs, hits, faults));
  }

  /** The same, with room for other work after {@linkcode ROWS_PER_LOOK} rows, or after each where rows go slowly. */
  *steps(
    rows: readonly (readonly SqlValue[])[],
    deadlineMs: number,
    hits: Hit[],
    faults: Fault[],
  ): Generator<void> {
    if (this.#programs.length === 0) return;
    const misses = new Map<number, Misses>(), view = this.#view, { always } = this.#index;
    let timed = false, slow = false, look = performance.now();
    for (let row = 0; row < rows.length; row++) {
      if (row > 0 && (timed || row % ROWS_PER_LOOK === 0)) {
        // Time in which others work is no rule's.
        const before = performance.now();
        yield;
        look += performance.now() - before;
      }
      if (row % ROWS_PER_LOOK === 0 && row > 0) {
        const now = performance.now();
        timed = now - look > SLOW_MS;
        look = now;
        if (timed && !slow) this.#spent.fill(0);
        slow ||= timed;
      }
      view.load(rows[row]!);
      const { ids, count } = this.#index.find(view.cells);
      const sampled = !timed && ++this.#unsampled >= SAMPLED_ROWS;
      if (sampled) this.#unsampled = 0;
      if (timed || sampled) this.#last = performance.now();
      for (let i = 0; i < count + always.length; i++) {
        const number = i < count ? ids[i]! : always[i - count]!;
        if (slow && this.#spent[number]! > deadlineMs) continue;
        this.#judge(number, rows, row, hits, misses);
        if (timed) this.#spend(number, deadlineMs, rows.length - row - 1, misses);
        else if (sampled) this.#sample(number);
      }
    }
    for (const { cost } of this.#programs) cost.rows += rows.length;
    for (const [number, { rows, reason, timedOut }] of misses) {
      faults.push({ rule: this.#programs[number]!.rule, reason, rows, timedOut });
    }
  }

  [Symbol.dispose](): void {
    this.#sql[Symbol.dispose]();
  }

  /** Puts the time since the last look down to a rule; one past its deadline misses the rows that are left. */
  #spend(number: number, deadlineMs: number, left: number, misses: Map<number, Misses>): void {
    const now = performance.now(), spent = this.#spent[number]! += now - this.#last;
    this.#programs[number]!.cost.cpuMs += now - this.#last;
    this.#last = now;
    if (spent > deadlineMs && left > 0) miss(misses, number, left, `stopped after ${deadlineMs} ms`).timedOut = true;
  }

  /** Takes the time of a rule on this row for that on all since the last sample. */
  #sample(number: number): void {
    const now = performance.now();
    this.#programs[number]!.cost.cpuMs += (now - this.#last) * SAMPLED_ROWS;
    this.#last = now;
  }

  #judge(
    number: number,
    rows: readonly (readonly SqlValue[])[],
    row: number,
    hits: Hit[],
    misses: Map<number, Misses>,
  ): void {
    const { rule, predicate, plain, cost } = this.#programs[number]!;
    cost.evaluations += 1;
    let matches: boolean | null;
    try {
      matches = predicate(this.#view);
    } catch (error) {
      // Only SQLite can tell; and what nobody thought of must not cost the row its verdict either.
      if (error !== UNDECIDED && !(error instanceof RangeError)) throw error;
      matches = null;
    }
    if (matches === false) return;
    const cells = rows[row]!;
    if (matches && plain) {
      cost.matches += 1;
      hits.push({ rule, row, evidence: evidenceOf(rowQuery(rule).outputs, cells, []) });
      return;
    }
    try {
      const evidence = this.#sql.runRow(rule, cells);
      if (evidence !== null) {
        cost.matches += 1;
        hits.push({ rule, row, evidence });
      } else if (matches) miss(misses, number, 1, "its predicate matched and SQLite did not; please report this");
    } catch (error) {
      miss(misses, number, 1, error instanceof Error ? error.message : String(error));
    }
  }
}

function miss(misses: Map<number, Misses>, number: number, rows: number, reason: string): Misses {
  let known = misses.get(number);
  if (known === undefined) misses.set(number, known = { rows: 0, reason, timedOut: false });
  known.rows += rows;
  known.reason = reason;
  return known;
}

function formOf(rule: ValidatedRule): Form {
  const { form } = rowQuery(rule).translation;
  if (form === null) throw new TypeError(`The rule ${rule.id} has no form and is SQLite's to judge`);
  return form;
}
