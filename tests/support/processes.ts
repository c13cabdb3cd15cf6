/**
 * Real processes for tests of sources, and what a source said of them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { splitArgv } from "../../proto/argv.ts";
import type { ExecRecord, ProcessSource, SourceRecord } from "../../collector/sources/source.ts";
import { PATIENCE_MS } from "./patience.ts";

/** Reads a source until `enough` says so, or fails. The source is asked to wait as its owner would. */
export async function gather(
  source: ProcessSource,
  enough: (records: SourceRecord[]) => boolean,
  patienceMs: number = PATIENCE_MS,
): Promise<SourceRecord[]> {
  const records: SourceRecord[] = [];
  const end = performance.now() + patienceMs;
  for (;;) {
    source.drain((record) => records.push(record));
    if (enough(records)) return records;
    if (performance.now() > end) {
      const kinds = records.map((record) => record.kind === "loss" ? "loss" : `${record.kind} ${record.pid}`);
      assert.fail(`the records that the test waits for did not come, but ${kinds.slice(-40).join(", ")}`);
    }
    await source.wait(50);
  }
}

/** The record of that kind of a process. */
export function recordOf<K extends "exec" | "fork" | "exit">(
  records: readonly SourceRecord[],
  kind: K,
  pid: number,
): Extract<SourceRecord, { kind: K }> | undefined {
  return records.find((record): record is Extract<SourceRecord, { kind: K }> =>
    record.kind === kind && record.pid === pid
  );
}

/** The arguments of an exec as text. */
export function argumentsOf(record: ExecRecord | undefined): string[] | null {
  return record === undefined || record.argv === null ? null : splitArgv(record.argv);
}
