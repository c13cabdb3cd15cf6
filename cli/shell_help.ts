/**
 * `.help` of the shell.
 *
 * @module
 */
import type { Call } from "./command.ts";
import { DOT_COMMANDS } from "./completion.ts";
import { displayWidth, pad } from "./display_width.ts";
import { wrap } from "./record.ts";

export function writeShellHelp({ out, screen: { columns } }: Call): void {
  const heads = DOT_COMMANDS.map(([name, takes]) => `${name} ${takes}`),
    width = Math.max(...heads.map(displayWidth)) + 2;
  // Below each other where there is no room beside each other
  const isNarrow = columns !== null && columns < 2 * width, room = columns === null ? Infinity : columns;
  DOT_COMMANDS.forEach(([, , does], i) => {
    const pieces = wrap(does, isNarrow ? room - 2 : room - width);
    if (isNarrow) out.write(`${heads[i]}\n`);
    pieces.forEach((piece, at) =>
      out.write(`${isNarrow ? "  " : pad(at === 0 ? heads[i]! : "", width, "left")}${piece}\n`)
    );
  });
  const keys =
    "A statement ends with a semicolon and may go over lines. Tab completes, the arrow keys bring back what was " +
    "typed, Ctrl-R searches it, Ctrl-C stops.";
  for (const piece of wrap(keys, room)) out.write(`${piece}\n`);
}
