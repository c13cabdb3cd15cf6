/**
 * Rows of a table as JSON lines, and back.
 *
 * A line is an object without the columns that are NULL, integers exact to the last digit. Lines come from a stranger's
 * file too: {@linkcode RowReader} takes only objects of the table's columns with values that a cell can hold.
 *
 * @module
 */
import { WireError } from "../../proto/wire_error.ts";
import type { Cell } from "../output.ts";
import { harmless } from "../safe_json.ts";
import type { BundledTable } from "./members.ts";

/** Rows of a part, and characters after which it ends earlier. */
const PART_ROWS = 20_000, PART_LENGTH = 16_777_216;

/** Arguments that SQLite's functions take here. */
const MAX_ARGUMENTS = 30;

/**
 * A column of SQL that is the line of a row: the columns of a table by name, those that are NULL left out. SQLite makes
 * the text twice as fast as it hands over the cells.
 */
export function lineColumn(table: BundledTable): string {
  const members = table.columns.map(({ name, type }) => {
    const head = `,"${name}":`;
    // What is joined with NULL is NULL, and concat() passes over it; json_quote() would say null
    if (type === "INTEGER") return `'${head}' || "${name}"`;
    return `CASE WHEN "${name}" IS NOT NULL THEN '${head}' || json_quote("${name}") END`;
  });
  const parts: string[] = [];
  for (let at = 0; at < members.length; at += MAX_ARGUMENTS) {
    parts.push(`concat(${members.slice(at, at + MAX_ARGUMENTS).join(", ")})`);
  }
  return `concat('{', substr(concat(${parts.join(", ")}), 2), '}')`;
}

/** The line of a row of texts. */
export function textLine(table: BundledTable, texts: readonly string[]): string {
  return JSON.stringify(Object.fromEntries(table.columns.map(({ name }, at) => [name, texts[at]])));
}

/** Puts lines together to parts of a table. */
export class PartWriter {
  readonly #end: (content: Uint8Array, rows: number) => void;
  readonly #encoder = new TextEncoder();
  #text = "";
  #rows = 0;
  /** Rows so far. */
  written = 0;

  /** `end` takes a part that is full, or the last. */
  constructor(end: (content: Uint8Array, rows: number) => void) {
    this.#end = end;
  }

  add(line: string): void {
    this.#text += `${line}\n`;
    this.#rows += 1;
    this.written += 1;
    if (this.#rows >= PART_ROWS || this.#text.length >= PART_LENGTH) this.end();
  }

  end(): void {
    if (this.#rows === 0) return;
    this.#end(this.#encoder.encode(harmless(this.#text)), this.#rows);
    this.#text = "";
    this.#rows = 0;
  }
}

/** Digits that a double may not hold. */
const LONG_NUMBER = /[0-9]{16}/;

/** Reads the lines of parts. */
export class RowReader {
  readonly #places: ReadonlyMap<string, number>;
  readonly #width: number;

  constructor(private readonly table: BundledTable) {
    this.#places = new Map(table.columns.map(({ name }, place) => [name, place]));
    this.#width = table.columns.length;
  }

  /** The rows of a part, one after the other. @throws WireError that names the line */
  *rows(content: Uint8Array, count: number): Generator<Cell[]> {
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
    } catch (cause) {
      throw new WireError("It is not UTF-8", { cause });
    }
    let lines = 0;
    for (let at = 0; at < text.length;) {
      const end = text.indexOf("\n", at);
      if (end < 0) throw new WireError("Its last line has no end");
      lines += 1;
      if (lines > count) throw new WireError(`It has more than ${count} lines`);
      yield this.#row(text.slice(at, end), lines);
      at = end + 1;
    }
    if (lines !== count) throw new WireError(`It has ${lines} lines, and not ${count}`);
  }

  #row(line: string, number: number): Cell[] {
    let value: unknown;
    try {
      value = LONG_NUMBER.test(line) ? JSON.parse(line, exact) : JSON.parse(line);
    } catch (cause) {
      throw new WireError(`Line ${number} is not JSON`, { cause });
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new WireError(`Line ${number} is no object`);
    }
    const row = new Array<Cell>(this.#width).fill(null);
    for (const name in value) {
      const place = this.#places.get(name), cell: unknown = (value as Record<string, unknown>)[name];
      if (place === undefined) {
        throw new WireError(`Line ${number} has a column that ${this.table.name} does not have`);
      }
      if (typeof cell !== "string" && typeof cell !== "number" && typeof cell !== "bigint") {
        throw new WireError(`Line ${number} has a value that is neither text nor number`);
      }
      row[place] = cell;
    }
    return row;
  }
}

/** A whole number beyond 2^53 becomes a bigint, of what SQLite can hold. */
function exact(this: unknown, _name: string, value: unknown, context?: { readonly source: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value) || context === undefined) return value;
  if (!/^-?[0-9]{1,19}$/.test(context.source)) return value;
  const number = BigInt(context.source);
  return BigInt.asIntN(64, number) === number ? number : value;
}
