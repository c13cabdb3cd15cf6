/**
 * `deno task witness …`: a witness of ledgers, under the grants of what it is asked to do.
 *
 * It belongs on another host than the ledgers that it watches, or at least to another user.
 *
 * @module
 */
import { CHECKOUT } from "./bundle.ts";
import { GrantError, witnessGrants } from "./privileges.ts";
import { grantFlags } from "./runtime_flags.ts";
import { parseWitnessArguments, USAGE, WitnessUsageError } from "./witness/arguments.ts";

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

async function main(): Promise<number> {
  const args = parseWitnessArguments(Deno.args, Deno.env.get("INIT_CWD") ?? Deno.cwd());
  const { command, operand, directory, socket, hash } = args;
  if (command === "init") Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const requests = command === "sign" && operand !== "-" ? operand : null;
  const grants = witnessGrants({
    directory,
    socket,
    requestFile: requests !== null && !isDirectory(requests) ? requests : null,
    requestDirectory: requests !== null && isDirectory(requests) ? requests : null,
  });
  const rest = [
    command,
    ...(operand === "" ? [] : [operand]),
    ...["--directory", directory],
    ...(socket === null ? [] : ["--socket", socket]),
    ...(command === "watch" ? ["--hash", hash] : []),
  ];
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) Deno.addSignalListener(signal, () => {});
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...grantFlags(grants), `${CHECKOUT}/deploy/witness/main.ts`, ...rest],
    clearEnv: true,
    env: Object.fromEntries(["HOME", "DENO_DIR", "XDG_CACHE_HOME"].flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    })),
  }).spawn();
  for (const signal of ["SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, () => process.kill("SIGTERM"));
  return (await process.status).code;
}

try {
  Deno.exit(await main());
} catch (error) {
  if (!(error instanceof WitnessUsageError || error instanceof GrantError)) throw error;
  console.error(error.message);
  if (error instanceof WitnessUsageError) console.error(USAGE);
  Deno.exit(2);
}
