/**
 * Hashes by a text that names what has them: bounded in number and in bytes of names, the longest unused forgotten first.
 *
 * @module
 */
import type { KnownHash } from "./hash_memory.ts";

export class RecentHashes {
  readonly #known = new Map<string, KnownHash>();
  readonly #limit: number;
  readonly #maxNameLength: number;
  #nameLength = 0;

  /** `maxNameLength` is of all names together, in UTF-16 code units. */
  constructor(limit: number, maxNameLength: number) {
    this.#limit = limit;
    this.#maxNameLength = maxNameLength;
  }

  get size(): number {
    return this.#known.size;
  }

  get(name: string): KnownHash | undefined {
    return this.#known.get(name);
  }

  /** As the youngest. */
  set(name: string, known: KnownHash): void {
    if (!this.#known.delete(name)) this.#nameLength += name.length;
    this.#known.set(name, known);
    while (this.#known.size > this.#limit || this.#nameLength > this.#maxNameLength) {
      const oldest = this.#known.keys().next().value!;
      this.#known.delete(oldest);
      this.#nameLength -= oldest.length;
    }
  }

  /** The oldest first. */
  entries(): IterableIterator<[string, KnownHash]> {
    return this.#known.entries();
  }
}
