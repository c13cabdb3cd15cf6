/**
 * Whole numbers on the command lines of long tests.
 *
 * @module
 */

/** What a flag was given. @throws RangeError */
export function whole(text: string, flag: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`--${flag} takes a whole number, not ${text}`);
  return number;
}
