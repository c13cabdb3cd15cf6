/**
 * The check of an expression: its operators, functions and names, and where it may have aggregates and subqueries.
 *
 * @module
 */
import type { FuncCall, Identifier, MemberExpr, Node, WindowDefinition } from "sql-parser-cst";
import { FUNCTION_NAMES, functionOf, MAX_ARGUMENTS } from "./sql_functions.ts";
import { operatorName, orderTerms, type Query, queryIn, start, wholeNumber } from "./sql_nodes.ts";
import { refuse, suggestion } from "./sql_refused.ts";
import {
  AGGREGATE,
  type Clause,
  findColumn,
  findQualified,
  type FoundColumn,
  OUTER_COLUMN,
  OWN_COLUMN,
  type Scope,
  WINDOW,
} from "./sql_scope.ts";

/** Longest pattern of LIKE, in bytes of UTF-8: matching costs text times pattern. */
export const MAX_PATTERN_BYTES = 512;
/** Deepest expression; SQLite refuses one of 1,000. An OR of n terms is n deep. */
const MAX_EXPRESSION_DEPTH = 500;

/** "window": a rule over the rows of a time, which `window_query.ts` checks further. */
export type Purpose = "rule" | "window" | "hunt";

const SYMBOL_OPERATORS = new Set("+ - * / % || = == <> != < <= > >= & | << >>".split(" "));
const WORD_OPERATORS = new Set(["AND", "OR", "IS", "IS NOT", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"]);
const PREFIX_OPERATORS = new Set(["-", "+", "~", "NOT"]);
const POSTFIX_OPERATORS = new Set(["ISNULL", "NOTNULL", "NOT NULL"]);
const CAST_TYPES = new Set(["TEXT", "INTEGER", "REAL", "NUMERIC"]);

/** Operators and comparisons that a query may use, for people. */
export const OPERATOR_NAMES: readonly string[] = [
  ...SYMBOL_OPERATORS,
  ...WORD_OPERATORS,
  ..."~,NOT,EXISTS,LIKE,NOT LIKE,LIKE … ESCAPE,IN,NOT IN,BETWEEN,NOT BETWEEN,CASE,CAST".split(","),
  ...POSTFIX_OPERATORS,
];

/** Checks expressions; what SELECTs are, its heir knows. */
export abstract class ExpressionCheck {
  /** Columns of the catalog that something is computed from; not those that are only shown. */
  readonly columns = new Set<string>();
  /** Offsets of quoted texts and names that the parser found. */
  readonly quoted = new Set<number>();
  #depth = 0;

  constructor(readonly purpose: Purpose) {}

  /** Checks a subquery and gives the number of its columns. */
  protected abstract subquery(query: Query, around: Scope): number;

  protected expression(node: Node, scope: Scope, clause: Clause): number {
    if (++this.#depth > MAX_EXPRESSION_DEPTH) {
      refuse(`The expression is more than ${MAX_EXPRESSION_DEPTH} deep; use IN for long lists`, start(node));
    }
    const facts = this.#anyExpression(node, scope, clause);
    this.#depth--;
    return facts;
  }

  #all(nodes: readonly (Node | undefined)[], scope: Scope, clause: Clause): number {
    let facts = 0;
    for (const node of nodes) if (node !== undefined) facts |= this.expression(node, scope, clause);
    return facts;
  }

  #anyExpression(node: Node, scope: Scope, clause: Clause): number {
    switch (node.type) {
      case "string_literal":
        this.quoted.add(start(node));
        return 0;
      case "number_literal":
        if (/^0x0*[0-9a-f]{17}/i.test(node.text)) refuse("This number is too large", start(node));
        return 0;
      case "null_literal":
      case "boolean_literal":
        return 0;
      case "identifier":
      case "member_expr": {
        const { source, name, facts } = this.column(node, scope, clause);
        if (source !== null && source.table !== null) this.columns.add(name);
        return facts;
      }
      case "paren_expr": {
        const query = queryIn(node);
        if (query !== null) return this.#subquery(query, scope, clause, true);
        return this.expression(node.expr as Node, scope, clause);
      }
      case "binary_expr":
        return this.#binary(node, scope, clause);
      case "prefix_op_expr": {
        const operator = operatorName(node.operator);
        if (operator === "EXISTS") {
          const query = queryIn(node.expr);
          if (query === null) refuse("EXISTS takes a subquery", start(node));
          return this.#subquery(query, scope, clause, false);
        }
        if (!PREFIX_OPERATORS.has(operator)) refuse(`The operator ${operator} is not allowed`, start(node));
        return this.expression(node.expr, scope, clause);
      }
      case "postfix_op_expr": {
        const operator = operatorName(node.operator);
        if (!POSTFIX_OPERATORS.has(operator)) refuse(`The operator ${operator} is not allowed`, start(node));
        return this.expression(node.expr, scope, clause);
      }
      case "between_expr": {
        const operator = operatorName(node.betweenKw);
        if (operator !== "BETWEEN" && operator !== "NOT BETWEEN") refuse(`${operator} is not allowed`, start(node));
        return this.#all([node.left, node.begin, node.end], scope, clause);
      }
      case "case_expr": {
        let facts = node.expr === undefined ? 0 : this.expression(node.expr, scope, clause);
        for (const part of node.clauses) {
          facts |= this.#all([part.type === "case_when" ? part.condition : undefined, part.result], scope, clause);
        }
        return facts;
      }
      case "cast_expr": {
        const { expr, dataType, format } = node.args.expr;
        const type = dataType.type === "data_type_name" ? operatorName(dataType.name) : "";
        if (node.castKw.name !== "CAST" || format !== undefined || !CAST_TYPES.has(type)) {
          refuse(`CAST takes one of the types ${[...CAST_TYPES].join(", ")}`, start(dataType));
        }
        return this.expression(expr, scope, clause);
      }
      case "func_call":
        return this.#call(node, scope, clause);
      case "list_expr":
        return refuse("Row values are not allowed; compare one column at a time", start(node));
      case "parameter":
      case "variable":
        return refuse("Parameters are not allowed", start(node));
      default:
        return refuse(`This expression is not allowed (${node.type})`, start(node));
    }
  }

  #binary(node: Extract<Node, { type: "binary_expr" }>, scope: Scope, clause: Clause): number {
    const operator = operatorName(node.operator);
    if (SYMBOL_OPERATORS.has(operator) || WORD_OPERATORS.has(operator)) {
      return this.#all([node.left as Node, node.right as Node], scope, clause);
    }
    if (operator === "LIKE" || operator === "NOT LIKE") {
      this.#pattern(node.right as Node);
      return this.expression(node.left as Node, scope, clause);
    }
    if (operator === "IN" || operator === "NOT IN") {
      const facts = this.expression(node.left as Node, scope, clause);
      const right = node.right as Node;
      if (right.type !== "paren_expr") refuse(`${operator} takes a list or a subquery in parentheses`, start(right));
      const query = queryIn(right);
      if (query !== null) return facts | this.#subquery(query, scope, clause, true);
      const list = right.expr as Node;
      return facts | this.#all(list.type === "list_expr" ? list.items : [list], scope, clause);
    }
    const hint = operator.startsWith("->") ? "; use json_extract()" : "; use LIKE, instr() or =";
    return refuse(`The operator ${operator} is not allowed${hint}`, start(node));
  }

  /** A pattern of LIKE: a text, so that its cost is known. */
  #pattern(node: Node): void {
    let pattern = node;
    if (pattern.type === "binary_expr" && operatorName(pattern.operator) === "ESCAPE") {
      const escape = pattern.right as Node;
      if (escape.type !== "string_literal" || [...escape.value].length !== 1) {
        refuse("ESCAPE takes a text of one character", start(escape));
      }
      this.quoted.add(start(escape));
      pattern = pattern.left as Node;
    }
    if (pattern.type !== "string_literal") {
      refuse("LIKE takes a text as its pattern; use instr() to look for the value of a column", start(pattern));
    }
    this.quoted.add(start(pattern));
    const bytes = new TextEncoder().encode(pattern.value).length;
    if (bytes > MAX_PATTERN_BYTES) {
      refuse(`The pattern of LIKE has ${bytes} bytes; ${MAX_PATTERN_BYTES} are allowed`, start(pattern));
    }
  }

  #subquery(query: Query, scope: Scope, clause: Clause, single: boolean): number {
    if (this.purpose === "rule") refuse(severalRows("A subquery"), start(query));
    if (clause !== "SELECT" && clause !== "WHERE" && clause !== "HAVING") {
      refuse(`A subquery is not allowed in ${clause}`, start(query));
    }
    const columns = this.subquery(query, scope);
    if (single && columns !== 1) refuse(`This subquery must have one column; it has ${columns}`, start(query));
    return 0;
  }

  #call(call: FuncCall, scope: Scope, clause: Clause): number {
    const offset = start(call);
    if (call.name.type !== "identifier") refuse("Functions are called by their name alone", offset);
    const name = this.name(call.name);
    const list = call.args?.expr;
    if (list === undefined) refuse(`${name} is not allowed`, offset);
    const args = list.args.items;
    const definition = functionOf(name, args.length);
    if (definition === null) refuse(`The function ${name} is not allowed${suggestion(name, FUNCTION_NAMES)}`, offset);
    if ([list.nullHandlingKw, list.orderBy, list.limit, list.having].some((extra) => extra !== undefined)) {
      refuse(`This form of ${name}() is not allowed`, offset);
    }
    if (args.length < definition.least || args.length > definition.most) {
      refuse(`${name}() takes ${argumentCount(definition.least, definition.most)}, not ${args.length}`, offset);
    }
    const { kind } = definition;
    if (kind === "scalar") {
      if (list.distinctKw !== undefined || call.filter !== undefined || call.over !== undefined) {
        refuse(`${name}() is no aggregate`, offset);
      }
      return this.#all(args, scope, clause);
    }
    if (this.purpose === "rule") refuse(severalRows(`The function ${name}()`), offset);
    if (kind === "window" && call.over === undefined) refuse(`${name}() needs OVER`, offset);
    if (list.distinctKw !== undefined && (args.length !== 1 || call.over !== undefined || kind === "window")) {
      refuse(`DISTINCT is not allowed in this form of ${name}()`, offset);
    }
    if (call.filter !== undefined && kind === "window") refuse(`${name}() takes no FILTER`, offset);
    const places = call.over === undefined ? "SELECT, HAVING or ORDER BY" : "SELECT or ORDER BY";
    if (!places.includes(clause)) refuse(`${name}() stands in ${places}, not in ${clause}`, offset);

    const star = args.length === 1 && args[0]!.type === "all_columns";
    if (star && (name !== "count" || list.distinctKw !== undefined)) refuse(`${name}() does not take *`, offset);
    const inner = call.over === undefined ? "an aggregate" : "a window";
    let facts = star ? 0 : this.#all(args, scope, inner);
    if (call.filter !== undefined) facts |= this.expression(call.filter.where.expr.expr, scope, inner);
    if (call.over !== undefined) {
      if (call.over.window.type === "identifier") refuse("Write the window after OVER in parentheses", offset);
      this.#window(call.over.window.expr, scope);
    }
    // SQLite gives an aggregate over outer columns to the outer query: nobody expects that.
    if ((facts & OUTER_COLUMN) !== 0 && (facts & OWN_COLUMN) === 0) {
      refuse(`${name}() reads columns of the outer query alone`, offset);
    }
    return call.over === undefined ? AGGREGATE : WINDOW;
  }

  #window(window: WindowDefinition, scope: Scope): void {
    if (window.baseWindowName !== undefined) refuse("A named window is not allowed", start(window.baseWindowName));
    for (const item of window.partitionBy?.specifications.items ?? []) this.expression(item, scope, "a window");
    for (const item of window.orderBy === undefined ? [] : orderTerms(window.orderBy)) {
      this.expression(item, scope, "a window");
    }
    const frame = window.frame;
    if (frame === undefined) return;
    // Other frames make SQLite go over the whole frame again for every row, where no deadline is looked at.
    const form = "The frame of a window is ROWS n PRECEDING, or ROWS BETWEEN n PRECEDING AND CURRENT ROW";
    if (frame.unitKw.name !== "ROWS" || frame.exclusion !== undefined) refuse(form, start(frame));
    let begin = frame.extent;
    if (begin.type === "frame_between") {
      if (begin.end.type !== "frame_bound_current_row") refuse(form, start(frame));
      begin = begin.begin;
    }
    if (begin.type !== "frame_bound_preceding") refuse(form, start(frame));
    if (begin.expr.type !== "frame_unbounded" && wholeNumber(begin.expr) === null) refuse(form, start(frame));
  }

  protected column(node: Identifier | MemberExpr, scope: Scope, clause: Clause): FoundColumn & { name: string } {
    if (node.type === "identifier") {
      const name = this.name(node);
      return { ...findColumn(scope, name, clause, start(node)), name };
    }
    if (node.object.type !== "identifier" || node.property.type !== "identifier") {
      return refuse("Schema names are not allowed; write table.column", start(node));
    }
    const name = this.name(node.property);
    return { ...findQualified(scope, this.name(node.object), name, start(node)), name };
  }

  /** A name, in lower case, as SQLite compares it. */
  protected name(identifier: Identifier): string {
    const offset = start(identifier);
    if (identifier.text.startsWith("'")) refuse('Names are not quoted with \'; use "double quotes" or none', offset);
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(identifier.name)) {
      refuse("A name has letters, digits and _, at most 64, and does not begin with a digit", offset);
    }
    if (identifier.text.startsWith('"')) this.quoted.add(offset);
    return identifier.name.toLowerCase();
  }
}

export function severalRows(what: string): string {
  return `${what} looks at several rows; a rule over several rows names its window, such as window: 5m`;
}

function argumentCount(least: number, most: number): string {
  if (least === most) return least === 1 ? "1 argument" : `${least} arguments`;
  return most === MAX_ARGUMENTS ? `at least ${least} and at most ${most} arguments` : `${least} to ${most} arguments`;
}
