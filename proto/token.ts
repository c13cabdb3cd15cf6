/**
 * Secrets as they stand in their files: the one by which collector and agent know each other, and the key of masks.
 *
 * @module
 */

/**
 * The token of a token file's text.
 *
 * @throws SyntaxError when it is not 64 hexadecimal digits; `path` names the file.
 */
export function parseToken(text: string, path: string): string {
  const token = text.trim();
  if (!/^[0-9a-f]{64}$/.test(token)) {
    throw new SyntaxError(`The token ${path} is not 64 hexadecimal digits; delete it and start again`);
  }
  return token;
}

/**
 * The 32 bytes of a key file's text.
 *
 * @throws SyntaxError when it is not 64 hexadecimal digits; `path` names the file.
 */
export function parseKey(text: string, path: string): Uint8Array<ArrayBuffer> {
  const digits = text.trim();
  if (!/^[0-9a-f]{64}$/.test(digits)) {
    throw new SyntaxError(`The key ${path} is not 64 hexadecimal digits; delete it and start again`);
  }
  return Uint8Array.from({ length: 32 }, (_, at) => parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}
