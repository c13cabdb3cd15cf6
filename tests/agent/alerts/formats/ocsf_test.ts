/**
 * OCSF 1.5.0: required attributes, enumerations, constraints and types of the classes and objects that are used.
 *
 * Written down from the schema's own files (events and objects of ocsf/ocsf-schema), not from the code.
 */
import assert from "node:assert/strict";
import { FORMATS } from "../../../../agent/alerts/formats/format.ts";
import type { Alert } from "../../../../proto/alert.ts";
import { hostileAlerts } from "../../../support/hostile_alerts.ts";
import { newAlert } from "../../support.ts";

type Kind = "string" | "integer" | "time" | "boolean" | "json" | readonly number[] | readonly string[];
interface ObjectType {
  /** A type name with `[]` is a list; a list of numbers an enumeration. */
  readonly attributes: Readonly<Record<string, Kind>>;
  readonly required?: readonly string[];
  readonly atLeastOne?: readonly string[];
}
/** Reference to another object, or a list of them. */
const of = (name: string): readonly string[] => [name];

const EVENT = {
  activity_name: "string",
  category_name: "string",
  class_name: "string",
  type_name: "string",
  severity: "string",
  severity_id: [0, 1, 2, 3, 4, 5, 6, 99],
  time: "time",
  message: "string",
  metadata: of("metadata"),
  count: "integer",
  status: "string",
  device: of("device"),
  actor: of("actor"),
  unmapped: "json",
} as const;
const REQUIRED = ["activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata"];

const TYPES: Readonly<Record<string, ObjectType>> = {
  detection_finding: {
    attributes: {
      ...EVENT,
      activity_id: [0, 1, 2, 3, 99],
      category_uid: [2],
      class_uid: [2004],
      type_uid: [200400, 200401, 200402, 200403, 200499],
      status_id: [0, 1, 2, 3, 4, 5, 6, 99],
      is_alert: "boolean",
      finding_info: of("finding_info"),
      evidences: of("evidences[]"),
    },
    required: [...REQUIRED, "finding_info"],
  },
  process_activity: {
    attributes: {
      ...EVENT,
      activity_id: [0, 1, 2, 3, 4, 5, 99],
      category_uid: [1],
      class_uid: [1007],
      type_uid: [100700, 100701, 100702, 100703, 100704, 100705, 100799],
      process: of("process"),
    },
    required: [...REQUIRED, "actor", "device", "process"],
  },
  metadata: {
    attributes: { version: "string", product: of("product"), profiles: "json", uid: "string", logged_time: "time" },
    required: ["version", "product"],
  },
  product: { attributes: { name: "string", vendor_name: "string", version: "string" }, atLeastOne: ["name", "uid"] },
  device: {
    attributes: { type_id: [0, 1, 2, 3, 99], hostname: "string", os: of("os") },
    required: ["type_id"],
    atLeastOne: ["ip", "uid", "name", "hostname", "instance_uid"],
  },
  os: { attributes: { name: "string", type_id: [0, 200] }, required: ["name", "type_id"] },
  actor: { attributes: { process: of("process"), app_name: "string" }, atLeastOne: ["process", "user", "app_name"] },
  process: {
    attributes: {
      pid: "integer",
      uid: "string",
      name: "string",
      cmd_line: "string",
      created_time: "time",
      working_directory: "string",
      file: of("file"),
      user: of("user"),
      container: of("container"),
      parent_process: of("process"),
    },
    atLeastOne: ["pid", "uid"],
  },
  file: {
    attributes: {
      name: "string",
      path: "string",
      type_id: [0, 1, 2, 3, 4, 5, 6, 7, 99],
      type: "string",
      hashes: of("fingerprint[]"),
    },
    required: ["name", "type_id"],
  },
  fingerprint: {
    attributes: { algorithm_id: [0, 1, 2, 3, 4, 5, 6, 7, 99], algorithm: "string", value: "string" },
    required: ["algorithm_id", "value"],
  },
  user: { attributes: { uid: "string", name: "string" }, atLeastOne: ["account", "name", "uid"] },
  container: { attributes: { uid: "string" }, atLeastOne: ["uid", "name"] },
  finding_info: {
    attributes: {
      uid: "string",
      title: "string",
      desc: "string",
      created_time: "time",
      first_seen_time: "time",
      analytic: of("analytic"),
      attacks: of("attack[]"),
    },
    required: ["uid"],
  },
  analytic: {
    attributes: { type_id: [0, 1, 2, 3, 4, 99], type: "string", uid: "string", name: "string", version: "string" },
    required: ["type_id"],
    atLeastOne: ["name", "uid"],
  },
  attack: {
    attributes: { tactic: of("tactic"), technique: of("technique"), sub_technique: of("technique"), version: "string" },
    atLeastOne: ["tactic", "technique", "sub_technique"],
  },
  tactic: { attributes: { name: "string", uid: "string" }, atLeastOne: ["name", "uid"] },
  technique: { attributes: { name: "string", uid: "string" }, atLeastOne: ["name", "uid"] },
  evidences: { attributes: { process: of("process"), data: "json" }, atLeastOne: ["process", "data"] },
};

function assertObject(value: unknown, type: string, path: string): void {
  assert.ok(typeof value === "object" && value !== null && !Array.isArray(value), path);
  const { attributes, required = [], atLeastOne = [] } = TYPES[type]!;
  for (const name of required) assert.ok(name in value, `${path} lacks ${name}`);
  assert.ok(atLeastOne.length === 0 || atLeastOne.some((name) => name in value), `${path} lacks one of ${atLeastOne}`);
  for (const [name, each] of Object.entries(value)) {
    const kind = attributes[name], at = `${path}.${name}`;
    assert.ok(kind !== undefined, `${at} is no attribute of ${type}`);
    if (kind === "json") continue;
    if (kind === "string") assert.equal(typeof each, "string", at);
    else if (kind === "boolean") assert.equal(typeof each, "boolean", at);
    else if (kind === "integer" || kind === "time") assert.ok(Number.isSafeInteger(each), at);
    else if (typeof kind[0] === "number") assert.ok((kind as number[]).includes(each as number), at);
    else {
      const [reference] = kind as readonly string[];
      if (reference!.endsWith("[]")) {
        assert.ok(Array.isArray(each) && each.length > 0, at);
        for (const one of each) assertObject(one, reference!.slice(0, -2), at);
      } else assertObject(each, reference!, at);
    }
  }
}

const FULL: Alert = {
  ...newAlert("full", {
    tags: ["attack.execution", "attack.t1059.004", "attack.defense_evasion", "attack.t9999"],
    evidence: { pid: 42, executable_hash: "ab".repeat(32), hash_algorithm: "sha256" },
    ruleHash: "cd".repeat(32),
    ledger: { origin: "host", size: 7, root: "AAAA" },
  }),
  repeats: { count: 12, from: 1, to: 2, reason: "the same process" },
  cwd: "/tmp",
  containerId: "c0ffee",
  startTime: 1_700_000_000_000,
  parentExecId: "p",
};
/** Nothing that an alert may lack. */
const BARE = newAlert("bare", {
  tags: [],
  ppid: null,
  userId: null,
  userName: null,
  executablePath: null,
  commandLine: null,
  parentName: null,
  parentExecutablePath: null,
  parentCommandLine: null,
  evidence: {},
});

Deno.test("OCSF findings and activities have what their classes require, and nothing that these do not know", () => {
  for (const [format, type] of [["ocsf", "detection_finding"], ["ocsf-process", "process_activity"]] as const) {
    for (const alert of [FULL, BARE, ...hostileAlerts(501, 9)]) {
      for (const valueBytes of [8_192, 64]) {
        const event = JSON.parse(FORMATS[format].line(alert, { host: "host1", valueBytes }));
        assertObject(event, type, alert.alertId);
        assert.equal(event.type_uid, event.class_uid * 100 + event.activity_id);
      }
    }
  }
});

Deno.test("OCSF names the profile of each attribute that is of one", () => {
  for (const name of ["ocsf", "ocsf-process"] as const) {
    for (const alert of [FULL, BARE]) {
      const event = JSON.parse(FORMATS[name].line(alert, { host: "h", valueBytes: 8_192 }));
      const process = name === "ocsf" ? event.evidences[0].process : event.process;
      assert.equal(event.metadata.profiles.includes("container"), "container" in process);
      assert.ok(event.metadata.profiles.includes("host"));
    }
  }
});

Deno.test("OCSF says severity, technique and hash in its own numbers and names", () => {
  const event = JSON.parse(FORMATS.ocsf.line(FULL, { host: "h", valueBytes: 8_192 }));
  assert.deepEqual([event.severity_id, event.severity, event.activity_name, event.class_name], [
    4,
    "High",
    "Create",
    "Detection Finding",
  ]);
  assert.deepEqual(event.finding_info.attacks, [
    { tactic: { name: "Execution", uid: "TA0002" }, version: "16" },
    { tactic: { name: "Defense Evasion", uid: "TA0005" }, version: "16" },
    {
      technique: { uid: "T1059", name: "Command and Scripting Interpreter" },
      sub_technique: { uid: "T1059.004" },
      version: "16",
    },
    { technique: { uid: "T9999" }, version: "16" },
  ]);
  assert.equal(event.evidences[0].process.file.hashes[0].algorithm_id, 3);
});
