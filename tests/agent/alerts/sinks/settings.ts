/**
 * Settings of a sink from an entry as it would stand in a configuration.
 *
 * @module
 */
import { parseSinks } from "../../../../proto/sink_entries.ts";
import type { SinkSettings } from "../../../../proto/sink_settings.ts";

export function sinkOf(entry: Record<string, unknown>): SinkSettings {
  return parseSinks([entry], (expected) => new Error(expected))[0]!;
}
