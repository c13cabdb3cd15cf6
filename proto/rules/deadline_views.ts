/**
 * The deadline of a running query.
 *
 * Nothing can interrupt a statement that runs, so the tables are seen through views whose condition calls back for every
 * row and throws when the time is up. Three names have to be unforgeable for that. SQLite tells the authorizer "by which
 * view" a table is read, but a CTE's name counts as one: a query that names a CTE like the view would read the table
 * past the clock. Views that touch a table therefore have a random name, and so has the function.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import "./sqlite_types.ts";
import { CATALOG } from "../catalog.ts";
import type { Table } from "../tables/table.ts";
import { allSteps } from "../steps.ts";
import { EventGroups, type EventPart } from "./event_groups.ts";
import { defineFunctions } from "./user_functions.ts";
import { tickColumn } from "./weave.ts";

/** Most calls of the view's condition between two looks at the clock, while rows go fast: some 20 µs. */
const CALLS_PER_LOOK = 128;
/** Rows go fast while so many calls take no longer than this. */
const FAST_MS = 1;
/** Under a budget up to this, every call looks: one row that costs much may come after many that do not. */
export const EAGER_BUDGET_MS = 1_000;

/**
 * Of such a budget, the part that reading may take where the rows are sorted afterwards: nothing looks at the clock
 * while SQLite sorts, which was measured to take twice as long as to read what is sorted.
 */
const SHARE_BEFORE_SORT = 0.45;

/** A query ran longer than it may. */
export class QueryDeadlineError extends Error {
  override name = "QueryDeadlineError";
  constructor(readonly budgetMs: number) {
    super(`The query was stopped after ${budgetMs} ms`);
  }
}

/** Somebody asked for the end of a query. */
export class QueryStoppedError extends Error {
  override name = "QueryStoppedError";
}

/** Views over the tables of a database, of the same names, that stop a query when its time is up. */
export interface DeadlineViews {
  /** Name of the SQL function that looks at the clock. */
  readonly tick: string;
  /** Name of the SQL function that notes that it was called. */
  readonly mark: string;
  /** Functions of random names that the conditions of the views call. */
  readonly trusted: readonly string[];
  /** Random name of the view that reads a table, by table. */
  readonly gates: ReadonlyMap<string, string>;
  /**
   * Gives what runs from now on so much time, and takes the mark back. `nowMs` is what `within()` measures from, in Unix
   * milliseconds: the clock, unless a lane says otherwise. `sorts`: what is read is sorted before the first row comes.
   */
  start(budgetMs: number, nowMs?: number, sorts?: boolean): void;
  /** Throws {@linkcode QueryDeadlineError} when the time is up, and {@linkcode QueryStoppedError} when that is asked for. */
  look(): void;
  /** Has every look at the clock ask from now on whether the query is to end. */
  stopWhen(asked: () => boolean): void;
  /** Whether `mark` was called since the start. */
  readonly marked: boolean;
  /** How many partitions `process_events` has: 1 where it is a table. */
  readonly partitions: number;
  /** Has queries read from these partitions alone, and no column that they do not name. */
  readEventsFrom(source: EventSource): void;
  /** The partitions to read for what happened since a time; `null` where nobody said which there are. */
  parts(earliest: number | null): readonly EventPart[] | null;
  /** What every event must be like that a query sees, beside the look at the clock in it. */
  readonly eventCondition: string;
  /** What makes groups of events; `null` where nobody said which partitions there are. */
  readonly groups: EventGroups | null;
}

/** The partitions of `process_events` that may hold what happened since a time. */
export type EventSource = (earliest: number | null) => readonly EventPart[];

/**
 * Makes temporary views named like the tables, which from then on hide them. Also on a database that is open read-only.
 *
 * @param narrow a condition on the rows of a table, in trusted SQL, or `null`
 * @param trusted functions that those conditions call; no query must be able to guess their names
 * @param partitions how many `process_events` has, where it is a view over some
 */
export function openDeadlineViews(
  db: DatabaseSync,
  tables: Iterable<Table> = CATALOG.values(),
  narrow: (table: Table) => string | null = () => null,
  partitions = 1,
  trusted: readonly string[] = [],
): DeadlineViews {
  return allSteps(openingDeadlineViews(db, tables, narrow, partitions, true, trusted));
}

/** The same, with a step for each table; only what is named by its gate need not be hidden. */
export function* openingDeadlineViews(
  db: DatabaseSync,
  tables: Iterable<Table>,
  narrow: (table: Table) => string | null,
  partitions: number,
  hides: boolean,
  trusted: readonly string[] = [],
): Generator<void, DeadlineViews> {
  const secret = crypto.randomUUID().replaceAll("-", "");
  const tick = `tick_${secret}`, mark = `mark_${secret}`;
  let budget = 0, deadline = Infinity, readingEnds = Infinity, marked = false, now = 0;
  let stride = 1, left = 1, looked = 0, isStopped: () => boolean = () => false;
  let source: EventSource | null = null, groups: EventGroups | null = null, eventCondition = "";
  const look = (until = deadline): void => {
    const at = performance.now();
    if (isStopped()) throw new QueryStoppedError("The query was stopped");
    if (at > until) throw new QueryDeadlineError(budget);
    stride = budget <= EAGER_BUDGET_MS || at - looked > FAST_MS ? 1 : Math.min(2 * stride, CALLS_PER_LOOK);
    looked = at;
  };
  // Bigints: a value that a query computes may be beyond 2^53, and the runtime would refuse to hand that over as a number.
  db.function(tick, { varargs: true, useBigIntArguments: true }, () => {
    if (--left <= 0) {
      look(readingEnds);
      left = stride;
    }
    return 1;
  });
  defineFunctions(db, () => now);
  db.function(mark, { varargs: true }, () => {
    marked = true;
    return 0;
  });
  const gates = new Map<string, string>();
  for (const table of tables) {
    const gate = `${table.name}_${secret}`;
    const narrowed = narrow(table);
    const condition = `${tick}("${tickColumn(table)}")${narrowed === null ? "" : ` AND (${narrowed})`}`;
    if (table.name === "process_events") eventCondition = condition;
    const list = table.columns.map((column) => `"${column.name}"`).join(", ");
    db.exec(`CREATE TEMP VIEW "${gate}" AS SELECT ${list} FROM main."${table.name}" WHERE ${condition}`);
    if (hides) db.exec(`CREATE TEMP VIEW "${table.name}" AS SELECT ${list} FROM temp."${gate}"`);
    gates.set(table.name, gate);
    if (partitions > 1 && table.name === "process_events") {
      // A SELECT without a table keeps SQLite from making one query for each combination of partitions.
      db.exec(
        `CREATE TEMP VIEW "${wholeGate(gate)}" AS SELECT * FROM temp."${gate}"
         UNION ALL SELECT ${table.columns.map(() => "NULL").join(", ")} WHERE 0`,
      );
    }
    yield;
  }
  return {
    tick,
    mark,
    trusted,
    gates,
    partitions,
    readEventsFrom(from) {
      source = from;
      groups = new EventGroups(db, secret);
    },
    parts: (earliest) => source?.(earliest) ?? null,
    eventCondition,
    get groups() {
      return groups;
    },
    look: () => look(),
    stopWhen: (asked) => void (isStopped = asked),
    start(budgetMs, nowMs = Date.now(), sorts = false) {
      budget = budgetMs;
      now = nowMs;
      looked = performance.now();
      deadline = looked + budgetMs;
      readingEnds = sorts && budgetMs <= EAGER_BUDGET_MS ? looked + budgetMs * SHARE_BEFORE_SORT : deadline;
      stride = left = 1;
      marked = false;
    },
    get marked() {
      return marked;
    },
  };
}

/** The name of the view that stands for a gate where the query is not to be expanded. */
export function wholeGate(gate: string): string {
  return `${gate}_whole`;
}

/** The name of the view that has the columns alone that the query names. */
export function narrowName(gate: string): string {
  return `${gate}_narrow`;
}
