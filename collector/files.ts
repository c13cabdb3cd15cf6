/**
 * The few files that the collector reads at its start, each bounded, each failure in words with its mend.
 *
 * @module
 */
import { MAX_CONFIG_BYTES } from "../proto/config.ts";
import { parseKey, parseToken } from "../proto/token.ts";

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

/** The key of the marks that stand for masked secrets. @throws when it is missing or not 64 hexadecimal digits. */
export function readRedactionKey(path: string): Uint8Array {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`the key ${path} cannot be read (${why}); 'deno task start' makes it`, { cause: error });
  }
  return parseKey(text, path);
}
