/**
 * Secrets among the words of a command: the value after `--password`, the rest of `NAME=`, what a program's own short
 * options hold, and command lines inside words.
 *
 * @module
 */

import { isNoSecret, isSwitch, secrecyOf } from "./names.ts";
import { mask, type Piece } from "./piece.ts";
import { type ProgramRule, PROGRAMS } from "./programs.ts";
import { hasShellSyntax, shellWords } from "./shell_words.ts";
import { isWorkingDirectory, scanText } from "./values.ts";

/** Command lines within command lines are read that deep: `sh -c "ssh host 'su -c \"...\"'"`. */
const MAX_DEPTH = 4;

/** What the word after an option is: all of it secret, only after a separator, or in OpenSSL's `pass:SECRET` form. */
type Expected = { kind: "all" } | { kind: "pair"; separator: string } | { kind: "openssl" };
const ALL: Expected = { kind: "all" };
const OPENSSL: Expected = { kind: "openssl" };

/** Masks the secrets of one command line; `null` stands between commands. */
export function redactWords(words: readonly (Piece | null)[], depth = 0): void {
  const reader = new CommandReader(depth);
  for (const word of words) {
    if (word === null) reader.endCommand();
    else reader.read(word);
  }
  reader.endCommand();
}

class CommandReader {
  readonly #depth: number;
  readonly #seen = new Set<string>();
  #rules: ProgramRule[] = [];
  #expected: Expected | null = null;
  #last = "";
  #beforeLast = "";
  #lastPlain: Piece | null = null;
  #lastWordIsSecret = false;

  constructor(depth: number) {
    this.#depth = depth;
  }

  read(word: Piece): void {
    const expected = this.#expected;
    this.#expected = null;
    if (expected === null || !this.#take(word, expected)) {
      const isWhole = word.text.charCodeAt(0) === DASH && word.text.length > 1
        ? this.#readOption(word)
        : this.#readPlain(word);
      if (!isWhole) this.#readInside(word);
    }
    this.#beforeLast = this.#last;
    this.#last = word.text;
  }

  endCommand(): void {
    if (this.#lastWordIsSecret && this.#lastPlain !== null) mask(this.#lastPlain, 0, this.#lastPlain.text.length);
    if (this.#rules.length > 0) this.#rules = [];
    this.#seen.clear();
    this.#expected = null;
    this.#lastPlain = null;
    this.#lastWordIsSecret = false;
    this.#last = this.#beforeLast = "";
  }

  /** The word that an option before it announced. False when it is an option itself, or holds no secret. */
  #take(word: Piece, expected: Expected): boolean {
    const text = word.text;
    if (isLongOption(text)) return false;
    if (expected.kind === "all" && this.#isPublishedPort(text)) return true;
    return maskExpected(word, 0, expected);
  }

  /** Options. True when all of the word is dealt with. */
  #readOption(word: Piece): boolean {
    const text = word.text;
    const isLong = text.charCodeAt(1) === DASH;
    const equals = text.indexOf("=");
    const name = text.slice(isLong ? 2 : 1, equals < 0 ? undefined : equals);
    if (isLong) {
      for (const rule of this.#rules) {
        const separator = rule.longPair?.[name];
        if (separator === undefined) continue;
        const expected: Expected = { kind: "pair", separator };
        if (equals >= 0) return maskExpected(word, equals + 1, expected);
        this.#expected = expected;
        return true;
      }
    } else if (this.#readLetters(word)) return true;
    // X servers take the path of a file after -auth.
    // `--from-literal=password=SECRET`: an assignment as a value.
    if (equals >= 0 && this.#readAssignment(word, equals + 1)) return true;
    if (name.length < 2 || !isOptionName(name) || (!isLong && name === "auth")) return false;
    if (secrecyOf(name) === "none") return false;
    const expected = isOpensslOption(name) ? OPENSSL : ALL;
    if (equals >= 0) return maskExpected(word, equals + 1, expected);
    if (!isSwitch(name)) this.#expected = expected;
    return true;
  }

  /** Short options of the programs named before. True when one of them held or announced a secret. */
  #readLetters(word: Piece): boolean {
    const text = word.text;
    for (const rule of this.#rules) {
      if (rule.subcommand !== undefined && !this.#seen.has(rule.subcommand)) continue;
      if (rule.exact !== undefined && text.length === 2 && rule.exact.includes(text[1]!)) {
        this.#expected = ALL;
        return true;
      }
      for (let at = 1; at < text.length; at++) {
        const letter = text[at]!;
        if (rule.lastWordAfter === letter) this.#lastWordIsSecret = true;
        const isLastLetter = at + 1 === text.length;
        if (rule.attached?.includes(letter)) {
          if (!isLastLetter) mask(word, at + 1, text.length);
          return !isLastLetter;
        }
        const separator = rule.pair?.[letter];
        if (separator !== undefined || rule.value?.includes(letter)) {
          const expected: Expected = separator === undefined ? ALL : { kind: "pair", separator };
          if (isLastLetter) this.#expected = expected;
          else maskExpected(word, at + 1, expected);
          if (rule.runsAnother === true) this.#rules = this.#rules.filter((other) => other !== rule);
          return true;
        }
        if (!rule.switches?.includes(letter) && rule.lastWordAfter === undefined) break;
      }
    }
    return false;
  }

  /** Words that are no options: programs, assignments, keywords. True when all of the word is masked. */
  #readPlain(word: Piece): boolean {
    const text = word.text;
    this.#lastPlain = word;
    const program = PROGRAMS.get(text.slice(text.lastIndexOf("/") + 1));
    if (program !== undefined && !this.#rules.includes(program)) this.#rules.push(program);
    for (const rule of this.#rules) {
      if (rule.subcommand === text) this.#seen.add(text);
      if (rule.keywords?.includes(text)) this.#expected = ALL;
      if (rule.slashLogin === true && maskSlashLogin(word)) return true;
      if (rule.slashOption !== undefined && text.startsWith(`/${rule.slashOption}:`)) {
        mask(word, 3, text.length);
        return true;
      }
    }
    // netrc: `login NAME password SECRET`; and `aws configure set aws_secret_access_key SECRET`.
    if (this.#beforeLast === "login" && text === "password") this.#expected = ALL;
    if (this.#last === "set" && secrecyOf(text) !== "none") this.#expected = ALL;
    // An unquoted header: `-H Authorization: Bearer SECRET`.
    if (isAuthorization(this.#last) && isScheme(text)) this.#expected = ALL;
    return this.#readAssignment(word);
  }

  /** `NAME=value` from `from` on, where the whole rest of the word is the value. */
  #readAssignment(word: Piece, from = 0): boolean {
    const text = word.text;
    const equals = text.indexOf("=", from);
    if (equals <= from || this.#isCommandLine(text) || !isName(text, from, equals)) return false;
    const name = text.slice(from, equals);
    if (secrecyOf(name) === "none" || isWorkingDirectory(name, text.charCodeAt(equals + 1))) return false;
    return maskExpected(word, equals + 1, ALL);
  }

  #readInside(word: Piece): void {
    const isCommand = this.#isCommandLine(word.text);
    scanText(word, isCommand);
    if (this.#depth < MAX_DEPTH && hasShellSyntax(word.text)) redactWords(shellWords(word), this.#depth + 1);
  }

  /** Whether the word is what a shell will run: it stands after `-c`, `-lc`, `--command`. */
  #isCommandLine(text: string): boolean {
    return (this.#last === "--command" || isCommandOption(this.#last)) && hasShellSyntax(text);
  }

  /** `docker run --name mongo -p 27017:27017`: a port that a container publishes. */
  #isPublishedPort(text: string): boolean {
    if (!this.#rules.some((rule) => rule.subcommand === "login") || this.#seen.has("login")) return false;
    return this.#last === "-p" && isPorts(text);
  }
}

const DASH = 45;

/** Masks what `expected` says from `from` on. False when there is no secret, so that the word is still to be read. */
function maskExpected(word: Piece, from: number, expected: Expected): boolean {
  const text = word.text;
  if (isNoSecret(text.slice(from))) return true;
  if (expected.kind === "all") mask(word, from, text.length);
  else if (expected.kind === "pair") {
    const separator = text.indexOf(expected.separator, from);
    if (separator < 0) return false;
    mask(word, separator + 1, text.length);
  } else if (text.length === from + 1 && "123".includes(text[from]!)) {
    return true; // the passes of a video encoder
  } else if (text.startsWith("pass:", from)) mask(word, from + 5, text.length);
  else if (!["file:", "env:", "fd:", "stdin"].some((kind) => text.startsWith(kind, from))) {
    mask(word, from, text.length);
  }
  return true;
}

function isOpensslOption(name: string): boolean {
  return name === "pass" || name === "passin" || name === "passout" || name === "password";
}

/** `USER/SECRET@PLACE`, as Oracle's tools take it. */
function maskSlashLogin(word: Piece): boolean {
  const text = word.text;
  const slash = text.indexOf("/");
  if (slash <= 0 || slash !== text.lastIndexOf("/") && !text.includes("@")) return false;
  const sign = text.lastIndexOf("@");
  mask(word, slash + 1, sign > slash ? sign : text.length);
  return true;
}

/** `--name` or `--name=value`: not the value of the option before it. */
function isLongOption(text: string): boolean {
  if (!text.startsWith("--") || text.length < 3) return false;
  const equals = text.indexOf("=");
  const end = equals < 0 ? text.length : equals;
  for (let at = 2; at < end; at++) {
    const code = text.charCodeAt(at);
    const isLetter = (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
    if (!isLetter && (at === 2 || !(code === DASH || code === 95 || (code >= 48 && code <= 57)))) return false;
  }
  return true;
}

function isOptionName(name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    const isLetter = (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
    if (!isLetter && !(code >= 48 && code <= 57) && code !== DASH && code !== 46 && code !== 95) return false;
  }
  return true;
}

/** Whether the characters from `from` to `end` could be the name of a variable or a key. */
function isName(text: string, from: number, end: number): boolean {
  for (let at = from; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code <= 32 || code === 34 || code === 38 || code === 39 || code === 63) return false;
  }
  return true;
}

function isCommandOption(text: string): boolean {
  if (text.length < 2 || text.length > 8 || text.charCodeAt(0) !== DASH || !text.endsWith("c")) return false;
  for (let at = 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 97 || code > 122) return false;
  }
  return true;
}

function isAuthorization(text: string): boolean {
  return text.length <= 32 && text.endsWith(":") && text.toLowerCase().endsWith("authorization:");
}

function isScheme(text: string): boolean {
  const lower = text.toLowerCase();
  return lower === "bearer" || lower === "basic" || lower === "token";
}

function isPorts(text: string): boolean {
  return text.length <= 64 &&
    /^[\d.]*:?\d{1,5}(?:-\d{1,5})?(?::\d{1,5}(?:-\d{1,5})?)?(?:\/(?:tcp|udp|sctp))?$/.test(text);
}
