/** Each format keeps the rules of its standard, whatever an alert holds; `ocsf_test.ts` has those of OCSF. */
import assert from "node:assert/strict";
import { fittedMessage, FORMATS } from "../../../../agent/alerts/formats/format.ts";
import type { Alert } from "../../../../proto/alert.ts";
import { clipped, cut, jsonLine, shown } from "../../../../proto/formats/text.ts";
import { FORMAT_NAMES } from "../../../../proto/sink_settings.ts";
import { hostileAlerts } from "../../../support/hostile_alerts.ts";
import { newAlert } from "../../support.ts";

// deno-lint-ignore no-control-regex
const UNSAFE = /[\x00-\x1f\x7f-\x9f\u2028\u2029\p{Cf}]/u;

const OPTIONS = { host: "host1", valueBytes: 8_192 };
const HOSTILE = [...hostileAlerts(1_500, 8)];
/** An alert with everything that one can have. */
const FULL: Alert = {
  ...newAlert("full", {
    tags: ["attack.execution", "attack.t1059.004", "attack.t1105", "linux"],
    evidence: { pid: 42, executable_hash: "ab".repeat(32), hash_algorithm: "sha256" },
    ruleHash: "cd".repeat(32),
    ledger: { origin: "host", size: 7, root: "AAAA" },
  }),
  kind: "summary",
  repeats: { count: 12, from: 1, to: 2, reason: "the same process" },
  cwd: "/tmp",
  containerId: "c0ffee",
  startTime: 1_700_000_000_000,
  parentExecId: "p",
  effectiveUserId: 0,
  stdinKind: "socket",
  stdoutKind: "pipe",
  ancestry: [{ execId: "p", pid: 7, name: "bash", executablePath: null, userName: null }],
};

Deno.test("cut() keeps within the limit, on a character, with a mark", () => {
  for (const text of ["a".repeat(100_000), "é😀語".repeat(9_999), "\ud800".repeat(9_999), "x", ""]) {
    for (const limit of [64, 65, 66, 67, 128, 8_192]) {
      const result = cut(text, limit), bytes = new TextEncoder().encode(result).length;
      assert.ok(bytes <= limit);
      if (new TextEncoder().encode(text).length <= limit) assert.equal(result, text);
      else {
        const [, all] = /…\[cut from (\d+) bytes\]$/.exec(result)!;
        assert.equal(Number(all), new TextEncoder().encode(text).length);
      }
    }
  }
});

Deno.test("clipped() keeps to a number of characters, with a mark", () => {
  assert.deepEqual([clipped("abcd", 4), clipped("abcde", 4)], ["abcd", "abc…"]);
  assert.equal(clipped("ab😀d", 4), "ab\ufffd…");
});

Deno.test("jsonLine() is read back by every parser, and shows a terminal nothing but text", () => {
  const value = { a: '\u2028\x9b\u202e\x7f"\\', b: "\ud800x\udc80", c: "\\ud800 \\\\udc80", "k\u202e": "😀\u{e0041}" };
  const line = jsonLine(value);
  assert.doesNotMatch(line, UNSAFE);
  assert.deepEqual(JSON.parse(line), { ...value, b: "\ufffdx\ufffd" });
});

Deno.test("every format is one line without controls, for every alert", () => {
  for (const name of FORMAT_NAMES) {
    for (const alert of [...HOSTILE, FULL]) {
      const line = FORMATS[name].line(alert, OPTIONS);
      // A tab parts the attributes of LEEF.
      assert.doesNotMatch(name === "leef" ? line.replaceAll("	", "") : line, UNSAFE);
      assert.ok(line.isWellFormed(), name);
      if (FORMATS[name].contentType !== "application/json") continue;
      assert.doesNotMatch(line.replaceAll("\\\\", ""), /\\ud[89a-f]..(?!\\ud[c-f])(?<!\\ud[89ab]..\\ud[c-f]..)/);
      assert.equal(FORMATS[name].idOf!(JSON.parse(line)), alert.alertId);
    }
  }
});

Deno.test("native JSON without a limit is the alert to the bit, for who computes its digest", () => {
  for (const alert of HOSTILE.slice(0, 600)) {
    assert.deepEqual(JSON.parse(FORMATS.json.line(alert, { ...OPTIONS, valueBytes: Infinity })), alert);
  }
});

Deno.test("fittedMessage() comes down with values until all fits, and says when it cannot", () => {
  const alert = newAlert("a", { commandLine: "x".repeat(1 << 20) });
  for (const limit of [1_024, 2_048, 20_000]) {
    for (const name of ["json", "ecs", "cef"] as const) {
      const bytes = fittedMessage(limit, (valueBytes) => FORMATS[name].line(alert, { host: "h", valueBytes }));
      if (bytes === null) assert.equal(limit, 1_024);
      else {
        assert.ok(bytes.length <= limit);
        assert.match(new TextDecoder().decode(bytes), name === "cef" ? /…/ : /cut from 1048576 bytes/);
      }
    }
  }
  assert.equal(fittedMessage(10, () => "x".repeat(11)), null);
});

/** By the standard: an unescaped `|` parts the header, an unescaped `=` ends a key. */
function readCef(line: string): { header: string[]; extension: Map<string, string> } {
  const header: string[] = [];
  let at = 0;
  for (let field = ""; header.length < 7; at++) {
    if (line[at] === "\\") {
      assert.match(line[at + 1]!, /[\\|]/);
      field += line[++at];
    } else if (line[at] === "|") {
      header.push(field);
      field = "";
    } else field += line[at];
  }
  const rest = line.slice(at), extension = new Map<string, string>();
  const keys = [...rest.matchAll(/(?:^| )([A-Za-z0-9]+)=/g)].filter(({ index, 0: text }) => {
    let backslashes = 0;
    for (let i = index + text.length - 2; rest[i] === "\\"; i--) backslashes++;
    return backslashes % 2 === 0;
  });
  keys.forEach((match, i) => {
    const value = rest.slice(match.index + match[0].length, keys[i + 1]?.index ?? rest.length);
    assert.doesNotMatch(value.replace(/\\[\\=nr]/g, ""), /[\\=]/, value);
    const meaning = value.replace(/\\([\\=nr])/g, (_, c: string) => c === "n" ? "\n" : c === "r" ? "\r" : c);
    extension.set(match[1]!, meaning);
  });
  return { header, extension };
}

/** Of the dictionary of revisions 25 and 27 (custom strings were 1,023 in older ones): longest length in characters, and what is a number. */
const CEF_LENGTHS: Readonly<Record<string, number>> = {
  ...{ dvchost: 100, dhost: 1_023, cat: 1_023, msg: 1_023, duid: 1_023, duser: 1_023, dproc: 1_023, sproc: 1_023 },
  ...{ fname: 1_023, filePath: 1_023, fileHash: 255, rt: 20, start: 20, dpid: 20, spid: 20, cnt: 20 },
  ...Object.fromEntries([1, 2, 3, 4, 5, 6].flatMap((n) => [[`cs${n}`, 4_000], [`cs${n}Label`, 1_023]])),
};
const CEF_NUMBERS = new Set(["rt", "start", "dpid", "spid", "cnt"]);

/** What a peer may say that no receiver can take for a time, and a name that is too long. */
const ODD = [
  ...[-1, 9e15, 1.5, Number.MAX_SAFE_INTEGER].map((time, i) => newAlert(`odd-${i}`, { time, detectedTime: time })),
  newAlert("long", { userName: "u".repeat(5_000), title: "t".repeat(5_000) }),
];

Deno.test("CEF keeps to the header, the escapes, the keys and the lengths of its dictionary", () => {
  for (const alert of [...HOSTILE, FULL, ...ODD]) {
    const { header, extension } = readCef(FORMATS.cef.line(alert, OPTIONS));
    assert.deepEqual(header.slice(0, 3), ["CEF:0", "DaemonEye", "daemoneye-agent"]);
    assert.equal(header[4], alert.ruleId);
    assert.equal(header[5], clipped(shown(alert.title, 1 << 20), 512));
    assert.match(header[6]!, /^(?:[0-9]|10)$/);
    for (const [key, value] of extension) {
      assert.ok(key in CEF_LENGTHS, key);
      assert.ok(value.length <= CEF_LENGTHS[key]!, key);
      if (CEF_NUMBERS.has(key)) assert.match(value, /^\d+$/);
      if (key === "rt" || key === "start") assert.ok(!Number.isNaN(new Date(Number(value)).getTime()), value);
      if (/^cs\d$/.test(key)) assert.ok(extension.has(`${key}Label`), key);
    }
    const { commandLine } = alert;
    if (commandLine !== null && commandLine.length < 200) {
      const plain = commandLine.split(/([\n\r])/).map((part) => /^[\n\r]$/.test(part) ? part : shown(part, 8_192));
      assert.equal(extension.get("cs1"), clipped(plain.join(""), 4_000));
    }
    assert.equal(extension.get("cs6"), alert.alertId);
  }
});

/** Keys that LEEF 2.0 predefines and an alert of a process has something for; all others are custom. */
const LEEF_PREDEFINED = ["devTime", "devTimeFormat", "cat", "sev", "usrName", "resource"];
/** Those that it predefines for something else, by which QRadar would take an alert for a login, an identity or traffic. */
const LEEF_FOREIGN = new Set([
  ...["proto", "src", "dst", "srcPort", "dstPort", "srcPreNAT", "dstPreNAT", "srcPostNAT", "dstPostNAT", "srcMAC"],
  ...["dstMAC", "srcPreNATPort", "dstPreNATPort", "srcPostNATPort", "dstPostNATPort", "identSrc", "identHostName"],
  ...["identNetBios", "identGrpName", "identMAC", "vSrc", "vSrcName", "accountName", "srcBytes", "dstBytes"],
  ...["srcPackets", "dstPackets", "totalPackets", "role", "realm", "policy", "url", "groupID", "domain"],
  ...["isLoginEvent", "isLogoutEvent", "identSecondIp", "calLanguage", "calCountryOrRegion"],
]);

Deno.test("LEEF keeps to its header and to one tab between attributes", () => {
  for (const alert of [...HOSTILE, FULL]) {
    const line = FORMATS.leef.line(alert, OPTIONS), parts = line.split("|");
    assert.deepEqual(parts.slice(0, 3), ["LEEF:2.0", "DaemonEye", "daemoneye-agent"]);
    assert.deepEqual([parts[4], parts[5]], [alert.ruleId, "x09"]);
    const attributes = new Map(
      parts.slice(6).join("|").split("\t").map((part) => {
        const at = part.indexOf("=");
        assert.match(part.slice(0, at), /^[A-Za-z]+$/);
        return [part.slice(0, at), part.slice(at + 1)];
      }),
    );
    assert.equal(attributes.size, parts.slice(6).join("|").split("\t").length, "each key once");
    for (const key of attributes.keys()) assert.ok(!LEEF_FOREIGN.has(key), key);
    for (const key of LEEF_PREDEFINED) assert.ok(attributes.has(key) || key === "usrName" && !alert.userName, key);
    assert.ok((attributes.get("usrName") ?? "").length <= 255);
    assert.match(attributes.get("sev")!, /^(?:[1-9]|10)$/);
    assert.match(attributes.get("devTime")!, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC$/);
    if (alert.commandLine !== null) assert.equal(attributes.get("commandLine"), shown(alert.commandLine, 8_192));
    assert.equal(attributes.get("alertId"), alert.alertId);
  }
});

/** Of elastic/ecs, held against the package @elastic/ecs 9.4.0, which has all of them since 8.17: the type of each field that is used, and what it may hold. */
const KEYWORD = "keyword", KEYWORDS = "keywords", LONG = "long", DATE = "date";
const ECS: Readonly<Record<string, string | RegExp>> = {
  "@timestamp": DATE,
  "ecs.version": /^8\.\d+\.\d+$/,
  "message": KEYWORD,
  "tags": KEYWORDS,
  "event.kind": /^(alert|asset|enrichment|event|metric|state|pipeline_error|signal)$/,
  "event.category": KEYWORDS,
  "event.type": KEYWORDS,
  ...Object.fromEntries(["module", "dataset", "provider", "id", "reason"].map((name) => [`event.${name}`, KEYWORD])),
  "event.created": DATE,
  "event.severity": LONG,
  ...Object.fromEntries(["agent.type", "agent.version", "host.hostname", "host.name"].map((name) => [name, KEYWORD])),
  "host.os.type": /^(linux|macos|unix|windows|ios|android)$/,
  "container.id": KEYWORD,
  ...Object.fromEntries(["id", "name", "description", "version"].map((name) => [`rule.${name}`, KEYWORD])),
  "threat.framework": KEYWORD,
  "threat.tactic.id": KEYWORDS,
  "threat.tactic.name": KEYWORDS,
  "threat.technique.id": KEYWORDS,
  "threat.technique.subtechnique.id": KEYWORDS,
  ...Object.fromEntries(
    ["entity_id", "name", "executable", "command_line", "working_directory", "hash.sha256", "user.id", "real_user.id"]
      .map((name) => [`process.${name}`, KEYWORD]),
  ),
  "process.pid": LONG,
  "process.start": DATE,
  ...Object.fromEntries(
    ["entity_id", "name", "executable", "command_line"].map((name) => [`process.parent.${name}`, KEYWORD]),
  ),
  "process.parent.pid": LONG,
  "user.id": KEYWORD,
  "user.name": KEYWORD,
  "related.user": KEYWORDS,
};

function* leaves(value: Record<string, unknown>, prefix = ""): Generator<[string, unknown]> {
  for (const [name, each] of Object.entries(value)) {
    const isObject = typeof each === "object" && each !== null && !Array.isArray(each);
    if (isObject) yield* leaves(each as Record<string, unknown>, `${prefix}${name}.`);
    else yield [prefix + name, each];
  }
}

Deno.test("ECS keeps to the fields, types and values of the schema; what is ours is below daemoneye", () => {
  const seen = new Set<string>();
  for (const alert of [...HOSTILE, FULL, newAlert("late", { time: 9e15 })]) {
    const event = JSON.parse(FORMATS.ecs.line(alert, OPTIONS));
    for (const [name, value] of leaves(event)) {
      if (name.startsWith("daemoneye.")) continue;
      const rule = ECS[name];
      seen.add(name);
      if (rule === KEYWORD) assert.equal(typeof value, "string", name);
      else if (rule === KEYWORDS) {
        assert.ok(Array.isArray(value) && value.every((each) => typeof each === "string"), name);
      } else if (rule === LONG) assert.ok(Number.isSafeInteger(value), name);
      else if (rule === DATE) assert.ok(typeof value === "string" && !Number.isNaN(Date.parse(value)), name);
      else assert.match(value as string, rule as RegExp, name);
    }
    // Of event.category process these types are allowed.
    assert.deepEqual(event.event.category, ["process"]);
    assert.ok(["access", "change", "end", "info", "start"].includes(event.event.type[0]));
    for (const required of ["@timestamp", "ecs"]) assert.ok(required in event, required);
  }
  assert.deepEqual([...seen].sort(), Object.keys(ECS).sort());
});

Deno.test("CSV is read back by a reader of RFC 4180, and no field is a formula", () => {
  const { header, line } = FORMATS.csv;
  for (const alert of HOSTILE) {
    const fields = readCsv(line(alert, OPTIONS));
    assert.equal(fields.length, header!.split(",").length);
    for (const field of fields) assert.doesNotMatch(field, /^[=+\-@]/);
    const command = fields[header!.split(",").indexOf("command_line")]!;
    const plain = alert.commandLine === null ? "" : shown(alert.commandLine, 8_192);
    assert.equal(command, /^[=+\-@]/.test(plain) ? `'${plain}` : plain);
  }
});

function readCsv(line: string): string[] {
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (let more = true; more;) {
    const match = field.exec(line)!;
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2]!);
    more = match[3] === ",";
  }
  assert.equal(field.lastIndex, line.length);
  return fields;
}
