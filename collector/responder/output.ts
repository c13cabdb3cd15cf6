/**
 * The directory of traces and bundles: names that say what and when, and a bound for all of it together.
 *
 * Nothing in it is ever removed here: it is evidence, and who reads it removes it. What is not whole has a name that
 * begins with a dot.
 *
 * @module
 */
import { join } from "node:path";

/** More entries than this are not counted: then there is too much. */
const MAX_ENTRIES = 20_000;

/** What is there has taken the room that the policy gives. */
export class OutputFullError extends Error {
  override name = "OutputFullError";
}

export class OutputDirectory {
  constructor(readonly path: string, private readonly now: () => number = Date.now) {}

  /** A name for something new, like `evidence-20261122T003000Z-1a2b3c4d-812-99`. */
  nameFor(what: "trace" | "evidence", process: string): string {
    const time = new Date(this.now()).toISOString().replace(/[-:]|\.\d+/g, "");
    return `${what}-${time}-${process}-${crypto.getRandomValues(new Uint8Array(2)).toHex()}`;
  }

  /** @throws {OutputFullError} when another `bytes` would be too many. */
  reserve(bytes: number, most: number): void {
    const { size, entries } = usage(this.path);
    if (entries >= MAX_ENTRIES || size + bytes > most) {
      throw new OutputFullError(
        `${this.path} holds ${entries} files with ${size} bytes, and up to ${bytes} more would be beyond ` +
          `max_output_bytes (${most}); move away what is not needed any more`,
      );
    }
  }
}

function usage(directory: string): { size: number; entries: number } {
  let size = 0, entries = 0;
  const open = [directory];
  for (let at = open.pop(); at !== undefined && entries < MAX_ENTRIES; at = open.pop()) {
    for (const entry of Deno.readDirSync(at)) {
      entries++;
      const path = join(at, entry.name);
      if (entry.isDirectory) open.push(path);
      else size += sizeOf(path);
    }
  }
  return { size, entries };
}

function sizeOf(path: string): number {
  try {
    return Deno.lstatSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0; // somebody moved it away
    throw error;
  }
}
