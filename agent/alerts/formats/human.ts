/**
 * A line for people: `[severity] time title pid exe command line (parent …)`, harmless on a terminal.
 *
 * @module
 */
import { printable } from "../../../proto/printable.ts";
import type { Severity } from "../../../proto/process_event.ts";
import type { AlertFormat } from "../../../proto/formats/alert_format.ts";
import type { Alert } from "../../../proto/alert.ts";
import { isoTime } from "../../../proto/formats/text.ts";

/** Longest command line shown in a line for people. */
const MAX_SHOWN = 400;

const COLOUR: Readonly<Record<Severity, string>> = {
  info: "\x1b[36m",
  low: "\x1b[32m",
  medium: "\x1b[33m",
  high: "\x1b[31m",
  critical: "\x1b[1;31m",
};
const RESET = "\x1b[0m";

export const HUMAN: AlertFormat = {
  contentType: "text/plain; charset=utf-8",
  header: null,
  line: (alert, { valueBytes }) => humanLine(alert, false, Math.min(MAX_SHOWN, valueBytes)),
};

export function humanLine(alert: Alert, colour: boolean, maxShown: number = MAX_SHOWN): string {
  const shown = (text: string): string =>
    printable(text.length > maxShown ? text.slice(0, maxShown).toWellFormed() + "…" : text);
  const severity = colour ? `${COLOUR[alert.severity]}[${alert.severity}]${RESET}` : `[${alert.severity}]`;
  const parent = alert.parentExecutablePath ?? alert.parentName;
  const ppid = alert.ppid === null ? "" : ` ${alert.ppid}`;
  return [
    severity,
    isoTime(alert.time) ?? String(alert.time),
    shown(alert.title),
    String(alert.pid),
    shown(alert.executablePath ?? alert.name),
    shown(alert.commandLine ?? "(arguments unknown)"),
    `(parent${ppid} ${parent === null ? "unknown" : shown(parent)})`,
    ...(alert.repeats ? [`(${alert.repeats.count} more: ${shown(alert.repeats.reason)})`] : []),
    ...(alert.completeness.complete ? [] : [`(not all was seen: ${shown(alert.completeness.reasons[0] ?? "")})`]),
  ].join(" ");
}
