/** The real agent on a disk that fills and is freed, with a collector's own outbox and publisher. */
import assert from "node:assert/strict";
import { Publisher } from "../../collector/publisher.ts";
import { stateLayout } from "../../proto/state_layout.ts";
import { eventually } from "../support/patience.ts";
import { needs } from "../support/needs.ts";
import { mount, SmallDisk } from "../support/small_disk.ts";
import { TestLog } from "../support/test_log.ts";
import { AgentProcess, AgentState, alertIds, EVIL } from "./agent_process.ts";
import { TestCollector, TOKEN } from "./broker/test_collector.ts";
import { BOOT_ID, checkStore, rows, start, until } from "./support.ts";

const here = needs({ root: true, mount: true, setpriv: true });
const READER = 64_998;

/** What a collector does, from its log on. */
class Feed implements AsyncDisposable {
  readonly outbox = new TestLog({ totalBytes: 256 << 20 }).outbox;
  readonly notices: string[] = [];
  readonly #publisher: Publisher;
  readonly #running: Promise<void>;
  sent = 0;

  constructor(socket: string) {
    this.#publisher = new Publisher(this.outbox, {
      connect: () => Deno.connect({ transport: "unix", path: socket }),
      token: TOKEN,
      collectorId: "col",
      bootId: BOOT_ID,
      source: "ebpf",
      checkPeer: () => {},
      answer: () => ({ kind: "error", reason: "A test does not say" }),
      notice: (text) => this.notices.push(text),
    });
    this.#running = this.#publisher.run();
  }

  /** Adds events of which each tenth matches the rule. */
  add(count: number): void {
    const events = Array.from({ length: count }, () => {
      const pid = ++this.sent;
      return start(pid, pid % 10 === 0 ? { name: EVIL } : {});
    });
    this.outbox.addEvents(events);
    this.outbox.flush();
    this.#publisher.poke();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#publisher.stop(0, "the test ends");
    await this.#running;
  }
}

/** Whether a collector is let in; an agent may say first that it is starting, or still be in the way that it was. */
async function refusedFor(socket: string, reason: RegExp): Promise<void> {
  await eventually(`a collector is refused by ${reason}`, async () => {
    const join = TestCollector.join(socket);
    return await join.then((collector) => collector[Symbol.dispose](), (error) => reason.test(String(error))) === true;
  });
}

async function joined(socket: string): Promise<TestCollector> {
  let found: TestCollector | null = null;
  await eventually("a collector is let in", async () => {
    found = await TestCollector.join(socket).catch(() => null);
    return found !== null;
  });
  return found!;
}

/** What another user of the readers' group gets from the store. */
function readsAsReader(path: string): string {
  const text = `import { DatabaseSync } from "node:sqlite";
    const db = new DatabaseSync(Deno.args[0], { readOnly: true });
    console.log(db.prepare("SELECT count(*) AS n FROM process_events").get().n > 0);`;
  const { stdout, stderr } = new Deno.Command("setpriv", {
    args: [
      ...["--reuid", String(READER), "--regid", String(READER), "--clear-groups", Deno.execPath()],
      ...["eval", "--ext=js", text, path],
    ],
    env: { DENO_DIR: "/nonexistent", HOME: "/nonexistent" },
  }).outputSync();
  return new TextDecoder().decode(stdout.length > 0 ? stdout : stderr).trim();
}

/** Lines that are whole: the next may be on its way. */
function linesIn(path: string): number {
  try {
    return Deno.readTextFileSync(path).split("\n").length - 1;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

function alertsIn(path: string): string[] {
  try {
    return alertIds(Deno.readTextFileSync(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** A state whose agent directory is a disk of its own that readers may read. */
class DiskState implements Disposable {
  readonly state = new AgentState();
  readonly layout = this.state.layout;
  readonly disk: SmallDisk;

  constructor(megabytes: number) {
    this.disk = new SmallDisk(this.layout.agent, megabytes, ",mode=2750");
    Deno.chownSync(this.layout.agent, 0, READER);
    for (const path of [this.layout.state, stateLayout(this.layout.state).rules]) Deno.chmodSync(path, 0o755);
  }

  [Symbol.dispose](): void {
    this.disk[Symbol.dispose]();
    this.state[Symbol.dispose]();
  }
}

Deno.test({
  name: "a disk that fills while events come costs none of them, and the agent goes on by itself when it is freed",
  ignore: here.ignore,
  async fn() {
    using place = new DiskState(48);
    const { layout, disk } = place;
    await using agent = await AgentProcess.start(place.state);
    await using feed = new Feed(layout.brokerSocket);
    for (let round = 0; round < 2; round++) {
      const begin = feed.sent, notices = agent.status().noticeCount;
      feed.add(2_000);
      await until("some are stored", () => feed.outbox.acknowledged > begin);
      disk.fill();
      for (let i = 0; i < 200 && agent.status().store.state === "taking"; i++) {
        feed.add(100);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await until("the status says it", () => agent.status().store.state === "refusing");
      const { state, store, time } = agent.status();
      assert.equal(state, "degraded");
      assert.match(store.reason, /database or disk is full; free space on its disk/);
      assert.ok(store.since > 0 && store.freeBytes !== null);
      const told = feed.notices.length;
      feed.add(5_000);
      await until("the collector is told why", () => feed.notices.some((text) => /refused: .*disk is full/.test(text)));
      // The status lives on, on a disk without a byte; nothing is acknowledged and nothing is told again and again.
      await until("the status is written on", () => agent.status().time > time + 2_000);
      const acknowledged = feed.outbox.acknowledged;
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.equal(feed.outbox.acknowledged, acknowledged);
      assert.ok(agent.status().noticeCount - notices <= 6, agent.stderr);
      assert.ok(feed.notices.length - told <= 3, feed.notices.join("\n"));
      assert.equal(readsAsReader(layout.store), "true");
      disk.free();
      await until("everything is stored", () => feed.outbox.waiting === 0);
      await until("the status says it", () => agent.status().state === "running");
      assert.match(agent.stderr, /the store takes batches again, after \d+ s/);
    }
    await until("everything is delivered", () => agent.status().counters["alerts_undelivered"] === 0);
    await until("every event is counted once", () => agent.status().counters["events"] === feed.sent);
    const { rules, pid } = agent.status();
    assert.equal(pid, agent.pid);
    assert.equal(rules[0]!.hits, feed.sent / 10, "what was judged and not stored did not count");
    assert.equal((await agent.end()).code, 0, agent.stderr);
    const expected = Array.from(
      { length: feed.sent / 10 },
      (_, i) => `evil-starts@col:${feed.outbox.epoch}:${(i + 1) * 10}`,
    );
    assert.deepEqual(alertsIn(layout.alertFile), expected, "each alert once in the file");
    assert.deepEqual(alertIds(agent.stdout), expected, "and once on stdout");
    assert.equal(rows(layout.store, "SELECT count(*) AS n FROM process_events")[0]!["n"], feed.sent);
    assert.deepEqual(rows(layout.store, "SELECT * FROM gaps"), []);
    checkStore(layout.store);
    assert.equal(readsAsReader(layout.store), "true");
  },
});

Deno.test({
  name: "alerts that a full disk of their file did not take are written when it is freed, each once",
  ignore: here.ignore,
  async fn() {
    using state = new AgentState();
    const { layout } = state, directory = `${layout.agent}/sink`, file = `${directory}/alerts.jsonl`;
    Deno.mkdirSync(directory);
    using disk = new SmallDisk(directory, 1);
    await using agent = await AgentProcess.start(state, { set: [`agent.alert_file=${file}`] });
    using collector = await TestCollector.join(layout.brokerSocket);
    const send = async (first: number): Promise<void> =>
      await collector.send(first, Array.from({ length: 100 }, (_, i) => start(first + i, { name: EVIL })));
    await send(1);
    await until("the first are written", () => linesIn(file) === 100);
    disk.fill();
    await send(101);
    await until("the fault is counted", () => agent.status().counters["sink_faults"]! > 0);
    assert.ok(agent.status().notices.some(({ text }) => /alerts to file: .*No space left/i.test(text)));
    assert.equal(agent.status().counters["alerts_undelivered"], 100);
    assert.equal(agent.status().state, "running", "the store is not at fault");
    assert.equal(alertsIn(file).length, 100, "no part of a line is left");
    disk.free();
    await until("all are written", () => linesIn(file) === 200);
    assert.equal(new Set(alertsIn(file)).size, 200);
    assert.equal((await agent.end()).code, 0);
  },
});

Deno.test({
  name: "an agent that starts on a full or a read-only disk is degraded, and goes on when that is mended",
  ignore: here.ignore,
  async fn() {
    {
      using place = new DiskState(24);
      place.disk.fill();
      await using agent = await AgentProcess.start(place.state);
      const full = /degraded: nothing is stored or judged, .*disk is full; free space on its disk/;
      await until("it says so", () => full.test(agent.stderr));
      await refusedFor(place.layout.brokerSocket, /refused: .*disk is full/);
      const unwritten = /status .*status\.pb cannot be written: No space left/;
      await until("it says that its status is not written", () => unwritten.test(agent.stderr));
      place.disk.free();
      await until("it goes on", () => agent.stderr.includes("takes batches again"));
      using collector = await joined(place.layout.brokerSocket);
      await collector.send(1, [start(1)]);
      await until("it is stored", () => collector.acknowledged === 1);
    }
    using state = new AgentState();
    const { layout } = state;
    {
      await using agent = await AgentProcess.start(state);
      using collector = await joined(layout.brokerSocket);
      await collector.send(1, [start(1)]);
      await until("it is stored", () => collector.acknowledged === 1);
      await agent.end();
    }
    const unmount = (): void => void new Deno.Command("umount", { args: [layout.agent] }).outputSync();
    mount(["--bind", layout.agent, layout.agent]);
    try {
      mount(["-o", "remount,bind,ro", layout.agent]);
      await using agent = await AgentProcess.start(state);
      const readOnly = /degraded: .*Read-only file system/i, unwritten = /status .* cannot be written/;
      await until("it says so", () => readOnly.test(agent.stderr) && unwritten.test(agent.stderr));
      await refusedFor(layout.brokerSocket, /refused: .*Read-only/i);
      mount(["-o", "remount,bind,rw", layout.agent]);
      await until("it goes on", () => agent.stderr.includes("takes batches again"));
      using collector = await joined(layout.brokerSocket);
      assert.equal(collector.welcome.lastSequence, 1);
      await until("its status is there", () => agent.status().state === "running");
      await agent.end();
    } finally {
      unmount();
    }
  },
});

Deno.test({
  name: "readers of another user read the store in every state of the agent",
  ignore: here.ignore,
  async fn() {
    using place = new DiskState(64);
    const { layout, state } = { layout: place.layout, state: place.state };
    const reads = (when: string): void => assert.equal(readsAsReader(layout.store), "true", when);
    {
      await using agent = await AgentProcess.start(state);
      using collector = await joined(layout.brokerSocket);
      await collector.send(1, [start(1), start(2)]);
      await until("it is stored", () => collector.acknowledged === 2);
      reads("live");
      await agent.end();
      reads("after a clean stop");
    }
    {
      await using agent = await AgentProcess.start(state);
      using collector = await joined(layout.brokerSocket);
      await collector.send(3, [start(3)]);
      await until("it is stored", () => collector.acknowledged === 3);
      await agent.end("SIGKILL");
      reads("after SIGKILL");
    }
    {
      place.disk.fill();
      await using agent = await AgentProcess.start(state);
      assert.match(agent.stderr, /degraded/);
      reads("degraded from its start");
      await agent.end("SIGTERM");
      reads("after a stop while degraded");
      place.disk.free();
    }
    await using agent = await AgentProcess.start(state);
    reads("after it recovered");
    await agent.end("SIGINT");
    reads("after the end");
  },
});

Deno.test("an agent whose store is damaged says so everywhere, and goes on when it is moved away", async () => {
  using state = new AgentState();
  const { layout } = state;
  Deno.writeTextFileSync(layout.store, "x".repeat(5_000));
  await using agent = await AgentProcess.start(state);
  const status = agent.status();
  assert.equal(status.state, "degraded");
  assert.equal(status.store.state, "refusing");
  assert.match(status.store.reason, /is not a database.*; move .* away/);
  assert.equal(status.rules.length, 1);
  await assert.rejects(TestCollector.join(layout.brokerSocket), /takes nothing now: The store .* is not a database/);
  await until("it is counted", () => agent.status().counters["connections_refused"] === 1);
  assert.ok(!agent.stderr.includes("a connection was refused"));
  assert.equal(Deno.readTextFileSync(layout.store).length, 5_000);
  Deno.renameSync(layout.store, `${layout.store}.away`);
  await until("it goes on", () => agent.status().state === "running");
  using collector = await joined(layout.brokerSocket);
  await collector.send(1, [start(1)]);
  await until("it is stored", () => collector.acknowledged === 1);
  assert.equal((await agent.end()).code, 0);
});
