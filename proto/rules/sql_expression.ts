/**
 * The check of an expression: its operators, functions and names, and where it may have aggregates and subqueries.
 *
 * @module
 */
import type { FuncCall, Identifier, MemberExpr, Node, WindowDefinition } from "sql-parser-cst";
import { parseNetwork } from "./network.ts";
import { compileRegex, RegexError } from "./regex.ts";
import {
  CALL_COST,
  growthOf,
  likeCost,
  MAX_GROWTH,
  MAX_ROW_COST,
  MAX_TRIMMED,
  SEARCH_COST,
  STEPS_PER_UNIT,
} from "./sql_cost.ts";
import { FUNCTION_NAMES, functionOf, type LiteralKind, MAX_ARGUMENTS, REFUSED_FUNCTIONS } from "./sql_functions.ts";
import { end, operatorName, orderTerms, type Query, queryIn, start, wholeNumber } from "./sql_nodes.ts";
import { operatorsOf, REFUSED_OPERATORS } from "./sql_operators.ts";
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
import { parseSpan } from "./user_functions.ts";

/** Longest pattern of LIKE, in bytes of UTF-8: matching costs text times pattern. */
export const MAX_PATTERN_BYTES = 512;
/** Deepest expression; SQLite refuses one of 1,000. An OR of n terms is n deep. */
const MAX_EXPRESSION_DEPTH = 500;

/**
 * "rule": each row alone. "window": a rule over the rows of a time, which its lane checks further. "collected": a rule over
 * a table that a collector brought.
 */
export type Purpose = "rule" | "window" | "hunt" | "collected";

/** What in a query looks at several rows at once, for people, and where. */
export interface SeveralRows {
  /** What it is. */
  readonly what: string;
  /** Offset in the query. */
  readonly offset: number;
}

const INFIX_OPERATORS = operatorsOf("infix");
const PREFIX_OPERATORS = operatorsOf("prefix");
const POSTFIX_OPERATORS = operatorsOf("postfix");
const CAST_TYPES = new Set(["TEXT", "INTEGER", "REAL", "NUMERIC"]);

/** Checks expressions; what SELECTs are, its heir knows. */
export abstract class ExpressionCheck {
  /** Columns of the catalog that something is computed from; not those that are only shown. */
  readonly columns = new Set<string>();
  /** Offsets of quoted texts and names that the parser found. */
  readonly quoted = new Set<number>();
  /** What the query needs of whoever runs it; see {@linkcode QueryNeeds}. */
  readonly found = {
    joins: 0,
    aggregates: 0,
    windows: 0,
    subqueries: 0,
    ordering: false,
    functions: new Set<string>(),
    severalRows: null as SeveralRows | null,
  };
  #depth = 0;
  /** What the query may cost on one row; see `sql_cost.ts`. */
  #cost = 0;

  constructor(readonly purpose: Purpose) {}

  /** Notes what makes the query look at several rows at once, the first time. */
  protected several(what: string, offset: number): void {
    this.found.severalRows ??= { what, offset };
  }

  /** Offsets at which a call of `within` takes the time of the event, when the query judges each row alone. */
  readonly ownTime: number[] = [];

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
    if (INFIX_OPERATORS.has(operator)) {
      if (operator === "||") this.#grown(node);
      return this.#all([node.left as Node, node.right as Node], scope, clause);
    }
    if (operator === "LIKE" || operator === "NOT LIKE") {
      this.#pattern(node.right as Node, node.left as Node);
      return this.expression(node.left as Node, scope, clause);
    }
    if (operator === "REGEXP" || operator === "NOT REGEXP") {
      this.#regex(node.right as Node, node.left as Node);
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
    const reason = REFUSED_OPERATORS.get(operator);
    return refuse(`The operator ${operator} is not allowed${reason === undefined ? "" : `: ${reason}`}`, start(node));
  }

  /** Adds to what one row may cost. */
  #spend(units: number, node: Node): void {
    this.#cost += units;
    if (this.purpose !== "rule" && this.#cost > MAX_ROW_COST) {
      refuse("One row may cost too much here: fewer or shorter patterns, or a query for each", start(node));
    }
  }

  #grown(node: Node): void {
    if (growthOf(node) > MAX_GROWTH) {
      refuse(`A value may become more than ${MAX_GROWTH} times as long as it is in the store`, start(node));
    }
  }

  /** Bounds of single functions, and what they cost. */
  #callCost(name: string, args: readonly Node[], call: FuncCall): void {
    const [text, second, third] = args;
    const searched = (name === "instr" || name === "replace") && second!.type !== "string_literal";
    if (name.endsWith("trim") && second !== undefined) {
      if (second.type !== "string_literal" || second.value.length > MAX_TRIMMED) {
        refuse(`${name}() takes a text of at most ${MAX_TRIMMED} characters to take off`, start(second));
      }
    }
    if (name === "replace" && third!.type !== "string_literal") {
      refuse("replace() takes a text as its third argument", start(third!));
    }
    this.#grown(call);
    const growth = text === undefined ? 0 : growthOf(text);
    const trimmed = second?.type === "string_literal" && name.endsWith("trim") ? second.value.length / 8 : 0;
    this.#spend((searched ? SEARCH_COST : CALL_COST + trimmed) * growth, call);
  }

  /** A pattern of LIKE: a text, so that its cost is known. */
  #pattern(node: Node, subject: Node): void {
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
    this.#spend(likeCost(pattern.value) * Math.max(1, growthOf(subject)), pattern);
  }

  /** A pattern of REGEXP: a text, so that it is compiled now and its cost is known. */
  #regex(node: Node, subject: Node): void {
    if (node.type !== "string_literal") return refuse("REGEXP takes a text as its pattern", start(node));
    this.quoted.add(start(node));
    try {
      const { size } = compileRegex(node.value);
      this.#spend(size / STEPS_PER_UNIT * Math.max(1, growthOf(subject)), node);
    } catch (error) {
      if (!(error instanceof RegexError)) throw error;
      refuse(error.message, start(node));
    }
  }

  /** A text that a function takes, so that no row fails by it. */
  #literal(node: Node, name: string, what: LiteralKind): void {
    const good = node.type === "string_literal" &&
      (what === "network" ? parseNetwork(node.value) !== null : parseSpan(node.value) !== null);
    const examples = what === "network"
      ? "a network, such as '10.0.0.0/8' or 'fe80::/10'"
      : "a span: '30s', '5m', '24h' or '7d'";
    if (!good) refuse(`${name}() takes ${examples}`, start(node));
  }

  #subquery(query: Query, scope: Scope, clause: Clause, single: boolean): number {
    this.several("A subquery", start(query));
    this.found.subqueries++;
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
    if (definition === null) {
      const reason = REFUSED_FUNCTIONS.get(name);
      const why = reason === undefined ? suggestion(name, FUNCTION_NAMES) : `: ${reason}`;
      return refuse(`The function ${name} is not allowed${why}`, offset);
    }
    if ([list.nullHandlingKw, list.orderBy, list.limit, list.having].some((extra) => extra !== undefined)) {
      refuse(`This form of ${name}() is not allowed`, offset);
    }
    if (args.length < definition.least || args.length > definition.most) {
      refuse(`${name}() takes ${argumentCount(definition.least, definition.most)}, not ${args.length}`, offset);
    }
    this.found.functions.add(name);
    const { kind, literal } = definition;
    this.#callCost(name, args, call);
    if (literal !== undefined) this.#literal(args[literal.place]!, name, literal.what);
    if (name === "within" && args.length === 2 && this.purpose === "window") {
      refuse("In a rule over a window within() takes two times: within(a.time, '5m', b.time)", offset);
    }
    if (name === "within" && args.length === 2) this.ownTime.push(end(args[1]!));
    if (kind === "scalar") {
      if (list.distinctKw !== undefined || call.filter !== undefined || call.over !== undefined) {
        refuse(`${name}() is no aggregate`, offset);
      }
      return this.#all(args, scope, clause);
    }
    this.several(`The function ${name}()`, offset);
    this.found[call.over === undefined ? "aggregates" : "windows"]++;
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

function argumentCount(least: number, most: number): string {
  if (least === most) return least === 1 ? "1 argument" : `${least} arguments`;
  return most === MAX_ARGUMENTS ? `at least ${least} and at most ${most} arguments` : `${least} to ${most} arguments`;
}
