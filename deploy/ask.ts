/**
 * `deno task ask …`: asks the agent of the checkout for something, under the grants of `ask` for its state directory.
 *
 * It runs as whoever calls it, since that is who is recorded; from its source files, so that it is always the checkout's.
 *
 * @module
 */
import { stateLayout } from "../proto/state_layout.ts";
import { CHECKOUT, PROGRAMS } from "./bundle.ts";
import { findLibc, isExplained, stateDirectory } from "./launch.ts";
import { tierGrants } from "./privileges.ts";
import { grantFlags } from "./runtime_flags.ts";

/** What the runtime needs to find its packages, and what the output depends on. */
const PASSED_VARIABLES = ["HOME", "DENO_DIR", "XDG_CACHE_HOME", "NO_COLOR", "TZ"];

function main(): Promise<number> {
  const { named, rest } = splitState(Deno.args), state = stateDirectory(named);
  const paths = { layout: stateLayout(state), rulesDirs: [], configFiles: [], alertHosts: [], libc: findLibc() };
  // Ctrl-C reaches both: `ask` takes its request back, and this program waits for it.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, () => {});
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-check", ...grantFlags(tierGrants("ask", paths)), `${CHECKOUT}/${PROGRAMS.ask}`],
      ...["--state", state, ...rest],
    ],
    clearEnv: true,
    env: Object.fromEntries(PASSED_VARIABLES.flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    })),
    stdin: "null",
  }).spawn();
  return process.status.then(({ code }) => code);
}

/** Takes out the flag that says where the state is; everything else is `ask`'s to understand. */
function splitState(args: readonly string[]): { named: string | undefined; rest: string[] } {
  const rest = [...args], at = rest.findIndex((arg) => arg === "--state" || arg.startsWith("--state="));
  if (at === -1) return { named: undefined, rest };
  const [word] = rest.splice(at, 1);
  return { named: word === "--state" ? rest.splice(at, 1)[0] : word!.slice("--state=".length), rest };
}

try {
  Deno.exit(await main());
} catch (error) {
  if (!isExplained(error)) throw error;
  console.error(`ask: ${error.message}`);
  Deno.exit(2);
}
