/**
 * `deno task start`: runs collector and agent in the foreground until it is told to stop.
 *
 * Both, and the collectors of `collectors.json`, are started with the users, grants and environment of
 * `docs/privileges.md`, started again when they die or stand still, and stopped collector first, so that the agent gets the last events. Nothing is left behind: not after Ctrl-C, and not
 * after a SIGKILL of this program (see `guard.ts`).
 *
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { stateLayout } from "../proto/state_layout.ts";
import { VERSION } from "../proto/version.ts";
import { Console } from "./console.ts";
import { Guard } from "./guard.ts";
import { isExplained, type Launch, type LaunchFlags, prepareLaunch } from "./launch.ts";
import { leftOverFile, replaceLeftOver, writeDown } from "./left_over.ts";
import { nextStatus, StatusWatch } from "./status_watch.ts";
import type { Supervised, SupervisedOptions } from "./supervised.ts";
import { Supervisor } from "./supervisor.ts";

const USAGE = `deno task start [--state DIR] [--config FILE] [--set KEY=VALUE]... [--events]

  --state DIR        where everything is kept; .daemoneye in the checkout by default
  --config FILE      configuration file (YAML, JSON or TOML)
  --set KEY=VALUE    one setting; may be given again
  --events           show every process start and stop, not only alerts

deno task collector and deno task agent run one tier in the same way.
deno task agent backup [--to NAME] copies the store, deno task agent check reads all of it; the agent may run.
deno task collector selftest says, by trying, what a confined collector can do.`;

/** A signal that comes again sooner was passed on by npx or deno task beside the terminal's own, not sent twice. */
const SECOND_SIGNAL_MS = 1_000;

/**
 * The sensor goes first: what happens before it sees is not seen, and all others, which take a second of the processors
 * to start, can do without it until then. At the longest so long, should it not come up.
 */
const HEAD_START_MS = 1_000;

/** What the agent's program does beside being the agent (`agent/commands.ts`). */
const AGENT_COMMANDS: readonly string[] = ["backup", "check"];

/** Names of the processes that help the collector. */
const HELPERS: readonly string[] = ["hasher", "responder"];

type RunningTier = "collector" | "agent";

async function main(): Promise<number> {
  const flags = parseFlags();
  if (flags === null) return 0;
  const began = Date.now();
  const tiers: readonly RunningTier[] = flags.only === null ? ["agent", "collector"] : [flags.only];
  const stop = new StopRequest();
  const screen = new Console({ onBroken: () => stop.ask() });
  // A command of the agent's is no tier: it runs beside the agent, which holds the tier's lock.
  const launch = await prepareLaunch(flags, flags.agentCommand === null ? tiers : []);
  if (flags.agentCommand !== null) {
    return await runOnce([...launch.command("agent"), ...flags.agentCommand], launch.env);
  }
  introduce(screen, launch);

  if (flags.selftest) return await runSelftests(launch);

  const say = (line: string): void => screen.say(line);
  for (const tier of tiers) await replaceLeftOver(leftOverFile(launch.state, tier), say);
  const { state } = launch, layout = stateLayout(state), sensorId = launch.settings.collector.id;
  const collects = tiers.includes("collector"), others = collects ? launch.others() : [];
  const guard = new Guard(), watches: StatusWatch[] = [];
  const supervisor = new Supervisor({
    collectors: [...collects ? [sensorId] : [], ...others.map(({ id }) => id)],
    say,
    changed: () => {
      for (const tier of tiers) {
        writeDown(leftOverFile(state, tier), tier === "agent" ? ofAgent() : ofCollector());
      }
    },
  });
  const common = (
    name: string,
  ): Pick<SupervisedOptions, "name" | "env" | "guard" | "onStdout" | "onStderr" | "onEnd"> => ({
    name,
    env: launch.env,
    guard,
    onStdout: (line) => screen.data(line),
    onStderr: (line) => screen.say(line.startsWith(`${name}: `) ? line : `${name}: ${line}`),
    onEnd: say,
  });
  const watch = (process: Supervised, path: string): void => void watches.push(new StatusWatch({ process, path, say }));
  stop.onForce = () => {
    for (const process of supervisor.processes) process.kill();
    Deno.exit(1);
  };
  stop.listen();
  let viewer: Supervised | null = null;
  const helpers = (): Supervised[] => supervisor.processes.filter(({ name }) => HELPERS.includes(name));
  const ofCollector = (): Supervised[] => [...helpers(), ...supervisor.collectors];
  const ofAgent = (): Supervised[] => supervisor.agent === null ? [] : [supervisor.agent];
  if (collects) {
    const command = launch.command("collector"), sees = nextStatus(layout.collectorStatus, HEAD_START_MS);
    watch(supervisor.begin("sensor", { ...common("collector"), id: sensorId, command }), layout.collectorStatus);
    await Promise.race([sees, stop.asked]);
    if (launch.settings.collector.hashing) {
      supervisor.begin("other", { ...common("hasher"), command: launch.command("hasher") });
    }
    if (launch.responds) {
      supervisor.begin("other", { ...common("responder"), command: launch.command("responder") });
    }
  }
  if (tiers.includes("agent")) {
    watch(supervisor.begin("agent", { ...common("agent"), command: launch.command("agent") }), layout.agentStatus);
  }
  for (const { id, start: command, restarts, env } of others) {
    const variables = { DAEMONEYE_BROKER_SOCKET: launch.settings.brokerSocket, DAEMONEYE_COLLECTOR_ID: id };
    supervisor.begin("collector", {
      ...common(id),
      command,
      restarts,
      env: { ...launch.env, ...env, ...variables },
      input: () => `${launch.tokenOf(id)}\n`,
    });
  }
  if (flags.only === null) {
    const events = flags.events ? ["--events"] : [];
    const command = launch.viewerCommand(["--since", String(began), ...events]);
    viewer = supervisor.begin("other", { ...common("viewer"), command, onStdout: (line) => showView(screen, line) });
  }

  await stop.asked;
  screen.status("");
  screen.say("stopping");
  for (const each of watches) each.stop();
  await Promise.all([viewer?.stop(), ...supervisor.collectors.map((collector) => collector.stop())]);
  await Promise.all(helpers().map((helper) => helper.stop()));
  await supervisor.agent?.stop();
  await guard.close();
  for (const lock of launch.locks) lock.release();
  screen.say("stopped");
  return 0;
}

/** What each role of the collector's program can do once it is confined. */
async function runSelftests(launch: Launch): Promise<number> {
  const collector = await runOnce([...launch.command("collector"), "selftest"], launch.env);
  if (!launch.settings.collector.hashing) return collector;
  console.log("The hasher:");
  const command = launch.command("hasher").slice(0, -1); // its last word is the role
  return Math.max(collector, await runOnce([...command, "hasher-selftest"], launch.env));
}

/** Runs a command in this terminal, and returns its exit code. */
async function runOnce([program, ...args]: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const { code } = await new Deno.Command(program!, { args, env: { ...env }, clearEnv: true, stdin: "null" }).spawn()
    .status;
  return code;
}

function introduce(screen: Console, { state, asRoot, place }: Launch): void {
  screen.say(`DaemonEye ${VERSION}; state in ${state}; Ctrl-C stops it`);
  if (place.view !== null) {
    screen.say(
      `the tiers' users cannot pass the way to that directory: they see it at ${place.state}, which nobody else does`,
    );
  }
  if (!asRoot) {
    screen.say(
      `started as user ${Deno.uid()}, so both tiers run as that user and eBPF is closed to them; ` +
        `what is missed is listed below, and root gets all of it`,
    );
  }
}

function showView(screen: Console, line: string): void {
  const space = line.indexOf(" ");
  const keyword = line.slice(0, space), text = line.slice(space + 1);
  if (keyword === "status") screen.status(text);
  else if (keyword === "say" || keyword === "event") screen.say(text);
}

/** The wish to stop: a promise for the first signal, a call for the second. */
class StopRequest {
  readonly #first = Promise.withResolvers<void>();
  #askedAt: number | null = null;
  onForce: () => void = () => {};

  get asked(): Promise<void> {
    return this.#first.promise;
  }

  listen(): void {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) Deno.addSignalListener(signal, () => this.ask());
  }

  ask(): void {
    const now = performance.now();
    if (this.#askedAt === null) {
      this.#askedAt = now;
      this.#first.resolve();
    } else if (now - this.#askedAt > SECOND_SIGNAL_MS) this.onForce();
  }
}

type StartFlags = LaunchFlags & {
  readonly only: RunningTier | null;
  readonly events: boolean;
  readonly selftest: boolean;
  /** A command of the agent's program with its arguments, `null` when the tiers are to run. */
  readonly agentCommand: readonly string[] | null;
};

/** The command line cannot be understood. */
class UsageError extends Error {
  override name = "UsageError";
}

/** `null` when help was all that was wanted. @throws {UsageError} */
function parseFlags(): StartFlags | null {
  const { values, positionals } = parsed({
    allowPositionals: true,
    options: {
      state: { type: "string" },
      config: { type: "string" },
      set: { type: "string", multiple: true },
      only: { type: "string" },
      to: { type: "string" },
      events: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return null;
  }
  const { only } = values;
  if (only !== undefined && only !== "collector" && only !== "agent") {
    throw new UsageError(`--only takes collector or agent, not ${only}`);
  }
  const selftest = only === "collector" && positionals.length === 1 && positionals[0] === "selftest";
  const to = values.to === undefined ? [] : ["--to", values.to];
  const agentCommand = only === "agent" && positionals.length === 1 && AGENT_COMMANDS.includes(positionals[0]!)
    ? [...positionals, ...to]
    : null;
  if (values.to !== undefined && agentCommand === null) throw new UsageError("--to belongs to agent backup");
  if (positionals.length > 0 && !selftest && agentCommand === null) {
    throw new UsageError(`Nothing is named ${positionals.join(" ")} here`);
  }
  return {
    state: values.state,
    config: values.config,
    set: values.set ?? [],
    only: only ?? null,
    events: values.events,
    selftest,
    agentCommand,
  };
}

function parsed<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

try {
  Deno.exit(await main());
} catch (error) {
  const usage = error instanceof UsageError;
  if (!isExplained(error) && !usage) throw error;
  console.error(usage ? `${error.message}\n\n${USAGE}` : `start: ${error.message}`);
  Deno.exit(usage ? 2 : 1);
}
