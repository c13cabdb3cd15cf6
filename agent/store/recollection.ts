/**
 * What the agent reads of its own store to go on where it ended: the last events, findings, gaps, sources, rows of
 * collectors' tables, and what rules remember.
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { Table } from "../../proto/tables/table.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import type { Gap } from "../../proto/process_event.ts";
import type { SourceStatus } from "../../proto/status.ts";
import type { CollectedTables } from "./collected_tables.ts";
import type { Partitions } from "./partitions.ts";
import {
  eventsBetween,
  findingsSince,
  gapsSince,
  newestTime,
  type RaisedFinding,
  sourcesKnown,
  userNameOf,
} from "./recent.ts";
import type { SeenValues, StoredMemory } from "./seen_values.ts";
import type { Transactions } from "./transactions.ts";

export interface RecollectionTables {
  readonly partitions: Pick<Partitions, "visible">;
  readonly collected: Pick<CollectedTables, "since" | "newest">;
  readonly seen: Pick<SeenValues, "load">;
}

export class Recollection {
  constructor(
    private readonly db: DatabaseSync,
    private readonly tables: RecollectionTables,
    private readonly transactions: Pick<Transactions, "reading" | "readingEach">,
  ) {}

  /** What rules remember. @throws StoreError */
  seenMemories(): StoredMemory[] {
    return this.transactions.reading(() => this.tables.seen.load());
  }

  /** The newest rows of a collector's table later than `after`, oldest first. @throws StoreError */
  rowsSince(table: Table, after: number, limit: number): (readonly SqlValue[])[] {
    return this.transactions.reading(() => this.tables.collected.since(table, after, limit));
  }

  /** Time of the newest row of a collector's table that is not later than `most`. @throws StoreError */
  newestRowTime(table: string, most: number): number | null {
    return this.transactions.reading(() => this.tables.collected.newest(table, most));
  }

  /** Time of the newest event that is not later than `most`. @throws StoreError */
  newestEventTime(most: number): number | null {
    return this.transactions.reading(() => newestTime(this.db, this.tables.partitions.visible, most));
  }

  /** Columns of events later than `after` and not later than `until`, newest first. @throws StoreError */
  eventsBetween(columns: readonly string[], after: number, until: number): Generator<readonly SqlValue[]> {
    return this.transactions.readingEach(() => eventsBetween(this.db, columns, after, until));
  }

  /** What rules over windows raised for events later than `after`, newest first. @throws StoreError */
  findingsSince(after: number, limit: number): RaisedFinding[] {
    return this.transactions.reading(() => findingsSince(this.db, after, limit));
  }

  /** Gaps that end later than `after`, and the sources of all collectors. @throws StoreError */
  sightSince(after: number): { readonly gaps: readonly Gap[]; readonly sources: ReadonlyMap<string, SourceStatus[]> } {
    return this.transactions.reading(() => ({ gaps: gapsSince(this.db, after), sources: sourcesKnown(this.db) }));
  }

  /** The name of a user as the newest processes have it; `null` when none of those is of that user. @throws StoreError */
  userName(userId: number): string | null {
    return this.transactions.reading(() => userNameOf(this.db, userId));
  }
}
