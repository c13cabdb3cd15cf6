/**
 * The write-ahead log in the running product: what was on disk arrives, once, whoever is killed and whatever becomes of
 * the log.
 */
import assert from "node:assert/strict";
import { LogKeeper } from "../../collector/log_keeper.ts";
import { Outbox, refusalRecord } from "../../collector/outbox.ts";
import { readHostName } from "../../collector/host_name.ts";
import { isMarker } from "../../collector/wal/format.ts";
import { DiskHome } from "../../collector/wal/home.ts";
import { messages } from "../support/test_log.ts";
import { GAPS } from "../support/gaps.ts";
import { needs } from "../support/needs.ts";
import { newStateDirectory, World } from "../support/world.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const kernel = needs({ root: true, bpf: true });
const TWICE = `SELECT exec_id, event_type, count(*) AS n FROM process_events WHERE event_type IN ('start', 'stop')
  GROUP BY exec_id, event_type HAVING n > 1`;

/** Starts `count` processes in each of four shells, each with the mark in its arguments. */
async function storm(mark: string, count: number): Promise<void> {
  const loop = `i=0; while [ $i -lt ${count} ]; do /bin/true ${mark} $i; i=$((i+1)); done`;
  await Promise.all(Array.from({ length: 4 }, async () => {
    await new Deno.Command("/bin/sh", { args: ["-c", loop], stdin: "null" }).output();
  }));
}

function marked(world: World, mark: string, type: string): number {
  return world.count(
    "SELECT count(DISTINCT exec_id) FROM process_events WHERE event_type = ? AND command_line LIKE ?",
    type,
    `/bin/true ${mark} %`,
  );
}

/** Kills a tier and, until `then` has ended, keeps the supervisor from starting it again. */
async function withoutTier(world: World, pid: number, then: () => Promise<void>): Promise<void> {
  world.supervisor.kill("SIGSTOP");
  try {
    Deno.kill(pid, "SIGKILL");
    await then();
  } finally {
    world.supervisor.kill("SIGCONT");
  }
}

/** Another log keeper on a directory of logs that nobody writes. */
function openLogs(place: string, host: string, notice: (text: string) => void = () => {}): Outbox {
  return new Outbox(
    new LogKeeper({
      home: new DiskHome(place),
      host,
      collectorId: "procmond",
      totalBytes: 268_435_456,
      segmentBytes: 8_388_608,
      keepMs: 3_600_000,
      memoryBytes: 33_554_432,
      clock: () => performance.now(),
      now: Date.now,
      gapRecord: refusalRecord,
      notice,
    }),
  );
}

/** Where the records of a segment begin. */
function recordsIn(path: string): number[] {
  const bytes = Deno.readFileSync(path), view = new DataView(bytes.buffer), found: number[] = [];
  for (let at = 0; at + 8 <= bytes.length; at += 8) if (isMarker(view, at)) found.push(at);
  return found;
}

Deno.test({
  name:
    "a collector that is killed in a storm leaves all on disk that it saw, and it arrives once, with a gap for the rest",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start();
    const copy = await Deno.makeTempDir();
    try {
      const { pid } = world.collectorStatus()!, agent = world.agentStatus()!.pid;
      const mark = `killed${Deno.pid}`;
      // An agent that stands still: what is seen waits in the log.
      Deno.kill(agent, "SIGSTOP");
      const storming = storm(mark, 300);
      await world.until("much of it waits", () => world.collectorStatus()!.queuedEvents > 200, PATIENCE_MS);
      let kept: { execId: string; kind: string }[] = [];
      await withoutTier(world, pid, async () => {
        await new Deno.Command("cp", { args: ["-r", world.layout.wal, copy] }).output();
        const outbox = openLogs(`${copy}/wal`, readHostName());
        outbox.flush();
        kept = messages(outbox).flatMap((message) => message.kind === "events" ? [...message.events] : []);
        outbox.close();
        await storming;
      });
      Deno.kill(agent, "SIGCONT");
      assert.ok(kept.length > 200, String(kept.length));
      await world.until("another collector is connected and has sent everything", () => {
        const status = world.collectorStatus()!;
        return status.pid !== pid && status.connected && status.queuedEvents === 0;
      }, PATIENCE_MS);
      const stored = new Set(
        world.query("SELECT exec_id || ' ' || event_type AS name FROM process_events").map(({ name }) => name),
      );
      assert.deepEqual(kept.filter(({ execId, kind }) => !stored.has(`${execId} ${kind}`)), []);
      assert.deepEqual(world.query(TWICE), []);
      await world.until(
        "the gap is stored",
        () => world.count("SELECT count(*) FROM gaps WHERE reason LIKE 'the collector ended without a word%'") === 1,
      );
      assert.equal(world.count("SELECT count(*) FROM gaps WHERE source = 'transport'"), 0);
    } finally {
      await Deno.remove(copy, { recursive: true });
    }
  },
});

Deno.test({
  name: "an agent that is killed in a storm, and is away for a while, gets all of it, once",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start();
    const agent = world.agentStatus()!.pid, mark = `away${Deno.pid}`, { epoch } = world.collectorStatus()!;
    const storming = storm(mark, 100);
    await world.until("some of it is stored", () => marked(world, mark, "start") > 20, PATIENCE_MS);
    await withoutTier(world, agent, async () => {
      await storming;
      await world.until("the collector waits", () => !world.collectorStatus()!.connected, PATIENCE_MS);
    });
    await world.until("all of it is stored", () => marked(world, mark, "stop") === 400, PATIENCE_MS);
    assert.equal(marked(world, mark, "start"), 400);
    assert.deepEqual(world.query(TWICE), []);
    assert.deepEqual(world.query(`SELECT * FROM ${GAPS}`), []);
    assert.equal(world.collectorStatus()!.epoch, epoch);
  },
});

Deno.test({
  name: "a collector that is stopped and started again goes on with its log and its numbers",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory();
    try {
      let before;
      {
        await using world = await World.start({ state });
        assert.equal(await world.stop(), 0);
        before = world.collectorStatus()!;
        assert.equal(before.state, "stopped");
        assert.equal(before.durableTime, before.time, "all of it is on disk");
        for (const { name, isFile } of Deno.readDirSync(`${world.layout.wal}/1`)) {
          assert.ok(isFile);
          assert.equal(Deno.statSync(`${world.layout.wal}/1/${name}`).mode! & 0o777, 0o600, name);
        }
        assert.equal(Deno.statSync(world.layout.wal).mode! & 0o777, 0o700);
      }
      await using world = await World.start({ state });
      await world.until("it goes on", () => world.collectorStatus()!.lastSequence > before.lastSequence);
      assert.equal(world.collectorStatus()!.epoch, before.epoch);
      const stops = () => world.query("SELECT * FROM gaps WHERE reason LIKE 'the collector was stopped%'");
      await world.until("the stop is a gap", () => stops().length > 0, PATIENCE_MS);
      const gaps = stops();
      assert.equal(gaps.length, 1);
      assert.equal(gaps[0]!["from_time"], before.time, "the time that nobody looked begins with the stop");
      assert.deepEqual(world.query(TWICE), []);
    } finally {
      await Deno.remove(state, { recursive: true });
    }
  },
});

Deno.test({
  name: "a log that is deleted while it is written is begun anew by itself, and nothing is lost by it",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start();
    const { epoch } = world.collectorStatus()!, mark = `deleted${Deno.pid}`;
    await Deno.remove(`${world.layout.wal}/1`, { recursive: true });
    await storm(mark, 10);
    await world.until("another log took over", () => {
      const status = world.collectorStatus()!;
      return status.epoch !== epoch && status.connected && status.log.place.endsWith("/wal/2");
    }, PATIENCE_MS);
    await storm(mark, 10);
    await world.until("all of it is stored", () => marked(world, mark, "stop") === 80, PATIENCE_MS);
    assert.deepEqual(world.query(TWICE), []);
    const { stdout } = await world.cli("health", "--plain");
    assert.match(stdout, /its files were deleted while it was written/);
  },
});

Deno.test({
  name: "a log that is damaged while nobody writes it gives all but what is damaged, and that is a gap with its number",
  ignore: kernel.ignore,
  async fn() {
    await using world = await World.start();
    const { pid, epoch } = world.collectorStatus()!, agent = world.agentStatus()!.pid, mark = `torn${Deno.pid}`;
    Deno.kill(agent, "SIGSTOP");
    await storm(mark, 100);
    await world.until("it waits", () => world.collectorStatus()!.queuedEvents >= 800, PATIENCE_MS);
    // In what waits, which is the last that was written, and not at its end, which is written anew at the next start. Where
    // much else happens on this host there are several segments: in the last one that holds some records.
    const [segment, records] = [...Deno.readDirSync(`${world.layout.wal}/1`)].map(({ name }) => name)
      .filter((name) => name.endsWith(".wal")).sort().reverse()
      .map((name) => `${world.layout.wal}/1/${name}`).map((path) => [path, recordsIn(path)] as const)
      .find(([, found]) => found.length > 3)!;
    const written = Date.now();
    await world.until("it is on disk", () => world.collectorStatus()!.durableTime > written, PATIENCE_MS);
    await withoutTier(world, pid, async () => {
      using file = await Deno.open(segment, { write: true });
      await file.seek(records.at(-3)!, Deno.SeekMode.Start);
      await file.write(new Uint8Array(64).fill(0xff));
    });
    Deno.kill(agent, "SIGCONT");
    await world.until("the rest has arrived", () => {
      const status = world.collectorStatus()!;
      return status.pid !== pid && status.connected && status.queuedEvents === 0;
    }, PATIENCE_MS);
    const { log, ...status } = world.collectorStatus()!;
    assert.equal(status.epoch, epoch);
    assert.ok(log.missing > 0 && log.damaged > 0, JSON.stringify(log));
    const lost = "SELECT sum(count) FROM gaps WHERE source = 'transport'";
    assert.equal(world.count(lost), log.missing, "the agent finds by the numbers what the log lacks");
    assert.deepEqual(world.query(TWICE), []);
    const { stdout } = await world.cli("health", "--plain");
    assert.match(stdout, new RegExp(`lost by damage in the write-ahead log: ${log.missing} numbers?\n`));
  },
});

Deno.test({
  name: "a log of another host is left alone, and health says what to move where",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory();
    try {
      {
        await using world = await World.start({ state });
        assert.equal(await world.stop(), 0);
      }
      // The state directory comes to stand on another host: made so by the log that is in it.
      const wal = `${state}/collector/wal`, owner = Deno.statSync(wal);
      await Deno.remove(wal, { recursive: true });
      const foreign = openLogs(wal, "another-host");
      foreign.addGap({ source: "ebpf", recordKind: "exec", from: 1, to: 2, count: 1, reason: "foreign" });
      foreign.close();
      await new Deno.Command("chown", { args: ["-R", `${owner.uid}:${owner.gid}`, wal] }).output();
      const before = [...Deno.readDirSync(`${wal}/1`)].map((
        { name },
      ) => [name, Deno.statSync(`${wal}/1/${name}`).mtime]);
      await using world = await World.start({ state });
      const { log } = world.collectorStatus()!;
      assert.match(log.place, /\/wal\/2$/);
      const { stdout, code } = await world.cli("health", "--plain");
      assert.match(
        stdout.replaceAll(/\s+/g, " "),
        /wal\/1 is left alone: .*belongs to host "another-host".*move the directory away/,
      );
      assert.equal(code, 3);
      const after = [...Deno.readDirSync(`${wal}/1`)].map((
        { name },
      ) => [name, Deno.statSync(`${wal}/1/${name}`).mtime]);
      assert.deepEqual(after, before);
      assert.equal(world.count("SELECT count(*) FROM gaps WHERE reason = 'foreign'"), 0);
    } finally {
      await Deno.remove(state, { recursive: true });
    }
  },
});

Deno.test({
  name: "a collector that cannot make its log works in memory, says so, and goes on on disk when it can",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory();
    try {
      Deno.mkdirSync(`${state}/collector`);
      Deno.writeTextFileSync(`${state}/collector/wal`, "in the way");
      await using world = await World.start({ state });
      const { log, epoch } = world.collectorStatus()!, mark = `memory${Deno.pid}`;
      assert.equal(log.place, "memory");
      const { stdout } = await world.cli("health", "--plain");
      assert.match(stdout.replaceAll(/\s+/g, " "), /log is in memory, .*wal is not a directory; move it away/);
      await storm(mark, 10);
      await world.until("events are stored all the same", () => marked(world, mark, "stop") === 40, PATIENCE_MS);
      Deno.removeSync(`${state}/collector/wal`);
      await world.until("the log is on disk", () => {
        const status = world.collectorStatus()!;
        return status.log.place.endsWith("/wal/1") && status.log.trouble === "" && status.connected;
      }, PATIENCE_MS);
      assert.notEqual(world.collectorStatus()!.epoch, epoch);
      await storm(mark, 10);
      await world.until("all of it is stored", () => marked(world, mark, "stop") === 80, PATIENCE_MS);
      assert.deepEqual(world.query(TWICE), []);
      assert.deepEqual(world.query(`SELECT * FROM ${GAPS}`), []);
    } finally {
      await Deno.remove(state, { recursive: true });
    }
  },
});
