/**
 * The main job on the real processes of this machine: seen, stored, judged, alerted, shown.
 *
 * As root these run on eBPF, otherwise on the polling rung; a test that needs more says so.
 */
import assert from "node:assert/strict";
import { HeldProcess, WAITING_SHELL } from "../support/held_process.ts";
import { GAPS } from "../support/gaps.ts";
import { needs } from "../support/needs.ts";
import { eventually, PATIENCE_MS } from "../support/patience.ts";
import { newStateDirectory, World } from "../support/world.ts";

const kernel = needs({ root: true, bpf: true });

async function run(command: string, args: string[], env: Record<string, string> = {}): Promise<number> {
  const { code } = await new Deno.Command(command, { args, env, stdin: "null", stdout: "null", stderr: "null" })
    .output();
  return code;
}

/** A storm and what it leaves to do, where all processors are busy with other things. */
const STORM_PATIENCE_MS = 5 * PATIENCE_MS;

for (const [confinement, storm] of [["in-process", 20_000], ["re-exec", 5_000]] as const) {
  Deno.test({
    name: `a storm of ${storm} short processes is in the store completely, collector confined ${confinement}`,
    ignore: kernel.ignore,
    async fn() {
      await using world = await World.start({ config: `collector:\n  confinement: ${confinement}\n` });
      const each = storm / 2, tag = `storm${Deno.pid}`;
      const loop = `i=0; while [ $i -lt ${each} ]; do /bin/true ${tag}-$1-$i; i=$((i+1)); done`;
      await Promise.all(["a", "b"].map((half) => run("/bin/sh", ["-c", loop, "sh", half])));
      const starts =
        `SELECT count(*) FROM process_events WHERE event_type = 'start' AND command_line LIKE '/bin/true ${tag}-%'`;
      const stops = starts.replace("'start'", "'stop'");
      await world.until(
        "every stop is stored",
        () => world.count(stops) >= 2 * each || world.count(`SELECT count(*) FROM ${GAPS}`) > 0,
        STORM_PATIENCE_MS,
      );
      assert.deepEqual(world.query(`SELECT * FROM ${GAPS}`), []);
      const expected = new Set(
        ["a", "b"].flatMap((half) => Array.from({ length: each }, (_, i) => `${tag}-${half}-${i}`)),
      );
      for (const kind of ["start", "stop"]) {
        const seen = world.query(
          `SELECT argv, exit_code FROM process_events WHERE event_type = ? AND command_line LIKE '/bin/true ${tag}-%'`,
          kind,
        );
        assert.equal(seen.length, 2 * each, `${kind}s`);
        const args = new Set(seen.map((row) => (JSON.parse(String(row["argv"])) as string[])[1]!));
        assert.deepEqual(args.symmetricDifference(expected).size, 0, `arguments of the ${kind}s`);
        if (kind === "stop") assert.ok(seen.every((row) => row["exit_code"] === 0));
      }
      assert.deepEqual(world.query(`SELECT * FROM ${GAPS}`), []);
      assert.equal(
        world.count("SELECT count(*) FROM (SELECT 1 FROM process_events GROUP BY event_id HAVING count(*) > 1)"),
        0,
      );
    },
  });
}

Deno.test({
  name: "arguments come through whole: newlines, invalid UTF-8, escapes, a mebibyte",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start();
    const tag = `odd${Deno.pid}`;
    const script = String
      .raw`/bin/true ${tag} "$(printf 'two\nlines')" "$(printf 'bad\377byte')" "$(printf '\033[31mred')" ""`;
    await run("/bin/sh", ["-c", script]);
    const long = "y".repeat(120_000);
    await run("/bin/true", [`${tag}-long`, ...Array.from({ length: 9 }, () => long)]);
    const stop = `SELECT * FROM process_events WHERE event_type = 'stop' AND command_line LIKE ?`;
    await world.until("both have ended", () => world.query(stop, `/bin/true ${tag}%`).length === 2);
    const [odd] = world.query(stop, `/bin/true ${tag} %`);
    assert.deepEqual(JSON.parse(String(odd!["argv"])), [
      "/bin/true",
      tag,
      "two\nlines",
      "bad\udcffbyte",
      "\x1b[31mred",
      "",
    ]);
    const [cut] = world.query(stop, `/bin/true ${tag}-long%`);
    assert.equal(cut!["argv_length"], "/bin/true".length + 1 + `${tag}-long`.length + 1 + 9 * (long.length + 1));
    assert.ok(String(cut!["argv"]).length >= 16_000, "what fits under the cap is kept");
    const shown = await world.cli("events", "--pid", String(odd!["pid"]));
    assert.ok(!shown.stdout.includes("\x1b[31m"), "no escape sequence reaches the terminal");
    assert.match(shown.stdout, /two\\nlines bad/);
  },
});

Deno.test("a process that matches a starter rule raises one alert in every place, two raise two", async () => {
  await using world = await World.start();
  const implant = `/tmp/daemoneye-implant-${Deno.pid}`;
  await Deno.copyFile("/bin/sleep", implant);
  try {
    for (let number = 1; number <= 2; number++) {
      await using _ = new HeldProcess(implant, ["1000"]);
      await world.until(
        `alert ${number} is stored`,
        () => world.count("SELECT count(*) FROM alerts WHERE executable_path = ?", implant) === number,
      );
    }
    const alerts = world.query("SELECT * FROM alerts WHERE executable_path = ? ORDER BY time", implant);
    assert.equal(new Set(alerts.map((alert) => alert["alert_id"])).size, 2);
    for (const alert of alerts) {
      assert.equal(alert["rule_id"], "execution-from-odd-directory");
      assert.equal(alert["command_line"], `${implant} 1000`);
      assert.ok(Number(alert["pid"]) > 1);
      assert.notEqual(alert["parent_name"], null);
      const id = String(alert["alert_id"]);
      await world.until(
        "the alert is in the file once",
        () => alertFileIds(world).filter((one) => one === id).length === 1,
      );
    }
    const printed = (): string[] =>
      world.stdout.split("\n").filter((line) => line.includes(implant) && line.startsWith("[high]"));
    await world.until("both are printed", () => printed().length >= 2);
    const listed = await world.cli("alerts", "--format", "json");
    const rows = (JSON.parse(listed.stdout) as Record<string, unknown>[]).filter((row) =>
      row["executable_path"] === implant
    );
    assert.deepEqual(rows.map((row) => row["pid"]).sort(), alerts.map((alert) => alert["pid"]).sort());
    assert.equal(printed().length, 2, world.stdout);
  } finally {
    await Deno.remove(implant);
  }
});

function alertFileIds(world: World): string[] {
  const lines = Deno.readTextFileSync(world.layout.alertFile).split("\n").filter((line) => line !== "");
  return lines.map((line) => (JSON.parse(line) as { alertId: string }).alertId);
}

Deno.test("secrets in arguments are in no file and no output", async () => {
  await using world = await World.start();
  const secret = `hunter2${crypto.randomUUID().slice(0, 8)}`, marker = `marker${Deno.pid}`;
  const lines: string[][] = [
    [`--password=${secret}`],
    ["--token", secret],
    ["-H", `Authorization: Bearer ${secret}`],
    [`https://me:${secret}@example.test/`],
  ];
  await using held = new AsyncDisposableStack();
  for (const args of lines) held.use(new HeldProcess("/bin/sh", ["-c", WAITING_SHELL, marker, ...args]));
  // mysql itself is not installed: a copy of sleep under its name takes the argument and fails at once.
  if (!kernel.ignore) {
    const directory = await Deno.makeTempDir();
    await Deno.copyFile("/bin/true", `${directory}/mysql`);
    await run(`${directory}/mysql`, [`-p${secret}`, marker]);
    await Deno.remove(directory, { recursive: true });
  }
  const masked = "SELECT count(*) FROM process_events WHERE command_line LIKE ? AND command_line LIKE '%[REDACTED:%'";
  await world.until(
    "the masked command lines are stored",
    () => world.count(masked, `%${marker}%`) >= (kernel.ignore ? 4 : 5),
  );
  const outputs = [await world.cli("events"), await world.cli("processes", "--all"), await world.cli("alerts")];
  await world.stop();
  const needle = new TextEncoder().encode(secret);
  for (const output of [...outputs.map((o) => o.stdout + o.stderr), world.stdout, world.stderr]) {
    assert.ok(!output.includes(secret));
  }
  let files = 0;
  for (const path of filesBelow(world.layout.state)) {
    files++;
    assert.equal(indexOf(Deno.readFileSync(path), needle), -1, path);
  }
  assert.ok(files >= 4);
});

Deno.test("a collector that is killed leaves no event twice and a gap for what was missed", async () => {
  await using world = await World.start();
  const noise = new AbortController();
  const busy = (async () => {
    while (!noise.signal.aborted) await run("/bin/true", ["noise"]);
  })();
  const before = world.collectorStatus()!;
  Deno.kill(before.pid, "SIGKILL");
  await world.until("another collector runs and is connected", () => {
    const status = world.collectorStatus();
    return status !== null && status.pid !== before.pid && status.connected;
  });
  noise.abort();
  await busy;
  // Beside it there is the agent's own, where the next collector was long in coming.
  const told = (): Record<string, string | number | null>[] =>
    world.query("SELECT * FROM gaps WHERE source = 'collector' AND reason NOT LIKE '%was not heard from%'");
  await world.until("the gap is stored", () => told().length === 1);
  const [gap] = told();
  assert.match(String(gap!["reason"]), /ended without a word and did not run; the kernel counted \d+ forks/);
  assert.ok(Number(gap!["from_time"]) <= Number(gap!["to_time"]));
  const twice = `SELECT exec_id, event_type, count(*) AS n FROM process_events WHERE event_type IN ('start', 'stop')
    GROUP BY exec_id, event_type HAVING n > 1`;
  assert.deepEqual(world.query(twice), []);
  assert.equal((await world.cli("health")).code, 3, "a gap makes the answer degraded");
});

Deno.test("the CLI reads while the agent lives, is killed, and is stopped", async () => {
  const state = await newStateDirectory();
  {
    await using world = await World.start({ state });
    assert.equal((await world.cli("query", "SELECT count(*) AS n FROM processes", "--format", "json")).code, 0);
    const agent = world.agentStatus()!;
    // With the supervisor stopped, nobody starts the agent again after the kill.
    world.supervisor.kill("SIGSTOP");
    Deno.kill(agent.pid, "SIGKILL");
    await eventually("the agent has ended", () => /\) Z /.test(Deno.readTextFileSync(`/proc/${agent.pid}/stat`)));
    const killed = await world.cli("query", "SELECT count(*) AS n FROM processes", "--format", "json");
    assert.ok(Number(JSON.parse(killed.stdout)[0].n) > 0, killed.stderr);
    world.supervisor.kill("SIGCONT");
    await world.until("the agent runs again", () => world.agentStatus()!.pid !== agent.pid);
    assert.equal(await world.stop(), 0);
    const stopped = await world.cli("processes", "--all", "--format", "json");
    assert.ok(JSON.parse(stopped.stdout).length > 0, stopped.stderr);
    assert.equal((await world.cli("health")).code, 3);
  }
  await Deno.remove(state, { recursive: true });
});

Deno.test({
  name: "a kernel source that is refused leads to the next rung, and health says what is missed",
  async fn() {
    await using world = await World.start({ set: ["collector.source=proc", "collector.poll_interval_ms=300"] });
    const marker = `polled${Deno.pid}`;
    const seen = (kind: string): number =>
      world.count(
        "SELECT count(*) FROM process_events WHERE event_type = ? AND command_line LIKE ?",
        kind,
        `%${marker}`,
      );
    {
      await using _ = new HeldProcess("/bin/sh", ["-c", WAITING_SHELL, marker]);
      await world.until("the process was seen to start", () => seen("start") === 1);
    }
    await world.until("the process was seen to end", () => seen("stop") === 1);
    const health = await world.cli("health", "--plain");
    assert.match(health.stdout, /proc/);
    assert.match(health.stdout, /processes that live shorter than 300 ms are mostly not seen/);
    assert.equal(health.code, 3);
  },
});

function* filesBelow(directory: string): Generator<string> {
  for (const entry of Deno.readDirSync(directory)) {
    if (entry.isDirectory) yield* filesBelow(`${directory}/${entry.name}`);
    else if (entry.isFile) yield `${directory}/${entry.name}`;
  }
}

function indexOf(bytes: Uint8Array, needle: Uint8Array): number {
  outer: for (let at = bytes.indexOf(needle[0]!); at >= 0; at = bytes.indexOf(needle[0]!, at + 1)) {
    for (let i = 1; i < needle.length; i++) if (bytes[at + i] !== needle[i]) continue outer;
    return at;
  }
  return -1;
}
