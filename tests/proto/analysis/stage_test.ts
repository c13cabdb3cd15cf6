import assert from "node:assert/strict";
import {
  decodeStageRequest,
  decodeStageRows,
  encodeStageRequest,
  encodeStageRows,
  StageError,
  type StageRequest,
} from "../../../proto/analysis/stage.ts";

const REQUEST: StageRequest = {
  stage: "elf",
  path: "/usr/bin/x",
  device: 1,
  inode: 2,
  pid: null,
  startTick: null,
  hash: "a".repeat(64),
};

Deno.test("A stage's request is read as it was written", () => {
  assert.deepEqual(decodeStageRequest(encodeStageRequest(REQUEST)), REQUEST);
  const memory = { ...REQUEST, stage: "memory" as const, path: null, pid: 7, startTick: 9 };
  assert.deepEqual(decodeStageRequest(encodeStageRequest(memory)), memory);
});

Deno.test("decodeStageRequest() refuses what no agent may ask", () => {
  const refuses = (change: object): void => {
    assert.throws(() => decodeStageRequest(JSON.stringify({ ...REQUEST, ...change })), StageError);
  };
  refuses({ stage: "shell" });
  for (const path of ["etc/shadow", "/a/../etc/shadow", "/a\0b", `/${"a".repeat(4_096)}`, null, 7]) refuses({ path });
  for (const pid of [-1, 0.5, "1", 2 ** 53]) refuses({ pid });
  refuses({ hash: "A".repeat(64) });
  refuses({ stage: "memory", pid: null });
  for (const text of [null, "", "[]", "7", "{", `"${"x".repeat(20_000)}"`]) {
    assert.throws(() => decodeStageRequest(text), StageError);
  }
});

Deno.test("decodeStageRows() takes what a stage may fill", () => {
  const rows = { file_facts: [{ string_count: 2 }], file_strings: [{ place: 1, kind: "url", text: "x", position: 0 }] };
  assert.deepEqual(decodeStageRows("strings", encodeStageRows(rows)), rows);
  assert.deepEqual(decodeStageRows("yara", "{}"), {});
});

Deno.test("decodeStageRows() refuses rows that break the schema, and names how", () => {
  const refuses = (stage: "elf" | "strings" | "yara", rows: unknown, reason: RegExp): void => {
    assert.throws(() => decodeStageRows(stage, JSON.stringify(rows)), { name: "StageError", message: reason });
  };
  refuses("elf", { alerts: [] }, /elf does not fill "alerts"/);
  refuses("elf", { file_strings: [] }, /elf does not fill "file_strings"/);
  refuses("elf", { file_facts: [{}, {}] }, /at most 1 rows/);
  refuses("elf", { file_facts: [{ pid: 1 }] }, /does not fill "pid"/);
  refuses("elf", { file_facts: [{ nonsense: 1 }] }, /does not fill "nonsense"/);
  refuses("elf", { file_facts: [{ imports: 1.5 }] }, /imports of file_facts is no INTEGER/);
  refuses("elf", { file_facts: [{ packer: 7 }] }, /packer of file_facts is no TEXT/);
  refuses("elf", { file_facts: [{ packer: "\ud800" }] }, /packer of file_facts is no TEXT/);
  refuses("elf", { file_facts: [{ packer: "x".repeat(70_000) }] }, /packer of file_facts is no TEXT/);
  refuses("elf", { file_facts: { packer: "UPX" } }, /at most 1 rows/);
  refuses("yara", { yara_matches: [{ tags: "[]" }] }, /has no rule/);
  refuses("yara", { yara_matches: [{ rule: "a" }, { rule: "a" }] }, /the same rule/);
  refuses("yara", { yara_matches: Array.from({ length: 257 }, (_, i) => ({ rule: `r${i}` })) }, /at most 256 rows/);
  assert.throws(() => decodeStageRows("elf", "x".repeat(300_000)), /300000 characters/);
});
