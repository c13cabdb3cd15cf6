/**
 * `health --check`: one line for a monitoring system, and an exit code that says which kind of answer it is.
 *
 * What is wrong comes before what could not be looked at: a host that is known not to be watched is a finding, whatever
 * else cannot be read.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { type Call, EXIT, type Exit } from "./command.ts";
import { displayWidth, fit } from "./display_width.ts";
import type { Report, StoreReading } from "./health_report.ts";
import type { Statuses } from "./status_reader.ts";

/** Findings that are named; monitors show one line. */
const MAX_NAMED = 5;
/** Columns of one finding. */
const MAX_FINDING = 200;

export function writeCheck(call: Call, { agent, collector }: Statuses, store: StoreReading, report: Report): Exit {
  const unread = [
    ...(store.kind === "unreadable" ? [`store: ${store.reason}`] : []),
    ...(agent.kind === "unreadable" ? [`agent: its status cannot be read: ${agent.reason}`] : []),
    ...(collector.kind === "unreadable" ? [`collector: its status cannot be read: ${collector.reason}`] : []),
  ];
  const isUnknown = report.verdict === "unknown" || (unread.length > 0 && report.verdict !== "stopped");
  const sorted = report.findings.toSorted((a, b) => Number(b.level === "stopped") - Number(a.level === "stopped"));
  const words = isUnknown && unread.length > 0 ? unread : sorted.map(({ subject, text }) => `${subject}: ${text}`);
  const named = words.slice(0, MAX_NAMED).map((text) => {
    const shown = printable(text);
    return displayWidth(shown) > MAX_FINDING ? fit(shown, MAX_FINDING, "...") : shown;
  });
  if (words.length > named.length) named.push(`and ${words.length - named.length} more`);
  const verdict = isUnknown ? "unknown" : report.verdict;
  call.out.write(`${verdict}: ${report.verdict === "healthy" && !isUnknown ? report.summary : named.join("; ")}\n`);
  if (isUnknown) return EXIT.degraded;
  return report.verdict === "healthy" ? EXIT.complete : EXIT.findings;
}
