/**
 * `cli query` with a deadline that does not work: for tests of what happens then. Arguments: those of the CLI.
 *
 * The function that looks at the clock never comes back, as a call would that costs more than the guard thought.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { COMMANDS } from "../../cli/commands.ts";
import { runCommandLine } from "../../cli/dispatch.ts";
import { readStdin } from "../../cli/stdin.ts";

const define = DatabaseSync.prototype.function as (name: string, options: object, run: () => number) => void;
DatabaseSync.prototype.function = function (this: DatabaseSync, name: string, options: object, run: () => number) {
  define.call(this, name, options, name.startsWith("tick_") ? () => forever() : run);
} as typeof DatabaseSync.prototype.function;

function forever(): never {
  // For who watches the screen; a test without one reads stderr
  if (Deno.stdin.isTerminal()) console.error("stuck");
  for (;;);
}

Deno.exit(
  await runCommandLine(Deno.args, COMMANDS, {
    stdout: Deno.stdout,
    stderr: Deno.stderr,
    stderrTerminal: false,
    columns: Deno.stdout.isTerminal() ? Deno.consoleSize().columns : null,
    color: false,
    now: Date.now,
    isInteractive: Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
    readStdin,
  }),
);
