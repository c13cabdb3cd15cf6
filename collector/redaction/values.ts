/**
 * Secrets inside a text: assignments, headers, URLs with credentials, key blocks, tokens of a known shape.
 *
 * Every scanner walks forward and looks back or ahead by a bounded distance only, so that hostile text costs linear
 * time. Regular expressions are not used on the text for the same reason.
 *
 * @module
 */

import {
  AMPERSAND,
  AT,
  BACKSLASH,
  BRACKET,
  COLON,
  COMMA,
  DASH,
  DOT,
  endsLine,
  endsQuotedLine,
  endsScheme,
  endsToken,
  endsUrl,
  endsValue,
  EQUALS,
  GREATER,
  hasDigit,
  HASH,
  isAlphanumeric,
  isKeyId,
  isNumber,
  isQuote,
  isRun,
  NEWLINE,
  OPEN,
  QUESTION,
  SEMICOLON,
  skipBlanks,
  skipUntil,
  SLASH,
} from "./characters.ts";
import { isCompound, isHeader, isNoSecret, type Secrecy, secrecyOf } from "./names.ts";
import { mask, type Piece } from "./piece.ts";

/** How far a URL's `@` may stand behind a password that holds a slash. */
const MAX_USERINFO = 512;
/** Longest name of a host. */
const MAX_HOST = 253;
const MAX_PEM_LABEL = 64;
/** User names of URLs that long are tokens. */
const LONG_TOKEN = 24, MIXED_TOKEN = 16;

/** Tokens known by how they begin, with the shortest length that counts. */
const SHAPES: readonly (readonly [prefix: string, shortest: number])[] = [
  ["AKIA", 20],
  ["ASIA", 20],
  ["AIza", 35],
  ["eyJ", 20],
  ["ghp_", 20],
  ["gho_", 20],
  ["ghu_", 20],
  ["ghs_", 20],
  ["ghr_", 20],
  ["github_pat_", 30],
  ["glpat-", 20],
  ["hf_", 30],
  ["hvs.", 20],
  ["npm_", 36],
  ["pypi-", 40],
  ["rk_live_", 20],
  ["sk-", 20],
  ["sk_live_", 20],
  ["sk_test_", 20],
  ["xapp-", 15],
  ["xoxa-", 15],
  ["xoxb-", 15],
  ["xoxe-", 15],
  ["xoxp-", 15],
  ["xoxr-", 15],
  ["xoxs-", 15],
];
const SHAPE_STARTS = new Set(SHAPES.map(([prefix]) => prefix.charCodeAt(0)));

/** What the precheck must look for so that no shape is overlooked. */
export const SHAPE_PREFIXES: readonly string[] = SHAPES.map(([prefix]) => prefix);

/**
 * Masks the secrets in a piece of text. `isCommand` says that the text is a command line, where a header or an
 * assignment ends with its word and must not hide the commands after it.
 */
export function scanText(piece: Piece, isCommand: boolean): void {
  scanKeyBlocks(piece);
  scanUrls(piece);
  scanLogins(piece);
  scanRuns(piece, isCommand);
}

/** PEM private keys: what stands between their first and last line, or up to the end when the last line is missing. */
function scanKeyBlocks(piece: Piece): void {
  const text = piece.text;
  let at = 0;
  while ((at = text.indexOf("-----BEGIN ", at)) >= 0) {
    const label = at + "-----BEGIN ".length;
    const labelEnd = text.indexOf("-----", label);
    if (labelEnd < 0) return;
    if (labelEnd - label <= MAX_PEM_LABEL && text.slice(label, labelEnd).includes("PRIVATE KEY")) {
      const end = text.indexOf("-----END", labelEnd + 5);
      mask(piece, labelEnd + 5, end < 0 ? text.length : end);
      if (end < 0) return;
      at = end;
    } else at = label;
  }
}

/** `scheme://user:password@host`: keeps the user, unless it is a token itself. */
function scanUrls(piece: Piece): void {
  const text = piece.text;
  let at = 0;
  while ((at = text.indexOf("://", at)) >= 0) {
    const begin = at + 3;
    let end = begin, sign = -1, colon = -1;
    for (; end < text.length; end++) {
      const code = text.charCodeAt(end);
      if (code === AT) sign = end;
      else if (code === COLON && colon < 0) colon = end;
      else if (code === SLASH || code === QUESTION || code === HASH || endsUrl(code)) break;
    }
    at = end;
    if (sign < 0 && colon >= 0 && text.charCodeAt(begin) !== BRACKET && !isNumber(text, colon + 1, end)) {
      // Not a port, so probably a password with an unescaped slash in it: its `@` stands further on.
      sign = lastSignBeforeEnd(text, end);
    }
    if (sign < 0) {
      if (piece.cut && end === text.length && colon >= 0) mask(piece, colon + 1, end);
      continue;
    }
    if (colon >= 0 && colon < sign) mask(piece, colon + 1, sign);
    const userEnd = colon >= 0 && colon < sign ? colon : sign;
    if (isTokenLike(text, begin, userEnd)) mask(piece, begin, userEnd);
    at = Math.max(end, sign);
  }
}

/** `user:password@host` without a scheme, as proxies and database drivers take it; not `image:tag@digest`. */
function scanLogins(piece: Piece): void {
  const text = piece.text;
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    if (!isHost(text, at + 1)) continue;
    const limit = Math.max(0, at - MAX_USERINFO);
    let begin = at, colon = -1;
    for (; begin > limit; begin--) {
      const code = text.charCodeAt(begin - 1);
      if (code === COLON) colon = begin - 1;
      else if (code === SLASH || code === EQUALS || code === COMMA || endsUrl(code)) break;
    }
    if (colon > begin && !PACKAGE_KINDS.has(text.slice(begin, Math.min(colon, begin + 8)))) mask(piece, colon + 1, at);
  }
}

/** `npm:name@1.2.3` names a package. */
const PACKAGE_KINDS: ReadonlySet<string> = new Set(["npm", "jsr", "file", "link"]);

/** Whether a host begins here: `name.domain`, `name:port`, `localhost`, `tcp(` or `unix(`. */
function isHost(text: string, begin: number): boolean {
  let end = begin, dots = 0;
  for (; end < text.length && end < begin + MAX_HOST; end++) {
    const code = text.charCodeAt(end);
    if (code === DOT) dots++;
    else if (!isAlphanumeric(code) && code !== DASH) break;
  }
  const name = text.slice(begin, end);
  if (name === "localhost") return true;
  if (text.charCodeAt(end) === OPEN) return name === "tcp" || name === "unix";
  if (end === begin || name.startsWith("sha")) return false;
  const isPort = text.charCodeAt(end) === COLON && hasDigit(text, end + 1, end + 2);
  // A version has dots too, but begins with a digit; so does an address, which has three.
  return isPort || (dots > 0 && (!hasDigit(text, begin, begin + 1) || (dots === 3 && isAddress(name))));
}

function isAddress(name: string): boolean {
  return name.split(".").every((part) => part.length > 0 && part.length <= 3 && isNumber(part, 0, part.length));
}

/** Names and tokens are runs of the same characters; each run is read once. */
function scanRuns(piece: Piece, isCommand: boolean): void {
  const text = piece.text;
  let at = 0;
  while (at < text.length) {
    if (!isRun(text.charCodeAt(at))) {
      at++;
      continue;
    }
    const begin = at;
    let lastDot = -1;
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === DOT) lastDot = at;
      else if (!isRun(code)) break;
    }
    scanShapes(piece, begin, at, lastDot);
    at = Math.max(at, scanBearer(piece, begin, at), scanPair(piece, begin, at, isCommand));
  }
}

function scanShapes(piece: Piece, begin: number, end: number, lastDot: number): void {
  const text = piece.text;
  const isCut = piece.cut && end === text.length;
  for (let at = begin; at < end; at++) {
    if (!SHAPE_STARTS.has(text.charCodeAt(at))) continue;
    if (at > begin && isAlphanumeric(text.charCodeAt(at - 1))) continue;
    for (const [prefix, shortest] of SHAPES) {
      if (!text.startsWith(prefix, at)) continue;
      if (!isCut) {
        if (end - at < shortest) continue;
        if (prefix === "eyJ" && lastDot < at) continue;
        if (prefix === "sk-" && !hasDigit(text, at, Math.min(end, at + 64))) continue;
        if (shortest === 20 && prefix.length === 4 && prefix.endsWith("IA") && !isKeyId(text, at, at + 20)) continue;
      }
      mask(piece, at, end);
      return;
    }
  }
}

/** `Bearer TOKEN` without its header. Prose says "bearer" too: a token is long, has a digit, or stands alone with it. */
function scanBearer(piece: Piece, begin: number, end: number): number {
  const text = piece.text;
  if (end - begin !== 6 || text.slice(begin, end).toLowerCase() !== "bearer") return end;
  const from = skipBlanks(text, end);
  if (from === end) return end;
  const to = skipUntil(text, from, endsToken);
  const isAlone = begin === 0 && to === text.length;
  if (!isAlone && to - from < MIXED_TOKEN && !hasDigit(text, from, to)) return end;
  mask(piece, from, to);
  return to;
}

/** `name=value`, `name: value`, `"name": "value"`, `PASSWORD 'value'`. Returns where reading goes on. */
function scanPair(piece: Piece, begin: number, end: number, isCommand: boolean): number {
  const text = piece.text;
  let at = end;
  if (text.charCodeAt(at) === BACKSLASH && isQuote(text.charCodeAt(at + 1))) at += 2;
  else if (isQuote(text.charCodeAt(at))) at++;
  const nameIsQuoted = at > end;
  const separator = skipBlanks(text, at);
  const code = text.charCodeAt(separator);
  if (code === EQUALS) return scanAssigned(piece, begin, end, separator, separator > at);
  if (code === COLON) {
    if (text.startsWith("//", separator + 1)) return end;
    return scanColon(piece, begin, end, separator, nameIsQuoted, isCommand);
  }
  // SQL: PASSWORD 'value', IDENTIFIED BY 'value'.
  if (separator > end && isQuote(code) && !nameIsQuoted) {
    const name = text.slice(begin, end);
    const isIdentifiedBy = name.toLowerCase() === "by" &&
      text.slice(Math.max(0, begin - 11), begin).toLowerCase().startsWith("identified");
    if (isIdentifiedBy || secrecyOf(name) === "strong") return maskValue(piece, separator);
  }
  return end;
}

function scanAssigned(piece: Piece, begin: number, end: number, separator: number, isSpaced: boolean): number {
  const text = piece.text;
  if (secrecyOfPair(text, begin, end) === "none") return end;
  let from = separator + 1;
  if (text.charCodeAt(from) === EQUALS || text.charCodeAt(from) === GREATER) from++;
  // `PASSWORD= command` assigns nothing; `password = "value"` does.
  if (isSpaced) from = skipBlanks(text, from);
  if (isWorkingDirectory(text.slice(begin, end), text.charCodeAt(from))) return end;
  return maskValue(piece, from);
}

function scanColon(
  piece: Piece,
  begin: number,
  end: number,
  separator: number,
  nameIsQuoted: boolean,
  isCommand: boolean,
): number {
  const text = piece.text;
  const secrecy = secrecyOfPair(text, begin, end);
  if (secrecy === "none") return end;
  const name = text.slice(begin, end);
  let from = separator + 1;
  if (text.charCodeAt(from) === EQUALS) from++;
  const value = skipBlanks(text, from);
  const isBare = value === from && !nameIsQuoted && !isQuote(text.charCodeAt(value));
  if (isHeader(name)) return maskHeader(piece, begin, name, value, isCommand);
  if (isBare) {
    // `name:value` is also how images, volumes and addresses are written.
    const looksLikePath = text.charCodeAt(begin - 1) === SLASH || text.charCodeAt(value) === SLASH;
    if (looksLikePath || (secrecy === "weak" && !isCompound(name))) return end;
  }
  return maskValue(piece, value);
}

/** Masks a header's value, but for the scheme of `Authorization: SCHEME value`. */
function maskHeader(piece: Piece, begin: number, name: string, from: number, isCommand: boolean): number {
  const text = piece.text;
  if (startsQuoted(text, from)) return maskValue(piece, from, name);
  const before = begin === 0 ? NEWLINE : text.charCodeAt(begin - 1);
  const isLine = !isCommand && (before === NEWLINE || before === EQUALS);
  const isCookie = name.toLowerCase().endsWith("cookie");
  let end: number;
  if (isLine) end = skipUntil(text, from, endsLine);
  else if (isCookie && !isCommand) end = skipUntil(text, from, endsQuotedLine);
  else end = skipUntil(text, afterScheme(text, from, name), endsToken);
  const secret = afterScheme(text, from, name);
  mask(piece, secret < end ? secret : from, end);
  return end;
}

/** Where the credentials of an `Authorization` header begin: after `Bearer `, `Basic `, `AWS4-HMAC-SHA256 `. */
function afterScheme(text: string, from: number, name: string): number {
  if (!name.toLowerCase().endsWith("authorization")) return from;
  const end = skipUntil(text, from, endsScheme);
  const after = skipBlanks(text, end);
  return end > from && after > end && after < text.length ? after : from;
}

/** Masks the value at `from`, quoted or up to a delimiter, and returns where it ends. */
function maskValue(piece: Piece, from: number, header = ""): number {
  const text = piece.text;
  let begin = from, end: number;
  if (startsQuoted(text, from)) {
    const isEscaped = text.charCodeAt(from) === BACKSLASH;
    begin = from + (isEscaped ? 2 : 1);
    end = closingQuote(text, begin, text.charCodeAt(begin - 1), isEscaped);
  } else end = skipUntil(text, from, endsValue);
  if (end - begin <= 9 && isNoSecret(text.slice(begin, end))) return end;
  mask(piece, header === "" ? begin : Math.min(afterScheme(text, begin, header), end - 1), end);
  return end;
}

/** A quote that opens a value; one before a blank or a separator closes what stood before it. */
function startsQuoted(text: string, at: number): boolean {
  const begin = text.charCodeAt(at) === BACKSLASH ? at + 1 : at;
  const next = text.charCodeAt(begin + 1);
  return isQuote(text.charCodeAt(begin)) && begin + 1 < text.length && !endsToken(next) && next !== SEMICOLON;
}

function closingQuote(text: string, from: number, quote: number, isEscaped: boolean): number {
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) {
      if (isEscaped && text.charCodeAt(at + 1) === quote) return at;
      at++;
    } else if (code === quote) return at;
  }
  return text.length;
}

function secrecyOfPair(text: string, begin: number, end: number): Secrecy {
  const name = text.slice(begin, end);
  const secrecy = secrecyOf(name);
  if (secrecy !== "none") return secrecy;
  // The signature of a pre-signed URL opens what it signs.
  const before = text.charCodeAt(begin - 1);
  if (before !== QUESTION && before !== AMPERSAND) return "none";
  const lower = name.toLowerCase();
  return lower === "sig" || lower.endsWith("signature") ? "weak" : "none";
}

/** `PWD=/home/x` is where a program works, not what opens it. */
export function isWorkingDirectory(name: string, firstCode: number): boolean {
  return name === "PWD" && firstCode === SLASH;
}

function isTokenLike(text: string, begin: number, end: number): boolean {
  const length = end - begin;
  return length >= LONG_TOKEN || (length >= MIXED_TOKEN && hasDigit(text, begin, end));
}

function lastSignBeforeEnd(text: string, from: number): number {
  const limit = Math.min(text.length, from + MAX_USERINFO);
  let sign = -1;
  for (let at = from; at < limit; at++) {
    const code = text.charCodeAt(at);
    if (code === AT) sign = at;
    else if (endsUrl(code)) break;
  }
  return sign;
}
