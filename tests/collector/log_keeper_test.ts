import assert from "node:assert/strict";
import { blankProcessEvent, type ProcessEvent } from "../../proto/process_event.ts";
import { StorageError } from "../../collector/wal/storage.ts";
import { Random } from "../fuzz/random.ts";
import { SimulatedCrash } from "../support/sim_storage.ts";
import { frames, messages, SimHome, TestLog } from "../support/test_log.ts";

function event(number: number): ProcessEvent {
  return { ...blankProcessEvent("start", 1_000_000 + number, `0badcafe-${number}-7`, number), source: "ebpf" };
}

function add(log: TestLog, from: number, count: number): void {
  log.outbox.addEvents(Array.from({ length: count }, (_, i) => event(from + i)));
  log.outbox.flush();
}

/** Pids of the events that wait: who they are, whatever their numbers. */
function pids(log: TestLog): number[] {
  return messages(log.outbox).flatMap((message) =>
    message.kind === "events" ? message.events.map(({ pid }) => pid) : []
  );
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Lets time pass until the log has tended to itself. */
function pass(log: TestLog, ms: number): void {
  for (let left = ms; left > 0; left -= 1_000) {
    log.now += 1_000;
    log.outbox.flush();
    log.outbox.tend();
  }
}

for (const [what, options] of [["host", { host: "host-2" }], ["collector", { collectorId: "other" }]] as const) {
  Deno.test(`LogKeeper leaves the log of another ${what} alone, says so, and begins one beside it`, () => {
    const log = new TestLog();
    add(log, 1, 10);
    log.outbox.close();
    const { epoch } = log.outbox;
    const before = log.home.logs.get("1")!.list();
    log.restart(options);
    assert.notEqual(log.outbox.epoch, epoch);
    assert.equal(log.keeper.place, "/sim/wal/2");
    assert.match(
      log.keeper.trouble,
      new RegExp(`/sim/wal/1 is left alone: .*belongs to ${what}.*move the directory away`),
    );
    assert.deepEqual(log.home.logs.get("1")!.list(), before);
    add(log, 11, 1);
    assert.deepEqual(pids(log), [11]);
    log.outbox.close();
    log.restart({ host: "host-1", collectorId: "test" });
    assert.equal(log.outbox.epoch, epoch, "its own log is found again");
    log.outbox.flush();
    assert.deepEqual(pids(log), range(1, 10));
  });
}

Deno.test("LogKeeper works in memory without a directory, and carries it to disk when there is one", () => {
  const home = new SimHome();
  home.fault = "/sim/wal: Permission denied";
  const log = new TestLog({}, home);
  assert.equal(log.outbox.place, "memory");
  assert.match(log.outbox.trouble, /in memory.*Permission denied.*let the collector's user write \/sim\/wal/);
  const { epoch } = log.outbox;
  add(log, 1, 10);
  assert.deepEqual(pids(log), range(1, 10), "it is given out all the same");
  assert.ok(log.outbox.safeTime(9_999_999) < 9_999_999, "but does not outlive the collector");
  log.outbox.acknowledge(4);
  pass(log, 60_000);
  assert.equal(log.outbox.place, "memory");
  home.fault = null;
  log.outbox.noteOffered(10);
  pass(log, 120_000);
  assert.equal(log.outbox.place, "memory", "what was sent may be stored: it must be acknowledged first");
  assert.equal(log.outbox.frameAfter(4), null, "and nothing more is sent");
  log.outbox.acknowledge(7);
  log.outbox.noteOffered(7); // a new connection says what the agent has
  pass(log, 2_000);
  assert.equal(log.outbox.place, "/sim/wal/1");
  assert.equal(log.outbox.trouble, "");
  assert.notEqual(log.outbox.epoch, epoch);
  assert.deepEqual(pids(log), [8, 9, 10]);
  assert.deepEqual(frames(log.outbox)[0]!.first, 1, "numbers of the new epoch begin with 1");
  assert.equal(log.outbox.safeTime(9_999_999), 9_999_999);
});

Deno.test("LogKeeper goes on in memory when the disk takes nothing for long and all on it is delivered", () => {
  const log = new TestLog();
  add(log, 1, 5);
  log.outbox.acknowledge(3);
  log.home.capacity = 0;
  add(log, 6, 5);
  pass(log, 60_000);
  assert.equal(log.outbox.place, "/sim/wal/1", "what is on disk is sent from there first");
  log.outbox.acknowledge(5);
  pass(log, 60_000);
  assert.equal(log.outbox.place, "memory");
  assert.deepEqual(pids(log), range(6, 10), "the agent gets what the disk did not take");
  assert.ok(log.notices.some((text) => /is replaced by memory, as the disk is full/.test(text)), log.notices.join());
  log.home.capacity = Infinity;
  log.outbox.noteOffered(5);
  log.outbox.acknowledge(5);
  pass(log, 700_000);
  assert.match(log.outbox.place, /^\/sim\/wal\/\d$/);
  assert.deepEqual(pids(log), []);
  add(log, 11, 1);
  assert.deepEqual(pids(log), [11]);
});

/** A log on disk that counted what it refused, and gave way to one in memory. */
function refusing(): { log: TestLog; refused: number } {
  const log = new TestLog({ memoryBytes: 65_536 });
  add(log, 1, 5);
  log.outbox.acknowledge(5);
  log.home.capacity = 0;
  // The state file has its place already.
  for (let from = 6; log.outbox.status.refused < 500; from += 100) add(log, from, 100);
  const { refused } = log.outbox.status;
  assert.ok(log.keeper.log.outstanding.length > 0);
  pass(log, 60_000);
  assert.equal(log.outbox.place, "memory");
  return { log, refused };
}

/** What gaps of refused items tell. */
function toldOf(log: TestLog): number {
  return messages(log.outbox).reduce(
    (sum, message) => message.kind === "gap" && message.gap.source === "collector" ? sum + message.gap.count! : sum,
    0,
  );
}

Deno.test("LogKeeper tells what a log refused that gave way to memory, whoever dies meanwhile", () => {
  const { log, refused } = refusing();
  log.home.capacity = Infinity;
  log.home.crash();
  log.restart();
  assert.equal(log.outbox.place, "/sim/wal/2");
  log.outbox.flush();
  assert.equal(toldOf(log), refused);
  log.restart();
  log.outbox.flush();
  assert.equal(toldOf(log), refused, "once");
  assert.deepEqual([...log.home.logs.keys()].sort(), ["1.aside", "2"]);
});

Deno.test("LogKeeper tells what a log refused that gave way to memory, when the disk takes records again", () => {
  const { log, refused } = refusing();
  const waiting = pids(log);
  assert.ok(waiting.length > 0);
  assert.equal(toldOf(log), 0);
  // Memory as a whole log holds less than what waited for the disk.
  const more = log.outbox.status.refused - refused;
  log.home.capacity = Infinity;
  pass(log, 700_000);
  assert.equal(log.outbox.place, "/sim/wal/2");
  assert.equal(toldOf(log), refused + more);
  assert.deepEqual(pids(log), waiting);
  assert.equal(log.outbox.status.refused, refused + more, "and counts it once");
});

Deno.test("a crash at any step between memory and disk neither loses nor doubles what a log refused", () => {
  for (let step = 1, crashes = 0;; step++) {
    const { log, refused } = refusing(), { home } = log;
    home.capacity = Infinity;
    let left = step;
    const dies = (): void => {
      if (--left === 0) throw new SimulatedCrash("power");
    };
    const { storage, rename } = home;
    home.storage = (name) => {
      const disk = storage.call(home, name);
      home.logs.get(name)!.trace = dies;
      return disk;
    };
    home.rename = (from, to) => {
      dies();
      rename.call(home, from, to);
      dies();
    };
    let crashed = false;
    try {
      log.restart();
      log.outbox.flush();
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      crashed = true;
    }
    Object.assign(home, { storage, rename });
    for (const disk of home.logs.values()) disk.trace = () => {};
    if (!crashed) return assert.ok(crashes > 20, `only ${crashes} steps`);
    crashes += 1;
    home.crash();
    log.restart();
    log.outbox.flush();
    assert.equal(toldOf(log), refused, `step ${step}`);
  }
});

Deno.test("LogKeeper goes back to disk although the rename of the old log failed after it was done", () => {
  const log = new TestLog({ memoryBytes: 65_536 }), { rename } = log.home;
  add(log, 1, 5);
  log.outbox.acknowledge(5);
  log.home.capacity = 0;
  for (let from = 6; log.outbox.status.refused === 0; from += 100) add(log, from, 100);
  log.home.rename = (from, to) => {
    rename.call(log.home, from, to);
    throw new StorageError("no-space", "the home cannot be synced");
  };
  pass(log, 60_000);
  assert.equal(log.outbox.place, "memory");
  Object.assign(log.home, { rename });
  log.home.capacity = Infinity;
  pass(log, 700_000);
  assert.equal(log.outbox.place, "/sim/wal/2");
  assert.equal(toldOf(log), log.outbox.status.refused);
});

/** A collector that was killed before anything proved its last three events, and starts on a full disk. */
function unproven(): TestLog {
  const log = new TestLog();
  add(log, 1, 2); // a hint proves these
  add(log, 3, 3);
  log.home.kill();
  log.restart();
  log.home.capacity = 0;
  assert.deepEqual([log.outbox.durable, log.outbox.lastSequence], [2, 5]);
  log.outbox.flush();
  log.outbox.noteStored(5); // the agent got them all before that
  add(log, 6, 5);
  return log;
}

Deno.test("LogKeeper gives way to memory also when the agent has what this start could not prove, and sends it not again", () => {
  const log = unproven();
  pass(log, 60_000);
  assert.equal(log.outbox.place, "memory");
  assert.deepEqual(pids(log), range(6, 10));
});

Deno.test("an outbox that waits for another log goes on with its own when the disk works again", () => {
  const log = unproven();
  // Sent on a connection that ended: nobody knows whether it is stored.
  log.outbox.noteOffered(6);
  pass(log, 40_000);
  assert.equal(log.outbox.place, "/sim/wal/1");
  log.home.capacity = Infinity;
  pass(log, 60_000);
  assert.equal(log.outbox.place, "/sim/wal/1");
  assert.equal(log.outbox.acknowledged, 5, "what the agent has is acknowledged once it is on disk");
  assert.deepEqual(pids(log), range(6, 10));
});

Deno.test("LogKeeper counts a gap as refused that finds no room in the log that takes over", () => {
  const home = new SimHome();
  home.fault = "/sim/wal: Permission denied";
  const log = new TestLog({ totalBytes: 16_384, memoryBytes: 65_536, segmentBytes: 2_048 }, home);
  for (let number = 1; number <= 200; number++) {
    const reason = `cause ${number} ${"x".repeat(200)}`;
    log.outbox.addGap({ source: "ebpf", recordKind: "exec", from: 1, to: 2, count: 1, reason });
  }
  log.outbox.flush();
  assert.equal(log.outbox.status.refused, 0);
  home.fault = null;
  pass(log, 60_000);
  assert.equal(log.outbox.place, "/sim/wal/1");
  const kept = messages(log.outbox).filter(({ kind }) => kind === "gap").length;
  assert.ok(kept > 0 && kept < 200);
  assert.equal(log.outbox.status.refused, 200 - kept);
});

Deno.test("LogKeeper begins anew when its files are deleted, with what can still be read", () => {
  const log = new TestLog();
  add(log, 1, 10);
  const { epoch } = log.outbox, storage = log.home.logs.get("1")!;
  for (const { name } of storage.list()) storage.drop(name);
  add(log, 11, 5);
  pass(log, 20_000);
  assert.equal(log.outbox.place, "/sim/wal/2");
  assert.notEqual(log.outbox.epoch, epoch);
  assert.deepEqual(pids(log), range(1, 15), "the open file still has it");
  assert.ok(log.notices.some((text) => /its files were deleted/.test(text)));
  log.home.kill();
  log.restart();
  log.outbox.flush();
  assert.deepEqual(pids(log), range(1, 15));
});

Deno.test("LogKeeper waits for what was sent before it replaces a log, however long that takes", () => {
  const log = new TestLog();
  add(log, 1, 10);
  const storage = log.home.logs.get("1")!;
  for (const { name } of storage.list()) storage.drop(name);
  log.outbox.noteOffered(6);
  pass(log, 60_000);
  assert.equal(log.outbox.place, "/sim/wal/1");
  assert.equal(log.outbox.frameAfter(6), null, "nothing more is sent meanwhile");
  log.outbox.acknowledge(6);
  assert.equal(log.outbox.place, "/sim/wal/2");
  assert.deepEqual(pids(log), range(7, 10));
});

Deno.test("LogKeeper replaces a log at a stroke: a crash at any step loses nothing of what waits and doubles nothing", () => {
  let before = 0, after = 0;
  for (let step = 1; step < 200; step++) {
    const log = new TestLog();
    add(log, 1, 30);
    log.outbox.acknowledge(10);
    // The crash comes in the step of whichever disk makes it.
    const { storage } = log.home, home = log.home;
    let left = step;
    home.storage = (name) => {
      const disk = storage.call(home, name);
      home.logs.get(name)!.trace = () => {
        if (--left === 0) throw new SimulatedCrash("power");
      };
      return disk;
    };
    home.logs.get("1")!.trace = () => {
      if (--left === 0) throw new SimulatedCrash("power");
    };
    let crashed = false;
    try {
      log.outbox.renew("the test says so");
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      crashed = true;
    }
    home.storage = storage;
    for (const disk of home.logs.values()) disk.trace = () => {};
    if (!crashed) {
      assert.ok(step > 20, "renewing takes many steps");
      assert.ok(before > 0 && after > 0, `${before} crashes before the new log counted, ${after} after`);
      return;
    }
    log.home.crash();
    log.restart();
    log.outbox.flush();
    // Acknowledgements are not synced each by itself: what comes again has its old number, under which it is known.
    if (log.keeper.place === "/sim/wal/1") {
      before++;
      const waiting = pids(log);
      assert.deepEqual(waiting.slice(-20), range(11, 30), `step ${step}`);
    } else {
      after++;
      assert.deepEqual(pids(log), range(11, 30), `step ${step}`);
    }
  }
  assert.fail("it never came to an end");
});

Deno.test("LogKeeper keeps few of the logs that were replaced", () => {
  const log = new TestLog();
  for (let i = 0; i < 6; i++) {
    add(log, i + 1, 1);
    log.now += 4_000_000;
    assert.ok(log.outbox.renew("the test says so"));
    assert.equal(log.outbox.renew("the test says so"), false, "not twice in an hour");
  }
  assert.deepEqual([...log.home.logs.keys()].sort(), ["4.aside", "5.aside", "6.aside", "7"]);
  assert.deepEqual(pids(log), range(1, 6));
});

Deno.test("an outbox that is killed and crashes again and again never gives a number to two items", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed), log = new TestLog({ segmentBytes: 8_192 });
    /** Who had a number when it was given out, by epoch. */
    const given = new Map<string, number>();
    const stored = new Set<number>();
    let next = 1, watermark = 0, { epoch } = log.outbox;
    const take = (): void => {
      for (const message of messages(log.outbox, watermark)) {
        if (message.kind !== "events") continue;
        message.events.forEach(({ pid }, i) => {
          const number = message.firstSequence + i, key = `${epoch} ${number}`;
          assert.equal(given.get(key) ?? pid, pid, `seed ${seed}: number ${number} is two events`);
          given.set(key, pid);
          if (number <= watermark) return;
          watermark = number;
          assert.ok(!stored.has(pid), `seed ${seed}: event ${pid} came twice`);
          stored.add(pid);
        });
      }
    };
    for (let step = 0; step < 40; step++) {
      const storage = log.home.logs.get("1")!;
      storage.faults = { io: random.pick([0, 0, 0.1]), short: random.pick([0, 0.3]), crash: 0, capacity: Infinity };
      const count = 1 + random.below(20), durable = log.outbox.durable;
      log.outbox.addEvents(Array.from({ length: count }, (_, i) => event(next + i)));
      next += count;
      log.now += random.below(2_000);
      log.outbox.flush();
      assert.ok(log.outbox.durable >= durable);
      storage.faults.io = 0;
      if (random.chance(0.5)) take();
      if (random.chance(0.5)) log.outbox.acknowledge(watermark);
      if (random.chance(0.8)) continue;
      const promised = log.outbox.durable;
      if (random.chance(0.5)) log.home.kill();
      else log.home.crash();
      log.restart();
      log.now += 60_000;
      assert.ok(log.outbox.flush());
      assert.equal(log.outbox.epoch, epoch);
      assert.ok(log.outbox.durable >= promised, `seed ${seed}: ${promised} was on disk, now ${log.outbox.durable}`);
    }
    take();
    epoch = log.outbox.epoch;
    assert.equal(log.outbox.status.missing, 0, `seed ${seed}: nothing that was on disk is lost`);
  }
});
