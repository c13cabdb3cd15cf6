/** A process that is hidden from `ps` for real, through the whole system. */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { World } from "../support/world.ts";

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

Deno.test({
  name: "a process with a mount over its directory of /proc is told as hidden, once, within a snapshot's interval",
  ...needs({ root: true, bpf: true, mount: true, programs: ["mount", "umount"] }),
  async fn() {
    const empty = await Deno.makeTempDir();
    const hidden = new Deno.Command("/bin/sleep", { args: ["600"], stdin: "null" }).spawn();
    const told = (): Record<string, string | number | null>[] =>
      world.query("SELECT * FROM process_events WHERE event_type = 'suspicious' AND pid = ?", hidden.pid);
    await using world = await World.start({ config: "collector:\n  snapshot_interval_ms: 1000\n" });
    try {
      await run("mount", "--bind", empty, `/proc/${hidden.pid}`);
      try {
        await world.until("it is told", () => told().length > 0);
        const [event] = told();
        assert.deepEqual([event!["severity"], event!["reason"]], [
          "high",
          "it is hidden: seen by the kernel's table, not by /proc, as something is mounted over it there",
        ]);
        assert.equal(event!["name"], "sleep");
      } finally {
        await run("umount", `/proc/${hidden.pid}`);
      }
      const marker = `hidden-${Deno.pid}`;
      await run("/bin/true", marker);
      await world.until("what comes after is stored", () =>
        world.count(
          "SELECT count(*) FROM process_events WHERE event_type = 'stop' AND command_line LIKE ?",
          `%${marker}`,
        ) > 0);
      assert.equal(told().length, 1, "once, though every snapshot shows it");
      assert.equal(world.collectorStatus()!.counters["hidden_processes"]! >= 1, true);
    } finally {
      hidden.kill("SIGKILL");
      await hidden.status;
      await Deno.remove(empty);
    }
  },
});
