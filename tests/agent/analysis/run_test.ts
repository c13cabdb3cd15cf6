/** What each failure of a stage comes to. */
import assert from "node:assert/strict";
import type { Stage } from "../../../proto/analysis/stage.ts";
import { type Answer, failure } from "../../../proto/bus/rpc.ts";
import type { SqlValue } from "../../../proto/event_row.ts";
import { CHAIN, found, never, ROWS, RULE, TRIGGER, World } from "./analysis_world.ts";

Deno.test("A stage that fails is tried again as often as the chain says, and what needs it is skipped", async () => {
  await using world = new World();
  world.answers = { hash: () => failure("resource", "NOT_READ", "the disk is broken") };
  world.saw();
  await world.ended();
  assert.deepEqual(world.stages(), { hash: "failed", elf: "skipped", strings: "skipped", yara: "skipped" });
  assert.equal(world.rows("analyses")[0]!["state"], "failed");
  assert.match(
    String(world.rows("analyses")[0]!["reason"]),
    /hash failed: the disk is broken; elf skipped: it needs hash/,
  );
  assert.deepEqual(world.calls.map(({ stage }) => stage), ["hash", "hash"]);
  assert.equal(world.analyses.counters["analyses_failed"], 1);
});

Deno.test("A failure that another try cannot mend is tried once; one that goes away is got over", async () => {
  await using world = new World();
  world.answers = { hash: () => failure("resource", "REPLACED", "another file") };
  world.saw();
  await world.ended(1);
  assert.equal(world.calls.length, 1);
  let tries = 0;
  world.answers = { hash: () => ++tries === 1 ? failure("resource", "NOT_READ", "busy") : found(ROWS.hash) };
  world.saw();
  await world.ended(2);
  assert.equal(world.rows("analyses")[1]!["state"], "completed");
  assert.equal(
    world.rows("analysis_stages").find((row) => row["analysis_id"] === 2 && row["stage"] === "hash")!["attempts"],
    2,
  );
});

Deno.test("A stage that hangs is timed out, and an optional one leaves the analysis partial and its alert incomplete", async () => {
  await using world = new World();
  world.answers = { yara: never };
  world.saw();
  await world.ended();
  assert.deepEqual(world.stages(), { hash: "completed", elf: "completed", strings: "completed", yara: "timed_out" });
  assert.equal(world.rows("analyses")[0]!["state"], "partial");
  assert.deepEqual(world.alerts[0]!.completeness.reasons, [
    "analysis 1: yara timed out: it did not end within 1000 ms",
  ]);
  assert.equal(world.alerts[0]!.evidence["rule"], null);
});

Deno.test("A stage that hangs and is needed fails the analysis, which ends all the same", async () => {
  await using world = new World();
  world.answers = { elf: never };
  world.saw();
  await world.ended();
  assert.deepEqual(world.stages(), { hash: "completed", elf: "timed_out", strings: "skipped", yara: "completed" });
  assert.equal(world.rows("analyses")[0]!["state"], "failed");
});

Deno.test("A stage that is missing is stated, and the analysis is partial", async () => {
  await using world = new World();
  world.answers = { yara: () => failure("unavailable", "ABSENT", "yara is not installed here") };
  world.saw();
  await world.ended();
  assert.equal(world.stages()["yara"], "missing");
  assert.equal(world.rows("analyses")[0]!["state"], "partial");
  assert.equal(world.alerts.length, 1);
});

/** What becomes of the shipped chain when one of its stages does not complete: states of its stages, and of all. */
const WITHOUT: Readonly<Record<string, readonly [skipped: readonly Stage[], analysis: string]>> = {
  hash: [["elf", "package", "strings", "yara"], "failed"],
  elf: [["strings"], "failed"],
  package: [[], "partial"],
  strings: [[], "partial"],
  yara: [[], "partial"],
};
const WAYS: Readonly<Record<string, () => Answer | Promise<Answer>>> = {
  failed: () => failure("resource", "NOT_READ", "the disk is broken"),
  timed_out: () => new Promise(() => {}),
  missing: () => failure("unavailable", "ABSENT", "it is not installed here"),
};

Deno.test("Each stage of the shipped chain failing, hanging and missing has the stated result", async () => {
  const chain = Deno.readTextFileSync(new URL("../../../rules/analysis/executable.yml", import.meta.url));
  const stages = Object.keys(WITHOUT) as Stage[];
  assert.deepEqual([...chain.matchAll(/stage: (\w+)/g)].map(([, stage]) => stage), stages, "all stages are here");
  const quick = chain.replaceAll(/timeout: [23]0s/g, "timeout: 1s");
  await Promise.all(stages.flatMap((stage) =>
    Object.entries(WAYS).map(async ([way, answer]) => {
      await using world = new World([quick, TRIGGER, RULE]);
      world.answers = { [stage]: answer };
      world.saw();
      await world.ended();
      const [skipped, state] = WITHOUT[stage]!, what = `${stage} ${way}`;
      const expected = stages.map((
        each,
      ) => [each, each === stage ? way : skipped.includes(each) ? "skipped" : "completed"]);
      assert.deepEqual(world.stages(), Object.fromEntries(expected), what);
      const [analysis] = world.rows("analyses") as [Record<string, SqlValue>];
      assert.equal(analysis["state"], state, what);
      assert.ok(String(analysis["reason"]).includes(`${stage} ${way.replace("_", " ")}: `), what);
      // What was found without it is judged, and the alert says what is missing
      const found = !["hash", "elf"].includes(stage);
      assert.equal(world.alerts.length, Number(found), what);
      if (found) assert.match(world.alerts[0]!.completeness.reasons.join(), new RegExp(stage), what);
    })
  ));
});

Deno.test("An answer that breaks the schema fails its stage, and none of it is stored", async () => {
  await using world = new World();
  world.answers = {
    elf: () => found({}, '{"file_facts":[{"packer":7}]}'),
    strings: () => found({}, '{"alerts":[{}]}'),
  };
  world.saw();
  await world.ended();
  const elf = world.rows("analysis_stages").find(({ stage }) => stage === "elf")!;
  assert.match(String(elf["reason"]), /breaks the schema: packer of file_facts is no TEXT/);
  assert.equal(world.rows("file_facts")[0]!["packer"], null);
  assert.equal(world.alerts.length, 0);
});

Deno.test("A chain's time ends all of it", async () => {
  await using world = new World([
    CHAIN.replace("timeout: 5s", "timeout: 1s").replaceAll("timeout: 1s }", "timeout: 30s }"),
    TRIGGER,
  ]);
  world.answers = { elf: never };
  world.saw();
  await world.ended();
  assert.equal(world.rows("analyses")[0]!["state"], "timed_out");
  assert.equal(world.stages()["yara"], "cancelled");
});
