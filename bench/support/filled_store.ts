/**
 * A store of many events, made by the agent's own writer of partitions without agent and socket, for what reads it.
 *
 * Rows are those of a host (`shapedRows`), some thousands of different ones again and again, each with an identity and a
 * time of its own, so evenly spread that the newest is of now. Durability is off while it is made: nobody else knows of
 * it yet, and one that was not finished is made anew.
 *
 * @module
 */
import { closeDatabase, openDatabase } from "../../agent/store/database.ts";
import { Partitions } from "../../agent/store/partitions.ts";
import { shapedRows } from "./real_shaped_rules.ts";

/** About what the agent puts into one with the default limits. */
const PARTITION_EVENTS = 1_000_000;
const BATCH = 5_000, DIFFERENT = 20_000;
/** Of the first event of the first log (`agent/store/store.ts`). */
const FIRST_ID = 2 ** 40;
/** Between two events: 100 a second. */
export const INTERVAL_MS = 10;

/** The identity of the process that event number `at` is of. */
export function filledExecId(at: number): string {
  return `bench-${at}`;
}

/**
 * Makes a store at `path`, whose directory exists; gives the time of the newest event. `told` hears now and then how many
 * are in.
 */
export function fillStore(path: string, events: number, told: (done: number) => void = () => {}): number {
  const db = openDatabase(path);
  db.exec("PRAGMA synchronous = OFF");
  const partitions = new Partitions(db), rows = shapedRows(1, DIFFERENT, "linux");
  const first = Date.now() - events * INTERVAL_MS;
  for (let at = 0; at < events;) {
    db.exec("BEGIN");
    for (const end = Math.min(at + BATCH, events); at < end; at++) {
      const row = [...rows[at % DIFFERENT]!];
      [row[0], row[1], row[3]] = [FIRST_ID + at, first + at * INTERVAL_MS, filledExecId(at)];
      partitions.insert(row);
    }
    db.exec("COMMIT");
    partitions.committed();
    if (at % PARTITION_EVENTS === 0 && at < events) {
      db.exec("BEGIN");
      partitions.rotate(first + at * INTERVAL_MS);
      db.exec("COMMIT");
      told(at);
    }
  }
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  closeDatabase(db);
  return first + (events - 1) * INTERVAL_MS;
}
