/**
 * A program that stores events as the agent does, with its store and its upkeep, until it is ended: as fast as it can,
 * or so many a second. It says twice a second when it is (milliseconds), how many it has stored, how long the log is
 * and how many milliseconds of CPU that took, and in the status of a collector how many wait: of as fast as it can, that
 * is more than can be counted.
 *
 * Arguments: the state directory, events a second (0: as fast as it can).
 *
 * @module
 */
import process from "node:process";
import { Journal } from "../../agent/journal.ts";
import { Store } from "../../agent/store/store.ts";
import { Upkeep } from "../../agent/store/upkeep.ts";
import { columnPlaces } from "../../proto/event_row.ts";
import { stateLayout } from "../../proto/state_layout.ts";
import { encodeCollectorStatus } from "../../proto/status_codec.ts";
import { COLLECTOR } from "../../tests/support/test_store.ts";
import { shapedRows } from "./real_shaped_rules.ts";

const [state, rate] = Deno.args, RATE = Number(rate), layout = stateLayout(state!), path = layout.store;
/** What the agent stores at once under load. */
const BATCH = 250;
const PLACES = columnPlaces("process_events"), EVENT_ID = PLACES.get("event_id")!, TIME = PLACES.get("time")!;

const store = new Store(path), rows = shapedRows(2, 5_000, "linux"), began = performance.now();
new Upkeep(store, new Journal());
const identity = { collectorId: "busy", epoch: crypto.randomUUID(), bootId: "0123abcd", version: "", source: "" };
const stream = store.openStream(identity, 0), base = stream.number * 2 ** 40;
/** Behind the sequences of the events that were there before. */
const FIRST = 2 ** 36;
let stored = 0, said = began;
for (;;) {
  const due = RATE === 0 ? Infinity : (performance.now() - began) / 1_000 * RATE;
  for (let turns = 0; turns < 20 && stored + BATCH <= due; turns++) {
    const now = Date.now(),
      events = Array.from({ length: BATCH }, (_, i) => {
        const row = [...rows[(stored + i) % rows.length]!];
        [row[EVENT_ID], row[TIME]] = [base + FIRST + stored + i + 1, now];
        return row;
      });
    const lastSequence = stored + BATCH;
    store.commit({
      stream,
      lastSequence: FIRST + lastSequence,
      events,
      snapshots: [],
      gaps: [],
      sources: null,
      alerts: [],
    }, now);
    stored = lastSequence;
  }
  const now = performance.now();
  if (now - said >= 500) {
    said = now;
    const queuedEvents = RATE === 0 ? 1e9 : Math.max(0, Math.floor(due - stored));
    const status = encodeCollectorStatus({ ...COLLECTOR, time: Date.now(), queuedEvents });
    Deno.writeFileSync(`${layout.collectorStatus}.new`, status);
    Deno.renameSync(`${layout.collectorStatus}.new`, layout.collectorStatus);
    const { user, system } = process.cpuUsage();
    console.log(`${now} ${stored} ${Deno.statSync(`${path}-wal`).size} ${(user + system) / 1_000}`);
  }
  // Upkeep runs between batches
  await new Promise((resolve) => setTimeout(resolve, RATE === 0 ? 0 : 10));
}
