import assert from "node:assert/strict";
import { gapSince, readStatus, StatusFile } from "../../collector/status_file.ts";
import type { CollectorStatus } from "../../proto/status.ts";
import { COLLECTOR_STATUS, HEALTHY_LOG } from "../support/log_status.ts";

const STATUS: CollectorStatus = { ...COLLECTOR_STATUS, counters: { events: 9 } };

const LOG = { epoch: "epoch-1", lastRecordTime: 8_000 };

Deno.test("StatusFile replaces the file whole, and readStatus() reads it back", async () => {
  const directory = await Deno.makeTempDir(), path = `${directory}/status.pb`, file = new StatusFile(path);
  file.write(STATUS);
  file.write({ ...STATUS, lastSequence: 10 });
  assert.equal(readStatus(path)!.lastSequence, 10);
  assert.deepEqual([...Deno.readDirSync(directory)].map((entry) => entry.name), ["status.pb"]);
  file.close();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("StatusFile keeps the file while nothing happens, and has it say that it is so now", async () => {
  const directory = await Deno.makeTempDir(), path = `${directory}/status.pb`, file = new StatusFile(path);
  const later = { time: STATUS.time + 4_999, uptimeMs: STATUS.uptimeMs + 4_999, memoryBytes: 7e7, cpuMs: 123.5 };
  const inode = (): number => Deno.statSync(path).ino!;
  file.write(STATUS);
  const first = inode();
  file.write({ ...STATUS, ...later, durableTime: STATUS.durableTime + 4_000, forksSinceBoot: 200 });
  assert.equal(inode(), first);
  assert.deepEqual(readStatus(path), { ...STATUS, ...later });
  // What does not move by itself is told at once.
  file.write({ ...STATUS, ...later, counters: { events: 10 }, forksSinceBoot: 200 });
  assert.notEqual(inode(), first);
  assert.deepEqual(readStatus(path), { ...STATUS, ...later, counters: { events: 10 }, forksSinceBoot: 200 });
  // And what does is not older than five seconds.
  file.write({
    ...STATUS,
    ...later,
    uptimeMs: STATUS.uptimeMs + 10_000,
    counters: { events: 10 },
    forksSinceBoot: 300,
  });
  assert.equal(readStatus(path)!.forksSinceBoot, 300);
  file.close();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("StatusFile writes the whole file again after a write that failed", async () => {
  const directory = await Deno.makeTempDir(), path = `${directory}/state/status.pb`, file = new StatusFile(path);
  assert.throws(() => file.write(STATUS), Deno.errors.NotFound);
  await Deno.mkdir(`${directory}/state`);
  file.write(STATUS);
  assert.deepEqual(readStatus(path), STATUS);
  file.close();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("readStatus() gives nothing for a file that is missing, damaged or too large", async () => {
  const directory = await Deno.makeTempDir(), path = `${directory}/status.pb`;
  assert.equal(readStatus(path), null);
  await Deno.writeFile(path, crypto.getRandomValues(new Uint8Array(512)).fill(0xff, 0, 8));
  assert.equal(readStatus(path), null);
  await Deno.truncate(path, 2_000_000);
  assert.equal(readStatus(path), null);
  await Deno.remove(directory, { recursive: true });
});

Deno.test("gapSince() begins where all that was seen was on disk, and bounds what was missed by the kernel's count", () => {
  const gap = gapSince(STATUS, { time: 12_000, bootId: "boot-1", forksSinceBoot: 130, ...LOG });
  assert.deepEqual([gap.source, gap.recordKind, gap.from, gap.to, gap.count], [
    "collector",
    "all",
    9_000,
    12_000,
    null,
  ]);
  assert.match(gap.reason, /ended without a word .* counted 30 forks meanwhile/);
});

Deno.test("gapSince() tells a stop from an end without a word, and a boot from none", () => {
  const stopped = gapSince({ ...STATUS, state: "stopped" }, {
    time: 12_000,
    bootId: "boot-2",
    forksSinceBoot: 5,
    ...LOG,
  });
  assert.match(stopped.reason, /was stopped .* the host was booted meanwhile/);
});

Deno.test("gapSince() never ends before it begins, also when the clock was set back", () => {
  const gap = gapSince(STATUS, { time: 3_000, bootId: "boot-1", forksSinceBoot: null, ...LOG });
  assert.deepEqual([gap.from, gap.to], [3_000, 3_000]);
});

Deno.test("gapSince() begins with the last record on disk, where the last run did not live to say so", () => {
  const now = { time: 12_000, bootId: "boot-1", forksSinceBoot: null, epoch: "epoch-1", lastRecordTime: 9_700 };
  assert.equal(gapSince(STATUS, now).from, 9_700);
});

Deno.test("gapSince() begins with what waited, where the log that held it is gone", () => {
  const previous = { ...STATUS, log: { ...HEALTHY_LOG, oldestTime: 4_000 } };
  const gap = gapSince(previous, { time: 12_000, bootId: "boot-1", forksSinceBoot: null, ...LOG, epoch: "epoch-2" });
  assert.equal(gap.from, 4_000);
  assert.match(gap.reason, /, and what its log held is lost/);
  const empty = gapSince(STATUS, { time: 12_000, bootId: "boot-1", forksSinceBoot: null, ...LOG, epoch: "epoch-2" });
  assert.deepEqual([empty.from, empty.reason], [9_000, "the collector ended without a word and did not run"]);
});
