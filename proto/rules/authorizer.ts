/**
 * The second gate for SQL of rules and hunts, inside SQLite.
 *
 * It looks at nothing that the first gate (`sql_guard.ts`) found out: while a statement is prepared, SQLite asks about every
 * table, column and function that it is going to touch, and whatever the tables of the code do not list is denied.
 *
 * @module
 */
import { constants, type DatabaseSync } from "node:sqlite";
import "./sqlite_types.ts";
import { CATALOG } from "../catalog.ts";
import type { Table } from "../tables/table.ts";
import { STORED_EVENTS } from "../store_layout.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { type DeadlineViews, narrowName, wholeGate } from "./deadline_views.ts";
import { FUNCTION_NAMES, FUNCTIONS } from "./sql_functions.ts";
import { OPERATORS } from "./sql_operators.ts";

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

/** Functions over one row, those that operators call among them. */
const ROW_FUNCTIONS: readonly string[] = [
  ...[...FUNCTIONS].filter(([, { kind }]) => kind === "scalar").map(([name]) => name),
  ...[...OPERATORS.values()].flatMap(({ calls }) => calls ?? []),
];

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
