/**
 * Finds the number of a row in a dictionary of the open partition, and adds the row where it is new.
 *
 * What was added before is remembered in bounded memory. When that is full it is forgotten, and a row may then come into
 * the dictionary twice: that costs room and nothing else, since an event names its row by number.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { columnPlaces, type SqlValue } from "../../proto/event_row.ts";
import { type Dictionary, dictionaryTable } from "../../proto/partition_layout.ts";

/** Rows that are remembered, and the length of their texts together, of one dictionary. */
const MAX_ROWS = 8_192;
const MAX_LENGTH = 2 << 20;

/** Rows that are compared with an event cell by cell, which needs no key. */
const MAX_RECENT = 256;

interface Recent {
  readonly cells: readonly SqlValue[];
  readonly number: number;
}

export class DictionaryWriter {
  readonly #places: readonly number[];
  readonly #insert: StatementSync;
  readonly #known = new Map<string, number>();
  #length = 0;
  #next: number;
  /** By their first cell, rows that came of late: programs, parents and circumstances are few at a time. */
  readonly #recent = new Map<SqlValue, Recent>();
  #added = 0;

  constructor(db: DatabaseSync, partition: number, dictionary: Dictionary) {
    const table = dictionaryTable(partition, dictionary), places = columnPlaces("process_events");
    this.#places = dictionary.columns.map((name) => places.get(name)!);
    this.#next = (db.prepare(`SELECT coalesce(max(number), 0) + 1 AS next FROM ${table}`).get()!["next"]) as number;
    this.#insert = db.prepare(
      `INSERT INTO ${table} (number, ${dictionary.columns.join(", ")}) VALUES (?${
        ", ?".repeat(dictionary.columns.length)
      })`,
    );
  }

  /** The number of what an event says in this dictionary's columns; `null` where it says nothing. */
  numberOf(row: readonly SqlValue[]): number | null {
    this.#added = 0;
    const places = this.#places, first = row[places[0]!]!, recent = this.#recent.get(first);
    if (recent !== undefined && this.#isSame(row, recent.cells)) return recent.number;
    if (this.#saysNothing(row)) return null;
    const key = this.#key(row);
    let number = this.#known.get(key);
    if (number === undefined) {
      if (this.#known.size >= MAX_ROWS || this.#length + key.length > MAX_LENGTH) this.#clear();
      number = this.#next;
      this.#insert.get(number, ...places.map((place) => row[place]!));
      this.#next += 1;
      this.#known.set(key, number);
      this.#length += key.length;
      this.#added = key.length;
    }
    if (this.#recent.size >= MAX_RECENT) this.#recent.clear();
    this.#recent.set(first, { cells: places.map((place) => row[place]!), number });
    return number;
  }

  /** About how many bytes the last call added to the dictionary. */
  get added(): number {
    return this.#added;
  }

  /** Forgets everything: the rows that were added last are not in the database after all. */
  forget(): void {
    this.#clear();
    this.#recent.clear();
  }

  #clear(): void {
    this.#known.clear();
    this.#length = 0;
  }

  /** A loop, and from the end: nearly every event passes here, and what differs is mostly there. */
  #isSame(row: readonly SqlValue[], last: readonly SqlValue[]): boolean {
    const places = this.#places;
    for (let i = places.length - 1; i >= 0; i--) if (row[places[i]!] !== last[i]) return false;
    return true;
  }

  #saysNothing(row: readonly SqlValue[]): boolean {
    for (const place of this.#places) if (row[place] !== null) return false;
    return true;
  }

  /** Different for different cells, whatever texts they hold: programs choose them. */
  #key(row: readonly SqlValue[]): string {
    let key = "";
    for (const place of this.#places) {
      const cell = row[place]!;
      if (cell === null) key += "-";
      else if (typeof cell === "number") key += `${cell};`;
      else key += `${cell.length}:${cell}`;
    }
    return key;
  }
}
