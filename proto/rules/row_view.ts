/**
 * A row as predicates see it.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { asciiLower, patternText } from "./predicate.ts";

/** One row while predicates look at it, with its texts folded at most once. */
export class RowView {
  cells: readonly SqlValue[] = [];
  /** Characters of the texts that predicates read of it. */
  characters = 0;
  readonly #folded: (string | null | undefined)[] = [];
  /** Places of {@linkcode #folded} that are set. */
  readonly #set: number[] = [];

  /** @param textPlaces places of the columns with texts that predicates read */
  constructor(readonly textPlaces: readonly number[]) {}

  /** Takes a row; lone surrogates become U+FFFD, as they do on their way into SQLite. */
  load(cells: readonly SqlValue[]): void {
    for (const place of this.#set) this.#folded[place] = undefined;
    this.#set.length = 0;
    let own: SqlValue[] | null = null;
    this.characters = 0;
    for (const place of this.textPlaces) {
      const text = cells[place];
      if (typeof text !== "string") continue;
      this.characters += text.length;
      if (text.isWellFormed()) continue;
      own ??= [...cells];
      own[place] = text.toWellFormed();
    }
    this.cells = own ?? cells;
  }

  /** A column's text as LIKE sees it: folded, and cut at a NUL. */
  folded(place: number): string | null {
    const known = this.#folded[place];
    if (known !== undefined) return known;
    const cell = this.cells[place]!;
    const text = cell === null ? null : asciiLower(patternText(String(cell)));
    this.#folded[place] = text;
    this.#set.push(place);
    return text;
  }
}
