/**
 * Rules as SQL over a batch of rows, in an in-memory SQLite database of its own.
 *
 * The batch is put into a table that has only the columns which some rule computes with; what a rule merely shows is
 * taken from the row itself. Each rule is one prepared statement that finds its next match, so that a batch without
 * matches costs one call per rule and {@linkcode SLICE} rows.
 *
 * Every rule can run here, and this is what it means. Those whose condition has no form run here alone; of the others
 * single rows come here, for what a rule computes of a row that it matched.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { tableNamed } from "../catalog.ts";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { authorizeReads, READ_LIMITS } from "./authorizer.ts";
import type { Fault, Hit } from "./evaluation.ts";
import { evidenceOf } from "./evidence.ts";
import { newRuleCost, type RuleCost } from "./rule_cost.ts";
import { rowQuery, type ValidatedRule } from "./rule.ts";
import { defineFunctions } from "./user_functions.ts";

/** Rows between two looks at the clock. */
const SLICE = 256;
/** Statements that are kept of rules which come here for single rows. */
const MAX_KEPT = 64;

const PLACES = columnPlaces("process_events");
const TABLE = tableNamed("process_events");

export class SqlLane implements Disposable {
  readonly #db: DatabaseSync;
  readonly #names: ReadonlySet<string>;
  /** Places in a row of the columns that the batch table has. */
  readonly #places: readonly number[];
  readonly #costs: ReadonlyMap<ValidatedRule, RuleCost>;
  readonly #statements = new Map<ValidatedRule, StatementSync>();
  readonly #insert: StatementSync;
  readonly #clear: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;

  /** @param rules those that may come; nothing is prepared yet */
  constructor(rules: readonly ValidatedRule[], costOf: (rule: ValidatedRule) => RuleCost = newRuleCost) {
    this.#costs = new Map(rules.map((rule) => [rule, costOf(rule)]));
    const used = new Set(rules.flatMap((rule) => [...rowQuery(rule).columns]));
    const columns = TABLE.columns.filter((column) => used.has(column.name));
    this.#places = columns.map((column) => PLACES.get(column.name)!);
    this.#db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
    // In a rule within() has three arguments: it is measured from the event
    defineFunctions(this.#db, () => 0);
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
    this.#guarded(() => rules.forEach((rule) => this.#statements.set(rule, this.#statement(rule))));
  }

  /** Whether SQLite's own gate lets these rules pass, of which no statement is kept. Throws what it says against one. */
  check(rules: readonly ValidatedRule[]): void {
    // exec() frees what it prepared at once, where a statement would wait for the garbage collector with all its memory.
    this.#guarded(() => rules.forEach((rule) => this.#db.exec(statementSql(rule))));
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

  /** The same, with room for other work after {@linkcode SLICE} rows of each rule. */
  *steps(
    rules: readonly ValidatedRule[],
    rows: readonly (readonly SqlValue[])[],
    deadlineMs: number,
    hits: Hit[],
    faults: Fault[],
  ): Generator<void> {
    if (rules.length === 0) return;
    this.#fill(rows);
    try {
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
    this.#fill([cells]);
    try {
      slice(rule, statement, [cells], 0, 0, hits);
    } finally {
      this.#empty();
    }
    return hits[0]?.evidence ?? null;
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  /** The gate stands while rules are prepared; setting one makes SQLite prepare again whatever was prepared before. */
  #guarded(prepare: () => void): void {
    const tables = new Map([[TABLE.name, this.#names]]);
    authorizeReads(this.#db, { tables, functions: "row", views: null });
    try {
      prepare();
    } finally {
      this.#db.setAuthorizer(null);
    }
  }

  #statement(rule: ValidatedRule): StatementSync {
    const next = this.#db.prepare(statementSql(rule));
    next.setReturnArrays(true);
    // An integer beyond 2^53 would otherwise be an error
    next.setReadBigInts(true);
    return next;
  }

  #fill(rows: readonly (readonly SqlValue[])[]): void {
    this.#begin.run();
    try {
      rows.forEach((row, i) => this.#insert.run(i, ...this.#places.map((place) => row[place]!)));
    } catch (error) {
      this.#empty();
      throw error;
    }
  }

  /** What a batch leaves. One that was given up between two steps is emptied when its generator is closed. */
  #empty(): void {
    if (!this.#db.isOpen) return;
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
    for (let from = 0; from < rows.length; from += SLICE) {
      const to = Math.min(from + SLICE, rows.length) - 1, begin = performance.now();
      try {
        slice(rule, statement, rows, from, to, hits);
      } catch {
        // SQLite says that some row failed, not which: look at each alone, past those that have matched already
        const done = hits.at(-1)?.rule === rule ? hits.at(-1)!.row + 1 : 0;
        for (let row = Math.max(from, done); row <= to; row++) {
          try {
            slice(rule, statement, rows, row, row, hits);
          } catch (error) {
            unjudged++;
            reason = error instanceof Error ? error.message : String(error);
          }
        }
      }
      const left = rows.length - 1 - to;
      spent += performance.now() - begin;
      if (left > 0 && spent > deadlineMs) {
        unjudged += left;
        reason = `stopped after ${deadlineMs} ms`;
        timedOut = true;
        break;
      }
      yield;
    }
    const cost = this.#costs.get(rule)!;
    cost.evaluations += 1;
    cost.rows += rows.length;
    cost.matches += hits.length - before;
    cost.cpuMs += spent;
    if (unjudged > 0) faults.push({ rule, reason, rows: unjudged, timedOut });
  }
}

/** From two row numbers to the first match between them: its number, then the values of the computed outputs. */
function statementSql(rule: ValidatedRule): string {
  const { alias, where, outputs } = rowQuery(rule);
  const computed = outputs.flatMap(({ sql }) => sql === null ? [] : [`, (${sql})`]).join("");
  return `SELECT "${alias}".batch_row${computed} FROM process_events AS "${alias}"
     WHERE "${alias}".batch_row BETWEEN ?1 AND ?2 AND (${where}
     ) ORDER BY "${alias}".batch_row LIMIT 1`;
}

/** Matches between two rows, both included. */
function slice(
  rule: ValidatedRule,
  statement: StatementSync,
  rows: readonly (readonly SqlValue[])[],
  from: number,
  to: number,
  hits: Hit[],
): void {
  for (let at = from; at <= to;) {
    const found = statement.get(at, to) as unknown as (SqlValue | bigint)[] | undefined;
    if (found === undefined) return;
    const row = Number(found[0]);
    hits.push({ rule, row, evidence: evidenceOf(rowQuery(rule).outputs, rows[row]!, found.slice(1)) });
    at = row + 1;
  }
}
