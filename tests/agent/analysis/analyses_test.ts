/** Analyses from the event to the alert. */
import assert from "node:assert/strict";
import { targetOfPath } from "../../../agent/analysis/target.ts";
import { Store } from "../../../agent/store/store.ts";
import { StoreError } from "../../../agent/store/store_error.ts";
import type { Alert } from "../../../proto/alert.ts";
import { readPlan } from "../../../proto/analysis/plan.ts";
import { failure } from "../../../proto/bus/rpc.ts";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { rows, start, TempDir, until } from "../support.ts";
import { CHAIN, found, HASH, never, ROWS, TRIGGER, World } from "./analysis_world.ts";

Deno.test("An event sets a chain going, its rows are stored, and a rule over them raises an alert on that event", async () => {
  await using world = new World();
  world.saw("/opt/evil", { executableHash: HASH });
  await world.ended();
  const [analysis] = world.rows("analyses") as [Record<string, SqlValue>];
  assert.deepEqual(
    [analysis["state"], analysis["reason"], analysis["progress"], analysis["trigger_id"], analysis["hits"]],
    ["completed", null, 1, "new-one", 1],
  );
  assert.deepEqual(world.stages(), { hash: "completed", elf: "completed", strings: "completed", yara: "completed" });
  const [facts] = world.rows("file_facts") as [Record<string, SqlValue>];
  assert.deepEqual(
    [facts["packer"], facts["size"], facts["executable_hash"], facts["executable_path"], facts["string_count"]],
    ["UPX", 10, HASH, "/opt/evil", 1],
  );
  assert.equal(world.rows("file_strings").length, 1);
  assert.equal(world.rows("yara_matches")[0]!["executable_hash"], HASH);
  const [alert] = world.alerts as [Alert];
  assert.equal(world.alerts.length, 1);
  assert.deepEqual([alert.ruleId, alert.severity, alert.executablePath, alert.eventId], [
    "packed-one",
    "high",
    "/opt/evil",
    analysis["event_id"],
  ]);
  assert.deepEqual([alert.evidence["packer"], alert.evidence["rule"], alert.evidence["analysis_id"]], [
    "UPX",
    "a:b",
    1,
  ]);
  assert.ok(alert.completeness.complete);
});

Deno.test("Without an analyzer a stage fails with that reason; a task moves when its analyzer goes away", async () => {
  await using world = new World();
  world.analyzers = [];
  world.saw();
  await world.ended(1);
  assert.match(String(world.rows("analyses")[0]!["reason"]), /no analyzer is connected/);
  world.analyzers = ["one", "two"];
  world.answers = {
    hash: (_, target) => target === "one" ? failure("unavailable", "DISCONNECTED", "gone") : found(ROWS.hash),
  };
  world.saw();
  await world.ended(2);
  assert.equal(world.rows("analyses")[1]!["state"], "completed");
  assert.equal(world.analyses.counters["analysis_moved"], 1);
});

Deno.test("Two analyzers share what there is to do", async () => {
  await using world = new World();
  world.analyzers = ["one", "two"];
  const both = Promise.withResolvers<void>();
  let waiting = 0;
  world.answers = {
    hash: async () => {
      if (++waiting === 2) both.resolve();
      await both.promise;
      return found(ROWS.hash);
    },
  };
  world.saw();
  world.saw();
  await world.ended(2);
  assert.deepEqual(world.calls.filter(({ stage }) => stage === "hash").map(({ target }) => target).sort(), [
    "one",
    "two",
  ]);
});

const SECOND = "chain: second\ntitle: t\nstages: [{ stage: yara, timeout: 1s }]\n";
const AFTER = `trigger: deeper
title: t
chain: second
after: [executable]
when: { results: "SELECT packer FROM file_facts WHERE packer = 'UPX'" }
`;

Deno.test("A result may set another chain going, which knows where it came from", async () => {
  await using world = new World([CHAIN, TRIGGER, SECOND, AFTER]);
  world.saw();
  await world.ended(2);
  const [, second] = world.rows("analyses") as [unknown, Record<string, SqlValue>];
  assert.deepEqual([second["chain_id"], second["depth"], second["lineage"]], ["second", 1, '["executable"]']);
  assert.equal(second["executable_hash"], HASH, "the hash that was found goes on with it");
});

Deno.test("A chain that an analysis came from is not begun again, even where the files changed meanwhile", async () => {
  await using world = new World([CHAIN, TRIGGER, SECOND, AFTER]);
  const gate = Promise.withResolvers<void>();
  let isSecond = false;
  world.answers = {
    yara: async () => {
      if (isSecond) await gate.promise;
      isSecond = true;
      return found(ROWS.yara);
    },
  };
  world.saw();
  await until("the second runs", () => world.calls.filter(({ stage }) => stage === "yara").length === 2);
  const back = AFTER.replace("deeper", "back").replace("chain: second", "chain: executable")
    .replace("[executable]", "[second]").replace(
      "SELECT packer FROM file_facts WHERE packer = 'UPX'",
      "SELECT rule FROM yara_matches",
    );
  world.analyses.use(readPlan([["a", CHAIN], ["b", SECOND], ["c", back]]));
  gate.resolve();
  await world.ended(2);
  assert.equal(world.analyses.counters["analysis_cycles"], 1);
  assert.equal(world.rows("analyses").length, 2);
});

Deno.test("A person's request is carried out at once and whatever was found before; an unknown chain is refused", async () => {
  await using world = new World();
  world.saw("/opt/a");
  await world.ended(1);
  const run = await world.analyses.ask("executable", targetOfPath("/opt/a"), "user 7 (ann)");
  assert.equal(run!.state, "completed");
  const row = world.rows("analyses")[1]!;
  assert.deepEqual([row["actor"], row["trigger_id"], row["priority"], row["event_id"]], [
    "user 7 (ann)",
    null,
    "critical",
    null,
  ]);
  assert.equal(world.alerts.length, 2);
  assert.equal(world.alerts[1]!.executablePath, "/opt/a");
  await assert.rejects(
    world.analyses.ask("nonsense", targetOfPath("/x"), "me"),
    /There is no chain nonsense; there are executable/,
  );
});

Deno.test("What was under way when the agent ended is cancelled in the store, and numbers go on", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, first = new Store(path);
  first.analysing("put", (tables) => tables.put(41, { analyses: [{ analysis_id: 41, state: "running" }] }));
  first.close();
  await using world = new World();
  const second = new Store(path);
  world.analyses.detach();
  world.analyses.attach(second);
  assert.deepEqual(rows(path, "SELECT analysis_id, state FROM analyses"), [{ analysis_id: 41, state: "cancelled" }]);
  second.close();
  world.saw();
  await world.ended();
  assert.equal(world.rows("analyses")[0]!["analysis_id"], 42);
});

Deno.test("The store keeps so many analyses and lets go of the oldest with all their rows", () => {
  using dir = new TempDir();
  const path = `${dir.path}/events.db`, store = new Store(path);
  store.analysing("put", (tables) => {
    for (const id of [1, 2, 9, 15, 5_006, 10_007, 15_008, 20_009]) {
      tables.put(id, { analyses: [{ analysis_id: id }], file_facts: [{ analysis_id: id }] });
    }
  });
  const kept = rows(path, "SELECT analysis_id AS id FROM file_facts ORDER BY 1").map(({ id }) => id);
  assert.deepEqual(kept, [15, 5_006, 10_007, 15_008, 20_009]);
  store.close();
  assert.throws(() => store.analysing("put", () => {}), StoreError);
});

Deno.test("A storm of 100,000 hits is one request a file, bounded, and forgotten piece by piece", async () => {
  await using world = new World([CHAIN, TRIGGER]);
  world.answers = { hash: never };
  const row = (i: number): SqlValue[] => {
    const event = { ...start(1), executablePath: `/opt/${i % 5_000}`, inode: i % 5_000, device: 1 };
    return eventRow({ ...event, argv: new Uint8Array(2_000).fill(97) }, 2 ** 40 + i, "col");
  };
  const gc = (globalThis as { gc?: () => void }).gc,
    used = (): number => {
      gc?.();
      return Deno.memoryUsage().heapUsed / 2 ** 20;
    };
  const began = performance.now(), before = used();
  let half = 0;
  for (let i = 0; i < 100_000; i += 500) {
    await world.batch(Array.from({ length: 500 }, (_, at) => row(i + at)));
    if (i === 50_000) half = used();
    if (i % 10_000 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const { counters } = world.analyses, after = used();
  console.log(
    `storm: 100,000 hits in ${Math.round(performance.now() - began)} ms; waiting ${counters["analysis_waiting"]}, ` +
      `repeated ${counters["analysis_repeated"]}, limited ${counters["analysis_limited"]}, dropped ${
        counters["analysis_dropped"]
      }; ` +
      `heap ${before.toFixed(1)}, ${half.toFixed(1)}, ${after.toFixed(1)} MiB`,
  );
  // On a busy host a batch may not be judged in its time, which is told.
  const hits = counters["analysis_hits"]!, faults = counters["analysis_faults"]!;
  assert.ok(hits <= 100_000 && hits >= 100_000 - 500 * faults, `${hits} hits, ${faults} faults`);
  const running = counters["analysis_running"]!, begun = counters["analyses_begun"]!;
  assert.equal(running, 2);
  assert.equal(
    counters["analysis_waiting"]! + begun + counters["analysis_repeated"]! + counters["analysis_limited"]! +
      counters["analysis_dropped"]!,
    hits,
  );
  assert.ok(counters["analysis_waiting"]! <= 1_000 && counters["analysis_remembered"]! <= 20_000);
  assert.equal(counters["analysis_short"], 1);
});
