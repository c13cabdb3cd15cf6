/**
 * Environments as the JSON objects that are stored: secrets masked, lengths bounded.
 *
 * An object's key is a variable's name, its value the text of it. Bytes that are not UTF-8 are lone surrogates, as in
 * `argv`; JSON writes them as escapes, so the text itself is UTF-8. Where a name is there again, the first one counts for
 * `getenv()` and the last one for the dynamic linker: none may hide the other, so the further ones are `NAME=2`,
 * `NAME=3`, which no variable can be called. `=cut` is `true` when variables or ends of values are missing.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { decodeBytes } from "../proto/argv.ts";
import { MAX_VARIABLE_BYTES } from "./kernel/environment.ts";
import type { RedactedVariable } from "./redaction.ts";

/** Longest text of an environment, in characters. Variables that do not fit are left out and said to be. */
export const MAX_ENVIRONMENT_TEXT = 16_384;
/** Variables, and characters of them, that are looked at. */
const MAX_VARIABLES = 1_024;
const MAX_CHARACTERS = 2 * MAX_ENVIRONMENT_TEXT;
const CUT = `"=cut":true`;

export interface EnvironmentText {
  readonly text: string;
  /** The same without what is captured for rules alone: what may be remembered of a process. */
  readonly kept: string;
  readonly masked: number;
}

/** Masks one variable, `NAME=value` in Latin-1. */
export type VariableMask = (variable: string, isCut: boolean) => RedactedVariable;

/** Makes texts, and keeps them for as long as the lists live: sources give the same list for equal environments. */
export class Environments {
  readonly #newMask: () => VariableMask;
  readonly #isKept: (name: string) => boolean;
  readonly #whole = new WeakMap<readonly string[], EnvironmentText>();
  readonly #cut = new WeakMap<readonly string[], EnvironmentText>();

  /** `newMask` is asked once for each environment that is converted, `isKept` for the name of each variable. */
  constructor(newMask: () => VariableMask, isKept: (name: string) => boolean = () => true) {
    this.#newMask = newMask;
    this.#isKept = isKept;
  }

  textOf(variables: readonly string[], isCut: boolean): EnvironmentText {
    const known = isCut ? this.#cut : this.#whole;
    let environment = known.get(variables);
    if (environment === undefined) {
      environment = environmentText(variables, isCut, this.#newMask(), this.#isKept);
      known.set(variables, environment);
    }
    return environment;
  }
}

interface Part {
  readonly text: string;
  readonly masked: number;
  readonly isKept: boolean;
}

function environmentText(
  variables: readonly string[],
  isCut: boolean,
  mask: VariableMask,
  isKept: (name: string) => boolean,
): EnvironmentText {
  const counts = new Map<string, number>();
  const parts: Part[] = [];
  let seen = 0, isShort = isCut || variables.length > MAX_VARIABLES;
  for (const variable of variables.slice(0, MAX_VARIABLES)) {
    seen += variable.length;
    if (seen > MAX_CHARACTERS) {
      isShort = true;
      break;
    }
    const isLong = variable.length >= MAX_VARIABLE_BYTES;
    const redacted = mask(variable, isLong);
    const equals = redacted.text.indexOf("=");
    if (equals <= 0) continue;
    const name = redacted.text.slice(0, equals);
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    const text = `${json(count === 1 ? name : `${name}=${count}`)}:${json(redacted.text.slice(equals + 1))},`;
    if (isLong) isShort = true;
    parts.push({ text, masked: redacted.masked, isKept: isKept(name) });
  }
  const length = parts.reduce((sum, part) => sum + part.text.length, EMPTY_LENGTH);
  if (length <= MAX_ENVIRONMENT_TEXT && parts.every((part) => part.isKept)) {
    const text = objectText(parts, null, isShort);
    return { text, kept: text, masked: parts.reduce((sum, part) => sum + part.masked, 0) };
  }
  // What is captured always finds room first, or rules could take it away by what they ask for.
  const kept = fitting(parts.filter((part) => part.isKept), EMPTY_LENGTH);
  const all = kept.parts.size === parts.length ? kept : fitting(parts, kept.length, kept.parts);
  const text = objectText(parts, all.parts, isShort);
  const masked = parts.reduce((sum, part) => all.parts.has(part) ? sum + part.masked : sum, 0);
  return {
    text,
    kept: all === kept ? text : objectText(parts.filter((part) => part.isKept), kept.parts, isShort),
    masked,
  };
}

const EMPTY_LENGTH = "{}".length + CUT.length;

/** Those that find room, in their order, beside what has it already. */
function fitting(
  parts: readonly Part[],
  length: number,
  before: ReadonlySet<Part> = new Set(),
): { readonly parts: ReadonlySet<Part>; readonly length: number } {
  const fit = new Set(before);
  for (const part of parts) {
    if (fit.has(part) || length + part.text.length > MAX_ENVIRONMENT_TEXT) continue;
    length += part.text.length;
    fit.add(part);
  }
  return { parts: fit, length };
}

/** The object of those parts that fit, all when that is `null`; it says when others are missing. */
function objectText(parts: readonly Part[], fit: ReadonlySet<Part> | null, isShort: boolean): string {
  const shown = fit === null ? parts : parts.filter((part) => fit.has(part));
  const all = shown.map((part) => part.text).join("");
  return isShort || shown.length < parts.length ? `{${all}${CUT}}` : `{${all.slice(0, -1)}}`;
}

function json(latin1: string): string {
  return JSON.stringify(decodeBytes(Buffer.from(latin1, "latin1")));
}
