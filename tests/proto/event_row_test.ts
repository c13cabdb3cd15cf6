import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { joinArgv } from "../../proto/argv.ts";
import { tableNamed } from "../../proto/catalog.ts";
import { columnPlaces, eventRow, processRow, type SqlValue } from "../../proto/event_row.ts";
import {
  blankProcessEvent,
  type ProcessContext,
  type ProcessEvent,
  type ProcessState,
} from "../../proto/process_event.ts";

const context: ProcessContext = {
  cwd: "/cwd",
  effectiveUserName: "eff",
  groupName: "grp",
  savedUserId: 2001,
  effectiveGroupId: 2002,
  savedGroupId: 2003,
  loginUserId: 2004,
  sessionId: 2005,
  tty: "pts/1",
  effectiveCapabilities: 2006,
  userNamespace: 2007,
  pidNamespace: 2008,
  mountNamespace: 2009,
  networkNamespace: 2010,
  cgroupPath: "/cg",
  cgroupId: 2011,
  containerId: "cid",
  containerRuntime: "docker",
  podId: "pod",
  interpreterPath: "/bin/sh",
  scriptPath: "/s",
  stdinKind: "pipe",
  stdoutKind: "file",
  environment: '{"A":"b"}',
};

/** Every field set, and each to a value that no other field has. */
const full: ProcessEvent = {
  kind: "stop",
  time: 1001,
  execId: "tag-7-9-11",
  parentExecId: "tag-6-8",
  pid: 7,
  ppid: 6,
  name: "nm",
  executablePath: "/exe",
  argv: joinArgv(["a", "b c"]),
  argvLength: 6,
  userId: 1010,
  userName: "user",
  effectiveUserId: 1011,
  groupId: 1012,
  namespacePid: 1013,
  startTime: 1015,
  endTime: 1016,
  durationMs: 1.25,
  exitCode: 3,
  exitSignal: 15,
  cpuTimeMs: 2.5,
  memoryUsage: 1017,
  executableHash: "hash",
  hashAlgorithm: "blake3",
  fuzzyHash: "fuzzy",
  fileExists: true,
  onDiskMismatch: false,
  accessible: true,
  parentName: "pn",
  parentExecutablePath: "/pexe",
  parentCommandLine: "p c l",
  executableKind: "deleted",
  inode: 1019,
  device: 1020,
  context,
  modifiedFields: ["name"],
  reason: "why",
  severity: "high",
  source: "ebpf",
};

/** The catalog's name of an event's field. */
const snake = (field: string): string => field.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase());

Deno.test("eventRow() puts every field into the catalog's column of its name", () => {
  const row = eventRow(full, 99, "col");
  const places = columnPlaces("process_events");
  assert.equal(row.length, places.size);
  const expected: Record<string, SqlValue> = {
    event_id: 99,
    collector_id: "col",
    event_type: "stop",
    command_line: "a b c",
    argv: '["a","b c"]',
    modified_fields: '["name"]',
  };
  for (const [field, value] of Object.entries({ ...full, ...context })) {
    const name = snake(field);
    if (name === "kind" || name === "context" || name in expected) continue;
    expected[name] = typeof value === "boolean" ? Number(value) : value as SqlValue;
  }
  const actual = Object.fromEntries([...places].map(([name, place]) => [name, row[place]]));
  assert.deepEqual(actual, expected);
});

Deno.test("processRow() puts every field into the catalog's column of its name", () => {
  const state: ProcessState = {
    execId: "tag-7-9-11",
    parentExecId: "tag-6-8",
    pid: 7,
    ppid: 6,
    name: "nm",
    executablePath: "/exe",
    argv: joinArgv(["a", "b c"]),
    argvLength: 6,
    userId: 1010,
    userName: "user",
    effectiveUserId: 1011,
    groupId: 1012,
    namespacePid: 1013,
    startTime: 1015,
    cpuTimeMs: 2.5,
    memoryUsage: 1017,
    threads: 1018,
    executableKind: "memfd",
    context,
    status: "sleeping",
    kernelThread: false,
  };
  const row = processRow(state, 5_000, "col");
  const places = columnPlaces("processes");
  assert.equal(row.length, places.size);
  const expected: Record<string, SqlValue> = {
    process_id: "tag-7-9",
    command_line: "a b c",
    argv: '["a","b c"]',
    end_time: null,
    exit_code: null,
    exit_signal: null,
    collection_time: 5_000,
    collector_id: "col",
  };
  for (const [field, value] of Object.entries({ ...state, ...context })) {
    const name = snake(field);
    if (name !== "context" && !(name in expected)) {
      expected[name] = typeof value === "boolean" ? Number(value) : value as SqlValue;
    }
  }
  assert.deepEqual(Object.fromEntries([...places].map(([name, place]) => [name, row[place]])), expected);
});

Deno.test("eventRow() keeps arguments that are not UTF-8 so that their bytes can be had back", () => {
  const row = eventRow({ ...full, argv: Uint8Array.of(0x61, 0xff, 0, 0x62, 0) }, 1, "c");
  const places = columnPlaces("process_events");
  assert.equal(row[places.get("argv")!], '["a\\udcff","b"]');
  assert.equal(row[places.get("command_line")!], "a\ufffd b");
});

Deno.test("eventRow() of any numbers fits the STRICT table", () => {
  const table = tableNamed("process_events");
  using db = new DatabaseSync(":memory:");
  db.exec(`CREATE TABLE t (${table.columns.map((c) => `${c.name} ${c.type}`).join(", ")}) STRICT`);
  const insert = db.prepare(`INSERT INTO t VALUES (${table.columns.map(() => "?").join(", ")})`);
  for (const odd of [0.5, -0, NaN, Infinity, -Infinity, 2 ** 53, 2 ** 63, 2 ** 64, -(2 ** 70), 1e308, 5e-324]) {
    const event: Record<string, unknown> = { ...blankProcessEvent("start", odd, "t-1-1", odd) };
    for (const [field, value] of Object.entries(full)) if (typeof value === "number") event[field] = odd;
    insert.run(...eventRow(event as unknown as ProcessEvent, 1, "c"));
  }
  assert.equal(db.prepare("SELECT count(*) AS n FROM t WHERE time IS NULL OR pid IS NULL").get()!.n, 0);
});
