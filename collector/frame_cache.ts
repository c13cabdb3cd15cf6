/**
 * The newest frames of the stream in memory, so that sending them does not read the disk.
 *
 * Bounded in bytes: the oldest go first, and are then read from the log. Holes are allowed; who looks for a number that
 * is not here looks into the log.
 *
 * @module
 */

/** A frame that can be sent; `first` and `last` are the sequence numbers it carries. */
export interface Frame {
  readonly first: number;
  readonly last: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export class FrameCache {
  /** From `#head` on those that are kept; before it places that are empty until there are enough to be cut off. */
  #frames: (Frame | undefined)[] = [];
  #head = 0;
  #bytes = 0;

  constructor(private readonly maxBytes: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  push(frame: Frame): void {
    this.#frames.push(frame);
    this.#bytes += frame.bytes.length;
    while (this.#bytes > this.maxBytes) this.#drop();
  }

  /** Forgets the frames that carry nothing above `sequence`. */
  forgetUpTo(sequence: number): void {
    while (this.#head < this.#frames.length && this.#frames[this.#head]!.last <= sequence) this.#drop();
  }

  /** The frame that carries `sequence`, `null` when it is not here. */
  frameWith(sequence: number): Frame | null {
    // Binary search: frames are in order.
    let low = this.#head, high = this.#frames.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#frames[middle]!.last >= sequence) high = middle;
      else low = middle + 1;
    }
    const frame = this.#frames[low];
    return frame === undefined || frame.first > sequence ? null : frame;
  }

  clear(): void {
    this.#frames = [];
    this.#head = this.#bytes = 0;
  }

  #drop(): void {
    this.#bytes -= this.#frames[this.#head]!.bytes.length;
    this.#frames[this.#head++] = undefined;
    if (this.#head <= 1_024 && this.#head < this.#frames.length) return;
    this.#frames.splice(0, this.#head);
    this.#head = 0;
  }
}
