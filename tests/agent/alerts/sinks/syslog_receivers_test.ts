/** The syslog sink against the log servers of the distribution. */
import assert from "node:assert/strict";
import { FORMATS } from "../../../../agent/alerts/formats/format.ts";
import { shown } from "../../../../proto/formats/text.ts";
import { type Sink, SinkError } from "../../../../agent/alerts/sink.ts";
import { syslogSink } from "../../../../agent/alerts/sinks/syslog_sink.ts";
import type { Alert } from "../../../../proto/alert.ts";
import type { SyslogSinkSettings } from "../../../../proto/sink_settings.ts";
import { hostileAlerts } from "../../../support/hostile_alerts.ts";
import { needs } from "../../../support/needs.ts";
import { Authority, fingerprint } from "../../../support/receivers/certificates.ts";
import { LogServer, TlsServer } from "../../../support/receivers/receivers.ts";
import { newAlert, TempDir, until } from "../../support.ts";
import { sinkOf } from "./settings.ts";

const both = needs({ receivers: ["rsyslogd", "syslog-ng"] });
const tls = needs({ receivers: ["rsyslogd", "syslog-ng"], programs: ["openssl"] });

function open(entry: Record<string, unknown>, own = "/nowhere"): Sink {
  const settings = sinkOf({ name: "log", type: "syslog", timeout_ms: 5_000, ...entry }) as SyslogSinkSettings;
  return syslogSink(settings, "host1", own);
}

/** What must arrive as the value of a parameter: `null` where there is none. */
type Expected = (alert: Alert) => string | number | null;
const VALUES: Readonly<Record<string, Expected>> = {
  alertId: (a) => a.alertId,
  title: (a) => a.title,
  exe: (a) => a.executablePath,
  commandLine: (a) => a.commandLine,
  user: (a) => a.userName,
  parentExe: (a) => a.parentExecutablePath,
  severity: (a) => a.severity,
  pid: (a) => a.pid,
};
/** Limits of values that a sink may have come down to. */
const LIMITS = [8_192, 4_096, 2_048, 1_024, 512, 256, 128, 64];

function assertValues(alert: Alert, found: Record<string, string>): void {
  for (const [name, valueOf] of Object.entries(VALUES)) {
    const value = valueOf(alert);
    if (value === null || value === "") assert.equal(found[name], undefined, `${alert.alertId} ${name}`);
    else {
      const fit = LIMITS.map((limit) => shown(String(value), limit));
      assert.ok(fit.includes(found[name]!), `${alert.alertId} ${name}: ${JSON.stringify(found[name])}`);
    }
  }
}

async function writeAll(sink: Sink, alerts: readonly Alert[]): Promise<void> {
  for (let i = 0; i < alerts.length; i += 500) await sink.write(alerts.slice(i, i + 500));
}

Deno.test({
  name: "syslog-ng reads structured data of 10,000 hostile alerts as it was sent, over TCP",
  ignore: both.ignore,
  async fn() {
    await using server = await LogServer.start("syslog-ng");
    const alerts = [...hostileAlerts(10_000)];
    const sink = open({ address: `tcp://127.0.0.1:${server.port}`, max_bytes: 65_536 });
    await writeAll(sink, alerts);
    await sink.close();
    await until("all have arrived", () => server.lines().length >= alerts.length);
    const found = server.lines().map((line) => dataOf(JSON.parse(line)));
    assert.equal(found.length, alerts.length);
    for (const [i, alert] of alerts.entries()) assertValues(alert, found[i]!);
  },
});

/** `.SDATA.daemoneye@32473.name` is nested in what syslog-ng's format-json writes. */
function dataOf(parsed: Record<string, unknown>): Record<string, string> {
  const data = (parsed["_SDATA"] ?? parsed[".SDATA"]) as Record<string, Record<string, string>>;
  return data["daemoneye@32473"]!;
}

Deno.test({
  name: "rsyslogd takes 10,000 hostile alerts, each with the text that was sent, over TCP",
  ignore: both.ignore,
  async fn() {
    await using server = await LogServer.start("rsyslogd");
    const alerts = [...hostileAlerts(10_000, 2)];
    for (const format of ["cef", "json"] as const) {
      const before = server.lines().length, part = format === "cef" ? alerts : alerts.slice(0, 1_000);
      const sink = open({ address: `tcp://127.0.0.1:${server.port}`, max_bytes: 65_536, format });
      await writeAll(sink, part);
      await sink.close();
      await until("all have arrived", () => server.lines().length >= before + part.length);
      const messages = server.lines().slice(before).map((line) => JSON.parse(line) as Record<string, string>);
      assert.equal(messages.length, part.length);
      for (const [i, { msg, hostname, "app-name": app }] of messages.entries()) {
        const alert = part[i]!;
        assert.deepEqual([hostname, app], ["host1", "daemoneye"]);
        // rsyslogd counts the space before the text to it.
        const arrived = msg!.replace(/^ /, "");
        const sent = LIMITS.find((valueBytes) =>
          arrived === FORMATS[format].line(alert, { host: "host1", valueBytes })
        );
        assert.ok(sent !== undefined, `${alert.alertId}: ${JSON.stringify(msg)}`);
        if (format === "json") assert.equal(JSON.parse(arrived).alertId, alert.alertId);
      }
    }
  },
});

Deno.test({
  name: "UDP messages arrive whole at both servers, and none is longer than receivers must take",
  ignore: both.ignore,
  async fn() {
    const alerts = [...hostileAlerts(200, 3)];
    for (const kind of ["rsyslogd", "syslog-ng"] as const) {
      await using server = await LogServer.start(kind);
      const sink = open({ address: `udp://127.0.0.1:${server.port}` });
      for (let i = 0; i < alerts.length; i += 10) {
        await sink.write(alerts.slice(i, i + 10));
        // The queue of a socket is short, and UDP waits for nobody.
        await until("they have arrived", () => server.lines().length === Math.min(i + 10, alerts.length));
      }
      await sink.close();
      for (const [i, line] of server.lines().entries()) {
        const parsed = JSON.parse(line);
        if (kind === "syslog-ng") assertValues(alerts[i]!, dataOf(parsed));
        else assert.match(parsed["structured-data"], new RegExp(`^\\[daemoneye@32473 alertId="${alerts[i]!.alertId}"`));
        assert.ok(kind === "syslog-ng" || new TextEncoder().encode(parsed.rawmsg).length <= 2_048);
      }
    }
  },
});

Deno.test({
  name: "messages go into the Unix sockets of both servers, as datagrams and as a stream",
  ignore: both.ignore,
  async fn() {
    using dir = new TempDir();
    const alerts = [...hostileAlerts(50, 4)];
    for (const [kind, scheme] of [["rsyslogd", "unixgram"], ["syslog-ng", "unix"]] as const) {
      await using server = await LogServer.start(kind);
      const sink = open({ address: `${scheme}://${server.socket}` }, `${dir.path}/own.sock`);
      await sink.write(alerts);
      await until("all have arrived", () => server.lines().length === alerts.length);
      const found = server.lines().map((line) => JSON.parse(line));
      if (kind === "syslog-ng") found.forEach((parsed, i) => assertValues(alerts[i]!, dataOf(parsed)));
      else found.forEach((parsed, i) => assert.match(parsed.rawmsg, new RegExp(` alertId="${alerts[i]!.alertId}"`)));
      await server.end();
      await assert.rejects(sink.write(alerts), isRetry);
      await sink.close();
      assert.deepEqual([...Deno.readDirSync(dir.path)], []);
    }
  },
});

const isRetry = (error: unknown): boolean => error instanceof SinkError && error.remedy.kind === "retry";

Deno.test({
  name: "over TLS both servers are known by authority and name, and know the client by its certificate",
  ignore: tls.ignore,
  async fn() {
    using authority = new Authority();
    const server = authority.sign("server"), client = authority.sign("client");
    const alerts = [...hostileAlerts(100, 5)], ca_file = authority.ca;
    for (const kind of ["rsyslogd", "syslog-ng"] as const) {
      await using log = await LogServer.start(kind, { ...server, ca: authority.ca });
      const address = `tls://localhost:${log.tlsPort}`;
      const sink = open({ address, ca_file, cert_file: client.cert, key_file: client.key });
      await sink.write(alerts);
      await sink.close();
      await until("all have arrived", () => log.lines().length === alerts.length);
      if (kind === "syslog-ng") {
        log.lines().forEach((line, i) => assertValues(alerts[i]!, dataOf(JSON.parse(line))));
        // It asks for a certificate, and we have none.
        const nobody = open({ address, ca_file });
        await assert.rejects(nobody.write(alerts.slice(0, 1)), isRetry);
        await nobody.close();
        assert.equal(log.lines().length, alerts.length);
      }
    }
  },
});

Deno.test({
  name: "a TLS server that is not the right one gets nothing; a pinned one is the right one",
  ignore: tls.ignore,
  async fn() {
    using authority = new Authority();
    using other = new Authority();
    const self = authority.selfSigned();
    const cases: [string, { cert: string; key: string }, Record<string, unknown>, boolean][] = [
      ["good", authority.sign("good"), {}, true],
      ["good, by its address", authority.sign("address", "IP:127.0.0.1"), { host: "127.0.0.1" }, true],
      ["good, by another name", authority.sign("named", "DNS:log.example"), { server_name: "log.example" }, true],
      ["expired", authority.sign("expired", undefined, -1), {}, false],
      ["wrong name", authority.sign("wrong", "DNS:other.example"), {}, false],
      ["self-signed", self, {}, false],
      ["of another authority", other.sign("other"), {}, false],
      ["pinned", self, { pins: [fingerprint(self.cert)] }, true],
      ["pinned otherwise", self, { pins: ["0".repeat(64), "1".repeat(64)] }, false],
    ];
    for (const [name, certificate, { host = "localhost", ...entry }, isGood] of cases) {
      await using server = await TlsServer.start(certificate);
      const sink = open({ address: `tls://${host}:${server.port}`, ca_file: authority.ca, ...entry });
      if (isGood) {
        await sink.write([newAlert("a")]);
        await until("it has arrived", () => server.received.includes('alertId="a"'));
      } else {
        await assert.rejects(sink.write([newAlert("a")]), isRetry, name);
        assert.equal(server.received, "", name);
      }
      await sink.close();
    }
  },
});
