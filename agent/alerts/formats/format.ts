/**
 * How an alert is written: the formats by name, and a message that fits what a receiver takes.
 *
 * @module
 */
import type { AlertFormat } from "../../../proto/formats/alert_format.ts";
import { ECS } from "../../../proto/formats/ecs.ts";
import { DETECTION_FINDING, PROCESS_ACTIVITY } from "../../../proto/formats/ocsf.ts";
import type { FormatName } from "../../../proto/sink_settings.ts";
import { CEF } from "./cef.ts";
import { CSV } from "./csv.ts";
import { HUMAN } from "./human.ts";
import { LEEF } from "./leef.ts";
import { NATIVE } from "./native.ts";

export const FORMATS: Readonly<Record<FormatName, AlertFormat>> = {
  human: HUMAN,
  json: NATIVE,
  csv: CSV,
  ocsf: DETECTION_FINDING,
  "ocsf-process": PROCESS_ACTIVITY,
  ecs: ECS,
  cef: CEF,
  leef: LEEF,
};

/** Bytes of a value, tried in turn until the whole fits. */
const VALUE_BYTES = [8_192, 4_096, 2_048, 1_024, 512, 256, 128, 64] as const;

/** Where nothing bounds a message but good sense. */
export const USUAL_VALUE_BYTES = VALUE_BYTES[0];

/** The longest message of an alert that fits into `maxBytes`; `null` when not even the shortest does. */
export function fittedMessage(maxBytes: number, message: (valueBytes: number) => string): Uint8Array | null {
  const encoder = new TextEncoder();
  for (const valueBytes of VALUE_BYTES) {
    const bytes = encoder.encode(message(valueBytes));
    if (bytes.length <= maxBytes) return bytes;
  }
  return null;
}
