/**
 * Buffered text to a file descriptor, written synchronously.
 *
 * A reader that went away (`| head`) is no failure: {@linkcode OutputClosedError} unwinds the command, cursors and all,
 * and the program ends quietly. Anything else that hinders writing (a full disk) is an error with words.
 *
 * @module
 */

import { CommandError } from "./command.ts";

/** The reader of the output has gone. */
export class OutputClosedError extends Error {
  override name = "OutputClosedError";
}

/** What `Deno.stdout` offers of itself. */
export interface Sink {
  writeSync(bytes: Uint8Array): number;
}

/** Text kept before it is written, in UTF-16 units. */
const BUFFERED = 65_536;
/** Text kept while {@linkcode TextWriter.hold} is on, in UTF-16 units. */
export const MAX_HELD = 33_554_432;
/** Pause before a descriptor that cannot take more just now is tried again. */
const RETRY_MS = 5;

export class TextWriter {
  readonly #sink: Sink;
  readonly #encoder = new TextEncoder();
  #parts: string[] = [];
  #length = 0;
  #limit = BUFFERED;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /**
   * Keeps up to {@linkcode MAX_HELD} in memory until {@linkcode flush}. While a cursor is open nothing should wait for
   * a slow reader: the cursor pins the agent's log.
   */
  hold(): void {
    this.#limit = MAX_HELD;
  }

  write(text: string): void {
    this.#parts.push(text);
    this.#length += text.length;
    if (this.#length >= this.#limit) this.#drain();
  }

  /** Writes everything that is kept. @throws OutputClosedError when nobody reads any more. */
  flush(): void {
    this.#drain();
    this.#limit = BUFFERED;
  }

  /** Forgets what is kept and not yet written. */
  discard(): void {
    this.#parts = [];
    this.#length = 0;
  }

  #drain(): void {
    const parts = this.#parts;
    this.discard();
    // In pieces: one string of everything held would double the memory
    for (let at = 0; at < parts.length;) {
      let piece = "";
      while (at < parts.length && piece.length < BUFFERED) piece += parts[at++]!;
      this.#writeAll(this.#encoder.encode(piece));
    }
  }

  #writeAll(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      try {
        at += this.#sink.writeSync(bytes.subarray(at));
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) {
          throw new OutputClosedError("The reader has gone", { cause: error });
        }
        // Another program that shares the terminal or pipe may have made it non-blocking
        if (!(error instanceof Deno.errors.WouldBlock)) {
          const why = error instanceof Error ? error.message : error;
          throw new CommandError(`The output cannot be written: ${why}`, { cause: error });
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
  }
}
