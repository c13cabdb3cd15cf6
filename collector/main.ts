/**
 * The collector: opens the kernel's event sources with the privileges it is started with, gives them up, and carries
 * every process' life to the agent.
 *
 * @module
 */
import { loadSettings, parseDaemonFlags, settingsEnvironment } from "../proto/config.ts";
import { describeSettings } from "../proto/setting_definitions.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { VERSION } from "../proto/version.ts";
import { runAnalyzer } from "./analyzer/main.ts";
import { readInputs } from "./assembly/inputs.ts";
import { CollectorParts } from "./assembly/parts.ts";
import { giveUp, openPrivileged, tryOut } from "./assembly/privileges.ts";
import { serve } from "./assembly/serve.ts";
import { readFileIfThere } from "./files.ts";
import { confineHasher } from "./hasher/confinement.ts";
import { runHasher } from "./hasher/main.ts";
import { hasherSelftest } from "./hasher/selftest.ts";
import { told } from "./kernel/inheritance.ts";
import { takeInheritance } from "./reexec.ts";
import { runResponder } from "./responder/main.ts";

const USAGE = `daemoneye-collector ${VERSION}: sees every process and reports it to the agent

  selftest           says, by trying, what this process can do once it is confined; exits with 1 if that is too much
  hasher             hashes executables for the collector, with one capability and fewer system calls
  hasher-selftest    the selftest of that
  responder          does to processes what the response policy allows, with the capabilities that this takes
  analyzer           looks into files and processes that the agent names, with two capabilities
  --state DIR        state directory
  --config FILE      configuration file (YAML, JSON or TOML)
  --set KEY=VALUE    one setting; may be given again
  --version, --help

Settings:
${describeSettings()}`;

async function main(): Promise<void> {
  const { args, ...origin } = takeInheritance(Deno.args);
  const flags = parseDaemonFlags(args, ["selftest", "hasher", "hasher-selftest", "responder", "analyzer"]);
  if (flags.help || flags.version) return console.log(flags.help ? USAGE : VERSION);

  // 1. Settle everything that can be wrong.
  const env = settingsEnvironment((name) => Deno.env.get(name));
  const settings = told("the settings", () => loadSettings({ flags, env, readFile: readFileIfThere }));
  const layout = stateLayout(settings.stateDir);
  if (flags.command === "hasher") return await runHasher(settings, layout);
  if (flags.command === "responder") return await runResponder(settings, layout, origin);
  if (flags.command === "analyzer") return await runAnalyzer(settings);
  if (flags.command === "hasher-selftest") {
    const findings = await hasherSelftest(confineHasher(settings.collector.syscallFilter), console.log);
    Deno.exit(findings === 0 ? 0 : 1);
  }
  const inputs = readInputs(settings, layout, origin);

  // 2. Open what needs privilege.
  const opened = openPrivileged(inputs);

  // 3. Give it up; from here on only the collector's own directory can be written.
  const confined = giveUp(inputs, opened);
  if (flags.command === "selftest") Deno.exit(await tryOut(inputs, opened, confined));

  // 4. Recover: what the last run left in the log is still to be sent, and what it said bounds what was missed since.
  const parts = new CollectorParts(inputs, opened, confined);

  // 5. Serve, in the order data moves.
  await serve(parts);
  // A system call of the source may still wait on a thread of the pool; it would hold a natural end.
  Deno.exit(0);
}

try {
  await main();
} catch (error) {
  console.error(`collector: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
