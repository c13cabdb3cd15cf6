/**
 * JSON that is exact, and harmless on a terminal.
 *
 * `JSON.stringify` escapes C0 controls and lone surrogates only. DEL, C1 controls and the format characters that turn or
 * hide text are escaped here too: still the same value to every reader of JSON.
 *
 * @module
 */
import type { Cell } from "./output.ts";

/** Text that stands in JSON as it is: most of what there is. */
const PLAIN = /^[ !#-[\]-~]*$/;
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The value as JSON text. `indent` as in `JSON.stringify`. */
export function safeJson(value: unknown, indent?: number): string {
  return harmless(JSON.stringify(value, null, indent));
}

/** The same of JSON texts, each on a line, that were made elsewhere. */
export function harmless(text: string): string {
  return text.replace(UNSAFE, escapeUnits);
}

/** Makes rows of these columns to objects, in the order of the columns, whatever they are named. */
export function rowsToJson(names: readonly string[]): (cells: readonly Cell[]) => string {
  const heads = names.map((name, i) => `${i === 0 ? "{" : ","}${safeJson(name)}:`);
  return (cells) => {
    let row = "";
    for (let i = 0; i < heads.length; i++) row += heads[i]! + cellJson(cells[i] ?? null);
    return row === "" ? "{}" : row + "}";
  };
}

/** Integers beyond 2^53 stay exact digits; an infinite real is `1e999`, which reads back as infinite; bytes are hexadecimal. */
function cellJson(cell: Cell): string {
  switch (typeof cell) {
    case "string":
      return PLAIN.test(cell) ? `"${cell}"` : safeJson(cell);
    case "bigint":
      return String(cell);
    case "number":
      if (Number.isFinite(cell)) return String(cell);
      return Number.isNaN(cell) ? "null" : cell < 0 ? "-1e999" : "1e999";
  }
  return cell === null ? "null" : `"${cell.toHex()}"`;
}

/** A newline or tab can only be one of JSON.stringify's own indent: inside strings it has escaped them. */
function escapeUnits(characters: string): string {
  if (characters === "\n") return characters;
  let escaped = "";
  for (let i = 0; i < characters.length; i++) {
    escaped += `\\u${characters.charCodeAt(i).toString(16).padStart(4, "0")}`;
  }
  return escaped;
}
