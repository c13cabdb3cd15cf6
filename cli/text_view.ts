/**
 * What a command prints, on a screen that scrolls: `health --watch`, and whatever is opened from `top` and `watch`.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { COMMON_OPTIONS } from "./arguments.ts";
import { type Call, CommandError } from "./command.ts";
import { fit } from "./display_width.ts";
import { type KeyHelp, type Line, type LiveView, SCROLL_KEYS, scrollStep } from "./live_screen.ts";
import { wrap } from "./record.ts";
import type { Style } from "./screen.ts";
import { localTime } from "./units.ts";
import { TextWriter } from "./writer.ts";

/** Writes one screen of text to the call that it is given. */
export type WriteText = (call: Call) => void;

export interface TextViewOptions {
  /** Whether it is written anew at every look; otherwise what is shown is of the moment of its time. */
  readonly isLive: boolean;
  /** What leaving it does. */
  readonly leave: string;
}

export class TextView implements LiveView {
  readonly keys: string;
  readonly help: readonly KeyHelp[] = SCROLL_KEYS;
  filter = "";
  readonly #call: Call;
  readonly #write: WriteText;
  readonly #isLive: boolean;
  #time = 0;
  #columns = 0;
  #lines: string[] = [];
  #scrolled = 0;
  #room = 1;

  constructor(call: Call, write: WriteText, { isLive, leave }: TextViewOptions) {
    this.#call = call;
    this.#write = write;
    this.#isLive = isLive;
    this.keys = `q ${leave}  ? help  / filter  arrows scroll${isLive ? "  space pause" : ""}`;
  }

  press(key: string): void {
    if (key === "end" || key === "G") this.#scrolled = Infinity;
    else if (key === "home" || key === "g") this.#scrolled = 0;
    else this.#scrolled += scrollStep(key, this.#room);
  }

  /** The width is known when it is drawn; until then what was read last stays. */
  refresh(): void {
    if (this.#isLive) this.#time = 0;
  }

  draw(columns: number, rows: number): Line[] {
    if (this.#time === 0 || columns !== this.#columns) this.#read(columns);
    const { screen } = this.#call, sought = this.filter.toLowerCase(), room = this.#room = Math.max(1, rows - 1);
    const lines = this.#lines.filter((line) => sought === "" || line.toLowerCase().includes(sought));
    const last = Math.max(0, lines.length - room);
    this.#scrolled = Math.max(0, Math.min(this.#scrolled, last));
    const below = lines.length - room - this.#scrolled;
    const facts = `${localTime(this.#time, "s")}${below > 0 ? `  ${below} more below` : ""}`;
    const head: Line = { text: fit(facts, columns, screen.marks.cut), style: "faint" };
    return [
      head,
      ...lines.slice(this.#scrolled, this.#scrolled + room).map((text): Line => {
        const style = this.#styleOf(text);
        return style === undefined ? { text } : { text, style };
      }),
    ];
  }

  #read(columns: number): void {
    const decoder = new TextDecoder(), notes: string[] = [];
    let text = "";
    const out = new TextWriter({
      writeSync: (bytes) => {
        text += decoder.decode(bytes, { stream: true });
        return bytes.length;
      },
    });
    this.#time = this.#call.now();
    this.#columns = columns;
    const screen = { ...this.#call.screen, color: false, columns };
    try {
      this.#write({ ...this.#call, out, screen, note: (note) => void notes.push(printable(note)) });
    } catch (error) {
      // It may be gone, or the store away for now: the screen says so, and stays
      if (!(error instanceof CommandError)) throw error;
      out.discard();
      notes.push(printable(error.message));
    }
    out.flush();
    const written = text.trimEnd() === "" ? [] : text.trimEnd().split("\n");
    this.#lines = [...written, ...notes].flatMap((line) => line === "" ? [""] : wrap(line, columns));
  }

  #styleOf(line: string): Style | undefined {
    const { good, bad, worst } = this.#call.screen.marks, begins = line.trimStart();
    if (begins.startsWith(`${worst} `)) return "worst";
    if (begins.startsWith(`${bad} `)) return "warning";
    if (line.startsWith(`${good} `)) return "good";
    return this.#isLive && line !== "" && !line.startsWith(" ") ? "heading" : undefined;
  }
}

/** The call of another command, of the same places, with one argument or none. */
export function callOf(call: Call, args: readonly string[], values: Call["values"] = {}): Call {
  const common = Object.fromEntries(Object.keys(COMMON_OPTIONS).map((name) => [name, call.values[name]]));
  return { ...call, arguments: args, values: { ...common, ...values }, format: "table", progress: () => {} };
}
