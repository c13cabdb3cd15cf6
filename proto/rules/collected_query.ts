/**
 * What the lane of collectors' tables needs of a query: which values tell one finding from another, and the SQL to run.
 *
 * The query has passed the guard with purpose "collected". It runs unchanged but for two edits by place: looks at the
 * deadline, which the guard says, and further columns at the end of the SELECT list.
 *
 * @module
 */
import type { Node, SelectStmt } from "sql-parser-cst";
import type { Table } from "../tables/table.ts";
import { type GuardedQuery, takeStatement } from "./sql_guard.ts";
import { end, start } from "./sql_nodes.ts";
import { refuse } from "./sql_refused.ts";
import { ARRIVAL, hiddenColumns, type Item } from "./window_findings.ts";
import { refuseStars } from "./window_query.ts";

/** What the lane of collectors' tables needs of a rule's query. */
export interface CollectedQuery {
  /** The table. */
  readonly table: Table;
  /** With the further columns. */
  readonly query: GuardedQuery;
  /** Names of the columns that the rule selects, in their order; a result row begins with them. */
  readonly outputs: readonly string[];
  /** Places in a result row of the values that tell one finding from another; none for a rule that looks at one row. */
  readonly key: readonly number[];
  /** Place in a result row of the {@linkcode ARRIVAL} of the row, or of the newest that takes part; `null`: not known. */
  readonly newest: number | null;
}

/** Reads a guarded query of purpose "collected". @throws SqlRefusedError for what means nothing as a rule */
export function collectedQuery(query: GuardedQuery, table: Table, isOverWindow: boolean): CollectedQuery {
  const statement = takeStatement(query);
  if (statement.type !== "select_stmt") {
    return refuse("A compound SELECT is not allowed in a rule; write a rule for each", start(statement));
  }
  refuseStars(statement);
  return isOverWindow ? overWindow(query, table, statement) : overRows(query, table, statement);
}

function overRows(query: GuardedQuery, table: Table, statement: SelectStmt): CollectedQuery {
  const several = query.needs.severalRows;
  if (several !== null) {
    refuse(
      `${several.what} looks at several rows; a rule over several rows names its window, such as window: 5m`,
      several.offset,
    );
  }
  const clauses = new Map(statement.clauses.map((clause) => [clause.type, clause]));
  const [item] = itemsOf(statement, table);
  if (item === undefined) return refuse(`A rule that looks at one row reads ${table.name} itself`, start(statement));
  if (!clauses.has("where_clause")) refuse("A rule needs WHERE; without it every row would match", end(statement));
  const select = clauses.get("select_clause") as Extract<Node, { type: "select_clause" }>;
  const items = (select.columns?.items ?? []) as Node[], outputs = items.map(nameOf);
  const edited = withColumns(query, end(items.at(-1)!), [`"${item.alias}"."${ARRIVAL}" AS "_h0"`]);
  return { table, query: edited, outputs, key: [], newest: outputs.length };
}

function overWindow(query: GuardedQuery, table: Table, statement: SelectStmt): CollectedQuery {
  if (!statement.clauses.some((clause) => clause.type === "group_by_clause")) {
    refuse("A rule over a window needs GROUP BY: it says what one finding is", start(statement));
  }
  const { at, sql, outputs, key, newest } = hiddenColumns(statement, itemsOf(statement, table), query.sql, 1);
  return { table, query: withColumns(query, at, sql), outputs, key, newest };
}

/** The table where the outermost SELECT reads it, and nothing else, directly. */
function itemsOf(statement: SelectStmt, table: Table): Item[] {
  const from = statement.clauses.find((clause) => clause.type === "from_clause");
  if (from?.type !== "from_clause") return [];
  const node = from.expr as Node, named = node.type === "alias" ? node.expr as Node : node;
  if (named.type !== "identifier" || named.name.toLowerCase() !== table.name) return [];
  const alias = node.type === "alias" && node.alias.type === "identifier" ? node.alias.name : table.name;
  return [{ alias: alias.toLowerCase(), table: { node: named, aliased: node.type === "alias" }, own: null }];
}

function withColumns(query: GuardedQuery, at: number, columns: readonly string[]): GuardedQuery {
  const added = { at, text: () => columns.map((column) => `, ${column}`).join("") };
  // Behind what else is put in at that place
  const insertions = [...query.insertions, added].map((insertion, i) => ({ insertion, i }))
    .sort((a, b) => a.insertion.at - b.insertion.at || a.i - b.i).map(({ insertion }) => insertion);
  return { ...query, insertions } as GuardedQuery;
}

function nameOf(item: Node): string {
  if (item.type === "alias") return (item.alias as { name: string }).name;
  return item.type === "member_expr" ? (item.property as { name: string }).name : (item as { name: string }).name;
}
