/**
 * Which settings differ from the last start, for the ledger.
 *
 * What the last start had lies in a file of the collector's. It is only a help to name the differences: the ledger has
 * a digest over all settings, so a file that was changed or removed shows by a change that nobody made.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../../proto/ledger/canonical_json.ts";
import type { Statements } from "../../proto/ledger/statement.ts";
import { DEFINITIONS } from "../../proto/setting_definitions.ts";
import type { SettingValue } from "../../proto/setting_values.ts";

const MAX_FILE_BYTES = 262_144;
/** Longest value that is shown whole. No setting is a secret; some are long lists. */
const MAX_SHOWN = 200;

/** What to enter, `null` when nothing changed. Remembers the settings in the file at `path`. */
export function settingsChange(
  values: ReadonlyMap<string, SettingValue>,
  path: string,
): Statements["configurationChanged"] | null {
  const now = Object.fromEntries([...values].map(([key, value]) => [key, canonicalJson(value)]));
  const before = readBefore(path);
  const keys = new Set([...Object.keys(now), ...Object.keys(before ?? {})]);
  const changed = before === null ? null : [...keys].filter((key) => now[key] !== before[key]).sort();
  if (changed?.length === 0) return null;
  const settings = Object.entries(now)
    .filter(([key, text]) => text !== canonicalJson(DEFINITIONS[key]!.default))
    .map(([key, text]) => [key, text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN).toWellFormed()}…` : text]);
  remember(path, now);
  return {
    digest: createHash("sha256").update(canonicalJson(Object.fromEntries(values))).digest("hex"),
    changed,
    settings: Object.fromEntries(settings),
  };
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
