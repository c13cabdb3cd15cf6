/**
 * A disk that fills under a whole system in a storm of processes, and is freed: first that of the collector's log, then
 * that of the store. Each is told, each goes on by itself, and each event is stored, or in a gap with its count.
 */
import assert from "node:assert/strict";
import { TWICE } from "../crash/collector_cycles.ts";
import { GAPS } from "../support/gaps.ts";
import { needs } from "../support/needs.ts";
import { SmallDisk } from "../support/small_disk.ts";
import { PATIENCE_MS } from "../support/patience.ts";
import { newStateDirectory, World } from "../support/world.ts";

const here = needs({ root: true, bpf: true, mount: true });

/** A state directory that a system has run in, with a small disk where `below` is. */
class DiskWorld implements AsyncDisposable {
  private constructor(readonly world: World, readonly disk: SmallDisk, readonly state: string) {}

  static async start(below: "collector/wal" | "agent", megabytes: number, set: readonly string[]): Promise<DiskWorld> {
    const state = await newStateDirectory(), path = `${state}/${below}`;
    await (await World.start({ state })).stop();
    const { uid, gid, mode } = Deno.statSync(path);
    const flags = `,uid=${uid},gid=${gid},mode=${(mode! & 0o7777).toString(8)}`;
    const disk = new SmallDisk(path, megabytes, flags);
    try {
      return new DiskWorld(await World.start({ state, set }), disk, state);
    } catch (error) {
      disk[Symbol.dispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world.stop();
    this.disk[Symbol.dispose]();
    await Deno.remove(this.state, { recursive: true });
  }
}

/** Processes with a mark, of each of two shells one after the other, until they are to stop. */
class Storm {
  readonly #file = Deno.makeTempFileSync();
  readonly #shells: Promise<Deno.CommandOutput>[];

  constructor(mark: string) {
    const loop = `i=0; while [ -e "${this.#file}" ]; do /bin/true ${mark} $i; i=$((i+1)); done; echo $i`;
    this.#shells = Array.from(
      { length: 2 },
      () => new Deno.Command("/bin/sh", { args: ["-c", loop], stdin: "null", stderr: "null" }).output(),
    );
  }

  /** Ends it; gives how many processes there were. */
  async end(): Promise<number> {
    Deno.removeSync(this.#file);
    const outputs = await Promise.all(this.#shells);
    return outputs.reduce((sum, { stdout }) => sum + Number(new TextDecoder().decode(stdout)), 0);
  }
}

function marked(world: World, mark: string, type: string): number {
  return world.count(
    "SELECT count(*) FROM process_events WHERE event_type = ? AND command_line LIKE ?",
    type,
    `/bin/true ${mark} %`,
  );
}

/** Items of a kind that gaps say found no room. */
function told(world: World, words: string): number {
  return world.count(
    "SELECT coalesce(sum(count), 0) FROM gaps WHERE reason LIKE ?",
    `the write-ahead log had no room for ${words}:%`,
  );
}

Deno.test({
  name: "the disk of the log fills in a storm: it is told, it goes on by itself, and each event is stored or in a gap",
  ignore: here.ignore,
  async fn() {
    const set = ["collector.wal_memory_bytes=1048576", "collector.wal_max_bytes=3145728"];
    await using place = await DiskWorld.start("collector/wal", 4, set);
    const { world, disk } = place, mark = `full${Deno.pid}`, { pid } = world.collectorStatus()!;
    assert.equal(world.count("SELECT count(*) FROM gaps WHERE source = 'collector' AND reason LIKE '%no room%'"), 0);
    const storm = new Storm(mark);
    await world.until("some are stored", () => marked(world, mark, "stop") > 100, PATIENCE_MS);
    disk.fill();
    await world.until("the disk is full and memory as well", () => {
      const { log } = world.collectorStatus()!;
      return /the disk is full/.test(log.fault) && log.refused > 500;
    }, PATIENCE_MS);
    const { stdout, code } = await world.cli("health", "--plain");
    assert.equal(code, 3);
    assert.match(stdout.replaceAll(/\s+/g, " "), /the disk is full/);
    disk.free();
    await world.until("the log is written again", () => world.collectorStatus()!.log.fault === "", PATIENCE_MS);
    const processes = await storm.end();
    await world.until("what was refused is told", () => {
      const { log, queuedEvents } = world.collectorStatus()!;
      return queuedEvents === 0 && told(world, "%") === log.refused;
    }, PATIENCE_MS);
    // Of what else happened on the host some was refused too: so what of the storm is missing is no more than is told.
    await world.until("the last of the storm is there", () => {
      const starts = processes - marked(world, mark, "start"), stops = processes - marked(world, mark, "stop");
      return starts >= 0 && starts <= told(world, "starts of programs") && stops >= 0 &&
        stops <= told(world, "stops of processes");
    }, PATIENCE_MS);
    assert.ok(told(world, "stops of processes") > 0);
    assert.deepEqual(world.query(TWICE), []);
    assert.equal(world.count(`SELECT count(*) FROM ${GAPS} WHERE source IN ('transport', 'ebpf')`), 0);
    assert.equal(world.collectorStatus()!.pid, pid, "the collector lived through it");
    assert.equal(world.collectorStatus()!.log.trouble, "");
    console.log(
      `a full log: of ${processes} processes and all else, ${told(world, "%")} items found no room, all told`,
    );
  },
});

Deno.test({
  name: "the disk of the store fills in a storm: it is told, it goes on by itself, and every event is stored, once",
  ignore: here.ignore,
  async fn() {
    await using place = await DiskWorld.start("agent", 64, []);
    const { world, disk } = place, mark = `store${Deno.pid}`, { pid } = world.agentStatus()!;
    const storm = new Storm(mark);
    await world.until("some are stored", () => marked(world, mark, "stop") > 100, PATIENCE_MS);
    disk.fill();
    await world.until("the store takes nothing", () => world.agentStatus()!.store.state === "refusing", PATIENCE_MS);
    assert.equal(world.agentStatus()!.state, "degraded");
    assert.match(world.agentStatus()!.store.reason, /database or disk is full; free space/);
    await world.until(
      "the collector keeps what it sees",
      () => world.collectorStatus()!.queuedEvents > 500,
      PATIENCE_MS,
    );
    const { stdout, code } = await world.cli("health", "--plain");
    assert.equal(code, 3);
    assert.match(stdout.replaceAll(/\s+/g, " "), /disk is full/);
    disk.free();
    await world.until("the store takes again", () => world.agentStatus()!.store.state === "taking", PATIENCE_MS);
    const processes = await storm.end();
    await world.until("all of it is stored", () => marked(world, mark, "stop") === processes, PATIENCE_MS);
    assert.equal(marked(world, mark, "start"), processes);
    assert.deepEqual(world.query(TWICE), []);
    assert.equal(world.count("SELECT count(*) FROM gaps WHERE source = 'transport' OR reason LIKE '%no room%'"), 0);
    assert.equal(world.agentStatus()!.pid, pid, "the agent lived through it");
    console.log(`a full store: ${processes} processes, all stored once`);
  },
});
