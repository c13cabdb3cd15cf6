/**
 * The second gate for SQL of rules and hunts, inside SQLite, and the deadline of a running query.
 *
 * It looks at nothing that the first gate (`sql_guard.ts`) found out: while a statement is prepared, SQLite asks about every
 * table, column and function that it is going to touch, and whatever the tables of the code do not list is denied.
 *
 * Nothing can interrupt a statement that runs, so the tables are seen through views whose condition calls back for every
 * row and throws when the time is up. Three names have to be unforgeable for that. SQLite tells the authorizer "by which
 * view" a table is read, but a CTE's name counts as one: a query that names a CTE like the view would read the table
 * past the clock. Views that touch a table therefore have a random name, and so has the function.
 *
 * Never read such a statement with `StatementSync.all()`: in Deno 2.9.6 it does not end when a function called from SQL
 * throws. `iterate()` throws that error but hides those of SQLite; {@linkcode runGuarded} deals with both.
 *
 * @module
 */
import { constants, type DatabaseSync, type StatementSync } from "node:sqlite";
import "./sqlite_types.ts";
import { CATALOG, type Table } from "../catalog.ts";
import type { SqlValue } from "../event_row.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { allSteps } from "../steps.ts";
import { STORED_EVENTS } from "../store_layout.ts";
import {
  asWriter,
  chooseGate,
  EVENT_COLUMNS,
  namedColumns,
  narrowName,
  narrowSelect,
  seeEvents,
  wholeGate,
} from "./event_gate.ts";
import { EventGroups, type EventPart } from "./event_groups.ts";
import { planSteps, sortsRows } from "./plan.ts";
import { FUNCTION_NAMES, FUNCTIONS } from "./sql_functions.ts";
import type { GuardedQuery } from "./sql_guard.ts";
import { OPERATORS } from "./sql_operators.ts";
import { defineFunctions } from "./user_functions.ts";
import { tickColumn, weave } from "./weave.ts";

/**
 * `limits` of a connection that runs SQL of rules and hunts. `length` holds the longest row of the store, an alert whose
 * evidence is full of escapes; a function that makes more fails.
 */
export const READ_LIMITS = {
  attach: 0,
  length: 4_194_304,
  sqlLength: 131_072,
  column: 512,
  exprDepth: 600,
  compoundSelect: 8,
  functionArg: 32,
  likePatternLength: 512,
  variableNumber: 128,
  triggerDepth: 1,
} as const;

/** Most calls of the view's condition between two looks at the clock, while rows go fast: some 20 µs. */
const CALLS_PER_LOOK = 128;
/** Rows go fast while so many calls take no longer than this. */
const FAST_MS = 1;
/** Under a budget up to this, every call looks: one row that costs much may come after many that do not. */
const EAGER_BUDGET_MS = 1_000;

/**
 * Of such a budget, the part that reading may take where the rows are sorted afterwards: nothing looks at the clock
 * while SQLite sorts, which was measured to take twice as long as to read what is sorted.
 */
const SHARE_BEFORE_SORT = 0.45;

/** Functions over one row, those that operators call among them. */
const ROW_FUNCTIONS: readonly string[] = [
  ...[...FUNCTIONS].filter(([, { kind }]) => kind === "scalar").map(([name]) => name),
  ...[...OPERATORS.values()].flatMap(({ calls }) => calls ?? []),
];

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

/** What {@linkcode authorizeReads} lets through. */
export interface ReadScope {
  /** Columns by table. */
  readonly tables: ReadonlyMap<string, ReadonlySet<string>>;
  /** "row": functions over one row; "query": those over several too. */
  readonly functions: "row" | "query";
  /** Set when the tables are to be read through their views alone. */
  readonly views: DeadlineViews | null;
  /** A function of the lane's own, of a name that no rule can guess. */
  readonly own?: string;
}

/** Columns by table, for all tables of the catalog and those that collectors brought. */
export function catalogColumns(collected: TableSet = NO_TABLES): ReadonlyMap<string, ReadonlySet<string>> {
  return columnsOf([...CATALOG.values(), ...collected.values()]);
}

/** Columns by table. */
export function columnsOf(tables: Iterable<Table>): ReadonlyMap<string, ReadonlySet<string>> {
  return new Map([...tables].map((table) => [table.name, new Set(table.columns.map((column) => column.name))]));
}

/** Denies whatever a statement prepared from now on does beyond reading the scope. `db.setAuthorizer(null)` ends it. */
export function authorizeReads(db: DatabaseSync, scope: ReadScope): void {
  const { tables, views } = scope;
  const functions = new Set(scope.functions === "row" ? ROW_FUNCTIONS : [...ROW_FUNCTIONS, ...FUNCTION_NAMES]);
  const groups = views?.groups ?? null;
  if (views !== null) {
    for (const name of [views.tick, views.mark, ...views.trusted, ...groups?.functions ?? []]) functions.add(name);
  }
  if (scope.own !== undefined) functions.add(scope.own);
  const gated = new Map(
    [...views?.gates ?? []].flatMap(([table, gate]) =>
      [gate, wholeGate(gate), narrowName(gate)].map((name) => [name, table] as const)
    ),
  );

  // A table that is read without a column, as by count(*), has "" for one, and its schema only if the query names it.
  // Of a table behind a view that would be a read past the clock; the views themselves read a column always.
  const readAllowed = (table: string, column: string, schema: string | null, by: string | null): boolean => {
    // What the views over the partitions read, and only they: runGuarded() refuses a query that holds the name. A table of
    // a partition of which no column is asked for is told without the view that reads it.
    if (views !== null && table.startsWith(STORED_EVENTS) && (schema === "main" || schema === null)) {
      const isView = by === STORED_EVENTS || by === "process_events" || gated.get(by ?? "") === "process_events";
      if (column === "" || (isView && schema === "main")) return true;
    }
    if (views !== null && schema === "main") {
      return gated.get(by ?? "") === table && column !== "";
    }
    if (groups?.holds(table) === true) return schema === "temp" && gated.get(by ?? "") === "process_events";
    const columns = tables.get(gated.get(table) ?? table);
    const isOfGroup = groups !== null && (gated.get(table) ?? table) === "process_events" && groups.columns.has(column);
    const known = schema === (views === null ? "main" : "temp") || (schema === null && column === "");
    return known && columns !== undefined && (column === "" || isOfGroup || columns.has(column));
  };

  db.setAuthorizer((code, first, second, schema, by) => {
    const allowed = code === constants.SQLITE_SELECT ||
      code === constants.SQLITE_READ && readAllowed(first ?? "", second ?? "", schema, by) ||
      code === constants.SQLITE_FUNCTION && functions.has(second ?? "");
    return allowed ? constants.SQLITE_OK : constants.SQLITE_DENY;
  });
}

/** The answer to a query: names of its columns, and its rows, which come while one asks for them. */
export interface Answer {
  readonly names: readonly string[];
  /** Integers beyond 2^53 are `bigint`. Leave the loop or finish it: until then the statement is open. */
  readonly rows: Generator<(SqlValue | bigint)[]>;
}

/** A query that passed both gates, to be run any number of times, one at a time. */
export interface PreparedQuery {
  readonly names: Answer["names"];
  /** Its rows now; the time counts from here. */
  run(budgetMs: number, nowMs?: number): Answer["rows"];
}

/**
 * Runs a query of purpose "hunt" behind both gates; the authorizer stays set. The time counts from here and covers the
 * reading of the rows too, which throws {@linkcode QueryDeadlineError}, or SQLite's error when it cannot go on.
 *
 * @throws Error of SQLite when the second gate denies what the first let through, or the database lacks a column
 */
export function runGuarded(
  db: DatabaseSync,
  views: DeadlineViews,
  query: GuardedQuery,
  budgetMs: number,
  nowMs?: number,
  tables: ReadScope["tables"] = catalogColumns(),
): Answer {
  const { names, run } = prepareGuarded(db, views, query, budgetMs, tables);
  return { names, rows: run(budgetMs, nowMs) };
}

/**
 * The same, to be run later and again, with no more time than `mostMs`; the authorizer stays set. Whoever changes it after
 * that has SQLite prepare the query again, under what stands then.
 *
 * @throws Error of SQLite when the second gate denies what the first let through, or the database lacks a column
 */
export function prepareGuarded(
  db: DatabaseSync,
  views: DeadlineViews,
  query: GuardedQuery,
  mostMs: number,
  tables: ReadScope["tables"],
): PreparedQuery {
  if (query.sql.toLowerCase().includes(STORED_EVENTS)) throw new RangeError(`A query cannot name ${STORED_EVENTS}`);
  const grouped = prepareGrouped(db, views, query, tables);
  if (grouped === null) {
    const { names, sorts, rows } = prepareRead(db, views, query, mostMs, tables);
    return {
      names,
      run(budgetMs, nowMs) {
        views.start(budgetMs, nowMs, sorts);
        return rows();
      },
    };
  }
  const answer = function* (): Answer["rows"] {
    yield* grouped.run() ?? prepareRead(db, views, query, mostMs, tables).rows();
  };
  return {
    names: grouped.names,
    run(budgetMs, nowMs) {
      views.start(budgetMs, nowMs);
      return answer();
    },
  };
}

/** A query of events, prepared to be answered of groups of them; `null` where it cannot be. */
function prepareGrouped(
  db: DatabaseSync,
  views: DeadlineViews,
  query: GuardedQuery,
  tables: ReadScope["tables"],
): { readonly names: readonly string[]; run(): Answer["rows"] | null } | null {
  const { groups } = views, read = query.grouped ?? null;
  if (groups === null || read === null) return null;
  db.setAuthorizer(null);
  const parts = views.parts(query.earliest) ?? [];
  if (!EventGroups.areFor(parts)) return null;
  const see = (select: string): void => {
    db.setAuthorizer(null);
    seeEvents(db, views, select);
    authorizeReads(db, { tables, functions: "query", views });
  };
  const write = (act: () => void): void => {
    db.setAuthorizer(null);
    asWriter(db, act);
  };
  let names: string[];
  try {
    // Of one partition: what its columns are called, and whether it may be asked
    see(narrowSelect(views, parts.slice(-1), namedColumns(query.sql) ?? EVENT_COLUMNS));
    names = db.prepare(query.sql).columns().map((column) => column.name);
  } catch {
    return null;
  }
  return {
    names,
    run() {
      const filter = namedColumns(read.where) ?? EVENT_COLUMNS;
      if (!groups.replace(read, parts, { filter, condition: views.eventCondition, tick: views.tick, see, write })) {
        return null;
      }
      const sql = marking(read.rewritten(groups.names), names.length, views.mark);
      return readMarked(db, views, sql, names.length, db.prepare(sql));
    },
  };
}

/** A query, prepared to be run as it stands. */
function prepareRead(
  db: DatabaseSync,
  views: DeadlineViews,
  query: GuardedQuery,
  mostMs: number,
  tables: ReadScope["tables"],
): { readonly names: readonly string[]; readonly sorts: boolean; rows(): Answer["rows"] } {
  const sql = weave(query, views.tick);
  const choose = (isNarrow: boolean): boolean => {
    db.setAuthorizer(null);
    const chosen = chooseGate(db, views, query, isNarrow);
    authorizeReads(db, { tables, functions: "query", views });
    return chosen;
  };
  const prepared = (): StatementSync => db.prepare(sql);
  let statement: StatementSync;
  if (choose(true)) {
    try {
      statement = prepared();
    } catch {
      choose(false);
      statement = prepared();
    }
  } else statement = prepared();
  const sorts = mostMs <= EAGER_BUDGET_MS && sortsRows(planSteps(db, sql));
  const names = statement.columns().map((column) => column.name);
  const marked = marking(sql, names.length, views.mark), whole = db.prepare(marked);
  return { names, sorts, rows: () => readMarked(db, views, marked, names.length, whole) };
}

/** The query, with a second part that runs when the first has given all its rows, and gives none. */
function marking(sql: string, width: number, mark: string): string {
  return `SELECT * FROM (${sql}) UNION ALL SELECT ${Array(width).fill("NULL").join(", ")} WHERE ${mark}()`;
}

/**
 * The rows of a statement that marks its end. In Deno 2.9.6 `iterate()` takes an error of SQLite (damage, no memory, a
 * value that cannot be computed) for the end of the rows; `get()` throws it. The row at fault cannot be asked for by its
 * place, since rows that ORDER BY holds equal come in another order under another LIMIT; so every value is computed
 * again, as one row of counts.
 */
function* readMarked(
  db: DatabaseSync,
  views: DeadlineViews,
  sql: string,
  width: number,
  statement: StatementSync,
): Answer["rows"] {
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  for (const row of statement.iterate() as Iterable<unknown> as Iterable<(SqlValue | bigint)[]>) {
    views.look();
    yield row.map(narrowed);
  }
  if (views.marked) return;
  const columns = Array.from({ length: width }, (_, i) => `c${i}`);
  const counts = columns.map((column) => `count(${column})`).join(", ");
  // MATERIALIZED keeps SQLite from weaving the query into this one: it runs as it ran before.
  db.prepare(`WITH answer(${columns.join(", ")}) AS MATERIALIZED (${sql}) SELECT ${counts} FROM answer`).get();
  throw new Error("SQLite stopped before the last row, and does not say why");
}

/** An integer that a double holds exactly becomes one. */
function narrowed(value: SqlValue | bigint): SqlValue | bigint {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
