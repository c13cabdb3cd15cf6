/**
 * What a query that groups events needs to know of each of them, where that is no more than what partitions store once
 * for many (`partition_layout.ts`).
 *
 * Such a query can be answered of groups of events that say the same, each with how many there are and when the first
 * and the last happened: a thousand rows to sort in the place of a million (`event_groups.ts`). Whatever is not
 * certainly the same answer is no {@linkcode GroupedRead}: the query then runs as it stands.
 *
 * @module
 */
import type { FuncCall, Node, SelectStmt } from "sql-parser-cst";
import { tableNamed } from "../catalog.ts";
import { REPEATED_COLUMNS } from "../partition_layout.ts";
import { functionOf } from "./sql_functions.ts";
import { end, operatorName, start } from "./sql_nodes.ts";
import { childrenOf, conjuncts } from "./sql_tree.ts";

/** Names that stand for the parts of a group. */
export interface GroupNames {
  /** The aggregate function that adds up how many events there are, of those where its second argument is not NULL. */
  readonly rows: string;
  /** The column of how many events a group has. */
  readonly weight: string;
  /** The column of when the first of them happened. */
  readonly first: string;
  /** The column of when the last of them happened. */
  readonly last: string;
}

/** What a query reads that groups of events can answer. */
export interface GroupedRead {
  /** The FROM item, as it stands in the query. */
  readonly from: string;
  /** Its WHERE, as it stands in the query. */
  readonly where: string;
  /** Columns of `process_events` that it names outside of WHERE. */
  readonly columns: readonly string[];
  /** Whether it asks when the first or the last event of a group happened. */
  readonly times: boolean;
  /** The same query of groups, without its WHERE, which they were made by. */
  rewritten(names: GroupNames): string;
}

interface Replacement {
  readonly from: number;
  readonly to: number;
  readonly text: (names: GroupNames) => string;
}

const COLUMNS: ReadonlySet<string> = new Set(tableNamed("process_events").columns.map(({ name }) => name));
const CLAUSES: ReadonlySet<string> = new Set(
  [
    "select_clause",
    "from_clause",
    "where_clause",
    "group_by_clause",
    "having_clause",
    "order_by_clause",
    "limit_clause",
  ],
);

/** What the statement of a query that passed the gate needs; `null` where it needs more than groups have. */
export function groupedRead(statement: Node, sql: string): GroupedRead | null {
  if (statement.type !== "select_stmt") return null;
  const clauses = new Map(statement.clauses.map((clause) => [clause.type, clause]));
  const from = eventsIn(statement), where = clauses.get("where_clause");
  if (from === null || !clauses.has("group_by_clause")) return null;
  if (statement.clauses.some(({ type }) => !CLAUSES.has(type)) || (where !== undefined && readsMore(where))) {
    return null;
  }
  const found = new Found();
  for (const clause of statement.clauses) {
    if (clause !== from && clause !== where && !found.in(clause)) return null;
  }
  if (found.columns.size === 0) return null;
  const replacements = [...found.replacements];
  if (where !== undefined) replacements.push({ from: start(where), to: end(where), text: () => "" });
  replacements.sort((a, b) => a.from - b.from);
  return {
    from: sql.slice(...from.range!),
    where: where === undefined ? "" : sql.slice(...where.range!),
    columns: [...found.columns],
    times: found.times,
    rewritten(names) {
      let out = "", at = 0;
      for (const { from, to, text } of replacements) {
        out += sql.slice(at, from) + text(names);
        at = to;
      }
      return out + sql.slice(at);
    },
  };
}

/** The time before which no event is in the answer of a query over `process_events` alone, as its WHERE says it. */
export function earliestEvent(statement: Node): number | null {
  if (statement.type !== "select_stmt" || eventsIn(statement) === null) return null;
  const where = statement.clauses.find((clause) => clause.type === "where_clause");
  if (where === undefined) return null;
  const times = conjuncts(where.expr as Node).flatMap((condition) => {
    if (condition.type === "between_expr") {
      return operatorName(condition.betweenKw) === "BETWEEN" ? leastTime(condition.left, condition.begin) : [];
    }
    if (condition.type !== "binary_expr" || ![">", ">=", "=", "=="].includes(operatorName(condition.operator))) {
      return [];
    }
    return leastTime(condition.left as Node, condition.right as Node);
  });
  return times.length === 0 ? null : Math.max(...times);
}

function leastTime(column: Node, value: Node): number[] {
  const isTime = nameOf(column) === "time" && value.type === "number_literal" && /^[0-9]{1,15}$/.test(value.text);
  return isTime ? [Number(value.text)] : [];
}

/** The FROM clause of a SELECT that reads `process_events` once and nothing else. */
function eventsIn({ clauses }: SelectStmt): Node | null {
  const from = clauses.find((clause) => clause.type === "from_clause");
  if (from === undefined || clauses.some(({ type }) => type === "with_clause")) return null;
  const item = from.expr as Node, table = item.type === "alias" ? item.expr as Node : item;
  return table.type === "identifier" && table.name.toLowerCase() === "process_events" ? from : null;
}

function readsMore(node: Node): boolean {
  return node.type === "select_stmt" || node.type === "compound_select_stmt" || childrenOf(node).some(readsMore);
}

/** The column that a node names, in lower case, or `null`. */
function nameOf(node: Node): string | null {
  const name = node.type === "member_expr" ? node.property : node;
  return name.type === "identifier" ? name.name.toLowerCase() : null;
}

/** What the clauses around WHERE name. */
class Found {
  readonly columns = new Set<string>();
  readonly replacements: Replacement[] = [];
  times = false;

  /** Whether groups have all that a node needs. */
  in(node: Node): boolean {
    switch (node.type) {
      case "select_stmt":
      case "compound_select_stmt":
      case "select_distinct":
      case "all_columns":
        return false;
      case "identifier":
      case "member_expr":
        return this.#column(nameOf(node));
      // A name that is given is none that is read
      case "alias":
        return this.in(node.expr as Node);
      case "func_call":
        return this.#call(node);
      default:
        return childrenOf(node).every((child) => this.in(child));
    }
  }

  /** What is no column is the name of an output, which is looked at where it is made. */
  #column(name: string | null): boolean {
    if (name === null || (COLUMNS.has(name) && !REPEATED_COLUMNS.has(name))) return false;
    if (COLUMNS.has(name)) this.columns.add(name);
    return true;
  }

  #call(call: FuncCall): boolean {
    const list = call.args?.expr, items = list?.args.items ?? [], [first] = items as readonly Node[];
    const name = nameOf(call.name as Node), filter = call.filter;
    if (name === null || list === undefined || call.over !== undefined) return false;
    if (filter !== undefined && !this.in(filter.where.expr.expr as Node)) return false;
    if (functionOf(name, items.length)?.kind !== "aggregate") return items.every((item) => this.in(item as Node));
    if (name === "min" || name === "max") {
      if (nameOf(first!) !== "time") return this.in(first!);
      this.times = true;
      const place = name === "min" ? "first" : "last";
      this.replacements.push({ from: start(first!), to: end(first!), text: (names) => names[place] });
      return true;
    }
    if (name !== "count") return false;
    if (list.distinctKw !== undefined) return this.in(first!);
    const isOfAll = first!.type === "all_columns", to = isOfAll ? end(first!) : start(first!);
    if (!isOfAll && !this.in(first!)) return false;
    const text = (names: GroupNames): string => `${names.rows}(${names.weight}${isOfAll ? "" : ", "}`;
    this.replacements.push({ from: start(call), to, text });
    return true;
  }
}
