/**
 * Runs a command line of the CLI inside the test, and keeps what it wrote.
 *
 * @module
 */
import { COMMANDS } from "../../cli/commands.ts";
import { runCommandLine } from "../../cli/dispatch.ts";
import type { TestState } from "./test_store.ts";
import { NOW } from "./test_store.ts";

export interface CliResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What `out` is the text of; "" stands for bytes that are no text. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface CliOptions {
  /** Width of the terminal; none by default. */
  readonly columns?: number;
  readonly color?: boolean;
  readonly stderrTerminal?: boolean;
  readonly now?: number;
  readonly stdin?: string | Uint8Array;
}

class Kept {
  readonly #chunks: Uint8Array[] = [];
  writeSync(bytes: Uint8Array): number {
    this.#chunks.push(bytes.slice());
    return bytes.length;
  }
  get bytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#chunks.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }
  get text(): string {
    return new TextDecoder("utf-8", { fatal: true }).decode(this.bytes);
  }
}

/** Runs `args` on the state of a test. */
export async function cli(
  state: TestState | null,
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const out = new Kept(), err = new Kept();
  const stdin = typeof options.stdin === "string" ? new TextEncoder().encode(options.stdin) : options.stdin;
  const code = await runCommandLine(state === null ? args : ["--state", state.directory, ...args], COMMANDS, {
    stdout: out,
    stderr: err,
    stderrTerminal: options.stderrTerminal ?? false,
    columns: options.columns ?? null,
    color: options.color ?? false,
    now: () => options.now ?? NOW,
    readStdin: () => stdin ?? new Uint8Array(),
  });
  const bytes = out.bytes;
  return { code, out: textOf(bytes), err: err.text, bytes };
}

/** A bundle is the one thing that this program writes that is no text. */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return "";
    throw error;
  }
}
