import assert from "node:assert/strict";
import { cli, type CliOptions } from "../support/cli_run.ts";
import { NOW, testProcess, TestState } from "../support/test_store.ts";

async function tree(state: TestState, args: string[], options?: CliOptions): Promise<{ rows: Node[]; err: string }> {
  const { out, err } = await cli(state, ["tree", ...args, "--format", "json"], options);
  return { rows: out === "" ? [] : JSON.parse(out), err };
}

interface Node {
  relation: string;
  depth: number;
  pid: number;
  process_id: string;
}

Deno.test("tree ends where an ancestry closes to a circle", async () => {
  using state = new TestState();
  state.live();
  for (const [pid, parent] of [[1, 3], [2, 1], [3, 2]] as const) {
    state.process(pid, { parent_exec_id: testProcess(parent) });
  }
  const { rows, err } = await tree(state, ["2"]);
  assert.deepEqual(rows.map(({ pid, relation }) => [pid, relation]), [[3, "ancestor"], [1, "ancestor"], [2, "self"]]);
  assert.match(err, /ancestry runs in a circle at 0123abcd-2-20; it is cut there/);
});

Deno.test("tree ends for a process that is its own parent", async () => {
  using state = new TestState();
  state.live();
  state.process(5, { parent_exec_id: testProcess(5) });
  const { rows, err } = await tree(state, ["5"]);
  assert.deepEqual(rows.map(({ pid }) => pid), [5]);
  assert.match(err, /circle/);
});

Deno.test("tree bounds ancestors and generations of a chain of ten thousand, and says so", async () => {
  using state = new TestState();
  state.live();
  state.db.exec("BEGIN");
  for (let pid = 1; pid <= 10_000; pid++) state.process(pid, { parent_exec_id: testProcess(pid - 1) });
  state.db.exec("COMMIT");
  const { rows, err } = await tree(state, ["5000"]);
  assert.match(err, /Only the nearest 64 ancestors are shown/);
  assert.match(err, /Cut after 64 descendants; --limit shows more, down to 64 generations/);
  assert.deepEqual([rows[0]!.pid, rows.at(-1)!.pid, rows.length], [4_936, 5_064, 129]);
  const drawn = await cli(state, ["tree", "5000"], { columns: 80 });
  for (const line of drawn.out.split("\n")) assert.ok(line.length <= 80);
});

Deno.test("tree bounds a process with very many children, and counts those it leaves out", async () => {
  using state = new TestState();
  state.live();
  state.process(1);
  state.db.exec("BEGIN");
  for (let pid = 2; pid <= 1_502; pid++) {
    state.process(pid, { parent_exec_id: testProcess(1), ...(pid <= 302 ? { end_time: NOW } : {}) });
  }
  state.db.exec("COMMIT");
  const alive = await tree(state, ["1"]);
  assert.equal(alive.rows.length, 1_001);
  assert.match(alive.err, /301 children that ended not shown/);
  assert.match(alive.err, /Cut after 1,000 descendants/);
  assert.equal((await tree(state, ["1", "--all", "--limit", "2000"])).rows.length, 1_502);
});

Deno.test("tree takes children of any execution of the parent, and none of a process with a longer start tick", async () => {
  using state = new TestState();
  state.live();
  const parent = "0123abcd-7-10";
  state.process(7, { process_id: parent });
  state.process(7, { process_id: "0123abcd-7-100", end_time: NOW });
  state.process(8, { parent_exec_id: parent });
  state.process(9, { parent_exec_id: `${parent}-55` });
  state.process(10, { parent_exec_id: "0123abcd-7-100" });
  state.process(11, { parent_exec_id: "0123abcd-7-100-60" });
  const { rows } = await tree(state, [parent]);
  assert.deepEqual(rows.map(({ pid }) => pid), [7, 8, 9]);
});

Deno.test("tree prefers the process alive among those that had the pid, and names the others", async () => {
  using state = new TestState();
  state.live();
  for (let i = 1; i <= 6; i++) {
    state.process(7, { process_id: `0123abcd-7-${i}`, start_time: NOW - i, ...(i === 4 ? {} : { end_time: NOW }) });
  }
  const { rows, err } = await tree(state, ["7"]);
  assert.equal(rows[0]!.process_id, "0123abcd-7-4");
  assert.match(err, /used more than once; this is the one alive. Others: 0123abcd-7-1 \(p7\), .*, …/);
});
