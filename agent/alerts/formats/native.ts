/**
 * The alert as it is, in JSON: `proto/alert.ts` field by field.
 *
 * @module
 */
import type { AlertFormat } from "../../../proto/formats/alert_format.ts";
import { cut, jsonLine } from "../../../proto/formats/text.ts";

export const NATIVE: AlertFormat = {
  contentType: "application/json",
  header: null,
  line: (alert, { valueBytes }) =>
    // Without a limit it is exact, lone surrogates and all: who has the line can compute what the ledger has of it.
    valueBytes === Infinity ? JSON.stringify(alert) : jsonLine(
      JSON.parse(JSON.stringify(alert), (_, value) => typeof value === "string" ? cut(value, valueBytes) : value),
    ),
  idOf: (parsed) => (parsed as { alertId?: unknown } | null)?.alertId,
};
