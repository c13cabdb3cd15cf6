/**
 * One line that a person edits, with the keys of readline, and the lines typed before.
 *
 * Nothing here touches a terminal: keys go in, and what is to be shown comes out.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { displayWidth } from "./display_width.ts";
import type { Key } from "./keys.ts";

/** Longest line, in UTF-16 units; what is typed beyond it is not taken. */
const MAX_LINE = 65_536;
/** Lines that are remembered. */
const MAX_HISTORY = 500;
/** Characters that belong to a word which is completed. */
const WORD = /[\w.]*$/;

/** What a key asks for beyond the line. */
export type EditResult = "edited" | "entered" | "interrupted" | "ended" | "cleared" | { readonly choices: string[] };

/** Words that could stand where the cursor is: `before` is the text up to the word, `word` its begin. */
export type Completer = (before: string, word: string) => readonly string[];

/** A search through the lines typed before, as Ctrl-R of readline does. */
export interface Search {
  readonly sought: string;
  readonly isFound: boolean;
}

export class LineEditor {
  readonly #complete: Completer;
  readonly #history: string[] = [];
  #text = "";
  #cursor = 0;
  /** Place in the history; its length is the line that is being typed. */
  #place = 0;
  #typed = "";
  #cutOff = "";
  #search: Search | null = null;

  constructor(complete: Completer) {
    this.#complete = complete;
  }

  get text(): string {
    return this.#text;
  }

  /** The search that is under way: its line is the text. */
  get search(): Search | null {
    return this.#search;
  }

  /** Takes the line, which is then empty. */
  take(): string {
    const text = this.#text;
    this.#set("");
    this.#place = this.#history.length;
    return text;
  }

  /** To be found again by the arrow keys. */
  remember(line: string): void {
    if (line.trim() === "" || this.#history.at(-1) === line) return;
    this.#history.push(line);
    if (this.#history.length > MAX_HISTORY) this.#history.shift();
    this.#place = this.#history.length;
  }

  press(key: Key): EditResult {
    const searched = this.#search === null ? null : this.#pressSearching(key, this.#search);
    if (searched !== null) return searched;
    if (key.kind === "text") return this.#insert(key.text);
    switch (key.name) {
      case "enter":
        return "entered";
      case "ctrl-c":
        return "interrupted";
      case "ctrl-d":
        return this.#text === "" ? "ended" : this.#remove(this.#cursor, this.#after());
      case "ctrl-l":
        return "cleared";
      case "tab":
        return this.#completeWord();
      case "backspace":
        return this.#remove(this.#before(), this.#cursor);
      case "delete":
        return this.#remove(this.#cursor, this.#after());
      case "left":
      case "ctrl-b":
        return this.#move(this.#before());
      case "right":
      case "ctrl-f":
        return this.#move(this.#after());
      case "home":
      case "ctrl-a":
        return this.#move(0);
      case "end":
      case "ctrl-e":
        return this.#move(this.#text.length);
      case "wordleft":
        return this.#move(this.#wordBegin());
      case "wordright":
        return this.#move(this.#cursor + /^\W*\w*/.exec(this.#text.slice(this.#cursor))![0].length);
      case "ctrl-w":
        return this.#cut(this.#wordBegin(), this.#cursor);
      case "ctrl-u":
        return this.#cut(0, this.#cursor);
      case "ctrl-k":
        return this.#cut(this.#cursor, this.#text.length);
      case "ctrl-y":
        return this.#insert(this.#cutOff);
      case "up":
      case "ctrl-p":
        return this.#recall(this.#place - 1);
      case "down":
      case "ctrl-n":
        return this.#recall(this.#place + 1);
      case "ctrl-r":
        if (this.#place === this.#history.length) this.#typed = this.#text;
        this.#search = { sought: "", isFound: true };
    }
    return "edited";
  }

  /** `null` when the key ends the search and is to do what it does without one. */
  #pressSearching(key: Key, { sought }: Search): EditResult | null {
    if (key.kind === "text") return this.#find(sought + key.text, this.#place);
    switch (key.name) {
      case "ctrl-r":
        return this.#find(sought, this.#place - 1);
      case "backspace":
        return this.#find([...sought].slice(0, -1).join(""), this.#history.length);
      case "ctrl-g":
      case "escape":
        this.#search = null;
        this.#place = this.#history.length;
        return this.#set(this.#typed);
    }
    this.#search = null;
    return null;
  }

  /** Shows the newest line with these letters from `place` backwards; what is shown stays when there is none. */
  #find(sought: string, place: number): "edited" {
    const lower = sought.toLowerCase(), isLine = (line: string): boolean => line.toLowerCase().includes(lower);
    const found = sought === "" ? -1 : this.#history.slice(0, Math.max(0, place + 1)).findLastIndex(isLine);
    this.#search = { sought, isFound: sought === "" || found !== -1 };
    if (found === -1) return "edited";
    this.#place = found;
    return this.#set(this.#history[found]!);
  }

  /** The part of the line that fits into `columns` with the cursor in it, harmless, and the cursor's column in it. */
  shown(columns: number): { readonly text: string; readonly cursor: number } {
    const characters = [...this.#text].map((character) => {
      // A tab that was pasted is a blank to the eye
      const text = character === "\t" ? " " : printable(character);
      return { text, width: displayWidth(text), length: character.length };
    });
    let cursor = 0;
    for (let at = 0; at < this.#cursor; cursor++) at += characters[cursor]!.length;
    // The cursor needs a column of its own, also behind the last character
    let from = cursor, width = 1;
    while (from > 0 && width + characters[from - 1]!.width <= columns) width += characters[--from]!.width;
    const column = width - 1;
    let to = cursor, room = columns - column;
    while (to < characters.length && characters[to]!.width <= room) room -= characters[to++]!.width;
    return { text: characters.slice(from, to).map(({ text }) => text).join(""), cursor: column };
  }

  #set(text: string, cursor = text.length): "edited" {
    this.#text = text;
    this.#cursor = cursor;
    return "edited";
  }

  #insert(text: string): "edited" {
    if (this.#text.length + text.length > MAX_LINE) return "edited";
    const { length } = text;
    return this.#set(this.#text.slice(0, this.#cursor) + text + this.#text.slice(this.#cursor), this.#cursor + length);
  }

  #remove(from: number, to: number): "edited" {
    return this.#set(this.#text.slice(0, from) + this.#text.slice(to), from);
  }

  #cut(from: number, to: number): "edited" {
    if (to > from) this.#cutOff = this.#text.slice(from, to);
    return this.#remove(from, to);
  }

  #move(to: number): "edited" {
    this.#cursor = to;
    return "edited";
  }

  #before(): number {
    const code = this.#text.charCodeAt(this.#cursor - 1);
    return Math.max(0, this.#cursor - (code >= 0xdc00 && code <= 0xdfff ? 2 : 1));
  }

  #after(): number {
    const code = this.#text.codePointAt(this.#cursor) ?? 0;
    return Math.min(this.#text.length, this.#cursor + (code > 0xffff ? 2 : 1));
  }

  #wordBegin(): number {
    return this.#text.slice(0, this.#cursor).replace(/\w*\W*$/, "").length;
  }

  #recall(place: number): "edited" {
    if (place < 0 || place > this.#history.length) return "edited";
    if (this.#place === this.#history.length) this.#typed = this.#text;
    this.#place = place;
    return this.#set(this.#history[place] ?? this.#typed);
  }

  #completeWord(): EditResult {
    const left = this.#text.slice(0, this.#cursor), word = WORD.exec(left)![0];
    const before = left.slice(0, left.length - word.length);
    if (left.trim() === "") return this.#insert("  ");
    const choices = [...new Set(this.#complete(before, word))].sort();
    if (choices.length === 0) return "edited";
    const [only] = choices, shared = sharedBegin(choices);
    if (choices.length === 1) {
      this.#remove(before.length, this.#cursor);
      return this.#insert(only!.endsWith("(") || only!.endsWith(".") ? only! : `${only} `);
    }
    if (shared.length <= word.length) return { choices };
    this.#remove(before.length, this.#cursor);
    return this.#insert(shared);
  }
}

function sharedBegin(texts: readonly string[]): string {
  let shared = texts[0]!;
  for (const text of texts) while (!text.startsWith(shared)) shared = shared.slice(0, -1);
  return shared;
}
