/**
 * Where alerts go.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";

export interface Sink {
  /** Under this name deliveries are owed in the store, so it must not change from start to start. */
  readonly name: string;
  /**
   * Writes all of them, or throws having written none that a reader could take for whole.
   *
   * @throws SinkClosedError when no later attempt can succeed in this run; any other error is worth another attempt.
   */
  write(alerts: readonly Alert[]): Promise<void>;
  /** Which of these ids a crash may have left written though the store still owes them. */
  written(alertIds: ReadonlySet<string>): Promise<ReadonlySet<string>>;
  close(): Promise<void>;
}

/** The sink is gone for good: nobody reads it any more. */
export class SinkClosedError extends Error {
  override name = "SinkClosedError";
}
