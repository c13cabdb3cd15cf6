/**
 * How an alert is written as one line, for receivers: what every format of alerts is.
 *
 * @module
 */
import type { Alert } from "../alert.ts";

export interface FormatOptions {
  /** Name of this host. */
  readonly host: string;
  /** Longest value in bytes; texts past it are cut with a mark. */
  readonly valueBytes: number;
}

export interface AlertFormat {
  /** Of the body of a request. */
  readonly contentType: "application/json" | "text/plain; charset=utf-8";
  /** First line of a file. */
  readonly header: string | null;
  /** One line, without its end. */
  line(alert: Alert, options: FormatOptions): string;
  /** The id of the alert that a parsed line is; only of formats that are JSON. */
  idOf?(parsed: unknown): unknown;
}
