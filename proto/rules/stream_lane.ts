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
import { allSteps } from "../steps.ts";
import type { Fault, Hit } from "./evaluation.ts";
import { evidenceOf } from "./evidence.ts";
import { columnAt, columnsOf, type Form } from "./predicate.ts";
import type { Predicate } from "./predicate_calls.ts";
import { preparePrograms, programOf } from "./program.ts";
import { RowView } from "./row_view.ts";
import { newRuleCost, type RuleCost, SAMPLED_ROWS } from "./rule_cost.ts";
import { hitForm, rowQuery, type ValidatedRule } from "./rule.ts";
import { SqlLane } from "./sql_lane.ts";
import type { Term } from "./required_terms.ts";
import { StreamIndex } from "./stream_index.ts";
import { UNDECIDED } from "./undecided.ts";

const ROWS_PER_LOOK = 32;
/** The same of texts: a row may have as much of them as thousands of others. */
const CHARACTERS_PER_LOOK = 131_072;
/** Rules between two steps of building a lane. */
export const RULES_A_STEP = 64;
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

/** The batch that is judged. */
interface Batch {
  readonly rows: readonly (readonly SqlValue[])[];
  readonly deadlineMs: number;
  readonly hits: Hit[];
  /** By the number of the rule; `null` until there are some. */
  misses: Map<number, Misses> | null;
  /** Whether each rule's time is taken now. */
  timed: boolean;
  /** Whether it was at some time of this batch. */
  slow: boolean;
}

/** What a lane is made of, and takes long to make. */
interface Parts {
  readonly programs: readonly Program[];
  readonly index: StreamIndex;
  readonly view: RowView;
}

function* partsOf(
  rules: readonly ValidatedRule[],
  costOf: (rule: ValidatedRule) => RuleCost,
): Generator<void, Parts> {
  yield* preparePrograms(rules.map(formOf));
  const programs: Program[] = [],
    terms: (readonly Term[] | null)[] = [],
    further: typeof terms = [],
    places = new Set<number>();
  for (const rule of rules) {
    const form = formOf(rule), program = programOf(form);
    const plain = rowQuery(rule).outputs.every(({ column }) => column !== null);
    programs.push({ rule, predicate: program.predicate, plain, cost: costOf(rule) });
    terms.push(program.terms);
    further.push(program.further);
    columnsOf(form, places);
    if (programs.length % RULES_A_STEP === 0) yield;
  }
  const index = yield* StreamIndex.building(terms, further);
  return { programs, index, view: new RowView([...places].filter((place) => columnAt(place).type === "TEXT")) };
}

export class StreamLane implements Disposable {
  readonly #programs: readonly Program[];
  readonly #index: StreamIndex;
  readonly #view: RowView;
  readonly #sql: SqlLane;
  /** Milliseconds that each rule took of this batch, once the clock runs. */
  readonly #spent: Float64Array;
  /** 1 for a rule that is not asked. */
  readonly #paused: Uint8Array;
  /** When the clock was last looked at. */
  #last = 0;
  /** Rows since the last of which each rule's time was taken for its cost. */
  #unsampled = 0;
  /** Rows that are in no rule's cost yet. */
  #untallied = 0;

  /** Makes a lane at once; {@linkcode StreamLane.building} does so in steps. */
  constructor(
    rules: readonly ValidatedRule[],
    costOf: (rule: ValidatedRule) => RuleCost = newRuleCost,
    { programs, index, view }: Parts = allSteps(partsOf(rules, costOf)),
  ) {
    this.#programs = programs;
    this.#index = index;
    this.#view = view;
    this.#sql = new SqlLane(rules);
    this.#spent = new Float64Array(rules.length);
    this.#paused = new Uint8Array(rules.length);
  }

  /** Makes a lane in steps of {@linkcode RULES_A_STEP} rules, or of what is as much work. */
  static *building(
    rules: readonly ValidatedRule[],
    costOf: (rule: ValidatedRule) => RuleCost = newRuleCost,
  ): Generator<void, StreamLane> {
    return new StreamLane(rules, costOf, yield* partsOf(rules, costOf));
  }

  /** From now on judges by all rules but these. */
  pause(rules: ReadonlySet<ValidatedRule>): void {
    this.tally();
    this.#programs.forEach(({ rule }, number) => this.#paused[number] = Number(rules.has(rule)));
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

  /**
   * The same, with room for other work after {@linkcode ROWS_PER_LOOK} rows or {@linkcode CHARACTERS_PER_LOOK} characters
   * of them, or after each row where they go slowly.
   */
  *steps(
    rows: readonly (readonly SqlValue[])[],
    deadlineMs: number,
    hits: Hit[],
    faults: Fault[],
  ): Generator<void> {
    if (this.#programs.length === 0) return;
    const batch: Batch = { rows, deadlineMs, hits, misses: null, timed: false, slow: false };
    let look = performance.now(), looked = 0, characters = 0;
    for (let row = 0; row < rows.length; row++) {
      const isDue = row - looked === ROWS_PER_LOOK || characters >= CHARACTERS_PER_LOOK;
      if (row > 0 && (batch.timed || isDue)) {
        // Time in which others work is no rule's.
        const before = performance.now();
        yield;
        look += performance.now() - before;
      }
      if (isDue) {
        const now = performance.now();
        batch.timed = now - look > SLOW_MS;
        look = now;
        looked = row;
        characters = 0;
        if (batch.timed && !batch.slow) this.#spent.fill(0);
        batch.slow ||= batch.timed;
      }
      this.#judgeRow(row, batch);
      characters += this.#view.characters;
    }
    this.#untallied += rows.length;
    for (const [number, { rows, reason, timedOut }] of batch.misses ?? []) {
      faults.push({ rule: this.#programs[number]!.rule, reason, rows, timedOut });
    }
  }

  /**
   * Adds the rows that were judged to the cost of each rule that was asked about them. Apart from judging them, since a
   * batch of one row would pay more for that than for its verdict.
   */
  tally(): void {
    for (let number = 0; number < this.#programs.length; number++) {
      if (this.#paused[number] === 0) this.#programs[number]!.cost.rows += this.#untallied;
    }
    this.#untallied = 0;
  }

  [Symbol.dispose](): void {
    this.tally();
    this.#sql[Symbol.dispose]();
  }

  #judgeRow(row: number, batch: Batch): void {
    const { always } = this.#index, { timed } = batch;
    this.#view.load(batch.rows[row]!);
    const { ids, count } = this.#index.find(this.#view.cells);
    const sampled = !timed && ++this.#unsampled >= SAMPLED_ROWS;
    if (sampled) this.#unsampled = 0;
    if (timed || sampled) this.#last = performance.now();
    for (let i = 0; i < count + always.length; i++) {
      const number = i < count ? ids[i]! : always[i - count]!;
      if (this.#paused[number] === 1 || batch.slow && this.#spent[number]! > batch.deadlineMs) continue;
      this.#judge(number, row, batch);
      if (timed) this.#spend(number, row, batch);
      else if (sampled) this.#sample(number);
    }
  }

  /** Puts the time since the last look down to a rule; one past its deadline misses the rows that are left. */
  #spend(number: number, row: number, batch: Batch): void {
    const now = performance.now(), spent = this.#spent[number]! += now - this.#last;
    this.#programs[number]!.cost.cpuMs += now - this.#last;
    this.#last = now;
    const left = batch.rows.length - row - 1;
    if (spent > batch.deadlineMs && left > 0) {
      miss(batch, number, left, `stopped after ${batch.deadlineMs} ms`).timedOut = true;
    }
  }

  /** Takes the time of a rule on this row for that on all since the last sample. */
  #sample(number: number): void {
    const now = performance.now();
    this.#programs[number]!.cost.cpuMs += (now - this.#last) * SAMPLED_ROWS;
    this.#last = now;
  }

  #judge(number: number, row: number, batch: Batch): void {
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
    const cells = batch.rows[row]!;
    if (matches && plain) {
      cost.matches += 1;
      batch.hits.push({ rule, row, evidence: evidenceOf(rowQuery(rule).outputs, cells, []) });
      return;
    }
    try {
      const evidence = this.#sql.runRow(rule, cells);
      if (evidence !== null) {
        cost.matches += 1;
        batch.hits.push({ rule, row, evidence });
      } else if (matches) miss(batch, number, 1, "its predicate matched and SQLite did not; please report this");
    } catch (error) {
      miss(batch, number, 1, error instanceof Error ? error.message : String(error));
    }
  }
}

function miss(batch: Batch, number: number, rows: number, reason: string): Misses {
  const misses = batch.misses ??= new Map();
  let known = misses.get(number);
  if (known === undefined) misses.set(number, known = { rows: 0, reason, timedOut: false });
  known.rows += rows;
  known.reason = reason;
  return known;
}

function formOf(rule: ValidatedRule): Form {
  const form = hitForm(rule);
  if (form === null) throw new TypeError(`The rule ${rule.id} has no form and is SQLite's to judge`);
  return form;
}
