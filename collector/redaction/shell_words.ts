/**
 * The words of a command line inside an argument, cut as a POSIX shell cuts them.
 *
 * Only as much of a shell as tells words apart: quotes, backslashes, separators. Nothing is expanded; an unclosed quote
 * reaches to the end, as an argument may have been cut. Never fails and takes linear time.
 *
 * @module
 */

import { part, type Piece, position } from "./piece.ts";

const TAB = 9, NEWLINE = 10, RETURN = 13, SPACE = 32, DOUBLE = 34, DOLLAR = 36, AMPERSAND = 38, SINGLE = 39;
const OPEN = 40, CLOSE = 41, SEMICOLON = 59, LESS = 60, GREATER = 62, BACKSLASH = 92, BACKTICK = 96, PIPE = 124;

/** Words of `piece`; `null` stands where one command ends and another begins. */
export function shellWords(piece: Piece): (Piece | null)[] {
  const text = piece.text;
  const words: (Piece | null)[] = [];
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (isBlank(code)) at++;
    else if (isCommandEnd(code)) {
      words.push(null);
      at++;
    } else at = readWord(piece, at, words);
  }
  return words;
}

/** Whether reading the text as a command line could give anything but the text itself. */
export function hasShellSyntax(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= SPACE || isCommandEnd(code) || code === DOUBLE || code === SINGLE || code === BACKSLASH) return true;
  }
  return false;
}

/** Reads the word at `start` and returns where it ends. */
function readWord(piece: Piece, start: number, words: (Piece | null)[]): number {
  const text = piece.text;
  let at = start;
  while (at < text.length && !isSpecial(text.charCodeAt(at))) at++;
  if (at >= text.length || isEnd(text.charCodeAt(at))) {
    words.push(part(piece, start, at));
    return at;
  }
  // Quotes or escapes: the word's characters no longer follow each other in the argument.
  const positions: number[] = [];
  const codes: string[] = [];
  const take = (index: number): void => {
    codes.push(text[index]!);
    positions.push(position(piece, index));
  };
  for (let i = start; i < at; i++) take(i);
  let quote = 0;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (quote === SINGLE) {
      if (code === SINGLE) quote = 0;
      else take(at);
    } else if (code === BACKSLASH) {
      const next = text.charCodeAt(at + 1);
      if (quote === DOUBLE && next !== DOUBLE && next !== BACKSLASH && next !== DOLLAR && next !== BACKTICK) take(at);
      else if (at + 1 < text.length) take(++at);
    } else if (quote === DOUBLE) {
      if (code === DOUBLE) quote = 0;
      else take(at);
    } else if (code === SINGLE || code === DOUBLE) quote = code;
    else if (isEnd(code)) break;
    else take(at);
  }
  words.push({
    text: codes.join(""),
    map: Int32Array.from(positions),
    base: 0,
    cut: piece.cut && at >= text.length,
    masks: piece.masks,
  });
  return at;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB || code === RETURN || code === LESS || code === GREATER || code < TAB;
}

function isCommandEnd(code: number): boolean {
  return code === SEMICOLON || code === AMPERSAND || code === PIPE || code === NEWLINE || code === OPEN ||
    code === CLOSE || code === BACKTICK;
}

function isEnd(code: number): boolean {
  return isBlank(code) || isCommandEnd(code);
}

function isSpecial(code: number): boolean {
  return isEnd(code) || code === SINGLE || code === DOUBLE || code === BACKSLASH;
}
