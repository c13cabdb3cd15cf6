/**
 * Statements of SQL cut out of a text, as `sqlite3` reads them from a terminal or a file: each ends with a semicolon
 * outside of quotes and comments. Only where they end is found out here; what they may say, the guard decides.
 *
 * @module
 */

export interface SplitText {
  /** Without their semicolons; none is blank. */
  readonly statements: readonly string[];
  /** What comes after the last semicolon, blank or the begin of a statement. */
  readonly rest: string;
}

const CLOSING: Readonly<Record<string, string>> = { "'": "'", '"': '"', "`": "`", "[": "]" };

export function splitStatements(text: string): SplitText {
  const statements: string[] = [];
  let from = 0, hasContent = false;
  for (let at = 0; at < text.length; at++) {
    const c = text[at]!;
    const closing = CLOSING[c];
    if (closing !== undefined) {
      hasContent = true;
      // A doubled quote closes and opens again, which comes to the same
      const end = text.indexOf(closing, at + 1);
      if (end === -1) return { statements, rest: text.slice(from) };
      at = end;
    } else if (text.startsWith("--", at)) {
      const end = text.indexOf("\n", at);
      if (end === -1) break;
      at = end;
    } else if (text.startsWith("/*", at)) {
      const end = text.indexOf("*/", at + 2);
      if (end === -1) return { statements, rest: text.slice(from) };
      at = end + 1;
    } else if (c === ";") {
      if (hasContent) statements.push(text.slice(from, at).trim());
      from = at + 1;
      hasContent = false;
    } else if (/\S/.test(c)) hasContent = true;
  }
  return { statements, rest: hasContent ? text.slice(from) : "" };
}
