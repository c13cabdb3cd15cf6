/**
 * Names of files as values that events have in common: the last part of a path, or of each word of a command line.
 *
 * A download names a file in its arguments and what runs it names it by its path, so no column of the one equals one of
 * the other; the file's name does. Words come from outside: {@linkcode MAX_FILES} are taken of one event, and whoever asks
 * is told when there were more.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";

/** Where the name of a file stands. */
export interface FileSource {
  /** Tells it from other sources of values. */
  readonly kind: "file";
  /** Columns of which the first that has a value counts. */
  readonly places: readonly number[];
  /** Whether each word of the text is one, and not the text as a whole. */
  readonly words: boolean;
}

/** Names that one event has at most. */
export const MAX_FILES = 256;
/** The longest name that a file can have, in bytes of Linux (NAME_MAX); what is longer is none. */
const MAX_NAME = 255;

/** The different names of one event, in the order of the text; `isCut` when there were more. */
export function filesOf(
  cells: readonly SqlValue[],
  { places, words }: FileSource,
): { readonly names: readonly string[]; readonly isCut: boolean } {
  const text = textOf(cells, places);
  if (text === null) return NOTHING;
  if (!words) {
    const name = lastPart(text);
    return isName(name) ? { names: [name], isCut: false } : NOTHING;
  }
  const names = new Set<string>();
  for (const [word] of text.matchAll(/\S+/g)) {
    const name = fileOfWord(word);
    if (name === null) continue;
    if (names.size === MAX_FILES && !names.has(name)) return { names: [...names], isCut: true };
    names.add(name);
  }
  return { names: [...names], isCut: false };
}

const NOTHING = { names: [], isCut: false } as const;

function textOf(cells: readonly SqlValue[], places: readonly number[]): string | null {
  for (const place of places) {
    const cell = cells[place]!;
    if (cell !== null) return String(cell);
  }
  return null;
}

/** `x` of `/tmp/x`, of `--output=x` and of `http://host/x?y=z#w`; `null` for an option that names none. */
function fileOfWord(word: string): string | null {
  const path = word.includes("://") ? word.replace(/[?#].*$/s, "") : word;
  const name = lastPart(path.startsWith("-") ? path.slice(path.indexOf("=") + 1) : path);
  return isName(name) && !name.startsWith("-") ? name : null;
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function isName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && name.length <= MAX_NAME;
}
