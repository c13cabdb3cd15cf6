/**
 * Files that hold a secret or a certificate of a sink: read when they are used, so that a new one needs no new start.
 *
 * @module
 */

/** More than any key or chain of certificates has. */
const MAX_BYTES = 262_144;

/** @throws with the mend, for a file that cannot be read or is too large. */
export function readCertificate(path: string): string {
  try {
    const { size } = Deno.statSync(path);
    if (size > MAX_BYTES) throw new RangeError(`it is larger than ${MAX_BYTES} bytes`);
    return Deno.readTextFileSync(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${path} cannot be read (${why}); the agent's user must be able to`, { cause: error });
  }
}

/**
 * One secret, without the line end behind it.
 *
 * @throws as {@linkcode readCertificate}, and for a file that everybody can read. The text never has the secret.
 */
export function readSecret(path: string): string {
  const text = readCertificate(path).trim();
  if (((Deno.statSync(path).mode ?? 0) & 0o007) !== 0) {
    throw new Error(`${path} holds a secret and is open to every user; chmod o= ${path}`);
  }
  if (text === "") throw new Error(`${path} is empty; it must hold a secret`);
  return text;
}
