/**
 * What tells one finding of a query over a window from another: columns that are added to its SELECT list.
 *
 * @module
 */
import type { Node, SelectStmt } from "sql-parser-cst";
import { columnPlaces } from "../event_row.ts";
import { functionOf } from "./sql_functions.ts";
import { end, operatorName, ordinalOf, start, wholeNumber } from "./sql_nodes.ts";
import { refuse } from "./sql_refused.ts";
import { childrenOf, conjuncts, walk } from "./sql_tree.ts";

/** The column of a rule's table that counts rows in the order of their arrival. No query can name it. */
export const ARRIVAL = "_arrival";

const PLACES = columnPlaces("process_events");

/** One FROM item. */
export interface Item {
  readonly alias: string;
  /** Set for `process_events`. */
  readonly table: { readonly node: Node; readonly aliased: boolean } | null;
  /** Conditions of the LEFT JOIN that it is the right side of: those alone keep rows of it out. */
  readonly own: readonly Node[] | null;
}

export interface Hidden {
  /** Offset of the end of the SELECT list. */
  readonly at: number;
  readonly sql: readonly string[];
  readonly outputs: readonly string[];
  readonly key: readonly number[];
  readonly newest: number | null;
}

/** What tells findings of the whole query apart: its groups, or the events that it joins. `count` is of references. */
export function hiddenColumns(statement: SelectStmt, top: readonly Item[], sql: string, count: number): Hidden {
  const clauses = new Map(statement.clauses.map((clause) => [clause.type, clause]));
  const select = clauses.get("select_clause") as Extract<Node, { type: "select_clause" }>;
  const group = clauses.get("group_by_clause") as Extract<Node, { type: "group_by_clause" }> | undefined;
  const limit = clauses.get("limit_clause");
  if (limit !== undefined) {
    refuse("LIMIT is not allowed here: a rule over a window reports every finding", start(limit));
  }
  const distinct = select.modifiers.find((modifier) => modifier.type === "select_distinct");
  if (distinct !== undefined) {
    refuse("Write GROUP BY instead of DISTINCT: it says what one finding is", start(distinct));
  }
  const items = (select.columns?.items ?? []) as Node[];
  const outputs = items.map((item) => {
    if (item.type === "alias") return (item.alias as { name: string }).name;
    return item.type === "member_expr" ? (item.property as { name: string }).name : (item as { name: string }).name;
  });
  const at = end(items.at(-1)!), hidden: string[] = [], key: number[] = [];
  const add = (expression: string): number => hidden.push(`${expression} AS "_h${hidden.length}"`) - 1 + outputs.length;
  const tables = top.filter(({ table }) => table !== null);
  if (group === undefined) {
    const aggregate = items.find(hasAggregate);
    if (aggregate !== undefined) {
      refuse("An aggregate needs GROUP BY here: without it there is a row always", start(aggregate));
    }
    if (tables.length === 0) {
      refuse("Write GROUP BY around this subquery: it says what one finding is", end(items.at(-1)!));
    }
    if (tables.length === 1 && count === 1 && !hasWindow(statement)) {
      refuse("This rule looks at one row at a time: leave window out", start(statement));
    }
    for (const { alias } of tables) key.push(add(`"${alias}".event_id`));
    return {
      at,
      sql: hidden,
      outputs,
      key,
      newest: add(highest(tables.map(({ alias }) => `"${alias}"."${ARRIVAL}"`))),
    };
  }
  for (const item of group.columns.items as Node[]) {
    const ordinal = ordinalOf(item, outputs.length);
    const named = item.type === "identifier" && !PLACES.has(item.name.toLowerCase())
      ? outputs.findIndex((name) => name.toLowerCase() === item.name.toLowerCase())
      : -1;
    if (ordinal !== null) key.push(ordinal - 1);
    else if (named >= 0) key.push(named);
    else key.push(add(sql.slice(start(item), end(item))));
  }
  if (tables.length === 0) return { at, sql: hidden, outputs, key, newest: null };
  return {
    at,
    sql: hidden,
    outputs,
    key,
    newest: add(highest(tables.map(({ alias }) => `max("${alias}"."${ARRIVAL}")`))),
  };
}

/** The right side of a LEFT JOIN may be NULL. */
function highest(arrivals: readonly string[]): string {
  const known = arrivals.map((arrival) => `ifnull(${arrival}, -9007199254740991)`);
  return known.length === 1 ? known[0]! : `max(${known.join(", ")})`;
}

/** Rows that a group must have by the conditions of HAVING on `count(*)`, of a query that reads one table. */
export function leastCount(statement: SelectStmt): number {
  const having = statement.clauses.find((clause) => clause.type === "having_clause");
  let least = 1;
  for (const condition of having === undefined ? [] : conjuncts(having.expr)) {
    if (condition.type !== "binary_expr") continue;
    const { left, right } = condition as { left: Node; right: Node };
    const operator = operatorName(condition.operator), count = wholeNumber(right);
    if (left.type !== "func_call" || left.name.type !== "identifier" || left.name.name.toLowerCase() !== "count") {
      continue;
    }
    if (left.over !== undefined || count === null) continue;
    // Whatever it counts, a group has no fewer rows.
    if (operator === ">=" || operator === "=" || operator === "==") least = Math.max(least, count);
    if (operator === ">") least = Math.max(least, count + 1);
  }
  return least;
}

function hasWindow(statement: Node): boolean {
  let found = false;
  walk(statement, (node) => found ||= node.type === "func_call" && node.over !== undefined);
  return found;
}

function hasAggregate(node: Node): boolean {
  if (node.type === "select_stmt" || node.type === "compound_select_stmt") return false;
  if (node.type === "func_call" && node.over === undefined && node.name.type === "identifier") {
    const count = node.args?.expr.args.items.length ?? 0;
    if (functionOf(node.name.name.toLowerCase(), count)?.kind === "aggregate") return true;
  }
  return [...childrenOf(node)].some(hasAggregate);
}
