/**
 * A screen that is drawn anew again and again: the loop, the keys that all such screens share, and the line of a filter.
 *
 * It lives on the terminal's other screen, so that what stood there before comes back.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import type { Call } from "./command.ts";
import { fit } from "./display_width.ts";
import type { KeyName } from "./keys.ts";
import { LineEditor } from "./line_editor.ts";
import { paint, type Style } from "./screen.ts";
import { Terminal } from "./terminal.ts";

const ENTER = "\x1b[?1049h\x1b[?25l", LEAVE = "\x1b[?25h\x1b[?1049l";
/** Longest filter, in UTF-16 units. */
const MAX_FILTER = 250;

export interface Line {
  /** Harmless text, coloured already where `style` is missing. */
  readonly text: string;
  readonly style?: Style;
}

/** What a screen shows, and what its own keys do. */
export interface LiveView {
  /** One line of keys, for the last line of the screen. */
  readonly keys: string;
  /** Reads what is new. */
  refresh(): void;
  /** The lines of the screen, at most `rows`, made for `columns`. */
  draw(columns: number, rows: number): readonly Line[];
  /** A key that the loop does not take. */
  press(key: KeyName | string): void;
  filter: string;
}

/** Runs until the person leaves. `q` leaves, `/` edits the filter, Escape clears it, the space bar stops and goes on. */
export async function runLive(call: Call, view: LiveView, intervalMs: number): Promise<void> {
  const terminal = await Terminal.open(ENTER, LEAVE);
  try {
    await loop(call, view, terminal, intervalMs);
  } finally {
    terminal[Symbol.dispose]();
  }
}

async function loop(call: Call, view: LiveView, terminal: Terminal, intervalMs: number): Promise<void> {
  let editor: LineEditor | null = null, isPaused = false, due = 0;
  for (;;) {
    const now = performance.now();
    if (!isPaused && now >= due) {
      view.refresh();
      due = performance.now() + intervalMs;
    }
    const { columns, rows } = terminal.size;
    const lines = [...view.draw(columns, Math.max(1, rows - 1))].slice(0, Math.max(1, rows - 1));
    const mode = isPaused ? "paused  " : "", filter = view.filter === "" ? "" : `/${printable(view.filter)}  `;
    const last = editor === null ? `${mode}${filter}${view.keys}` : `/${printable(editor.text)}_`;
    lines.push({ text: fit(last, columns, call.screen.marks.cut), style: editor === null ? "faint" : "strong" });
    const shown = lines.map(({ text, style }) => `${paint(text, style, call.screen)}\x1b[K`);
    call.out.write(`\x1b[H${shown.join("\r\n")}\x1b[J`);
    call.out.flush();
    const wait = isPaused ? null : Math.max(0, due - performance.now());
    const event = await terminal.next(wait);
    if (event === null || event.kind === "resized") continue;
    if (event.kind === "end") return;
    const key = event.kind === "named" ? event.name : event.text;
    if (key === "ctrl-c") return;
    if (editor !== null) {
      if (key === "escape") [editor, view.filter] = [null, ""];
      else if (editor.press(event) === "entered") editor = null;
      else view.filter = editor.text.slice(0, MAX_FILTER);
      continue;
    }
    if (event.kind === "named") {
      if (key === "escape") view.filter = "";
      else view.press(key);
      continue;
    }
    for (const [at, letter] of [...event.text].entries()) {
      if (letter === "q") return;
      if (letter === " ") isPaused = !isPaused;
      else if (letter === "/") {
        // What came in one piece with it is the filter's
        editor = new LineEditor(() => []);
        const rest = [...event.text].slice(at + 1).join("");
        if (rest !== "") editor.press({ kind: "text", text: rest });
        view.filter = editor.text.slice(0, MAX_FILTER);
        break;
      } else view.press(letter);
    }
  }
}
