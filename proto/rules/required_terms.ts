/**
 * What a row must have for a form to be true: a set of terms, of which a matching row has at least one.
 *
 * A term is cheap to look for in all rules at once (`stream_index.ts`). The set is never too small: whoever has none of
 * its terms cannot match. It may be too large, so the predicate is asked about every row that has one; of a condition that
 * wants several things there is a second set, of which a matching row has one too.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { certainTexts } from "./regex.ts";
import { affinityOf, asciiLower, columnAt, type Form, type Pattern, REAL, typesOf } from "./predicate.ts";

/** A column contains this text, both folded; or it has exactly this value. */
export type Term =
  | { readonly kind: "text"; readonly place: number; readonly text: string }
  | { readonly kind: "value"; readonly place: number; readonly value: string | number };

/** Shortest text that is looked for. */
const MIN_TEXT = 2;
/** Longest: the rest of a longer one tells rules apart no better. */
const MAX_TEXT = 12;
/** Most terms of one form; with more it is always run. */
const MAX_TERMS = 512;
/** A set that more rows have than this tells too little to be looked for beside another. */
const MAX_FURTHER_SHARE = 1;
/** Programs that are started all the time, in builds, scripts and installations: any other name tells much more. */
const COMMON_NAMES: ReadonlySet<string> = new Set(
  ["sh", "bash", "dash", "sed", "grep", "awk", "mawk", "gawk", "cat", "rm", "cp", "mv", "ln", "mkdir", "chmod", "chown"]
    .concat(["ls", "find", "xargs", "sort", "head", "tail", "cut", "tr", "tee", "expr", "test", "env", "date", "id"])
    .concat(["uname", "touch", "install", "diff", "make", "gcc", "cc", "git", "perl", "python3", "node", "ps", "ip"])
    .concat(["tar", "gzip", "curl", "sudo", "systemctl", "dpkg", "apt-get", "ssh", "sshd", "cron", "docker", "mount"]),
);

/** The terms of a form; `null` when nothing is required that is cheap to look for. */
export function requiredTerms(form: Form): readonly Term[] | null {
  const terms = required(form, true);
  return terms === null || terms.length > MAX_TERMS ? null : once(terms);
}

/**
 * A second set, of which a row that matches has a term as well as one of {@linkcode requiredTerms}; `null` when there is
 * none that tells rows apart.
 */
export function furtherTerms(form: Form): readonly Term[] | null {
  const first = requiredTerms(form);
  if (first === null) return null;
  const keys = new Set(first.map(keyOf));
  const others = requiredSets(form, true).filter((terms) => {
    const share = terms.reduce((sum, term) => sum + shareOf(term), 0);
    return terms.length <= MAX_TERMS && share < MAX_FURTHER_SHARE && !terms.some((term) => keys.has(keyOf(term)));
  });
  const terms = best(others);
  return terms === null ? null : once(terms);
}

/** Sets of terms of each of which a row must have one. */
function requiredSets(form: Form, wanted: boolean): readonly (readonly Term[])[] {
  if (form.kind === "not") return requiredSets(form.item, !wanted);
  if (form.kind === "truth" && form.negated !== wanted) return requiredSets(form.item, form.wanted);
  if ((form.kind === "and" || form.kind === "or") && (form.kind === "and") === wanted) {
    return form.items.flatMap((item) => requiredSets(item, wanted));
  }
  const terms = required(form, wanted);
  return terms === null ? [] : [terms];
}

function once(terms: readonly Term[]): readonly Term[] {
  return [...new Map(terms.map((term) => [keyOf(term), term])).values()];
}

function keyOf(term: Term): string {
  return term.kind === "text" ? `t${term.place} ${term.text}` : `v${term.place} ${typeof term.value} ${term.value}`;
}

/** What must be for the form to be true, or, unless `wanted`, false. Empty when it never is. */
function required(form: Form, wanted: boolean): readonly Term[] | null {
  switch (form.kind) {
    case "and":
    case "or":
      return (form.kind === "and") === wanted
        ? best(form.items.map((item) => required(item, wanted)))
        : union(form.items.map((item) => required(item, wanted)));
    case "not":
      return required(form.item, !wanted);
    case "truth":
      return form.negated === wanted ? null : required(form.item, form.wanted);
    case "match": {
      const place = wanted ? textSource(form.item) : null;
      return place === null ? null : union(form.patterns.map((pattern) => patternTerm(place, pattern)));
    }
    case "compare":
      return comparison(form, wanted);
    case "call":
      return wanted && form.name === "regexp" ? regexTerms(form) : null;
    case "in": {
      if (!wanted || !form.list.every((item) => item.kind === "literal")) return null;
      return union(form.list.map((item) => equality(form.item, item)));
    }
    default:
      return null;
  }
}

function union(parts: readonly (readonly Term[] | null)[]): readonly Term[] | null {
  const terms: Term[] = [];
  for (const part of parts) {
    if (part === null) return null;
    terms.push(...part);
  }
  return terms;
}

/** Of several sets, each of which is required, the one that the fewest rows are likely to meet. */
function best(parts: readonly (readonly Term[] | null)[]): readonly Term[] | null {
  let least = 1, found: readonly Term[] | null = null;
  for (const part of parts) {
    if (part === null || part.length > MAX_TERMS) continue;
    const share = part.reduce((sum, term) => sum + shareOf(term), 0);
    if (found === null || share < least) [found, least] = [part, share];
  }
  return found;
}

function comparison({ operator, left, right }: Form & { kind: "compare" }, wanted: boolean): readonly Term[] | null {
  const equal = wanted ? operator === "=" || operator === "IS" : operator === "<>" || operator === "IS NOT";
  if (equal) {
    if (right.kind === "literal") return equality(left, right);
    return left.kind === "literal" ? equality(right, left) : null;
  }
  // instr(column, 'text') > 0
  const piece = wanted && left.kind === "call" && left.name === "instr" && right.kind === "literal"
    ? left.args[1]!
    : null;
  const some = (operator === ">" && right.kind === "literal" && right.value === 0) ||
    (operator === ">=" && right.kind === "literal" && right.value === 1);
  if (piece === null || !some || piece.kind !== "literal" || typeof piece.value !== "string") return null;
  const place = textSource((left as Form & { kind: "call" }).args[0]!);
  return place === null ? null : containing(place, piece.value);
}

/** An expression has the value of a literal. */
function equality(item: Form, literal: Form & { kind: "literal" }): readonly Term[] | null {
  const { value } = literal;
  if (value === null) return null; // IS NULL is true of rows that have nothing
  if (item.kind === "column" && sameType(item, value)) return [{ kind: "value", place: item.place, value }];
  const place = typeof value === "string" && affinityOf(item) !== "numeric" ? textSource(item) : null;
  return place === null ? null : containing(place, value as string);
}

/** Whether the column's values equal the literal's without being converted. */
function sameType(column: Form & { kind: "column" }, value: SqlValue): boolean {
  const { type } = columnAt(column.place);
  return type === "TEXT" ? typeof value === "string" : type === "INTEGER" && typeof value === "number";
}

/** The column whose text, folded, contains the text of this expression, folded, whatever the row. */
function textSource(form: Form): number | null {
  switch (form.kind) {
    case "column":
      return columnAt(form.place).type === "TEXT" ? form.place : null;
    case "unary":
      return form.operator === "+" ? textSource(form.item) : null;
    case "cast":
      return form.to === "TEXT" && (typesOf(form.item) & REAL) === 0 ? textSource(form.item) : null;
    case "call":
      switch (form.name) {
        case "lower":
        case "upper":
        case "substr":
        case "trim":
        case "ltrim":
        case "rtrim":
        case "path_basename":
          return textSource(form.args[0]!);
        case "coalesce":
        case "ifnull": {
          // ifnull(column, ''): what stands in for NULL must not be what is looked for; '' contains nothing
          const rest = form.args.slice(1);
          return rest.every((arg) => arg.kind === "literal" && (arg.value === "" || arg.value === null))
            ? textSource(form.args[0]!)
            : null;
        }
      }
      return null;
    default:
      return null;
  }
}

function patternTerm(place: number, pattern: Pattern): readonly Term[] | null {
  let rarest: readonly Term[] | null = null;
  for (const part of pattern) {
    if (typeof part !== "string") continue;
    const found = containing(place, part);
    if (found !== null && (rarest === null || shareOf(found[0]!) < shareOf(rarest[0]!))) rarest = found;
  }
  return rarest;
}

/** The rarest of the texts that are in whatever the pattern matches. */
function regexTerms({ args }: Form & { kind: "call" }): readonly Term[] | null {
  const [pattern, item] = args, place = textSource(item!);
  if (place === null || pattern!.kind !== "literal") return null;
  return patternTerm(place, certainTexts(String(pattern.value)));
}

/** A text of the column contains this one: of a long one, its rarest piece. */
function containing(place: number, text: string): readonly Term[] | null {
  const folded = asciiLower(text);
  if (folded.length < MIN_TEXT) return null;
  let from = 0, most = -1;
  for (let at = 0; at + MAX_TEXT <= folded.length; at++) {
    const bits = rarity(folded.slice(at, at + MAX_TEXT));
    if (bits > most) [from, most] = [at, bits];
  }
  return [{ kind: "text", place, text: folded.slice(from, from + MAX_TEXT) }];
}

/** Bits that a text takes out of chance, roughly: what is everywhere in paths and arguments tells little. */
function rarity(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    bits += /[ /.-]/.test(character) ? 1.5 : /[a-z]/.test(character) ? 3 : /[0-9]/.test(character) ? 3.5 : 5;
  }
  return bits;
}

/** The share of rows that are likely to have a term; only the order of such shares matters. */
function shareOf(term: Term): number {
  const { name, type } = columnAt(term.place);
  if (term.kind === "text") {
    const long = name.endsWith("command_line") || name === "environment" || name === "argv";
    // Rules name programs that are everywhere: the name of one tells less than its letters say
    return Math.min(1, Math.max(long ? 0 : 0.004, 120 * 2 ** -rarity(term.text)));
  }
  if (name === "event_type" || name === "source" || name === "collector_id") return 0.5;
  if (name === "name" || name === "parent_name") return COMMON_NAMES.has(String(term.value)) ? 0.02 : 0.002;
  if (name.endsWith("_path")) return 0.02;
  return type === "INTEGER" ? 0.2 : 0.1;
}
