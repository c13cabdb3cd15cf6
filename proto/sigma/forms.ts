/**
 * Forms of what Sigma asks of one field: texts with wildcards, comparisons, other fields; `time_forms.ts` has parts of times.
 *
 * Case is folded as everywhere in forms: A to Z are a to z, and no other character changes. What is asked with case is
 * told by functions and equality, not by SQLite's GLOB, which no rule may use.
 *
 * @module
 */
import { parseNetwork } from "../rules/network.ts";
import {
  ANY,
  asciiLower,
  columnAt,
  type CompareOperator,
  type Form,
  ONE,
  type Pattern,
  patternText,
} from "../rules/predicate.ts";
import { compileRegex, MAX_PATTERN_LENGTH, RegexError } from "../rules/regex.ts";
import type { SigmaText, TextPosition } from "./text.ts";

/** Longest pattern of LIKE that SQLite takes of a rule, in bytes: below `likePatternLength` of its connections. */
const MAX_LIKE_BYTES = 500;

/** A value cannot be asked for: the reason. */
export class Unaskable extends Error {
  override name = "Unaskable";
}

export function columnForm(place: number): Form {
  return { kind: "column", place };
}

export function literal(value: string | number): Form {
  return { kind: "literal", value, real: typeof value === "number" && !Number.isInteger(value) };
}

function call(name: Extract<Form, { kind: "call" }>["name"], ...args: readonly Form[]): Form {
  return { kind: "call", name, args };
}

export function compare(left: Form, operator: CompareOperator, right: Form): Form {
  return { kind: "compare", operator, left, right };
}

/** True where the form is not: NULL is not true, so that no row is lost by a column that is empty. */
export function isNotTrue(item: Form): Form {
  return { kind: "truth", item, wanted: true, negated: true };
}

/** Flat, with texts that are looked for in one column in one match, which costs little more than one of them. */
export function connect(kind: "and" | "or", forms: readonly Form[]): Form {
  const items: Form[] = [], matches = new Map<string, { place: number; patterns: Pattern[]; folded: boolean }>();
  for (const form of forms) {
    for (const item of form.kind === kind ? form.items : [form]) {
      if (kind === "or" && item.kind === "match" && item.item.kind === "column") {
        const key = `${item.item.place} ${item.folded}`, known = matches.get(key);
        if (known !== undefined) {
          known.patterns.push(...item.patterns);
          continue;
        }
        const patterns = [...item.patterns];
        matches.set(key, { place: item.item.place, patterns, folded: item.folded });
        items.push({ ...item, patterns });
      } else items.push(item);
    }
  }
  return items.length === 1 ? items[0]! : { kind, items };
}

/** A column holds one of these texts. @throws Unaskable */
export function textForm(place: number, texts: readonly SigmaText[], cased: boolean): Form {
  const { name, type } = columnAt(place);
  if (type === "REAL") throw new Unaskable(`${name} is a number with a fraction; compare it by lt, lte, gt or gte`);
  if (type === "INTEGER") return connect("or", texts.map((text) => integerForm(place, text)));
  return connect("or", texts.map((text) => cased ? casedForm(place, text) : foldedForm(place, text)));
}

/** Digits are the number; a text with wildcards is held against its digits. */
function integerForm(place: number, text: SigmaText): Form {
  const { name } = columnAt(place), column = columnForm(place);
  if (text.every((part) => typeof part === "string")) {
    const written = text.join("");
    const flag = FLAGS.has(name) ? { true: 1, false: 0 }[written.toLowerCase()] : undefined;
    const number = flag ?? (/^-?[0-9]{1,16}$/.test(written) ? Number(written) : NaN);
    if (!Number.isSafeInteger(number)) {
      throw new Unaskable(`${name} is a whole number and never ${JSON.stringify(written.slice(0, 64))}`);
    }
    return compare(column, "=", literal(number));
  }
  const digits = text.filter((part) => typeof part === "string").join("");
  if (!/^-?[0-9]*$/.test(digits)) {
    throw new Unaskable(`${name} is a whole number; ${JSON.stringify(digits.slice(0, 64))} is in none`);
  }
  return { kind: "match", item: column, patterns: [text], folded: true };
}

/** Columns that are 0 or 1. */
const FLAGS: ReadonlySet<string> = new Set(["file_exists", "on_disk_mismatch", "accessible"]);

function foldedForm(place: number, text: SigmaText): Form {
  const pattern = text.map((part) => typeof part === "string" ? asciiLower(patternText(part)) : part);
  const column = columnForm(place);
  if (likeBytes(pattern) <= MAX_LIKE_BYTES) return { kind: "match", item: column, patterns: [pattern], folded: true };
  const simple = simpleForm(call("lower", column), pattern);
  if (simple === null) throw new Unaskable(`A text with wildcards in it has more than ${MAX_LIKE_BYTES} bytes`);
  return simple;
}

function likeBytes(pattern: SigmaText): number {
  let bytes = 0;
  for (const part of pattern) {
    bytes += typeof part === "string" ? new TextEncoder().encode(part.replace(/[\\%_]/g, "\\$&")).length : 1;
  }
  return bytes;
}

function casedForm(place: number, text: SigmaText): Form {
  const pattern = text.map((part) => typeof part === "string" ? patternText(part) : part);
  const column = columnForm(place), simple = simpleForm(column, pattern);
  if (simple !== null) return simple;
  const regex = pattern.map((part) =>
    part === ANY ? ".*" : part === ONE ? "." : part.replace(/[^\p{L}\p{N}\s]/gu, quote)
  )
    .join("");
  return regexForm(place, `\\A${regex}\\z`, "s");
}

/** RE2 takes a backslash before punctuation of ASCII alone. */
function quote(character: string): string {
  return /[!-\/:-@[-`{-~]/.test(character) ? `\\${character}` : character;
}

/** What one piece of text with wildcards at its ends asks of an expression; `null` for other patterns. */
function simpleForm(item: Form, pattern: Pattern): Form | null {
  const open = pattern[0] === ANY, openEnd = pattern.length > 1 && pattern.at(-1) === ANY;
  const inner = pattern.slice(open ? 1 : 0, openEnd ? -1 : undefined);
  if (inner.length > 1 || inner.some((part) => typeof part !== "string")) return null;
  const text = (inner[0] ?? "") as string;
  if (text === "" && open) return { kind: "null", item, negated: true };
  const length = [...text].length;
  if (open && openEnd) return compare(call("instr", item, literal(text)), ">", literal(0));
  if (open) return compare(call("substr", item, literal(-length)), "=", literal(text));
  if (openEnd) return compare(call("substr", item, literal(1), literal(length)), "=", literal(text));
  return compare(item, "=", literal(text));
}

/** The pattern is found in the column. @throws Unaskable when RE2 does not take it */
export function regexForm(place: number, pattern: string, flags: string): Form {
  const { name, type } = columnAt(place);
  if (type === "REAL") throw new Unaskable(`${name} is a number with a fraction, and no text`);
  const source = flags === "" ? pattern : `(?${flags})${pattern}`;
  try {
    compileRegex(source);
  } catch (error) {
    if (!(error instanceof RegexError)) throw error;
    const why = source.length > MAX_PATTERN_LENGTH
      ? `it has more than ${MAX_PATTERN_LENGTH} characters`
      : error.message;
    throw new Unaskable(`The regular expression is not run: ${why}`);
  }
  return call("regexp", literal(source), columnForm(place));
}

/** The column is an address in the network. @throws Unaskable */
export function networkForm(place: number, network: string): Form {
  const { name, type } = columnAt(place);
  if (type !== "TEXT") throw new Unaskable(`${name} is a number, and no address`);
  if (parseNetwork(network) === null) {
    throw new Unaskable(`${JSON.stringify(network.slice(0, 64))} is no network, such as 10.0.0.0/8 or fc00::/7`);
  }
  return call("cidr_match", columnForm(place), literal(network));
}

/** A number compared with a column or an expression. @throws Unaskable */
export function numberForm(place: number, operator: CompareOperator, value: number): Form {
  const { name, type } = columnAt(place);
  if (type === "TEXT") throw new Unaskable(`${name} is a text, and no number to compare`);
  return compare(columnForm(place), operator, literal(value));
}

/** The value of one column compared with that of another. @throws Unaskable */
export function fieldForm(place: number, other: number, position: TextPosition | null, cased: boolean): Form {
  const a = columnAt(place), b = columnAt(other);
  const left = columnForm(place), right = columnForm(other);
  if (a.type !== "TEXT" && b.type !== "TEXT" && position === null) return compare(left, "=", right);
  if (a.type !== "TEXT" || b.type !== "TEXT") {
    const number = a.type === "TEXT" ? b : a;
    throw new Unaskable(`${number.name} is a number, and is not held against a text`);
  }
  const text = cased ? left : call("lower", left), piece = cased ? right : call("lower", right);
  switch (position) {
    case null:
      return compare(text, "=", piece);
    case "contains":
      return compare(call("instr", text, piece), ">", literal(0));
    case "startswith":
      return compare(call("instr", text, piece), "=", literal(1));
    case "endswith":
      // substr(…, -0) is all of the text
      return {
        kind: "or",
        items: [
          compare(call("substr", text, { kind: "unary", operator: "-", item: call("length", right) }), "=", piece),
          { kind: "and", items: [{ kind: "null", item: left, negated: true }, compare(right, "=", literal(""))] },
        ],
      };
  }
}
