/**
 * A row as predicates see it.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { asciiLower, patternText } from "./predicate.ts";

/**
 * One row while predicates look at it, with its texts folded at most once. Many a text is that of the row before, and
 * then is not looked at again.
 */
export class RowView {
  cells: readonly SqlValue[] = [];
  /** Characters of the texts that predicates read of it. */
  characters = 0;
  /** By place, the last text that was looked at; it has no lone surrogates. */
  readonly #texts: SqlValue[] = [];
  /** By place, the last cell that was folded, and what it became. */
  readonly #unfolded: SqlValue[] = [];
  readonly #folded: (string | null)[] = [];

  /** @param textPlaces places of the columns with texts that predicates read */
  constructor(readonly textPlaces: readonly number[]) {}

  /** Takes a row; lone surrogates become U+FFFD, as they do on their way into SQLite. */
  load(cells: readonly SqlValue[]): void {
    const texts = this.#texts;
    let own: SqlValue[] | null = null, characters = 0;
    for (const place of this.textPlaces) {
      const text = cells[place];
      if (typeof text !== "string") continue;
      characters += text.length;
      if (text === texts[place]) continue;
      if (text.isWellFormed()) texts[place] = text;
      else {
        own ??= [...cells];
        own[place] = text.toWellFormed();
      }
    }
    this.characters = characters;
    this.cells = own ?? cells;
  }

  /** A column's text as LIKE sees it: folded, and cut at a NUL. */
  folded(place: number): string | null {
    const cell = this.cells[place]!;
    if (cell === null) return null;
    if (cell === this.#unfolded[place]) return this.#folded[place]!;
    this.#unfolded[place] = cell;
    return this.#folded[place] = asciiLower(patternText(String(cell)));
  }
}
