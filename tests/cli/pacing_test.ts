import assert from "node:assert/strict";
import { BEHIND_EVENTS, Pacing } from "../../cli/pacing.ts";
import { readStatus } from "../../cli/status_reader.ts";
import { decodeCollectorStatus } from "../../proto/status_codec.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, TestState } from "../support/test_store.ts";

Deno.test("Pacing rests while many events wait, in proportion to what was read, and looks twice a second", () => {
  using state = new TestState();
  let now = 0, lot = 0.5;
  const rests: number[] = [];
  const pacing = new Pacing(
    () => readStatus(state.layout.collectorStatus, decodeCollectorStatus, NOW),
    () => now,
    (ms) => {
      rests.push(ms);
      now += ms;
      if (rests.length === 24) state.writeStatus(null, { queuedEvents: 0 });
    },
    () => lot,
  );
  const rested = (tookMs: number): number => {
    const before = rests.length;
    now += tookMs;
    pacing.rest();
    return rests.slice(before).reduce((sum, ms) => sum + ms, 0);
  };
  state.writeStatus(null, { queuedEvents: BEHIND_EVENTS + 1 });
  // A hundred times as long, within bounds, by lot from half of that to half more
  assert.deepEqual([rested(20), rested(1), rests.length], [2_000, 250, 5]);
  lot = 0;
  assert.equal(rested(20), 1_000);
  lot = 1;
  assert.equal(rested(20), 3_000);
  assert.equal(Math.max(...rests), 500);
  // No longer than events wait
  assert.equal(rested(600), 5_500);
  assert.deepEqual([rested(600), rests.length], [0, 24]);
});

Deno.test("Pacing gives way only while a collector that runs says that many events wait", () => {
  using state = new TestState();
  let now = 0, looks = 0, rested = 0;
  const pacing = new Pacing(
    () => {
      looks += 1;
      return readStatus(state.layout.collectorStatus, decodeCollectorStatus, NOW);
    },
    () => now,
    (ms) => {
      rested += ms;
      now += ms;
    },
    () => 0.5,
  );
  const piece = (tookMs: number): number | null => {
    now += tookMs;
    return pacing.rest();
  };
  // Without a status, and with few that wait, nobody is given way to
  assert.deepEqual([piece(20), piece(20), looks], [null, null, 1]);
  state.writeStatus(null, { queuedEvents: BEHIND_EVENTS });
  assert.deepEqual([piece(600), rested], [null, 0]);
  state.writeStatus(null, { queuedEvents: BEHIND_EVENTS + 1 });
  assert.deepEqual([piece(600), piece(20), piece(1)], [BEHIND_EVENTS + 1, BEHIND_EVENTS + 1, BEHIND_EVENTS + 1]);
  assert.equal(rested, 10_000 + 2_000 + 250);
  state.writeStatus(null, { queuedEvents: 0 });
  assert.deepEqual([piece(600), piece(20), rested], [null, null, 12_250]);
  // A collector that does not run any more waits for nobody
  state.writeStatus(null, { queuedEvents: BEHIND_EVENTS + 1, time: NOW - 60_000 });
  assert.deepEqual([piece(600), rested], [null, 12_250]);
});

Deno.test("export says that it gives way, and writes every row all the same", async () => {
  using state = new TestState();
  state.live();
  state.writeStatus({}, { queuedEvents: BEHIND_EVENTS * 2 });
  for (let i = 0; i < 50; i++) state.event();
  const { out, err } = await cli(state, ["export", "events", "--columns", "pid", "-f", "csv"]);
  assert.equal(out.trimEnd().split("\r\n").length, 51);
  assert.match(err, /20,000 events wait to be stored: this gives way until they are fewer/);
});
