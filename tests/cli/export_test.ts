import assert from "node:assert/strict";
import { parseBaseline } from "../../cli/baseline.ts";
import { cli } from "../support/cli_run.ts";
import { WORLDS } from "../support/cli_worlds.ts";
import { NOW, TestState } from "../support/test_store.ts";

Deno.test("export writes each event once and in order, whether they are dense, sparse or of one millisecond", async () => {
  using state = new TestState();
  state.live();
  const times: number[] = [];
  // 45,000 of one millisecond, 30,000 within one second, and some with months between them
  for (let i = 0; i < 45_000; i++) times.push(NOW);
  for (let i = 0; i < 30_000; i++) times.push(NOW + 1 + i % 1_000);
  for (let i = 0; i < 40; i++) times.push(NOW - 5_000_000_000 * (i + 1));
  state.db.exec("BEGIN");
  times.forEach((time, i) => state.insert("process_events", { event_id: i + 1, time, pid: i }));
  state.db.exec("COMMIT");
  const { out, code } = await cli(state, ["export", "events", "--columns", "time,event_id", "-f", "csv"]);
  assert.equal(code, 0);
  const rows = out.trim().split("\r\n").slice(1).map((line) => line.split(",").map(Number) as [number, number]);
  assert.equal(rows.length, times.length);
  assert.equal(new Set(rows.map(([, id]) => id)).size, times.length);
  for (let i = 1; i < rows.length; i++) {
    const [time, id] = rows[i]!, [before, idBefore] = rows[i - 1]!;
    assert.ok(time > before || (time === before && id > idBefore), `${i}`);
  }
  const part = await cli(state, [
    ...["export", "events", "--columns", "time", "-f", "csv", "--since", new Date(NOW + 1).toISOString()],
    ...["--until", new Date(NOW + 10).toISOString()],
  ]);
  assert.equal(part.out.trim().split("\r\n").length - 1, 300);
});

Deno.test("export writes other tables in pieces, each row once", async () => {
  using state = new TestState();
  state.live();
  state.db.exec("BEGIN");
  for (let i = 0; i < 40_001; i++) state.gap(i + 1, NOW - 9_000, NOW - 8_000, 1);
  state.db.exec("COMMIT");
  const { out, code } = await cli(state, ["export", "gaps", "--columns", "gap_id"]);
  assert.equal(code, 3);
  const ids = out.trim().split("\n").map((line) => (JSON.parse(line) as { gap_id: number }).gap_id);
  assert.deepEqual([ids.length, new Set(ids).size], [40_001, 40_001]);
});

Deno.test("export ends after as many rows as were asked for", async () => {
  using state = WORLDS["watched"]!();
  const { out, code } = await cli(state, ["export", "events", "--limit", "1", "--columns", "pid"]);
  assert.deepEqual([out, code], ['{"pid":902}\n', 0]);
});

Deno.test("diff shows what a baseline lacks, and names the line of a text that is none", async () => {
  using state = WORLDS["watched"]!();
  const kept = (await cli(state, ["baseline", "--kind", "program", "-f", "jsonl", "--until", "55s"])).out;
  assert.equal(kept.trim().split("\n").length, 1);
  const found = await cli(state, ["diff", "--against", "-", "--kind", "program", "-f", "csv", "--columns", "value"], {
    stdin: kept,
  });
  assert.deepEqual([found.out, found.err, found.code], ["value\r\n/tmp/cc1\r\n", "1 line\n", 0]);
  const nothing = (await cli(state, ["baseline", "-f", "jsonl"])).out;
  const same = await cli(state, ["diff", "--against", "-", "-f", "csv"], { stdin: nothing });
  assert.deepEqual([same.err, same.code], ["Nothing of that\n", 0]);
  assert.throws(
    () => parseBaseline('{"kind":"program","value":"/a"}\n{"kind":3}\n'),
    /^CommandError: Line 2 is not one of/,
  );
  assert.equal(parseBaseline('\n{"kind":"program","value":"a\\nb"}\n').size, 1);
});

Deno.test("export --salvage reads the other tables past what is damaged too", async () => {
  using state = new TestState();
  state.live();
  const ROWS = 20_000;
  state.db.exec("BEGIN");
  for (let i = 0; i < ROWS; i++) state.gap(i + 1, NOW - 9_000, NOW - 8_000, 1);
  state.db.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
  const args = ["export", "gaps", "--columns", "gap_id", "-f", "csv"];
  const ids = (text: string): number[] => text.trim().split("\r\n").slice(1).map(Number);
  assert.equal(ids((await cli(state, [...args, "--salvage"])).out).length, ROWS);
  const { page } = state.db.prepare(
    "SELECT pageno AS page FROM dbstat WHERE name = 'gaps' AND pagetype = 'leaf' ORDER BY pageno LIMIT 1 OFFSET 20",
  ).get() as { page: number };
  state.stop();
  {
    using file = Deno.openSync(state.layout.store, { read: true, write: true });
    file.seekSync((page - 1) * 4_096, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array(4_096).fill(0xa5));
  }
  assert.equal((await cli(state, args)).code, 1);
  const saved = await cli(state, [...args, "--salvage"]);
  assert.equal(saved.code, 3);
  assert.match(
    saved.err,
    /The store is damaged: 1 stretch of rows, the first from number [\d,]+ on, could not be read and is left out/,
  );
  const left = ids(saved.out);
  assert.equal(new Set(left).size, left.length);
  assert.ok(left.length > ROWS * 0.95 && left.length < ROWS, `${left.length}`);
});

Deno.test("export --salvage reads what a damaged store still has, and says what it left out", async () => {
  using state = new TestState();
  state.live();
  const EVENTS = 20_000;
  state.db.exec("BEGIN");
  for (let i = 0; i < EVENTS; i++) {
    state.insert("process_events", {
      event_id: i + 1,
      time: NOW - EVENTS * 10 + i * 10,
      pid: i,
      command_line: `c ${i}`,
    });
  }
  state.db.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
  const args = ["export", "events", "--columns", "event_id,pid", "-f", "csv"];
  const whole = await cli(state, [...args, "--salvage"]);
  assert.deepEqual([whole.out.trim().split("\r\n").length, whole.err, whole.code], [EVENTS + 1, "", 0]);
  state.stop();
  {
    using file = Deno.openSync(state.layout.store, { read: true, write: true });
    const { size } = file.statSync(), noise = new Uint8Array(4_096).fill(0xa5);
    for (const share of [0.3, 0.5]) {
      file.seekSync(Math.floor(size * share / 4_096) * 4_096, Deno.SeekMode.Start);
      file.writeSync(noise);
    }
  }
  const refused = await cli(state, args);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /is damaged \(SQLite/);
  const saved = await cli(state, [...args, "--salvage"]);
  assert.equal(saved.code, 3);
  assert.match(saved.err, /The store is damaged: \d+ stretch(es)? of time, .* could not be read and (is|are) left out/);
  const rows = saved.out.trim().split("\r\n").slice(1).map((line) => line.split(",").map(Number));
  assert.ok(rows.length > EVENTS / 2 && rows.length < EVENTS, `${rows.length}`);
  assert.ok(rows.every(([id, pid]) => id === pid! + 1));
});
