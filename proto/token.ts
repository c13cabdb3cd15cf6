/**
 * The secret by which collector and agent know each other, as it stands in its file.
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
