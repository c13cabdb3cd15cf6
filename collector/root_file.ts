/**
 * The files of settings that only root may turn.
 *
 * @module
 */
import type { Settings } from "../proto/config.ts";
import { type RootSetting, rootSettingError } from "../proto/root_settings.ts";
import { faultOfRootFile } from "./kernel/file_owner.ts";

/** The file that turned a setting. @throws {ConfigError} when somebody else than root can change it */
export function rootFileOf(key: RootSetting, { origins }: Pick<Settings, "origins">): string {
  const file = origins.get(key)!, fault = faultOfRootFile(file);
  if (fault === null) return file;
  throw rootSettingError(key, file, `a file that nobody but root can change, but ${fault}`);
}
