/**
 * A worker that stores events as the agent's writer does, in steady batches, and says how that goes.
 *
 * It gets `{ path, shared }` and counts in the shared integers: events committed, the longest time from one commit to
 * the next in microseconds beyond the pause between batches, and 1 once it runs.
 *
 * @module
 */
import { openDatabase } from "../../agent/store/database.ts";
import { Partitions } from "../../agent/store/partitions.ts";
import { columnPlaces } from "../../proto/event_row.ts";
import { shapedRows } from "./real_shaped_rules.ts";

export const EVENTS = 0, LONGEST = 1, RUNNING = 2;
/** A batch of so many events, so often: 5,000 events a second. */
export const BATCH = 100, PAUSE_MS = 20;

const PLACES = columnPlaces("process_events"), EVENT_ID = PLACES.get("event_id")!, TIME = PLACES.get("time")!;

interface Order {
  readonly path: string;
  readonly shared: SharedArrayBuffer;
}

(self as unknown as { onmessage: (event: MessageEvent<Order>) => void }).onmessage = ({ data: { path, shared } }) => {
  const counts = new Int32Array(shared), db = openDatabase(path), partitions = new Partitions(db);
  const rows = shapedRows(2, 5_000, "linux");
  let next = 0, before = performance.now();
  setInterval(() => {
    db.exec("BEGIN");
    for (let i = 0; i < BATCH; i++, next++) {
      const row = [...rows[next % rows.length]!];
      [row[EVENT_ID], row[TIME]] = [2 ** 41 + next, Date.now()];
      partitions.insert(row);
    }
    db.exec("COMMIT");
    partitions.committed();
    const now = performance.now(), stop = Math.round((now - before - PAUSE_MS) * 1_000);
    before = now;
    if (Atomics.load(counts, RUNNING) === 1 && stop > Atomics.load(counts, LONGEST)) {
      Atomics.store(counts, LONGEST, stop);
    }
    Atomics.add(counts, EVENTS, BATCH);
    Atomics.store(counts, RUNNING, 1);
  }, PAUSE_MS);
};
