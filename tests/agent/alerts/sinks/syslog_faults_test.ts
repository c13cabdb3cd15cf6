/** The syslog sink against servers that fail, and through Delivery: nothing is lost, and what comes twice has its id. */
import assert from "node:assert/strict";
import { Delivery } from "../../../../agent/alerts/delivery.ts";
import { type Sink, SinkError } from "../../../../agent/alerts/sink.ts";
import { syslogMessage } from "../../../../agent/alerts/sinks/syslog_message.ts";
import { syslogSink } from "../../../../agent/alerts/sinks/syslog_sink.ts";
import { Store } from "../../../../agent/store/store.ts";
import type { SyslogSinkSettings } from "../../../../proto/sink_settings.ts";
import { needs } from "../../../support/needs.ts";
import {
  type Behaviour,
  FaultyServer,
  hangs,
  reads,
  readsAndStays,
  readsSlowly,
  resets,
} from "../../../support/receivers/faulty_server.ts";
import { freePort, LogServer } from "../../../support/receivers/receivers.ts";
import { commitEvents, newAlert, openTestStream, start, TempDir, until } from "../../support.ts";
import { sinkOf } from "./settings.ts";

function open(address: string, more: Record<string, unknown> = {}, own = "/nowhere"): Sink {
  const entry = { name: "log", type: "syslog", address, timeout_ms: 1_000, ...more };
  return syslogSink(sinkOf(entry) as SyslogSinkSettings, "host1", own);
}

const isRetry = (error: unknown): boolean =>
  error instanceof SinkError && error.remedy.kind === "retry" && error.taken === 0;

Deno.test("a log server that refuses, or has no address, is tried again later", async () => {
  using dir = new TempDir();
  for (
    const address of [
      ...[`tcp://127.0.0.1:${freePort()}`, `tls://127.0.0.1:${freePort()}`],
      ...[`unix://${dir.path}/none`, `unixgram://${dir.path}/none`],
      ...["tcp://no-such-host.invalid:601", "tls://no-such-host.invalid", "udp://no-such-host.invalid"],
    ]
  ) {
    const sink = open(address, { timeout_ms: 5_000 }, `${dir.path}/own.sock`);
    await assert.rejects(sink.write([newAlert("a")]), isRetry, address);
    await sink.close();
  }
});

Deno.test("what a log server resets in mid-send goes again, whole", async () => {
  let received = "";
  await using server = new FaultyServer([resets, resets, reads((text) => received += text)]);
  const sink = open(`tcp://127.0.0.1:${server.port}`), alerts = [newAlert("a"), newAlert("b")];
  for (let i = 0; i < 2; i++) await assert.rejects(sink.write(alerts), isRetry);
  await sink.write(alerts);
  await sink.close();
  await until("all has arrived", () => received.includes('alertId="b"'));
  assert.deepEqual(frames(received).map((frame) => /alertId="(\w+)"/.exec(frame)![1]), ["a", "b"]);
});

/** By RFC 6587, section 3.4.1. @throws when a length is wrong */
function frames(text: string): string[] {
  const found: string[] = [], bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at), length = Number(new TextDecoder().decode(bytes.subarray(at, space)));
    assert.ok(Number.isInteger(length) && space + 1 + length <= bytes.length);
    found.push(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(space + 1, space + 1 + length)));
    at = space + 1 + length;
  }
  return found;
}

Deno.test("a log server that takes nothing, or a byte now and then, holds its sink for the time that is set", async () => {
  for (const behaviour of [hangs, readsSlowly]) {
    await using server = new FaultyServer([behaviour]);
    const sink = open(`tcp://127.0.0.1:${server.port}`, { max_bytes: 1_048_576, timeout_ms: 300, format: "json" });
    // More than the buffers of both ends of a connection on loopback take.
    const many = Array.from({ length: 60 }, (_, i) => newAlert(`a${i}`, manyColumns()));
    await assert.rejects(sink.write(many), (error) => isRetry(error) && /took nothing within/.test(String(error)));
    await sink.close();
  }
});

function manyColumns(): { evidence: Record<string, string> } {
  return { evidence: Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`column${i}`, "x".repeat(8_000)])) };
}

Deno.test("a log server that reads and never closes has not confirmed; without confirmation it has taken what it stood for", async () => {
  for (const behaviour of [hangs, readsAndStays]) {
    await using server = new FaultyServer([behaviour]);
    const asked = open(`tcp://127.0.0.1:${server.port}`, { timeout_ms: 200 });
    await assert.rejects(
      asked.write([newAlert("a")]),
      (error) => isRetry(error) && /set confirm: no/.test(String(error)),
    );
    await asked.close();
    const unasked = open(`tcp://127.0.0.1:${server.port}`, { timeout_ms: 200, confirm: "no" });
    for (const id of ["a", "b", "c"]) await unasked.write([newAlert(id)]);
    await unasked.close();
    assert.equal(server.connections, 2); // the second one lasts
  }
});

Deno.test("a log server that turns connections away at once has taken nothing", async () => {
  for (const confirm of ["yes", "no"]) {
    await using server = new FaultyServer([() => {}]);
    const sink = open(`tcp://127.0.0.1:${server.port}`, { confirm });
    for (let i = 0; i < 5; i++) await assert.rejects(sink.write([newAlert("a")]), isRetry);
    await sink.close();
  }
});

Deno.test("a log server that never completes TLS holds its sink for the time that is set", async () => {
  await using server = new FaultyServer([hangs]);
  const sink = open(`tls://127.0.0.1:${server.port}`, { timeout_ms: 200 });
  await assert.rejects(
    sink.write([newAlert("a")]),
    (error) => isRetry(error) && /no connection within/.test(String(error)),
  );
  await sink.close();
});

Deno.test("an alert that fits into no message is refused, and those before it are sent", async () => {
  let received = "";
  await using server = new FaultyServer([reads((text) => received += text)]);
  const sink = open(`tcp://127.0.0.1:${server.port}`, { max_bytes: 2_048, format: "json" });
  const alerts = [newAlert("a"), newAlert("b", manyColumns()), newAlert("c")];
  await assert.rejects(
    sink.write(alerts),
    (error) => error instanceof SinkError && error.remedy.kind === "refused" && error.taken === 1,
  );
  await sink.write(alerts.slice(2));
  await sink.close();
  await until("both have arrived", () => frames(received).length === 2);
});

Deno.test("syslogMessage() keeps to the forms of RFC 5424", () => {
  const settings = { facility: 16, format: "human", structuredData: true } as const;
  const header = (host: string, more = {}) => syslogMessage(newAlert("a", more), settings, host, 8_192).split(" [")[0];
  assert.equal(header("h"), `<131>1 2023-11-14T22:13:20.000Z h daemoneye ${Deno.pid} alert`);
  assert.match(header("a b")!, /^<131>1 \S+ - daemoneye/);
  assert.match(header("h", { time: 8e15, severity: "critical" })!, /^<130>1 - h /);
  assert.match(syslogMessage(newAlert("a"), settings, "h", 64), /\] \ufeff\[high\]/);
  const plain = syslogMessage(newAlert("a"), { ...settings, format: "cef", structuredData: false }, "h", 64);
  assert.match(plain, / alert - CEF:0\|/);
});

Deno.test("through Delivery every alert arrives, and twice only what a log server confirmed too late, under one id", async () => {
  using dir = new TempDir();
  const late: string[] = [], inTime: string[] = [];
  const takes: Behaviour = async (connection) => {
    const place = inTime.push("") - 1;
    await reads((text) => inTime[place] += text)(connection);
  };
  const stays: Behaviour = async (connection) => {
    await reads((text) => late.push(text))(connection);
    await readsAndStays(connection);
  };
  await using server = new FaultyServer([stays, takes, resets, takes]);
  const store = new Store(`${dir.path}/events.db`, ["log"]), stream = openTestStream(store);
  const ids = Array.from({ length: 350 }, (_, i) => `a${i}`), base = stream.number * 2 ** 40 + 1;
  commitEvents(store, stream, ids.map((_, i) => start(i)), {
    alerts: ids.map((id, i) => newAlert(id, { eventId: base + i })),
  });
  const sink = open(`tcp://127.0.0.1:${server.port}`, { timeout_ms: 1_500 });
  const delivery = new Delivery(sink, { fault: () => {}, storeFault: () => {} }, { firstRetryMs: 5 });
  delivery.attach(store);
  await until("nothing is owed", () => store.owedDeliveries === 0);
  await delivery.stop(1_000);
  const idsOf = (text: string): string[] => frames(text).map((frame) => /alertId="(\w+)"/.exec(frame)![1]!);
  assert.deepEqual(inTime.flatMap(idsOf), ids, "each once where it was confirmed");
  assert.deepEqual(idsOf(late.join("")), ids.slice(0, 100), "the others are copies, under the same ids");
  store.close();
});

const receivers = needs({ receivers: ["rsyslogd"] });

Deno.test({
  name: "every alert arrives at a log server that goes and comes back, and what came twice has the same id",
  ignore: receivers.ignore,
  async fn() {
    await using server = await LogServer.start("rsyslogd");
    using dir = new TempDir();
    const store = new Store(`${dir.path}/events.db`, ["log"]), stream = openTestStream(store);
    const ids = Array.from({ length: 1_500 }, (_, i) => `a${i}`);
    const delivery = new Delivery(
      open(`tcp://127.0.0.1:${server.port}`),
      { fault: () => {}, storeFault: () => {} },
      { firstRetryMs: 20 },
    );
    delivery.attach(store);
    for (let i = 0; i < ids.length; i += 300) {
      const part = ids.slice(i, i + 300), base = stream.number * 2 ** 40 + i + 1;
      const alerts = part.map((id, n) => newAlert(id, { eventId: base + n }));
      commitEvents(store, stream, part.map((_, n) => start(i + n)), { alerts });
      delivery.poke();
      if (i % 600 !== 0) continue;
      await server.end(); // while alerts are on their way
      await server.begin();
    }
    await until("nothing is owed", () => store.owedDeliveries === 0);
    await delivery.stop(1_000);
    await until("all have arrived", () => new Set(arrived(server)).size === ids.length);
    assert.deepEqual(new Set(arrived(server)), new Set(ids));
    store.close();
  },
});

function arrived(server: LogServer): string[] {
  return server.lines().map((line) => /alertId=\\"(\w+)\\"/.exec(line)![1]!);
}
