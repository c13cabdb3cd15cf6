/**
 * The few files that the agent reads at its start, each bounded, each failure in words with its mend; and whether a file is
 * there.
 *
 * @module
 */
import { MAX_CONFIG_BYTES } from "../proto/config.ts";
import { parseToken } from "../proto/token.ts";

/** Text of a configuration file, `null` when it is not there or may not be looked for. */
export function readFileIfThere(path: string): string | null {
  try {
    const { size } = Deno.statSync(path);
    if (size > MAX_CONFIG_BYTES) throw new RangeError(`${path} is larger than ${MAX_CONFIG_BYTES} bytes`);
    return Deno.readTextFileSync(path);
  } catch (error) {
    // Not granted: the supervisor saw no such file when it computed the grants.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) return null;
    throw error;
  }
}

/** The secret that collector and agent share. @throws when it is missing or not 64 hexadecimal digits. */
export function readToken(path: string): string {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The token ${path} cannot be read (${why}); start the tiers with 'deno task start', which makes it`,
      { cause: error },
    );
  }
  return parseToken(text, path);
}

/** What stands at a path itself, no link followed; `null` where nothing does. */
export function lstat(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
