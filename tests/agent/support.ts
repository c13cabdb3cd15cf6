/**
 * A small agent's world for tests: a state directory of its own, events that look real, and a store that is checked.
 *
 * @module
 */
import type { LoadedRules } from "../../agent/loaded_rules.ts";
import { RulesLoader } from "../../agent/rules_loader.ts";
import { allSteps } from "../../proto/steps.ts";
import { FileSink } from "../../agent/alerts/sinks/file_sink.ts";
import type { FileSinkSettings } from "../../proto/sink_settings.ts";
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { SqlValue } from "../../proto/event_row.ts";
import type { Alert } from "../../proto/alert.ts";
import { joinArgv } from "../../proto/argv.ts";
import { eventRow } from "../../proto/event_row.ts";
import { blankProcessEvent, type ProcessEvent, type ProcessState } from "../../proto/process_event.ts";
import type { Batch } from "../../agent/store/batch.ts";
import type { Store } from "../../agent/store/store.ts";
import type { Stream } from "../../agent/store/streams.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";
import { PATIENCE_MS } from "../support/patience.ts";

export const BOOT_ID = "0123abcd-0000-4000-8000-000000000000";

/** A directory that is removed with everything in it. */
export class TempDir implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "daemoneye-agent-" });
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

export function execIdOf(pid: number): string {
  return `0123abcd-${pid}-${1_000 + pid}`;
}

/** A start of `pid`, at a time that grows with it. */
export function start(pid: number, more: Partial<ProcessEvent> = {}): ProcessEvent {
  const time = 1_700_000_000_000 + pid;
  return {
    ...blankProcessEvent("start", time, execIdOf(pid), pid),
    ppid: 1,
    name: "prog",
    executablePath: "/usr/bin/prog",
    argv: joinArgv(["prog", `arg-${pid}`]),
    argvLength: 20,
    userId: 1_000,
    startTime: time,
    source: "ebpf",
    ...more,
  };
}

export function stop(pid: number, more: Partial<ProcessEvent> = {}): ProcessEvent {
  const begin = start(pid);
  return {
    ...begin,
    kind: "stop",
    time: begin.time + 5,
    endTime: begin.time + 5,
    durationMs: 5,
    exitCode: 0,
    cpuTimeMs: 1.5,
    ...more,
  };
}

export function state(pid: number, more: Partial<ProcessState> = {}): ProcessState {
  return {
    execId: execIdOf(pid),
    parentExecId: null,
    pid,
    ppid: 1,
    name: "prog",
    executablePath: "/usr/bin/prog",
    argv: joinArgv(["prog", `arg-${pid}`]),
    argvLength: 20,
    userId: 1_000,
    userName: "me",
    effectiveUserId: 1_000,
    startTime: 1_700_000_000_000 + pid,
    cpuTimeMs: 1,
    threads: null,
    executableKind: null,
    context: null,
    groupId: null,
    namespacePid: null,
    memoryUsage: 4_096,
    status: "sleeping",
    kernelThread: false,
    ...more,
  };
}

export function openTestStream(store: Store, epoch = "epoch-1", collectorId = "col"): Stream {
  return store.openStream({ collectorId, epoch, bootId: BOOT_ID, version: "1", source: "ebpf" }, 1);
}

/** Commits events with the sequences after the watermark. */
export function commitEvents(
  store: Store,
  stream: Stream,
  events: readonly ProcessEvent[],
  more: Partial<Batch> = {},
): void {
  const first = stream.lastSequence + 1;
  const rows: SqlValue[][] = events.map((event, i) =>
    eventRow(event, stream.number * SEQUENCES_PER_STREAM + first + i, stream.collectorId)
  );
  const lastSequence = stream.lastSequence + events.length;
  const batch = { stream, lastSequence, events: rows, snapshots: [], gaps: [], sources: null, alerts: [], ...more };
  store.commit(batch, 2);
}

/** Rows of a query on a store's file, read as any reader does. */
export function rows(path: string, sql: string, ...parameters: SqlValue[]): Record<string, SqlValue>[] {
  using db = new DatabaseSync(path, { readOnly: true });
  return [...db.prepare(sql).iterate(...parameters)].map((row) => ({ ...row })) as Record<string, SqlValue>[];
}

/** What must hold of every store, whatever happened to it. */
export function checkStore(path: string): void {
  assert.deepEqual(rows(path, "PRAGMA integrity_check"), [{ integrity_check: "ok" }]);
  // Each number of a stream up to its watermark is an event, a gap, part of a gap, or a message without a row.
  for (const { stream, last_sequence } of rows(path, "SELECT stream, last_sequence FROM collectors")) {
    const [{ highest }] = rows(
      path,
      "SELECT coalesce(max(event_id) % 1099511627776, 0) AS highest FROM process_events WHERE event_id / 1099511627776 = ?",
      stream!,
    ) as [{ highest: number }];
    assert.ok(highest <= (last_sequence as number), `stream ${stream}: event ${highest} above ${last_sequence}`);
  }
  const orphans = "SELECT count(*) AS n FROM alerts WHERE event_id NOT IN (SELECT event_id FROM process_events)";
  assert.deepEqual(rows(path, orphans), [{ n: 0 }]);
}

/** Waits until `holds`. */
export async function until(what: string, holds: () => boolean, patienceMs = PATIENCE_MS): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`It did not come about that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A sink that appends to a file as the one of `agent.alert_file` does, unless said otherwise. */
export function fileSink(path: string, more: Partial<FileSinkSettings> = {}): FileSink {
  const usual = { type: "file", name: "file", format: "json", minSeverity: "info" } as const;
  return new FileSink({ ...usual, path, rotateBytes: 0, rotateKeep: 3, fsync: "always", ...more }, "host");
}

export function newAlert(alertId: string, more: Partial<Alert> = {}): Alert {
  return {
    alertId,
    time: 1_700_000_000_000,
    detectedTime: 1_700_000_000_001,
    ruleId: "odd",
    ruleHash: null,
    title: "Odd thing",
    description: "Says that it is odd",
    severity: "high",
    tags: ["attack.t1059"],
    eventId: 1,
    execId: execIdOf(42),
    pid: 42,
    ppid: 7,
    name: "prog",
    executablePath: "/usr/bin/prog",
    commandLine: "prog --now",
    userId: 0,
    userName: "root",
    parentName: "bash",
    parentExecutablePath: "/usr/bin/bash",
    parentCommandLine: "bash",
    evidence: { pid: 42, cwd: null },
    collectorId: "col",
    completeness: { complete: true, reasons: [] },
    ledger: null,
    kind: "alert",
    repeats: null,
    dedupKey: "0123abcd-42-1042",
    groupId: alertId,
    hitsBefore: 0,
    lastHitTime: null,
    causes: [1],
    parentExecId: null,
    startTime: 1_700_000_000_000,
    effectiveUserId: 0,
    loginUserId: 1_000,
    cwd: "/root",
    containerId: null,
    stdinKind: "tty",
    stdoutKind: "tty",
    ancestry: [],
    ...more,
  };
}

/** The rules of some directories, loaded once. */
export function loadRuleFiles(directories: readonly string[]): LoadedRules {
  return allSteps(new RulesLoader(directories).load());
}
