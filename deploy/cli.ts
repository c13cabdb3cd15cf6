/**
 * `deno task cli …`: the CLI of the checkout, under the grants of its tier for the state directory that is asked for.
 *
 * It runs from its source files, so that it is always the checkout's; to load them needs no permission.
 *
 * @module
 */
import { stateLayout } from "../proto/state_layout.ts";
import { CHECKOUT } from "./bundle.ts";
import { findLibc, isExplained, stateDirectory } from "./launch.ts";
import { PRIORITY } from "./launcher.ts";
import { namedPaths, tierGrants } from "./privileges.ts";
import { grantFlags } from "./runtime_flags.ts";
import { fromCaller, placedSettings } from "./settings.ts";

/** What the runtime needs to find or fetch the packages of a first run, and what the CLI's output depends on. */
const PASSED_VARIABLES = [
  ...["HOME", "DENO_DIR", "XDG_CACHE_HOME", "NPM_CONFIG_REGISTRY", "npm_config_registry", "DENO_TLS_CA_STORE"],
  ...["DENO_CERT", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"],
  ...["NO_COLOR", "FORCE_COLOR", "TZ", "LANG"],
];

function main(): Promise<number> {
  const { rest, state: named, config, set } = splitFlags(Deno.args);
  const state = stateDirectory(named);
  const placed = placedSettings(state, `${CHECKOUT}/rules`, { config, set });
  const grants = tierGrants("cli", {
    layout: stateLayout(state),
    alertFile: placed.settings.agent.alertFile,
    rulesDirs: placed.rulesDirs,
    configFiles: placed.configFiles,
    alertHosts: [],
    libc: findLibc(),
  });
  const caller = Deno.env.get("INIT_CWD") ?? Deno.cwd();
  const mentioned = namedPaths(rest, caller, isFileOrDirectory);
  const places = [
    "--state",
    state,
    ...(config === undefined ? [] : ["--config", fromCaller(config)]),
    ...placed.rulesSetting,
    ...set.flatMap((assignment) => ["--set", assignment]),
  ];
  // Ctrl-C reaches both: the CLI decides what it means, and this program waits for it.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) Deno.addSignalListener(signal, () => {});
  const process = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      `${PRIORITY}; exec /usr/bin/nice -n "$n" "$@"`,
      "sh",
      Deno.execPath(),
      "run",
      "--quiet",
      ...grantFlags({ ...grants, read: [...grants.read, ...mentioned] }),
      `${CHECKOUT}/cli/main.ts`,
      ...places,
      ...rest,
    ],
    cwd: caller,
    clearEnv: true,
    env: Object.fromEntries(PASSED_VARIABLES.flatMap((name) => {
      const value = Deno.env.get(name);
      return value === undefined ? [] : [[name, value]];
    })),
  }).spawn();
  return process.status.then(({ code }) => code);
}

function isFileOrDirectory(path: string): boolean {
  try {
    const found = Deno.statSync(path);
    return found.isFile || found.isDirectory;
  } catch {
    return false;
  }
}

interface SplitFlags {
  readonly rest: readonly string[];
  readonly state: string | undefined;
  readonly config: string | undefined;
  readonly set: readonly string[];
}

/** Takes out the flags that say where things are; everything else is the CLI's to understand. */
function splitFlags(args: readonly string[]): SplitFlags {
  const rest: string[] = [], set: string[] = [];
  const last: { state?: string; config?: string } = {};
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    if (arg === "--") {
      rest.push(...args.slice(at));
      break;
    }
    const [, name, attached] = /^--(state|config|set)(?:=(.*))?$/s.exec(arg) ?? [];
    const value = attached ?? args[at + 1];
    if (name === undefined || value === undefined) {
      rest.push(arg);
      continue;
    }
    if (attached === undefined) at++;
    if (name === "set") set.push(value);
    else last[name as "state" | "config"] = value;
  }
  return { rest, set, state: last.state, config: last.config };
}

try {
  Deno.exit(await main());
} catch (error) {
  if (!isExplained(error)) throw error;
  console.error(`cli: ${error.message}`);
  Deno.exit(2);
}
