/** Gaps that the agent found itself, beside those that collectors report. */
import assert from "node:assert/strict";
import { Store } from "../../../agent/store/store.ts";
import { BOOT_ID, checkStore, rows, TempDir } from "../support.ts";

Deno.test("Store.putGap() gives each gap an id below all streams, and keeps it when the gap grows", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = new Store(path);
  const gap = { source: "collector", recordKind: "all", from: 10, to: 20, count: null, reason: "silent" };
  const stream = store.openStream({ collectorId: "a", epoch: "e", bootId: BOOT_ID, version: "1", source: "x" }, 1);
  const reported = [{ sequence: 1, gap: { ...gap, count: 3, reason: "reported" } }];
  const nothing = { events: [], snapshots: [], sources: null, alerts: [] };
  store.commit({ stream, lastSequence: 1, gaps: reported, ...nothing }, 1);
  assert.equal(store.putGap(gap, "a", null), 1);
  assert.equal(store.putGap({ ...gap, from: 30 }, "b", null), 2);
  assert.equal(store.putGap({ ...gap, to: 99.5 }, "a", 1), 1);
  store.close();
  const found = rows(path, "SELECT gap_id, collector_id, from_time, to_time, count FROM gaps ORDER BY gap_id");
  assert.deepEqual(found.map((row) => Object.values(row)), [
    [1, "a", 10, 100, null],
    [2, "b", 30, 20, null],
    [2 ** 40 + 1, "a", 10, 20, 3],
  ]);
  checkStore(path);
});
