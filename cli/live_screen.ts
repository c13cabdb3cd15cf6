/**
 * A screen that is drawn anew again and again: the loop, the keys that all such screens share, the line of a filter, and
 * the views that are opened above each other.
 *
 * It lives on the terminal's other screen, so that what stood there before comes back.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import type { Call } from "./command.ts";
import { fit, pad } from "./display_width.ts";
import type { KeyName } from "./keys.ts";
import { LineEditor } from "./line_editor.ts";
import { wrap } from "./record.ts";
import { paint, type Screen, type Style } from "./screen.ts";
import { Terminal } from "./terminal.ts";

const ENTER = "\x1b[?1049h\x1b[?25l", LEAVE = "\x1b[?25h\x1b[?1049l";
/** Longest filter, in UTF-16 units. */
const MAX_FILTER = 250;
/** Views above each other; a person who opens more goes in circles. */
const MAX_VIEWS = 8;
/** Columns that the arrow keys to the side move. */
export const PAN_STEP = 10;

export interface Line {
  /** Harmless text, coloured already where `style` is missing. */
  readonly text: string;
  readonly style?: Style;
  /** The line that Enter means: shown inverse, also where there is no colour. */
  readonly isSelected?: boolean;
}

/** A key, or several, and what it does. */
export type KeyHelp = readonly [keys: string, does: string];

/** What a screen shows, and what its own keys do. */
export interface LiveView {
  /** One line of keys, for the last line of the screen. */
  readonly keys: string;
  /** Its own keys, for `?`. */
  readonly help: readonly KeyHelp[];
  /** Reads what is new. */
  refresh(): void;
  /** The lines of the screen, at most `rows`, made for `columns`. */
  draw(columns: number, rows: number): readonly Line[];
  /** A key that the loop does not take. A view that comes back is shown until the person leaves it. */
  press(key: KeyName | string): LiveView | void;
  filter: string;
}

export const SCROLL_KEYS: readonly KeyHelp[] = [
  ["up down, k j", "a line up or down"],
  ["page up, page down", "a screen up or down"],
  ["home end, g G", "the begin, the end"],
];

const LOOP_KEYS: readonly KeyHelp[] = [
  ["/", "filter: lines with these letters; Enter keeps it, Escape clears it"],
  ["space", "pause, and go on"],
  ["?", "these keys"],
  ["q, Escape", "back to where you came from; q there leaves"],
  ["Ctrl-C", "leave"],
];

/** Lines that a key scrolls on a screen of `room` lines. */
export function scrollStep(key: string, room: number): number {
  switch (key) {
    case "up":
    case "k":
      return -1;
    case "down":
    case "j":
      return 1;
    case "pageup":
      return -Math.max(1, room - 1);
    case "pagedown":
      return Math.max(1, room - 1);
  }
  return 0;
}

/** Runs until the person leaves. */
export async function runLive(call: Call, view: LiveView, intervalMs: number): Promise<void> {
  const terminal = await Terminal.open(ENTER, LEAVE);
  try {
    await loop(call, view, terminal, intervalMs);
  } finally {
    terminal[Symbol.dispose]();
  }
}

async function loop(call: Call, first: LiveView, terminal: Terminal, intervalMs: number): Promise<void> {
  const views = [first];
  let editor: LineEditor | null = null, isPaused = false, due = 0;
  const leave = (): boolean => {
    if (views.length === 1) return false;
    views.pop();
    due = 0;
    return true;
  };
  const open = (view: LiveView | void): void => {
    if (view === undefined || views.length >= MAX_VIEWS) return;
    views.push(view);
    due = 0;
  };
  for (;;) {
    const view = views.at(-1)!, now = performance.now();
    if (!isPaused && now >= due) {
      view.refresh();
      due = performance.now() + intervalMs;
    }
    const { columns, rows } = terminal.size;
    const lines = [...view.draw(columns, Math.max(1, rows - 1))].slice(0, Math.max(1, rows - 1));
    const mode = isPaused ? "paused  " : "", filter = view.filter === "" ? "" : `/${printable(view.filter)}  `;
    const last = editor === null ? `${mode}${filter}${view.keys}` : `/${printable(editor.text)}_`;
    lines.push({ text: fit(last, columns, call.screen.marks.cut), style: editor === null ? "faint" : "strong" });
    call.out.write(`\x1b[H${lines.map((line) => `${shown(line, columns, call.screen)}\x1b[K`).join("\r\n")}\x1b[J`);
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
      if (key !== "escape") open(view.press(key));
      else if (view.filter !== "") view.filter = "";
      else if (!leave()) view.press(key);
      continue;
    }
    for (const [at, letter] of [...event.text].entries()) {
      const above = views.at(-1)!;
      if (letter === "q") {
        if (!leave()) return;
      } else if (letter === " ") isPaused = !isPaused;
      else if (letter === "?") {
        if (!(above instanceof HelpView)) open(new HelpView(above, call.screen));
      } else if (letter === "/") {
        // What came in one piece with it is the filter's
        editor = new LineEditor(() => []);
        const rest = [...event.text].slice(at + 1).join("");
        if (rest !== "") editor.press({ kind: "text", text: rest });
        above.filter = editor.text.slice(0, MAX_FILTER);
        break;
      } else open(above.press(letter));
    }
  }
}

function shown({ text, style, isSelected }: Line, columns: number, screen: Screen): string {
  // To the edge, so that an eye finds it
  return isSelected === true ? `\x1b[7m${pad(text, columns, "left")}\x1b[0m` : paint(text, style, screen);
}

/** The keys of the view below it, and those of all. */
class HelpView implements LiveView {
  readonly keys = "q back";
  readonly help = [];
  filter = "";
  readonly #keys: readonly KeyHelp[];
  readonly #screen: Screen;
  #scrolled = 0;
  #room = 1;

  constructor(of: LiveView, screen: Screen) {
    this.#keys = [...of.help, ...LOOP_KEYS];
    this.#screen = screen;
  }

  refresh(): void {}

  press(key: string): void {
    this.#scrolled += scrollStep(key, this.#room);
  }

  draw(columns: number, rows: number): Line[] {
    const width = Math.max(...this.#keys.map(([keys]) => keys.length)) + 2;
    // Beside each other, or below each other where the screen is narrow
    const isWide = columns >= 2 * width, room = this.#room = Math.max(1, rows - 1);
    const lines = this.#keys.flatMap(([keys, does]) => {
      const pieces = wrap(does, isWide ? columns - width : Math.max(1, columns - 2));
      return isWide
        ? pieces.map((piece, at) => `${pad(at === 0 ? keys : "", width, "left")}${piece}`)
        : [fit(keys, columns, this.#screen.marks.cut), ...pieces.map((piece) => `  ${piece}`)];
    });
    const found = lines.filter((line) => line.toLowerCase().includes(this.filter.toLowerCase()));
    this.#scrolled = Math.max(0, Math.min(this.#scrolled, found.length - room));
    return [
      { text: "Keys", style: "heading" },
      ...found.slice(this.#scrolled, this.#scrolled + room).map((text) => ({ text })),
    ];
  }
}
