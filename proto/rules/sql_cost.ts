/**
 * What a query may cost on one row, where nothing can stop it: the deadline is looked at between rows.
 *
 * A text of the store has at most some 64 KB, and most functions cost little more than a pass over it. Three things do
 * not, and are bounded here when a query is loaded: values that grow from function to function, patterns that match
 * themselves (LIKE tries each place anew: 500 times `a` on a text of `a` is 500 passes), and the sum of all of them. A
 * unit of cost is a pass over such a text by LIKE, at most half a millisecond.
 *
 * Rules that judge each row alone have no budget: the stream lane finds texts in another way, and looks at the clock.
 *
 * @module
 */
import type { Node } from "sql-parser-cst";
import { operatorName } from "./sql_nodes.ts";

/** Units of cost that a query of several rows may have on one row: some 50 ms at the very worst. */
export const MAX_ROW_COST = 96;
/** How many times as long as a text of the store a value may become. */
export const MAX_GROWTH = 16;
/** Most characters that trim() takes off: it costs text times characters (42 s where both are texts of the store). */
export const MAX_TRIMMED = 64;
/** Units of a search for a text that is no literal: it may match itself as much as it likes. */
export const SEARCH_COST = 32;
/** Units of any other function over a text. */
export const CALL_COST = 0.25;
/** Steps of a regular expression's program that cost as much as one unit. */
export const STEPS_PER_UNIT = 8;

/** Passes over a text that a pattern of LIKE costs: how many beginnings of a match can be alive at once. */
export function likeCost(pattern: string): number {
  const texts = pattern.toLowerCase().split("%");
  return Math.max(1, ...texts.map((text) => Math.min(aliveAtOnce(text), text.length)));
}

/** The longest chain of prefixes of a text that end at the same place; `_` fits everything. */
function aliveAtOnce(text: string): number {
  // lengths[shift] is how long the text has matched itself so far, shifted
  const alive = new Uint8Array(text.length).fill(1);
  let most = 1;
  for (let end = 0; end < text.length; end++) {
    let count = 1;
    for (let shift = 1; shift <= end; shift++) {
      if (alive[shift] === 0) continue;
      const a = text[end]!, b = text[end - shift]!;
      if (a === b || a === "_" || b === "_") count++;
      else alive[shift] = 0;
    }
    most = Math.max(most, count);
  }
  return most;
}

const known = new WeakMap<Node, number>();

/** How many times as long as a text of the store the value of an expression may be. */
export function growthOf(node: Node): number {
  const before = known.get(node);
  if (before !== undefined) return before;
  const growth = computed(node);
  known.set(node, growth);
  return growth;
}

function computed(node: Node): number {
  switch (node.type) {
    case "binary_expr": {
      const sides = [growthOf(node.left as Node), growthOf(node.right as Node)] as const;
      return operatorName(node.operator) === "||"
        ? sides[0] + sides[1]
        : operatorName(node.operator) === "->>"
        ? sides[0]
        : 0;
    }
    case "paren_expr":
      return growthOf(node.expr as Node);
    case "cast_expr":
      return growthOf(node.args.expr.expr);
    case "case_expr":
      return Math.max(0, ...node.clauses.map((part) => growthOf(part.result)));
    case "func_call": {
      const args = (node.args?.expr.args.items ?? []) as Node[];
      const name = node.name.type === "identifier" ? node.name.name.toLowerCase() : "";
      const longest = Math.max(0, ...args.map(growthOf));
      if (name === "hex") return 2 * longest;
      if (name === "replace" && args.length === 3) {
        return growthOf(args[0]!) * Math.max(1, lengthOf(args[2]!) / lengthOf(args[1]!));
      }
      return longest;
    }
    case "identifier":
    case "member_expr":
      return 1;
    default:
      return 0;
  }
}

/** Characters of a literal; 1 for what is none. */
function lengthOf(node: Node): number {
  return node.type === "string_literal" ? Math.max(1, node.value.length) : 1;
}
