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
  get text(): string {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      Uint8Array.from(this.#chunks.flatMap((chunk) => [...chunk])),
    );
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
  return { code, out: out.text, err: err.text };
}
