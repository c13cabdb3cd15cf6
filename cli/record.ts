/**
 * One thing in full for eyes: names on the left, values on the right, long ones wrapped rather than cut.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import type { Call } from "./command.ts";
import { displayWidth, pad } from "./display_width.ts";
import { paint, type Style } from "./screen.ts";

/** A line of a record; `null` is a blank one. Lines without a value are left out. */
export type RecordLine = readonly [name: string, value: string | null, style?: Style | undefined] | null;

export function record(call: Call, title: string, style: Style | undefined, lines: readonly RecordLine[]): void {
  const { out, screen } = call;
  const shown = lines.filter((line) => line === null || (line[1] !== null && line[1] !== ""));
  const width = Math.max(...shown.map((line) => line === null ? 0 : displayWidth(printable(line[0])))) + 2;
  out.write(`${paint(printable(title), style ?? "heading", screen)}\n`);
  for (const line of shown) {
    if (line === null) {
      out.write("\n");
      continue;
    }
    const [name, value, valueStyle] = line;
    const room = screen.columns === null ? Infinity : Math.max(20, screen.columns - width - 2);
    wrap(printable(value!), room).forEach((piece, i) => {
      const lead = i === 0 ? paint(pad(printable(name), width, "left"), "faint", screen) : " ".repeat(width);
      out.write(`  ${lead}${paint(piece, valueStyle, screen)}\n`);
    });
  }
}

/** Pieces of at most `columns`, broken at spaces where there are any near the end. */
export function wrap(text: string, columns: number): string[] {
  const pieces: string[] = [];
  let piece = "", width = 0;
  for (const character of text) {
    const wide = displayWidth(character);
    if (width + wide > columns) {
      const space = piece.lastIndexOf(" ");
      const at = space > piece.length * 0.6 ? space + 1 : piece.length;
      pieces.push(piece.slice(0, at).trimEnd());
      piece = piece.slice(at);
      width = displayWidth(piece);
    }
    piece += character;
    width += wide;
  }
  return [...pieces, piece];
}
