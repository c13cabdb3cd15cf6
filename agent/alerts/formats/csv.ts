/**
 * Comma-separated values by RFC 4180, one line each.
 *
 * A value that a spreadsheet would take for a formula gets an apostrophe in front: the values are an attacker's. Line
 * breaks and other controls are written as escapes, so that a line is an alert for every reader.
 *
 * @module
 */
import type { AlertFormat } from "../../../proto/formats/alert_format.ts";
import type { Alert } from "../../../proto/alert.ts";
import { isoTime, shown } from "../../../proto/formats/text.ts";

const COLUMNS: readonly (readonly [name: string, value: (alert: Alert) => string | number | null])[] = [
  ["time", (a) => isoTime(a.time) ?? a.time],
  ["severity", (a) => a.severity],
  ["rule_id", (a) => a.ruleId],
  ["title", (a) => a.title],
  ["pid", (a) => a.pid],
  ["ppid", (a) => a.ppid],
  ["user_id", (a) => a.userId],
  ["user_name", (a) => a.userName],
  ["executable_path", (a) => a.executablePath],
  ["command_line", (a) => a.commandLine],
  ["parent_executable_path", (a) => a.parentExecutablePath],
  ["parent_command_line", (a) => a.parentCommandLine],
  ["exec_id", (a) => a.execId],
  ["tags", (a) => a.tags.join(" ")],
  ["complete", (a) => a.completeness.complete ? "yes" : "no"],
  ["alert_id", (a) => a.alertId],
];

export const CSV: AlertFormat = {
  contentType: "text/plain; charset=utf-8",
  header: COLUMNS.map(([name]) => name).join(","),
  line: (alert, { valueBytes }) =>
    COLUMNS.map(([, valueOf]) => {
      const value = valueOf(alert);
      if (value === null) return "";
      if (typeof value === "number") return String(value);
      const text = shown(value, valueBytes), plain = /^[=+\-@]/.test(text) ? `'${text}` : text;
      return /[",]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
    }).join(","),
};
