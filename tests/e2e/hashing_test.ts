/** Hashes of executables through the whole system: root's own, changed ones, and a hasher that is killed. */
import assert from "node:assert/strict";
import { FIXED_IDS } from "../../deploy/principals.ts";
import { readThreadStatuses } from "../support/threads.ts";
import { HeldProcess } from "../support/held_process.ts";
import { needs } from "../support/needs.ts";
import { processesWith } from "../support/checkout.ts";
import { newStateDirectory, World } from "../support/world.ts";

const decoder = new TextDecoder();
/** How a reason may end where somebody installs packages on this host meanwhile. */
const MANAGER = "(?:; the file changed while [\\w-]+ \\(process \\d+\\) ran)?";
/** It selects no hash. */
const RULE = `id: test-changed-program
title: A program is not what it was
description: For a test.
severity: medium
sql: |
  SELECT pid, reason FROM process_events WHERE event_type = 'suspicious' AND reason LIKE 'its executable is not what %'
`;

async function run(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  assert.ok(success, decoder.decode(stderr));
  return decoder.decode(stdout);
}

/** As Debian's program says it. */
async function sha256sum(path: string): Promise<string> {
  return (await run("sha256sum", path)).slice(0, 64);
}

function hasherOf(world: World): number[] {
  return processesWith(world.layout.state).filter((pid) => {
    try {
      return Deno.readTextFileSync(`/proc/${pid}/cmdline`).endsWith("\0hasher\0");
    } catch {
      return false; // it ended meanwhile
    }
  });
}

function niceOf(path: string): number {
  const stat = Deno.readTextFileSync(path);
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
}

/** An executable of which nobody but its owner knows anything. */
async function closedProgram(world: World, from: string): Promise<string> {
  const directory = `${world.layout.state}/closed`, path = `${directory}/program`;
  await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
  await Deno.copyFile(from, `${path}.new`);
  await Deno.chmod(`${path}.new`, 0o700);
  await Deno.rename(`${path}.new`, path);
  return path;
}

Deno.test({
  name: "an executable that only root may read is hashed, its change is told, and a killed hasher comes back",
  ...needs({ root: true, setpriv: true, bpf: true, programs: ["sha256sum"] }),
  async fn(t) {
    await using world = await World.start();
    await world.until("a hasher runs", () => hasherOf(world).length === 1);
    const [hasher] = hasherOf(world);

    await t.step("every thread of the hasher holds the one capability and nothing else, and can get none", () => {
      const threads = readThreadStatuses(hasher!);
      assert.ok(threads.length > 1);
      for (const status of threads) {
        const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)![1]!.trim();
        const { hasher } = FIXED_IDS;
        assert.deepEqual(field("Uid").split("\t"), Array(4).fill(String(hasher)));
        assert.deepEqual(field("Gid").split("\t"), Array(4).fill(String(hasher)));
        assert.equal(field("Groups"), "");
        for (const set of ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"]) {
          assert.equal(field(set), "0000000000000004", set);
        }
        assert.deepEqual([field("NoNewPrivs"), field("Seccomp")], ["1", "2"]);
      }
    });

    await t.step("every thread of the hasher leaves the processor to others first, and so does its session", () => {
      // Or what it was born with, where that is more.
      const nice = Math.max(5, niceOf("/proc/self/stat"));
      for (const { name } of Deno.readDirSync(`/proc/${hasher}/task`)) {
        assert.equal(niceOf(`/proc/${hasher}/task/${name}/stat`), nice);
      }
      const sessions = `/proc/${hasher}/autogroup`;
      let session: string;
      try {
        session = Deno.readTextFileSync(sessions);
      } catch {
        return; // a kernel that shares time out among threads only
      }
      assert.match(session, /nice 5$/m);
    });

    await t.step("the agent's user does not get to the hasher's socket", async () => {
      const look = ["--reuid", String(FIXED_IDS.agent), "--regid", String(FIXED_IDS.bus), "--clear-groups", "--"];
      const { code } = await new Deno.Command("setpriv", { args: [...look, "test", "-e", world.layout.hasherSocket] })
        .output();
      assert.equal(code, 1);
    });

    const program = await closedProgram(world, "/bin/true");
    const expected = await sha256sum(program);
    await t.step("the hash of the first run follows, that of the next is in its start", async () => {
      await run(program, "first");
      await world.until("the first run has a hash", () => {
        const [row] = world.query(
          `SELECT * FROM process_events WHERE event_type = 'modify' AND reason = 'hashed' AND executable_path = ?`,
          program,
        );
        if (row === undefined) return false;
        assert.equal(row["executable_hash"], expected);
        assert.equal(row["hash_algorithm"], "sha256");
        assert.match(String(row["fuzzy_hash"]), /^\d+:.+:.+$/);
        assert.deepEqual([row["file_exists"], row["on_disk_mismatch"]], [1, 0]);
        return true;
      });
      await run(program, "second");
      await world.until("the second start is stored", () =>
        world.count(
          `SELECT count(*) FROM process_events WHERE event_type = 'start' AND executable_path = ?
           AND command_line LIKE '%second' AND executable_hash = ?`,
          program,
          expected,
        ) === 1);
      const table = await world.cli("processes", "--all", "--name", program, "--format", "jsonl");
      const hashes = table.stdout.trim().split("\n").map((line) => JSON.parse(line)["executable_hash"]);
      assert.deepEqual(hashes, [expected, expected]);
      assert.equal(
        world.count(`SELECT count(*) FROM process_events WHERE event_type = 'modify' AND executable_path = ?`, program),
        1,
        "one row for the first alone",
      );
      const { stdout } = await world.cli(
        "query",
        `SELECT executable_hash FROM process_events WHERE command_line LIKE '%program second' AND event_type = 'start'`,
        "--format",
        "json",
      );
      assert.deepEqual(JSON.parse(stdout), [{ executable_hash: expected }]);
    });

    await t.step("another program at the same path is suspicious", async () => {
      await closedProgram(world, "/bin/false");
      const { code } = await new Deno.Command(program).output();
      assert.equal(code, 1);
      const changed = await sha256sum(program);
      await world.until("the change is told", () => {
        const [row] = world.query(
          `SELECT * FROM process_events WHERE event_type = 'suspicious' AND modified_fields LIKE '%executable_hash%'
           AND executable_path = ?`,
          program,
        );
        if (row === undefined) return false;
        assert.equal(row["executable_hash"], changed);
        assert.equal(row["severity"], "low");
        assert.match(String(row["reason"]), new RegExp(`similarity \\d+ of 100, was ${expected}${MANAGER}$`));
        return true;
      });
    });

    await t.step("a program that removes itself is missing, one of a deleted file is known as such", async () => {
      const gone = `${world.layout.state}/closed/gone`;
      await Deno.copyFile("/bin/sh", gone);
      await run(gone, "-c", `rm ${gone}; exec /proc/self/exe -c 'exit 0'`);
      await world.until("the start from the deleted file is stored", () =>
        world.count(
          `SELECT count(*) FROM process_events WHERE event_type = 'start' AND executable_path = ?
           AND executable_kind = 'deleted' AND file_exists = 0 AND on_disk_mismatch = 1 AND executable_hash IS NULL`,
          gone,
        ) === 1);
    });

    await t.step("a killed hasher is started again, and the collector goes on meanwhile", async () => {
      const collector = world.collectorStatus()!.pid;
      Deno.kill(hasher!, "SIGKILL");
      await Deno.copyFile("/bin/true", `${world.layout.state}/closed/meanwhile`);
      await run(`${world.layout.state}/closed/meanwhile`);
      await world.until("another hasher has hashed it", () =>
        world.count(
          `SELECT count(*) FROM process_events WHERE executable_path = ? AND executable_hash = ?`,
          `${world.layout.state}/closed/meanwhile`,
          expected,
        ) === 1);
      const status = world.collectorStatus()!;
      assert.equal(status.pid, collector);
      await world.until("it is counted", () => world.collectorStatus()!.counters["hasher_connections"] === 2);
      assert.match(world.stderr, /the hasher ended \(signal SIGKILL\); it starts again in 0.5 s/);
      assert.ok(status.counters["hashed"]! >= 3);
      const source = world.collectorStatus()!.sources.find(({ name }) => name === "hasher")!;
      assert.match(source.detail, /CAP_DAC_READ_SEARCH and no other capability/);
    });
  },
});

Deno.test({
  name: "a program that is changed while no collector runs is told by the next one, as an alert carries its hash",
  ...needs({ root: true, setpriv: true, bpf: true, programs: ["sha256sum"] }),
  async fn() {
    const state = await newStateDirectory(),
      directory = await Deno.makeTempDir({ dir: "/opt", prefix: "daemoneye-test-" });
    const program = `${directory}/program`;
    const put = async (from: string): Promise<string> => {
      await Deno.copyFile(from, `${program}.new`);
      await Deno.rename(`${program}.new`, program);
      return await sha256sum(program);
    };
    try {
      await Deno.mkdir(`${state}/rules`, { recursive: true });
      await Deno.writeTextFile(`${state}/rules/changed.yaml`, RULE);
      const first = await put("/bin/true");
      {
        await using world = await World.start({ state });
        await run(program);
        await world.until(
          "it is hashed",
          () =>
            world.count(
              "SELECT count(*) FROM process_events WHERE executable_path = ? AND executable_hash = ?",
              program,
              first,
            ) > 0,
        );
        assert.equal(await world.stop(), 0);
      }
      const second = await put("/bin/echo");
      await using world = await World.start({ state });
      await run(program);
      const changes = (): Record<string, string | number | null>[] =>
        world.query("SELECT * FROM process_events WHERE event_type = 'suspicious' AND executable_path = ?", program);
      await world.until("the change is told", () => changes().length > 0);
      const [change, ...more] = changes();
      assert.deepEqual([change!["executable_hash"], more], [second, []]);
      const [, manager] = new RegExp(`was ${first}(${MANAGER})$`).exec(String(change!["reason"]))!;
      assert.equal(change!["severity"], manager === "" ? "medium" : "low");
      await world.until(
        "the alert is stored",
        () =>
          world.query(
            "SELECT evidence FROM alerts WHERE rule_id = 'test-changed-program' AND executable_path = ?",
            program,
          )
            .some(({ evidence }) => {
              const { pid, executable_hash, hash_algorithm } = JSON.parse(String(evidence));
              assert.deepEqual([pid, executable_hash, hash_algorithm], [change!["pid"], second, "sha256"]);
              return true;
            }),
      );
    } finally {
      await Deno.remove(directory, { recursive: true });
      await Deno.remove(state, { recursive: true });
    }
  },
});

Deno.test({
  name: "with collector.hashing off no hasher runs, and health says so",
  ...needs({ programs: ["setpriv"] }),
  async fn() {
    await using world = await World.start({ config: "collector:\n  hashing: off\n" });
    assert.deepEqual(hasherOf(world), []);
    const source = world.collectorStatus()!.sources.find(({ name }) => name === "hasher")!;
    assert.equal(source.state, "unavailable");
    const { stdout } = await world.cli("health");
    assert.match(stdout, /source hasher +unavailable: executables are not hashed: collector.hashing is off/);
  },
});

Deno.test({
  name: "an ordinary user's hasher hashes what that user may read, and says what it cannot",
  // As root above.
  ignore: Deno.uid() === 0 || needs({ programs: ["setpriv", "sha256sum"] }).ignore,
  async fn() {
    await using world = await World.start();
    await using _ = new HeldProcess("/bin/sleep", ["1000.125"]);
    const expected = await sha256sum(await Deno.realPath("/bin/sleep"));
    await world.until("it is hashed", () =>
      world.count(
        `SELECT count(*) FROM process_events WHERE executable_hash = ? AND command_line LIKE '%sleep 1000.125'`,
        expected,
      ) > 0);
    const source = world.collectorStatus()!.sources.find(({ name }) => name === "hasher")!;
    assert.match(source.misses.join(), /may not read are not hashed: the hasher runs without CAP_DAC_READ_SEARCH/);
  },
});
