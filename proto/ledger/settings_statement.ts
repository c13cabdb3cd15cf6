/**
 * What a ledger holds of a tier's settings.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { DEFINITIONS } from "../setting_definitions.ts";
import type { SettingValue } from "../setting_values.ts";
import { canonicalJson } from "./canonical_json.ts";
import type { Statements } from "./statement.ts";

/** Longest value that is shown whole. No setting is a secret; some are long lists. */
const MAX_SHOWN = 200;

/** Every setting as text. */
export function settingTexts(values: ReadonlyMap<string, SettingValue>): Record<string, string> {
  return Object.fromEntries([...values].map(([key, value]) => [key, canonicalJson(value)]));
}

/** What to enter; `changed` are the names of those that differ from before, `null` when that is not known. */
export function settingsStatement(
  values: ReadonlyMap<string, SettingValue>,
  changed: readonly string[] | null,
): Statements["configurationChanged"] {
  const settings = Object.entries(settingTexts(values))
    .filter(([key, text]) => text !== canonicalJson(DEFINITIONS[key]!.default))
    .map(([key, text]) => [key, text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN).toWellFormed()}…` : text]);
  return {
    digest: createHash("sha256").update(canonicalJson(Object.fromEntries(values))).digest("hex"),
    changed,
    settings: Object.fromEntries(settings),
  };
}
