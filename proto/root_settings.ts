/**
 * Settings that only root may turn: whoever can set a flag or a variable must not thereby get the secrets of a host into a
 * database, leave the collector a right, or leave no trace.
 *
 * Here a flag or a variable is refused. Whose a file is, the collector looks up, with the kernel's own eyes
 * (`collector/root_file.ts`).
 *
 * @module
 */
import { ConfigError } from "./setting_values.ts";

/** System-wide files, the first that exists counts. */
export const SYSTEM_FILES: readonly string[] = ["yaml", "yml", "toml", "json"].map((e) => `/etc/daemoneye/config.${e}`);

/** What each is by default, and which way it can be turned. */
const ROOT_SETTINGS = {
  "collector.redaction": { usual: "on", turned: "off" },
  "collector.keep_ptrace": { usual: "no", turned: "on" },
  "collector.ledger": { usual: "on", turned: "off" },
} as const;
export type RootSetting = keyof typeof ROOT_SETTINGS;

/** Whether it is other than by default. @throws ConfigError when something else than a file says so */
export function isTurned(key: RootSetting, value: string, origin: string): boolean {
  if (value === ROOT_SETTINGS[key].usual) return false;
  if (origin.startsWith("/")) return true;
  throw rootSettingError(key, origin, "a configuration file that root owns");
}

/** `who`: who alone may turn it, and why this does not count. */
export function rootSettingError(key: RootSetting, origin: string, who: string): ConfigError {
  const { turned } = ROOT_SETTINGS[key], left = turned === "off" ? "on" : "off";
  return new ConfigError(
    `${origin}: ${key} can be turned ${turned} only by ${who}; write it in ${SYSTEM_FILES[0]}, or leave it ${left}`,
  );
}
