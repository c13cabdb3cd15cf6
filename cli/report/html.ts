/**
 * HTML that is put together from pieces: every value that is not itself such a piece is escaped.
 *
 * Controls and characters that turn or hide text are made visible on the way, so that nothing of an attacker's text can do
 * more in the page than be read.
 *
 * @module
 */
import { printable } from "../../proto/printable.ts";

/** Text that is HTML already: made by {@linkcode markup} and {@linkcode trusted} alone. */
export class Markup {
  constructor(readonly text: string) {}
}

export type Piece = Markup | string | number | null | readonly Piece[];

/** A piece of HTML; `null` is nothing, a list is its pieces one after the other. */
export function markup(strings: TemplateStringsArray, ...values: readonly Piece[]): Markup {
  let text = strings[0]!;
  values.forEach((value, at) => text += markupOf(value) + strings[at + 1]!);
  return new Markup(text);
}

/** Text of this program's own that is HTML. */
export function trusted(text: string): Markup {
  return new Markup(text);
}

/** Text whose line breaks stay, for an element that shows them. */
export function verbatim(text: string): Markup {
  return new Markup(text.split("\n").map(escaped).join("\n"));
}

function markupOf(value: Piece): string {
  if (value === null) return "";
  if (value instanceof Markup) return value.text;
  if (typeof value === "object") return value.map(markupOf).join("");
  return escaped(String(value));
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;",
};

/** Text for the content of an element or a quoted attribute. */
export function escaped(text: string): string {
  return printable(text).replace(/[&<>"'`]/g, (character) => ENTITIES[character]!);
}

/**
 * JSON for a data block of a page: no character in it can end the block, begin another, or end a line in a script. Texts
 * are made visible as everywhere else, so that what shows them need only show them.
 */
export function embeddedJson(value: unknown): Markup {
  const text = JSON.stringify(value, (_, each) => typeof each === "string" ? printable(each) : each);
  return new Markup(text.replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`));
}
