/**
 * `health --watch`: what `health` prints, drawn anew, with scrolling and a filter.
 *
 * @module
 */
import type { Call } from "./command.ts";
import { fit } from "./display_width.ts";
import { type Line, type LiveView, runLive } from "./live_screen.ts";
import type { Style } from "./screen.ts";
import { localTime } from "./units.ts";
import { TextWriter } from "./writer.ts";

/** Writes one screen of text to the call that it is given. */
export type WriteHealth = (call: Call) => void;

export async function watchHealth(call: Call, write: WriteHealth, intervalMs: number): Promise<void> {
  await runLive(call, new HealthView(call, write), intervalMs);
}

class HealthView implements LiveView {
  readonly keys = "q quit  / filter  arrows scroll  space pause";
  filter = "";
  readonly #call: Call;
  readonly #write: WriteHealth;
  #time = 0;
  #columns = 0;
  #lines: string[] = [];
  #scrolled = 0;

  constructor(call: Call, write: WriteHealth) {
    this.#call = call;
    this.#write = write;
  }

  press(key: string): void {
    const step = { up: -1, down: 1, pageup: -10, pagedown: 10 }[key];
    if (step !== undefined) this.#scrolled += step;
    else if (key === "home") this.#scrolled = 0;
  }

  /** The width is known when it is drawn; until then what was read last stays. */
  refresh(): void {
    this.#time = 0;
  }

  draw(columns: number, rows: number): Line[] {
    if (this.#time === 0 || columns !== this.#columns) this.#read(columns);
    const { screen } = this.#call, sought = this.filter.toLowerCase(), room = Math.max(1, rows - 1);
    const lines = this.#lines.filter((line) => sought === "" || line.toLowerCase().includes(sought));
    this.#scrolled = Math.max(0, Math.min(this.#scrolled, lines.length - room));
    const head: Line = { text: fit(localTime(this.#time, "s"), columns, screen.marks.cut), style: "faint" };
    return [
      head,
      ...lines.slice(this.#scrolled, this.#scrolled + room).map((line): Line => {
        const style = this.#styleOf(line), text = fit(line, columns, screen.marks.cut);
        return style === undefined ? { text } : { text, style };
      }),
    ];
  }

  #read(columns: number): void {
    const decoder = new TextDecoder();
    let text = "";
    const out = new TextWriter({
      writeSync: (bytes) => {
        text += decoder.decode(bytes, { stream: true });
        return bytes.length;
      },
    });
    this.#time = this.#call.now();
    this.#columns = columns;
    this.#write({ ...this.#call, out, screen: { ...this.#call.screen, color: false, columns } });
    out.flush();
    this.#lines = text.trimEnd().split("\n");
  }

  #styleOf(line: string): Style | undefined {
    const { good, bad, worst } = this.#call.screen.marks, begins = line.trimStart();
    if (begins.startsWith(`${worst} `)) return "worst";
    if (begins.startsWith(`${bad} `)) return "warning";
    if (line.startsWith(`${good} `)) return "good";
    return line !== "" && !line.startsWith(" ") ? "heading" : undefined;
  }
}
