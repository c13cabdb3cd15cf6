/**
 * The command line of DaemonEye: everything an operator looks at.
 *
 * Strictly read-only. It runs with `--allow-read` of the state directory, the rules and the configuration, and with
 * nothing else: no environment, no network, no writing, no program, no foreign code.
 *
 * @module
 */
import { COMMANDS } from "./commands.ts";
import { runCommandLine } from "./dispatch.ts";
import { readStdin } from "./stdin.ts";

// These would write to disk with no permission at all
for (const storage of ["localStorage", "sessionStorage", "caches"]) Reflect.deleteProperty(globalThis, storage);

if (import.meta.main) {
  const terminal = Deno.stdout.isTerminal();
  Deno.exit(
    await runCommandLine(Deno.args, COMMANDS, {
      stdout: Deno.stdout,
      stderr: Deno.stderr,
      stderrTerminal: Deno.stderr.isTerminal(),
      columns: terminal ? Deno.consoleSize().columns : null,
      color: !Deno.noColor,
      now: Date.now,
      isInteractive: terminal && Deno.stdin.isTerminal(),
      readStdin,
    }),
  );
}
