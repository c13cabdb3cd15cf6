/**
 * Configuration: one table of settings with types, ranges, units and defaults, and the layers that a value comes from.
 *
 * From strongest to weakest: flags, `DAEMONEYE_*` environment, user file, system file, defaults. A file is YAML, JSON or
 * TOML by its ending. Every value knows its layer, so that an error can say where a bad one stands. Nothing here reads
 * a file or the environment: both are handed in. A file may hold settings for every tier; each tier uses its own.
 *
 * @module
 */
import { loadAll as parseYaml } from "js-yaml";
import { parse as parseToml } from "smol-toml";
import { parseArgs } from "node:util";
import { SOURCE_NAMES, type SourceName } from "./process_event.ts";
import { INSTALLED_STATE, stateLayout } from "./state_layout.ts";

/** A setting is wrong, or a file of settings cannot be understood. The text says where it stands and what to do. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** Largest configuration file that is read. */
export const MAX_CONFIG_BYTES = 262_144;

/** System-wide files, the first that exists counts. */
export const SYSTEM_FILES: readonly string[] = ["yaml", "yml", "toml", "json"].map((e) => `/etc/daemoneye/config.${e}`);

type Definition =
  | { kind: "integer"; min: number; max: number; unit: string; default: number; text: string }
  | { kind: "choice"; values: readonly string[]; default: string; text: string }
  | { kind: "path"; default: string; text: string }
  | { kind: "paths"; default: readonly string[]; text: string }
  | { kind: "names"; default: readonly string[]; text: string }
  | { kind: "name"; default: string; text: string };

/** Variables that say how a program was loaded, from where somebody came, and who they were before. */
export const CAPTURED_VARIABLES: readonly string[] = [
  "LD_*",
  "GCONV_PATH",
  "BASH_ENV",
  "ENV",
  "PROMPT_COMMAND",
  "HISTFILE",
  "HISTCONTROL",
  "PYTHONPATH",
  "PYTHONSTARTUP",
  "PERL5LIB",
  "PERL5OPT",
  "RUBYOPT",
  "NODE_OPTIONS",
  "JAVA_TOOL_OPTIONS",
  "SSH_CLIENT",
  "SSH_CONNECTION",
  "SSH_TTY",
  "SSH_ORIGINAL_COMMAND",
  "SUDO_USER",
  "SUDO_COMMAND",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "http_proxy",
  "https_proxy",
  "KUBERNETES_SERVICE_HOST",
  "container",
];

/** Every setting there is. `""` as default of a path or name means: derived, or not used. */
export const DEFINITIONS: Readonly<Record<string, Definition>> = {
  "state_dir": { kind: "path", default: INSTALLED_STATE, text: "directory of everything that the daemons keep" },
  "broker_socket": {
    kind: "path",
    default: "",
    text: "socket of the agent's broker; broker.sock in the run directory",
  },
  "rules_dirs": {
    kind: "paths",
    default: [],
    text: "directories of rule files; the state directory's rules by default",
  },
  "collector.id": { kind: "name", default: "procmond", text: "name of the collector" },
  "collector.source": {
    kind: "choice",
    values: ["auto", ...SOURCE_NAMES],
    default: "auto",
    text: "event source: the best there is, or exactly this one",
  },
  "collector.ring_bytes": {
    kind: "integer",
    min: 4_096,
    max: 1_073_741_824,
    unit: "bytes, a power of two",
    default: 8_388_608,
    text: "ring buffer between kernel and collector",
  },
  "collector.poll_interval_ms": {
    kind: "integer",
    min: 100,
    max: 3_600_000,
    unit: "ms",
    default: 1_000,
    text: "interval of the polling source",
  },
  "collector.snapshot_interval_ms": {
    kind: "integer",
    min: 1_000,
    max: 3_600_000,
    unit: "ms",
    default: 30_000,
    text: "interval at which the process table is read whole",
  },
  "collector.reconcile_interval_ms": {
    kind: "integer",
    min: 1_000,
    max: 3_600_000,
    unit: "ms",
    default: 10_000,
    text: "interval within which what one source misses of what a second one sees is told",
  },
  "collector.max_queued_events": {
    kind: "integer",
    min: 1_000,
    max: 1_000_000,
    unit: "events",
    default: 100_000,
    text: "events kept for an agent that does not take them; more become a gap",
  },
  "collector.max_tracked_processes": {
    kind: "integer",
    min: 1_000,
    max: 4_194_304,
    unit: "processes",
    default: 65_536,
    text: "living processes that are remembered; past them the oldest are forgotten, which is a gap",
  },
  "collector.skip_kernel_threads": {
    kind: "choice",
    values: ["yes", "no"],
    default: "no",
    text: "leave threads of the kernel out of snapshots and events",
  },
  "collector.memory_change_percent": {
    kind: "integer",
    min: 0,
    max: 1_000_000,
    unit: "percent, 0 for never",
    default: 0,
    text: "change of a process' memory that is more than this is an event",
  },
  "collector.cpu_change_percent": {
    kind: "integer",
    min: 0,
    max: 1_000_000,
    unit: "percent, 0 for never",
    default: 0,
    text: "growth of a process' CPU time that is more than this is an event",
  },
  "collector.environment": {
    kind: "names",
    default: CAPTURED_VARIABLES,
    text: "environment variables that are captured; a name may end with a star",
  },
  "collector.redaction": {
    kind: "choice",
    values: ["on", "off"],
    default: "on",
    text: "masking of secrets; off only in a file that root alone can write",
  },
  "collector.hashing": {
    kind: "choice",
    values: ["on", "off"],
    default: "on",
    text: "hashes of executables, by a process of its own",
  },
  "collector.hash_max_bytes": {
    kind: "integer",
    min: 4_096,
    max: 1_099_511_627_776,
    unit: "bytes",
    default: 536_870_912,
    text: "largest executable that is hashed",
  },
  "collector.fuzzy_max_bytes": {
    kind: "integer",
    min: 0,
    max: 1_073_741_824,
    unit: "bytes, 0 for none",
    default: 33_554_432,
    text: "largest executable that gets a fuzzy hash too",
  },
  "collector.hash_timeout_ms": {
    kind: "integer",
    min: 100,
    max: 600_000,
    unit: "ms",
    default: 10_000,
    text: "time that the hash of one executable may take",
  },
  "collector.hasher_user": {
    kind: "name",
    default: "",
    text: "user that the hasher must run as; unchecked when empty",
  },
  "collector.user": { kind: "name", default: "", text: "user (name or number) that the collector becomes" },
  "collector.group": { kind: "name", default: "", text: "group (name or number) that the collector becomes" },
  "collector.confinement": {
    kind: "choice",
    values: ["in-process", "re-exec"],
    default: "in-process",
    text: "how the collector gives its privileges up: as it runs, or by executing itself again, with Landlock",
  },
  "collector.syscall_filter": {
    kind: "choice",
    values: ["errno", "kill", "off"],
    default: "errno",
    text: "what befalls a system call that the collector has no need of: an error, its end, or nothing",
  },
  "collector.agent_user": { kind: "name", default: "", text: "user that the agent must run as; unchecked when empty" },
  "agent.alert_file": {
    kind: "path",
    default: "",
    text: "file of alerts, a JSON object a line; alerts.jsonl by default",
  },
  "agent.stdout": { kind: "choice", values: ["human", "json", "none"], default: "human", text: "alerts on stdout" },
  "agent.rule_deadline_ms": {
    kind: "integer",
    min: 10,
    max: 10_000,
    unit: "ms",
    default: 100,
    text: "time that a rule may take for one batch",
  },
  "agent.max_connections": {
    kind: "integer",
    min: 1,
    max: 1_000,
    unit: "connections",
    default: 16,
    text: "collectors connected at once",
  },
  "agent.idle_timeout_ms": {
    kind: "integer",
    min: 1_000,
    max: 3_600_000,
    unit: "ms",
    default: 30_000,
    text: "silence after which a collector's connection ends",
  },
};

type Value = number | string | readonly string[];

export interface Settings {
  readonly stateDir: string;
  readonly brokerSocket: string;
  readonly rulesDirs: readonly string[];
  readonly collector: {
    readonly id: string;
    readonly source: "auto" | SourceName;
    readonly ringBytes: number;
    readonly pollIntervalMs: number;
    readonly snapshotIntervalMs: number;
    readonly reconcileIntervalMs: number;
    readonly maxQueuedEvents: number;
    readonly maxTrackedProcesses: number;
    readonly skipsKernelThreads: boolean;
    readonly memoryChangePercent: number;
    readonly cpuChangePercent: number;
    readonly environment: readonly string[];
    readonly redaction: "on" | "off";
    readonly hashing: boolean;
    readonly hashMaxBytes: number;
    readonly fuzzyMaxBytes: number;
    readonly hashTimeoutMs: number;
    readonly hasherUser: string;
    readonly user: string;
    readonly group: string;
    readonly confinement: "in-process" | "re-exec";
    readonly syscallFilter: "errno" | "kill" | "off";
    readonly agentUser: string;
  };
  readonly agent: {
    readonly alertFile: string;
    readonly stdout: "human" | "json" | "none";
    readonly ruleDeadlineMs: number;
    readonly maxConnections: number;
    readonly idleTimeoutMs: number;
  };
  /** Where each value comes from, by setting: `flag --set`, `environment DAEMONEYE_…`, a file's path, `default`. */
  readonly origins: ReadonlyMap<string, string>;
}

/** What every program takes on its command line to find its settings. */
export interface ConfigFlags {
  readonly state?: string | undefined;
  readonly config?: string | undefined;
  /** `KEY=VALUE` each. */
  readonly set?: readonly string[] | undefined;
}

export interface SettingsInput {
  readonly flags: ConfigFlags;
  /** Variables that begin with `DAEMONEYE_`; others are ignored. */
  readonly env: Readonly<Record<string, string>>;
  /** Text of a file, `null` when it does not exist. Other failures throw. */
  readonly readFile: (path: string) => string | null;
}

/**
 * The environment that settings come from. A grant of `DAEMONEYE_*` does not allow to list variables, so each one that
 * can matter is asked for by name.
 */
export function settingsEnvironment(get: (name: string) => string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of ["DAEMONEYE_CONFIG", ...Object.keys(DEFINITIONS).map(variableOf)]) {
    const value = get(name);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

function variableOf(key: string): string {
  return "DAEMONEYE_" + key.replaceAll(".", "__").toUpperCase();
}

export interface DaemonFlags extends ConfigFlags {
  readonly help: boolean;
  readonly version: boolean;
  /** What to do instead of the daemon's work; `null` for that. */
  readonly command: string | null;
}

/** The flags of a daemon that knows these commands. @throws ConfigError on what does not exist. */
export function parseDaemonFlags(args: readonly string[], commands: readonly string[] = []): DaemonFlags {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: commands.length > 0,
      options: {
        state: { type: "string" },
        config: { type: "string" },
        set: { type: "string", multiple: true },
        help: { type: "boolean", short: "h", default: false },
        version: { type: "boolean", short: "V", default: false },
      },
    });
    const [command = null, ...rest] = positionals;
    if (rest.length > 0 || command !== null && !commands.includes(command)) {
      throw new RangeError(
        `There is no command ${JSON.stringify(positionals.join(" "))}; there is ${commands.join(", ")}`,
      );
    }
    const { state, config, set, help, version } = values;
    return { state, config, set, help, version, command };
  } catch (error) {
    throw new ConfigError(`${error instanceof Error ? error.message : error}; --help lists the flags`, {
      cause: error,
    });
  }
}

/**
 * Settles every setting.
 *
 * @throws ConfigError with the place of the value and the mend.
 */
export function loadSettings(input: SettingsInput): Settings {
  const values = new Map<string, Value>();
  const origins = new Map<string, string>();
  const put = (key: string, raw: unknown, origin: string): void => {
    values.set(key, checked(key, raw, origin));
    origins.set(key, origin);
  };
  for (const [key, definition] of Object.entries(DEFINITIONS)) put(key, definition.default, "default");

  // The user file lies in the state directory, which a stronger layer or the system file may move: so it is read last.
  const system = firstFile(SYSTEM_FILES, input.readFile);
  if (system !== null) putFile(system.path, system.text, put);
  const strong: [string, unknown, string][] = [...fromEnvironment(input.env), ...fromFlags(input.flags)];
  for (const [key, raw, origin] of strong) if (key === "state_dir") put(key, raw, origin);
  const user = userFile(input.flags, input.env, values.get("state_dir") as string, input.readFile);
  if (user !== null) {
    const stateDir = values.get("state_dir") as string, origin = origins.get("state_dir")!;
    putFile(user.path, user.text, put);
    if (user.derived && values.get("state_dir") !== stateDir) {
      throw new ConfigError(
        `${user.path} sets state_dir, but was found through it; set it by --state or in /etc/daemoneye`,
      );
    }
    if (user.derived) origins.set("state_dir", origin);
  }
  for (const [key, raw, origin] of strong) put(key, raw, origin);
  return shape(values, origins);
}

/** `name: value (unit), from layer: text` for each setting, for people. */
export function describeSettings(): string {
  return Object.entries(DEFINITIONS).map(([key, d]) => {
    const range = d.kind === "integer"
      ? ` (${d.min} to ${d.max} ${d.unit})`
      : d.kind === "choice"
      ? ` (${d.values.join(", ")})`
      : "";
    const initial = Array.isArray(d.default) ? "" : String(d.default);
    return `  ${key.padEnd(32)} ${d.text}${range}${initial === "" ? "" : `, default ${initial}`}`;
  }).join("\n");
}

function fromFlags(flags: ConfigFlags): [string, unknown, string][] {
  const found: [string, unknown, string][] = [];
  for (const assignment of flags.set ?? []) {
    const at = assignment.indexOf("=");
    if (at <= 0) throw new ConfigError(`--set ${assignment} is not KEY=VALUE`);
    found.push([assignment.slice(0, at), assignment.slice(at + 1), `flag --set ${assignment.slice(0, at)}`]);
  }
  if (flags.state !== undefined) found.push(["state_dir", flags.state, "flag --state"]);
  return found;
}

/** `DAEMONEYE_COLLECTOR__RING_BYTES` is `collector.ring_bytes`. */
function fromEnvironment(env: Readonly<Record<string, string>>): [string, unknown, string][] {
  const found: [string, unknown, string][] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith("DAEMONEYE_") || variable === "DAEMONEYE_CONFIG") continue;
    const key = variable.slice("DAEMONEYE_".length).toLowerCase().replaceAll("__", ".");
    found.push([key, value, `environment ${variable}`]);
  }
  return found;
}

function firstFile(
  paths: readonly string[],
  read: (path: string) => string | null,
): { path: string; text: string } | null {
  for (const path of paths) {
    const text = read(path);
    if (text !== null) return { path, text };
  }
  return null;
}

function userFile(
  flags: ConfigFlags,
  env: Readonly<Record<string, string>>,
  stateDir: string,
  read: (path: string) => string | null,
): { path: string; text: string; derived: boolean } | null {
  const named = flags.config ?? env["DAEMONEYE_CONFIG"];
  if (named !== undefined) {
    const text = read(named);
    if (text === null) {
      throw new ConfigError(`Configuration file ${named} does not exist; create it or drop the option`);
    }
    return { path: named, text, derived: false };
  }
  if (stateDir === INSTALLED_STATE) return null; // an installed system has its configuration in /etc/daemoneye
  const found = firstFile(userFileCandidates(stateDir), read);
  return found === null ? null : { ...found, derived: true };
}

/** Files that count as the user's when none is named, for a state directory that is not the installed one. */
export function userFileCandidates(stateDir: string): string[] {
  return ["yaml", "yml", "toml", "json"].map((ending) => `${stateDir}/config.${ending}`);
}

function putFile(path: string, text: string, put: (key: string, raw: unknown, origin: string) => void): void {
  if (text.length > MAX_CONFIG_BYTES) throw new ConfigError(`${path} is larger than ${MAX_CONFIG_BYTES} bytes`);
  let tree: unknown;
  try {
    if (path.endsWith(".json")) tree = JSON.parse(text);
    else if (path.endsWith(".toml")) tree = parseToml(text);
    else tree = oneDocument(parseYaml(text));
  } catch (error) {
    throw new ConfigError(`${path} cannot be understood: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  if (tree === null || tree === undefined) return; // a file of comments only
  if (typeof tree !== "object" || Array.isArray(tree)) throw new ConfigError(`${path} must hold settings by name`);
  for (const [key, raw] of flatten(tree as Record<string, unknown>, "")) put(key, raw, path);
}

function oneDocument(documents: readonly unknown[]): unknown {
  if (documents.length > 1) throw new SyntaxError("it holds more than one YAML document");
  return documents[0];
}

function* flatten(tree: Record<string, unknown>, prefix: string): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(tree)) {
    const nested = typeof value === "object" && value !== null && !Array.isArray(value);
    if (nested && prefix === "") yield* flatten(value as Record<string, unknown>, `${key}.`);
    else yield [prefix + key, value];
  }
}

function checked(key: string, raw: unknown, origin: string): Value {
  const definition = Object.hasOwn(DEFINITIONS, key) ? DEFINITIONS[key] : undefined;
  if (definition === undefined) {
    throw new ConfigError(
      `${origin}: there is no setting ${JSON.stringify(key)}; there are ${Object.keys(DEFINITIONS).join(", ")}`,
    );
  }
  const wrong = (expected: string): ConfigError =>
    new ConfigError(`${origin}: ${key} must be ${expected}, but is ${JSON.stringify(raw)?.slice(0, 200)}`);
  switch (definition.kind) {
    case "integer": {
      const number = typeof raw === "string" && /^\d{1,15}$/.test(raw) ? Number(raw) : raw;
      if (
        typeof number !== "number" || !Number.isInteger(number) || number < definition.min || number > definition.max
      ) {
        throw wrong(`a whole number from ${definition.min} to ${definition.max} (${definition.unit})`);
      }
      if (key === "collector.ring_bytes" && (number & (number - 1)) !== 0) throw wrong("a power of two");
      return number;
    }
    case "choice":
      if (typeof raw !== "string" || !definition.values.includes(raw)) {
        throw wrong(`one of ${definition.values.join(", ")}`);
      }
      return raw;
    case "path":
      return raw === "" ? "" : path(raw, wrong);
    case "paths": {
      const list = typeof raw === "string" ? raw.split(":").filter((part) => part !== "") : raw;
      if (!Array.isArray(list) || list.length > 64) throw wrong("a list of at most 64 directories");
      return list.map((part) => path(part, wrong));
    }
    case "names": {
      const list = typeof raw === "string" ? raw.split(",").filter((part) => part !== "") : raw;
      if (!Array.isArray(list) || list.length > 256 || !list.every(isVariableName)) {
        throw wrong("a list of at most 256 names of variables, each of which may end with a star");
      }
      return list;
    }
    case "name": {
      const text = typeof raw === "number" ? String(raw) : raw;
      if (typeof text !== "string" || !/^[A-Za-z0-9_.-]{0,64}$/.test(text)) {
        throw wrong("at most 64 letters, digits, dots, underscores or hyphens");
      }
      return text;
    }
  }
}

function isVariableName(name: unknown): boolean {
  return typeof name === "string" && /^(?:[A-Za-z_][A-Za-z0-9_]{0,127}\*?|\*)$/.test(name);
}

// A comma would split a Deno grant in two.
// deno-lint-ignore no-control-regex
const UNFIT_IN_PATH = /[\0-\x1f,]/;

function path(raw: unknown, wrong: (expected: string) => ConfigError): string {
  // 4,096 is the kernel's PATH_MAX; ".." would let a value leave the directory that its grant names
  if (
    typeof raw !== "string" || !raw.startsWith("/") || raw.length > 4096 || UNFIT_IN_PATH.test(raw) ||
    raw.split("/").includes("..")
  ) {
    throw wrong("an absolute path without '..', commas or control characters");
  }
  return raw.length > 1 ? raw.replace(/\/+$/, "") : raw;
}

/** Whoever can set a flag or a variable must not thereby get the secrets of a host into a database. */
function redaction(value: string, origin: string): "on" | "off" {
  if (value === "on") return "on";
  if (origin.startsWith("/")) return "off"; // whose file it is, the collector looks up
  throw new ConfigError(
    `${origin}: collector.redaction can be turned off only by a configuration file that root owns; ` +
      `write it in ${SYSTEM_FILES[0]}, or leave it on`,
  );
}

/** Longest path of a Unix socket, from `sun_path` in linux/un.h less its NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

function shape(values: ReadonlyMap<string, Value>, origins: ReadonlyMap<string, string>): Settings {
  const text = (key: string): string => values.get(key) as string;
  const number = (key: string): number => values.get(key) as number;
  const layout = stateLayout(text("state_dir"));
  const rulesDirs = values.get("rules_dirs") as readonly string[];
  const brokerSocket = text("broker_socket") || layout.brokerSocket;
  if (new TextEncoder().encode(brokerSocket).length > MAX_SOCKET_PATH_BYTES) {
    throw new ConfigError(
      `The socket path ${brokerSocket} is longer than ${MAX_SOCKET_PATH_BYTES} bytes; ` +
        `choose a shorter state directory by --state, or set broker_socket`,
    );
  }
  return {
    stateDir: layout.state,
    brokerSocket,
    rulesDirs: rulesDirs.length > 0 ? rulesDirs : [layout.rules],
    collector: {
      id: text("collector.id"),
      source: text("collector.source") as Settings["collector"]["source"],
      ringBytes: number("collector.ring_bytes"),
      pollIntervalMs: number("collector.poll_interval_ms"),
      snapshotIntervalMs: number("collector.snapshot_interval_ms"),
      reconcileIntervalMs: number("collector.reconcile_interval_ms"),
      maxQueuedEvents: number("collector.max_queued_events"),
      maxTrackedProcesses: number("collector.max_tracked_processes"),
      skipsKernelThreads: text("collector.skip_kernel_threads") === "yes",
      memoryChangePercent: number("collector.memory_change_percent"),
      cpuChangePercent: number("collector.cpu_change_percent"),
      environment: values.get("collector.environment") as readonly string[],
      redaction: redaction(text("collector.redaction"), origins.get("collector.redaction")!),
      hashing: text("collector.hashing") === "on",
      hashMaxBytes: number("collector.hash_max_bytes"),
      fuzzyMaxBytes: number("collector.fuzzy_max_bytes"),
      hashTimeoutMs: number("collector.hash_timeout_ms"),
      hasherUser: text("collector.hasher_user"),
      user: text("collector.user"),
      group: text("collector.group"),
      confinement: text("collector.confinement") as Settings["collector"]["confinement"],
      syscallFilter: text("collector.syscall_filter") as Settings["collector"]["syscallFilter"],
      agentUser: text("collector.agent_user"),
    },
    agent: {
      alertFile: text("agent.alert_file") || layout.alertFile,
      stdout: text("agent.stdout") as Settings["agent"]["stdout"],
      ruleDeadlineMs: number("agent.rule_deadline_ms"),
      maxConnections: number("agent.max_connections"),
      idleTimeoutMs: number("agent.idle_timeout_ms"),
    },
    origins,
  };
}
