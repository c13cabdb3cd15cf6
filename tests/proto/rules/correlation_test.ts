// Each type of correlation: its positive sequence at once, and not what is out of the window, in the wrong order, of another
// group, replayed, late or undone, nor after a restart in the middle or a jump of the clock.
import assert from "node:assert/strict";
import type { SqlValue } from "../../../proto/event_row.ts";
import type { ValidatedRule } from "../../../proto/rules/rule.ts";
import type { SeenChanges } from "../../../proto/rules/seen_table.ts";
import { AHEAD, FORGOT, LATE, WENT_BACK } from "../../../proto/rules/window_evaluation.ts";
import type { WindowLane } from "../../../proto/rules/window_lane.ts";
import { correlationRule, found, judge, open } from "./correlation_support.ts";
import { eventCells, take } from "./window_support.ts";

const A = "name = 'a'", B = "name = 'b'", C = "name = 'c'";
type Cells = Readonly<Record<string, SqlValue>>;
type Event = readonly [time: number, name: string, more?: Cells];

let next = 0;
function row([time, name, more]: Event): SqlValue[] {
  next += 1;
  return eventCells(next, time, { name, user_id: 7, exec_id: `e${next}`, ...more });
}

/** What is found in events that come one by one. */
function one(rule: ValidatedRule, events: readonly Event[], passed?: number): string[] {
  using lane = open(rule);
  const all = events.flatMap((event) => found(take(lane, [row(event)])));
  return passed === undefined ? all : [...all, ...found(judge(lane, [], passed))];
}

/** Rules of every type over the same few names, each with a sequence that it finds in the end. */
const TYPES: readonly { rule: ValidatedRule; sequence: readonly Event[]; waits?: boolean; alone?: boolean }[] = [
  {
    rule: correlationRule("count", `type: count\nof: ${A}\nby: user_id\nwithin: 10s\nat_least: 3`),
    sequence: [[0, "a"], [4_000, "a"], [9_999, "a"]],
  },
  {
    rule: correlationRule("distinct", `type: distinct\nof: ${A}\nby: user_id\nvalue: pid\nwithin: 10s\nmore_than: 1`),
    sequence: [[0, "a", { pid: 1 }], [4_000, "a", { pid: 1 }], [9_999, "a", { pid: 2 }]],
  },
  {
    rule: correlationRule("sum", `type: sum\nof: ${A}\nby: user_id\nvalue: memory_usage\nwithin: 10s\nat_least: 100`),
    sequence: [[0, "a", { memory_usage: 60 }], [9_999, "a", { memory_usage: 40 }]],
  },
  {
    rule: correlationRule(
      "average",
      `type: average\nof: ${A}\nby: user_id\nvalue: duration_ms\nwithin: 10s\nmore_than: 2`,
    ),
    sequence: [[0, "a", { duration_ms: 1.5 }], [9_999, "a", { duration_ms: 2.75 }]],
    alone: true,
  },
  {
    rule: correlationRule(
      "percentile",
      `type: percentile\nof: ${A}\nby: user_id\nvalue: pid\npercentile: 50\nwithin: 10s\nat_least: 5`,
    ),
    sequence: [[0, "a", { pid: 1 }], [1_000, "a", { pid: 9 }], [9_999, "a", { pid: 5 }]],
    alone: true,
  },
  {
    rule: correlationRule(
      "together",
      `type: together\nevents: { x: "${A}", y: "${B}", z: "${C}" }\nby: user_id\nwithin: 10s`,
    ),
    sequence: [[0, "c"], [1_000, "a"], [9_999, "b"]],
  },
  {
    rule: correlationRule(
      "sequence",
      `type: sequence\nevents: { x: "${A}", y: "${B}", z: "${C}" }\nof: [x, y, z]\nby: user_id\nwithin: 10s`,
    ),
    sequence: [[0, "a"], [1_000, "b"], [9_999, "c"]],
  },
  {
    rule: correlationRule(
      "absence",
      `type: absence\nevents: { x: "${A}", y: "${B}" }\nof: x\nnot_followed_by: y\nby: user_id\nwithin: 10s`,
    ),
    sequence: [[0, "b"], [1_000, "a"]],
    waits: true,
  },
  {
    rule: correlationRule(
      "chain",
      `type: sequence
events:
  many:
    type: count
    of: ${A}
    by: user_id
    within: 5s
    at_least: 2
  then: ${B}
of: [many, then]
by: user_id
within: 5s`,
    ),
    sequence: [[0, "a"], [4_999, "a"], [9_998, "b"]],
  },
];
/** Long enough for every one of them. */
const OVER = 60_000;

function rows(events: readonly Event[]): SqlValue[][] {
  return events.map(row);
}

/** `alone`: some event of it is enough where nothing else is. */
for (const { rule, sequence, waits = false, alone = false } of TYPES) {
  const { id } = rule;
  const last = sequence.at(-1)!;
  const finds = (events: readonly Event[]): number => one(rule, events, OVER + 200_000).length;

  Deno.test(`${id} fires on its sequence at once, and says by which events`, () => {
    using lane = open(rule);
    const all = rows(sequence), before = all.slice(0, -1).flatMap((each) => found(take(lane, [each])));
    assert.deepEqual(before, []);
    const out = take(lane, [all.at(-1)!]), told = waits ? judge(lane, [], OVER) : out;
    if (waits) assert.deepEqual(out.findings, [], "its time has not passed");
    assert.equal(told.findings.length, 1);
    const { evidence, time, reasons, cells, row: place } = told.findings[0]!;
    assert.deepEqual([time, reasons, place], [last[0], [], waits ? null : 0]);
    assert.equal(evidence["user_id"], 7);
    const ids: string[] = JSON.parse(String(evidence["exec_ids"]));
    assert.equal(ids.at(-1), cells[3]);
    assert.equal(ids.length, waits ? 1 : sequence.length);
    assert.equal(evidence["events"], ids.length);
  });

  Deno.test(`${id} does not fire out of its window, for another group, or without a value of the group`, () => {
    assert.equal(finds(sequence), 1);
    if (!waits && !alone) {
      const spread = sequence.map(([time, ...more], i): Event => [time + i * 10_000, ...more]);
      assert.equal(finds(spread), 0);
      const others = sequence.map(([time, name, more], i): Event => [time, name, { user_id: i, ...more }]);
      assert.equal(finds(others), 0);
    }
    assert.equal(finds(sequence.map(([time, name, more]): Event => [time, name, { ...more, user_id: null }])), 0);
  });

  Deno.test(`${id} counts what comes twice once, and what was undone not at all`, () => {
    using lane = open(rule);
    const all = rows(sequence), half = all.slice(0, -1);
    // Undone, and judged again: as if the first time had not been
    judge(lane, all, OVER);
    lane.rollback();
    for (let times = 0; times < 3; times++) assert.deepEqual(found(take(lane, half)), []);
    const out = judge(lane, [all.at(-1)!], OVER);
    assert.equal(out.findings.length, 1);
    lane.rollback();
    const again = judge(lane, [all.at(-1)!], OVER);
    lane.commit();
    assert.deepEqual(found(again), found(out), "an alert that was not stored comes again");
    assert.deepEqual(found(judge(lane, all, OVER + 1)), [], "and one that was does not");
  });

  Deno.test(`${id} finds in one batch, and with its first event last, what it finds one by one`, () => {
    using whole = open(rule);
    assert.equal(judge(whole, rows(sequence), OVER).findings.length, 1);
    using late = open(rule);
    const [first, ...others] = rows(sequence);
    const raised = [...others, first!].map((each) => take(late, [each]).findings.length);
    raised.push(judge(late, [], waits ? OVER : undefined).findings.length);
    assert.equal(raised.reduce((sum, count) => sum + count, 0), 1);
  });

  Deno.test(`${id} leaves out what comes later than its window is long, and says so`, () => {
    using lane = open(rule);
    take(lane, [row([1e6, "z"])]);
    const out = [...rows(sequence).map((each) => take(lane, [each])), judge(lane, [], 2e6)];
    assert.deepEqual(out.flatMap(({ findings }) => findings), []);
    assert.equal(out.reduce((sum, { late }) => sum + late, 0), sequence.length);
    assert(lane.reasons(rule).includes(LATE));
    if (waits || alone) return;
    // All but its last event too late
    using half = open(rule);
    take(half, [row([sequence.at(-2)![0] + 10_000, "z"])]);
    const some = rows(sequence).map((each) => take(half, [each]));
    assert.deepEqual(some.map(({ late, findings }) => [late, findings.length]), [
      ...some.slice(1).map(() => [1, 0]),
      [0, 0],
    ]);
  });

  Deno.test(`${id} is the same after a restart in the middle of its sequence`, () => {
    const all = rows(sequence);
    for (let at = 1; at < all.length; at++) {
      using before = open(rule);
      for (const each of all.slice(0, at)) take(before, [each]);
      using after = open(rule);
      after.clear(before.newest);
      for (const each of all.slice(0, at).reverse()) assert(after.restore(each));
      const out = all.slice(at).map((each) => judgeKept(after, [each]));
      const told = waits ? [judgeKept(after, [], OVER)] : out;
      assert.equal(told.at(-1)!.findings.length, 1, `after ${at} events`);
      assert.deepEqual(told.at(-1)!.findings[0]!.reasons, []);
      using known = open(rule);
      known.clear(last[0]);
      for (const each of all.toReversed()) known.restore(each);
      known.restoreRaised(id, told.at(-1)!.findings[0]!.key, last[0]);
      assert.deepEqual(found(judge(known, [row([last[0] + 1, "z"])], waits ? OVER : -Infinity)), [], "it is known");
    }
  });

  Deno.test(`${id} leaves out what is ahead of the clock, and begins anew when the clock goes back`, () => {
    using lane = open(rule);
    take(lane, [row([0, "z"])]);
    const ahead = sequence.map(([time, ...more]): Event => [time + 1e9, ...more]);
    const out = judge(lane, rows(ahead), -Infinity, 0);
    lane.commit();
    assert.deepEqual([out.findings.length, out.ahead], [0, sequence.length]);
    assert(lane.reasons(rule).includes(AHEAD));
    using back = open(rule);
    const far = sequence.map(([time, ...more]): Event => [time + 1e9, ...more]);
    for (const each of far.slice(0, -1)) take(back, [row(each)]);
    const begun = judge(back, [row(last)], -Infinity, 100_000);
    back.commit();
    assert.deepEqual(begun.findings, []);
    assert(back.reasons(rule).includes(WENT_BACK));
  });
}

function judgeKept(lane: WindowLane, batch: readonly SqlValue[][], passed?: number): ReturnType<typeof judge> {
  const out = judge(lane, batch, passed);
  lane.commit();
  return out;
}

Deno.test("sequence and chain find nothing in any other order", () => {
  const others = (of: readonly string[]): string[][] =>
    of.length < 2 ? [[...of]] : of.flatMap((first, i) => others(of.toSpliced(i, 1)).map((rest) => [first, ...rest]));
  for (const id of ["sequence", "chain"]) {
    const { rule, sequence } = TYPES.find((each) => each.rule.id === id)!, names = sequence.map(([, name]) => name);
    const orders = new Map(others(names).map((order) => [order.join(), order]));
    assert.equal(orders.size, id === "chain" ? 3 : 6);
    for (const [key, order] of orders) {
      const events = order.map((name, i): Event => [i * 1_000, name]);
      assert.equal(one(rule, events).length, key === names.join() ? 1 : 0, `${id}: ${key}`);
    }
  }
});

const FIRST = correlationRule(
  "first",
  `type: first_seen\nof: ${A}\nby: [executable_path]\nforget_after: 30d\nlearn: 7d\nremember: 3`,
);
const DAY = 86_400_000;
/** What the store has of it. */
let kept: SeenChanges[] = [];

function seen(id: number, day: number, path: string | null): SqlValue[] {
  return eventCells(id, day * DAY, { name: "a", executable_path: path, exec_id: `e${id}` });
}

Deno.test("first_seen learns in silence, tells what is new at once and once, and again when it was long forgotten", () => {
  using lane = open(FIRST);
  assert.deepEqual(lane.reasons(FIRST), ["it has seen no event yet"]);
  assert.deepEqual(found(take(lane, [seen(1, 100, "/a"), seen(2, 106.9, "/b")])), []);
  assert.match(lane.reasons(FIRST)[0]!, /^it learns what is usual until 1970-04-18/);
  const out = take(lane, [seen(3, 107, "/c"), seen(4, 107, "/c"), seen(5, 107, "/a"), seen(6, 107, null)]);
  assert.deepEqual(found(out), [`@${107 * DAY} /c`]);
  assert.deepEqual([out.findings[0]!.evidence["exec_ids"], out.findings[0]!.reasons], ['["e3"]', []]);
  assert.deepEqual(found(take(lane, [seen(7, 130, "/a"), seen(8, 136, "/b")])), [], "each within its thirty days");
  // /a was seen on day 130, /c not since day 107
  assert.deepEqual(found(take(lane, [seen(9, 159, "/a"), seen(10, 159, "/c")])), [`@${159 * DAY} /c`]);
});

Deno.test("first_seen says nothing twice, of a late event what it would have, and nothing of a clock that jumped", () => {
  using lane = open(FIRST);
  take(lane, [seen(1, 100, "/a"), seen(2, 107, "/b")]);
  assert.deepEqual(found(take(lane, [seen(2, 107, "/b"), seen(1, 100, "/a")])), [], "replayed");
  take(lane, [seen(3, 120, "/b")]);
  assert.deepEqual(found(take(lane, [seen(4, 106, "/c")])), [], "late, and of the time in which it learned");
  assert.deepEqual(found(take(lane, [seen(5, 108, "/d")])), [`@${108 * DAY} /d`], "late, and new then");
  const ahead = take(lane, [seen(6, 500, "/e")], 120 * DAY);
  assert.deepEqual([found(ahead), ahead.ahead], [[], 1]);
  assert(lane.reasons(FIRST).includes(AHEAD));
  // Nothing was remembered of it
  assert.deepEqual(found(take(lane, [seen(7, 121, "/e")])), [`@${121 * DAY} /e`]);
  take(lane, [seen(8, 300, "/e"), seen(9, 300, "/d")]);
  assert.deepEqual(
    found(take(lane, [seen(10, 122, "/e"), seen(11, 122, "/d")], 122 * DAY)),
    [],
    "known, before and now",
  );
  assert(lane.reasons(FIRST).includes(WENT_BACK));
});

Deno.test("first_seen learns on after a restart in the middle, and is done when it would have been", () => {
  for (const restartAt of [1, 2, 3]) {
    let lane = open(FIRST);
    const steps = [seen(1, 100, "/a"), seen(2, 103, "/b"), seen(3, 106.9, "/c"), seen(4, 107, "/d")];
    const all = steps.flatMap((cells, i) => {
      if (i === restartAt) {
        const [{ values, ...memory }] = kept as [(typeof kept)[number]];
        lane[Symbol.dispose]();
        lane = open(FIRST);
        lane.clear(steps[i - 1]![1] as number);
        assert(lane.restoreSeen(memory, [...values].map(([key, time]) => [key, time!] as const)));
      }
      const out = judge(lane, [cells]);
      for (const changes of lane.seenChanges) {
        kept = [{ ...changes, values: new Map([...kept[0]?.values ?? [], ...changes.values]) }];
      }
      lane.commit();
      return found(out);
    });
    assert.deepEqual(all, [`@${107 * DAY} /d`], `after ${restartAt}`);
    lane[Symbol.dispose]();
    kept = [];
  }
});

Deno.test("first_seen is bounded, and says that it forgot for as long as that counts", () => {
  using lane = open(FIRST);
  take(lane, [seen(1, 100, "/a"), seen(2, 101, "/b"), seen(3, 102, "/c")]);
  const fourth = take(lane, [seen(4, 108, "/d")]);
  assert.deepEqual(found(fourth), [`@${108 * DAY} /d`]);
  assert.deepEqual(fourth.findings[0]!.reasons, [FORGOT]);
  assert.deepEqual(found(take(lane, [seen(5, 109, "/b")])), [], "what was seen longest ago went");
  assert.deepEqual(found(take(lane, [seen(6, 110, "/a")])), [`@${110 * DAY} /a`]);
  take(lane, [seen(7, 141, "/b")]);
  assert.deepEqual(lane.reasons(FIRST), []);
});

Deno.test("first_seen gives what is to be stored with a batch, undoes what is not, and is the same from what was stored", () => {
  using lane = open(FIRST);
  const stored = new Map<string, number>();
  let kept = { ruleId: "", fingerprint: "", began: 0, forgot: 0 };
  const store = (from: WindowLane): void => {
    for (const { values, ...memory } of from.seenChanges) {
      kept = memory;
      for (const [key, time] of values) time === null ? stored.delete(key) : stored.set(key, time);
    }
    from.commit();
  };
  judge(lane, [seen(1, 100, "/a"), seen(2, 100, "/b")]);
  lane.rollback();
  assert.deepEqual(lane.seenChanges, []);
  judge(lane, [seen(1, 100, "/a"), seen(2, 100, "/b")]);
  store(lane);
  judge(lane, [seen(3, 100.1, "/a")]);
  assert.deepEqual(lane.seenChanges, [], "what is seen all day is not written all day");
  lane.commit();
  judge(lane, [seen(4, 102, "/a"), seen(5, 108, "/c"), seen(6, 109, "/d")]);
  store(lane);
  assert.deepEqual(stored.size, 3);
  using after = open(FIRST);
  after.clear(lane.newest);
  assert(after.restoreSeen(kept, [...stored].sort((a, b) => a[1] - b[1])));
  for (const day of [110, 131, 132.5, 140, 200]) {
    for (const path of ["/a", "/b", "/c", "/d"]) {
      const cells = seen(day * 100 + path.charCodeAt(1), day, path);
      assert.deepEqual(found(take(after, [cells])), found(take(lane, [cells])), `${path} on day ${day}`);
    }
  }
  const other = correlationRule("first", `type: first_seen\nof: ${B}\nby: [name]\nforget_after: 30d\nlearn: 7d`);
  using changed = open(other);
  assert(!changed.restoreSeen(kept, stored), "other values are none of these");
});

Deno.test("an absence is not told before its time, nor for what came in time, and is by the clock where nothing else comes", () => {
  const { rule } = TYPES.find(({ rule }) => rule.id === "absence")!;
  using lane = open(rule);
  take(lane, [row([0, "a"])]);
  assert.equal(lane.due, 12_000);
  assert.deepEqual(judge(lane, [], 11_999).findings, []);
  assert.deepEqual(found(take(lane, [row([11_999, "z"])])), []);
  assert.deepEqual(found(take(lane, [row([12_000, "z"])])), ["@0 7"], "by the time of other events");
  assert.equal(lane.due, Infinity);
  take(lane, [row([20_000, "a"]), row([30_000, "b"])]);
  assert.deepEqual(judge(lane, [], 90_000).findings, [], "on the last millisecond");
  lane.commit();
  take(lane, [row([100_000, "a"])]);
  assert.deepEqual(found(judge(lane, [row([110_001, "b"])], 200_000)), ["@100000 7"], "a millisecond too late");
  lane.commit();
  // What arrives late, before it was told, counts
  take(lane, [row([300_000, "a"]), row([311_000, "z"])]);
  take(lane, [row([305_000, "b"])]);
  assert.deepEqual(judge(lane, [], 400_000).findings, []);
  lane.commit();
  const late = take(lane, [row([1_000_000, "z"]), row([900_000, "a"])]);
  assert.equal(late.late, 1);
  assert(lane.reasons(rule).includes(LATE));
});

Deno.test("lt, lte, eq and neq are judged when an event comes", () => {
  const finds = (condition: string, events: readonly Event[]): string[] =>
    one(correlationRule("few", `type: count\nof: ${A}\nwithin: 10s\n${condition}`), events);
  const three: Event[] = [[0, "a"], [1, "a"], [2, "a"]];
  assert.deepEqual(finds("at_most: 2", three), ["@0 1"], "raised once for its window");
  assert.deepEqual(finds("less_than: 1", three), [], "an event that came is one");
  assert.deepEqual(finds("exactly: 2", three), ["@1 2"]);
  assert.deepEqual(finds("other_than: 1", three), ["@1 2"]);
  assert.deepEqual(finds("more_than: 1\nat_most: 2", [...three, [20_000, "a"], [20_001, "a"]]), ["@1 2", "@20001 2"]);
});

Deno.test("together takes a number of events, or names joined by and, or, not", () => {
  const of = (more: string): ValidatedRule =>
    correlationRule("some", `type: together\nevents: { x: "${A}", y: "${B}", z: "${C}" }\nwithin: 10s\n${more}`);
  assert.deepEqual(one(of("at_least: 2"), [[0, "a"], [1, "a"], [2, "c"]]), ["@2 "]);
  assert.deepEqual(one(of("when: x and (y or z)"), [[0, "b"], [1, "c"], [2, "a"]]), ["@2 "]);
  assert.deepEqual(one(of("when: x and y and not z"), [[0, "c"], [1, "a"], [2, "b"]]), []);
  assert.deepEqual(one(of("when: x and y and not z"), [[0, "c"], [9_999, "a"], [10_000, "b"]]), ["@10000 "]);
});

Deno.test("an event that meets several bases is not two steps of a sequence, and counts once", () => {
  const two = `events: { x: "name IN ('a', 'b')", y: "name = 'b'" }`;
  assert.deepEqual(one(correlationRule("two", `type: sequence\n${two}\nwithin: 10s`), [[0, "b"]]), []);
  assert.deepEqual(one(correlationRule("two", `type: sequence\n${two}\nwithin: 10s`), [[0, "b"], [0, "b"]]), ["@0 "]);
  const counts = correlationRule("both", `type: count\n${two}\nwithin: 10s\nat_least: 2`);
  assert.deepEqual(one(counts, [[0, "b"], [1, "a"]]), ["@1 2"]);
});

Deno.test("columns that differ from event to event may be one value of the group", () => {
  const rule = correlationRule(
    "child",
    `type: sequence
events: { parent: "${A}", child: "${B}" }
by:
  - process: { parent: exec_id, child: parent_exec_id }
within: 10s`,
  );
  assert.deepEqual(
    one(rule, [[0, "a", { exec_id: "p" }], [1, "b", { parent_exec_id: "q" }], [2, "b", { parent_exec_id: "p" }]]),
    ["@2 p"],
  );
});

Deno.test("a nested group of other columns than the outer one is told apart all the same", () => {
  const rule = correlationRule(
    "outer",
    `type: sequence
events:
  many:
    type: count
    of: ${A}
    by: ppid
    within: 10s
    at_least: 2
  then: ${B}
by: user_id
within: 10s`,
  );
  const a = (time: number, ppid: number, user_id: number): Event => [time, "a", { ppid, user_id }];
  // The hit is the event that completes the count, and the outer group is that event's
  assert.deepEqual(one(rule, [a(0, 1, 5), a(1, 1, 6), [2, "b", { user_id: 5 }]]), []);
  assert.deepEqual(one(rule, [a(0, 1, 5), a(1, 1, 6), [2, "b", { user_id: 6 }]]), ["@2 6"]);
});
