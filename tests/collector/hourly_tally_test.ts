import assert from "node:assert/strict";
import { HourlyTally, shareOf } from "../../collector/hourly_tally.ts";

const MINUTE = 60_000;

Deno.test("HourlyTally forgets what is more than an hour ago, and keeps the total", () => {
  const tally = new HourlyTally();
  tally.add(5 * MINUTE, { matched: 10, missed: 1, unconfirmed: 2 });
  tally.add(30 * MINUTE, { matched: 5, missed: 0, unconfirmed: 0 });
  assert.deepEqual(tally.lastHour(64 * MINUTE), { matched: 15, missed: 1, unconfirmed: 2 });
  assert.deepEqual(tally.lastHour(65 * MINUTE), { matched: 5, missed: 0, unconfirmed: 0 });
  tally.add(500 * MINUTE, { matched: 1, missed: 0, unconfirmed: 0 });
  assert.deepEqual(tally.lastHour(500 * MINUTE), { matched: 1, missed: 0, unconfirmed: 0 });
  assert.deepEqual(tally.total, { matched: 16, missed: 1, unconfirmed: 2 });
});

Deno.test("shareOf() never says 100 % when one was missing", () => {
  assert.equal(shareOf({ matched: 0, missed: 0, unconfirmed: 0 }), "no records");
  assert.equal(shareOf({ matched: 3, missed: 0, unconfirmed: 0 }), "100 % of 3 records");
  assert.equal(shareOf({ matched: 1e9, missed: 1, unconfirmed: 0 }), "99.9999 % of 1000000001 records");
  assert.equal(shareOf({ matched: 1, missed: 0, unconfirmed: 1 }), "50.0000 % of 2 records");
});
