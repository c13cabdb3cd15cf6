import assert from "node:assert/strict";
import { cli } from "../support/cli_run.ts";
import { type Row, TestState } from "../support/test_store.ts";

/** What `stats` counts by the clock of a zone: moments and numbers of events. */
async function counted(by: string, zone: string, events: readonly Row[]): Promise<string[]> {
  using state = new TestState();
  state.live();
  events.forEach((row) => state.event(row));
  const before = Deno.env.get("TZ");
  Deno.env.set("TZ", zone);
  try {
    const { out } = await cli(state, ["stats", "--by", by, "-f", "jsonl"], { now: Date.UTC(2026, 9, 27) });
    return out.trim().split("\n").map((line) => JSON.parse(line)).map((row) =>
      `${new Date(row[by]).toISOString().slice(5, 16)} ${row.events} ${row.starts} ${row.stops} ${row.changes}`
    );
  } finally {
    if (before === undefined) Deno.env.delete("TZ");
    else Deno.env.set("TZ", before);
  }
}

const at = (day: number, hour: number, minute: number): Row => ({ time: Date.UTC(2026, 9, day, hour, minute) });

Deno.test("stats by day begins days at midnight by the local clock, also the one that winter time makes longer", async () => {
  const events = [at(24, 21, 59), at(24, 22, 0), at(25, 22, 59), { ...at(25, 23, 0), event_type: "stop" }];
  assert.deepEqual(await counted("day", "Europe/Berlin", events), [
    "10-23T22:00 1 1 0 0",
    "10-24T22:00 2 2 0 0",
    "10-25T23:00 1 0 1 0",
  ]);
});

Deno.test("stats by hour has both hours of the change to winter time, and the hours of a zone with half ones", async () => {
  const events = [at(25, 0, 30), at(25, 0, 45), { ...at(25, 1, 30), event_type: "modify" }];
  assert.deepEqual(await counted("hour", "Europe/Berlin", events), ["10-25T00:00 2 2 0 0", "10-25T01:00 1 0 0 1"]);
  assert.deepEqual(await counted("hour", "Asia/Kolkata", events), ["10-25T00:30 2 2 0 0", "10-25T01:30 1 0 0 1"]);
});
