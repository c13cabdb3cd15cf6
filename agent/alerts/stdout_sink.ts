/**
 * Alerts on stdout: a line each, for people or as JSON.
 *
 * Whoever reads may be slow or go away. A full pipe holds this sink and nothing else; a closed one ends it for this run,
 * and what was not written is written at the next start. A crash between writing and noting it shows a line twice.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import { printable } from "../../proto/printable.ts";
import type { Severity } from "../../proto/process_event.ts";
import { type Sink, SinkClosedError } from "./sink.ts";

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

/** The part of `Deno.stdout` that is used. */
export interface Output {
  write(bytes: Uint8Array): Promise<number>;
}

export function stdoutSink(format: "human" | "json", colour: boolean, output: Output = Deno.stdout): Sink {
  const encoder = new TextEncoder();
  return {
    name: "stdout",
    async write(alerts) {
      const line = format === "json" ? JSON.stringify : (alert: Alert) => humanLine(alert, colour);
      let rest = encoder.encode(alerts.map((alert) => line(alert) + "\n").join(""));
      try {
        while (rest.length > 0) rest = rest.subarray(await output.write(rest));
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) {
          throw new SinkClosedError("Nobody reads stdout any more; the alerts wait for the next start", {
            cause: error,
          });
        }
        throw error;
      }
    },
    written: () => Promise.resolve(new Set()),
    close: () => Promise.resolve(),
  };
}

/** `[severity] time rule-title pid exe command_line (parent …)`, harmless on a terminal. */
export function humanLine(alert: Alert, colour: boolean): string {
  const severity = colour ? `${COLOUR[alert.severity]}[${alert.severity}]${RESET}` : `[${alert.severity}]`;
  const parent = alert.parentExecutablePath ?? alert.parentName;
  const ppid = alert.ppid === null ? "" : ` ${alert.ppid}`;
  return [
    severity,
    timeText(alert.time),
    printable(alert.title),
    String(alert.pid),
    shown(alert.executablePath ?? alert.name),
    shown(alert.commandLine ?? "(arguments unknown)"),
    `(parent${ppid} ${parent === null ? "unknown" : shown(parent)})`,
    ...(alert.completeness.complete ? [] : [`(not all was seen: ${shown(alert.completeness.reasons[0] ?? "")})`]),
  ].join(" ");
}

function shown(text: string): string {
  return printable(text.length > MAX_SHOWN ? text.slice(0, MAX_SHOWN).toWellFormed() + "…" : text);
}

/** ISO 8601; a time beyond what a date can hold came from a peer and is shown as its number. */
function timeText(time: number): string {
  return Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : String(time);
}
