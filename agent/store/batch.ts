/**
 * What the store takes over in one transaction, and who decides about the alerts in it.
 *
 * @module
 */
import type { Alert } from "../../proto/alert.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { Gap } from "../../proto/process_event.ts";
import type { SeenChanges } from "../../proto/rules/seen_table.ts";
import type { SourceStatus } from "../../proto/status.ts";
import type { NewNote } from "../ledger_notes.ts";
import type { AlertTables } from "./alert_tables.ts";
import type { CollectedRows } from "./collected_tables.ts";
import type { SnapshotPart } from "./process_table.ts";
import type { Stream } from "./streams.ts";

/** What one transaction takes over. */
export interface Batch {
  readonly stream: Stream;
  /** Watermark after it. */
  readonly lastSequence: number;
  /** Rows of `process_events`, oldest first. */
  readonly events: readonly SqlValue[][];
  readonly snapshots: readonly SnapshotPart[];
  /** Rows of tables that collectors brought. */
  readonly rows?: readonly CollectedRows[];
  /** Rows that broke the schema of their table, by table. */
  readonly refusedRows?: ReadonlyMap<string, number>;
  readonly gaps: readonly { readonly sequence: number; readonly gap: Gap }[];
  /** All sources of the collector, `null` when nothing was said of them. */
  readonly sources: readonly SourceStatus[] | null;
  readonly alerts: readonly Alert[];
  /** Decides what becomes of the alerts; without one each is stored and owed. */
  readonly taker?: AlertTaker;
  /** What rules remember anew. */
  readonly seen?: readonly SeenChanges[];
  /** What is to be entered into the ledger of those of the alerts that are new. */
  readonly notesOf?: (alerts: readonly Alert[]) => readonly NewNote[];
}

/** Decides within the transaction that stores the events what becomes of the alerts that they raised. */
export interface AlertTaker {
  /** Adds to the tables what becomes an alert, and gives those. What it remembers counts from `committed` on. */
  take(alerts: readonly Alert[], tables: AlertTables, now: number): readonly Alert[];
  committed(): void;
  rolledBack(): void;
}

/** Each is stored and owed. */
export const TAKE_ALL: AlertTaker = {
  take: (alerts, tables) => alerts.filter((alert) => tables.add(alert)),
  committed: () => {},
  rolledBack: () => {},
};
