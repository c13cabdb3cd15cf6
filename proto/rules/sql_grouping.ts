/**
 * Whether the syntax tree of an expression groups its operators as SQLite does.
 *
 * The tree comes from a parser of many dialects, whose precedence differs from SQLite's in places (`IS DISTINCT FROM`,
 * for one). For the guard that does not matter: it looks at what there is, not at how it hangs together. What is computed
 * from the tree must be SQLite's own reading: https://sqlite.org/lang_expr.html#operators_and_parse_affecting_attributes
 *
 * @module
 */
import type { Node } from "sql-parser-cst";
import { operatorName } from "./sql_nodes.ts";

/** Where an operator stands: the higher, the tighter it binds. */
const OR = 1, AND = 2, NOT = 3, EQUALITY = 4, ORDER = 5, BITS = 7, SUM = 8, PRODUCT = 9, CONCAT = 10, SIGN = 11;
const PRIMARY = 12;

const LEVELS: ReadonlyMap<string, number> = new Map([
  ["OR", OR],
  ["AND", AND],
  ...["<", "<=", ">", ">="].map((operator) => [operator, ORDER] as const),
  ...["&", "|", "<<", ">>"].map((operator) => [operator, BITS] as const),
  ...["+", "-"].map((operator) => [operator, SUM] as const),
  ...["*", "/", "%"].map((operator) => [operator, PRODUCT] as const),
  ["||", CONCAT],
]);

function levelOf(node: Node): number {
  switch (node.type) {
    case "binary_expr":
      return LEVELS.get(operatorName(node.operator)) ?? EQUALITY;
    case "between_expr":
    case "postfix_op_expr":
      return EQUALITY;
    case "prefix_op_expr":
      return operatorName(node.operator) === "NOT" ? NOT : SIGN;
    default:
      return PRIMARY;
  }
}

/** Whether somewhere in it an operator stands below one that binds less tightly, or beside its like on the right. */
export function misgrouped(node: Node): boolean {
  const level = levelOf(node);
  const left = (part: Node): boolean => levelOf(part) < level || misgrouped(part);
  const right = (part: Node): boolean => levelOf(part) <= level || misgrouped(part);
  switch (node.type) {
    case "binary_expr": {
      const operator = operatorName(node.operator), other = node.right as Node;
      // The pattern of LIKE and its escape are literals
      return left(node.left as Node) || (!operator.endsWith("LIKE") && right(other));
    }
    case "between_expr":
      return left(node.left) || right(node.begin) || right(node.end);
    case "postfix_op_expr":
    case "prefix_op_expr":
      return left(node.expr);
    case "paren_expr":
      return misgrouped(node.expr as Node);
    case "list_expr":
      return node.items.some((item) => misgrouped(item as Node));
    case "case_expr":
      return [
        node.expr,
        ...node.clauses.flatMap((part) => [part.type === "case_when" ? part.condition : undefined, part.result]),
      ]
        .some((part) => part !== undefined && misgrouped(part as Node));
    case "cast_expr":
      return misgrouped(node.args.expr.expr);
    case "func_call":
      return (node.args?.expr.args.items ?? []).some((item) => misgrouped(item as Node));
    default:
      return false;
  }
}
