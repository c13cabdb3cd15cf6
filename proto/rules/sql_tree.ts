/**
 * Walks over the syntax tree of a guarded query.
 *
 * @module
 */
import type { Node } from "sql-parser-cst";
import { misgrouped } from "./sql_grouping.ts";
import { operatorName } from "./sql_nodes.ts";

/** The conditions that must all hold; none where the tree is not to be trusted with their grouping. */
export function conjuncts(expression: Node): Node[] {
  if (misgrouped(expression)) return [];
  const parts: Node[] = [], rest: Node[] = [expression];
  for (let node = rest.pop(); node !== undefined; node = rest.pop()) {
    if (node.type === "paren_expr") rest.push(node.expr as Node);
    else if (node.type === "binary_expr" && operatorName(node.operator) === "AND") {
      rest.push(node.right as Node, node.left as Node);
    } else parts.push(node);
  }
  return parts;
}

/** Asks about every column of an expression; `false` when one is refused, or when it holds a subquery. */
export function eachColumn(node: Node, ask: (of: string | null, name: string) => boolean): boolean {
  switch (node.type) {
    case "identifier":
      return ask(null, node.name.toLowerCase());
    case "member_expr": {
      const { object, property } = node;
      if (object.type !== "identifier" || property.type !== "identifier") return false;
      return ask(object.name.toLowerCase(), property.name.toLowerCase());
    }
    case "func_call":
      return (node.args?.expr.args.items ?? []).every((arg) => eachColumn(arg as Node, ask));
    case "cast_expr":
      return eachColumn(node.args.expr.expr, ask);
    case "select_stmt":
    case "compound_select_stmt":
    case "all_columns":
      return false;
    default:
      return [...childrenOf(node)].every((child) => eachColumn(child, ask));
  }
}

export function walk(node: Node, visit: (node: Node) => void): void {
  visit(node);
  for (const child of childrenOf(node)) walk(child, visit);
}

/** The nodes that a node holds. */
export function* childrenOf(node: Node): Generator<Node> {
  for (const value of Object.values(node)) yield* nodesIn(value);
}

function* nodesIn(value: unknown): Generator<Node> {
  if (Array.isArray(value)) { for (const each of value) yield* nodesIn(each); }
  else if (typeof value === "object" && value !== null && typeof (value as Node).type === "string") yield value as Node;
}
