/**
 * Where alerts go, and what a sink says when it could not take them.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import type { Severity } from "../../proto/process_event.ts";

export interface Sink {
  /** Under this name deliveries are owed in the store, so it must not change from start to start. */
  readonly name: string;
  /** Alerts below it are not for this sink. */
  readonly minSeverity: Severity;
  /**
   * Hands all of them over, in their order.
   *
   * @throws {SinkError} with what is to be done, and how many were taken before the fault; any other error is worth
   * another attempt with all of them.
   */
  write(alerts: readonly Alert[]): Promise<void>;
  /** Which of these ids a crash may have left written though the store still owes them. */
  written(alertIds: ReadonlySet<string>): Promise<ReadonlySet<string>>;
  close(): Promise<void>;
}

/** What is to be done with what a sink did not take. */
export type Remedy =
  /** Try again, after a while that grows. */
  | { readonly kind: "retry" }
  /** Try again, but not before: the receiver said so. */
  | { readonly kind: "retryAfter"; readonly ms: number }
  /** The first alert that was not taken never will be; the ones behind it may. */
  | { readonly kind: "refused" }
  /** No alert will be, until a person has done something: then the agent is started again. */
  | { readonly kind: "disabled" };

/** A sink did not take all that it was given. */
export class SinkError extends Error {
  override name = "SinkError";
  /** @param taken alerts from the first on that the receiver has, for good */
  constructor(message: string, readonly remedy: Remedy, readonly taken: number = 0, options: ErrorOptions = {}) {
    super(message, options);
  }
}

/** An alert cannot be had by this receiver, whatever is tried. */
export function refused(message: string, taken = 0): SinkError {
  return new SinkError(message, { kind: "refused" }, taken);
}

/** Worth another attempt. */
export function failed(message: string, taken = 0, cause: unknown = undefined): SinkError {
  return new SinkError(message, { kind: "retry" }, taken, { cause });
}

/** Nothing more can be had by this receiver in this run. */
export function disabled(message: string, taken = 0, cause: unknown = undefined): SinkError {
  return new SinkError(message, { kind: "disabled" }, taken, { cause });
}

/** Text of an error of any kind, with what caused it: "fetch failed" alone helps nobody. */
export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? textOf(error.cause) : "";
  return cause === "" || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`;
}
