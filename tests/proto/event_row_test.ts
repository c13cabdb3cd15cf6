import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { joinArgv } from "../../proto/argv.ts";
import { tableNamed } from "../../proto/catalog.ts";
import { columnPlaces, eventRow, processRow, type SqlValue } from "../../proto/event_row.ts";
import { blankProcessEvent, type ProcessEvent, type ProcessState } from "../../proto/process_event.ts";

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
  cwd: "/cwd",
  userId: 1010,
  userName: "user",
  effectiveUserId: 1011,
  groupId: 1012,
  loginUserId: 1013,
  sessionId: 1014,
  tty: "pts/1",
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
  containerId: "cid",
  cgroupPath: "/cg",
  cgroupId: 1018,
  inode: 1019,
  device: 1020,
  stdinKind: "pipe",
  stdoutKind: "file",
  environment: '{"A":"b"}',
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
  for (const [field, value] of Object.entries(full)) {
    const name = snake(field);
    if (name === "kind" || name in expected) continue;
    expected[name] = typeof value === "boolean" ? Number(value) : value;
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
    startTime: 1015,
    cpuTimeMs: 2.5,
    memoryUsage: 1017,
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
  for (const [field, value] of Object.entries(state)) {
    const name = snake(field);
    if (!(name in expected)) expected[name] = typeof value === "boolean" ? Number(value) : value;
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
