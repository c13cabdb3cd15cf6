/**
 * What an event must have for a rule's condition to be true, in terms of how a partition lies on the disk.
 *
 * Most of the time of a replay went into rows that cannot match: their dictionary rows looked up, their command lines
 * put together, once for each pattern. Here a condition is loosened to one that reads an event's own row alone. What
 * speaks of one dictionary is asked once of each of its rows; what looks for texts in the command line looks in the
 * stored arguments. It lets too many rows through, never too few, and the condition itself judges those.
 *
 * @module
 */
import { columnPlaces } from "../proto/event_row.ts";
import {
  COMPACT,
  DICTIONARIES,
  type Dictionary,
  OWN_COLUMNS,
  type PartitionLayout,
  SEPARATOR,
} from "../proto/partition_layout.ts";
import { Candidates, LiteralAutomaton } from "../proto/rules/literal_automaton.ts";
import { ANY, asciiLower, columnAt, columnsOf, type Form, ONE, type Pattern } from "../proto/rules/predicate.ts";
import { balanced, formSql } from "../proto/rules/predicate_sql.ts";
import { requiredTerms, type Term } from "../proto/rules/required_terms.ts";

/**
 * Most patterns that LIKE looks for, at 0.06 µs each. More are looked for at once by a function of ours: 0.3 µs for its
 * call, however many they are.
 */
const MAX_PATTERNS = 4;

/** Rows of a dictionary that a condition on its columns alone lets through. */
export interface DictionarySet {
  readonly dictionary: Dictionary;
  /** A condition on the dictionary's table, which is `d`. */
  readonly where: string;
}

export interface RowFilter {
  readonly sets: readonly DictionarySet[];
  /** Functions of one text that it calls, in the order of their names. */
  readonly functions: readonly ((text: string) => boolean)[];
  /** The condition on an event's own row, `e`; where rows of a set are told by `inSet`, functions named by `nameOf`. */
  readonly where: (inSet: (set: number) => string, nameOf: (place: number) => string) => string;
}

/** One step: SQL, a dictionary's set, or a function of the arguments. */
type Part =
  | { readonly kind: "sql"; readonly sql: string }
  | { readonly kind: "set" | "function"; readonly place: number }
  | { readonly kind: "and" | "or"; readonly parts: readonly Part[] };

/** A text that reads the same to the automaton and to SQLite, and is long enough to tell rows apart. */
// deno-lint-ignore no-control-regex
const PLAIN = /^[\x01-\x7f]{2,}$/;

const PLACES = columnPlaces("process_events");
const COMMAND_LINE = PLACES.get("command_line")!;
const HOMES: ReadonlyMap<string, "own" | Dictionary> = new Map<string, "own" | Dictionary>([
  ...OWN_COLUMNS.map((name) => [name, "own"] as const),
  ...DICTIONARIES.flatMap((dictionary) => dictionary.columns.map((name) => [name, dictionary] as const)),
]);

/** What can be asked of an event's own row; `null` where nothing can that all matches have. */
export function rowFilter(form: Form, layout: PartitionLayout): RowFilter | null {
  if (layout !== COMPACT) return null;
  const loosening = new Loosening(), part = loosening.part(form);
  if (part === null) return null;
  return {
    sets: loosening.sets,
    functions: loosening.functions,
    where: (inSet, nameOf) => sqlOf(part, inSet, nameOf),
  };
}

function sqlOf(part: Part, inSet: (set: number) => string, nameOf: (place: number) => string): string {
  switch (part.kind) {
    case "sql":
      return part.sql;
    case "set":
      return inSet(part.place);
    case "function":
      return `${nameOf(part.place)}(e.arguments)`;
    default:
      return balanced(part.parts.map((each) => sqlOf(each, inSet, nameOf)), part.kind.toUpperCase());
  }
}

class Loosening {
  readonly sets: DictionarySet[] = [];
  readonly functions: ((text: string) => boolean)[] = [];

  /** What is so whenever the form is true; `null` for what may be so of any row. */
  part(form: Form): Part | null {
    const home = homeOf(form);
    if (home === "own") return { kind: "sql", sql: formSql(form, "e") };
    if (home !== null) return this.#set(home, form);
    switch (form.kind) {
      case "and":
      case "or":
        return this.#several(form.kind, form.items);
      case "truth":
        return form.wanted && !form.negated ? this.part(form.item) : null;
      case "match":
        if (form.item.kind === "column" && form.item.place === COMMAND_LINE) return this.#patterns(form.patterns);
    }
    return this.#terms(requiredTerms(form));
  }

  #several(kind: "and" | "or", items: readonly Form[]): Part | null {
    const parts: Part[] = [];
    for (const group of gathered(kind, items)) {
      const part = this.part(group);
      if (part !== null) parts.push(part);
      else if (kind === "or") return null;
    }
    return parts.length === 0 ? null : parts.length === 1 ? parts[0]! : { kind, parts };
  }

  #set(dictionary: Dictionary, form: Form): Part {
    return { kind: "set", place: this.sets.push({ dictionary, where: formSql(form, "d") }) - 1 };
  }

  /** Patterns of the command line: what stands between its arguments is stored otherwise, as one character too. */
  #patterns(patterns: readonly Pattern[]): Part {
    if (patterns.length > MAX_PATTERNS) {
      const part = this.#texts(patterns.map((pattern) => longest(pattern)));
      if (part !== null) return part;
    }
    const parts = patterns.map((pattern): Part => {
      const text = pattern.map((each) => each === ANY ? "%" : each === ONE ? "_" : likeText(each)).join("");
      return { kind: "sql", sql: `e.arguments LIKE '${text.replaceAll("'", "''")}' ESCAPE '\\'` };
    });
    return parts.length === 1 ? parts[0]! : { kind: "or", parts };
  }

  /** One of these texts stands in the command line; `null` where the automaton would not be exact enough. */
  #texts(texts: readonly string[]): Part | null {
    if (!texts.every((text) => PLAIN.test(text) && !text.includes(SEPARATOR))) return null;
    const automaton = new LiteralAutomaton(new Map(texts.map((text) => [asciiLower(text), [0]])));
    const found = new Candidates(1);
    const has = (text: string): boolean => {
      found.clear();
      automaton.scan(text.replaceAll(SEPARATOR, " "), found);
      return found.count > 0;
    };
    return { kind: "function", place: this.functions.push(has) - 1 };
  }

  #terms(terms: readonly Term[] | null): Part | null {
    if (terms === null) return null;
    if (terms.length === 0) return { kind: "sql", sql: "0" };
    const lines: string[] = [], forms: Form[] = [];
    for (const term of terms) {
      if (term.place === COMMAND_LINE) {
        if (term.kind === "value") return null;
        lines.push(term.text);
      } else if (HOMES.has(columnAt(term.place).name)) forms.push(termForm(term));
      else return null;
    }
    const parts: Part[] = [...gathered("or", forms)].map((form) => this.part(form)!);
    if (lines.length > 0) {
      const part = this.#texts(lines);
      if (part === null) return null;
      parts.push(part);
    }
    return parts.length === 1 ? parts[0]! : { kind: "or", parts };
  }
}

/** Items that speak of the same place together, so that each is asked for once. */
function* gathered(kind: "and" | "or", items: readonly Form[]): Generator<Form> {
  const groups = new Map<unknown, Form[]>();
  for (const item of items) {
    const home = homeOf(item), isLine = kind === "or" && isLineMatch(item);
    const key = home ?? (isLine ? "line" : item), group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  for (const [key, group] of groups) {
    if (group.length === 1) yield group[0]!;
    // LIKE finds whatever GLOB does: one list of patterns
    else if (key === "line") {
      yield {
        ...group[0]! as Match,
        patterns: group.flatMap((item) => (item as Match).patterns),
      };
    } else yield { kind, items: group };
  }
}

type Match = Form & { kind: "match" };

function isLineMatch(form: Form): boolean {
  return form.kind === "match" && form.item.kind === "column" && form.item.place === COMMAND_LINE;
}

/** Where all columns of a form lie: in the event's own row, or in one dictionary; `null` for neither. */
function homeOf(form: Form): "own" | Dictionary | null {
  let home: "own" | Dictionary | null = null;
  for (const place of columnsOf(form)) {
    const found = HOMES.get(columnAt(place).name);
    if (found === undefined || (home !== null && home !== found)) return null;
    home = found;
  }
  return home;
}

function termForm(term: Term): Form {
  const column: Form = { kind: "column", place: term.place };
  if (term.kind === "value") {
    return { kind: "compare", operator: "=", left: column, right: literal(term.value) };
  }
  // Not LIKE, which ends at a NUL: a regular expression does not
  const folded: Form = { kind: "call", name: "lower", args: [column] };
  const found: Form = { kind: "call", name: "instr", args: [folded, literal(term.text)] };
  return { kind: "compare", operator: ">", left: found, right: literal(0) };
}

function literal(value: string | number): Form {
  return { kind: "literal", value, real: false };
}

function longest(pattern: Pattern): string {
  let found = "";
  for (const part of pattern) if (typeof part === "string" && part.length > found.length) found = part;
  return found;
}

function likeText(text: string): string {
  return text.replace(/[\\%_]/g, "\\$&").replaceAll(" ", "_");
}
