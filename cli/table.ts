/**
 * Rows laid out for eyes: an aligned table, or one record under the other where a row does not fit beside its names.
 *
 * Every text is made harmless here, whatever it came from. On a terminal nothing is wider than the screen; elsewhere
 * nothing is cut.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { displayWidth, fit, pad } from "./display_width.ts";
import { paint, type Screen, type Style } from "./screen.ts";

export interface TableColumn {
  readonly title: string;
  /** It is never cut; other columns give way when the table must shrink. */
  readonly keep?: boolean;
  /** Narrowest that it is cut to. */
  readonly least?: number;
  /** On a terminal too narrow for all, it is left out: the lowest number first. */
  readonly optional?: number;
  /** It is left out when no row has a value there. */
  readonly unlessEmpty?: boolean;
}

/** A cell as it is shown; `style` colours it. */
export interface TableCell {
  readonly text: string;
  readonly style?: Style | undefined;
  /** A column of numbers, and of cells that may stand among them, is aligned on the right; `false` prevents it. */
  readonly number?: boolean;
}

/** Between two columns. */
const GAP = "  ";
/** Narrowest that a column is cut to, unless it says otherwise. */
const NARROWEST = 8;
/** Text that is laid out at once; more goes out in blocks, whose columns only grow, so that memory stays bounded. */
const BLOCK_LENGTH = 16_777_216;

export class Table {
  readonly #columns: readonly TableColumn[];
  readonly #screen: Screen;
  readonly #write: (text: string) => void;
  #rows: TableCell[][] = [];
  #length = 0;
  /** Places of the columns that are shown; all of them in records. */
  #shown: readonly number[] = [];
  #widths: readonly number[] = [];
  #right: boolean[] = [];
  #layout: "undecided" | "table" | "records" = "undecided";
  #written = 0;

  constructor(columns: readonly TableColumn[], screen: Screen, write: (text: string) => void) {
    this.#columns = columns;
    this.#screen = screen;
    this.#write = write;
  }

  add(cells: readonly TableCell[]): void {
    const row = cells.map((cell) => ({ ...cell, text: harmless(cell.text, this.#screen.columns) }));
    this.#rows.push(row);
    for (const cell of row) this.#length += cell.text.length;
    if (this.#length > BLOCK_LENGTH) this.#layOut();
  }

  end(): void {
    this.#layOut();
  }

  #layOut(): void {
    const rows = this.#rows;
    this.#rows = [];
    this.#length = 0;
    const natural = this.#columns.map((column, i) =>
      rows.reduce((widest, row) => Math.max(widest, displayWidth(row[i]!.text)), displayWidth(printable(column.title)))
    );
    if (this.#layout === "undecided") {
      const layout = layOut(natural, this.#columns, this.#screen.columns, this.#filled(rows));
      this.#layout = layout === null ? "records" : "table";
      this.#shown = layout?.shown ?? [];
      this.#widths = layout?.widths ?? [];
      this.#right = this.#columns.map((_, i) =>
        rows.some((row) => row[i]!.number) && rows.every((row) => row[i]!.number !== false)
      );
    } else if (this.#layout === "table" && this.#screen.columns === null) {
      this.#widths = this.#widths.map((width, i) => Math.max(width, natural[i]!));
    }
    for (const row of rows) {
      if (this.#layout === "records") this.#writeRecord(row);
      else this.#writeRow(row);
    }
    if (this.#written === 0 && this.#layout === "table") this.#writeHead();
  }

  /** Places of the columns that have something to show. */
  #filled(rows: readonly TableCell[][]): number[] {
    return this.#columns.map((_, place) => place)
      .filter((place) =>
        this.#columns[place]!.unlessEmpty !== true || rows.some((row) => row[place]!.style !== "null")
      );
  }

  #writeRow(row: readonly TableCell[]): void {
    if (this.#written === 0) this.#writeHead();
    this.#written += 1;
    this.#write(this.#line(row));
  }

  #writeHead(): void {
    this.#write(this.#line(this.#columns.map((column) => ({ text: printable(column.title), style: "heading" }))));
    const rules = this.#widths.map((width) => this.#screen.marks.rule.repeat(width));
    this.#write(paint(rules.join(GAP), "faint", this.#screen) + "\n");
  }

  #line(row: readonly TableCell[]): string {
    const last = this.#shown.length - 1;
    const cells = this.#shown.map((place, i) => {
      const cell = row[place]!, width = this.#widths[i]!;
      const text = fit(cell.text, width, this.#screen.marks.cut);
      const missing = " ".repeat(width - displayWidth(text));
      const shown = paint(text, cell.style, this.#screen);
      if (this.#right[place]!) return missing + shown;
      return i === last ? shown : shown + missing;
    });
    return cells.join(GAP) + "\n";
  }

  #writeRecord(row: readonly TableCell[]): void {
    this.#written += 1;
    const { columns } = this.#screen;
    const names = Math.max(...this.#columns.map((column) => displayWidth(printable(column.title))));
    const head = ` ${this.#written} `;
    const { rule } = this.#screen.marks;
    this.#write(
      paint(rule.repeat(3) + head + rule.repeat(Math.max(3, names - head.length)), "faint", this.#screen) + "\n",
    );
    row.forEach((cell, i) => {
      if (cell.style === "null") return;
      const name = paint(pad(printable(this.#columns[i]!.title), names, "left"), "heading", this.#screen);
      const room = columns === null ? Infinity : Math.max(NARROWEST, columns - names - GAP.length);
      const text = room === Infinity ? cell.text : fit(cell.text, room, this.#screen.marks.cut);
      this.#write(`${name}${GAP}${paint(text, cell.style, this.#screen)}\n`);
    });
  }
}

/** Harmless text; on a terminal no more of it than could be shown, so that a wall of text costs nothing. */
function harmless(text: string, columns: number | null): string {
  const most = columns === null ? Infinity : columns * 16;
  return printable(text.length > most ? text.slice(0, most) : text);
}

/** Columns that are shown, and how wide each is. */
export interface Layout {
  readonly shown: readonly number[];
  readonly widths: readonly number[];
}

/**
 * A layout that fits the screen: the widest of the columns that may be cut give way, all to one level; where that is not
 * enough, optional columns are left out. `null` when it is still too wide. `filled` are the columns to begin with.
 */
export function layOut(
  natural: readonly number[],
  columns: readonly TableColumn[],
  screen: number | null,
  filled: readonly number[] = columns.map((_, place) => place),
): Layout | null {
  let shown = filled;
  for (;;) {
    const widths = shrink(shown.map((place) => natural[place]!), shown.map((place) => columns[place]!), screen);
    if (widths !== null) return { shown, widths };
    const optional = shown.filter((place) => columns[place]!.optional !== undefined);
    if (optional.length === 0) return null;
    const first = optional.reduce((a, b) => columns[a]!.optional! <= columns[b]!.optional! ? a : b);
    shown = shown.filter((place) => place !== first);
  }
}

function shrink(natural: readonly number[], columns: readonly TableColumn[], screen: number | null): number[] | null {
  if (screen === null) return [...natural];
  const room = screen - GAP.length * (natural.length - 1);
  const at = (level: number): number[] =>
    natural.map((width, i) => {
      const { keep, least } = columns[i]!;
      return keep === true ? width : Math.min(width, Math.max(level, least ?? NARROWEST));
    });
  const sum = (widths: readonly number[]): number => widths.reduce((a, b) => a + b, 0);
  if (sum(natural) <= room) return [...natural];
  let low = 0, high = Math.max(...natural);
  if (sum(at(low)) > room) return null;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (sum(at(middle)) <= room) low = middle;
    else high = middle - 1;
  }
  // What is left over goes to the last column, where the long text stands
  const widths = at(low), last = widths.length - 1;
  if (columns[last]?.keep !== true) widths[last] = Math.min(natural[last]!, widths[last]! + room - sum(widths));
  return widths;
}
