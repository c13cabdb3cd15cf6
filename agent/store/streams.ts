/**
 * Streams of events by their number: who sent them, and how far each is stored.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { TableDescriptor } from "../../proto/table_descriptor.ts";
import { insertInto } from "./insert_into.ts";

/** Ids stay below 2^53, where a double is still exact. */
export const MAX_STREAM = 2 ** 13 - 1;

/** Who a stream of events comes from: one log of one collector, which outlives its starts and those of the host. */
export interface StreamIdentity {
  readonly collectorId: string;
  readonly epoch: string;
  readonly bootId: string;
  readonly version: string;
  readonly source: string;
}

/** A stream that the store knows. */
export interface Stream extends StreamIdentity {
  readonly number: number;
  /** Last sequence that is stored; moves with each commit. */
  lastSequence: number;
  /** Set for a collector that keeps no ledger: what there is to enter about its events, another one's takes. */
  hasNoLedger?: boolean;
  /** The tables that its collector registered, once it has. */
  tables?: ReadonlyMap<string, TableDescriptor>;
}

/** More streams than there are numbers: nothing is wrong with the file. */
export class StreamsUsedUpError extends Error {
  override name = "StreamsUsedUpError";
}

export class Streams {
  readonly #statements: ReturnType<typeof prepare>;
  /** The open stream of each collector: one object, so that two connections of it share the watermark. */
  readonly #open = new Map<string, Stream>();

  constructor(db: DatabaseSync) {
    this.#statements = prepare(db);
  }

  /** Numbers of those that are open. */
  get inUse(): Set<number> {
    return new Set([...this.#open.values()].map(({ number }) => number));
  }

  /** The open one of that identity; what it says of its start may be another than before. */
  open({ collectorId, epoch }: StreamIdentity): Stream | null {
    const open = this.#open.get(collectorId);
    return open?.epoch === epoch ? open : null;
  }

  /** Notes who sends a stream that is open; within a transaction. */
  renew({ number }: Stream, { bootId, version, source }: StreamIdentity): void {
    this.#statements.renew.run(bootId, version, source, number);
  }

  /**
   * Finds the one of that identity, or gives it a number; within a transaction. Numbers of earlier streams of the same
   * collector that never stored anything are free again.
   */
  add(identity: StreamIdentity, now: number): Stream {
    const { collectorId, epoch, bootId, version, source } = identity, s = this.#statements;
    s.dropUnused.run(collectorId, epoch);
    const known = s.stream.get(collectorId, epoch);
    if (known !== undefined) {
      s.renew.run(bootId, version, source, known["stream"] as number);
      return { ...identity, number: known["stream"] as number, lastSequence: known["last_sequence"] as number };
    }
    const number = s.free.get()!["stream"] as number;
    if (number > MAX_STREAM) throw new StreamsUsedUpError();
    s.insert.run(number, collectorId, epoch, bootId, version, source, now, now, 0);
    return { ...identity, number, lastSequence: 0 };
  }

  /** The transaction that found or added it is durable. */
  opened(stream: Stream): void {
    this.#open.set(stream.collectorId, stream);
  }

  /** Moves the watermark; within a transaction. */
  advance({ number }: Stream, lastSequence: number, now: number): void {
    this.#statements.advance.run(lastSequence, now, number);
  }
}

// The type is spelt out by the object: every statement once, by name.
// deno-lint-ignore explicit-function-return-type
function prepare(db: DatabaseSync) {
  return {
    stream: db.prepare("SELECT stream, last_sequence FROM collectors WHERE collector_id = ? AND epoch = ?"),
    dropUnused: db.prepare("DELETE FROM collectors WHERE collector_id = ? AND epoch <> ? AND last_sequence = 0"),
    free: db.prepare(
      `SELECT min(n) AS stream FROM (SELECT 1 AS n UNION ALL SELECT stream + 1 FROM collectors)
       WHERE n NOT IN (SELECT stream FROM collectors)`,
    ),
    renew: db.prepare("UPDATE collectors SET boot_id = ?, version = ?, source = ? WHERE stream = ?"),
    insert: db.prepare(insertInto("collectors")),
    advance: db.prepare("UPDATE collectors SET last_sequence = ?, last_seen = ? WHERE stream = ?"),
  } satisfies Record<string, StatementSync>;
}
