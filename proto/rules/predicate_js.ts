/**
 * Forms as JavaScript predicates.
 *
 * A predicate is a tree of closures, made once; nothing is evaluated as text. It visits every part of its form at most
 * once for a row, calls nothing but itself and string methods, and so ends: it costs at most its size times the longest
 * text. Rules are trusted to be well meant, not to be right; the engine looks at the clock (`stream_lane.ts`).
 *
 * Three-valued logic without a third value: {@linkcode truth} asks "is it true" or "is it false", and NOT turns one
 * question into the other. What is NULL answers no to both.
 *
 * Where a row takes a computation out of what is exact here (beyond 2^53, a text of many digits as a number, a text of
 * megabytes), {@linkcode UNDECIDED} is thrown, and SQLite decides about that row.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { textTest } from "./like_pattern.ts";
import {
  type Affinity,
  affinityOf,
  asciiLower,
  type CompareOperator,
  comparisonAffinity,
  type Form,
  partsOf,
  patternText,
  TEXT,
  typesOf,
} from "./predicate.ts";
import { callValue, type Evaluate, type Predicate } from "./predicate_calls.ts";
import { arithmeticOf, compareValues } from "./predicate_values.ts";
import { RowView } from "./row_view.ts";
import { UNDECIDED } from "./undecided.ts";

/** Whether a row makes the form true. The predicate throws {@linkcode UNDECIDED} where only SQLite can tell. */
export function compilePredicate(form: Form): Predicate {
  return truth(form, true);
}

/** The value of a form without columns; `undefined` when it has some, or none is exact. */
export function evaluateConstant(form: Form): SqlValue | undefined {
  const constant = (part: Form): boolean => part.kind !== "column" && partsOf(part).every(constant);
  if (!partsOf(form).every((part) => part.kind === "literal") || !constant(form)) return undefined;
  try {
    return value(form)(NO_ROW);
  } catch (error) {
    if (error === UNDECIDED) return undefined;
    throw error;
  }
}
const NO_ROW = new RowView([]);

/** A predicate that says whether a form is true, or, unless `wanted`, whether it is false. */
function truth(form: Form, wanted: boolean): Predicate {
  switch (form.kind) {
    case "and":
    case "or": {
      const tests = form.items.map((item) => truth(item, wanted));
      return (form.kind === "and") === wanted ? all(tests) : any(tests);
    }
    case "not":
      return truth(form.item, !wanted);
    case "truth": {
      // IS TRUE and IS NOT FALSE differ where it is NULL
      const test = truth(form.item, form.wanted);
      return form.negated === wanted ? (row) => !test(row) : test;
    }
    case "null": {
      const null_ = form.negated !== wanted;
      if (form.item.kind === "column") {
        const { place } = form.item;
        return (row) => (row.cells[place] === null) === null_;
      }
      const item = value(form.item);
      return (row) => (item(row) === null) === null_;
    }
    case "match":
      return match(form, wanted);
    case "in":
      return inList(form, wanted);
    case "compare":
      return compare(form.operator, form.left, form.right, wanted);
    default: {
      const evaluate = value(form);
      return (row) => {
        const found = evaluate(row);
        return found !== null && (found !== 0) === wanted;
      };
    }
  }
}

function all(tests: readonly Predicate[]): Predicate {
  const [a, b, c] = tests as [Predicate, Predicate, Predicate];
  if (tests.length === 2) return (row) => a(row) && b(row);
  if (tests.length === 3) return (row) => a(row) && b(row) && c(row);
  return (row) => {
    for (let i = 0; i < tests.length; i++) if (!tests[i]!(row)) return false;
    return true;
  };
}

function any(tests: readonly Predicate[]): Predicate {
  const [a, b] = tests as [Predicate, Predicate];
  if (tests.length === 2) return (row) => a(row) || b(row);
  return (row) => {
    for (let i = 0; i < tests.length; i++) if (tests[i]!(row)) return true;
    return false;
  };
}

function match({ item, patterns, folded }: Form & { kind: "match" }, wanted: boolean): Predicate {
  const test = textTest(patterns);
  if (item.kind === "column" && folded) {
    const { place } = item;
    return (row) => {
      const text = row.folded(place);
      return text !== null && test(text) === wanted;
    };
  }
  const evaluate = value(item);
  return (row) => {
    const found = evaluate(row);
    if (found === null) return false;
    const text = patternText(String(found));
    return test(folded ? asciiLower(text) : text) === wanted;
  };
}

function inList({ item, list }: Form & { kind: "in" }, wanted: boolean): Predicate {
  const affinity = affinityOf(item), evaluate = converted(item, affinity);
  if (list.every((each) => each.kind === "literal")) {
    const values = list.map((each) => converted(each, affinity)(NO_ROW));
    const hasNull = values.includes(null), set = new Set(values);
    if (wanted) {
      return (row) => {
        const found = evaluate(row);
        return found !== null && set.has(found);
      };
    }
    return (row) => {
      const found = evaluate(row);
      return found !== null && !hasNull && !set.has(found);
    };
  }
  const members = list.map((each) => converted(each, affinity));
  return (row) => {
    const found = evaluate(row);
    if (found === null) return false;
    let unknown = false;
    for (const member of members) {
      const other = member(row);
      if (other === null) unknown = true;
      else if (other === found) return wanted;
    }
    return !wanted && !unknown;
  };
}

/** By operator, whether it holds for a sign of left minus right. */
function holds(operator: CompareOperator, sign: number): boolean {
  switch (operator) {
    case "=":
    case "IS":
      return sign === 0;
    case "<>":
    case "IS NOT":
      return sign !== 0;
    case "<":
      return sign < 0;
    case "<=":
      return sign <= 0;
    case ">":
      return sign > 0;
    case ">=":
      return sign >= 0;
  }
}

function compare(operator: CompareOperator, left: Form, right: Form, wanted: boolean): Predicate {
  const affinity = comparisonAffinity(affinityOf(left), affinityOf(right));
  const a = converted(left, affinity), b = converted(right, affinity);
  if (operator === "IS" || operator === "IS NOT") {
    const same = (operator === "IS") === wanted;
    return (row) => (a(row) === b(row)) === same;
  }
  if (operator === "=" || operator === "<>") {
    const equal = (operator === "=") === wanted;
    if (right.kind === "literal") {
      const constant = b(NO_ROW);
      if (constant === null) return () => false;
      return (row) => {
        const found = a(row);
        return found !== null && (found === constant) === equal;
      };
    }
    return (row) => {
      const found = a(row);
      if (found === null) return false;
      const other = b(row);
      return other !== null && (found === other) === equal;
    };
  }
  return (row) => {
    const found = a(row);
    if (found === null) return false;
    const other = b(row);
    return other !== null && holds(operator, compareValues(found, other)) === wanted;
  };
}

/** The value of a form as a comparison of this affinity takes it. */
function converted(form: Form, affinity: Affinity): Evaluate {
  const evaluate = value(form), types = typesOf(form);
  if (affinity === "numeric" && (types & TEXT) !== 0) {
    if (form.kind === "literal") {
      const constant = numeric(form.value);
      return () => constant;
    }
    return (row) => numeric(evaluate(row));
  }
  if (affinity === "text" && (types & ~TEXT) !== 0) {
    return (row) => {
      const found = evaluate(row);
      return typeof found === "number" ? String(found) : found;
    };
  }
  return evaluate;
}

function numeric(found: SqlValue): SqlValue {
  if (typeof found !== "string") return found;
  const number = numericText(found);
  if (number === null) throw UNDECIDED;
  return number;
}

/** A text that is a number as that number, another as it is; `null` where SQLite may see it otherwise. */
export function numericText(text: string): number | string | null {
  const bare = /^[ \t-\r]*(.*?)[ \t-\r]*$/s.exec(text)![1]!;
  if (!/^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(bare)) return /[0-9].*\0/s.test(text) ? null : text;
  if (/e/i.test(bare) || bare.replace(/[^0-9]/g, "").length > 15) return null;
  return Number(bare) + 0; // no negative zero
}

const TRUE_FALSE = (found: boolean): number => found ? 1 : 0;

/** The value of a form. */
function value(form: Form): Evaluate {
  switch (form.kind) {
    case "literal": {
      const { value } = form;
      return () => value;
    }
    case "column": {
      const { place } = form;
      return (row) => row.cells[place]!;
    }
    case "and":
    case "or":
      return connected(form.kind === "or" ? 1 : 0, form.items.map(logical));
    case "not": {
      const item = logical(form.item);
      return (row) => {
        const found = item(row);
        return found === null ? null : 1 - found;
      };
    }
    case "truth":
    case "null": {
      const test = truth(form, true);
      return (row) => TRUE_FALSE(test(row));
    }
    case "match": {
      // Its item is evaluated once, so that a value of a value of a value costs no more than each of them
      const item = value(form.item), test = textTest(form.patterns);
      return (row) => {
        const found = item(row);
        if (found === null) return null;
        const text = patternText(String(found));
        return TRUE_FALSE(test(form.folded ? asciiLower(text) : text));
      };
    }
    case "in":
      return inValue(form);
    case "compare":
      return compareValue(form);
    case "between":
      return betweenValue(form);
    case "arithmetic": {
      const left = value(form.left), right = value(form.right);
      const compute = arithmeticOf(form.operator, typesOf(form.left), typesOf(form.right));
      return (row) => {
        const a = left(row);
        if (a === null) return null;
        const b = right(row);
        return b === null ? null : compute(a, b);
      };
    }
    case "unary": {
      const item = value(form.item);
      if (form.operator === "+") return item;
      const compute = form.operator === "-"
        ? arithmeticOf("-", typesOf(form.item), typesOf(form.item))
        : arithmeticOf("~", typesOf(form.item), typesOf(form.item));
      return (row) => {
        const found = item(row);
        return found === null ? null : compute(0, found);
      };
    }
    case "case":
      return caseValue(form);
    case "cast": {
      const item = value(form.item);
      if (form.to === "TEXT") {
        return (row) => {
          const found = item(row);
          return typeof found === "number" ? String(found) : found;
        };
      }
      if (form.to !== "INTEGER") return item;
      return (row) => {
        const found = item(row);
        return typeof found === "number" ? whole(found) : found;
      };
    }
    case "call":
      return callValue(form.name, form.args.map(value), () => truth(form.args[0]!, true), literalText(form));
  }
}

/** The argument of a call that is a text in the query: of `regexp` the first, of others the second. */
function literalText({ name, args }: Form & { kind: "call" }): string {
  const literal = args[name === "regexp" ? 0 : 1];
  return literal?.kind === "literal" ? String(literal.value) : "";
}

function whole(number: number): number {
  const integer = Math.trunc(number) + 0;
  if (!Number.isSafeInteger(integer)) throw UNDECIDED;
  return integer;
}

type Logical = (row: RowView) => 0 | 1 | null;

function logical(form: Form): Logical {
  const evaluate = value(form);
  return (row) => {
    const found = evaluate(row);
    return found === null ? null : found === 0 ? 0 : 1;
  };
}

/** OR (`decisive` is 1) and AND (0). */
function connected(decisive: 0 | 1, items: readonly Logical[]): Evaluate {
  return (row) => {
    let unknown = false;
    for (let i = 0; i < items.length; i++) {
      const found = items[i]!(row);
      if (found === decisive) return decisive;
      if (found === null) unknown = true;
    }
    return unknown ? null : 1 - decisive;
  };
}

function inValue({ item, list }: Form & { kind: "in" }): Evaluate {
  const affinity = affinityOf(item), evaluate = converted(item, affinity);
  const members = list.map((each) => converted(each, affinity));
  return (row) => {
    const found = evaluate(row);
    if (found === null) return null;
    let unknown = false;
    for (const member of members) {
      const other = member(row);
      if (other === null) unknown = true;
      else if (other === found) return 1;
    }
    return unknown ? null : 0;
  };
}

function compareValue({ operator, left, right }: Form & { kind: "compare" }): Evaluate {
  if (operator === "IS" || operator === "IS NOT") {
    const test = compare(operator, left, right, true);
    return (row) => TRUE_FALSE(test(row));
  }
  const affinity = comparisonAffinity(affinityOf(left), affinityOf(right));
  const a = converted(left, affinity), b = converted(right, affinity);
  return (row) => {
    const found = a(row), other = b(row);
    if (found === null || other === null) return null;
    return TRUE_FALSE(holds(operator, compareValues(found, other)));
  };
}

function betweenValue({ item, low, high }: Form & { kind: "between" }): Evaluate {
  const lowAffinity = comparisonAffinity(affinityOf(item), affinityOf(low));
  const highAffinity = comparisonAffinity(affinityOf(item), affinityOf(high));
  const subject = value(item), from = converted(low, lowAffinity), to = converted(high, highAffinity);
  return (row) => {
    const found = subject(row);
    if (found === null) return null;
    const a = from(row), b = to(row);
    const above = a === null ? null : compareValues(convert(found, lowAffinity), a) >= 0;
    if (above === false) return 0;
    const below = b === null ? null : compareValues(convert(found, highAffinity), b) <= 0;
    if (below === false) return 0;
    return above === null || below === null ? null : 1;
  };
}

function convert(found: string | number, affinity: Affinity): string | number {
  if (affinity === "numeric") return numeric(found)!;
  return affinity === "text" ? String(found) : found;
}

function caseValue({ subject, arms, otherwise }: Form & { kind: "case" }): Evaluate {
  const results = arms.map(({ then }) => value(then));
  const last: Evaluate = otherwise === null ? () => null : value(otherwise);
  if (subject === null) {
    const tests = arms.map(({ when }) => truth(when, true));
    return (row) => {
      for (let i = 0; i < tests.length; i++) if (tests[i]!(row)) return results[i]!(row);
      return last(row);
    };
  }
  const item = value(subject);
  const affinities = arms.map(({ when }) => comparisonAffinity(affinityOf(subject), affinityOf(when)));
  const options = arms.map(({ when }, i) => converted(when, affinities[i]!));
  return (row) => {
    const found = item(row);
    if (found !== null) {
      for (let i = 0; i < options.length; i++) {
        const option = options[i]!(row);
        if (option !== null && convert(found, affinities[i]!) === option) return results[i]!(row);
      }
    }
    return last(row);
  };
}
