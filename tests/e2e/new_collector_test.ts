/**
 * A new collector as a new user comes to it: `deno task new-collector disk`, then the commands of the README that it wrote,
 * one after the other as they stand there, until its rows are on the screen. Prints how long each part took.
 * `deno task test:new-collector` has the new collector run its own tests too, as the task does.
 */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { PATIENCE_MS } from "../support/patience.ts";
import { newStateDirectory, World } from "../support/world.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** The tests of the new collector, some seconds, are those of the conformance suite, which has tests of its own. */
const WITHOUT_TESTS = Deno.env.get("NEW_COLLECTOR_WHOLE") === "1" ? "" : "--no-test";
const decoder = new TextDecoder();

/** Commands of a page under a heading, line by line. */
function commandsUnder(page: string, heading: string): string[] {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  assert.ok(section !== undefined, `the page has a part ${heading}`);
  return [...section.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap((block) => block[1]!.trim().split("\n"));
}

async function shell(script: string): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", script],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = decoder.decode(stdout) + decoder.decode(stderr);
  assert.equal(code, 0, `${script}\n${text}`);
  return text;
}

Deno.test({
  name: "a collector that was written by the task is registered and can be asked for by the steps of its README",
  ignore: Deno.uid() === 0 && needs({ mount: true }).ignore,
  async fn() {
    const place = await Deno.realPath(await Deno.makeTempDir({ prefix: "daemoneye-new-" }));
    await Deno.chmod(place, 0o755);
    const state = await newStateDirectory(), times: string[] = [], first = performance.now();
    let began = first;
    const took = (what: string): void => {
      times.push(`${what} ${((performance.now() - began) / 1_000).toFixed(1)} s`);
      began = performance.now();
    };
    // Another state directory than that of the checkout is all that is not as the page says
    const here = (command: string): string =>
      command.replace(/^STATE=.*/, `STATE=${state}`).replace("deno task cli", `deno task cli --state ${state}`);
    try {
      await shell(`deno task new-collector disk --into ${place} ${WITHOUT_TESTS}`);
      took(WITHOUT_TESTS === "" ? "written, checked and tested" : "written and checked");
      const page = await Deno.readTextFile(`${place}/disk-collector/README.md`);
      const steps = commandsUnder(page, "Run it").map(here);
      assert.equal(steps.pop(), "deno task start");
      await shell(steps.join("\n"));
      took("its steps");
      await using world = await World.start({ state, patienceMs: PATIENCE_MS });
      took("the system started");
      const runs = (): boolean =>
        world.agentStatus()?.registry.find(({ collectorId }) => collectorId === "disk")?.lifecycle.state === "running";
      await world.until("it is registered", runs, PATIENCE_MS);
      took("registered");
      await world.until("a row is stored", () => world.count("SELECT count(*) FROM disk_samples") > 0, PATIENCE_MS);
      const [health, schema, rows, rules, ...others] = commandsUnder(page, "See it").map(here);
      assert.deepEqual(others, []);
      // What is not as it should be on this host makes health end with 3
      assert.match(await shell(`${health!.replace(/#.*/, "")} || test $? -eq 3`), /registered +disk, running/);
      assert.match(await shell(schema!), /used_percent +REAL/);
      assert.match(await shell(rows!), /disk-collector\/state/);
      assert.match(await shell(rules!.replace(/#.*/, "")), /disk-almost-full/);
      took("seen by four commands");
      console.log(`${times.join(", ")}: ${((performance.now() - first) / 1_000).toFixed(1)} s in all`);
      assert.equal(await world.stop(), 0);
    } finally {
      for (const path of [place, state]) await Deno.remove(path, { recursive: true });
    }
  },
});
