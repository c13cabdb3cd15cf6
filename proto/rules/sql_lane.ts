/**
 * Rules as SQL over a batch of rows, in an in-memory SQLite database of its own.
 *
 * The batch is put into a table that has only the columns which some rule computes with; what a rule merely shows is
 * taken from the row itself. Each rule is one prepared statement that finds its next match, so that a batch without
 * matches costs one call per rule and {@linkcode ROWS_A_CALL} rows. A call looks at the clock between rows, before each
 * where rows are long, and ends at a row when it has taken {@linkcode CALL_MS}; a rule past its deadline for the batch
 * misses the rows that are left, which is told as a fault.
 *
 * Every rule can run here, and this is what it means. Those whose condition has no form run here alone; of the others
 * single rows come here, for what a rule computes of a row that it matched.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { tableNamed } from "../catalog.ts";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { allSteps } from "../steps.ts";
import { authorizeReads, READ_LIMITS } from "./authorizer.ts";
import type { Fault, Hit } from "./evaluation.ts";
import { evidenceOf } from "./evidence.ts";
import { newRuleCost, type RuleCost } from "./rule_cost.ts";
import { rowQuery, type ValidatedRule } from "./rule.ts";
import { defineFunctions } from "./user_functions.ts";

/** Rows that one call looks at, at most. */
const ROWS_A_CALL = 256;
/** Time of one call: then it ends at the row where it is, and the next goes on there. */
const CALL_MS = 5;
/** Of so many rows one looks at the clock, where none is long; the number is a power of two. */
const ROWS_PER_LOOK = 8;
/** A row with more characters is long: each looks at the clock. */
const LONG_CHARACTERS = 4_096;
/** Rows of a batch, or their characters, that are put into the table between two steps. */
const ROWS_A_FILL = 256, CHARACTERS_A_FILL = 1 << 20;
/** Rules that are prepared between two steps. */
const RULES_A_STEP = 8;
/** Statements that are kept of rules which come here for single rows. */
const MAX_KEPT = 64;

const PLACES = columnPlaces("process_events");
const TABLE = tableNamed("process_events");

export class SqlLane implements Disposable {
  readonly #db: DatabaseSync;
  readonly #names: ReadonlySet<string>;
  /** Places in a row of the columns that the batch table has. */
  readonly #places: readonly number[];
  readonly #costOf: (rule: ValidatedRule) => RuleCost;
  readonly #statements = new Map<ValidatedRule, StatementSync>();
  readonly #insert: StatementSync;
  readonly #clear: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  /** Name of the SQL function that looks at the clock: no rule can guess it. */
  readonly #tick = `tick_${crypto.randomUUID().replaceAll("-", "")}`;
  /** The first row of the call, the last that looked at the clock, and when the call ends. */
  #first = 0;
  #looked = 0;
  #end = Infinity;
  /** Rows look at the clock whose number has none of these bits. */
  #mask = 0;

  /**
   * @param rules those that may come; nothing is prepared yet
   * @param names columns that they compute with
   */
  constructor(
    rules: readonly ValidatedRule[],
    costOf: (rule: ValidatedRule) => RuleCost = newRuleCost,
    names: ReadonlySet<string> = columnsRead(rules),
  ) {
    this.#costOf = costOf;
    const columns = TABLE.columns.filter((column) => names.has(column.name));
    this.#places = columns.map((column) => PLACES.get(column.name)!);
    this.#db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
    // In a rule within() has three arguments: it is measured from the event
    defineFunctions(this.#db, () => 0);
    this.#db.function(this.#tick, { varargs: true }, (row) => {
      this.#looked = row as number;
      if (this.#looked > this.#first && performance.now() > this.#end) throw CALL_IS_OVER;
      return 1;
    });
    this.#db.exec(
      `PRAGMA journal_mode = OFF; PRAGMA temp_store = MEMORY;
       CREATE TABLE process_events (${
        ["batch_row INTEGER PRIMARY KEY", ...columns.map(({ name, type }) => `"${name}" ${type}`)].join(", ")
      })`,
    );
    this.#names = new Set(["batch_row", ...columns.map((column) => column.name)]);
    this.#insert = this.#db.prepare(`INSERT INTO process_events VALUES (?${", ?".repeat(columns.length)})`);
    this.#clear = this.#db.prepare("DELETE FROM process_events");
    this.#begin = this.#db.prepare("BEGIN");
    this.#commit = this.#db.prepare("COMMIT");
  }

  /** Prepares these rules behind SQLite's own gate, to be kept. Throws what SQLite says against one. */
  prepare(rules: readonly ValidatedRule[]): void {
    allSteps(this.preparing(rules));
  }

  /** The same, in steps of {@linkcode RULES_A_STEP} rules; nothing else is asked of the lane meanwhile. */
  *preparing(rules: readonly ValidatedRule[]): Generator<void> {
    // The gate stands while rules are prepared; setting one makes SQLite prepare again whatever was prepared before
    this.#guard();
    try {
      for (let at = 0; at < rules.length; at++) {
        if (at > 0 && at % RULES_A_STEP === 0) yield;
        this.#statements.set(rules[at]!, this.#statement(rules[at]!));
      }
    } finally {
      if (this.#db.isOpen) this.#db.setAuthorizer(null);
    }
  }

  /** Whether SQLite's own gate lets these rules pass, of which no statement is kept. Throws what it says against one. */
  check(rules: readonly ValidatedRule[]): void {
    // exec() frees what it prepared at once, where a statement would wait for the garbage collector with all its memory.
    this.#guard();
    try {
      for (const rule of rules) this.#db.exec(statementSql(rule, this.#tick));
    } finally {
      this.#db.setAuthorizer(null);
    }
  }

  /** Judges a batch by rules that were prepared. Hits are appended in the order of the rules, then of the rows. */
  run(
    rules: readonly ValidatedRule[],
    rows: readonly (readonly SqlValue[])[],
    deadlineMs: number,
    hits: Hit[],
    faults: Fault[],
  ): void {
    for (const _ of this.steps(rules, rows, deadlineMs, hits, faults));
  }

  /** The same, with room for other work after each call: a rule and some rows. */
  *steps(
    rules: readonly ValidatedRule[],
    rows: readonly (readonly SqlValue[])[],
    deadlineMs: number,
    hits: Hit[],
    faults: Fault[],
  ): Generator<void> {
    if (rules.length === 0) return;
    try {
      yield* this.#filling(rows);
      for (const rule of rules) yield* this.#judge(rule, rows, deadlineMs, hits, faults);
    } finally {
      this.#empty();
    }
  }

  /** Judges one row by one rule: the evidence, or `null` when it does not match. Throws what SQLite says. */
  runRow(rule: ValidatedRule, cells: readonly SqlValue[]): Hit["evidence"] | null {
    let statement = this.#statements.get(rule);
    if (statement === undefined) {
      const [oldest] = this.#statements.keys();
      if (this.#statements.size >= MAX_KEPT) this.#statements.delete(oldest!);
      this.prepare([rule]);
      statement = this.#statements.get(rule)!;
    }
    const hits: Hit[] = [];
    try {
      allSteps(this.#filling([cells]));
      this.#call(rule, statement, [cells], 0, 0, 0, hits);
    } finally {
      this.#empty();
    }
    return hits[0]?.evidence ?? null;
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #guard(): void {
    const tables = new Map([[TABLE.name, this.#names]]);
    authorizeReads(this.#db, { tables, functions: "row", views: null, own: this.#tick });
  }

  #statement(rule: ValidatedRule): StatementSync {
    const next = this.#db.prepare(statementSql(rule, this.#tick));
    next.setReturnArrays(true);
    // An integer beyond 2^53 would otherwise be an error
    next.setReadBigInts(true);
    return next;
  }

  *#filling(rows: readonly (readonly SqlValue[])[]): Generator<void> {
    this.#begin.run();
    let longest = 0, left = CHARACTERS_A_FILL;
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!, values = this.#places.map((place) => row[place]!);
      let characters = 0;
      for (const value of values) if (typeof value === "string") characters += value.length;
      longest = Math.max(longest, characters);
      this.#insert.run(i, ...values);
      left -= characters + CHARACTERS_A_FILL / ROWS_A_FILL;
      if (left > 0) continue;
      left = CHARACTERS_A_FILL;
      yield;
    }
    this.#mask = longest > LONG_CHARACTERS ? 0 : ROWS_PER_LOOK - 1;
  }

  /** What a batch leaves. One that was given up between two steps is emptied when its generator is closed. */
  #empty(): void {
    if (!this.#db.isOpen || !this.#db.isTransaction) return;
    this.#clear.run();
    this.#commit.run();
  }

  *#judge(
    rule: ValidatedRule,
    rows: readonly (readonly SqlValue[])[],
    deadlineMs: number,
    hits: Hit[],
    faults: Fault[],
  ): Generator<void> {
    const statement = this.#statements.get(rule)!, before = hits.length;
    let unjudged = 0, reason = "", timedOut = false, spent = 0;
    /** Up to this row each has a call of its own: one of them failed. */
    let alone = 0;
    for (let at = 0; at < rows.length;) {
      const to = at < alone ? at : Math.min(at + ROWS_A_CALL, rows.length) - 1, begin = performance.now();
      try {
        at = this.#call(rule, statement, rows, at, to, Math.min(CALL_MS, deadlineMs - spent), hits);
      } catch (error) {
        if (at === to) {
          unjudged++;
          reason = error instanceof Error ? error.message : String(error);
          at++;
        } else {
          // SQLite says that some row failed, not which: one of those since the last look at the clock
          alone = this.#looked + ROWS_PER_LOOK + 1;
        }
      }
      spent += performance.now() - begin;
      const left = rows.length - at;
      if (left > 0 && spent > deadlineMs) {
        unjudged += left;
        reason = `stopped after ${deadlineMs} ms`;
        timedOut = true;
        break;
      }
      yield;
    }
    const cost = this.#costOf(rule);
    cost.evaluations += 1;
    cost.rows += rows.length;
    cost.matches += hits.length - before;
    cost.cpuMs += spent;
    if (unjudged > 0) faults.push({ rule, reason, rows: unjudged, timedOut });
  }

  /** The first match between two rows, both included, if it is found in time. Gives the row to go on with. */
  #call(
    rule: ValidatedRule,
    statement: StatementSync,
    rows: readonly (readonly SqlValue[])[],
    from: number,
    to: number,
    budgetMs: number,
    hits: Hit[],
  ): number {
    this.#first = this.#looked = from;
    this.#end = performance.now() + budgetMs;
    let found: (SqlValue | bigint)[] | undefined;
    try {
      found = statement.get(from, to, this.#mask) as unknown as typeof found;
    } catch (error) {
      if (error === CALL_IS_OVER) return this.#looked;
      throw error;
    }
    if (found === undefined) return to + 1;
    const row = Number(found[0]);
    hits.push({ rule, row, evidence: evidenceOf(rowQuery(rule).outputs, rows[row]!, found.slice(1)) });
    return row + 1;
  }
}

/** One object, made once: where it is thrown, no stack is taken. */
const CALL_IS_OVER: Error = new RangeError("The call has taken its time");

function columnsRead(rules: readonly ValidatedRule[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const rule of rules) for (const name of rowQuery(rule).columns) names.add(name);
  return names;
}

/** From two row numbers to the first match between them: its number, then the values of the computed outputs. */
function statementSql(rule: ValidatedRule, tick: string): string {
  const { alias, where, outputs } = rowQuery(rule), row = `"${alias}".batch_row`;
  const computed = outputs.flatMap(({ sql }) => sql === null ? [] : [`, (${sql})`]).join("");
  return `SELECT ${row}${computed} FROM process_events AS "${alias}"
     WHERE ${row} BETWEEN ?1 AND ?2 AND (${row} & ?3 OR ${tick}(${row})) AND (${where}
     ) ORDER BY ${row} LIMIT 1`;
}
