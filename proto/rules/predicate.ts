/**
 * The intermediate form of rules: a typed predicate over one row of `process_events`.
 *
 * Everything that a rule of the stream lane is judged by comes from it: a JavaScript predicate (`predicate_js.ts`), the
 * terms that a row must have for the rule to match (`required_terms.ts`), and SQL (`predicate_sql.ts`). Its meaning is
 * SQLite's: three-valued logic, type affinity, code points, bytes' order. A differential test holds the three to one
 * answer.
 *
 * Case folding, stated once: "folded" means that A to Z are a to z, and no other character changes, as SQLite does it in
 * LIKE and lower(). {@linkcode asciiLower} is the one place that does so.
 *
 * A front end makes a form from its language: `sql_predicate.ts` from SQL. Sigma's contains, startswith and endswith are
 * a `match` of several patterns, `cased` one without folding, its fields compared are a `compare` of two columns, its NOT
 * is a `truth` with `negated`. A new kind of node needs a case in each reader; `switch` without default makes the
 * compiler ask for it.
 *
 * Forms are plain data that hold no syntax tree, so that a rule costs little once it is loaded.
 *
 * @module
 */
import { tableNamed } from "../catalog.ts";
import type { Column } from "../tables/table.ts";
import type { SqlValue } from "../event_row.ts";
import type { FormFunction } from "./sql_functions.ts";

/** Most nodes of one rule's form: bounds what a rule costs on one row. Texts of an IN or of a match count as an eighth. */
export const MAX_FORM_NODES = 2_048;

/** Parts of a pattern that are not text: any text, and one character. */
export const ANY = 0, ONE = 1;

/** A pattern as a sequence of texts, {@linkcode ANY} and {@linkcode ONE}; folded texts when its match is folded. */
export type Pattern = readonly (string | 0 | 1)[];

/** Comparisons, as SQLite means them. */
export type CompareOperator = "=" | "<>" | "<" | "<=" | ">" | ">=" | "IS" | "IS NOT";
/** Operators of two values, as SQLite means them. */
export type ArithmeticOperator = "+" | "-" | "*" | "/" | "%" | "&" | "|" | "<<" | ">>" | "||";
/** Types that a value may be cast to. */
export type CastType = "TEXT" | "INTEGER" | "REAL" | "NUMERIC";

/** One node. A condition is an expression whose value is 1, 0 or NULL. */
export type Form =
  /** A number is an INTEGER unless `real`. */
  | { readonly kind: "literal"; readonly value: SqlValue; readonly real: boolean }
  | { readonly kind: "column"; readonly place: number }
  | { readonly kind: "and" | "or"; readonly items: readonly Form[] }
  | { readonly kind: "not"; readonly item: Form }
  | { readonly kind: "compare"; readonly operator: CompareOperator; readonly left: Form; readonly right: Form }
  | { readonly kind: "between"; readonly item: Form; readonly low: Form; readonly high: Form }
  | { readonly kind: "in"; readonly item: Form; readonly list: readonly Form[] }
  /** IS TRUE, IS NOT FALSE and so on: never NULL. */
  | { readonly kind: "truth"; readonly item: Form; readonly wanted: boolean; readonly negated: boolean }
  /** IS NULL, IS NOT NULL. */
  | { readonly kind: "null"; readonly item: Form; readonly negated: boolean }
  /** Whether the text matches one of the patterns. */
  | { readonly kind: "match"; readonly item: Form; readonly patterns: readonly Pattern[]; readonly folded: boolean }
  | { readonly kind: "arithmetic"; readonly operator: ArithmeticOperator; readonly left: Form; readonly right: Form }
  | { readonly kind: "unary"; readonly operator: "-" | "~" | "+"; readonly item: Form }
  | {
    readonly kind: "case";
    readonly subject: Form | null;
    readonly arms: readonly { readonly when: Form; readonly then: Form }[];
    readonly otherwise: Form | null;
  }
  | { readonly kind: "cast"; readonly item: Form; readonly to: CastType }
  | { readonly kind: "call"; readonly name: FormFunction; readonly args: readonly Form[] };

const COLUMNS: readonly Column[] = tableNamed("process_events").columns;

/** The column at a place of a row. */
export function columnAt(place: number): Column {
  return COLUMNS[place]!;
}

/** Types that a value may have, as bits; NULL is always possible. */
export const INTEGER = 1, REAL = 2, TEXT = 4;

/** Which types the value of a form may have. */
export function typesOf(form: Form): number {
  switch (form.kind) {
    case "literal":
      return form.value === null ? 0 : typeof form.value === "string" ? TEXT : form.real ? REAL : INTEGER;
    case "column":
      return { INTEGER, REAL, TEXT }[columnAt(form.place).type];
    case "and":
    case "or":
    case "not":
    case "compare":
    case "between":
    case "in":
    case "truth":
    case "null":
    case "match":
      return INTEGER;
    case "arithmetic":
      return arithmeticTypes(form.operator, typesOf(form.left), typesOf(form.right));
    case "unary":
      return form.operator === "~" ? INTEGER : typesOf(form.item);
    case "case":
      return form.arms.reduce((types, arm) => types | typesOf(arm.then), form.otherwise ? typesOf(form.otherwise) : 0);
    case "cast":
      return form.to === "NUMERIC" ? typesOf(form.item) : { TEXT, INTEGER, REAL }[form.to];
    case "call":
      return callTypes(form.name, form.args);
  }
}

function arithmeticTypes(operator: ArithmeticOperator, left: number, right: number): number {
  if (operator === "||") return TEXT;
  if (operator === "&" || operator === "|" || operator === "<<" || operator === ">>") return INTEGER;
  // Both integers, or one of them real: what may be either may give either.
  return (left & right & INTEGER) | ((left | right) & REAL);
}

function callTypes(name: FormFunction, args: readonly Form[]): number {
  const every = (of: readonly Form[]): number => of.reduce((types, arg) => types | typesOf(arg), 0);
  switch (name) {
    case "length":
    case "instr":
    case "regexp":
    case "cidr_match":
    case "within":
      return INTEGER;
    case "abs":
      return typesOf(args[0]!);
    case "nullif":
      return typesOf(args[0]!);
    case "iif":
      return every(args.slice(1));
    case "coalesce":
    case "ifnull":
    case "min":
    case "max":
      return every(args);
    default:
      return TEXT;
  }
}

/** How SQLite converts what an expression is compared with: https://sqlite.org/datatype3.html#type_affinity */
export type Affinity = "none" | "text" | "numeric";

export function affinityOf(form: Form): Affinity {
  if (form.kind === "column") return columnAt(form.place).type === "TEXT" ? "text" : "numeric";
  if (form.kind === "cast") return form.to === "TEXT" ? "text" : "numeric";
  return "none";
}

/** What both sides of a comparison are converted by. */
export function comparisonAffinity(left: Affinity, right: Affinity): Affinity {
  if (left === "numeric" || right === "numeric") return "numeric";
  if (left === "text" && right === "text") return "none"; // they are texts already
  return left === "text" || right === "text" ? "text" : "none";
}

/** The parts of a form, for walks over all of it. */
export function partsOf(form: Form): readonly Form[] {
  switch (form.kind) {
    case "literal":
    case "column":
      return [];
    case "and":
    case "or":
      return form.items;
    case "not":
    case "truth":
    case "null":
    case "match":
    case "unary":
    case "cast":
      return [form.item];
    case "compare":
    case "arithmetic":
      return [form.left, form.right];
    case "between":
      return [form.item, form.low, form.high];
    case "in":
      return [form.item, ...form.list];
    case "case": {
      const parts = form.arms.flatMap(({ when, then }) => [when, then]);
      if (form.subject !== null) parts.unshift(form.subject);
      if (form.otherwise !== null) parts.push(form.otherwise);
      return parts;
    }
    case "call":
      return form.args;
  }
}

/** The size of a form; see {@linkcode MAX_FORM_NODES}. */
export function formSize(form: Form): number {
  if (form.kind === "in" && form.list.every((item) => item.kind === "literal")) {
    return 1 + formSize(form.item) + Math.ceil(form.list.length / 8);
  }
  const own = form.kind === "match" ? 1 + Math.floor(form.patterns.length / 8) : 1;
  return partsOf(form).reduce((size, part) => size + formSize(part), own);
}

/** Places of the columns that a form reads. */
export function columnsOf(form: Form, into: Set<number> = new Set()): Set<number> {
  if (form.kind === "column") into.add(form.place);
  for (const part of partsOf(form)) columnsOf(part, into);
  return into;
}

const NOT_ASCII = /[^\0-\x7f]/;

/** A text with A to Z as a to z, and nothing else changed. */
export function asciiLower(text: string): string {
  return NOT_ASCII.test(text) ? text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : text.toLowerCase();
}

/** A text with a to z as A to Z, and nothing else changed. */
export function asciiUpper(text: string): string {
  return NOT_ASCII.test(text) ? text.replace(/[a-z]+/g, (letters) => letters.toUpperCase()) : text.toUpperCase();
}

/** What SQLite's LIKE and GLOB read as U+FFFD: lone surrogates, which are replaced before, and these. */
const NO_CHARACTERS = /[\ufffe\uffff]/g;

/** A text as LIKE and GLOB see it: up to a NUL. */
export function patternText(text: string): string {
  if (!NOT_ASCII.test(text) && !text.includes("\0")) return text;
  const end = text.indexOf("\0");
  return (end < 0 ? text : text.slice(0, end)).replace(NO_CHARACTERS, "\ufffd");
}
