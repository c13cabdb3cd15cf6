/** What SQLite writes as text is what the row by row path writes, whatever the rows hold. */
import assert from "node:assert/strict";
import { Partitions } from "../../agent/store/partitions.ts";
import { tableNamed } from "../../proto/catalog.ts";
import { cli } from "../support/cli_run.ts";
import { NOW, type Row, TestState } from "../support/test_store.ts";

const COLUMNS = tableNamed("process_events").columns;
const TEXTS: readonly string[] = [
  ...["plain words", "", " ", "a,b", 'say "x"', "\r\n", "tail ", "\u00a0edge", "-1", "NULL"],
  ...["\x1b[2J", "\x7f", "\u009b31m", "\u202e", "\u2028", "中文 e\u0301 😀", "\ufeffbom"],
  ...["\x1f", "a\x1eb", "\x1d", "\x1d0123456789abcdef", "\\u001b\\", "[]", "x".repeat(500)],
];
const NUMBERS: readonly (number | bigint | null)[] = [0, -7, 9_007_199_254_740_993n, null, -(2n ** 63n), 5];
const REALS: readonly (number | null)[] = [0, 1.5, null, -0.125, 12];

/** Texts and numbers wander through all columns; what is `null` stands beside what is empty. */
function hostileEvent(i: number): Row {
  return Object.fromEntries(COLUMNS.map(({ name, type }, at) => {
    if (name === "event_id") return [name, i + 1];
    if (name === "time") return [name, NOW - 50_000 + i * 7];
    if (name === "argv") return [name, JSON.stringify([TEXTS[i % TEXTS.length]])];
    if (type === "REAL") return [name, REALS[(i + at) % REALS.length]!];
    const values = type === "TEXT" ? TEXTS : NUMBERS;
    const value = values[(i + at) % values.length]!;
    return [name, (name === "pid" && value === null ? 1 : value) as string | number];
  }));
}

function filled(events: Iterable<Row>, rotateAt: readonly number[] = []): TestState {
  const state = new TestState();
  state.live();
  state.db.exec("BEGIN");
  let at = 0;
  for (const event of events) {
    if (rotateAt.includes(at++)) {
      new Partitions(state.db).rotate(NOW);
      state.reopenPartitions();
    }
    state.insert("process_events", event);
  }
  state.db.exec("COMMIT");
  return state;
}

/** Both ways: with `--salvage`, events are read row by row. */
async function bothWays(state: TestState, ...args: string[]): Promise<string> {
  const text = await cli(state, ["export", "events", ...args]);
  const rows = await cli(state, ["export", "events", "--salvage", ...args]);
  assert.equal(text.out, rows.out);
  return text.out;
}

Deno.test("what SQLite writes is what the rows give, hostile texts and numbers in every column", async () => {
  using state = filled(Array.from({ length: 300 }, (_, i) => hostileEvent(i)), [100, 200]);
  for (const format of ["jsonl", "csv"]) {
    await bothWays(state, "-f", format);
    for (const name of ["name", "pid", "cpu_time_ms"]) await bothWays(state, "-f", format, "--columns", name);
  }
  const lines = (await bothWays(state, "-f", "jsonl", "--columns", "event_id,name")).trimEnd().split("\n");
  assert.deepEqual(lines.map((line) => JSON.parse(line).event_id), Array.from({ length: 300 }, (_, i) => i + 1));
});

Deno.test("text without anything odd is written at once, and as rows are", async () => {
  const plain = Array.from({ length: 2_500 }, (_, i): Row => ({
    ...{ event_id: i + 1, time: NOW - 90_000 + i, event_type: "start", exec_id: `e${i}`, pid: i, name: "sh" },
    ...{ command_line: "sh -c true", argv: '["sh","-c","true"]', duration_ms: i % 3 === 0 ? i : null },
  }));
  using state = filled(plain);
  for (const format of ["jsonl", "csv"]) {
    const out = await bothWays(state, "-f", format);
    assert.equal(out.trimEnd().split("\n").length, format === "csv" ? 2_501 : 2_500);
    for (const limit of ["1999", "2000", "2001"]) await bothWays(state, "-f", format, "--limit", limit);
    await bothWays(state, "-f", format, "--since", "80s", "--until", "70s");
  }
});

Deno.test("rows that are too long for one text, or too many of one millisecond, come all the same", async () => {
  const long = '"'.repeat(15_000);
  const events = Array.from({ length: 160 }, (_, i): Row => ({
    ...{ event_id: i + 1, time: NOW - 90_000 + i, event_type: "start", exec_id: `e${i}`, pid: i, name: "sh" },
    ...{ command_line: long, environment: JSON.stringify({ A: long }), cwd: `/${i}` },
  }));
  // One that no text holds with another, and one that only its own does
  for (const at of [100, 101]) events[at] = { ...events[at], reason: "\u0001".repeat(600_000) };
  for (let i = 0; i < 2_100; i++) {
    events.push({ event_id: 1_000 + i, time: NOW - 1_000, event_type: "stop", exec_id: `s${i}`, pid: i });
  }
  using state = filled(events);
  for (const format of ["jsonl", "csv"]) {
    const out = await bothWays(state, "-f", format, "--columns", "event_id,command_line,environment,cwd,reason");
    assert.ok(out.length > 160 * 2 * long.length);
  }
});

Deno.test("a text is whole past a NUL, which ends it where the runtime hands it over cell by cell", async () => {
  using state = filled([{ event_id: 1, time: NOW - 10, event_type: "start", exec_id: "e", pid: 1, name: "a\0b" }]);
  const json = await cli(state, ["export", "events", "--columns", "name"]);
  const csv = await cli(state, ["export", "events", "--columns", "name", "-f", "csv"]);
  assert.deepEqual([JSON.parse(json.out), csv.out], [{ name: "a\0b" }, "name\r\na\0b\r\n"]);
});

Deno.test("a real number reads back as it is stored", async () => {
  const reals = [1 / 3, 0.1 + 0.2, 5e-324, 2 ** 53 + 2, 1e300, 123_456.789, -0];
  using state = filled(reals.map((duration_ms, i): Row => ({
    ...{ event_id: i + 1, time: NOW - 10 + i, event_type: "stop", exec_id: "e", pid: 1, duration_ms },
  })));
  const { out } = await cli(state, ["export", "events", "--columns", "duration_ms"]);
  const read = out.trimEnd().split("\n").map((line) => JSON.parse(line).duration_ms);
  assert.deepEqual(read, reals.map((real) => real + 0));
});
