/**
 * An answer of rows in the format that was asked for.
 *
 * `table` is for eyes: aligned, harmless, cut to the terminal. `line` is too, with every column on a line of its own, of
 * which nothing is cut. `json`, `jsonl` and `csv` are for programs: the values as
 * they are stored, times as Unix milliseconds, names of columns as in the catalog. A CSV cell that begins with `=`, `+`,
 * `-` or `@` is left exact: it is data, and a spreadsheet that runs it is the wrong reader. CSV has no escapes, so on a
 * terminal, and only there, what could harm it is written as in a table.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { displayWidth, pad } from "./display_width.ts";
import type { Screen, Style } from "./screen.ts";
import { rowsToJson } from "./safe_json.ts";
import { Table, type TableCell } from "./table.ts";

export const FORMATS = ["table", "line", "json", "jsonl", "csv"] as const;
export type Format = (typeof FORMATS)[number];

/** What a cell of an answer holds. */
export type Cell = string | number | bigint | null | Uint8Array;

/** A column of the table for eyes. */
export interface ShownColumn {
  /** Of the answer's columns, the one that it shows. */
  readonly name: string;
  readonly title: string;
  readonly keep?: boolean;
  readonly least?: number;
  readonly optional?: number;
  readonly unlessEmpty?: boolean;
  /** The cell for eyes; the text of the value by default. `of` gives every cell of the row by name. */
  readonly show?: (cell: Cell, of: CellByName) => TableCell | string;
}

export type CellByName = (name: string) => Cell;

export interface RowOutput {
  add(row: readonly Cell[]): void;
  end(): void;
}

/**
 * Where rows go in `format`. `names` are the columns of each row, which programs get, all and in this order; `shown` is
 * the table.
 */
export function openOutput(
  format: Format,
  names: readonly string[],
  shown: readonly ShownColumn[],
  screen: Screen,
  write: (text: string) => void,
): RowOutput {
  switch (format) {
    case "table":
      return tableOutput(names, shown, screen, write);
    case "line":
      return lineOutput(names, write);
    case "json": {
      const rowJson = rowsToJson(names);
      let rows = 0;
      return {
        add: (row) => write((rows++ === 0 ? "[\n" : ",\n") + rowJson(row)),
        end: () => write(rows === 0 ? "[]\n" : "\n]\n"),
      };
    }
    case "jsonl": {
      const rowJson = rowsToJson(names);
      return { add: (row) => write(rowJson(row) + "\n"), end: () => {} };
    }
    case "csv": {
      const shown = screen.columns === null ? csvCell : (cell: Cell): string => printable(csvCell(cell));
      const line = (cells: readonly Cell[]): string => {
        let made = "";
        for (let i = 0; i < cells.length; i++) made += i === 0 ? shown(cells[i]!) : `,${shown(cells[i]!)}`;
        return made + "\r\n";
      };
      write(line(names));
      return { add: (row) => write(line(row)), end: () => {} };
    }
  }
}

/** A cell of RFC 4180: quoted where it must be. NULL is nothing, and an empty text is `""`, so that the two differ. */
export function csvCell(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "number") return String(cell);
  const text = cell instanceof Uint8Array ? cell.toHex() : String(cell);
  return text === "" || /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A value as a table shows it. */
export function plainCell(cell: Cell): TableCell {
  if (cell === null) return { text: "-", style: NULL };
  const number = typeof cell === "number" || typeof cell === "bigint";
  return { text: cell instanceof Uint8Array ? `x'${cell.toHex()}'` : String(cell), number };
}
const NULL: Style = "null";

/** As `sqlite3 -line` and `osqueryi --line` write rows. */
function lineOutput(names: readonly string[], write: (text: string) => void): RowOutput {
  const heads = names.map(printable), width = Math.max(0, ...heads.map(displayWidth));
  let rows = 0;
  return {
    add: (row) => {
      const lines = row.map((cell, i) =>
        `${pad(heads[i]!, width, "right")} = ${cell === null ? "NULL" : printable(plainCell(cell).text)}\n`
      );
      write((rows++ === 0 ? "" : "\n") + lines.join(""));
    },
    end: () => {},
  };
}

function tableOutput(
  names: readonly string[],
  shown: readonly ShownColumn[],
  screen: Screen,
  write: (text: string) => void,
): RowOutput {
  const places = new Map(names.map((name, place) => [name, place]));
  const table = new Table(shown, screen, write);
  return {
    add: (row) => {
      const of: CellByName = (name) => row[places.get(name) ?? -1] ?? null;
      table.add(shown.map(({ name, show }) => {
        const cell = of(name), made = show === undefined ? plainCell(cell) : show(cell, of);
        return typeof made === "string" ? { text: made } : made;
      }));
    },
    end: () => table.end(),
  };
}
