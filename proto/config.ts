/**
 * Configuration: the layers that the value of a setting comes from.
 *
 * From strongest to weakest: what operators asked a running agent for, flags, `DAEMONEYE_*` environment, user file,
 * system file, defaults. A file is YAML, JSON or TOML by its ending. Every value knows its layer, so that an error can
 * say where a bad one stands. Nothing here reads a file or the environment: both are handed in. A file may hold settings
 * for every tier; each tier uses its own.
 *
 * @module
 */
import { loadAll as parseYaml } from "js-yaml";
import { parse as parseToml } from "smol-toml";
import { parseArgs } from "node:util";
import type { HashName } from "./ledger/hash.ts";
import type { SourceName } from "./process_event.ts";
import { isTurned, type RootSetting, SYSTEM_FILES } from "./root_settings.ts";
import { DEFINITIONS } from "./setting_definitions.ts";
import { checkedValue, ConfigError, type SettingValue } from "./setting_values.ts";
import { parseSinks } from "./sink_entries.ts";
import type { SinkSettings } from "./sink_settings.ts";
import { INSTALLED_STATE, stateLayout } from "./state_layout.ts";

/** Largest configuration file that is read. */
export const MAX_CONFIG_BYTES = 262_144;

export interface Settings {
  readonly stateDir: string;
  readonly brokerSocket: string;
  readonly rulesDirs: readonly string[];
  /** Whether files and processes are analysed. */
  readonly analysis: boolean;
  /** The directory of YARA rules. */
  readonly yaraRules: string;
  readonly collector: {
    readonly id: string;
    readonly source: "auto" | SourceName;
    readonly ringBytes: number;
    readonly pollIntervalMs: number;
    readonly snapshotIntervalMs: number;
    readonly reconcileIntervalMs: number;
    readonly walMaxBytes: number;
    readonly walSegmentBytes: number;
    readonly walKeepMs: number;
    readonly walMemoryBytes: number;
    readonly maxTrackedProcesses: number;
    readonly skipsKernelThreads: boolean;
    readonly memoryChangePercent: number;
    readonly cpuChangePercent: number;
    readonly environment: readonly string[];
    readonly redaction: "on" | "off";
    readonly environmentOnDemand: readonly string[];
    /** Whether there is a hasher; with `hashesOnDemand` it is only asked while a rule reads hashes. */
    readonly hashing: boolean;
    readonly hashesOnDemand: boolean;
    readonly keepsPtrace: boolean;
    readonly hashMaxBytes: number;
    readonly fuzzyMaxBytes: number;
    readonly hashTimeoutMs: number;
    readonly hasherUser: string;
    /** Empty where there is no response helper. */
    readonly responderUser: string;
    readonly user: string;
    readonly group: string;
    readonly confinement: "in-process" | "re-exec";
    readonly syscallFilter: "errno" | "kill" | "off";
    readonly agentUser: string;
    readonly obeysShutdown: boolean;
    readonly ledger: boolean;
    readonly ledgerHash: HashName;
    readonly ledgerCheckpointMs: number;
  };
  readonly agent: {
    readonly alertFile: string;
    readonly stdout: "human" | "json" | "none";
    /** All there are: those of `alertFile` and `stdout`, unless the list has its own under those names, and the list's. */
    readonly sinks: readonly SinkSettings[];
    readonly ruleDeadlineMs: number;
    /** The longest window that a rule may have, and the rows of all windows together. */
    readonly windowMs: number;
    readonly windowRows: number;
    readonly retentionMs: number;
    readonly alertRetentionMs: number;
    readonly storeMaxBytes: number;
    readonly alertWindowMs: number;
    readonly alertRulePerMinute: number;
    readonly alertPerMinute: number;
    /** Bounds of what may be owed to one sink. */
    readonly backlog: { readonly rows: number; readonly bytes: number };
    readonly startupTimeoutMs: number;
    readonly maxConnections: number;
    readonly idleTimeoutMs: number;
  };
  /** Where each value comes from, by setting: `flag --set`, `environment DAEMONEYE_…`, a file's path, `default`. */
  readonly origins: ReadonlyMap<string, string>;
  /** Every value by its setting, as it was settled. */
  readonly values: ReadonlyMap<string, SettingValue>;
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
  /** What operators asked a running agent for. */
  readonly asked?: readonly AskedValue[];
}

/** A value that was set while the agent ran, and by which request. */
export interface AskedValue {
  readonly key: string;
  readonly value: SettingValue;
  readonly origin: string;
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
  const values = new Map<string, SettingValue>();
  const origins = new Map<string, string>();
  const put = (key: string, raw: unknown, origin: string): void => {
    values.set(key, checkedValue(key, raw, origin));
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
  for (const { key, value, origin } of input.asked ?? []) put(key, value, origin);
  return shape(values, origins);
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

/** The two sinks that have settings of their own go first: a file takes alerts whatever becomes of a network. */
function allSinks(values: ReadonlyMap<string, SettingValue>, path: string): SinkSettings[] {
  const listed = parseSinks(
    values.get("agent.sinks"),
    (expected) => new ConfigError(`agent.sinks must be ${expected}`),
  );
  const isListed = (name: string): boolean => listed.some((sink) => sink.name === name);
  const sinks: SinkSettings[] = [], common = { minSeverity: "info" } as const;
  if (!isListed("file")) {
    const rotation = { rotateBytes: 0, rotateKeep: 5, fsync: "always" } as const;
    sinks.push({ type: "file", name: "file", format: "json", path, ...rotation, ...common });
  }
  const stdout = values.get("agent.stdout") as Settings["agent"]["stdout"];
  if (!isListed("stdout") && stdout !== "none") {
    sinks.push({ type: "stdout", name: "stdout", format: stdout, ...common });
  }
  return [...sinks, ...listed];
}

/** Longest path of a Unix socket, from `sun_path` in linux/un.h less its NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

function shape(values: ReadonlyMap<string, SettingValue>, origins: ReadonlyMap<string, string>): Settings {
  const text = (key: string): string => values.get(key) as string;
  const number = (key: string): number => values.get(key) as number;
  const turned = (key: RootSetting): boolean => isTurned(key, text(key), origins.get(key)!);
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
    analysis: text("analysis") === "on",
    yaraRules: text("yara_rules") || `${layout.rules}/yara`,
    collector: {
      id: text("collector.id"),
      source: text("collector.source") as Settings["collector"]["source"],
      ringBytes: number("collector.ring_bytes"),
      pollIntervalMs: number("collector.poll_interval_ms"),
      snapshotIntervalMs: number("collector.snapshot_interval_ms"),
      reconcileIntervalMs: number("collector.reconcile_interval_ms"),
      walMaxBytes: number("collector.wal_max_bytes"),
      walSegmentBytes: number("collector.wal_segment_bytes"),
      walKeepMs: number("collector.wal_keep_ms"),
      walMemoryBytes: number("collector.wal_memory_bytes"),
      maxTrackedProcesses: number("collector.max_tracked_processes"),
      skipsKernelThreads: text("collector.skip_kernel_threads") === "yes",
      memoryChangePercent: number("collector.memory_change_percent"),
      cpuChangePercent: number("collector.cpu_change_percent"),
      environment: values.get("collector.environment") as readonly string[],
      redaction: turned("collector.redaction") ? "off" : "on",
      environmentOnDemand: values.get("collector.environment_on_demand") as readonly string[],
      hashing: text("collector.hashing") !== "off",
      hashesOnDemand: text("collector.hashing") === "on-demand",
      keepsPtrace: turned("collector.keep_ptrace"),
      hashMaxBytes: number("collector.hash_max_bytes"),
      fuzzyMaxBytes: number("collector.fuzzy_max_bytes"),
      hashTimeoutMs: number("collector.hash_timeout_ms"),
      hasherUser: text("collector.hasher_user"),
      responderUser: text("collector.responder_user"),
      user: text("collector.user"),
      group: text("collector.group"),
      confinement: text("collector.confinement") as Settings["collector"]["confinement"],
      syscallFilter: text("collector.syscall_filter") as Settings["collector"]["syscallFilter"],
      agentUser: text("collector.agent_user"),
      obeysShutdown: text("collector.obeys_shutdown") === "yes",
      ledger: !turned("collector.ledger"),
      ledgerHash: text("collector.ledger_hash") as HashName,
      ledgerCheckpointMs: number("collector.ledger_checkpoint_ms"),
    },
    agent: {
      alertFile: text("agent.alert_file") || layout.alertFile,
      stdout: text("agent.stdout") as Settings["agent"]["stdout"],
      sinks: allSinks(values, text("agent.alert_file") || layout.alertFile),
      ruleDeadlineMs: number("agent.rule_deadline_ms"),
      windowMs: number("agent.window_minutes") * 60_000,
      windowRows: number("agent.window_rows"),
      retentionMs: number("agent.retention_hours") * 3_600_000,
      alertRetentionMs: number("agent.alert_retention_hours") * 3_600_000,
      storeMaxBytes: number("agent.store_max_bytes"),
      alertWindowMs: number("agent.alert_window_seconds") * 1_000,
      alertRulePerMinute: number("agent.alert_rule_per_minute"),
      alertPerMinute: number("agent.alert_per_minute"),
      backlog: { rows: number("agent.backlog_alerts"), bytes: number("agent.backlog_bytes") },
      startupTimeoutMs: number("agent.startup_timeout_ms"),
      maxConnections: number("agent.max_connections"),
      idleTimeoutMs: number("agent.idle_timeout_ms"),
    },
    origins,
    values,
  };
}
