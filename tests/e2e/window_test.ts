/** A rule over a window, from the kernel to the alert, and over a restart of everything in the middle of its sequence. */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { newStateDirectory, World } from "../support/world.ts";

const kernel = needs({ root: true, bpf: true });

async function runProgram(path: string, ...args: string[]): Promise<void> {
  const { success } = await new Deno.Command(path, { args, stdin: "null", stdout: "null", stderr: "null" }).output();
  assert.ok(success);
}

Deno.test({
  name: "a download and the execution of its file are one alert, also with a restart between them, and not another",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory();
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-window-" });
    try {
      // Programs of these names that do nothing: the rule goes by name, words and path.
      for (const name of ["curl", "before", "after"]) await Deno.copyFile("/bin/true", `${directory}/${name}`);
      const alertsFor = (world: World, path: string): Record<string, string | number | null>[] =>
        world.query("SELECT * FROM alerts WHERE rule_id = 'download-then-execution' AND executable_path = ?", path);
      {
        await using world = await World.start({ state });
        await runProgram(`${directory}/curl`, "-so", `${directory}/before`, "http://203.0.113.9/x");
        await runProgram(`${directory}/before`);
        await world.until("the alert is stored", () => alertsFor(world, `${directory}/before`).length > 0);
        await runProgram(`${directory}/curl`, "-so", `${directory}/after`, "http://203.0.113.9/y");
        await world.until("the second download is stored", () =>
          world.count(
            "SELECT count(*) FROM process_events WHERE name = 'curl' AND event_type = 'stop' AND command_line LIKE ?",
            `%${directory}/after%`,
          ) > 0);
      }
      {
        await using world = await World.start({ state });
        await runProgram(`${directory}/after`);
        await world.until("its alert is stored", () => alertsFor(world, `${directory}/after`).length > 0);
        const [alert] = alertsFor(world, `${directory}/after`);
        assert.match(String(alert!["evidence"]), /"file":"after"/);
        assert.match(String(alert!["alert_id"]), /^download-then-execution@[0-9a-f]{24}:\d+$/);
        // Nobody looked while everything was stopped, and the alert says so.
        const completeness = JSON.parse(String(alert!["completeness"]));
        assert.equal(completeness.complete, false);
        assert.equal(alertsFor(world, `${directory}/before`).length, 1);
        assert.equal(alertsFor(world, `${directory}/after`).length, 1);
        const status = () => world.agentStatus()!.rules.find(({ id }) => id === "download-then-execution")!;
        assert.deepEqual([status().lane, status().state], ["correlation: fetched, then ran within 5m", "active"]);
        await world.until("its counts are in the status", () => {
          const { evaluations, rows, matches } = status();
          return evaluations > 0 && rows > 0 && matches > 0;
        });
        const { stdout, code } = await world.cli("alerts", String(alert!["alert_id"]));
        assert.equal(code, 0);
        assert.match(stdout, /saw +not all that it looks at: gap/);
      }
    } finally {
      await Deno.remove(state, { recursive: true });
      await Deno.remove(directory, { recursive: true });
    }
  },
});
