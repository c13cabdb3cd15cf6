/**
 * What a rule file says of its alerts: which hits are the same, and how long.
 *
 * `alert: {key: [user_name, executable_path], window: 10m}`. The key names columns of `process_events`; without one, hits
 * of the same process are the same, and of a rule over several events those that it finds for the same group.
 *
 * @module
 */
import { tableNamed } from "../catalog.ts";
import { durationText, parseDuration } from "./duration.ts";
import { YamlFaultError, type YamlNode } from "./located_yaml.ts";
import { suggestion } from "./sql_refused.ts";

/** Which hits of a rule are one alert. */
export interface AlertPolicy {
  /** Columns whose values make hits the same; none: all hits of the rule are. `null`: as if nothing was said. */
  readonly key: readonly string[] | null;
  /** For how long; `null` for what the agent's settings say. */
  readonly windowMs: number | null;
}

/** Shortest and longest time for which a hit is the same as one before. */
export const MIN_ALERT_WINDOW_MS = 1_000, MAX_ALERT_WINDOW_MS = 86_400_000;
const MAX_KEY_COLUMNS = 8;
const WORDS = ["key", "window"];
const COLUMNS: readonly string[] = tableNamed("process_events").columns.map(({ name }) => name);

/** @throws YamlFaultError */
export function readAlertPolicy(node: YamlNode): AlertPolicy {
  if (node.kind !== "mapping" || node.entries.size === 0) {
    throw new YamlFaultError("alert is a mapping of key, window or both: {key: [user_name], window: 10m}", node.offset);
  }
  for (const [word, { keyOffset }] of node.entries) {
    if (WORDS.includes(word)) continue;
    throw new YamlFaultError(`Unknown key ${JSON.stringify(word.slice(0, 64))}${suggestion(word, WORDS)}`, keyOffset);
  }
  const key = node.entries.get("key")?.value, window = node.entries.get("window")?.value;
  return {
    key: key === undefined ? null : keyOf(key),
    windowMs: window === undefined ? null : windowOf(window),
  };
}

function keyOf(node: YamlNode): string[] {
  if (node.kind !== "sequence" || node.items.length > MAX_KEY_COLUMNS) {
    throw new YamlFaultError(`key is a list of at most ${MAX_KEY_COLUMNS} columns of process_events`, node.offset);
  }
  const columns = node.items.map((item) => {
    const column = item.kind === "scalar" ? String(item.value) : "";
    if (COLUMNS.includes(column)) return column;
    throw new YamlFaultError(
      `There is no column ${JSON.stringify(column.slice(0, 64))} in process_events${suggestion(column, COLUMNS)}`,
      item.offset,
    );
  });
  return [...new Set(columns)];
}

function windowOf(node: YamlNode): number {
  const ms = node.kind === "scalar" && typeof node.value === "string" ? parseDuration(node.value) : null;
  if (ms !== null && ms >= MIN_ALERT_WINDOW_MS && ms <= MAX_ALERT_WINDOW_MS) return ms;
  throw new YamlFaultError(
    `window is a time from ${durationText(MIN_ALERT_WINDOW_MS)} to ${durationText(MAX_ALERT_WINDOW_MS)}, such as 10m`,
    node.offset,
  );
}
