/**
 * Standard input, read whole: the way to hand this program a file that it was not granted to open.
 *
 * @module
 */
import { CommandError } from "./command.ts";

/** @throws CommandError when there is more than `limit` bytes. */
export function readStdin(limit: number): Uint8Array {
  const kept = new Uint8Array(limit + 1);
  let length = 0;
  while (length <= limit) {
    const read = Deno.stdin.readSync(kept.subarray(length));
    if (read === null) return kept.slice(0, length);
    length += read;
  }
  throw new CommandError(`Standard input holds more than ${limit} bytes`);
}
