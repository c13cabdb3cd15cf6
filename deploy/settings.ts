/**
 * Settings as the supervisor and the task `cli` need them: to know which files a tier must be granted.
 *
 * The tiers read the same files again by themselves; this is only about where things are.
 *
 * @module
 */
import { resolve } from "node:path";
import { loadSettings, type Settings, userFileCandidates } from "../proto/config.ts";
import { SYSTEM_FILES } from "../proto/root_settings.ts";
import { ConfigError } from "../proto/setting_values.ts";

/** What a person may say on the command line about settings. */
export interface SettingsFlags {
  readonly config: string | undefined;
  readonly set: readonly string[];
}

export interface PlacedSettings {
  readonly settings: Settings;
  /** The named configuration file, absolute. */
  readonly config: string | null;
  /** Every file that configuration may come from, as the tiers see it. */
  readonly configFiles: readonly string[];
  readonly rulesDirs: readonly string[];
  /** `--set` for rules directories that nobody set: the shipped ones and the state's own. */
  readonly rulesSetting: readonly string[];
}

/**
 * Settles what concerns places.
 *
 * @param state the state directory as the tiers see it
 * @param here the path here of a path as the tiers see it
 * @throws {ConfigError}
 */
export function placedSettings(
  state: string,
  shippedRules: string,
  flags: SettingsFlags,
  here: (path: string) => string = (path) => path,
): PlacedSettings {
  const config = flags.config === undefined ? null : fromCaller(flags.config);
  const settings = loadSettings({
    flags: { state, config: config ?? undefined, set: flags.set },
    env: settingsVariables(),
    readFile: (path) => readSettingsFile(here(path)),
  });
  const unset = settings.origins.get("rules_dirs") === "default";
  const rulesDirs = unset ? [shippedRules, `${state}/rules`] : settings.rulesDirs;
  return {
    settings,
    config,
    configFiles: [...(config === null ? userFileCandidates(state) : [config]), ...SYSTEM_FILES],
    rulesDirs,
    rulesSetting: unset ? ["--set", `rules_dirs=${rulesDirs.join(":")}`] : [],
  };
}

/** A path as the caller of a task means it: `deno task` changes the directory, and says where it was called. */
export function fromCaller(path: string): string {
  return resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), path);
}

function settingsVariables(): Record<string, string> {
  return Object.fromEntries(Object.entries(Deno.env.toObject()).filter(([name]) => name.startsWith("DAEMONEYE_")));
}

function readSettingsFile(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw new ConfigError(`${path} cannot be read: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}
