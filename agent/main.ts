/**
 * The agent: takes what collectors see, judges it by the rules, stores it, and delivers alerts.
 *
 * It needs no privilege and runs as a user of its own; it starts no program and calls no native code. Whoever may write
 * its state directory, the rules or the token controls it; whoever connects to its socket does not.
 *
 * @module
 */
import { loadSettings, parseDaemonFlags, settingsEnvironment } from "../proto/config.ts";
import { describeSettings } from "../proto/setting_definitions.ts";
import { ConfigError } from "../proto/setting_values.ts";
import { INSTALLED_STATE, stateLayout } from "../proto/state_layout.ts";
import { VERSION } from "../proto/version.ts";
import { main as ask } from "./ask/main.ts";
import { readInputs } from "./assembly/inputs.ts";
import { AgentParts } from "./assembly/parts.ts";
import { serve } from "./assembly/serve.ts";
import { listenAt } from "./broker/listener.ts";
import { COMMANDS, runCommand, shedGrants, splitAsk, splitTarget } from "./commands.ts";
import { readFileIfThere } from "./files.ts";

const USAGE = `daemoneye-agent ${VERSION}: stores what collectors see, judges it by rules, delivers alerts

  backup [--to NAME] copies the store into the directory backup beside it, also while the agent runs
  check              reads all of the store, and lists what is damaged (exit code 4)
  ask OPERATION      asks the running agent for something, as a member of daemoneye-admin; ask --help lists what

  --state DIR        state directory
  --config FILE      configuration file (YAML, JSON or TOML)
  --set KEY=VALUE    one setting; may be given again
  --version, --help

Settings:
${describeSettings()}`;

async function main(): Promise<void> {
  const asking = splitAsk(Deno.args);
  if (asking !== null) {
    const at = asking[0] === "--state" ? asking[1]! : INSTALLED_STATE;
    shedGrants(stateLayout(at));
    Deno.exit(await ask(asking));
  }
  const { to, rest } = splitTarget(Deno.args);
  const flags = parseDaemonFlags(rest, COMMANDS);
  const command = COMMANDS.find((name) => name === flags.command);
  if (to !== undefined && command !== "backup") throw new ConfigError("--to belongs to the command backup");
  if (flags.help || flags.version) return console.log(flags.help ? USAGE : VERSION);

  // 1. Settle everything that can be wrong.
  if (command !== undefined) {
    const env = settingsEnvironment((name) => Deno.env.get(name));
    const { stateDir } = loadSettings({ flags, env, readFile: readFileIfThere });
    Deno.exit(await runCommand(command, stateLayout(stateDir).store, to));
  }
  const inputs = readInputs(flags);

  // 2. Open. 3. There is no privilege to give up, and there should be none.
  const parts = new AgentParts(inputs, await listenAt(inputs.settings.brokerSocket));
  parts.supervisor.listen(Deno.stdin.readable);
  parts.keeper.begin();

  // 4. Recover, and 5. serve, in the order data moves.
  await serve(parts);
  // A write to a stdout that nobody reads may still wait on a thread of the pool; it would hold a natural end.
  Deno.exit(0);
}

// They would write to disk with read permission alone.
for (const name of ["localStorage", "sessionStorage", "caches"]) delete (globalThis as Record<string, unknown>)[name];
try {
  await main();
} catch (error) {
  console.error(`agent: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
