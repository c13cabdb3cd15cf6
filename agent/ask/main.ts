/**
 * `ask`: asks the running agent for something, as the person who runs it.
 *
 * A program of its own under the grant to write and read the request spool, and nothing else; `daemoneye-agent ask` is
 * the same within the agent's program. What it may cause is decided by the spool's mode and by the agent, not here.
 *
 * @module
 */
import { resolve } from "node:path";
import { canonicalJson } from "../../proto/ledger/canonical_json.ts";
import { printable } from "../../proto/printable.ts";
import { RequestError } from "../../proto/request.ts";
import { stateLayout } from "../../proto/state_layout.ts";
import { VERSION } from "../../proto/version.ts";
import { type Asking, helpText, parseAsking, UsageError } from "./arguments.ts";
import { askAgent, UnansweredError } from "./spool_client.ts";

const EXIT = { done: 0, failed: 1, usage: 2, degraded: 3 } as const;

/** Asks, prints the reply, and gives the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  let asking: Asking | "help" | "version";
  try {
    asking = parseAsking(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`ask: ${printable(error.message)}`);
    return EXIT.usage;
  }
  if (asking === "help" || asking === "version") {
    console.log(asking === "help" ? helpText() : `daemoneye-ask ${VERSION}`);
    return EXIT.done;
  }
  return await asked(asking);
}

async function asked({ state, json, timeoutMs, operation, arguments: args }: Asking): Promise<number> {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => interrupted.abort());
  }
  try {
    const { outcome, text, value, degraded } = await askAgent({
      spool: stateLayout(resolve(state)).requests,
      operation,
      arguments: args,
      timeoutMs,
      progress: (line) => console.error(`ask: ${printable(line)}`),
      signal: interrupted.signal,
    });
    if (json) console.log(canonicalJson({ outcome, text, value, degraded }));
    else if (outcome === "done") console.log(shown(text));
    else console.error(`ask: ${outcome}: ${shown(text)}`);
    if (outcome !== "done") return EXIT.failed;
    return degraded ? EXIT.degraded : EXIT.done;
  } catch (error) {
    if (!(error instanceof UnansweredError) && !(error instanceof RequestError)) throw error;
    const isOpen = error instanceof UnansweredError && error.isOpen;
    if (json) console.log(canonicalJson({ outcome: "unanswered", text: error.message, value: null, degraded: isOpen }));
    else console.error(`ask: ${shown(error.message)}`);
    return isOpen ? EXIT.degraded : EXIT.failed;
  }
}

/** Lines stay lines; all else that moves a cursor is made harmless. */
function shown(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

if (import.meta.main) {
  // They would write to disk with read permission alone.
  for (const name of ["localStorage", "sessionStorage", "caches"]) delete (globalThis as Record<string, unknown>)[name];
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(`ask: ${error instanceof Error ? printable(error.message) : error}`);
    Deno.exit(1);
  }
}
