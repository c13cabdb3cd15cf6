/**
 * Collectors of other makers in a whole system: the one that `new-collector` writes, and the log collector of docs/examples,
 * each bundled as its README says and started under the grants of its collectors.json. Their tables are asked for by the
 * CLI, rules over them alert, one is killed and comes back, and their grants refuse everything else.
 */
import assert from "node:assert/strict";
import { otherCollectorsFile } from "../../deploy/other_collectors.ts";
import { writeCollector } from "../../deploy/new_collector.ts";
import { BundledProgram } from "../support/bundled_program.ts";
import { needs } from "../support/needs.ts";
import { newStateDirectory, World } from "../support/world.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const isRoot = Deno.uid() === 0, USERS = { disk: 64_321, logs: 64_322 };

interface Entry {
  readonly id: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What a collectors.json says, for this place: another runtime, directories of the test, a program that is a bundle. */
function placed(text: string, state: string, program: BundledProgram, replace: Record<string, string>): Entry {
  let json = text.replaceAll("STATE/", `${state}/`);
  for (const [from, to] of Object.entries(replace)) json = json.replaceAll(from, to);
  const [entry] = (JSON.parse(json) as { collectors: Entry[] }).collectors;
  const command = entry!.command.map((word) => /(main\.ts|\.js)$/.test(word) ? program.path : word)
    .filter((word) => !/^--(config=|cached-only)/.test(word));
  return { ...entry!, command: [program.deno, ...command.slice(1)] };
}

/** What the flags of an entry refuse, by trying. */
async function refused({ command }: Entry, program: BundledProgram): Promise<string[]> {
  const probe = `${program.directory}/probe.js`;
  await Deno.writeTextFile(
    probe,
    `const tries = {
      read: () => Deno.readTextFileSync("/etc/hostname"), ledger: () => Deno.readDirSync("/root")[Symbol.iterator]().next(),
      write: () => Deno.writeTextFileSync("/tmp/x-of-a-probe", ""), run: () => new Deno.Command("/bin/true").outputSync(),
      ffi: () => Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", {}), env: () => Deno.env.get("HOME"),
      net: () => Deno.connect({ hostname: "127.0.0.1", port: 1 }), sys: () => Deno.hostname(),
      import: () => import("https://example.invalid/x.js"),
    };
    for (const [name, act] of Object.entries(tries)) {
      try { await act(); console.log(name + " let through"); } catch (error) {
        console.log(name + (error instanceof Deno.errors.NotCapable || /NotCapable|Requires|requires|not allowed|remote|Can't download|disabled/.test(String(error)) ? " refused" : " " + error));
      }
    }`,
  );
  const args = [...command.slice(1, -1), probe];
  const { stdout } = await new Deno.Command(program.deno, { args, env: { DENO_DIR: `${program.directory}/deno_dir` } })
    .output();
  return new TextDecoder().decode(stdout).trim().split("\n");
}

const REFUSED = ["read", "ledger", "write", "run", "ffi", "env", "net", "sys", "import"].map((name) =>
  `${name} refused`
);

Deno.test({
  name: "collectors of other makers: registered, stored, asked for, judged, restarted, and let do nothing else",
  ignore: isRoot && needs({ mount: true }).ignore,
  async fn(t) {
    const place = await Deno.makeTempDir({ prefix: "daemoneye-toolkit-" }), state = await newStateDirectory();
    await Deno.chmod(place, 0o755);
    const { directory } = writeCollector("disk", place);
    await using disk = await BundledProgram.make(`${directory}/main.ts`);
    await using logs = await BundledProgram.make("docs/examples/log-collector/main.ts");
    try {
      for (const name of ["disk", "logs"] as const) {
        await Deno.mkdir(`${place}/${name}-state`, { mode: 0o700 });
        if (isRoot) await Deno.chown(`${place}/${name}-state`, USERS[name], USERS[name]);
      }
      const log = `${place}/auth.log`;
      await Deno.writeTextFile(log, "", { mode: 0o644 });
      const logEntry = placed(
        Deno.readTextFileSync(`${ROOT}docs/examples/log-collector/collectors.json`),
        state,
        logs,
        {
          "/var/log/auth.log": log,
          "/var/lib/daemoneye-logs": `${place}/logs-state`,
        },
      );
      const diskEntry = placed(Deno.readTextFileSync(`${directory}/collectors.json`), state, disk, {
        [`${directory}/state`]: `${place}/disk-state`,
      });
      const entries = [
        { ...diskEntry, ...isRoot ? { user: USERS.disk } : {} },
        {
          ...logEntry,
          env: { ...logEntry.env, DAEMONEYE_AUTH_LOG: log },
          user: isRoot ? USERS.logs : null,
        },
      ];
      Deno.writeTextFileSync(otherCollectorsFile(state), JSON.stringify({ collectors: entries }), { mode: 0o644 });
      await Deno.mkdir(`${state}/rules`, { recursive: true, mode: 0o755 });
      await Deno.copyFile(`${directory}/rules/disk-almost-full.yml`, `${state}/rules/disk-almost-full.yml`);
      const anySample = Deno.readTextFileSync(`${directory}/rules/disk-almost-full.yml`).replaceAll(/> 90/g, "> -1")
        .replaceAll("disk-almost-full", "disk-any").replace(/no_match:[^]*$/, "no_match: []\n");
      await Deno.writeTextFile(`${state}/rules/disk-any.yml`, anySample);
      for (const { name } of Deno.readDirSync(`${ROOT}docs/examples/log-collector/rules`)) {
        await Deno.copyFile(`${ROOT}docs/examples/log-collector/rules/${name}`, `${state}/rules/${name}`);
      }
      await t.step("the grants refuse everything else", async () => {
        // The one that is written reads its own project too, and asks how full file systems are
        assert.deepEqual(await refused(diskEntry, disk), REFUSED);
        assert.deepEqual(await refused(logEntry, logs), REFUSED);
      });
      await using world = await World.start({ state, patienceMs: PATIENCE_MS });
      const standing = (id: string) => world.agentStatus()?.registry.find(({ collectorId }) => collectorId === id);
      await t.step("both register, and their tables are there", async () => {
        await world.until(
          "both run",
          () => ["disk", "logs"].every((id) => standing(id)?.lifecycle.state === "running"),
          PATIENCE_MS,
        );
        const tables = world.query("SELECT table_name FROM collected_tables ORDER BY 1").map((row) =>
          row["table_name"]
        );
        assert.deepEqual(tables, ["cron_events", "disk_samples", "sshd_events", "sudo_events"]);
        const { stdout } = await world.cli("health");
        assert.match(stdout, /registered +disk, running/);
        assert.match((await world.cli("sources")).stdout, /auth-log/);
        assert.match((await world.cli("query", "--schema", "disk_samples")).stdout, /used_percent +REAL/);
      });
      await t.step("the CLI gives their rows", async () => {
        await world.until("a sample is stored", () => world.count("SELECT count(*) FROM disk_samples") > 0);
        const { stdout, code } = await world.cli(
          ...["query", "SELECT path, used_percent FROM disk_samples ORDER BY time DESC LIMIT 1", "--format", "json"],
        );
        assert.equal(code, 0);
        assert.equal(JSON.parse(stdout)[0].path, `${place}/disk-state`);
      });
      await t.step("rules over their tables, refused before these were there, judge", async () => {
        const lanes = () =>
          new Map(
            world.agentStatus()!.rules.filter(({ state }) => state === "active").map(({ id, lane }) => [id, lane]),
          );
        await world.until(
          "the rules are active",
          () => lanes().has("disk-any") && lanes().has("ssh-login-after-failures"),
        );
        assert.equal(lanes().get("disk-any"), "table disk_samples");
        const degraded = () => world.agentStatus()!.rules.find(({ id }) => id === "disk-any")!.degraded;
        await world.until("nothing keeps it from judging", () => degraded().length === 0);
        assert.equal(lanes().get("ssh-passwords-guessed-from-one-address"), "table sshd_events, window: 5m");
        await world.until(
          "a sample raises an alert",
          () => world.count("SELECT count(*) FROM alerts WHERE rule_id = 'disk-any'") > 0,
          PATIENCE_MS,
        );
      });
      const line = (text: string): string =>
        `${new Date().toISOString()} web sshd[7]: ${text} from 192.0.2.7 port 9 ssh2\n`;
      await t.step("guessed passwords in the log are one alert, through a rotation", async () => {
        const failed = line("Failed password for root");
        await Deno.writeTextFile(log, failed.repeat(3), { append: true });
        await world.until("they are stored", () => world.count("SELECT count(*) FROM sshd_events") === 3);
        await Deno.rename(log, `${log}.1`);
        await Deno.writeTextFile(log, `${failed.repeat(3)}${line("Accepted password for root")}`, { mode: 0o644 });
        await world.until("all are stored", () => world.count("SELECT count(*) FROM sshd_events") === 7);
        const found = (id: string): number => world.count("SELECT count(*) FROM alerts WHERE rule_id = ?", id);
        await world.until(
          "both rules alert",
          () => found("ssh-passwords-guessed-from-one-address") === 1 && found("ssh-login-after-failures") === 1,
        );
      });
      await t.step("a log that is truncated is a gap, and what comes after it is stored", async () => {
        await Deno.truncate(log);
        await Deno.writeTextFile(log, line("Accepted password for tom"), { append: true });
        await world.until(
          "it is stored",
          () => world.count("SELECT count(*) FROM sshd_events WHERE user_name = 'tom'") === 1,
        );
        const told = "SELECT count(*) FROM gaps WHERE collector_id = 'logs' AND reason LIKE '%was truncated%'";
        await world.until("the gap is told", () => world.count(told) === 1);
      });
      await t.step("one that is killed goes on where it was", async () => {
        const supervised = () => world.agentStatus()!.supervised.find(({ name }) => name === "logs")!,
          { pid } = supervised();
        Deno.kill(pid, "SIGKILL");
        await Deno.writeTextFile(log, line("Failed password for ann").repeat(5), { append: true });
        await world.until(
          "another one runs",
          () => supervised().pid !== pid && supervised().state === "running",
          PATIENCE_MS,
        );
        await world.until(
          "what came meanwhile is stored",
          () => world.count("SELECT count(*) FROM sshd_events WHERE user_name = 'ann'") === 5,
          PATIENCE_MS,
        );
        assert.equal(world.count("SELECT count(*) FROM sshd_events"), 13);
      });
      assert.equal(await world.stop(), 0);
    } finally {
      for (const path of [place, state]) await Deno.remove(path, { recursive: true });
    }
  },
});
