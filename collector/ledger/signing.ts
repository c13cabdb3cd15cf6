/**
 * The keys that sign the ledger, and whether there is to be one: settled while root's files can still be read.
 *
 * The ledger is on. It is off only when a configuration file says so that root owns and nobody else can change.
 *
 * @module
 */
import type { Settings } from "../../proto/config.ts";
import { told } from "../kernel/inheritance.ts";
import { rootFileOf } from "../root_file.ts";
import { KeyFileError, NEXT_SIGNING_KEY, readSigningKeys, SIGNING_KEY, type SigningKeys } from "./keys.ts";

/** More than any key file has. */
const MAX_KEY_BYTES = 256;

/**
 * The keys, or why there are none.
 *
 * @throws {ConfigError} when the ledger is turned off by a file that is not root's alone
 */
export function openSigning(
  settings: Settings,
  path: string,
  nextPath: string,
): SigningKeys | { readonly fault: string } {
  if (!settings.collector.ledger) {
    rootFileOf("collector.ledger", settings);
    return { fault: "it is turned off by configuration" };
  }
  const paths: Readonly<Record<string, string>> = { [SIGNING_KEY]: path, [NEXT_SIGNING_KEY]: nextPath };
  try {
    // A copy: its bytes are erased, and what is told may be wanted again by the next execution.
    return readSigningKeys((name) => told(`the key file ${name}`, () => readKey(paths[name]!))?.slice() ?? null);
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}

function readKey(path: string): Uint8Array | null {
  try {
    if (Deno.statSync(path).size > MAX_KEY_BYTES) throw new KeyFileError(`${path} is too large to be a key`);
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
