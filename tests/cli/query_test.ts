import assert from "node:assert/strict";
import { distinct } from "../../cli/query.ts";
import { cli } from "../support/cli_run.ts";
import { TestState } from "../support/test_store.ts";

function world(rows = 0): TestState {
  const state = new TestState();
  state.live();
  state.db.exec("BEGIN");
  for (let i = 1; i <= rows; i++) state.insert("process_events", { event_id: i, time: i, pid: i, name: `n${i}` });
  state.db.exec("COMMIT");
  return state;
}

Deno.test("query reads SQL from standard input", async () => {
  using state = world(3);
  const { out, code } = await cli(state, ["query", "-", "-f", "json"], {
    stdin: "SELECT max(pid) AS m\nFROM process_events\n",
  });
  assert.deepEqual([JSON.parse(out), code], [[{ m: 3 }], 0]);
  const bad = await cli(state, ["query", "-"], { stdin: Uint8Array.of(0xff, 0xfe) });
  assert.deepEqual([bad.out, bad.err, bad.code], ["", "The query on standard input is not UTF-8\n", 1]);
});

Deno.test("query is cut at ten thousand rows, says so, and is then not whole", async () => {
  using state = world(10_001);
  const sql = "SELECT pid FROM process_events";
  const cut = await cli(state, ["query", sql, "-f", "json"]);
  assert.equal(JSON.parse(cut.out).length, 10_000);
  assert.match(cut.err, /Cut at 10,000 rows, there are more/);
  assert.equal(cut.code, 3);
  const whole = await cli(state, ["query", sql, "-f", "json", "--limit", "20000"]);
  assert.equal(JSON.parse(whole.out).length, 10_001);
  assert.deepEqual([whole.err, whole.code], ["", 0]);
  const asked = await cli(state, ["query", sql, "-f", "csv", "--limit", "5"]);
  assert.equal(asked.code, 0);
});

Deno.test("query that runs away is stopped at its timeout, with nothing on stdout", async () => {
  using state = world(20_000);
  const sql = "SELECT a.pid FROM process_events a JOIN process_events b ON a.pid + b.pid = -1";
  for (const format of ["table", "json", "jsonl", "csv"]) {
    const { out, err, code } = await cli(state, ["query", sql, "--timeout", "100ms", "-f", format]);
    assert.deepEqual([out, code], ["", 1]);
    assert.match(err, /^This is slow: for each row before it, all 20,000 rows of [ab] are gone over; compare a column/);
    assert.match(err, /\nStopped after 100 ms: the question reads too much/);
  }
});

Deno.test("query refuses what cannot end in its time, before it runs", async () => {
  using state = world(20_000);
  const sql = "SELECT count(*) FROM process_events a JOIN process_events b ON 1 JOIN process_events c ON 1";
  const { out, err, code } = await cli(state, ["query", sql]);
  assert.deepEqual([out, code], ["", 1]);
  assert.match(
    err,
    /^The query is refused: It would go over [0-9,]+ combinations of rows of a, b, c: 10 days at the least/,
  );
  // --since leaves few enough
  const since = await cli(state, ["query", sql, "--since", "1h"]);
  assert.deepEqual([since.code, since.out.trim().split(/\s+/).at(-1)], [0, "0"], since.err);
});

Deno.test("query tells of a value that SQLite cannot compute, and prints no shortened answer", async () => {
  using state = world(10);
  const sql = "SELECT pid, CASE WHEN pid < 5 THEN 1 ELSE json_extract(name, '$') END AS v FROM process_events";
  const { out, err, code } = await cli(state, ["query", sql, "-f", "jsonl"]);
  assert.deepEqual([out, code], ["", 1]);
  assert.match(err, /malformed JSON/);
});

Deno.test("query cannot be given a table past the clock", async () => {
  using state = world(5);
  for (
    const sql of ["SELECT * FROM main.process_events", "SELECT * FROM temp.process_events", "SELECT tick(1) FROM gaps"]
  ) {
    const { code, out } = await cli(state, ["query", sql]);
    assert.deepEqual([code, out], [1, ""], sql);
  }
});

Deno.test("distinct() gives every column a name of its own", () => {
  assert.deepEqual(distinct(["a", "a", "b", "a", "a_2", "a_2"]), ["a", "a_2", "b", "a_3", "a_2_2", "a_2_3"]);
});
