import assert from "node:assert/strict";
import { loadSettings } from "../../proto/config.ts";
import { ConfigError } from "../../proto/setting_values.ts";
import { allNeeds, needsOf } from "../../proto/sink_needs.ts";
import { parseSinks } from "../../proto/sink_entries.ts";
import type { SinkSettings } from "../../proto/sink_settings.ts";

function settled(file: string, more: { set?: string[]; env?: Record<string, string> } = {}) {
  return loadSettings({
    flags: { config: "/c.yaml", set: more.set ?? [] },
    env: more.env ?? {},
    readFile: (path) => path === "/c.yaml" ? file : null,
  });
}

const YAML = `
agent:
  stdout: json
  sinks:
    - name: siem
      type: syslog
      address: tls://siem.example
      format: cef
      min_severity: medium
      ca_file: /etc/daemoneye/ca.pem
      pins: ["${"AB:".repeat(31)}AB"]
    - name: hook
      type: webhook
      url: https://soc.example/hook?x=1
      secret_files: [/etc/daemoneye/hook.secret]
    - name: mail
      type: email
      address: smtp://mail.example
      user: daemoneye
      password_file: /etc/daemoneye/mail.password
      from: daemoneye@host.example
      to: soc@example.org
    - name: local
      type: file
      path: /var/log/alerts.csv
      format: csv
      rotate_bytes: 1000000
      rotate_keep: 2
`;

function sinkOf(entry: Record<string, unknown>): SinkSettings {
  return parseSinks([entry], (expected) => new Error(expected))[0]!;
}

Deno.test("agent.sinks adds to the sinks of the settings that were there before", () => {
  const { sinks } = settled(YAML).agent;
  assert.deepEqual(sinks.map(({ name, type, format }) => `${name} ${type} ${format}`), [
    "file file json",
    "stdout stdout json",
    "siem syslog cef",
    "hook webhook json",
    "mail email human",
    "local file csv",
  ]);
  const none = settled("").agent.sinks;
  assert.deepEqual(none.map(({ name }) => name), ["file", "stdout"]);
  assert.deepEqual(settled("agent: { stdout: none }").agent.sinks.map(({ name }) => name), ["file"]);
});

Deno.test("an entry named file or stdout stands in the place of that setting", () => {
  const { sinks } = settled("agent:\n  sinks:\n    - { name: file, type: file, path: /a, format: ecs }\n").agent;
  assert.deepEqual(sinks.map(({ name, format }) => [name, format]), [["stdout", "human"], ["file", "ecs"]]);
  assert.throws(
    () => settled("agent:\n  sinks:\n    - { name: file, type: stdout }\n"),
    /name of the sink of agent.alert_file/,
  );
});

Deno.test("agent.sinks obeys the layers, and is JSON in flags and variables", () => {
  const list = JSON.stringify([{ name: "out", type: "syslog", address: "udp://10.0.0.1" }]);
  assert.equal(settled(YAML, { set: [`agent.sinks=${list}`] }).agent.sinks.at(-1)!.name, "out");
  assert.equal(settled("", { env: { DAEMONEYE_AGENT__SINKS: list } }).agent.sinks.at(-1)!.name, "out");
  assert.equal(settled(YAML, { set: ["agent.sinks="] }).agent.sinks.length, 2);
  assert.throws(() => settled("", { set: ["agent.sinks=x"] }), ConfigError);
});

Deno.test("an address has the port that its service is known by, and a sink its usual format and size", () => {
  const syslog = sinkOf({ name: "a", type: "syslog", address: "tls://h" });
  assert.ok(syslog.type === "syslog");
  assert.deepEqual(syslog.place, { transport: "tls", host: "h", port: 6514 });
  assert.deepEqual([syslog.maxBytes, syslog.framing, syslog.structuredData, syslog.facility], [
    8_192,
    "octet-counting",
    true,
    16,
  ]);
  const udp = sinkOf({ name: "a", type: "syslog", address: "udp://[::1]", format: "json" });
  assert.ok(udp.type === "syslog");
  assert.deepEqual([udp.place, udp.maxBytes, udp.structuredData], [
    { transport: "udp", host: "::1", port: 514 },
    2_048,
    false,
  ]);
  const mail = sinkOf({ name: "a", type: "email", address: "smtps://h", from: "a@b", to: ["c@d"] });
  assert.ok(mail.type === "email");
  assert.deepEqual([mail.port, mail.security, mail.user], [465, "tls", null]);
});

Deno.test("agent.sinks refuses what is wrong and says which entry and what is expected", () => {
  const entry = { name: "a", type: "syslog", address: "tcp://h" };
  const mail = { name: "m", type: "email", address: "smtp://h", from: "a@b", to: "c@d" };
  const hook = { name: "h", type: "webhook", url: "https://h", secret_files: "/s" };
  const cases: [unknown, RegExp][] = [
    ["text", /JSON/],
    [{}, /a list/],
    [Array(33).fill(entry), /at most 32/],
    [[1], /entry 1 must be a sink/],
    [[{ type: "file" }], /entry 1 needs a name/],
    [[{ ...entry, name: "A b" }], /needs a name/],
    [[{ ...entry, type: "kafka" }], /\(a\) needs a type: one of stdout, file, syslog, webhook, email/],
    [[entry, entry], /two entries have the name a/],
    [[{ ...entry, colour: 1 }], /has no "colour"; a sink of type syslog has address/],
    [[{ name: "a", type: "syslog" }], /needs address/],
    [[{ ...entry, format: "xml" }], /needs as format one of human, json/],
    [[{ ...entry, min_severity: "severe" }], /needs as min_severity one of info/],
    [[{ ...entry, timeout_ms: 5 }], /a whole number from 100 to 600000/],
    [[{ ...entry, address: "tcp://user:secret@h" }], /has credentials in its address/],
    [[{ ...entry, address: "tcp://h/path" }], /host and port alone/],
    [[{ ...entry, address: "tcp://h:0" }], /port from 1/],
    [[{ ...entry, address: "relp://h" }], /udp:\/\/, tcp:\/\/, tls/],
    [[{ ...entry, address: "unixgram:///dev/log" }], /unixgram:\/\/\/run\/systemd\/journal\/dev-log/],
    [[{ ...entry, address: "unix:///a/../b" }], /without '..'/],
    [[{ ...entry, ca_file: "/x" }], /take an address of tls/],
    [[{ ...entry, address: "tls://h", framing: "newline" }], /octet-counting as framing over TLS/],
    [[{ ...entry, address: "tls://h", pins: ["12"] }], /64 hexadecimal digits/],
    [[{ ...entry, address: "tls://h", cert_file: "/c" }], /cert_file and key_file, or neither/],
    [[{ ...hook, url: "ftp://h" }], /https:\/\/ or http/],
    [[{ ...hook, url: "https://u:p@h" }], /has credentials/],
    [[{ ...hook, secret_files: [] }], /a list of one to 16/],
    [[{ ...hook, secret_files: "relative" }], /an absolute path/],
    [[{ ...hook, secret_files: "/a,/b" }], /commas/],
    [[{ ...mail, user: "u" }], /user and password_file, or neither/],
    [[{ ...mail, security: "none", user: "u", password_file: "/p" }], /password in clear/],
    [[{ ...mail, security: "tls" }], /smtps:\/\/ exactly/],
    [[{ ...mail, to: "a@b\r\nRCPT TO:<x@y>" }], /plain mail addresses/],
    [[{ name: "f", type: "file", path: "/a/" }], /an absolute path/],
    [[{ name: "f", type: "file", path: "/a", rotate_keep: 0 }], /from 1 to 64/],
    [[{ name: "b", type: "bus", format: "ecs" }], /has no "format"; a sink of type bus has wait_for_subscriber/],
    [[{ name: "b", type: "bus", wait_for_subscriber: "maybe" }], /needs as wait_for_subscriber one of yes, no/],
    [[{ name: "b", type: "bus" }, { name: "c", type: "bus" }], /two entries have the type bus/],
  ];
  for (const [raw, why] of cases) {
    assert.throws(() => parseSinks(raw, (expected) => new Error(expected)), why, JSON.stringify(raw));
  }
  assert.throws(() => settled("agent:\n  sinks:\n    - { name: a }\n"), /^ConfigError: \/c.yaml: agent.sinks must be/);
});

Deno.test("an error about a sink does not repeat what stands in it", () => {
  const secret = "hunter2";
  for (
    const entry of [
      { name: "m", type: "email", address: `smtp://u:${secret}@h`, from: "a@b", to: "c@d" },
      { name: "m", type: "email", address: "smtp://h", from: "a@b", to: "c@d", password: secret },
      { name: "h", type: "webhook", url: "https://h", secret_files: secret },
    ]
  ) {
    assert.throws(
      () => settled(JSON.stringify({ agent: { sinks: [entry] } })),
      (error: Error) => error instanceof ConfigError && !error.message.includes(secret),
    );
  }
});

Deno.test("needsOf() asks for exactly what a sink uses", () => {
  const { sinks } = settled(YAML).agent;
  const by = (name: string) => needsOf(sinks.find((sink) => sink.name === name)!, "/s/agent");
  assert.deepEqual(by("siem"), { net: ["siem.example:6514"], read: ["/etc/daemoneye/ca.pem"], write: [] });
  assert.deepEqual(by("hook"), { net: ["soc.example:443"], read: ["/etc/daemoneye/hook.secret"], write: [] });
  assert.deepEqual(by("mail"), { net: ["mail.example:587"], read: ["/etc/daemoneye/mail.password"], write: [] });
  const files = ["/var/log/alerts.csv", "/var/log/alerts.csv.1", "/var/log/alerts.csv.2"];
  assert.deepEqual(by("local"), { net: [], read: files, write: files });
  assert.deepEqual(by("stdout"), { net: [], read: [], write: [] });
  const at = (address: string) => needsOf(sinkOf({ name: "x", type: "syslog", address }), "/s/agent");
  assert.deepEqual(at("udp://10.0.0.1").net, ["10.0.0.1:514", "0.0.0.0:0"]);
  assert.deepEqual(at("udp://[::1]:5514").net, ["[::1]:5514", "[::]:0"]);
  assert.deepEqual(at("unix:///run/log.sock"), {
    net: ["unix:/run/log.sock"],
    read: ["/run/log.sock"],
    write: ["/run/log.sock"],
  });
  assert.deepEqual(at("unixgram:///run/dev-log").net, ["unix:/run/dev-log", "unix:/s/agent/sink-x.sock"]);
  const inside = sinkOf({ name: "f", type: "file", path: "/s/agent/more.jsonl" });
  assert.deepEqual(allNeeds([inside], "/s/agent"), { net: [], read: [], write: [] });
});
