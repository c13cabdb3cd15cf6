/** The whole product on the last rung, with the grant that it takes and as the users that it becomes. */
import assert from "node:assert/strict";
import { findPs } from "../../deploy/launch.ts";
import { needs } from "../support/needs.ts";
import { World } from "../support/world.ts";

Deno.test({
  name: "on ps a process is seen to start and to end, and health says what that rung misses",
  ...needs({ programs: ["ps"] }),
  async fn() {
    await using world = await World.start({ set: ["collector.source=ps", "collector.poll_interval_ms=250"] });
    const tag = `psrung${Deno.pid}`;
    const child = new Deno.Command("sh", { args: ["-c", "read line", tag], stdin: "piped" }).spawn();
    const events = (kind: string): Record<string, string | number | null>[] =>
      world.query(
        "SELECT * FROM process_events WHERE event_type = ? AND pid = ? AND name = 'sh' AND command_line LIKE ?",
        kind,
        child.pid,
        `%${tag}`,
      );
    await world.until("its start is stored", () => events("start").length > 0);
    await child.stdin.close();
    await child.status;
    await world.until("its end is stored", () => events("stop").length > 0);
    const [start] = events("start"), [stop] = events("stop");
    assert.deepEqual(
      [start!["source"], start!["ppid"], start!["user_id"], start!["executable_path"], start!["cgroup_path"]],
      ["ps", Deno.pid, Deno.uid(), null, null],
    );
    assert.equal((JSON.parse(String(start!["argv"])) as string[]).length, 1);
    assert.deepEqual([stop!["exit_code"], stop!["exec_id"]], [null, start!["exec_id"]]);

    const [source] = world.query("SELECT * FROM sources WHERE state = 'active'");
    assert.equal(source!["name"], "ps");
    assert.match(String(source!["misses"]), /arguments are not told apart/);
    assert.ok((JSON.parse(String(source!["unknown_columns"])) as string[]).includes("executable_path"));
    // The ps that is run all the time is no event.
    const own = world.collectorStatus()!.pid;
    assert.equal(world.count("SELECT count(*) FROM process_events WHERE name = 'ps' AND ppid = ?", own), 0);
    // A busy host may hold a ps up past its deadline, which is a gap.
    assert.deepEqual(
      world.query("SELECT * FROM gaps WHERE reason NOT LIKE 'the process table could not be read%'"),
      [],
    );

    // The tier got the right to run this one program, and no other tier did.
    const commandOf = (pid: number): string => Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
    assert.ok(commandOf(own).includes(` --allow-run=${findPs()} `), commandOf(own));
    assert.ok(!commandOf(world.agentStatus()!.pid).includes("--allow-run"));
    assert.equal(await world.stop(), 0);
  },
});
