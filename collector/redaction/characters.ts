/**
 * Characters as the scanners of `values.ts` tell them apart, and steps over them.
 *
 * @module
 */

export const TAB = 9;
export const NEWLINE = 10;
export const RETURN = 13;
export const SPACE = 32;
export const DOUBLE = 34;
export const HASH = 35;
export const AMPERSAND = 38;
export const SINGLE = 39;
export const OPEN = 40;
export const COMMA = 44;
export const DASH = 45;
export const DOT = 46;
export const SLASH = 47;
export const COLON = 58;
export const SEMICOLON = 59;
export const LESS = 60;
export const EQUALS = 61;
export const GREATER = 62;
export const QUESTION = 63;
export const AT = 64;
export const BACKSLASH = 92;
export const UNDERSCORE = 95;
export const BACKTICK = 96;
export const BRACKET = 91;

/** An AWS access key id: capitals and digits. */
export function isKeyId(text: string, begin: number, end: number): boolean {
  for (let at = begin; at < end; at++) {
    const code = text.charCodeAt(at);
    if (!(code >= 65 && code <= 90) && !(code >= 48 && code <= 57)) return false;
  }
  return true;
}

export function isNumber(text: string, begin: number, end: number): boolean {
  for (let at = begin; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code < 48 || code > 57) return false;
  }
  return true;
}

export function hasDigit(text: string, begin: number, end: number): boolean {
  for (let at = begin; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code >= 48 && code <= 57) return true;
  }
  return false;
}

export function skipUntil(text: string, from: number, ends: (code: number) => boolean): number {
  let at = from;
  while (at < text.length && !ends(text.charCodeAt(at))) at++;
  return at;
}

export function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) === SPACE || text.charCodeAt(at) === TAB) at++;
  return at;
}

export function isAlphanumeric(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57);
}

export function isRun(code: number): boolean {
  return isAlphanumeric(code) || code === UNDERSCORE || code === DASH || code === DOT;
}

export function isQuote(code: number): boolean {
  return code === DOUBLE || code === SINGLE;
}

export function endsLine(code: number): boolean {
  return code === NEWLINE || code === RETURN;
}

export function endsQuotedLine(code: number): boolean {
  return endsLine(code) || isQuote(code);
}

export function endsToken(code: number): boolean {
  return code <= SPACE || isQuote(code) || code === BACKTICK;
}

export function endsScheme(code: number): boolean {
  return !isAlphanumeric(code) && code !== DASH;
}

export function endsValue(code: number): boolean {
  return endsToken(code) || code === AMPERSAND || code === SEMICOLON || code === COMMA;
}

export function endsUrl(code: number): boolean {
  return endsToken(code) || code === LESS || code === GREATER;
}
