/**
 * Buffered text, and bytes between it, to a file descriptor, written synchronously.
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

/** Text that is encoded and written at once, in UTF-16 units. */
const PIECE = 65_536;
/** Bytes kept while {@linkcode TextWriter.hold} is on. */
export const MAX_HELD = 33_554_432;
/** Pause before a descriptor that cannot take more just now is tried again. */
const RETRY_MS = 5;

export class TextWriter {
  readonly #sink: Sink;
  readonly #encoder = new TextEncoder();
  #text = "";
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;
  #limit = 0;

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
    this.#text += text;
    if (this.#text.length < PIECE) return;
    this.#encode();
    if (this.#heldBytes >= this.#limit) this.#drain();
  }

  /** Bytes that are no text, behind the text so far. They are the writer's from now on. */
  writeBytes(bytes: Uint8Array): void {
    this.#encode();
    this.#pieces.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes >= this.#limit) this.#drain();
  }

  /** Writes everything that is kept. @throws OutputClosedError when nobody reads any more. */
  flush(): void {
    this.#encode();
    this.#drain();
    this.#limit = 0;
  }

  /** Forgets what is kept and not yet written. */
  discard(): void {
    this.#text = "";
    this.#pieces = [];
    this.#heldBytes = 0;
  }

  #encode(): void {
    if (this.#text === "") return;
    const piece = this.#encoder.encode(this.#text);
    this.#text = "";
    this.#pieces.push(piece);
    this.#heldBytes += piece.length;
  }

  #drain(): void {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#heldBytes = 0;
    for (const piece of pieces) this.#writeAll(piece);
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
