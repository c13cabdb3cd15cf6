import assert from "node:assert/strict";
import { ruleFile } from "../../bench/support/real_shaped_rules.ts";
import { HandshakeError } from "../../proto/handshake.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import type { AgentStatus } from "../../proto/status.ts";
import { encodeFrame } from "../../proto/frame.ts";
import { encodeMessage } from "../../proto/wire.ts";
import { makeBundle } from "../../deploy/bundle.ts";
import { needs } from "../support/needs.ts";
import { AgentProcess, AgentState, alertIds, EVIL, EVIL_RULE } from "./agent_process.ts";
import { sendRaw, TestCollector } from "./broker/test_collector.ts";
import { checkStore, rows, start, until } from "./support.ts";

/** Events of which each tenth matches the rule. */
function someEvents(from: number, count: number): ProcessEvent[] {
  return Array.from({ length: count }, (_, i) => start(from + i, (from + i) % 10 === 0 ? { name: EVIL } : {}));
}

function alertsIn(layout: { alertFile: string }): string[] {
  try {
    return alertIds(Deno.readTextFileSync(layout.alertFile));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

Deno.test("the agent stores, judges, alerts in every place once, and ends cleanly", async () => {
  using state = new AgentState({
    "evil.yml": EVIL_RULE,
    "broken.yml": "id: broken\nsql: [",
    "forbidden.yml": `id: forbidden\ntitle: t\ndescription: d\nseverity: low\ntags: []\nsql: DROP TABLE alerts\n`,
  });
  const { layout } = state;
  await using agent = await AgentProcess.start(state);
  assert.match(agent.stderr, /agent: listening on .*broker\.sock; 1 rules active, 2 rejected/);
  await until("the rejected rules are said", () => agent.stderr.split("rule rejected: ").length === 3);
  {
    using collector = await TestCollector.join(layout.brokerSocket);
    await collector.send(1, someEvents(1, 100));
    await until("it is acknowledged", () => collector.acknowledged === 100);
    await until("the alerts are in the file", () => alertsIn(layout).length === 10);
    await until("the alerts are on stdout", () => agent.stdout.trimEnd().split("\n").length === 10);
    await until("the status knows", () => {
      const { events, alerts_undelivered: owed } = agent.status().counters;
      return events === 100 && owed === 0;
    });
  }
  const status = agent.status();
  assert.equal(status.state, "running");
  assert.equal(status.pid, agent.pid);
  assert.equal(status.counters["alerts"], 10);
  assert.equal(status.counters["alerts_undelivered"], 0);
  assert.equal(status.rules.find((rule) => rule.state === "active")!.hits, 10);
  const broken = status.rules.filter((rule) => rule.state === "rejected");
  assert.equal(broken.length, 2);
  for (const rule of broken) assert.ok(rule.reason !== null && rule.line !== null, rule.file);

  assert.equal((await agent.end("SIGTERM")).code, 0, agent.stderr);
  assert.equal(agent.status().state, "stopped");
  assert.equal(agent.status().counters["store_partitions"], status.counters["store_partitions"]);
  assert.doesNotMatch(agent.stderr, /cannot be written|finalized/);
  const stored = rows(layout.store, "SELECT alert_id FROM alerts ORDER BY event_id").map((row) => row["alert_id"]);
  assert.deepEqual(stored, Array.from({ length: 10 }, (_, i) => `evil-starts@col:epoch-1:${(i + 1) * 10}`));
  assert.deepEqual(alertsIn(layout), stored);
  assert.deepEqual(alertIds(agent.stdout), stored);
  assert.equal(rows(layout.store, "SELECT count(*) AS n FROM detection_rules WHERE state = 'rejected'")[0]!["n"], 2);
  for (const path of [layout.store, `${layout.store}-wal`, `${layout.store}-shm`]) Deno.statSync(path);
  assert.throws(() => Deno.statSync(layout.brokerSocket), Deno.errors.NotFound);
  checkStore(layout.store);
});

Deno.test("hostile clients do not end the agent under its own grants, nor disturb a collector", async () => {
  using state = new AgentState();
  await using agent = await AgentProcess.start(state);
  const socket = state.layout.brokerSocket;
  using honest = await TestCollector.join(socket, { collectorId: "honest" });
  let sent = 0;
  for (let round = 0; round < 30; round++) {
    const bytes = new Uint8Array(1 + Math.floor(Math.random() * 5_000));
    crypto.getRandomValues(bytes);
    await sendRaw(socket, bytes);
    await sendRaw(socket, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4));
    await honest.send(sent + 1, someEvents(sent + 1, 5));
    sent += 5;
  }
  await assert.rejects(TestCollector.join(socket, { token: "00".repeat(32) }));
  {
    // One that has the token and then sends what cannot be understood.
    using member = await TestCollector.join(socket, { collectorId: "member" });
    const frame = encodeFrame(encodeMessage({ kind: "heartbeat", time: 1 }));
    frame[frame.length - 1]! ^= 0xff;
    await member.channel.sendFrame(frame);
    await until("it is cut off", () => member.ended);
  }
  await until("the honest one is acknowledged", () => honest.acknowledged === sent);
  await until("the status counts them", () => {
    const { connections_refused: refused, connections_failed: failed } = agent.status().counters;
    return refused === 61 && failed === 1;
  });
  const status = agent.status();
  assert.ok(status.noticeCount >= 62);
  assert.ok(status.notices.some((notice) => /collector member ended: .*checksum/.test(notice.text)));
  assert.equal(agent.ended, null);
  assert.equal((await agent.end()).code, 0);
});

Deno.test("SIGKILL at any moment loses nothing acknowledged, doubles no event and no line of alert", async () => {
  using state = new AgentState();
  const { layout } = state, total = 20_000, ROUNDS = 20;
  let acknowledged = 0, random = 12_345;
  const next = (): number => random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
  for (let round = 0; round <= ROUNDS; round++) {
    const last = round === ROUNDS;
    await using agent = await AgentProcess.start(state);
    using collector = await TestCollector.join(layout.brokerSocket);
    const from = collector.welcome.lastSequence;
    assert.ok(from >= acknowledged, `round ${round}: acknowledged ${acknowledged}, stored ${from}`);
    const sending = (async () => {
      // As a collector does: from the watermark on, in batches, more in flight than is acknowledged.
      for (let at = from + 1; at <= total; at += 50) {
        await collector.send(at, someEvents(at, Math.min(50, total - at + 1)));
      }
    })().catch(() => {});
    if (!last) {
      const enough = from + 1 + next() % 600;
      await until("some are acknowledged", () => collector.acknowledged >= Math.min(enough, total));
      await new Promise((resolve) => setTimeout(resolve, next() % 4));
      acknowledged = collector.acknowledged;
      await agent.end("SIGKILL");
      collector.channel.close();
      await sending;
      checkStore(layout.store);
      continue;
    }
    await sending;
    await until("everything is acknowledged", () => collector.acknowledged === total);
    await until("everything is delivered", () => agent.status().counters["alerts_undelivered"] === 0);
    assert.equal((await agent.end()).code, 0, agent.stderr);
  }
  const [{ n, distinct }] = rows(
    layout.store,
    "SELECT count(*) AS n, count(DISTINCT event_id) AS 'distinct' FROM process_events",
  ) as [{ n: number; distinct: number }];
  assert.deepEqual([n, distinct], [total, total]);
  assert.deepEqual(rows(layout.store, "SELECT * FROM gaps"), []);
  const ids = alertsIn(layout);
  const expected = Array.from({ length: total / 10 }, (_, i) => `evil-starts@col:epoch-1:${(i + 1) * 10}`);
  assert.deepEqual(ids, expected, "each alert once, in order");
  checkStore(layout.store);
});

Deno.test("alerts that a broken sink did not take are written when it is mended", async () => {
  using state = new AgentState();
  const { layout } = state;
  Deno.mkdirSync(layout.alertFile); // nothing can be appended to a directory
  await using agent = await AgentProcess.start(state);
  using collector = await TestCollector.join(layout.brokerSocket);
  await collector.send(1, someEvents(1, 20));
  await until("stdout has them", () => alertIds(agent.stdout).length === 2);
  await until("the fault is counted", () => agent.status().counters["sink_faults"]! > 0);
  assert.equal(agent.status().counters["alerts_undelivered"], 2);
  assert.ok(agent.status().notices.some((notice) => /alerts to file/.test(notice.text)));
  Deno.removeSync(layout.alertFile);
  await until("the file has them", () => alertsIn(layout).length === 2);
});

Deno.test("a stdout that nobody reads any more does not end the agent, and shows its alerts at the next start", async () => {
  using state = new AgentState();
  const { layout } = state;
  // Its stdout is the pipe to a program that ends at once.
  const shell = ["/bin/sh", "-c", `"$@" | true`, "sh"];
  {
    await using agent = await AgentProcess.start(state, { prefix: shell });
    using collector = await TestCollector.join(layout.brokerSocket);
    await collector.send(1, someEvents(1, 20));
    await until("the file has them", () => alertsIn(layout).length === 2);
    await until("the fault is counted", () => agent.status().counters["sink_faults"] === 1);
    await collector.send(21, someEvents(21, 20));
    await until("the file has more", () => alertsIn(layout).length === 4);
    Deno.kill(agent.status().pid, "SIGTERM");
    await until("it has ended", () => agent.ended !== null);
  }
  await using again = await AgentProcess.start(state);
  await until("stdout has all", () => alertIds(again.stdout).length === 4);
});

Deno.test("what is wrong at the start is said in a sentence with its mend", async () => {
  const cases: [string, (state: AgentState) => void, string[], RegExp][] = [
    ["token", (s) => Deno.removeSync(s.layout.token), [], /The token .* cannot be read .*; start the tiers with/],
    [
      "short token",
      (s) => Deno.writeTextFileSync(s.layout.token, "abc"),
      [],
      /is not 64 hexadecimal digits; delete it/,
    ],
    ["agent directory", (s) => Deno.removeSync(s.layout.agent), [], /make .*\/agent and let the agent's user write it/],
    ["setting", () => {}, ["agent.max_connections=0"], /agent\.max_connections must be a whole number from 1 to 1000/],
    ["socket", (s) => Deno.writeTextFileSync(s.layout.brokerSocket, ""), [], /is not a socket; move it away/],
  ];
  for (const [what, harm, set, words] of cases) {
    using state = new AgentState();
    harm(state);
    await using agent = await AgentProcess.start(state, { set, expectEnd: true });
    assert.equal(agent.ended!.code, 1, what);
    assert.match(agent.stderr, words, what);
    assert.equal(agent.stderr.trimEnd().split("\n").length, 1, `${what}: ${agent.stderr}`);
  }
});

Deno.test("a rules directory that is not there is said with its mend, and the agent works", async () => {
  using state = new AgentState();
  Deno.removeSync(state.layout.rules, { recursive: true });
  await using agent = await AgentProcess.start(state);
  await until("it is said", () => /rules directory .* does not exist; create it, or set rules_dirs/.test(agent.stderr));
  using collector = await TestCollector.join(state.layout.brokerSocket);
  await collector.send(1, someEvents(1, 20));
  await until("it is acknowledged", () => collector.acknowledged === 20);
});

Deno.test("the agent answers its socket and says in its status how far it is while it reads many rules", async () => {
  const rules = Object.fromEntries(Array.from({ length: 1_500 }, (_, i) => [`r-${i}.yml`, ruleFile(5, i, "linux")]));
  using state = new AgentState({ ...rules, "evil.yml": EVIL_RULE });
  await using agent = await AgentProcess.start(state, { atOnce: true });
  const refusals: string[] = [];
  let starting = "";
  using joined = await joinedMeanwhile(agent, (error) => {
    const status = statusOf(agent);
    if (status?.state === "starting") starting = `${status.store.state}: ${status.store.reason}`;
    if (error instanceof HandshakeError) refusals.push(error.message);
  });
  assert.match(refusals.join("\n"), /starting/);
  assert.match(starting, /^refusing: the agent is starting: /);
  // Whoever is taken is judged by all rules
  await joined.send(1, [start(1, { name: EVIL })]);
  await until("it is acknowledged", () => joined.acknowledged === 1);
  await until("it alerts", () => agent.stdout.includes("evil-starts"));
  await until("it says so", () => agent.stderr.includes("listening on"));
  assert.match(agent.stderr, /1501 rules active, 0 rejected/);
  assert.equal(agent.status().rules.length, 1_501);
});

/** Asks for a connection until there is one. */
async function joinedMeanwhile(agent: AgentProcess, failed: (error: unknown) => void): Promise<TestCollector> {
  const end = performance.now() + 60_000;
  for (;;) {
    try {
      return await TestCollector.join(agent.layout.brokerSocket);
    } catch (error) {
      if (agent.ended !== null || performance.now() > end) throw error;
      failed(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function statusOf(agent: AgentProcess): AgentStatus | null {
  try {
    return agent.status();
  } catch {
    return null; // not there yet
  }
}

Deno.test("a second agent on the same state is refused, and the first goes on", async () => {
  using state = new AgentState();
  await using first = await AgentProcess.start(state);
  await using second = await AgentProcess.start(state, { expectEnd: true });
  assert.match(second.stderr, /Another agent listens on .*; stop it/);
  using collector = await TestCollector.join(state.layout.brokerSocket);
  await collector.send(1, someEvents(1, 5));
  await until("it is acknowledged", () => collector.acknowledged === 5);
  assert.equal(first.ended, null);
});

const other = needs({ root: true, setpriv: true });

Deno.test({
  name: "the agent works as a user of its own, and says when it runs as root",
  ignore: other.ignore,
  async fn() {
    using state = new AgentState();
    const { layout } = state;
    {
      await using agent = await AgentProcess.start(state);
      await until("it is said", () => /runs as root and needs not to/.test(agent.stderr));
      await agent.end();
    }
    for (const path of [layout.state, layout.run, layout.rules]) Deno.chmodSync(path, 0o755);
    for (const path of [layout.token, layout.run, layout.agent]) Deno.chownSync(path, 64_998, 64_998);
    for (const entry of Deno.readDirSync(layout.agent)) Deno.chownSync(`${layout.agent}/${entry.name}`, 64_998, 64_998);
    const bundle = `${layout.state}/agent.js`;
    await makeBundle("agent/main.ts", bundle, Deno.execPath());
    Deno.chmodSync(bundle, 0o644);
    const prefix = ["setpriv", "--reuid", "64998", "--regid", "64998", "--clear-groups", "--no-new-privs"];
    const env = { DENO_DIR: `${layout.state}/none`, HOME: "/nonexistent" };
    await using agent = await AgentProcess.start(state, { prefix, env, bundle });
    await until("its status is there", () => agent.status().userId === 64_998);
    using collector = await TestCollector.join(layout.brokerSocket);
    await collector.send(1, someEvents(1, 20));
    await until("the alerts are in the file", () => alertsIn(layout).length === 2);
    assert.ok(!agent.status().notices.some((notice) => /root/.test(notice.text)));
    assert.equal((await agent.end()).code, 0, agent.stderr);
  },
});
