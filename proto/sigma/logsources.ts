/**
 * Log sources of Sigma rules: which of them this host has events of, and why not of the others.
 *
 * @module
 */
import { AUDITD_FIELDS, FILE_FIELDS, type FutureFields, NETWORK_FIELDS } from "./fields.ts";

/** What a rule says under `logsource`; `null` where it says nothing. Lower case. */
export interface LogSource {
  readonly category: string | null;
  readonly product: string | null;
  readonly service: string | null;
}

/** Kinds of events of `process_events`. */
export const EVENT_TYPES = ["start", "stop", "modify", "suspicious"] as const;
export type EventType = (typeof EVENT_TYPES)[number];

export interface KnownLogSource {
  readonly source: LogSource;
  /** The events that answer it; `null` when there are none. */
  readonly events: EventType | null;
  /** What they are, or why there are none. */
  readonly note: string;
  /** Fields of a source without events. */
  readonly fields: FutureFields;
}

function source(words: string): LogSource {
  const given = new Map(words.split(" ").map((word) => word.split(":") as [string, string]));
  const part = (name: string): string | null => given.get(name) ?? null;
  return { category: part("category"), product: part("product"), service: part("service") };
}

const ABSENT = "this host has no events of it yet";

/** Those of which something is said. A rule that leaves the product out means Linux too. */
export const LOG_SOURCES: readonly KnownLogSource[] = [
  {
    source: source("product:linux category:process_creation"),
    events: "start",
    note: "every program that is executed, and what runs already when the collector starts",
    fields: [],
  },
  {
    source: source("product:linux category:process_termination"),
    events: "stop",
    note: "every end of a process, with `exit_code` and `exit_signal`",
    fields: [],
  },
  {
    source: source("product:linux category:file_event"),
    events: null,
    note: `files that are made or changed: ${ABSENT}`,
    fields: FILE_FIELDS,
  },
  {
    source: source("product:linux category:network_connection"),
    events: null,
    note: `connections: ${ABSENT}`,
    fields: NETWORK_FIELDS,
  },
  {
    source: source("product:linux service:auditd"),
    events: null,
    note:
      `records of the kernel's audit system: ${ABSENT}; a rule over EXECVE says the same as one over process_creation`,
    fields: AUDITD_FIELDS,
  },
];

/** The same in words: `category: process_creation, product: linux`. */
export function sourceWords({ category, product, service }: LogSource): string {
  const parts = Object.entries({ category, product, service }).flatMap(([name, text]) =>
    text === null ? [] : [`${name}: ${text}`]
  );
  return parts.length === 0 ? "nothing" : parts.join(", ");
}

/** Whether what one says is not other than what the other says; what either leaves open fits. */
export function fitsSource(wanted: LogSource, given: LogSource): boolean {
  const fits = (a: string | null, b: string | null): boolean => a === null || b === null || a === b;
  return fits(wanted.category, given.category) && fits(wanted.product, given.product) &&
    fits(wanted.service, given.service);
}

/** The events that a rule asks for, or why there are none. */
export function eventsOf(
  given: LogSource,
  custom: readonly KnownLogSource[],
): { readonly events: EventType; readonly custom: boolean } | { readonly reason: string } {
  const isSame = ({ source }: KnownLogSource): boolean =>
    source.category === given.category && source.service === given.service &&
    (source.product === given.product || (given.product === null && source.product === "linux"));
  const mapped = custom.find(isSame);
  if (mapped?.events) return { events: mapped.events, custom: true };
  const found = LOG_SOURCES.find(isSame);
  if (found !== undefined) {
    return found.events === null
      ? { reason: `${sourceWords(found.source)}: ${found.note}` }
      : { events: found.events, custom: false };
  }
  const words = sourceWords(given);
  if (given.product !== null && given.product !== "linux") {
    return { reason: `The log source (${words}) is not of a Linux host; sigma-mapping.yml can say what answers it` };
  }
  return { reason: `The log source (${words}) is not seen by this program; sigma-mapping.yml can say what answers it` };
}
