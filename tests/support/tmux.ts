/**
 * A program in a real terminal: a tmux server of its own, keys that are sent, and the screen as a person sees it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { PATIENCE_MS } from "./patience.ts";

const POLL_MS = 50;

export interface TerminalOptions {
  readonly columns?: number;
  readonly rows?: number;
}

export class TestTerminal implements AsyncDisposable {
  readonly #directory = Deno.makeTempDirSync({ prefix: "daemoneye-tmux-" });

  private constructor() {}

  /** A shell in which `command` runs; the shell then prints how the program ended, and waits. */
  static async run(command: readonly string[], options: TerminalOptions = {}): Promise<TestTerminal> {
    const terminal = new TestTerminal(), { columns = 100, rows = 30 } = options;
    const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    const size = ["-x", String(columns), "-y", String(rows)];
    // What the terminal is like afterwards is asked of the terminal itself
    const line = `${quoted}; echo "ended $?"; stty -a | grep -o -e '[-]*icanon' -e '[-]*echo ' | xargs echo; exec cat`;
    await terminal.#tmux("new-session", "-d", ...size, `TZ=Europe/Berlin; export TZ; ${line}`);
    return terminal;
  }

  /** Keys as tmux names them: `Enter`, `C-c`, `Up`; other words are typed. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux("send-keys", ...keys);
  }

  /** Types text as it is. */
  async type(text: string): Promise<void> {
    // A semicolon at the end would end tmux' own command
    await this.#tmux("send-keys", "-l", text.replace(/;$/, "\\;"));
  }

  /** Pastes text, marked as pasted where the program asked for that. */
  async paste(text: string): Promise<void> {
    await this.#tmux("set-buffer", text);
    await this.#tmux("paste-buffer", "-p", "-r");
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** The screen now, without trailing blanks. */
  async screen(): Promise<string> {
    return (await this.#tmux("capture-pane", "-p")).trimEnd();
  }

  /** The screen once it matches. */
  async shows(pattern: RegExp): Promise<string> {
    let screen = "";
    for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
      screen = await this.screen();
      if (pattern.test(screen)) return screen;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return assert.fail(`The screen never matched ${pattern}; it shows\n${screen}`);
  }

  /** Ids of the processes that the terminal's shell started. */
  async children(): Promise<number[]> {
    const shell = (await this.#tmux("list-panes", "-F", "#{pane_pid}")).trim();
    const { stdout } = await new Deno.Command("ps", { args: ["-o", "pid=", "--ppid", shell] }).output();
    return new TextDecoder().decode(stdout).trim().split(/\s+/).filter((pid) => pid !== "").map(Number);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux("kill-server");
    Deno.removeSync(this.#directory, { recursive: true });
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const { success, stdout, stderr } = await new Deno.Command("tmux", {
      args: ["-S", `${this.#directory}/socket`, "-f", "/dev/null", ...args],
      env: { LC_ALL: "C.UTF-8", TERM: "xterm-256color", SHELL: "/bin/sh" },
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  }
}
