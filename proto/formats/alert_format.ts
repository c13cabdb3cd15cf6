/**
 * How an alert is written as one line, for receivers: what every format of alerts is.
 *
 * @module
 */
import type { Alert } from "../alert.ts";

/** An alert with what alerts of other versions of the agent may not have. */
export type FormattedAlert =
  & Alert
  & Partial<{
    readonly kind: "alert" | "summary";
    readonly repeats:
      | { readonly count: number; readonly from: number; readonly to: number; readonly reason: string }
      | null;
    readonly hitsBefore: number;
    readonly groupId: string;
    readonly parentExecId: string | null;
    readonly startTime: number | null;
    readonly effectiveUserId: number | null;
    readonly loginUserId: number | null;
    readonly cwd: string | null;
    readonly containerId: string | null;
    readonly stdinKind: string | null;
    readonly stdoutKind: string | null;
    readonly ancestry: readonly AlertAncestor[];
  }>;

export interface AlertAncestor {
  readonly execId: string;
  readonly pid: number;
  readonly name: string | null;
  readonly executablePath: string | null;
  readonly userName: string | null;
}

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
  line(alert: FormattedAlert, options: FormatOptions): string;
  /** The id of the alert that a parsed line is; only of formats that are JSON. */
  idOf?(parsed: unknown): unknown;
}
