/**
 * Rules over the tables that collectors brought, as SQL over rows in memory.
 *
 * Each table that a rule reads has one here. A rule that looks at one row runs over the rows of a batch; one over a
 * window over the rows later than the newest one's time less the window, whenever its table got rows. Memory is bounded
 * in rows for each table; what had no room is a reason with every verdict until it has left the window. Every evaluation
 * is bounded by a deadline, and what stops it is told with what was found until then.
 *
 * As in the other lanes a batch counts once it is {@linkcode CollectedLane.commit}ted, and is as if it never came if not.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { tableNamed } from "../catalog.ts";
import type { Table } from "../tables/table.ts";
import type { SqlValue } from "../event_row.ts";
import { columnsOf, READ_LIMITS } from "./authorizer.ts";
import { type DeadlineViews, openDeadlineViews, QueryDeadlineError } from "./deadline_views.ts";
import { runGuarded } from "./prepared_query.ts";
import { bounded } from "./evidence.ts";
import { newRuleCost, type RuleCost } from "./rule_cost.ts";
import type { ValidatedRule } from "./rule.ts";
import { MAX_FOUND } from "./watch_table.ts";
import { CAPPED, keyOf, readable, type WindowEvaluation } from "./window_evaluation.ts";
import { ARRIVAL } from "./window_findings.ts";

/** Most rows of one table in memory. */
export const MAX_TABLE_ROWS = 50_000;
/** Findings of one rule that are remembered as raised. */
const MAX_RAISED = 10_000;
/** A row that is further ahead of this host's clock moves no window. */
const MAX_AHEAD_MS = 60_000;

/** New rows of one table, each with the columns of the table in their order. */
export interface TableRows {
  readonly table: string;
  readonly rows: readonly (readonly SqlValue[])[];
}

export interface CollectedLaneOptions {
  /** Time that one rule may take for one batch. */
  readonly deadlineMs: number;
  readonly maxRows?: number;
  readonly costOf?: (rule: ValidatedRule) => RuleCost;
}

interface Memory {
  readonly table: Table;
  readonly windowMs: number;
  readonly time: number;
  readonly insert: StatementSync;
  readonly rules: Watch[];
  rows: number;
  /** Highest time that a row had, {@linkcode MAX_AHEAD_MS} ahead at most. */
  newest: number;
  keptNewest: number;
  /** Until when verdicts lack what had no room. */
  cappedUntil: number;
  /** Why the last rows are not here, and the time of that. */
  lost: number;
}

interface Watch {
  readonly rule: ValidatedRule;
  readonly raised: Map<string, number>;
}

export class CollectedLane implements Disposable {
  readonly #db: DatabaseSync;
  readonly #memories = new Map<string, Memory>();
  readonly #views: DeadlineViews;
  readonly #columns: ReturnType<typeof columnsOf>;
  readonly #options: CollectedLaneOptions;
  readonly #maxRows: number;
  #arrival = 1;
  #isOpen = false;
  /** What the views show: rows from this arrival on, later than this time. */
  #from = 0;
  #after = -1;
  #undo: { readonly raised: Map<string, number>; readonly key: string; readonly before: number | undefined }[] = [];

  /** `rules` are over collectors' tables. Throws what SQLite says against one of them. */
  constructor(rules: readonly ValidatedRule[], options: CollectedLaneOptions) {
    this.#options = options;
    this.#maxRows = options.maxRows ?? MAX_TABLE_ROWS;
    const db = this.#db = new DatabaseSync(":memory:", { limits: READ_LIMITS });
    try {
      db.exec("PRAGMA journal_mode = MEMORY; PRAGMA temp_store = MEMORY");
      const secret = crypto.randomUUID().replaceAll("-", "");
      db.function(`from_${secret}`, () => this.#from);
      db.function(`after_${secret}`, () => this.#after);
      const tables: Table[] = [];
      for (const rule of rules) {
        const { table } = rule.collected!, known = this.#memories.get(table.name);
        const windowMs = Math.max(rule.windowMs ?? 0, known?.windowMs ?? 0), watch = { rule, raised: new Map() };
        if (known === undefined) tables.push(made(db, table));
        const insert = known?.insert ?? insertInto(db, table),
          time = table.columns.findIndex(({ name }) => name === "time");
        this.#memories.set(table.name, {
          ...{ table, windowMs, time, insert, rules: [...known?.rules ?? [], watch], rows: 0 },
          ...{ newest: -Infinity, keptNewest: -Infinity, cappedUntil: -Infinity, lost: -Infinity },
        });
      }
      this.#views = openDeadlineViews(
        db,
        tables,
        () => `"${ARRIVAL}" >= from_${secret}() AND time > after_${secret}()`,
        1,
        [`from_${secret}`, `after_${secret}`],
      );
      this.#columns = columnsOf(tables);
      for (const rule of rules) for (const _ of this.#run(rule, options.deadlineMs, 0).rows); // SQLite's own gate
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** Tables that rules read, each with the longest time that one looks over; 0 where all look at single rows. */
  get tables(): readonly { readonly table: Table; readonly windowMs: number }[] {
    return [...this.#memories.values()];
  }

  /** Judges a batch, with room for other work between the rules. `now`: this host's clock; `paused`: rules not asked. */
  *judge(
    batch: readonly TableRows[],
    now: number,
    out: WindowEvaluation,
    paused: ReadonlySet<string> = new Set(),
  ): Generator<void> {
    this.rollback();
    this.#db.setAuthorizer(null);
    this.#db.exec("BEGIN");
    this.#isOpen = true;
    for (const { table, rows } of batch) {
      const memory = this.#memories.get(table), first = this.#arrival;
      if (memory === undefined || rows.length === 0) continue;
      this.#db.setAuthorizer(null);
      for (const row of rows) this.#insert(memory, row, now);
      yield;
      for (const watch of memory.rules) {
        if (paused.has(watch.rule.id)) continue;
        this.#evaluate(memory, watch, first, rows, now, out);
        yield;
        if (!this.#isOpen) return;
      }
    }
  }

  /** Keeps what the last batch did. */
  commit(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#db.setAuthorizer(null);
    for (const memory of this.#memories.values()) this.#tidy(memory);
    this.#db.exec("COMMIT");
    this.#undo = [];
  }

  /** Undoes what the last batch did, unless it was kept. */
  rollback(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#db.setAuthorizer(null);
    this.#db.exec("ROLLBACK");
    for (const { raised, key, before } of this.#undo.reverse()) {
      if (before === undefined) raised.delete(key);
      else raised.set(key, before);
    }
    this.#undo = [];
    for (const memory of this.#memories.values()) {
      memory.newest = memory.keptNewest;
      memory.rows = this.#count(memory);
    }
  }

  /** Takes rows that were judged before a restart, oldest first; what they raised comes by `restoreRaised`. */
  restore(table: string, rows: readonly (readonly SqlValue[])[], now: number): void {
    const memory = this.#memories.get(table);
    if (memory === undefined) return;
    this.#db.setAuthorizer(null);
    this.#db.exec("BEGIN");
    for (const row of rows) this.#insert(memory, row, now);
    this.#tidy(memory);
    this.#db.exec("COMMIT");
  }

  /** Takes a finding that was raised before a restart. */
  restoreRaised(ruleId: string, key: string, time: number): void {
    for (const { rules } of this.#memories.values()) {
      const watch = rules.find(({ rule }) => rule.id === ruleId);
      if (watch !== undefined && !(watch.raised.get(key)! >= time)) watch.raised.set(key, time);
    }
  }

  /** From here on verdicts lack something, until it has left the windows: a batch could not be judged. */
  mark(tables: Iterable<string>): void {
    for (const name of tables) {
      const memory = this.#memories.get(name);
      if (memory !== undefined) memory.lost = memory.newest;
    }
  }

  /** Why the verdict of a rule is not whole now; empty when it is. */
  reasons(rule: ValidatedRule): readonly string[] {
    const memory = this.#memories.get(rule.collected!.table.name);
    return memory === undefined ? [] : reasonsOf(memory, rule);
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #insert(memory: Memory, row: readonly SqlValue[], now: number): void {
    memory.insert.run(this.#arrival++, ...row);
    memory.rows += 1;
    const time = row[memory.time] as number;
    if (time > memory.newest && time <= now + MAX_AHEAD_MS) memory.newest = time;
  }

  #run(rule: ValidatedRule, deadlineMs: number, now: number): ReturnType<typeof runGuarded> {
    return runGuarded(this.#db, this.#views, rule.collected!.query, deadlineMs, now, this.#columns);
  }

  #evaluate(
    memory: Memory,
    { rule, raised }: Watch,
    first: number,
    batch: readonly (readonly SqlValue[])[],
    now: number,
    out: WindowEvaluation,
  ): void {
    const { deadlineMs, costOf = newRuleCost } = this.#options, { outputs, key, newest } = rule.collected!;
    const { windowMs } = rule, began = performance.now(), found: (readonly (SqlValue | bigint)[])[] = [];
    this.#from = windowMs === null ? first : 0;
    this.#after = windowMs === null ? -1 : memory.newest - windowMs;
    let fault: { readonly reason: string; readonly timedOut: boolean } | null = null;
    try {
      for (const row of this.#run(rule, deadlineMs, windowMs === null ? now : memory.newest).rows) {
        if (found.length === MAX_FOUND) {
          fault = { reason: `only the first ${MAX_FOUND} rows of its result were read`, timedOut: false };
          break;
        }
        found.push(row);
      }
    } catch (error) {
      fault = {
        reason: error instanceof Error ? error.message : String(error),
        timedOut: error instanceof QueryDeadlineError,
      };
    }
    const cost = costOf(rule), rows = windowMs === null ? batch.length : memory.rows;
    cost.evaluations += 1;
    cost.rows += rows;
    cost.cpuMs += performance.now() - began;
    cost.matches += found.length;
    if (fault === null) out.evaluated.add(rule);
    else out.faults.push({ rule, rows, ...fault });
    for (const row of found) {
      const arrival = newest === null ? null : Number(row[newest]), at = arrival === null ? -1 : arrival - first;
      const cells = batch[at] ?? batch.at(-1)!, time = cells[memory.time] as number;
      const evidence = Object.fromEntries(outputs.map((name, place) => [name, bounded(readable(row[place]!))]));
      // Of a single row what tells it apart is all that the rule shows of it
      const id = keyOf(windowMs === null ? Object.values(evidence) : key.map((place) => row[place]!));
      if (windowMs !== null) {
        const last = raised.get(id);
        // As long as nothing new came to it, or it was told less than a window ago, it is the same
        if (at < 0 || last !== undefined && time < last + windowMs) {
          out.suppressed += 1;
          continue;
        }
        this.#undo.push({ raised, key: id, before: last });
        raised.delete(id);
        raised.set(id, time);
      }
      const reasons = reasonsOf(memory, rule);
      out.findings.push({ rule, row: null, cells: eventCells(memory.table, cells), key: id, time, evidence, reasons });
    }
  }

  /** What no window needs any more, and what there is no room for. */
  #tidy(memory: Memory): void {
    const { table, windowMs, rules } = memory, name = `main."${table.name}"`;
    memory.keptNewest = memory.newest;
    const bound = windowMs === 0 ? Infinity : memory.newest - windowMs;
    if (bound === Infinity) this.#db.exec(`DELETE FROM ${name}`);
    else if (Number.isFinite(bound)) this.#db.prepare(`DELETE FROM ${name} WHERE time <= ?`).run(bound);
    memory.rows = this.#count(memory);
    if (memory.rows > this.#maxRows) {
      const over = memory.rows - Math.floor(this.#maxRows * 0.9);
      const last = this.#db.prepare(
        `SELECT max("${ARRIVAL}") AS arrival, max(time) AS time
         FROM (SELECT "${ARRIVAL}", time FROM ${name} ORDER BY "${ARRIVAL}" LIMIT ?)`,
      ).get(over)!;
      this.#db.prepare(`DELETE FROM ${name} WHERE "${ARRIVAL}" <= ?`).run(last["arrival"] as number);
      memory.cappedUntil = last["time"] as number;
      memory.rows = this.#count(memory);
    }
    for (const { raised } of rules) {
      for (const key of raised.keys()) {
        if (raised.size <= MAX_RAISED) break;
        raised.delete(key);
      }
    }
  }

  #count({ table }: Memory): number {
    return this.#db.prepare(`SELECT count(*) AS n FROM main."${table.name}"`).get()!["n"] as number;
  }
}

function reasonsOf({ newest, cappedUntil, lost }: Memory, { windowMs }: ValidatedRule): string[] {
  if (windowMs === null) return [];
  const reasons = cappedUntil > newest - windowMs ? [CAPPED] : [];
  if (lost > newest - windowMs) reasons.push("a batch of rows is not in the window");
  return reasons;
}

/** Makes the table in memory; gives it as the views show it. */
function made(db: DatabaseSync, table: Table): Table {
  const arrival = { name: ARRIVAL, type: "INTEGER" as const, description: "" };
  const columns = table.columns.map(({ name, type }) => `"${name}" ${type}`).join(", ");
  db.exec(`CREATE TABLE "${table.name}" ("${ARRIVAL}" INTEGER PRIMARY KEY, ${columns})`);
  return { ...table, key: [ARRIVAL], indexes: [], columns: [arrival, ...table.columns] };
}

function insertInto(db: DatabaseSync, table: Table): StatementSync {
  return db.prepare(`INSERT INTO main."${table.name}" VALUES (?${", ?".repeat(table.columns.length)})`);
}

const EVENT_COLUMNS = tableNamed("process_events").columns;
/** What of an event a row has under another name. */
const OTHER_NAMES: Readonly<Record<string, string>> = { event_id: "row_id" };

/**
 * A row as an event, for alerts: columns of the same name and type take their place, and what an alert cannot be without
 * is empty. Whose event it is not, has no process.
 */
function eventCells(table: Table, row: readonly SqlValue[]): SqlValue[] {
  return EVENT_COLUMNS.map(({ name, type }) => {
    const wanted = OTHER_NAMES[name] ?? name;
    const at = table.columns.findIndex((column) => column.name === wanted && column.type === type);
    const value = at < 0 ? null : row[at] ?? null;
    if (name === "pid") return value ?? 0;
    return name === "name" || name === "exec_id" ? value ?? "" : value;
  });
}
