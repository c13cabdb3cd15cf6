/**
 * The variables of a process' environment that may be kept: an allow-list, applied where the bytes are read.
 *
 * What is not on the list never becomes text. Most processes of a storm have their parent's environment, so the last
 * answers are kept by the bytes they were given for.
 *
 * @module
 */

/** Environments whose answer is kept. */
const KNOWN = 8;
/** A variable that is longer is cut here. */
export const MAX_VARIABLE_BYTES = 4_096;

const EQUALS = 61, STAR = "*";

export class EnvironmentFilter {
  readonly #names = new Set<string>();
  /** Of names that end with a star, what stands before it. */
  readonly #prefixes: readonly string[];
  /** Whether a wanted name begins with this byte. */
  readonly #firsts = new Uint8Array(256);
  readonly #known: { readonly bytes: Uint8Array; readonly answer: readonly string[] }[] = [];
  #next = 0;

  /** `names` as in the setting: `LD_PRELOAD`, or `LD_*` for all that begin so. */
  constructor(names: readonly string[]) {
    const prefixes: string[] = [];
    for (const name of names) {
      if (name.endsWith(STAR)) prefixes.push(name.slice(0, -1));
      else this.#names.add(name);
      if (name === STAR) this.#firsts.fill(1);
      else this.#firsts[name.charCodeAt(0)] = 1;
    }
    this.#prefixes = prefixes;
  }

  /** Whether nothing is wanted, so that nothing need be read. */
  get isEmpty(): boolean {
    return this.#names.size === 0 && this.#prefixes.length === 0;
  }

  /**
   * The wanted variables of the NUL-ended `NAME=value` strings from `from` to `to`, in order, as `latin1` text. A last
   * one without its NUL was cut and is left out.
   */
  select(bytes: Uint8Array, from: number, to: number): readonly string[] {
    for (const known of this.#known) if (isSame(known.bytes, bytes, from, to)) return known.answer;
    const answer: string[] = [];
    for (let at = from; at < to;) {
      const end = bytes.indexOf(0, at);
      if (end < 0 || end >= to) break;
      if (this.#firsts[bytes[at]!] === 1) {
        const equals = bytes.indexOf(EQUALS, at);
        if (equals > at && equals < end && this.#isWanted(latin1(bytes, at, equals))) {
          answer.push(latin1(bytes, at, Math.min(end, at + MAX_VARIABLE_BYTES)));
        }
      }
      at = end + 1;
    }
    this.#known[this.#next] = { bytes: bytes.slice(from, to), answer };
    this.#next = (this.#next + 1) % KNOWN;
    return answer;
  }

  #isWanted(name: string): boolean {
    return this.#names.has(name) || this.#prefixes.some((prefix) => name.startsWith(prefix));
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
