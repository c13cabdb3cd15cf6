import assert from "node:assert/strict";
import { BLANK_CONTEXT } from "../../proto/process_event.ts";
import { limitsFor, ProcessTable, TABLE_LIMITS } from "../../collector/process_table.ts";
import { Image, TrackedProcess } from "../../collector/tracked_process.ts";

function process(pid: number, argvBytes: number, environment: string | null): TrackedProcess {
  const argv = new Uint8Array(argvBytes).fill(0x61);
  const image = new Image("app", "/usr/bin/app", null, argv, argvBytes, null, null);
  const made = new TrackedProcess(pid, pid * 1e9, "exact", image);
  made.context = { ...BLANK_CONTEXT, cwd: "/home/me", environment };
  return made;
}

Deno.test("past the bytes a process loses its environment first, then the end of its arguments", () => {
  const table = new ProcessTable({ maxTracked: 100, maxEnded: 10, maxBytes: 2_000 });
  const whole = process(1, 1_000, "E".repeat(500));
  table.add(whole);
  const shared = whole.context;
  const second = process(2, 400, "E".repeat(500));
  second.context = shared;
  table.add(second);
  assert.deepEqual([second.context!.environment, second.context!.cwd, second.image.argv!.length], [
    null,
    "/home/me",
    400,
  ]);
  assert.equal(shared!.environment!.length, 500, "who shares it keeps it");
  const third = process(3, 1_000, "E".repeat(500));
  table.add(third);
  assert.deepEqual([third.context, third.image.argv!.length], [null, 256]);
  assert.ok(table.bytes <= 2_300);
});

Deno.test("the table never holds twice its bytes, whatever is in it", () => {
  const limits = { maxTracked: 10_000, maxEnded: 100, maxBytes: 50_000 };
  const table = new ProcessTable(limits);
  for (let pid = 1; pid <= 5_000; pid++) {
    const one = process(pid, 5_000, "E".repeat(pid % 3_000));
    table.add(one);
    if (pid % 3 === 0) table.end(one, pid * 1e9);
    assert.ok(table.bytes <= 2 * limits.maxBytes, `${table.bytes} bytes`);
  }
  assert.ok(table.forgotten > 0);
  let counted = 0;
  for (const one of table.processes()) counted += one.counted;
  assert.ok(counted <= table.bytes && table.size > 100);
  // With everything ended and its places taken by small ones, what was counted is given back.
  for (const one of [...table.processes()]) table.end(one, 1e13);
  for (let pid = 1; pid <= 200; pid++) {
    const one = process(pid, 0, null);
    table.add(one);
    table.end(one, 2e13);
  }
  assert.ok(table.bytes <= 100 * 30, `${table.bytes} bytes`);
});

Deno.test("a table for many processes has bytes for each", () => {
  assert.deepEqual(limitsFor(65_536), { ...TABLE_LIMITS });
  assert.equal(limitsFor(1_000).maxBytes, TABLE_LIMITS.maxBytes);
  assert.equal(limitsFor(4_194_304).maxBytes, 4_194_304 * 512);
});
