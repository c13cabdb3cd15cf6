import assert from "node:assert/strict";
import { BEHIND_EVENTS, Pacing } from "../../cli/pacing.ts";
import { readStatus } from "../../cli/status_reader.ts";
import { decodeCollectorStatus } from "../../proto/status_codec.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, TestState } from "../support/test_store.ts";

Deno.test("Pacing rests while many events wait, in proportion to what was read, and looks twice a second", () => {
  using state = new TestState();
  let now = 0, looks = 0;
  const rests: number[] = [];
  const pacing = new Pacing(
    () => {
      looks += 1;
      return readStatus(state.layout.collectorStatus, decodeCollectorStatus, NOW);
    },
    () => now,
    (ms) => {
      rests.push(ms);
      now += ms;
    },
  );
  const piece = (tookMs: number): number | null => {
    now += tookMs;
    return pacing.rest();
  };
  // Without a status, and with few that wait, nobody is given way to
  assert.deepEqual([piece(20), piece(20), looks], [null, null, 1]);
  state.writeStatus(null, { queuedEvents: BEHIND_EVENTS });
  assert.deepEqual([piece(600), rests], [null, []]);
  state.writeStatus(null, { queuedEvents: BEHIND_EVENTS + 1 });
  assert.deepEqual([piece(600), piece(20), piece(1)], [BEHIND_EVENTS + 1, BEHIND_EVENTS + 1, BEHIND_EVENTS + 1]);
  assert.deepEqual(rests, [4_000, 1_000, 250]);
  state.writeStatus(null, { queuedEvents: 0 });
  assert.deepEqual([piece(600), piece(20), rests.length], [null, null, 3]);
  // A collector that does not run any more waits for nobody
  state.writeStatus(null, { queuedEvents: BEHIND_EVENTS + 1, time: NOW - 60_000 });
  assert.deepEqual([piece(600), rests.length], [null, 3]);
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
