/**
 * ArcSight Common Event Format, version 0 ("ArcSight Common Event Format Implementation Standard", revision 25).
 *
 * Types and lengths are those of its tables "Header field definitions" and "ArcSight extension dictionary", which
 * revision 27 has unchanged; older ones (23 and before) give custom strings 1,023 characters.
 *
 * In the header `\` and `|` are escaped, in the extension `\` and `=`; line ends in values are `\n` and `\r`. Other
 * controls have no escape there and are written as `printable()` does. Each key has the dictionary's longest length.
 *
 * @module
 */
import { printable } from "../../../proto/printable.ts";
import type { Severity } from "../../../proto/process_event.ts";
import { VERSION } from "../../../proto/version.ts";
import { techniquesOf } from "../../../proto/formats/attack_tags.ts";
import type { AlertFormat, FormatOptions } from "../../../proto/formats/alert_format.ts";
import type { Alert } from "../../../proto/alert.ts";
import { clipped, cut, isoTime } from "../../../proto/formats/text.ts";

const SEVERITY: Readonly<Record<Severity, number>> = { info: 1, low: 3, medium: 5, high: 8, critical: 10 };

/** Longest of each header field: vendor, product, version, event class, name. Between version and severity of the format. */
const HEADER_LENGTHS = [63, 63, 31, 1_023, 512] as const;

type Value = string | number | null | undefined;

/** Key, its longest length in characters, and the value. */
const EXTENSION: readonly (readonly [
  key: string,
  length: number,
  value: (alert: Alert, options: FormatOptions) => Value,
])[] = [
  ["rt", 20, (a) => timestamp(a.detectedTime)],
  ["start", 20, (a) => timestamp(a.time)],
  ["dvchost", 100, (_, { host }) => host],
  ["dhost", 1_023, (_, { host }) => host],
  ["cat", 1_023, (a) => a.tags.join(" ")],
  ["msg", 1_023, (a) => a.description],
  ["duid", 1_023, (a) => a.userId],
  ["duser", 1_023, (a) => a.userName],
  ["dpid", 20, (a) => a.pid],
  ["dproc", 1_023, (a) => a.executablePath ?? a.name],
  ["spid", 20, (a) => a.ppid],
  ["sproc", 1_023, (a) => a.parentExecutablePath ?? a.parentName],
  ["fname", 1_023, (a) => a.name],
  ["filePath", 1_023, (a) => a.executablePath],
  ["fileHash", 255, (a) => a.evidence["executable_hash"]],
  ["cnt", 20, (a) => a.repeats?.count],
  ["cs1Label", 1_023, (a) => a.commandLine === null ? null : "commandLine"],
  ["cs1", 4_000, (a) => a.commandLine],
  ["cs2Label", 1_023, (a) => a.parentCommandLine === null ? null : "parentCommandLine"],
  ["cs2", 4_000, (a) => a.parentCommandLine],
  ["cs3Label", 1_023, () => "execId"],
  ["cs3", 4_000, (a) => a.execId],
  ["cs4Label", 1_023, (a) => techniquesOf(a.tags).length === 0 ? null : "attackTechnique"],
  ["cs4", 4_000, (a) => techniquesOf(a.tags).map(({ id, subId }) => subId ?? id).join(" ")],
  ["cs5Label", 1_023, (a) => a.completeness.complete ? null : "incomplete"],
  ["cs5", 4_000, (a) => a.completeness.reasons.join("; ")],
  ["cs6Label", 1_023, () => "alertId"],
  ["cs6", 4_000, (a) => a.alertId],
];

export const CEF: AlertFormat = {
  contentType: "text/plain; charset=utf-8",
  header: null,
  line: (alert, options) => {
    const header = ["DaemonEye", "daemoneye-agent", VERSION, alert.ruleId, alert.title]
      // A header has no escape for a line end: it is written as an escape of ours, whose backslash is then escaped.
      .map((text, i) => clipped(printable(text), HEADER_LENGTHS[i]!).replace(/[\\|]/g, "\\$&"));
    const extension = EXTENSION.flatMap(([key, length, valueOf]) => {
      const value = valueOf(alert, options);
      if (value === null || value === undefined || value === "") return [];
      return [`${key}=${escaped(clipped(inLines(cut(String(value), options.valueBytes)), length))}`];
    });
    return `CEF:0|${header.join("|")}|${SEVERITY[alert.severity]}|${extension.join(" ")}`;
  },
};

/** Milliseconds since 1970, which is all that a time may be here; of another one, which came from a peer, nothing. */
function timestamp(time: number): number | null {
  return Number.isSafeInteger(time) && time >= 0 && isoTime(time) !== undefined ? time : null;
}

/** Harmless but for line ends, for which the extension has an escape. */
function inLines(text: string): string {
  return text.split(/([\n\r])/).map((part) => part === "\n" || part === "\r" ? part : printable(part)).join("");
}

function escaped(text: string): string {
  return text.replace(/[\\=]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
}
