/**
 * IBM QRadar's Log Event Extended Format, version 2.0, with a tab between attributes.
 *
 * By IBM's "QRadar DSM guide", chapter on LEEF: its header ("LEEF event components") and its keys with their limits
 * ("Predefined LEEF event attributes"). Of those that are used here, the event's id and the user's name have one.
 *
 * LEEF escapes nothing: a tab, a line end or, in the header, a `|` within a value would end it. Controls are written as
 * `printable()` does, and a `|` of a header as `¦`. Only the first `=` of an attribute parts key and value.
 *
 * @module
 */
import { printable } from "../../../proto/printable.ts";
import type { Severity } from "../../../proto/process_event.ts";
import { VERSION } from "../../../proto/version.ts";
import type { AlertFormat, FormatOptions } from "../../../proto/formats/alert_format.ts";
import type { Alert } from "../../../proto/alert.ts";
import { clipped, isoTime, shown } from "../../../proto/formats/text.ts";

const SEVERITY: Readonly<Record<Severity, number>> = { info: 1, low: 3, medium: 5, high: 8, critical: 10 };

/** Longest id of an event, and name of a user, in characters. */
const MAX_LENGTH = 255;

/** The predefined keys first, those of our own after them. */
const ATTRIBUTES: readonly (readonly [
  key: string,
  value: (alert: Alert, options: FormatOptions) => string | number | null | undefined,
])[] = [
  ["devTime", (a) => isoTime(a.time)?.replace("T", " ").replace("Z", " UTC")],
  ["devTimeFormat", (a) => isoTime(a.time) === undefined ? null : "yyyy-MM-dd HH:mm:ss.SSS z"],
  ["cat", (a) => a.tags[0]],
  ["sev", (a) => SEVERITY[a.severity]],
  ["usrName", (a, { valueBytes }) => a.userName && clipped(shown(a.userName, valueBytes), MAX_LENGTH)],
  ["resource", (_, { host }) => host],
  ["ruleTitle", (a) => a.title],
  ["tags", (a) => a.tags.join(" ")],
  ["userId", (a) => a.userId],
  ["pid", (a) => a.pid],
  ["ppid", (a) => a.ppid],
  ["processName", (a) => a.name],
  ["processPath", (a) => a.executablePath],
  ["commandLine", (a) => a.commandLine],
  ["parentName", (a) => a.parentName],
  ["parentPath", (a) => a.parentExecutablePath],
  ["parentCommandLine", (a) => a.parentCommandLine],
  ["fileHash", (a) => a.evidence["executable_hash"]],
  ["execId", (a) => a.execId],
  ["incomplete", (a) => a.completeness.reasons.join("; ")],
  ["repeats", (a) => a.repeats?.count],
  ["alertId", (a) => a.alertId],
];

export const LEEF: AlertFormat = {
  contentType: "text/plain; charset=utf-8",
  header: null,
  line: (alert, options) => {
    const header = ["LEEF:2.0", "DaemonEye", "daemoneye-agent", VERSION, alert.ruleId]
      .map((text) => clipped(printable(text), MAX_LENGTH).replaceAll("|", "¦"));
    const attributes = ATTRIBUTES.flatMap(([key, valueOf]) => {
      const value = valueOf(alert, options);
      if (value === null || value === undefined || value === "") return [];
      return [`${key}=${shown(String(value), options.valueBytes)}`];
    });
    return `${header.join("|")}|x09|${attributes.join("\t")}`;
  },
};
