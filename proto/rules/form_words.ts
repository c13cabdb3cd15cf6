/**
 * Forms in words, for people who ask how a rule was understood.
 *
 * @module
 */
import { ANY, columnAt, type Form, ONE, type Pattern } from "./predicate.ts";
import { formSql } from "./predicate_sql.ts";
import type { Term } from "./required_terms.ts";

const INDENT = "  ";
const COMPARISONS = {
  "=": "is",
  "<>": "is not",
  IS: "is, NULL included,",
  "IS NOT": "is not, NULL included,",
} as const;

/** A condition as lines, what belongs together indented. */
export function formWords(form: Form): string[] {
  switch (form.kind) {
    case "and":
    case "or": {
      const items = form.items.flatMap((item) => indented(formWords(item)));
      return [form.kind === "and" ? "all of:" : "any of:", ...items];
    }
    case "not":
      return prefixed("it is false (and not NULL) that", formWords(form.item));
    case "truth": {
      const wanted = form.wanted ? "true" : "false";
      return prefixed(
        form.negated ? `it is not ${wanted} (NULL counts) that` : `it is ${wanted} that`,
        formWords(form.item),
      );
    }
    case "match": {
      const item = valueWords(form.item), folding = form.folded ? "" : ", case counting";
      const lines = form.patterns.map((pattern) => `${item} ${patternWords(pattern)}${folding}`);
      return lines.length === 1 ? lines : ["any of:", ...indented(lines)];
    }
    case "compare": {
      const { operator } = form,
        word = operator in COMPARISONS ? COMPARISONS[operator as keyof typeof COMPARISONS] : operator;
      return [`${valueWords(form.left)} ${word} ${valueWords(form.right)}`];
    }
    case "null":
      return [`${valueWords(form.item)} is ${form.negated ? "not " : ""}NULL`];
    case "in": {
      const [one] = form.list;
      if (form.list.length === 1) return [`${valueWords(form.item)} is ${valueWords(one!)}`];
      return [`${valueWords(form.item)} is one of ${form.list.map(valueWords).join(", ")}`];
    }
    case "between":
      return [`${valueWords(form.item)} is from ${valueWords(form.low)} to ${valueWords(form.high)}`];
    default:
      return [`${valueWords(form)} is true`];
  }
}

/** What a row must have to be looked at more closely, each a line. */
export function termWords(terms: readonly Term[]): string[] {
  return terms.map((term) => {
    const { name } = columnAt(term.place);
    return term.kind === "text"
      ? `${name} contains ${JSON.stringify(term.text)}`
      : `${name} is ${JSON.stringify(term.value)}`;
  });
}

function prefixed(words: string, lines: readonly string[]): string[] {
  return lines.length === 1 ? [`${words} ${lines[0]}`] : [`${words}:`, ...indented(lines)];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => INDENT + line);
}

/** A column by its name, a text in quotes, and what is computed as SQL. */
function valueWords(form: Form): string {
  if (form.kind === "column") return columnAt(form.place).name;
  if (form.kind === "literal") {
    return typeof form.value === "string" ? JSON.stringify(form.value) : String(form.value ?? "NULL");
  }
  return formSql(form, "process_events").replaceAll('"process_events".', "").replace(/"([a-z_]+)"/g, "$1");
}

function patternWords(pattern: Pattern): string {
  const text = pattern.filter((part) => typeof part === "string").join(""), quoted = JSON.stringify(text);
  const plain = !pattern.includes(ONE) && pattern.filter((part) => typeof part === "string").length <= 1;
  const first = pattern[0] === ANY, last = pattern.at(-1) === ANY;
  if (plain && text === "") return pattern.length === 0 ? "is empty" : "is not NULL";
  if (plain && first && last) return `contains ${quoted}`;
  if (plain && first) return `ends with ${quoted}`;
  if (plain && last) return `starts with ${quoted}`;
  if (plain) return `is ${quoted}`;
  const shape = pattern.map((part) => part === ANY ? "…" : part === ONE ? "?" : JSON.stringify(part)).join(" ");
  return `has the shape ${shape}`;
}
