/**
 * What the agent wants entered: checked, held to a rate, entered once.
 *
 * The agent is not trusted: it may say only what it can know, in the form that it has, its entries bear its name, and it
 * cannot fill the disk. What comes too fast is not acknowledged until there is room, so the agent keeps it and counts
 * what it cannot keep. A note that came before is acknowledged and not entered again.
 *
 * @module
 */
import { decodeStatement } from "../../proto/ledger/statement.ts";
import { WireError } from "../../proto/wire_error.ts";
import type { LedgerNote } from "../../proto/messages.ts";
import { REMEMBERED_NOTES } from "./recollection.ts";

/** 350 MB a day at most, from an agent that has nothing but bad in mind; some 20 alerts a second. */
const BYTES_PER_S = 4_096;
/** A storm of some ten thousand alerts is entered as it comes. */
const BURST_BYTES = 4_194_304;
/** What an entry takes beside its payload. */
const ENTRY_BYTES = 200;

export class NoteBook {
  readonly #known = new Set<number>();
  #waiting: readonly LedgerNote[] = [];
  #room = BURST_BYTES;
  #at: number;

  /** `clock` gives milliseconds that never go back. */
  constructor(private readonly clock: () => number) {
    this.#at = clock();
  }

  /** Notes that are in the ledger already. */
  remember(ids: readonly number[]): void {
    for (const id of ids) {
      this.#known.delete(id);
      this.#known.add(id);
    }
    for (const id of this.#known) {
      if (this.#known.size <= REMEMBERED_NOTES) break;
      this.#known.delete(id);
    }
  }

  /**
   * Takes what the agent sent; what it sent before and is not entered yet is forgotten, since it comes again.
   *
   * @throws WireError for what is no statement.
   */
  receive(notes: readonly LedgerNote[]): void {
    for (const { id, action, payload } of notes) {
      const { note } = decodeStatement(action, payload);
      if (note !== id) throw new WireError(`A note has the number ${note} and is sent as ${id}`);
    }
    this.#waiting = notes;
  }

  /** A connection ended: whoever comes next sends what is not acknowledged. */
  forget(): void {
    this.#waiting = [];
  }

  /**
   * Enters what there is room for, by `enter`, which says whether it was taken. Returns the number up to which all is
   * entered; `null` when that is nothing new.
   */
  enter(enter: (note: LedgerNote) => boolean): number | null {
    const now = this.clock();
    this.#room = Math.min(BURST_BYTES, this.#room + Math.max(0, now - this.#at) * BYTES_PER_S / 1_000);
    this.#at = now;
    let last: number | null = null, count = 0;
    for (const note of this.#waiting) {
      if (!this.#known.has(note.id)) {
        const bytes = note.payload.length + ENTRY_BYTES;
        if (bytes > this.#room || !enter(note)) break;
        this.#room -= bytes;
        this.remember([note.id]);
      }
      last = note.id;
      count += 1;
    }
    if (count > 0) this.#waiting = this.#waiting.slice(count);
    return last;
  }
}
