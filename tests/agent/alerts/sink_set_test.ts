/** Sinks that others take the place of while the agent runs: nothing that is owed is lost, and what is wrong changes nothing. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { SinkSet, SinksRefusedError } from "../../../agent/alerts/sink_set.ts";
import { Bus } from "../../../agent/bus/bus.ts";
import { LocalPort } from "../../../agent/bus/local_port.ts";
import { Journal } from "../../../agent/journal.ts";
import { SinkReloader } from "../../../agent/sink_reloader.ts";
import { Store } from "../../../agent/store/store.ts";
import { loadSettings, type Settings } from "../../../proto/config.ts";
import { decodeStatement } from "../../../proto/ledger/statement.ts";
import { parseSinks } from "../../../proto/sink_entries.ts";
import type { SinkSettings } from "../../../proto/sink_settings.ts";
import { FaultyServer, hangs, reads } from "../../support/receivers/faulty_server.ts";
import { freePort } from "../../support/receivers/receivers.ts";
import { alertIds } from "../agent_process.ts";
import { commitEvents, newAlert, openTestStream, rows, start, TempDir, until } from "../support.ts";

type Entry = Record<string, string | number>;

class World implements AsyncDisposable {
  readonly dir = new TempDir();
  readonly path = `${this.dir.path}/events.db`;
  readonly notices: string[] = [];
  readonly bus = new Bus();
  readonly sinks: SinkSet;
  store: Store | null;
  #pid = 0;

  constructor(entries: readonly Entry[]) {
    this.sinks = new SinkSet(sinksOf(entries), {
      surroundings: {
        host: "h",
        directory: this.dir.path,
        colour: false,
        bus: this.bus,
        notice: (text) => this.notices.push(text),
      },
      store: () => this.store,
      events: () => ({ fault: (text) => this.notices.push(text), storeFault: () => {} }),
    });
    this.store = new Store(this.path, this.sinks.terms);
    this.sinks.attach(this.store);
  }

  file(name: string, more: Entry = {}): Entry {
    return { name, type: "file", path: `${this.dir.path}/${name}.jsonl`, ...more };
  }

  ids(name: string): string[] {
    return alertIds(Deno.readTextFileSync(`${this.dir.path}/${name}.jsonl`));
  }

  raise(...ids: string[]): void {
    const stream = openTestStream(this.store!), base = stream.number * 2 ** 40 + stream.lastSequence + 1;
    const alerts = ids.map((id, i) => newAlert(id, { eventId: base + i }));
    commitEvents(this.store!, stream, ids.map(() => start(++this.#pid)), { alerts });
    this.sinks.poke();
  }

  states(sink: string): Record<string, number> {
    const sql = "SELECT state, count(*) AS n FROM alert_deliveries WHERE sink = ? GROUP BY state";
    return Object.fromEntries(rows(this.path, sql, sink).map(({ state, n }) => [state as string, n as number]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sinks.stop(1_000);
    this.store?.close();
    this.dir[Symbol.dispose]();
  }
}

function sinksOf(entries: readonly Entry[]): SinkSettings[] {
  return parseSinks(entries, (expected) => new Error(expected));
}

Deno.test("sinks are added, changed and removed while alerts go, and each alert is where it belongs once", async () => {
  await using world = new World([]);
  const a = world.file("a"), b = world.file("b");
  assert.deepEqual((await world.sinks.replace(sinksOf([a]))).added, ["a"]);
  world.raise("1", "2");
  await until("they are there", () => world.store!.owedDeliveries === 0);
  const [before] = world.sinks.deliveries;
  const added = await world.sinks.replace(sinksOf([a, b]));
  assert.deepEqual(added, { added: ["b"], changed: [], removed: [], orphaned: [] });
  assert.equal(world.sinks.deliveries[0], before, "what has not changed is not touched");
  world.raise("3");
  await until("it is there", () => world.store!.owedDeliveries === 0);
  const changed = await world.sinks.replace(sinksOf([a, { ...b, min_severity: "critical" }]));
  assert.deepEqual(changed.changed, ["b"]);
  world.raise("4");
  await until("it is there", () => world.store!.owedDeliveries === 0);
  assert.deepEqual((await world.sinks.replace(sinksOf([a]))).removed, ["b"]);
  world.raise("5");
  await until("it is there", () => world.store!.owedDeliveries === 0);
  assert.deepEqual([world.ids("a"), world.ids("b")], [["1", "2", "3", "4", "5"], ["3"]]);
  assert.deepEqual(world.states("b"), { done: 1 });
});

Deno.test("alerts raised while sinks change again and again are in a file that stays once, in one that changes once too", async () => {
  await using world = new World([]);
  const stays = world.file("stays"), expected: string[] = [];
  await world.sinks.replace(sinksOf([stays, world.file("changes")]));
  let next = 0;
  const raising = setInterval(() => {
    const id = `a${next++}`;
    expected.push(id);
    world.raise(id);
  }, 1);
  for (let i = 0; i < 20; i++) {
    const fsync = i % 2 === 0 ? "never" : "always";
    await world.sinks.replace(sinksOf([stays, world.file("changes", { fsync })]));
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  clearInterval(raising);
  await until("nothing is owed", () => world.store!.owedDeliveries === 0);
  assert.deepEqual(world.ids("stays"), expected);
  assert.deepEqual(world.ids("changes").sort(), expected.toSorted());
});

Deno.test("what was owed to a sink that is gone becomes dead letters, counted, and is owed again when it is back", async () => {
  const port = freePort(), down = { name: "down", type: "syslog", address: `tcp://127.0.0.1:${port}` };
  await using world = new World([down]);
  world.raise("1", "2", "3");
  await until("it fails", () => world.notices.length > 0);
  const { removed, orphaned } = await world.sinks.replace([]);
  assert.deepEqual([removed, orphaned], [["down"], [{ sink: "down", count: 3 }]]);
  assert.deepEqual(world.states("down"), { dead: 3 });
  assert.equal(world.store!.counters["alerts_dead"], 3);
  let received = "";
  await using _server = new FaultyServer([reads((text) => received += text)], port);
  await world.sinks.replace(sinksOf([down]));
  await until("nothing is owed", () => world.store!.owedDeliveries === 0);
  assert.deepEqual([...received.matchAll(/alertId="(\d)"/g)].map(([, id]) => id), ["1", "2", "3"]);
});

Deno.test("a sink that failed and is set right takes what waits at once, though its breaker was open", async () => {
  let received = "";
  await using server = new FaultyServer([reads((text) => received += text)]);
  const entry = (port: number): Entry => ({ name: "log", type: "syslog", address: `tcp://127.0.0.1:${port}` });
  await using world = new World([entry(freePort())]);
  world.raise("1");
  await until("it has failed", () => rows(world.path, "SELECT failures FROM alert_sinks")[0]?.["failures"] === 1);
  for (let i = 2; i <= 5; i++) {
    world.sinks.deliveries[0]!.hasten();
    await until("it fails again", () => rows(world.path, "SELECT failures FROM alert_sinks")[0]!["failures"] === i);
  }
  assert.equal(world.sinks.failing, 1);
  await world.sinks.replace(sinksOf([entry(server.port)]));
  await until("it is there", () => received.includes('alertId="1"'));
  await until("nothing is owed", () => world.store!.owedDeliveries === 0);
  assert.equal(world.sinks.failing, 0);
});

Deno.test("a sink that hangs holds up its own end for a while, and the alert comes again under its id", async () => {
  let received = "";
  await using hanging = new FaultyServer([hangs]);
  await using server = new FaultyServer([reads((text) => received += text)]);
  const entry = (port: number): Entry => ({ name: "log", type: "syslog", address: `tcp://127.0.0.1:${port}` });
  await using world = new World([{ ...entry(hanging.port), timeout_ms: 60_000 }]);
  world.raise("1");
  await until("it is given to it", () => hanging.connections === 1);
  await world.sinks.replace(sinksOf([entry(server.port)]));
  await until("it is there", () => received.includes('alertId="1"'));
  await until("nothing is owed", () => world.store!.owedDeliveries === 0);
});

Deno.test("a sink that gave up until a person does something is opened again, though its settings are the same", async () => {
  let answer = 410, count = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    count += 1;
    return new Response(null, { status: answer });
  });
  using secrets = new TempDir();
  const secret = `${secrets.path}/secret`;
  Deno.writeTextFileSync(secret, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", { mode: 0o600 });
  const entry = { name: "hook", type: "webhook", url: `http://127.0.0.1:${server.addr.port}/`, secret_files: secret };
  {
    await using world = new World([entry]);
    world.raise("1");
    await until("it is off", () => world.sinks.failing === 1);
    answer = 204;
    assert.deepEqual((await world.sinks.replace(sinksOf([entry]))).changed, ["hook"]);
    await until("nothing is owed", () => world.store!.owedDeliveries === 0);
    assert.deepEqual([count, world.sinks.failing], [2, 0]);
  }
  await server.shutdown();
});

Deno.test("sinks that cannot be used change nothing: a file that is missing, a store that does not take them", async () => {
  await using world = new World([]);
  const good = world.file("good");
  await world.sinks.replace(sinksOf([good]));
  const hook = { name: "hook", type: "webhook", url: "https://h", secret_files: `${world.dir.path}/none` };
  await assert.rejects(
    world.sinks.replace(sinksOf([world.file("other"), hook])),
    (error) => error instanceof SinksRefusedError && /^the sink hook: .*\/none cannot be read/.test(error.message),
  );
  world.raise("1");
  await until("it is there", () => world.store!.owedDeliveries === 0);
  assert.deepEqual(world.ids("good"), ["1"]);

  // A trigger is what a disk that refuses looks like to one transaction
  using db = new DatabaseSync(world.path);
  db.exec("CREATE TRIGGER refuse BEFORE UPDATE ON alert_sinks BEGIN SELECT RAISE(ABORT, 'no room'); END");
  await assert.rejects(
    world.sinks.replace(sinksOf([world.file("other")])),
    (error) => error instanceof SinksRefusedError && /The store did not take its sinks.*no room/.test(error.message),
  );
  db.exec("DROP TRIGGER refuse");
  assert.deepEqual(world.sinks.terms.map(({ name }) => name), ["good"]);
  world.raise("2");
  await until("it is there", () => world.store!.owedDeliveries === 0);
  assert.deepEqual(world.ids("good"), ["1", "2"]);
  assert.deepEqual(world.states("other"), {});
});

Deno.test("sinks that change while there is no store are those that the next one gets", async () => {
  await using world = new World([]);
  world.sinks.detach();
  world.store!.close();
  world.store = null;
  await world.sinks.replace(sinksOf([world.file("new")]));
  world.store = new Store(world.path, world.sinks.terms);
  world.sinks.attach(world.store);
  world.raise("1");
  await until("it is there", () => world.store!.owedDeliveries === 0);
  assert.deepEqual(world.ids("new"), ["1"]);
});

Deno.test("alerts that wait for a subscriber of the bus go when there is one, and one who subscribes on and on causes few attempts", async () => {
  await using world = new World([{ name: "bus", type: "bus" }]);
  world.bus.subscribed = () => world.sinks.heard();
  world.raise("1");
  await until("it has failed", () => world.notices.length === 1);
  const port = new LocalPort(world.bus, "other", assert.fail);
  for (let i = 0; i < 1_000; i++) await (await port.subscribe("events.#", () => {})).end();
  const [{ failed }] = rows(world.path, "SELECT failed FROM alert_sinks") as [{ failed: number }];
  assert.ok(failed < 100, `${failed} attempts`);
  const ids: string[] = [];
  const quality = "at-least-once";
  await port.subscribe("alerts.#", ({ message }) => void ids.push(message.correlation!.id), { quality });
  await until("nothing is owed", () => world.store!.owedDeliveries === 0);
  assert.deepEqual(ids, ["1"]);
  port.close();
});

/** A reloader of a configuration file that a test writes. */
function reloaderOf(world: World, config: { text: string }): { reloader: SinkReloader; lines: string[] } {
  const read = (): Settings => {
    const readFile = (path: string): string | null => path === "/c.yaml" ? config.text : null;
    return loadSettings({ flags: { config: "/c.yaml", state: world.dir.path }, env: {}, readFile });
  };
  const lines: string[] = [], { values, origins } = read();
  const reloader = new SinkReloader({
    read,
    lower: { values, origins },
    sinks: world.sinks,
    store: () => world.store,
    journal: new Journal((line) => lines.push(line)),
    effective: () => values,
    failed: assert.fail,
  });
  return { reloader, lines };
}

Deno.test("a configuration is read again for its sinks; one that is not right keeps them, and both are said", async () => {
  await using world = new World([]);
  Deno.mkdirSync(`${world.dir.path}/agent`);
  const config = { text: "agent: { stdout: none }" }, { reloader, lines } = reloaderOf(world, config);
  assert.deepEqual(reloader.check(), { isTaken: true, text: "added file" });
  assert.deepEqual(world.sinks.terms, []);
  assert.deepEqual(await reloader.reload(), { isTaken: true, text: "added file" });
  const log = JSON.stringify({ name: "log", type: "syslog", address: `tcp://127.0.0.1:${freePort()}` });
  config.text = `agent: { stdout: none, alert_window_seconds: 60, sinks: [${log}] }`;
  assert.deepEqual(await reloader.reload(), {
    isTaken: true,
    text: "added log; agent.alert_window_seconds changed too, which takes a new start",
  });
  world.raise("1", "2");
  await until("one has them", () => world.store!.owedDeliveries === 2);

  for (
    const [text, why] of [
      ["agent: { sinks: [", /\/c\.yaml cannot be understood: /],
      [
        "agent: { sinks: [{ name: a, type: nothing }] }",
        /\/c\.yaml: agent\.sinks must be right: entry 1 \(a\) needs a type/,
      ],
      ["agent: { sink: [] }", /agent\.sink\b/],
      [
        "agent: { sinks: [{ name: a, type: email, address: 'smtp://h', user: u, password_file: /none, from: a@b.c, to: a@b.c }] }",
        /the sink a: \/none cannot be read/,
      ],
    ] as const
  ) {
    config.text = text;
    const checked = reloader.check();
    assert.equal(checked.isTaken, false);
    assert.match(checked.text, why);
    const { isTaken, text: said } = await reloader.reload();
    assert.equal(isTaken, false);
    assert.match(said, /^The sinks stay as they are: /);
    assert.match(said, why);
    assert.ok(lines.at(-1)!.includes("The sinks stay as they are"), lines.at(-1));
    assert.deepEqual(world.sinks.terms.map(({ name }) => name), ["file", "log"]);
  }

  config.text = "agent: { stdout: none }";
  const { text } = await reloader.reload();
  assert.match(text, /^removed log; 2 alerts owed to log are dead letters/);
  assert.ok(lines.some((line) => line.includes("2 alerts are owed to log, which is not configured")), lines.join("\n"));
  const notes = world.store!.notesFor("c").filter(({ action }) => action === "suppressed");
  const { what, count } = decodeStatement("suppressed", notes[0]!.payload).value;
  assert.deepEqual([what, count], ["alerts owed to the sink log, which is not configured: dead letters", 2]);
});
