/** The real agent whose sinks are changed while it runs, by SIGHUP, under grants that do not change. */
import assert from "node:assert/strict";
import { FaultyServer, reads } from "../support/receivers/faulty_server.ts";
import { freePort } from "../support/receivers/receivers.ts";
import { AgentProcess, AgentState, alertIds, EVIL } from "./agent_process.ts";
import { TestCollector } from "./broker/test_collector.ts";
import { rows, start, TempDir, until } from "./support.ts";

type Entry = Record<string, string | number>;

function config(dir: TempDir, sinks: readonly Entry[]): string {
  const path = `${dir.path}/config.json`;
  Deno.writeTextFileSync(`${path}.new`, JSON.stringify({ agent: { sinks } }));
  Deno.renameSync(`${path}.new`, path);
  return path;
}

Deno.test("SIGHUP takes sinks into use and out of it, says which grant is missing, and keeps them when they are not right", async () => {
  using state = new AgentState();
  using dir = new TempDir();
  let received = "";
  await using server = new FaultyServer([reads((text) => received += text)]);
  const log = { name: "log", type: "syslog", address: `tcp://127.0.0.1:${server.port}` };
  const down = { name: "down", type: "syslog", address: `tcp://127.0.0.1:${freePort()}` };
  const said = (text: string): Promise<void> => until(`it says ${text}`, () => agent.stderr.includes(text));
  await using agent = await AgentProcess.start(state, { config: config(dir, [down]), granted: [down, log] });
  using collector = await TestCollector.join(state.layout.brokerSocket);
  const raise = async (number: number): Promise<void> => {
    await collector.send(number, [start(number, { name: EVIL })]);
    await until("it is acknowledged", () => collector.acknowledged === number);
  };
  const idOf = (number: number): string => `evil-starts@col:epoch-1:${number}`;
  await raise(1);

  config(dir, [log, down]);
  agent.kill("SIGHUP");
  await said("sinks loaded again: added log");
  await raise(2);
  await until("it arrives", () => received.includes(idOf(2)));

  Deno.writeTextFileSync(`${dir.path}/config.json`, "{");
  agent.kill("SIGHUP");
  await said("The sinks stay as they are: ");
  config(dir, [log, { ...down, address: "tcp://127.0.0.1:1" }]);
  agent.kill("SIGHUP");
  await said("The sinks stay as they are: the sink down: the agent was not granted --allow-net=127.0.0.1:1.");
  assert.match(agent.stderr, /an installed agent gets it by 'deno task build --config FILE'/);
  await raise(3);
  await until("it arrives", () => received.includes(idOf(3)));

  config(dir, [log]);
  agent.kill("SIGHUP");
  await said("sinks loaded again: removed down; 3 alerts owed to down are dead letters");
  await raise(4);
  await until("it arrives", () => received.includes(idOf(4)));
  await until("nothing is owed", () => agent.status().counters["alerts_undelivered"] === 0);
  await until("they are counted", () => agent.status().counters["alerts_dead"] === 3);
  assert.equal((await agent.end()).code, 0, agent.stderr);

  assert.deepEqual(alertIds(Deno.readTextFileSync(state.layout.alertFile)), [1, 2, 3, 4].map(idOf));
  const states = rows(
    state.layout.store,
    "SELECT sink, state, count(*) AS n FROM alert_deliveries WHERE sink IN ('log', 'down') GROUP BY 1, 2 ORDER BY 1",
  );
  assert.deepEqual(states, [{ sink: "down", state: "dead", n: 3 }, { sink: "log", state: "done", n: 3 }]);
  const notes = rows(state.layout.store, "SELECT hex(payload) AS payload FROM ledger_notes");
  const texts = notes.map(({ payload }) => new TextDecoder().decode(Uint8Array.fromHex(payload as string)));
  const orphaned = texts.filter((text) => text.includes("alerts owed to the sink down, which is not configured"));
  assert.equal(orphaned.length, 1, "told to the ledger");
  assert.equal(texts.filter((text) => text.includes("load all rules and sinks again, by SIGHUP")).length, 4);
});
