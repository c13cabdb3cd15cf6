/**
 * Gives memory back that a burst of work has left: V8 keeps what it once got until it is told, and after types of the
 * kernel or thousands of rules were read that is more than a tier needs for the rest of its life.
 *
 * Tiers are started with `--expose-gc` for this alone. Where it is missing (`deno run` by hand), nothing happens but that
 * more memory stays in use.
 *
 * @module
 */

/** What a tier may grow by, over what it settled at, before memory is given back, in bytes. */
const GROWTH_BYTES = 8e6;
/** Between two looks. */
export const MEMORY_LOOK_MS = 5_000;
/** Looks between two times that memory is given back. A burst that goes on needs what it has. */
const LOOKS_APART = 12;

type Collect = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;

/** Takes tens of milliseconds: not for a moment in which events wait. */
export function giveBackMemory(): void {
  const { gc } = globalThis as { gc?: Collect };
  gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
}

export interface MemoryOptions {
  /** Resident bytes. */
  readonly resident: () => number;
  readonly giveBack: () => void;
  /** Nothing waits for this process now. */
  readonly isQuiet: () => boolean;
}

/** Gives memory back after the start, and when a burst has passed that left more in use than there was before. */
export class MemoryKeeper {
  readonly #options: MemoryOptions;
  #settledBytes = Infinity;
  #looks = 0;

  constructor(options: MemoryOptions) {
    this.#options = options;
  }

  /** Gives back what the start has left. */
  settle(): void {
    this.#options.giveBack();
    this.#settledBytes = this.#options.resident();
    this.#looks = 0;
  }

  /** To be called once in {@linkcode MEMORY_LOOK_MS}. What cannot be given back is in use, and is not tried again. */
  look(): void {
    const { resident, isQuiet } = this.#options;
    if (++this.#looks < LOOKS_APART || !isQuiet() || resident() < this.#settledBytes + GROWTH_BYTES) return;
    this.settle();
  }
}
