/**
 * A QR code drawn with characters, to be photographed from a terminal.
 *
 * Two rows of modules make one line. With colour the code is dark on light, as standards want it; without, light is what
 * is drawn, for the dark terminals that most are: most readers take both.
 *
 * @module
 */
import { encode } from "uqr";
import { CommandError } from "../command.ts";
import type { Screen } from "../screen.ts";

/** Light modules around the code (ISO/IEC 18004, section 9.1). */
const QUIET_ZONE = 4;
/** Characters by upper and lower module: what is drawn is light without colour, dark with it. */
const HALVES = [" ", "▄", "▀", "█"] as const;
const BLACK_ON_WHITE = "\x1b[30;107m", RESET = "\x1b[0m";

/** @throws CommandError when the terminal is too narrow, which would break every line of it. */
export function drawQr(text: string, { columns, color, marks }: Screen): string {
  const { data, size } = encode(text, { ecc: "L", border: QUIET_ZONE });
  const plain = marks.rule === "-", width = plain ? 2 * size : size;
  if (columns !== null && columns < width) {
    throw new CommandError(`The code is ${width} columns wide and the terminal ${columns}; make it wider`);
  }
  const dark = (x: number, y: number): boolean => data[y]?.[x] ?? false;
  if (plain) {
    return data.map((row) => row.map((module) => module ? "  " : "##").join("") + "\n").join("");
  }
  const lines: string[] = [];
  for (let y = 0; y < size; y += 2) {
    let line = "";
    for (let x = 0; x < size; x++) {
      const upper = dark(x, y) === color, lower = (y + 1 < size ? dark(x, y + 1) : !color) === color;
      line += HALVES[(upper ? 2 : 0) + (lower ? 1 : 0)];
    }
    lines.push(color ? `${BLACK_ON_WHITE}${line}${RESET}\n` : `${line}\n`);
  }
  return lines.join("");
}
