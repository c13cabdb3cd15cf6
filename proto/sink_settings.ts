/**
 * `agent.sinks`: what is settled of each place that alerts go to. `sink_entries.ts` makes it from the configuration.
 *
 * Pure, as the supervisor needs it too: what a sink is granted comes from the same settings (`sink_needs.ts`). Secrets are
 * never in them, only the files that hold them: settings stand in the audit ledger and in what people paste.
 *
 * @module
 */
import type { Severity } from "./process_event.ts";

/** How an alert is written. */
export const FORMAT_NAMES = ["human", "json", "csv", "ocsf", "ocsf-process", "ecs", "cef", "leef"] as const;
export type FormatName = typeof FORMAT_NAMES[number];

/** From the least on. */
export const SEVERITIES = ["info", "low", "medium", "high", "critical"] as const satisfies readonly Severity[];

/** RFC 5424, table 1. */
export const FACILITIES = [
  ...["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp"],
  ...["audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"],
] as const;

interface Common {
  readonly name: string;
  readonly format: FormatName;
  /** Alerts below it are not owed to this sink. */
  readonly minSeverity: Severity;
}

/**
 * How a TLS server is known; without a pin by its name and an issuer that is trusted: the public ones or, where it is set,
 * those of `caFile` (of a webhook: those too).
 */
export interface TlsSettings {
  readonly caFile: string | null;
  /** The client's own certificate and key. */
  readonly certFile: string | null;
  readonly keyFile: string | null;
  /** The name that the certificate must have; the host's by default. */
  readonly serverName: string | null;
  /** SHA-256 of the server's certificate, lower case hexadecimal; one of them must match, and nothing else is asked. */
  readonly pins: readonly string[];
}

export interface StdoutSinkSettings extends Common {
  readonly type: "stdout";
}

export interface FileSinkSettings extends Common {
  readonly type: "file";
  readonly path: string;
  /** A file that would get larger is rotated first; 0 for never. */
  readonly rotateBytes: number;
  /** Rotated files that are kept, as `path.1` (the newest) and on. */
  readonly rotateKeep: number;
  /** `always`: a line is on the disk before it counts as delivered. */
  readonly fsync: "always" | "never";
}

type NetworkPlace<T> = { readonly transport: T; readonly host: string; readonly port: number };
type LocalPlace<T> = { readonly transport: T; readonly path: string };
export type SyslogPlace =
  | NetworkPlace<"udp">
  | NetworkPlace<"tcp">
  | NetworkPlace<"tls">
  | LocalPlace<"unix">
  | LocalPlace<"unixgram">;

export interface SyslogSinkSettings extends Common {
  readonly type: "syslog";
  readonly place: SyslogPlace;
  readonly facility: number;
  readonly framing: "octet-counting" | "newline";
  readonly structuredData: boolean;
  /** The server of a stream closes its side when we end ours, by which it says that it has all. */
  readonly isConfirmed: boolean;
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly tls: TlsSettings;
}

export interface WebhookSinkSettings extends Common {
  readonly type: "webhook";
  readonly url: string;
  /** Each holds a secret by Standard Webhooks (`whsec_…`, `whsk_…`); every one signs, so that keys can be rotated. */
  readonly secretFiles: readonly string[];
  /** Holds the value of the header Authorization. */
  readonly authorizationFile: string | null;
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly tls: TlsSettings;
}

export interface EmailSinkSettings extends Common {
  readonly type: "email";
  readonly host: string;
  readonly port: number;
  /** `starttls` and `tls` are never given up for less. */
  readonly security: "starttls" | "tls" | "none";
  readonly user: string | null;
  readonly passwordFile: string | null;
  readonly from: string;
  readonly to: readonly string[];
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly tls: TlsSettings;
}

/** The topics `alerts.*` of the agent's own bus. It has no format: its messages are `AlertPayload`. */
export interface BusSinkSettings extends Common {
  readonly type: "bus";
  /** Nothing is published while nobody subscribes who wants it at least once. */
  readonly waitsForSubscriber: boolean;
  readonly timeoutMs: number;
}

export type SinkSettings =
  | StdoutSinkSettings
  | FileSinkSettings
  | SyslogSinkSettings
  | WebhookSinkSettings
  | EmailSinkSettings
  | BusSinkSettings;
export type SinkType = SinkSettings["type"];

/** An entry as it stands in the configuration. */
export type SinkEntry = Readonly<Record<string, string | number | readonly string[]>>;
