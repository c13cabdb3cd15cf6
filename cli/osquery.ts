/**
 * A query as one writes it for osquery, turned into one over the tables of the store.
 *
 * Each table of osquery's becomes a CTE. The text is rewritten at the places that the syntax tree names, and what comes
 * out passes the guard like any query: nothing is let through here. What cannot be parsed is left as it is for the
 * guard to say why.
 *
 * @module
 */
import type { Node } from "sql-parser-cst";
import type { SqlParser } from "../proto/rules/sql_gate.ts";
import { lexSql } from "../proto/rules/sql_lexer.ts";
import { OSQUERY_VIEWS, type OsqueryView, viewSql } from "./osquery_views.ts";

/** Begin of the names of the CTEs. */
const PREFIX = "osquery_";

interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** The query over the store's tables; the same text where no table of osquery's is read. */
export function fromOsquery(query: string, parse: SqlParser): string {
  let statements: readonly Node[], sql = query;
  try {
    sql = withoutKeywords(query);
    statements = parse(sql);
  } catch {
    return query;
  }
  const edits: Edit[] = [], used = new Set<OsqueryView>(), ctes = new Set<string>();
  let firstCte: number | null = null;
  visit(statements, (node) => {
    if (node.type === "with_clause") firstCte ??= (node.tables as Node).range![0];
    if (node.type === "common_table_expr") ctes.add(nameOf(node.table as Node) ?? "");
  });
  visit(statements, (node) => {
    if (node.type === "from_clause") fromItem(node.expr as Node);
    // processes.pid, where the table has no alias
    if (node.type === "member_expr") rename(node.object as Node);
  });
  if (used.size === 0) return query;
  const list = [...used].map((view) => `${PREFIX}${view.name} AS (${viewSql(view)})`).join(", ");
  const start = statements.find((node) => node.type !== "empty")!.range![0];
  edits.push(
    firstCte === null
      ? { from: start, to: start, text: `WITH ${list} ` }
      : { from: firstCte, to: firstCte, text: `${list}, ` },
  );
  return applied(sql, edits);

  function rename(node: Node): OsqueryView | null {
    const name = nameOf(node)?.replace(/^osquery_/, "") ?? null,
      view = name === null || ctes.has(name) ? undefined : OSQUERY_VIEWS.get(name);
    if (view === undefined) return null;
    edits.push({ from: node.range![0], to: node.range![1], text: `${PREFIX}${view.name}` });
    return view;
  }
  function fromItem(node: Node): void {
    if (node.type === "join_expr") {
      fromItem(node.left as Node);
      fromItem(node.right as Node);
      const operator = node.operator as unknown;
      // osquery's users write commas; the guard wants joins
      if (operator === ",") commaJoin(node.left as Node, node.right as Node);
    } else if (node.type === "alias") fromItem(node.expr as Node);
    else if (node.type === "identifier") {
      const view = rename(node);
      if (view !== null) used.add(view);
    }
  }
  function commaJoin(left: Node, right: Node): void {
    const from = left.range![1], to = right.range![0];
    edits.push({ from, to, text: " JOIN " }, { from: right.range![1], to: right.range![1], text: " ON 1 = 1" });
  }
}

/** SQLite takes the keyword GROUPS for a name where it can be none; the parser does not. */
function withoutKeywords(sql: string): string {
  const { tokens } = lexSql(sql), edits: Edit[] = [];
  const word = (place: number): string => {
    const token = tokens[place];
    return token === undefined ? "" : sql.slice(token.start, token.end).toLowerCase();
  };
  tokens.forEach(({ start, end }, place) => {
    if (word(place) !== "groups") return;
    const isTable = /^(?:from|join|,)$/.test(word(place - 1)) || word(place + 1) === ".";
    if (isTable) edits.push({ from: start, to: end, text: `${PREFIX}groups` });
  });
  return applied(sql, edits);
}

function applied(sql: string, edits: Edit[]): string {
  let text = sql;
  for (const { from, to, text: piece } of edits.sort((a, b) => b.from - a.from || b.to - a.to)) {
    text = text.slice(0, from) + piece + text.slice(to);
  }
  return text;
}

function nameOf(node: Node): string | null {
  return node.type === "identifier" ? node.name.toLowerCase() : null;
}

type Visitor = (node: Node & Record<string, unknown>) => void;

/** Every node of a tree, without recursion: its depth is the query's to choose. */
function visit(roots: readonly unknown[], enter: Visitor): void {
  const pending: unknown[] = [...roots];
  for (let next = pending.pop(); pending.length > 0 || next !== undefined; next = pending.pop()) {
    if (typeof next !== "object" || next === null) continue;
    if ("type" in next && typeof next.type === "string") enter(next as Node & Record<string, unknown>);
    pending.push(...Object.values(next));
  }
}
