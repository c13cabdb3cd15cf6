/**
 * What `deno task start` shows: alerts on stdout, words on stderr, and on a terminal one line of status below them.
 *
 * Text comes in printable. A reader of stdout that goes away ends the program, as it would any other.
 *
 * @module
 */

const CLEAR_LINE = "\r\x1b[K";

export interface ConsoleOptions {
  /** Called once when stdout or stderr can no longer be written. */
  readonly onBroken: () => void;
}

export class Console {
  readonly #options: ConsoleOptions;
  readonly #terminal = Deno.stderr.isTerminal();
  readonly #dim: readonly [string, string] = Deno.noColor ? ["", ""] : ["\x1b[2m", "\x1b[22m"];
  readonly #encoder = new TextEncoder();
  #status = "";
  #broken = false;

  constructor(options: ConsoleOptions) {
    this.#options = options;
  }

  /** Whether there is a place for a line of status. */
  get hasStatus(): boolean {
    return this.#terminal;
  }

  /** A line of data, on stdout. */
  data(line: string): void {
    this.#erase();
    this.#write(Deno.stdout, `${line}\n`);
    this.#draw();
  }

  /** A line of words, on stderr. */
  say(line: string): void {
    this.#erase();
    this.#write(Deno.stderr, `${line}\n`);
    this.#draw();
  }

  /** Sets the line at the bottom; empty takes it away. Nothing without a terminal. */
  status(text: string): void {
    if (text === this.#status) return;
    this.#erase();
    this.#status = text;
    this.#draw();
  }

  #erase(): void {
    if (this.#terminal && this.#status !== "") this.#write(Deno.stderr, CLEAR_LINE);
  }

  #draw(): void {
    if (!this.#terminal || this.#status === "") return;
    // One column stays free: a full line would make the terminal scroll.
    const text = this.#status.slice(0, Math.max(1, columns() - 1));
    this.#write(Deno.stderr, `${this.#dim[0]}${text}${this.#dim[1]}`);
  }

  #write(to: typeof Deno.stdout, text: string): void {
    if (this.#broken) return;
    try {
      const bytes = this.#encoder.encode(text);
      for (let at = 0; at < bytes.length;) at += to.writeSync(bytes.subarray(at));
    } catch {
      this.#broken = true;
      this.#options.onBroken();
    }
  }
}

function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80; // stdin, stdout and stderr are all something else by now
  }
}
