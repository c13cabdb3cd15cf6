/** CEF and LEEF as parsers that others wrote read them: liblognorm's of CEF, and syslog-ng's of columns. */
import assert from "node:assert/strict";
import { FORMATS } from "../../../../agent/alerts/formats/format.ts";
import { clipped, shown } from "../../../../proto/formats/text.ts";
import { syslogSink } from "../../../../agent/alerts/sinks/syslog_sink.ts";
import type { SyslogSinkSettings } from "../../../../proto/sink_settings.ts";
import { VERSION } from "../../../../proto/version.ts";
import { hostileAlerts } from "../../../support/hostile_alerts.ts";
import { needs } from "../../../support/needs.ts";
import { lognormCef, LogServer } from "../../../support/receivers/receivers.ts";
import { until } from "../../support.ts";
import { sinkOf } from "../sinks/settings.ts";

/** As CEF has a text in its extension: line ends are its own, every other control is written out. */
function plain(text: string, length: number): string {
  const parts = text.split(/([\n\r])/).map((part) => /^[\n\r]$/.test(part) ? part : shown(part, 8_192));
  return clipped(parts.join(""), length);
}

Deno.test({
  name: "liblognorm reads of 2,000 hostile alerts in CEF what the alerts hold",
  ignore: needs({ receivers: ["lognormalizer"] }).ignore,
  async fn() {
    // A text that is cut has its mark in bytes, which formats_test.ts has.
    const alerts = [...hostileAlerts(2_000, 5)].filter(({ commandLine }) => (commandLine ?? "").length < 8_000);
    const options = { host: "host1", valueBytes: 8_192 };
    const parsed = await lognormCef(alerts.map((alert) => FORMATS.cef.line(alert, options)));
    assert.equal(parsed.length, alerts.length);
    for (const [i, alert] of alerts.entries()) {
      const { Extensions: found, ...header } = parsed[i] ?? assert.fail(`${alert.alertId} is no CEF to it`);
      assert.deepEqual(header, {
        ...{ DeviceVendor: "DaemonEye", DeviceProduct: "daemoneye-agent", DeviceVersion: VERSION },
        ...{ SignatureID: alert.ruleId, Name: clipped(shown(alert.title, 1 << 20), 512) },
        Severity: String({ info: 1, low: 3, medium: 5, high: 8, critical: 10 }[alert.severity]),
      });
      // liblognorm 2.0.6 drops the first letter of the first key.
      assert.equal(found["t"], String(alert.detectedTime));
      const values: Record<string, [text: string | null, length: number]> = {
        start: [String(alert.time), 20],
        msg: [alert.description, 1_023],
        duser: [alert.userName, 1_023],
        dpid: [String(alert.pid), 20],
        dproc: [alert.executablePath ?? alert.name, 1_023],
        fname: [alert.name, 1_023],
        filePath: [alert.executablePath, 1_023],
        cs1: [alert.commandLine, 4_000],
        cs2: [alert.parentCommandLine, 4_000],
        cs3: [alert.execId, 4_000],
        cs6: [alert.alertId, 4_000],
      };
      for (const [key, [text, length]] of Object.entries(values)) {
        assert.equal(
          found[key],
          text === null || text === "" ? undefined : plain(text, length),
          `${alert.alertId} ${key}`,
        );
      }
      for (
        const [key, label] of [["cs1Label", "commandLine"], ["cs3Label", "execId"], ["cs6Label", "alertId"]] as const
      ) {
        assert.equal(found[key], found[key.slice(0, 3)] === undefined ? undefined : label, alert.alertId);
      }
    }
  },
});

Deno.test({
  name: "syslog-ng parts the header and the attributes of 2,000 hostile alerts in LEEF as they were meant",
  ignore: needs({ receivers: ["syslog-ng"] }).ignore,
  async fn() {
    await using server = await LogServer.start("syslog-ng");
    const alerts = [...hostileAlerts(2_000, 6)].filter(({ commandLine }) => (commandLine ?? "").length < 8_000);
    const settings = { name: "log", type: "syslog", address: `tcp://127.0.0.1:${server.port}`, format: "leef" };
    const sink = syslogSink(sinkOf({ ...settings, max_bytes: 65_536 }) as SyslogSinkSettings, "host1", "/nowhere");
    for (let at = 0; at < alerts.length; at += 500) await sink.write(alerts.slice(at, at + 500));
    await sink.close();
    await until("all have arrived", () => server.leefLines().length >= alerts.length, 30_000);
    for (const [i, line] of server.leefLines().entries()) {
      const { header: { rest: _, ...header }, leef } = JSON.parse(line), alert = alerts[i]!;
      assert.deepEqual(header, {
        ...{ format: "LEEF:2.0", vendor: "DaemonEye", product: "daemoneye-agent", version: VERSION },
        ...{ event: alert.ruleId, delimiter: "x09" },
      });
      const found = new Map(
        Object.values<string>(leef).map((pair) => {
          const [key] = pair.split("=", 1);
          return [key!, pair.slice(key!.length + 1)];
        }),
      );
      const values: Record<string, string | null> = {
        ruleTitle: alert.title,
        commandLine: alert.commandLine,
        parentPath: alert.parentExecutablePath,
        parentCommandLine: alert.parentCommandLine,
        processName: alert.name,
        alertId: alert.alertId,
        pid: String(alert.pid),
      };
      for (const [key, value] of Object.entries(values)) {
        // Its columns lose spaces at their end, which LEEF says nothing of.
        const text = value === null || value === "" ? undefined : shown(value, 8_192).trimEnd();
        assert.equal(found.get(key), text, `${alert.alertId} ${key}`);
      }
      assert.equal(
        found.get("usrName"),
        alert.userName === null ? undefined : clipped(shown(alert.userName, 8_192), 255).trimEnd(),
      );
    }
  },
});
