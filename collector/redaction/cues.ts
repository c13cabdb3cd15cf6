/**
 * The precheck of redaction: whether the bytes of an argument list hold anything that could belong to a secret.
 *
 * Nearly all command lines do not, and pass after one look at each byte. The cues are looked for at once, by the
 * automaton of Aho and Corasick ("Efficient string matching", 1975) as one table of states, without regard to case.
 * A cue that is found proves nothing; one that is missing here would leave secrets in the store.
 *
 * @module
 */

import { PROGRAMS } from "./programs.ts";
import { SHAPE_PREFIXES } from "./values.ts";

/** In a cue: any byte that ends a word. */
const END = "\0";

/** Parts of the names of `names.ts` and of the forms of `values.ts`. */
const WORDS = [
  "pass",
  "pwd",
  "-pw",
  "pw=",
  "pw:",
  "psk",
  "secret",
  "token",
  "key",
  "auth",
  "cred",
  "bearer",
  "cookie",
  "jwt",
  "sig=",
  "signature=",
  "identified",
  "://",
  "@",
  "-----begin",
];

/** States times 64 classes. State 0 is the start, state 1 means that a cue was found. */
const CLASS_BITS = 6;
const FOUND = 1;

const classes = classesOf([...WORDS, ...SHAPE_PREFIXES]);
const table = tableOf([...WORDS, ...SHAPE_PREFIXES, ...[...PROGRAMS.keys()].map((name) => name + END)]);

/** Whether the bytes hold a cue. The end of the bytes counts as the end of a word. */
export function hasCue(bytes: Uint8Array): boolean {
  let state = 0;
  for (let i = 0; i < bytes.length; i++) {
    state = table[(state << CLASS_BITS) | classes[bytes[i]!]!]!;
    if (state === FOUND) return true;
  }
  return table[(state << CLASS_BITS) | classes[0]!] === FOUND;
}

/** A class for every byte that stands in a cue, one for the ends of words, one for all others. */
function classesOf(cues: readonly string[]): Uint8Array {
  const of = new Uint8Array(256);
  let next = 2;
  const alphabet = new Set([...cues.join("").toLowerCase(), ..."abcdefghijklmnopqrstuvwxyz0123456789-_."]);
  for (const character of alphabet) {
    const code = character.charCodeAt(0);
    of[code] = next;
    if (code >= 97 && code <= 122) of[code - 32] = next;
    next++;
  }
  if (next > 1 << CLASS_BITS) throw new RangeError(`Cues have ${next} different bytes, the table has room for 64`);
  for (let code = 0; code <= 32; code++) of[code] = 1;
  for (const end of `"'\`\\;&|()<>`) of[end.charCodeAt(0)] = 1;
  return of;
}

function tableOf(cues: readonly string[]): Uint16Array {
  const width = 1 << CLASS_BITS;
  // A trie first; each node a row of next states, -1 where there is none.
  const rows: Int32Array[] = [new Int32Array(width).fill(-1), new Int32Array(width).fill(FOUND)];
  for (const cue of cues) {
    let state = 0;
    const bytes = [...cue.toLowerCase()];
    for (let i = 0; i < bytes.length && state !== FOUND; i++) {
      const row = rows[state]!, at = classes[bytes[i]!.charCodeAt(0)]!;
      if (i === bytes.length - 1) row[at] = FOUND;
      else if (row[at] === -1) row[at] = rows.push(new Int32Array(width).fill(-1)) - 1;
      state = row[at]!;
    }
  }
  // Breadth first: a missing step goes where the longest proper suffix goes.
  const fallback = new Int32Array(rows.length);
  const queue: number[] = [];
  for (let at = 0; at < width; at++) {
    const next = rows[0]![at]!;
    if (next === -1) rows[0]![at] = 0;
    else if (next !== FOUND) queue.push(next);
  }
  for (let state = queue.shift(); state !== undefined; state = queue.shift()) {
    const row = rows[state]!, suffix = rows[fallback[state]!]!;
    for (let at = 0; at < width; at++) {
      const next = row[at]!;
      if (next === FOUND) continue;
      if (next === -1 || suffix[at] === FOUND) row[at] = suffix[at]!;
      else {
        fallback[next] = suffix[at]!;
        queue.push(next);
      }
    }
  }
  const table = new Uint16Array(rows.length * width);
  rows.forEach((row, state) => table.set(row, state * width));
  return table;
}
