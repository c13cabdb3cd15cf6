/**
 * What a Sigma detection means, computed from the specification in the plainest way, without forms: an oracle for tests.
 *
 * It knows nothing of what is compiled: texts become regular expressions of JavaScript, times are a `Date`, conditions
 * expressions of JavaScript, whose operators bind as Sigma's do, over two values of logic. Rows with characters that SQLite cuts or replaces, and rules that are not live, are not its to judge.
 *
 * @module
 */
import { columnPlaces, type SqlValue } from "../../../proto/event_row.ts";
import { inNetwork, parseNetwork } from "../../../proto/rules/network.ts";
import type { Detection, Item, Selection, SigmaValue } from "../../../proto/sigma/detection.ts";
import { PROCESS_FIELDS } from "../../../proto/sigma/fields.ts";
import { PLACEHOLDERS } from "./random_sigma.ts";

type Cells = readonly SqlValue[];

const PLACES = columnPlaces("process_events");
const KEYWORDS = Object.entries(PROCESS_FIELDS).filter(([, { keywords }]) => keywords).map(([name]) => name);

const TIME = PLACES.get("time")!, YEAR_10000 = Date.UTC(10_000, 0, 1);
/** Longer texts take its regular expressions too long. */
const MAX_TEXT = 400;

function isOdd(cell: SqlValue): boolean {
  if (typeof cell !== "string") return false;
  return cell.length > MAX_TEXT || !cell.isWellFormed() || /[\0\ufffe\uffff\u212a\u017f]/.test(cell);
}

const lower = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

/** Whether a detection with these conditions matches; `null` where it is not for this oracle to say. */
export function naively({ parts }: Detection, conditions: readonly string[], cells: Cells): boolean | null {
  const time = cells[TIME]!;
  if (typeof time === "number" && (time < 0 || time >= YEAR_10000) || cells.some(isOdd)) return null;
  const is = (name: string): boolean => selected(parts.get(name)!, cells);
  const of = (quantity: string, pattern: string): boolean => {
    const meant = new RegExp(pattern === "them" ? "^[^_]" : `^${pattern.replaceAll("*", ".*")}$`);
    const names = [...parts.keys()].filter((name) => meant.test(name)), count = names.filter(is).length;
    return quantity === "all" ? count === names.length : count >= (quantity === "any" ? 1 : Number(quantity));
  };
  return conditions.some((condition) => expressionOf(condition)(is, of));
}

type Expression = (is: (name: string) => boolean, of: (quantity: string, pattern: string) => boolean) => boolean;

const EXPRESSIONS = new Map<string, Expression>();

function expressionOf(condition: string): Expression {
  let known = EXPRESSIONS.get(condition);
  if (known === undefined) {
    const words: Readonly<Record<string, string>> = { and: "&&", or: "||", not: "!", "(": "(", ")": ")" };
    const body = condition.replace(
      /(\w+) of ([\w*]+)|[\w*]+|[()]/g,
      (text, quantity, pattern) =>
        quantity !== undefined
          ? `of(${JSON.stringify(quantity)}, ${JSON.stringify(pattern)})`
          : words[text.toLowerCase()] ?? `is(${JSON.stringify(text)})`,
    );
    EXPRESSIONS.set(condition, known = new Function("is", "of", `return ${body};`) as Expression);
  }
  return known;
}

function selected(selection: Selection, cells: Cells): boolean {
  if (selection.kind !== "item") {
    const part = (each: Selection): boolean => selected(each, cells);
    return selection.kind === "and" ? selection.parts.every(part) : selection.parts.some(part);
  }
  const { modifiers, values, field } = selection;
  const one = (value: SigmaValue): boolean =>
    field === null
      ? KEYWORDS.some((name) =>
        meets(
          { ...selection, modifiers: { ...modifiers, position: "contains" } },
          cells[PLACES.get(name)!]!,
          value,
          cells,
        )
      )
      : meets(selection, cells[placeOf(field)]!, value, cells);
  return (modifiers.all ? values.every(one) : values.some(one)) !== modifiers.neq;
}

function placeOf(field: string): number {
  return PLACES.get(field) ??
    PLACES.get(Object.entries(PROCESS_FIELDS).find(([, { names }]) => names.includes(field))![0])!;
}

function meets({ modifiers }: Item, cell: SqlValue, { value, written }: SigmaValue, cells: Cells): boolean {
  const { kind, cased, position } = modifiers;
  if (kind === "exists") return (cell !== null) === value;
  if (kind === "text" && value === null) return cell === null;
  if (cell === null) return false;
  const number = Number(value);
  switch (kind) {
    case "re":
      return new RegExp(written, `u${modifiers.flags}`).test(String(cell));
    case "cidr":
      return expanded(modifiers.expand, written).some((each) => inNetwork(String(cell), parseNetwork(each)!));
    case "number":
      return compared(Number(cell), modifiers.compare!, number);
    case "time":
      return compared(partOf(Number(cell), modifiers.part!), modifiers.compare, number);
    case "fieldref": {
      const other = cells[placeOf(written)]!;
      if (other === null) return false;
      const [a, b] = cased ? [String(cell), String(other)] : [lower(String(cell)), lower(String(other))];
      if (position === null) return a === b;
      return position === "contains" ? a.includes(b) : position === "startswith" ? a.startsWith(b) : a.endsWith(b);
    }
    default:
      break;
  }
  if (typeof cell === "number" && typeof value !== "string" && position === null) return cell === number;
  return textsOf(modifiers, written).some((source) => {
    const begin = position === "contains" || position === "endswith" ? ".*" : "";
    const end = position === "contains" || position === "startswith" ? ".*" : "";
    const pattern = begin + patternOf(cased ? source : lower(source)) + end;
    return new RegExp(`^(?:${pattern})$`, "su").test(cased ? String(cell) : lower(String(cell)));
  });
}

/** `*` and `?` as regular expressions, everything else as itself; `\u0001` marks what was put in already. */
function patternOf(source: string): string {
  return source.replace(/\\([*?\\])|([*?])|([\s\S])/gu, (_, escaped, wildcard, plain) => {
    if (wildcard !== undefined) return wildcard === "*" ? ".*" : ".";
    return `\\u{${(escaped ?? plain).codePointAt(0).toString(16)}}`;
  });
}

function expanded(expand: boolean, source: string): string[] {
  if (!expand) return [source];
  let texts = [""];
  for (const [piece, name] of source.matchAll(/\\[%*?\\]|%([A-Za-z0-9_.-]+)%|[^]/g)) {
    const options = name !== undefined ? PLACEHOLDERS[name]! : [piece === "\\%" ? "%" : piece];
    texts = texts.flatMap((text) => options.map((option) => text + option));
  }
  return texts;
}

function textsOf({ windash, base64, utf16, expand }: Item["modifiers"], source: string): string[] {
  let texts = expanded(expand, source);
  if (windash) {
    for (let at = source.length - 1; at >= 0; at--) {
      const isDash = /[-/]/.test(source[at]!) && !/\w/.test(source[at - 1] ?? " ") && /\w/.test(source[at + 1] ?? " ");
      if (isDash) {
        texts = texts.flatMap((text) => [..."-/–—―"].map((dash) => text.slice(0, at) + dash + text.slice(at + 1)));
      }
    }
  }
  if (base64 === null) return texts;
  const bytes = [...texts[0]!].flatMap((character) =>
    utf16 === null
      ? [...new TextEncoder().encode(character)]
      : utf16 === "utf16be"
      ? [0, character.charCodeAt(0)]
      : [character.charCodeAt(0), 0]
  );
  if (utf16 === "utf16") bytes.unshift(0xff, 0xfe);
  const code = (before: number, after: number): string =>
    btoa(String.fromCharCode(...Array(before).fill(255), ...bytes, ...Array(after).fill(255)));
  if (base64 === "base64") return [code(0, 0)];
  // What two different surroundings have in common is what is always there
  return [0, 1, 2].map((before) => {
    const other = btoa(String.fromCharCode(...Array(before).fill(0), ...bytes, ...Array(3).fill(0)));
    const long = code(before, 3);
    let from = 0, to = Math.min(long.length, other.length);
    while (long[from] !== other[from]) from++;
    const length = Math.floor((before + bytes.length) * 8 / 6);
    to = Math.min(to, length);
    return long.slice(from, to);
  });
}

function compared(a: number, operator: string | null, b: number): boolean {
  return operator === null
    ? a === b
    : operator === "lt"
    ? a < b
    : operator === "lte"
    ? a <= b
    : operator === "gt"
    ? a > b
    : a >= b;
}

function partOf(time: number, part: string): number {
  const date = new Date(time), day = 86_400_000;
  switch (part) {
    case "minute":
      return date.getUTCMinutes();
    case "hour":
      return date.getUTCHours();
    case "day":
      return date.getUTCDate();
    case "month":
      return date.getUTCMonth() + 1;
    case "year":
      return date.getUTCFullYear();
    default: {
      const thursday = time - ((date.getUTCDay() + 6) % 7 - 3) * day;
      return 1 + Math.floor((thursday - Date.UTC(new Date(thursday).getUTCFullYear(), 0, 1)) / (7 * day));
    }
  }
}
