import assert from "node:assert/strict";
import { alertOf } from "../../../agent/alerts/alert_of.ts";
import type { Stream } from "../../../agent/store/streams.ts";
import type { Alert } from "../../../proto/alert.ts";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { blankProcessEvent, type ProcessEvent } from "../../../proto/process_event.ts";

const STREAM: Stream = {
  collectorId: "c",
  epoch: "e",
  bootId: "b",
  version: "1",
  source: "ebpf",
  number: 0,
  lastSequence: 0,
};
const RULE = { id: "r", hash: "34".repeat(32), title: "t", description: "d", severity: "high", tags: [] } as const;
const HASH = "ab".repeat(32);

function alert(event: Partial<ProcessEvent>, evidence: Record<string, SqlValue>): Alert {
  const whole = { ...blankProcessEvent("start", 1_000, "boot-1-1", 1), ...event };
  return alertOf(RULE, eventRow(whole, 7, "c"), evidence, STREAM, 2_000);
}

Deno.test("an alert carries the hash of what ran, whatever its rule selected", () => {
  const hashed = { executableHash: HASH, hashAlgorithm: "sha256" };
  const file = { executable_hash: HASH, hash_algorithm: "sha256" };
  assert.deepEqual(alert(hashed, { pid: 1 }).evidence, { pid: 1, ...file });
  assert.deepEqual(alert(hashed, { pid: 1, ...file }).evidence, { pid: 1, ...file });
  assert.deepEqual(alert({}, { pid: 1 }).evidence, { pid: 1 }, "one that is not known");
  assert.deepEqual(alert(hashed, { executable_hash: "x" }).evidence, { ...file, executable_hash: "x" });
});

Deno.test("a long text in the evidence is cut and marked", () => {
  const { evidence } = alert({}, { command_line: "y".repeat(9_000), pid: null });
  assert.deepEqual(evidence, { command_line: `${"y".repeat(8_192)}…`, pid: null });
});
