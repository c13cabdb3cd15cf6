/**
 * Small readers of the syntax tree that `sql-parser-cst` gives.
 *
 * @module
 */
import type { CompoundSelectStmt, LimitClause, Node, OrderByClause, ParenExpr, SelectStmt } from "sql-parser-cst";
import { refuse } from "./sql_refused.ts";

/** Most terms of GROUP BY and of ORDER BY. */
export const MAX_TERMS = 10;

export type Query = SelectStmt | CompoundSelectStmt;

/** The SELECTs of a compound, from left to right. */
export function armsOf(query: Query): SelectStmt[] {
  if (query.type === "select_stmt") return [query];
  return [query.left, query.right].flatMap((side) => {
    if (side.type === "paren_expr") return refuse("Parentheses in a compound are not allowed", start(side));
    return armsOf(side);
  });
}

export function queryIn(node: Node): Query | null {
  if (node.type !== "paren_expr") return null;
  const inner = (node as ParenExpr<Node>).expr;
  return inner.type === "select_stmt" || inner.type === "compound_select_stmt" ? inner : null;
}

export function orderTerms(clause: OrderByClause): Node[] {
  const items = clause.specifications.items;
  if (clause.withRollupKw !== undefined) refuse("This form of ORDER BY is not allowed", start(clause));
  if (items.length > MAX_TERMS) {
    refuse(`ORDER BY has ${items.length} terms; ${MAX_TERMS} are allowed`, start(items[MAX_TERMS]!));
  }
  return items.map((item) => {
    if (item.type !== "sort_specification") return item;
    if (item.direction?.type === "sort_direction_using_operator") refuse("USING is not allowed here", start(item));
    return item.expr;
  });
}

/** The place of a column that a bare number in GROUP BY or ORDER BY names, or `null` for an expression. */
export function ordinalOf(node: Node, columns: number): number | null {
  const number = wholeNumber(node);
  if (number === null) {
    let inner = node;
    while (inner.type === "paren_expr" || inner.type === "prefix_op_expr") inner = inner.expr as Node;
    if (inner.type === "number_literal") refuse("A number here names a column by its place: 1, 2, …", start(node));
    return null;
  }
  if (number < 1 || number > columns) refuse(`There is no column number ${number} in the SELECT list`, start(node));
  return number;
}

export function checkLimit(clause: LimitClause): void {
  for (const value of [clause.count, clause.offset]) {
    if (value !== undefined && wholeNumber(value) === null) {
      refuse("LIMIT and OFFSET take a number of at most nine digits", start(value));
    }
  }
  if (clause.count === undefined || clause.rowsExamined !== undefined) refuse("LIMIT takes a number", start(clause));
}

export function wholeNumber(node: Node): number | null {
  return node.type === "number_literal" && /^[0-9]{1,9}$/.test(node.text) ? Number(node.text) : null;
}

/** An operator as text: `NOT LIKE`, `||`. */
export function operatorName(operator: unknown): string {
  if (typeof operator === "string") return operator;
  const words = (Array.isArray(operator) ? operator : [operator]) as { readonly name?: string }[];
  return words.map((word) => word.name ?? "?").join(" ");
}

export function start(node: Node): number {
  return node.range![0];
}
export function end(node: Node): number {
  return node.range![1];
}
