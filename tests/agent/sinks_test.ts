/** The real agent under exactly the grants of its sinks: each kind gets its alerts, and what is not granted is said. */
import assert from "node:assert/strict";
import { FaultyServer, reads } from "../support/receivers/faulty_server.ts";
import { freePort } from "../support/receivers/receivers.ts";
import { AgentProcess, AgentState, EVIL, EVIL_RULE } from "./agent_process.ts";
import { TestCollector } from "./broker/test_collector.ts";
import { BusCollector } from "./bus/bus_world.ts";
import { rows, start, TempDir, until } from "./support.ts";

const SECRET = "whsec_" + new Uint8Array(32).fill(9).toBase64();
const IDS = ["evil-starts@col:epoch-1:1", "evil-starts@col:epoch-1:2"];

/** Everything that arrives at one place. */
interface Place extends AsyncDisposable {
  readonly entry: Record<string, string | number | readonly string[]>;
  readonly received: () => string;
}

function tcpPlace(): Place {
  let received = "";
  const server = new FaultyServer([reads((text) => received += text)]);
  return {
    entry: { name: "tcp", type: "syslog", address: `tcp://127.0.0.1:${server.port}`, format: "cef" },
    received: () => received,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function datagramPlace(name: string, address: string, socket: Deno.DatagramConn): Place {
  let received = "";
  const reading = (async () => {
    for await (const [bytes] of socket) received += new TextDecoder().decode(bytes);
  })();
  return {
    entry: { name, type: "syslog", address },
    received: () => received,
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await reading;
    },
  };
}

function unixPlace(path: string): Place {
  let received = "";
  const listener = Deno.listen({ transport: "unix", path });
  const reading = (async () => {
    for await (const connection of listener) {
      for await (const bytes of connection.readable) received += new TextDecoder().decode(bytes);
    }
  })();
  return {
    entry: { name: "unix", type: "syslog", address: `unix://${path}` },
    received: () => received,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await reading;
    },
  };
}

function webhookPlace(secretFile: string): Place {
  let received = "";
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    received += await request.text();
    return new Response(null, { status: 204 });
  });
  return {
    entry: {
      name: "hook",
      type: "webhook",
      url: `http://127.0.0.1:${server.addr.port}/alerts`,
      secret_files: [secretFile],
      format: "ecs",
    },
    received: () => received,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Takes whatever it is told, and says yes. */
function mailPlace(): Place {
  let received = "";
  const server = new FaultyServer([async (connection) => {
    const say = (text: string): Promise<number> => connection.write(new TextEncoder().encode(text + "\r\n"));
    await say("220 mail");
    let rest = "", inData = false;
    for await (const bytes of connection.readable) {
      rest += new TextDecoder().decode(bytes);
      for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        received += line + "\n";
        if (inData && line !== ".") continue;
        inData = line === "DATA";
        await say(inData ? "354 go" : "250 ok");
      }
    }
  }]);
  return {
    entry: {
      name: "mail",
      type: "email",
      address: `smtp://127.0.0.1:${server.port}`,
      security: "none",
      from: "daemoneye@host.example",
      to: ["soc@example.org"],
    },
    received: () => received,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function raiseTwo(state: AgentState): Promise<void> {
  using collector = await TestCollector.join(state.layout.brokerSocket);
  await collector.send(1, [start(1, { name: EVIL }), start(2, { name: EVIL })]);
  await until("it is acknowledged", () => collector.acknowledged === 2);
}

Deno.test("the agent delivers to each kind of sink under the grants of that sink alone", async () => {
  const high = EVIL_RULE.replace("severity: critical", "severity: high");
  using state = new AgentState({ "evil.yml": high });
  using dir = new TempDir();
  const secretFile = `${dir.path}/hook.secret`, file = `${dir.path}/elsewhere.csv`;
  Deno.writeTextFileSync(secretFile, SECRET + "\n");
  Deno.chmodSync(secretFile, 0o600);
  const port = freePort();
  await using tcp = tcpPlace();
  const udpSocket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port });
  await using udp = datagramPlace("udp", `udp://127.0.0.1:${port}`, udpSocket);
  const gram = `${dir.path}/gram.sock`;
  const gramSocket = Deno.listenDatagram({ transport: "unixpacket", path: gram });
  await using unixgram = datagramPlace("gram", `unixgram://${gram}`, gramSocket);
  await using unix = unixPlace(`${dir.path}/stream.sock`);
  await using hook = webhookPlace(secretFile);
  await using mail = mailPlace();
  const places = [tcp, udp, unixgram, unix, hook, mail];
  const csv = { name: "csv", type: "file", path: file, format: "csv", rotate_bytes: 10_000, rotate_keep: 2 };
  const quiet = { name: "quiet", type: "file", path: `${dir.path}/quiet.jsonl`, min_severity: "critical" };

  await using agent = await AgentProcess.start(state, { sinks: [...places.map(({ entry }) => entry), csv, quiet] });
  await raiseTwo(state);
  for (const { entry, received } of places) {
    try {
      await until("both arrived", () => IDS.every((id) => received().includes(id)));
    } catch {
      assert.fail(`${entry["name"]} got ${JSON.stringify(received())}; the agent: ${agent.stderr}`);
    }
  }
  await until("nothing is owed", () => agent.status().counters["alerts_undelivered"] === 0);
  const lines = Deno.readTextFileSync(file); // both came with one write
  for (const id of IDS) assert.ok(lines.includes(id), lines);
  assert.throws(() => Deno.statSync(`${dir.path}/quiet.jsonl`), Deno.errors.NotFound);
  assert.deepEqual(agent.status().notices.map(({ text }) => text).filter((text) => /sink|alerts to/.test(text)), []);
  assert.equal((await agent.end()).code, 0, agent.stderr);

  // The secret is nowhere that others read, and not in what the audit ledger gets.
  const notes = rows(state.layout.store, "SELECT hex(payload) AS payload FROM ledger_notes");
  const ledgered = notes.map(({ payload }) => new TextDecoder().decode(Uint8Array.fromHex(payload as string))).join(
    "\n",
  );
  assert.match(ledgered, /agent\.sinks/);
  for (
    const text of [
      agent.stderr,
      agent.stdout,
      ledgered,
      new TextDecoder("latin1").decode(Deno.readFileSync(state.layout.agentStatus)),
    ]
  ) {
    assert.ok(!text.includes(SECRET.slice(6)));
  }
});

Deno.test("a sink that was not granted is named with the flags that are missing, and the others work", async () => {
  using state = new AgentState();
  await using tcp = tcpPlace();
  const ungranted = [tcp.entry, { name: "away", type: "file", path: "/var/log/daemoneye-nowhere.jsonl" }];
  await using agent = await AgentProcess.start(state, { sinks: ungranted, sinksGranted: false });
  await raiseTwo(state);
  await until("the file has them", () => Deno.readTextFileSync(state.layout.alertFile).includes(IDS[1]!));
  for (
    const [name, flags] of [
      ["tcp", `--allow-net=${new URL(tcp.entry["address"] as string).host}`],
      ["away", "--allow-read=/var/log/daemoneye-nowhere.jsonl --allow-write=/var/log/daemoneye-nowhere.jsonl"],
    ] as const
  ) {
    const text = `the sink ${name} is off: the agent was not granted ${flags}`;
    await until("stderr names it", () => agent.stderr.includes(text));
    await until("the status names it", () => agent.status().notices.some((notice) => notice.text.includes(text)));
  }
  assert.match(agent.stderr, /deno task build --config FILE/);
  assert.equal(tcp.received(), "");
  await until("they are owed", () => agent.status().counters["alerts_undelivered"] === 4);
  await agent.end();

  // They were not lost: granted, they arrive.
  await using again = await AgentProcess.start(state, { sinks: [tcp.entry] });
  await until("both arrived", () => IDS.every((id) => tcp.received().includes(id)));
  await again.end();
});

Deno.test("a sink that is down delays neither the others nor the alerts, and gets all when it comes back", async () => {
  using state = new AgentState();
  const port = freePort();
  const entry = { name: "down", type: "syslog", address: `tcp://127.0.0.1:${port}` };
  await using agent = await AgentProcess.start(state, { sinks: [entry] });
  await raiseTwo(state);
  await until("the file has them", () => Deno.readTextFileSync(state.layout.alertFile).includes(IDS[1]!));
  await until("the fault is counted", () => agent.status().counters["sink_faults"]! > 0);
  assert.match(agent.stderr, new RegExp(`alerts to down: 127.0.0.1:${port}: `));
  let received = "";
  await using _server = new FaultyServer([reads((text) => received += text)], port);
  await until("both arrived", () => IDS.every((id) => received.includes(id)));
  await until("nothing is owed", () => agent.status().counters["alerts_undelivered"] === 0);
  await agent.end();
});

Deno.test("alerts for the bus wait over the end of the agent, and go to the first who subscribes at least once", async () => {
  using state = new AgentState();
  const sinks = [{ name: "bus", type: "bus" }];
  {
    await using agent = await AgentProcess.start(state, { sinks });
    await raiseTwo(state);
    await until("the file has them", () => Deno.readTextFileSync(state.layout.alertFile).includes(IDS[1]!));
    await until("it says what it waits for", () => /nobody subscribes to alerts\.critical/.test(agent.stderr));
    await agent.end("SIGKILL");
  }
  await using agent = await AgentProcess.start(state, { sinks });
  using collector = await BusCollector.join(state.layout.brokerSocket, { collectorId: "reader" });
  const ids: string[] = [];
  await collector.port.subscribe("alerts.#", ({ message }) => void ids.push(message.correlation!.id), {
    quality: "at-least-once",
  });
  await until("both came", () => new Set(ids).size === 2);
  assert.deepEqual(new Set(ids), new Set(IDS));
  await until("nothing is owed", () => agent.status().counters["alerts_undelivered"] === 0);
  await agent.end();
});
