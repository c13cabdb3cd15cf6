/**
 * The variables of a process' environment that may be kept: an allow-list, applied where the bytes are read.
 *
 * What is not on the list never becomes text. A part of the list may change: what rules ask for at the moment. Most
 * processes of a storm have their parent's environment, so the last answers are kept by the bytes they were given for.
 *
 * @module
 */

/** Environments whose answer is kept. */
const KNOWN = 8;
/** A variable that is longer is cut here. */
export const MAX_VARIABLE_BYTES = 4_096;

const EQUALS = 61, STAR = "*";

/**
 * The names of wanted variables, shared by all filters of a collector: those that are always wanted, and those that rules
 * ask for at the moment. The one place where the second kind can change.
 */
export class WantedVariables {
  readonly #always: NameList;
  #demanded: NameList = new NameList([]);
  /** Changes with every change of what is wanted. */
  version = 0;

  /** @param canBeDemanded whether more may be wanted later, so that environments are to be read even if nothing is now */
  constructor(always: readonly string[], readonly canBeDemanded: boolean = false) {
    this.#always = new NameList(always);
  }

  /** Whether nothing is wanted and nothing can be. */
  get isEmpty(): boolean {
    return this.isIdle && !this.canBeDemanded;
  }

  /** Whether nothing is wanted now. */
  get isIdle(): boolean {
    return this.#always.isEmpty && this.#demanded.isEmpty;
  }

  /** From now on these are wanted too, instead of those before. */
  demand(names: readonly string[]): void {
    this.#demanded = new NameList(names);
    this.version++;
  }

  /** Whether a variable is wanted, demanded or not. */
  has(name: string): boolean {
    return this.#always.has(name) || this.#demanded.has(name);
  }

  isAlwaysWanted(name: string): boolean {
    return this.#always.has(name);
  }

  /** Whether a wanted name begins with a byte, by the byte. */
  firsts(): Uint8Array {
    const firsts = new Uint8Array(256);
    for (const list of [this.#always, this.#demanded]) list.markFirsts(firsts);
    return firsts;
  }
}

/** What a filter is made of: names that stay, or a collector's list, of which a part may change. */
export type VariableNames = readonly string[] | WantedVariables;

/** Names as in the setting: `LD_PRELOAD`, or `LD_*` for all that begin so. */
class NameList {
  readonly #names = new Set<string>();
  /** Of names that end with a star, what stands before it. */
  readonly #prefixes: readonly string[];

  constructor(names: readonly string[]) {
    const prefixes: string[] = [];
    for (const name of names) {
      if (name.endsWith(STAR)) prefixes.push(name.slice(0, -1));
      else this.#names.add(name);
    }
    this.#prefixes = prefixes;
  }

  get isEmpty(): boolean {
    return this.#names.size === 0 && this.#prefixes.length === 0;
  }

  has(name: string): boolean {
    return this.#names.has(name) || this.#prefixes.some((prefix) => name.startsWith(prefix));
  }

  markFirsts(firsts: Uint8Array): void {
    for (const name of [...this.#names, ...this.#prefixes]) {
      if (name === "") firsts.fill(1);
      else firsts[name.charCodeAt(0)] = 1;
    }
  }
}

export class EnvironmentFilter {
  readonly #wanted: WantedVariables;
  #version: number;
  #firsts: Uint8Array;
  readonly #known: { readonly bytes: Uint8Array; readonly answer: readonly string[] }[] = [];
  #next = 0;

  constructor(wanted: VariableNames) {
    this.#wanted = wanted instanceof WantedVariables ? wanted : new WantedVariables(wanted);
    this.#version = this.#wanted.version;
    this.#firsts = this.#wanted.firsts();
  }

  /** Whether nothing is wanted and nothing will be, so that nothing need be read. */
  get isEmpty(): boolean {
    return this.#wanted.isEmpty;
  }

  /** Whether nothing is wanted now. */
  get isIdle(): boolean {
    return this.#wanted.isIdle;
  }

  /**
   * The wanted variables of the NUL-ended `NAME=value` strings from `from` to `to`, in order, as `latin1` text. A last
   * one without its NUL was cut and is left out.
   */
  select(bytes: Uint8Array, from: number, to: number): readonly string[] {
    if (this.#wanted.version !== this.#version) this.#renew();
    for (const known of this.#known) if (isSame(known.bytes, bytes, from, to)) return known.answer;
    const answer: string[] = [];
    for (let at = from; at < to;) {
      const end = bytes.indexOf(0, at);
      if (end < 0 || end >= to) break;
      if (this.#firsts[bytes[at]!] === 1) {
        const equals = bytes.indexOf(EQUALS, at);
        if (equals > at && equals < end && this.#wanted.has(latin1(bytes, at, equals))) {
          answer.push(latin1(bytes, at, Math.min(end, at + MAX_VARIABLE_BYTES)));
        }
      }
      at = end + 1;
    }
    this.#known[this.#next] = { bytes: bytes.slice(from, to), answer };
    this.#next = (this.#next + 1) % KNOWN;
    return answer;
  }

  /** What was answered before was for what was wanted then. */
  #renew(): void {
    this.#version = this.#wanted.version;
    this.#firsts = this.#wanted.firsts();
    this.#known.length = this.#next = 0;
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (known.length !== to - from) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[from + i]) return false;
  return true;
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}
