import assert from "node:assert/strict";
import { MAX_NAMED } from "../../collector/round.ts";
import { CompletenessWorld, type Said } from "../support/completeness_world.ts";
import { entry, exit, MS, S } from "../support/lifecycle_world.ts";

const life = (pid: number, time = 110): Said[] => [["fork", pid, time], ["exec", pid, time], ["exit", pid, time + 1]];

Deno.test("Completeness is proven when both sources tell the same, in whatever order", () => {
  const world = new CompletenessWorld();
  assert.equal(world.completeness.status(world.now).state, "unproven");
  world.both(...life(500)).first(...life(501));
  assert.equal(world.round(), null);
  world.second(...life(501).reverse());
  for (let round = 0; round < 3; round++) assert.equal(world.round(), null);
  const { state, detail } = world.completeness.status(world.now);
  assert.equal(state, "proven");
  assert.match(detail, /^100 % of 6 records of the last hour seen by ebpf and by netlink; since the start 100 % of 6/);
});

Deno.test("a process that the first source misses is named within one interval, once, and counted as a gap", () => {
  const world = new CompletenessWorld();
  world.both(...life(500)).second(...life(666));
  assert.equal(world.round(), null, "it may still come");
  const found = world.round()!;
  assert.deepEqual(found.differences, [
    { pid: 666, time: 110 * S, kinds: ["fork", "exec", "exit"], seenBy: "netlink", missedBy: "ebpf", isOfFirst: false },
  ]);
  assert.deepEqual(found.gaps.map(({ source, loss }) => [source, loss.recordKind, loss.count, loss.reason]), [
    ["ebpf", "fork", 1, "seen by netlink, not by ebpf"],
    ["ebpf", "exec", 1, "seen by netlink, not by ebpf"],
    ["ebpf", "exit", 1, "seen by netlink, not by ebpf"],
  ]);
  assert.deepEqual(found.notices, []);
  assert.equal(world.round(), null);
  const { state, detail } = world.completeness.status(world.now);
  assert.equal(state, "differs");
  assert.match(detail, /^50\.0000 % of 6 records/);
});

Deno.test("a record that only the first source has is a gap of the second", () => {
  const world = new CompletenessWorld();
  world.both(["fork", 500, 110], ["exit", 500, 112]).first(["exec", 500, 111]);
  world.round();
  const { differences, gaps } = world.round()!;
  assert.deepEqual(differences, [
    { pid: 500, time: 111 * S, kinds: ["exec"], seenBy: "ebpf", missedBy: "netlink", isOfFirst: false },
  ]);
  assert.deepEqual(gaps.map(({ source, loss }) => [source, loss.recordKind, loss.count]), [["netlink", "exec", 1]]);
});

Deno.test("many differences are counted whole and named up to a bound", () => {
  const world = new CompletenessWorld();
  for (let pid = 1_000; pid < 1_500; pid++) world.second(...life(pid));
  world.round();
  const { differences, gaps, notices } = world.round()!;
  assert.equal(differences.length, MAX_NAMED);
  assert.deepEqual(gaps.map(({ loss }) => loss.count), [500, 500, 500]);
  assert.deepEqual(notices, [
    `${1_500 - 3 * MAX_NAMED} more records were seen by one source only; the gaps count them`,
  ]);
});

Deno.test("what the first source counted as lost is missed, but no second time told", () => {
  const world = new CompletenessWorld();
  world.second(["exec", 500, 110], ["exec", 501, 110], ["exec", 502, 110], ["fork", 503, 110]);
  const loss = (at: number, count: number) =>
    ({ kind: "loss", recordKind: "exec", from: at * S, to: (at + 1) * S, count, reason: "the ring was full" }) as const;
  world.completeness.first(loss(109.5, 2));
  world.round();
  const { gaps } = world.round()!;
  assert.deepEqual(gaps.map(({ loss }) => [loss.recordKind, loss.count]), [["fork", 1], ["exec", 1]]);
  assert.equal(world.completeness.counters()["missed_and_counted"], 2);
  assert.equal(world.completeness.counters()["records_missed"], 4);

  // A loss of another time hides nobody.
  world.completeness.first(loss(120, 100));
  world.second(["exec", 666, 140]).second(["exec", 667, 118]);
  world.round();
  assert.deepEqual(world.round()!.differences.map(({ pid }) => pid), [667, 666]);
});

Deno.test("of differences in a time of losses as many are explained as were counted, and the rest accuse", () => {
  const world = new CompletenessWorld();
  world.second(...[1, 2, 3, 4, 5].flatMap((n): Said[] => life(500 + n, 110 + n / 100)));
  for (const recordKind of ["fork", "exec", "exit"] as const) {
    const lost = { kind: "loss", recordKind, from: 110 * S, to: 111 * S, reason: "the ring was full" } as const;
    world.completeness.first({ ...lost, count: 1 });
    world.completeness.first({ ...lost, count: recordKind === "fork" ? 1 : 4 });
  }
  world.round();
  const { differences, gaps } = world.round()!;
  assert.deepEqual(differences.map(({ pid, kinds }) => [pid, kinds]), [[503, ["fork"]], [504, ["fork"]], [505, [
    "fork",
  ]]]);
  assert.deepEqual(gaps.map(({ source, loss }) => [source, loss.recordKind, loss.count]), [["ebpf", "fork", 3]]);
  assert.equal(world.completeness.counters()["missed_and_counted"], 12);
});

Deno.test("a pid that comes round does not take the place of one whose record was lost", () => {
  const world = new CompletenessWorld();
  // In its first life the first source lost all; it says so. In the later ones the second is read first.
  world.second(...life(500, 110));
  for (const recordKind of ["fork", "exec", "exit"] as const) {
    world.completeness.first({ kind: "loss", recordKind, from: 109 * S, to: 111 * S, count: 1, reason: "full" });
  }
  for (let at = 114; at < 140; at += 4) {
    world.second(...life(500, at));
    assert.equal(world.round(), null);
    world.first(...life(500, at));
  }
  for (let round = 0; round < 3; round++) assert.equal(world.round(), null);
  const { missed_and_counted, records_missed, records_unconfirmed } = world.completeness.counters();
  assert.deepEqual([missed_and_counted, records_missed, records_unconfirmed], [3, 3, 0]);
});

Deno.test("a fork that the first process made is told as one of its own, unless more of the child was missed", () => {
  const world = new CompletenessWorld();
  world.second(["fork", 500, 110, 1], ["exec", 500, 110], ["fork", 501, 111, 1], ["exit", 501, 111], [
    "fork",
    502,
    112,
  ]);
  world.first(["exec", 500, 110]);
  world.round();
  const { differences, gaps } = world.round()!;
  assert.deepEqual(differences.map(({ pid, kinds, isOfFirst }) => [pid, kinds, isOfFirst]), [
    [500, ["fork"], true],
    [501, ["fork", "exit"], false],
    [502, ["fork"], false],
  ]);
  assert.deepEqual(gaps.map(({ loss: { recordKind, count, reason } }) => [recordKind, count, reason]), [
    ["fork", 1, "seen by netlink, not by ebpf"],
    ["exit", 1, "seen by netlink, not by ebpf"],
    ["fork", 2, "seen by netlink, not by ebpf; process 1 made them"],
  ]);
  // The pid's next process has another parent.
  world.second(["fork", 500, 121]);
  world.round();
  assert.deepEqual(world.round()!.differences.map(({ pid, isOfFirst }) => [pid, isOfFirst]), [[500, false]]);
});

Deno.test("a second source that lost messages accuses the first still, and is not accused; that is said", () => {
  const world = new CompletenessWorld();
  world.both(...life(500)).first(...life(501)).second(["exec", 666, 110]);
  world.witness.overrun = true;
  const notice = world.round()!;
  assert.match(notice.notices.join(), /completeness cannot be proven now: the socket of netlink was full/);
  assert.equal(world.completeness.wantsThreads, true);
  world.completeness.learnThreads([]);
  assert.equal(world.completeness.wantsThreads, false);
  const { differences, notices } = world.round()!;
  assert.deepEqual(differences.map(({ pid, missedBy }) => [pid, missedBy]), [[666, "ebpf"]]);
  assert.deepEqual(notices, [], "once");
  assert.equal(world.round(), null);
  assert.match(world.completeness.status(world.now).detail, /3 rounds not comparable/);
  world.first(["exec", 502, 160]);
  world.round();
  assert.deepEqual(world.round()!.differences.map(({ pid }) => pid), [502], "it is comparable again");
});

Deno.test("no round ends before the second source was read whole", () => {
  const world = new CompletenessWorld();
  world.witness.whole = false;
  world.first(...life(500));
  for (let round = 0; round < 5; round++) assert.equal(world.round(), null);
  world.witness.whole = true;
  world.second(...life(500));
  for (let round = 0; round < 5; round++) assert.equal(world.round(), null);
  assert.equal(world.completeness.status(world.now).state, "proven");
});

Deno.test("an exec of a process that its tracer holds, and an exit that takes long, are waited for", () => {
  const world = new CompletenessWorld();
  world.looks.set(500, entry(500, 105 * S, { status: "traced" }));
  world.looks.set(501, entry(501, 105 * S, { status: "disk_sleep" }));
  world.first(["exec", 500, 110], ["exit", 501, 110]);
  for (let round = 0; round < 8; round++) assert.equal(world.round(), null);
  world.second(["exec", 500, 150], ["exit", 501, 150]);
  for (let round = 0; round < 3; round++) assert.equal(world.round(), null);
  assert.equal(world.completeness.status(world.now).state, "proven");
});

Deno.test("a first thread that ends before the others is no missed end, and the second source is told of the others", () => {
  const world = new CompletenessWorld();
  world.looks.set(500, entry(500, 105 * S, { status: "zombie", threads: 3 }));
  world.second(["exit", 500, 110]);
  world.round();
  assert.equal(world.round(), null);
  assert.deepEqual(world.witness.survivors, [[500, 2]]);
});

Deno.test("two ends of one process by the first source count once", () => {
  const world = new CompletenessWorld();
  world.both(["exit", 500, 110]);
  world.completeness.first(exit(500, 110 * S + MS, 109 * S));
  for (let round = 0; round < 3; round++) assert.equal(world.round(), null);
});

Deno.test("records of the moment in which the second source began are not compared", () => {
  const world = new CompletenessWorld();
  world.first(["exec", 500, 99], ["exec", 501, 100.5]).second(["exit", 502, 100.9]);
  for (let round = 0; round < 3; round++) assert.equal(world.round(), null);
  assert.deepEqual(world.completeness.counters()["records_missed"], 0);
});

Deno.test("tasks that the kernel counted and no source told of are a gap of the host", () => {
  const world = new CompletenessWorld();
  world.round();
  world.uncounted = 3;
  assert.equal(world.round(), null, "one of them may be under way");
  const { differences, gaps, notices } = world.round()!;
  assert.deepEqual(differences, []);
  assert.deepEqual(gaps.map(({ source, loss }) => [source, loss.recordKind, loss.count]), [["host", "fork", 3]]);
  assert.match(notices.join(), /tasks \(processes or threads\) that no source told of: 3/);
  assert.equal(world.round(), null);
  assert.equal(world.completeness.status(world.now).state, "differs");
});

Deno.test("a second source that fails is given up and said once, and the first goes on", () => {
  const world = new CompletenessWorld();
  world.witness.read = () => {
    throw new Error("recvmmsg failed: EBADF");
  };
  assert.deepEqual(world.round()!.notices, ["completeness is no longer proven: recvmmsg failed: EBADF"]);
  world.first(...life(500));
  for (let round = 0; round < 3; round++) assert.equal(world.round(), null);
  assert.deepEqual(world.completeness.status(world.now), {
    state: "unproven",
    detail: "not proven any more: recvmmsg failed: EBADF",
  });
});

Deno.test("Completeness without a second source says that nothing is proven, and why", () => {
  const world = new CompletenessWorld({ opened: { witness: null, reason: "socket failed: EPERM: not permitted" } });
  world.first(...life(500));
  assert.equal(world.round(), null);
  assert.deepEqual(world.completeness.status(world.now), {
    state: "unproven",
    detail: "not proven: socket failed: EPERM: not permitted",
  });
});
