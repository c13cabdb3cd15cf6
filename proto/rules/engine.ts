/**
 * Evaluates rules over batches of rows of `process_events`, in an in-memory SQLite database of its own.
 *
 * The batch is put into a table that has only the columns which some rule computes with; what a rule merely shows is
 * taken from the row itself. Each rule is one prepared statement that finds its next match, so that a batch without
 * matches costs one call per rule and {@linkcode SLICE} rows.
 *
 * Rules come from the guard, rows from outside. A rule that fails on a row (JSON that is none, a value too long) misses
 * that row alone; one that runs past its deadline misses the rest of the batch. Both are told as faults, never hidden.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { tableNamed } from "../catalog.ts";
import { columnPlaces, type SqlValue } from "../event_row.ts";
import { authorizeReads, READ_LIMITS } from "./authorizer.ts";
import type { ValidatedRule } from "./rule.ts";
import type { RowOutput, RowQuery } from "./sql_guard.ts";

/** Time that one rule may spend on one batch. */
export const DEFAULT_DEADLINE_MS = 100;
/** Rows between two looks at the clock. */
const SLICE = 256;
/** Longest text in evidence, in bytes of UTF-8. */
export const MAX_EVIDENCE_BYTES = 4_096;

/** A rule matched a row. */
export interface Hit {
  readonly rule: ValidatedRule;
  /** Index in the batch. */
  readonly row: number;
  /** The columns that the rule selects; long texts are cut and end in `…`. */
  readonly evidence: Readonly<Record<string, SqlValue>>;
}

/** A rule could not look at some of the rows. */
export interface Fault {
  readonly rule: ValidatedRule;
  readonly reason: string;
  /** How many rows of the batch it did not judge. */
  readonly rows: number;
  /**
   * Whether its time was up. Otherwise single rows failed, which whoever starts processes may bring about: no reason to
   * take the rule out, or they could switch it off.
   */
  readonly timedOut: boolean;
}

export interface Evaluation {
  readonly hits: readonly Hit[];
  readonly faults: readonly Fault[];
}

export interface RuleEngineOptions {
  /** Milliseconds that one rule may spend on one batch. */
  readonly deadlineMs?: number;
}

/** One rule, ready to run. */
interface Program {
  readonly rule: ValidatedRule;
  /** From two row numbers to the first match between them: its number, then the values of the computed outputs. */
  readonly next: StatementSync;
  readonly outputs: readonly RowOutput[];
}

const PLACES = columnPlaces("process_events");
const ENCODER = new TextEncoder();
const EVIDENCE = new Uint8Array(MAX_EVIDENCE_BYTES);

/**
 * Rules over batches.
 *
 * @example
 * ```ts
 * import { RuleEngine } from "./engine.ts";
 * import { parseRule, validateRule } from "./rule.ts";
 * import { blankProcessEvent } from "../process_event.ts";
 * import { eventRow } from "../event_row.ts";
 * import assert from "node:assert/strict";
 * const rule = validateRule(parseRule(`
 * id: netcat
 * title: Netcat
 * description: Someone runs netcat
 * severity: low
 * sql: SELECT pid FROM process_events WHERE name = 'nc'
 * `, "netcat.yml"));
 * using engine = new RuleEngine([rule]);
 * const event = { ...blankProcessEvent("start", 0, "x-7-1", 7), name: "nc" };
 * const { hits } = engine.evaluate([eventRow(event, 1, "host")]);
 * assert.deepEqual(hits.map(({ row, evidence }) => [row, evidence]), [[0, { pid: 7 }]]);
 * ```
 */
export class RuleEngine implements Disposable {
  readonly #db: DatabaseSync;
  readonly #deadlineMs: number;
  readonly #programs: readonly Program[];
  /** Places in a row of the columns that the batch table has. */
  readonly #places: readonly number[];
  readonly #insert: StatementSync;
  readonly #clear: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;

  constructor(rules: readonly ValidatedRule[], options: RuleEngineOptions = {}) {
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    const table = tableNamed("process_events");
    const used = new Set(rules.flatMap((rule) => [...rowQuery(rule).columns]));
    const columns = table.columns.filter((column) => used.has(column.name));
    this.#places = columns.map((column) => PLACES.get(column.name)!);
    this.#db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
    this.#db.exec(
      `PRAGMA journal_mode = OFF; PRAGMA temp_store = MEMORY;
       CREATE TABLE process_events (${
        ["batch_row INTEGER PRIMARY KEY", ...columns.map(({ name, type }) => `"${name}" ${type}`)].join(", ")
      })`,
    );
    // The gate stands while rules are prepared; setting one makes SQLite prepare again whatever was prepared before.
    const names = new Set(["batch_row", ...columns.map((column) => column.name)]);
    authorizeReads(this.#db, { tables: new Map([[table.name, names]]), functions: "row", views: null });
    this.#programs = rules.map((rule) => this.#program(rule));
    this.#db.setAuthorizer(null);
    this.#insert = this.#db.prepare(`INSERT INTO process_events VALUES (?${", ?".repeat(columns.length)})`);
    this.#clear = this.#db.prepare("DELETE FROM process_events");
    this.#begin = this.#db.prepare("BEGIN");
    this.#commit = this.#db.prepare("COMMIT");
  }

  /** Matches of all rules in these rows, in the order of the rules, then of the rows. */
  evaluate(rows: readonly (readonly SqlValue[])[]): Evaluation {
    const hits: Hit[] = [], faults: Fault[] = [];
    if (rows.length === 0 || this.#programs.length === 0) return { hits, faults };
    this.#begin.run();
    try {
      rows.forEach((row, i) => this.#insert.run(i, ...this.#places.map((place) => row[place]!)));
      for (const program of this.#programs) this.#run(program, rows, hits, faults);
    } finally {
      this.#clear.run();
      this.#commit.run();
    }
    return { hits, faults };
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #program(rule: ValidatedRule): Program {
    const { alias, where, outputs } = rowQuery(rule);
    const computed = outputs.flatMap(({ sql }) => sql === null ? [] : [`, (${sql})`]).join("");
    const next = this.#db.prepare(
      `SELECT "${alias}".batch_row${computed} FROM process_events AS "${alias}"
       WHERE "${alias}".batch_row BETWEEN ?1 AND ?2 AND (${where}
       ) ORDER BY "${alias}".batch_row LIMIT 1`,
    );
    next.setReturnArrays(true);
    // An integer beyond 2^53 would otherwise be an error
    next.setReadBigInts(true);
    return { rule, next, outputs };
  }

  #run(program: Program, rows: readonly (readonly SqlValue[])[], hits: Hit[], faults: Fault[]): void {
    const { rule } = program;
    const begin = performance.now();
    let unjudged = 0, reason = "", timedOut = false;
    for (let from = 0; from < rows.length; from += SLICE) {
      const to = Math.min(from + SLICE, rows.length) - 1;
      try {
        this.#slice(program, rows, from, to, hits);
      } catch {
        // SQLite says that some row failed, not which: look at each alone, past those that have matched already
        const done = hits.at(-1)?.rule === rule ? hits.at(-1)!.row + 1 : 0;
        for (let row = Math.max(from, done); row <= to; row++) {
          try {
            this.#slice(program, rows, row, row, hits);
          } catch (error) {
            unjudged++;
            reason = error instanceof Error ? error.message : String(error);
          }
        }
      }
      const left = rows.length - 1 - to;
      if (left > 0 && performance.now() - begin > this.#deadlineMs) {
        unjudged += left;
        reason = `stopped after ${this.#deadlineMs} ms`;
        timedOut = true;
        break;
      }
    }
    if (unjudged > 0) faults.push({ rule, reason, rows: unjudged, timedOut });
  }

  /** Matches between two rows, both included. */
  #slice(
    { rule, next, outputs }: Program,
    rows: readonly (readonly SqlValue[])[],
    from: number,
    to: number,
    hits: Hit[],
  ): void {
    for (let at = from; at <= to;) {
      const found = next.get(at, to) as unknown as (SqlValue | bigint)[] | undefined;
      if (found === undefined) return;
      const row = Number(found[0]);
      const evidence: Record<string, SqlValue> = {};
      let computed = 0;
      for (const { name, column } of outputs) {
        evidence[name] = bounded(column === null ? found[++computed]! : rows[row]![PLACES.get(column)!]!);
      }
      hits.push({ rule, row, evidence });
      at = row + 1;
    }
  }
}

function rowQuery({ query }: ValidatedRule): RowQuery {
  if (query.row === null) throw new TypeError("The engine takes rules, and this is a hunt");
  return query.row;
}

function bounded(value: SqlValue | bigint): SqlValue {
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "string" || value.length <= MAX_EVIDENCE_BYTES / 3) return value;
  const { read } = ENCODER.encodeInto(value, EVIDENCE);
  if (read === value.length) return value;
  // Room for the mark, which is three bytes
  const kept = ENCODER.encodeInto(value, EVIDENCE.subarray(0, MAX_EVIDENCE_BYTES - 3)).read;
  return value.slice(0, kept) + "…";
}
