/**
 * `deno task build`: the executables, each with the grants of its tier compiled in, or launchers with the same.
 *
 * What was built is opened again and compared with the grants before anything is said to be done.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { allNeeds } from "../proto/sink_needs.ts";
import { INSTALLED_STATE, stateLayout } from "../proto/state_layout.ts";
import { CHECKOUT, makeBundles, makeParts, PROGRAMS } from "./bundle.ts";
import { executableDifferences, launcherDifferences } from "./executable_permissions.ts";
import { findLibc, isExplained } from "./launch.ts";
import { launcherText } from "./launcher.ts";
import { fillDenoDir } from "./place.ts";
import { installedPaths, type Tier, tierGrants, type TierPaths, TIERS } from "./privileges.ts";
import { grantFlags, V8_FLAG } from "./runtime_flags.ts";
import { fromCaller, placedSettings } from "./settings.ts";

const USAGE = `deno task build [options]

  --state DIR        state directory that the programs may use (default ${INSTALLED_STATE})
  --rules DIR,...    directories of rules (default: rules in the state directory)
  --config FILE      configuration whose agent.sinks the agent is granted: hosts, files, sockets
  --sinks HOST:PORT,...  further hosts that the agent may send alerts to
  --out DIR          where to put them (default dist)
  --launcher         text files that run on an installed Deno, instead of executables
  --deno PATH        the Deno that launchers run (default: this one)

DENORT_BIN names the base binary of executables where it cannot be fetched.`;

interface BuildOptions {
  readonly paths: TierPaths;
  /** Arguments that the programs start with. */
  readonly args: readonly string[];
  readonly out: string;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      state: { type: "string", default: INSTALLED_STATE },
      rules: { type: "string" },
      config: { type: "string" },
      sinks: { type: "string" },
      out: { type: "string", default: "dist" },
      launcher: { type: "boolean", default: false },
      deno: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const list = (text: string | undefined): string[] => (text ?? "").split(",").filter((part) => part !== "");
  const state = fromCaller(values.state), installed = state === INSTALLED_STATE;
  const rules = list(values.rules).map(fromCaller);
  const layout = stateLayout(state);
  const sinks = values.config === undefined
    ? []
    : placedSettings(state, layout.rules, { config: values.config, set: [] }).settings.agent.sinks;
  const paths: TierPaths = {
    ...installedPaths(findLibc(), list(values.sinks)),
    layout,
    sinks: allNeeds(sinks, layout.agent),
    rulesDirs: rules.length > 0 ? rules : [layout.rules],
  };
  const args = [
    ...(installed ? [] : ["--state", state]),
    ...(rules.length === 0 ? [] : ["--set", `rules_dirs=${rules.join(":")}`]),
  ];
  const options = { paths, args, out: fromCaller(values.out) };
  Deno.mkdirSync(options.out, { recursive: true });
  // Before seconds of bundling.
  const standIn = !values.launcher && await baseIsFullDeno();
  const temporary = Deno.makeTempDirSync({ prefix: "daemoneye-build-" });
  try {
    const bundles = await bundleTiers(temporary);
    const differences = values.launcher
      ? await buildLaunchers(bundles, options, resolve(values.deno ?? Deno.realPathSync(Deno.execPath())))
      : await buildExecutables(bundles, options, standIn);
    for (const difference of differences) console.error(`build: ${difference}`);
    if (differences.length > 0) return 1;
    console.log("the permissions in each file are those of its tier");
    return 0;
  } finally {
    Deno.removeSync(temporary, { recursive: true });
  }
}

/** Other roles of the collector's program. */
const ROLES: ReadonlySet<Tier> = new Set(["hasher", "responder", "analyzer"]);

type Bundles = Readonly<Record<Tier, string>>;

async function bundleTiers(directory: string): Promise<Bundles> {
  // The name is what a stack trace shows.
  const output = (tier: Tier): string => `${directory}/daemoneye-${tier}.js`;
  const programs = ["collector", "agent", "ask"] as const;
  await makeBundles(programs.map((tier) => ({ entry: PROGRAMS[tier], output: output(tier) })), Deno.execPath());
  for (const tier of ROLES) Deno.copyFileSync(output("collector"), output(tier));
  const cli = await makeParts(`${directory}/cli`, Deno.execPath());
  return { ...Object.fromEntries([...programs, ...ROLES].map((tier) => [tier, output(tier)])), cli } as Bundles;
}

/** @throws {BuildError} when the base binary cannot be fetched, and with the words of `deno compile`. */
async function buildExecutables(
  bundles: Bundles,
  { paths, args, out }: BuildOptions,
  standIn: boolean,
): Promise<string[]> {
  const differences: string[] = [];
  for (const tier of TIERS) {
    const grants = tierGrants(tier, paths), output = `${out}/daemoneye-${tier}`;
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      // No code cache: a compiled program keeps it in the temporary directory, where others can get at it.
      args: [
        ...["compile", "--quiet", "--no-config", "--no-lock", "--no-npm", "--no-code-cache", V8_FLAG],
        ...grantFlags(grants),
        ...["--output", output, bundles[tier], ...argumentsOf(tier, args)],
      ],
      cwd: CHECKOUT,
      env: { NO_COLOR: "1", RUST_BACKTRACE: "0" },
      stdin: "null",
      stdout: "null",
    }).output();
    if (!success) throw new BuildError(whyNotCompiled(new TextDecoder().decode(stderr)));
    differences.push(...await executableDifferences(output, grants));
    console.log(`${output}  ${megabytes(output)}, of it ${megabytes(bundles[tier])} are ours`);
  }
  if (standIn) {
    console.log(
      "DENORT_BIN is a whole Deno: these files can be inspected but not used, as they run Deno and not the program; " +
        "name a denort, or build launchers with --launcher",
    );
  }
  return differences;
}

/** Hasher, responder and analyzer are roles of the collector's program; `ask` knows of no settings. */
function argumentsOf(tier: Tier, args: readonly string[]): readonly string[] {
  if (tier === "ask") return args[0] === "--state" ? args.slice(0, 2) : [];
  return ROLES.has(tier) ? [tier, ...args] : args;
}

async function buildLaunchers(bundles: Bundles, { paths, args, out }: BuildOptions, deno: string): Promise<string[]> {
  const differences: string[] = [], denoDir = `${out}/deno_dir`, parts = placeParts(dirname(bundles.cli), out);
  for (const tier of TIERS) {
    const grants = tierGrants(tier, paths), output = `${out}/daemoneye-${tier}`, isCli = tier === "cli";
    const text = launcherText(isCli ? "" : Deno.readTextFileSync(bundles[tier]), {
      tier,
      grants,
      deno,
      denoDir,
      ...(isCli ? { program: parts } : {}),
      args: argumentsOf(tier, args),
    });
    Deno.writeTextFileSync(output, text);
    Deno.chmodSync(output, 0o755);
    differences.push(...await launcherDifferences(output, grants, isCli ? parts : null));
    console.log(`${output}  ${megabytes(output)}, runs ${deno}`);
  }
  if (!othersReach(deno)) {
    console.log(
      `other users cannot execute ${deno}, so these launchers are for this user; name another Deno with --deno`,
    );
  }
  const programs = TIERS.map((tier) => tier === "cli" ? parts : `${out}/daemoneye-${tier}`);
  await fillDenoDir({ deno, denoDir }, programs, ["--ext=js"]);
  return differences;
}

/** Puts the parts of the command line beside its launcher, in the place of older ones; the path of the program. */
function placeParts(made: string, out: string): string {
  const directory = `${out}/daemoneye-cli.parts`;
  try {
    Deno.removeSync(directory, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  Deno.mkdirSync(directory);
  Deno.chmodSync(directory, 0o755);
  for (const { name } of Deno.readDirSync(made)) {
    Deno.copyFileSync(`${made}/${name}`, `${directory}/${name}`);
    Deno.chmodSync(`${directory}/${name}`, 0o644);
  }
  return `${directory}/main.js`;
}

/** Whether every user may pass the way to a program and execute it. */
function othersReach(program: string): boolean {
  for (let path = program; path !== "/"; path = dirname(path)) {
    if (((Deno.statSync(path).mode ?? 0) & 0o001) === 0) return false;
  }
  return true;
}

/** The executables could not be made. */
class BuildError extends Error {
  override name = "BuildError";
}

function whyNotCompiled(stderr: string): string {
  if (!stderr.includes("base binary")) return stderr.trim();
  const cause = stderr.trim().split("\n").at(-1)!.replace(/^\s*\d+:\s*/, "");
  return `The base binary of Deno ${Deno.version.deno} for ${Deno.build.target} (denort) cannot be fetched (${cause}); ` +
    `get it on another machine and name it by DENORT_BIN, or build launchers with --launcher`;
}

/** Whether `DENORT_BIN` is Deno itself, which can be a base only to look at. */
async function baseIsFullDeno(): Promise<boolean> {
  const base = Deno.env.get("DENORT_BIN");
  if (base === undefined) return false;
  try {
    const { success, stdout } = await new Deno.Command(base, { args: ["--version"], stdin: "null" }).output();
    return success && new TextDecoder().decode(stdout).startsWith("deno ");
  } catch {
    throw new BuildError(`DENORT_BIN names ${base}, which cannot be run; name a denort for ${Deno.build.target}`);
  }
}

function megabytes(path: string): string {
  return `${(Deno.statSync(path).size / 1e6).toFixed(1)} MB`;
}

try {
  Deno.exit(await main());
} catch (error) {
  if (!isExplained(error) && !(error instanceof BuildError)) throw error;
  console.error(`build: ${error.message}`);
  Deno.exit(1);
}
