/**
 * Which settings differ from the last start that the ledger knows of.
 *
 * What that start had lies in a file of the collector's. It is only a help to name the differences: the ledger has
 * a digest over all settings, so a file that was changed or removed shows by a change that nobody made.
 *
 * @module
 */
import { canonicalJson } from "../../proto/ledger/canonical_json.ts";
import { settingsStatement, settingTexts } from "../../proto/ledger/settings_statement.ts";
import type { Statements } from "../../proto/ledger/statement.ts";
import type { SettingValue } from "../../proto/setting_values.ts";

const MAX_FILE_BYTES = 262_144;

export interface SettingsChange {
  /** What to enter. */
  readonly statement: Statements["configurationChanged"];
  /** To be called when it is in the ledger, on disk: until then the next start says it again. */
  readonly entered: () => void;
}

/** What changed since the file at `path` was written; `null` when nothing did. */
export function settingsChange(values: ReadonlyMap<string, SettingValue>, path: string): SettingsChange | null {
  const now = settingTexts(values), before = readBefore(path);
  const keys = new Set([...Object.keys(now), ...Object.keys(before ?? {})]);
  const changed = before === null ? null : [...keys].filter((key) => now[key] !== before[key]).sort();
  if (changed?.length === 0) return null;
  return { statement: settingsStatement(values, changed), entered: () => remember(path, now) };
}

function readBefore(path: string): Record<string, string> | null {
  try {
    if (Deno.lstatSync(path).size > MAX_FILE_BYTES) return null;
    const value: unknown = JSON.parse(Deno.readTextFileSync(path));
    const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
    return isMap && Object.values(value).every((each) => typeof each === "string")
      ? value as Record<string, string>
      : null;
  } catch {
    return null; // none, or none that can be understood: every setting counts as new
  }
}

function remember(path: string, settings: Record<string, string>): void {
  try {
    Deno.writeTextFileSync(`${path}.new`, canonicalJson(settings), { mode: 0o640 });
    Deno.renameSync(`${path}.new`, path);
  } catch {
    // The next start says again what this one says.
  }
}
