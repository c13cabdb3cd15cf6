/**
 * Runs command lines of the CLI one after the other, under the grants of its tier, and says what came of each.
 *
 * usage: asker.ts COMMAND-LINES-AS-JSON
 *
 * @module
 */
import { COMMANDS } from "../../../cli/commands.ts";
import { runCommandLine } from "../../../cli/dispatch.ts";

class Kept {
  #text = "";
  readonly #decoder = new TextDecoder();
  writeSync(bytes: Uint8Array): number {
    this.#text += this.#decoder.decode(bytes, { stream: true });
    return bytes.length;
  }
  get text(): string {
    return this.#text;
  }
}

const say = (what: unknown): void => void Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(what)}\n`));

for (const args of JSON.parse(Deno.args[0]!) as string[][]) {
  say({ begun: args });
  const stdout = new Kept(), stderr = new Kept(), began = performance.now();
  const code = await runCommandLine(args, COMMANDS, {
    stdout,
    stderr,
    stderrTerminal: false,
    columns: null,
    color: false,
    now: () => Date.UTC(2026, 7, 5, 12),
    readStdin: () => new Uint8Array(),
  });
  const ms = performance.now() - began, mib = Deno.memoryUsage().rss / 2 ** 20;
  say({ args, code, out: stdout.text, err: stderr.text, ms, mib });
}
Deno.exit(0);
