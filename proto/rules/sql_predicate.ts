/**
 * The WHERE of a guarded rule as a form.
 *
 * The syntax tree has passed the guard: every name is known and every operator allowed. What the form cannot say exactly
 * as SQLite computes it is not translated but told, with its reason, and such a rule stays with SQLite: JSON, dates and
 * times, rounding, a floating number as text, arithmetic with texts, numbers beyond 2^53.
 *
 * @module
 */
import type { FuncCall, Node } from "sql-parser-cst";
import { columnPlaces } from "../event_row.ts";
import { parseLike } from "./like_pattern.ts";
import {
  affinityOf,
  type ArithmeticOperator,
  type CastType,
  type CompareOperator,
  comparisonAffinity,
  type Form,
  formSize,
  INTEGER,
  MAX_FORM_NODES,
  REAL,
  TEXT,
  typesOf,
} from "./predicate.ts";
import { evaluateConstant, numericText } from "./predicate_js.ts";
import { FORM_FUNCTIONS, type FormFunction } from "./sql_functions.ts";
import { misgrouped } from "./sql_grouping.ts";
import { operatorName } from "./sql_nodes.ts";

const PLACES = columnPlaces("process_events");

/** A form, or why there is none. */
export type Translation = { readonly form: Form } | { readonly form: null; readonly reason: string };

/** Translates the condition of a WHERE that the guard let through. */
export function translateWhere(where: Node): Translation {
  try {
    const form = condition(where);
    checkGrouping(where);
    const size = formSize(form);
    if (size > MAX_FORM_NODES) untranslatable(`its condition has the size ${size}; ${MAX_FORM_NODES} is the most`);
    return { form };
  } catch (error) {
    if (error instanceof Untranslatable) return { form: null, reason: error.message };
    throw error;
  }
}

class Untranslatable extends Error {}

function untranslatable(reason: string): never {
  throw new Untranslatable(reason);
}

/** The tree must be SQLite's. */
function checkGrouping(where: Node): void {
  if (misgrouped(where)) untranslatable("its operators need parentheses to be read in one way only");
}

/** An expression whose truth is asked for. */
function condition(node: Node): Form {
  const form = translate(node);
  if ((typesOf(form) & TEXT) !== 0) untranslatable("the truth of a text is SQLite's to tell");
  return form;
}

function translate(node: Node): Form {
  switch (node.type) {
    case "string_literal":
      return { kind: "literal", value: node.value, real: false };
    case "number_literal":
      return numberLiteral(node.text);
    case "null_literal":
      return { kind: "literal", value: null, real: false };
    case "boolean_literal":
      return { kind: "literal", value: node.value ? 1 : 0, real: false };
    case "identifier":
      return { kind: "column", place: placeOf(node.name) };
    case "member_expr":
      return node.property.type === "identifier"
        ? { kind: "column", place: placeOf(node.property.name) }
        : untranslatable("a name has an unknown form");
    case "paren_expr":
      return translate(node.expr as Node);
    case "binary_expr":
      return binary(node);
    case "prefix_op_expr":
      return prefix(operatorName(node.operator), node.expr);
    case "postfix_op_expr":
      return { kind: "null", item: translate(node.expr), negated: operatorName(node.operator) !== "ISNULL" };
    case "between_expr": {
      const [item, low, high] = [translate(node.left), translate(node.begin), translate(node.end)] as const;
      comparable(item, low);
      comparable(item, high);
      const between: Form = { kind: "between", item, low, high };
      return operatorName(node.betweenKw) === "BETWEEN" ? between : { kind: "not", item: between };
    }
    case "case_expr":
      return caseOf(node);
    case "cast_expr": {
      const { expr, dataType } = node.args.expr;
      const to = (dataType.type === "data_type_name" ? operatorName(dataType.name) : "") as CastType;
      const item = translate(expr), types = typesOf(item);
      if (to === "TEXT") asText(item);
      else if ((types & TEXT) !== 0) untranslatable("a text is cast to a number");
      return { kind: "cast", item, to };
    }
    case "func_call":
      return call(node);
    default:
      return untranslatable(`an expression is of an unknown kind (${node.type})`);
  }
}

function placeOf(name: string): number {
  return PLACES.get(name.toLowerCase()) ?? untranslatable(`${name} is no column of process_events`);
}

function numberLiteral(text: string): Form {
  const value = Number(text);
  if (/^([0-9]+|0x[0-9a-f]+)$/i.test(text)) {
    if (!Number.isSafeInteger(value)) untranslatable("a number is beyond 2^53");
    return { kind: "literal", value, real: false };
  }
  // SQLite reads digits in its own way; of so few both read the same
  if (text.replace(/e.*/i, "").replace(".", "").length > 15 || Math.abs(Number(/e(.*)/i.exec(text)?.[1] ?? 0)) > 15) {
    untranslatable("a number has more than 15 digits");
  }
  return { kind: "literal", value, real: true };
}

const COMPARISONS: ReadonlyMap<string, CompareOperator> = new Map([
  ["=", "="],
  ["==", "="],
  ["<>", "<>"],
  ["!=", "<>"],
  ["<", "<"],
  ["<=", "<="],
  [">", ">"],
  [">=", ">="],
  ["IS", "IS"],
  ["IS NOT", "IS NOT"],
  ["IS NOT DISTINCT FROM", "IS"],
  ["IS DISTINCT FROM", "IS NOT"],
]);
const ARITHMETIC: ReadonlySet<string> = new Set("+ - * / % & | << >> ||".split(" "));

function binary(node: Extract<Node, { type: "binary_expr" }>): Form {
  const operator = operatorName(node.operator), left = node.left as Node, right = node.right as Node;
  switch (operator) {
    case "AND":
    case "OR":
      return connect(operator === "AND" ? "and" : "or", condition(left), condition(right));
    case "LIKE":
    case "NOT LIKE": {
      const form = like(left, right);
      return operator === "LIKE" ? form : { kind: "not", item: form };
    }
    case "REGEXP":
    case "NOT REGEXP": {
      const item = translate(left);
      asText(item);
      const form: Form = { kind: "call", name: "regexp", args: [translate(right), item] };
      return operator === "REGEXP" ? form : { kind: "not", item: form };
    }
    case "IN":
    case "NOT IN": {
      const form = inList(translate(left), right);
      return operator === "IN" ? form : { kind: "not", item: form };
    }
  }
  const comparison = COMPARISONS.get(operator);
  if (comparison !== undefined) return compare(comparison, translate(left), right);
  if (!ARITHMETIC.has(operator)) untranslatable(`the operator ${operator} is unknown`);
  return arithmetic(operator as ArithmeticOperator, translate(left), translate(right));
}

/** Chains of one operator become one node, and tests of one text by several patterns one test. */
function connect(kind: "and" | "or", left: Form, right: Form): Form {
  const items: Form[] = [];
  for (const side of [left, right]) {
    for (const item of side.kind === kind ? side.items : [side]) {
      const last = items.at(-1);
      if (
        kind === "or" && last?.kind === "match" && item.kind === "match" && last.folded === item.folded &&
        last.item.kind === "column" && item.item.kind === "column" && last.item.place === item.item.place
      ) items[items.length - 1] = { ...last, patterns: [...last.patterns, ...item.patterns] };
      else items.push(item);
    }
  }
  return items.length === 1 ? items[0]! : { kind, items };
}

function like(left: Node, right: Node): Form {
  const item = translate(left);
  asText(item);
  let pattern = right, escape: string | null = null;
  if (pattern.type === "binary_expr") {
    escape = (pattern.right as Extract<Node, { type: "string_literal" }>).value;
    pattern = pattern.left as Node;
  }
  const parts = parseLike((pattern as Extract<Node, { type: "string_literal" }>).value, escape);
  if (parts === null) untranslatable("a pattern ends in its escape character and never matches");
  return { kind: "match", item, patterns: [parts], folded: true };
}

function inList(item: Form, right: Node): Form {
  const inner = (right as Extract<Node, { type: "paren_expr" }>).expr as Node;
  const list = (inner.type === "list_expr" ? inner.items : [inner]).map(translate);
  const affinity = affinityOf(item);
  if (affinity === "text") list.forEach(asText);
  if (affinity === "numeric") list.forEach(asNumber);
  return { kind: "in", item, list };
}

function compare(operator: CompareOperator, left: Form, right: Node): Form {
  const is = operator === "IS" || operator === "IS NOT";
  let bare = right;
  while (bare.type === "paren_expr") bare = bare.expr as Node;
  if (is && bare.type === "boolean_literal") {
    if ((typesOf(left) & TEXT) !== 0) untranslatable("the truth of a text is SQLite's to tell");
    return { kind: "truth", item: left, wanted: bare.value, negated: operator === "IS NOT" };
  }
  if (is && bare.type === "null_literal") return { kind: "null", item: left, negated: operator === "IS NOT" };
  const other = translate(right);
  comparable(left, other);
  return { kind: "compare", operator, left, right: other };
}

function arithmetic(operator: ArithmeticOperator, left: Form, right: Form): Form {
  if (operator === "||") {
    asText(left);
    asText(right);
  } else {
    const types = [typesOf(left), typesOf(right)];
    if (types.some((each) => (each & TEXT) !== 0)) untranslatable("a text is computed with as a number");
    if (operator === "/" && !types.includes(REAL) && types.some((each) => (each & REAL) !== 0)) {
      untranslatable("a division is of whole or of floating numbers, by the row");
    }
  }
  return folded({ kind: "arithmetic", operator, left, right });
}

function prefix(operator: string, node: Node): Form {
  if (operator === "NOT") return { kind: "not", item: condition(node) };
  const item = translate(node);
  if (operator === "+") return { kind: "unary", operator, item };
  if ((typesOf(item) & TEXT) !== 0) untranslatable("a text is computed with as a number");
  if (operator === "-" && item.kind === "literal" && typeof item.value === "number" && item.value !== 0) {
    return { ...item, value: -item.value };
  }
  return folded({ kind: "unary", operator: operator as "-" | "~", item });
}

/** A whole number for what is computed from literals alone. */
function folded(form: Form): Form {
  const value = evaluateConstant(form);
  if (typeof value !== "number" || typesOf(form) !== INTEGER) return form;
  return { kind: "literal", value, real: false };
}

function caseOf(node: Extract<Node, { type: "case_expr" }>): Form {
  const subject = node.expr === undefined ? null : translate(node.expr);
  const arms: { when: Form; then: Form }[] = [];
  let otherwise: Form | null = null;
  for (const clause of node.clauses) {
    if (clause.type === "case_else") {
      otherwise = translate(clause.result);
      continue;
    }
    const when = subject === null ? condition(clause.condition) : translate(clause.condition);
    if (subject !== null) comparable(subject, when);
    arms.push({ when, then: translate(clause.result) });
  }
  return { kind: "case", subject, arms, otherwise };
}

function call(node: FuncCall): Form {
  const written = node.name.type === "identifier" ? node.name.name.toLowerCase() : "";
  const name = FORM_FUNCTIONS.find((each) => each === written);
  if (name === undefined) return untranslatable(`${written}() is SQLite's to compute`);
  const nodes = node.args?.expr.args.items ?? [];
  if (name === "iif") return iif(nodes);
  const args = nodes.map((each) => translate(each as Node));
  // A rule is measured by the time of the event that it judges, so that it says the same when it is replayed
  if (name === "within" && args.length === 2) args.push({ kind: "column", place: placeOf("time") });
  checkArguments(name, args);
  return { kind: "call", name, args };
}

function iif([when, then, otherwise]: readonly Node[]): Form {
  return { kind: "call", name: "iif", args: [condition(when!), translate(then!), translate(otherwise!)] };
}

function checkArguments(name: FormFunction, args: readonly Form[]): void {
  switch (name) {
    case "substr":
      asText(args[0]!);
      for (const place of args.slice(1)) {
        if ((typesOf(place) & ~INTEGER) !== 0) untranslatable("substr() has a place that is no whole number");
      }
      return;
    case "abs":
      if ((typesOf(args[0]!) & TEXT) !== 0) untranslatable("a text is computed with as a number");
      return;
    case "lower":
    case "upper":
    case "length":
    case "instr":
    case "trim":
    case "ltrim":
    case "rtrim":
    case "replace":
    case "hex":
    case "path_basename":
    case "cidr_match":
    case "regexp":
      return args.forEach(asText);
    case "within":
      if ([args[0]!, args[2]!].some((arg) => (typesOf(arg) & TEXT) !== 0)) untranslatable("a time is a text");
      return;
  }
}

/** What is needed as a text is none of a floating number, whose digits SQLite chooses. */
function asText(form: Form): void {
  if ((typesOf(form) & REAL) !== 0) untranslatable("a floating number is needed as a text");
}

/** A text that is compared as a number has few digits. */
function asNumber(form: Form): void {
  if (form.kind !== "literal" || typeof form.value !== "string") return;
  if (numericText(form.value) === null) untranslatable("a text is compared as a number, and has many digits");
}

function comparable(left: Form, right: Form): void {
  const affinity = comparisonAffinity(affinityOf(left), affinityOf(right));
  if (affinity === "none") return;
  [left, right].forEach(affinity === "text" ? asText : asNumber);
}
