/**
 * A syslog message by RFC 5424: header, structured data, and the alert in the sink's format.
 *
 * @module
 */
import type { Severity } from "../../../proto/process_event.ts";
import type { SyslogSinkSettings } from "../../../proto/sink_settings.ts";
import { FORMATS } from "../formats/format.ts";
import type { Alert } from "../../../proto/alert.ts";
import { isoTime, shown } from "../../../proto/formats/text.ts";

/** RFC 5424, table 2. */
const SEVERITY: Readonly<Record<Severity, number>> = { info: 6, low: 5, medium: 4, high: 3, critical: 2 };

/** 32473 is the number that RFC 5612 has for everybody without one. */
const SD_ID = "daemoneye@32473";

const PARAMETERS: readonly (readonly [name: string, value: (a: Alert) => string | number | null | undefined])[] = [
  ["alertId", (a) => a.alertId],
  ["ruleId", (a) => a.ruleId],
  ["severity", (a) => a.severity],
  ["title", (a) => a.title],
  ["pid", (a) => a.pid],
  ["execId", (a) => a.execId],
  ["exe", (a) => a.executablePath],
  ["commandLine", (a) => a.commandLine],
  ["user", (a) => a.userName],
  ["uid", (a) => a.userId],
  ["ppid", (a) => a.ppid],
  ["parentExe", (a) => a.parentExecutablePath],
  ["tags", (a) => a.tags.join(" ")],
  ["repeats", (a) => a.repeats?.count],
  ["complete", (a) => a.completeness.complete ? "yes" : "no"],
];

/** Begins a text that is UTF-8 (RFC 5424, section 6.4); formats for programs go without, as these would trip over it. */
const BOM = "\ufeff";

/** The message, with no value longer than `valueBytes`. */
export function syslogMessage(
  alert: Alert,
  settings: Pick<SyslogSinkSettings, "facility" | "format" | "structuredData">,
  host: string,
  valueBytes: number,
): string {
  const priority = settings.facility * 8 + SEVERITY[alert.severity];
  const header = `<${priority}>1 ${timestamp(alert.time)} ${headerText(host, 255)} daemoneye ${Deno.pid} alert`;
  const text = FORMATS[settings.format].line(alert, { host, valueBytes });
  const data = settings.structuredData ? structuredData(alert, valueBytes) : "-";
  return `${header} ${data} ${settings.format === "human" ? BOM : ""}${text}`;
}

function structuredData(alert: Alert, valueBytes: number): string {
  const parameters = PARAMETERS.flatMap(([name, valueOf]) => {
    const value = valueOf(alert);
    if (value === null || value === undefined || value === "") return [];
    // Section 6.3.3: these three and no others.
    return [`${name}="${shown(String(value), valueBytes).replace(/["\\\]]/g, "\\$&")}"`];
  });
  return `[${SD_ID} ${parameters.join(" ")}]`;
}

/** Section 6.2.3; a time beyond the year 9999 came from a peer. */
function timestamp(time: number): string {
  const text = isoTime(time);
  return text === undefined || !/^\d{4}-/.test(text) ? "-" : text;
}

function headerText(text: string, maxLength: number): string {
  return /^[\x21-\x7e]+$/.test(text) ? text.slice(0, maxLength) : "-";
}
