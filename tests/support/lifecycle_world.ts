/**
 * A lifecycle in a world of which a test says everything: the clock, the records, the tables.
 *
 * @module
 */
import { joinArgv } from "../../proto/argv.ts";
import type { ProcessEvent } from "../../proto/process_event.ts";
import { Lifecycle, type LifecycleOptions } from "../../collector/lifecycle.ts";
import type { ExecRecord, ExitRecord, ForkRecord, SourceRecord, TableEntry } from "../../collector/sources/source.ts";

export const BOOT_ID = "0badcafe-1111-2222-3333-444444444444";
/** Unix time of the boot of the tests' world. */
export const BOOT_MS = 1_700_000_000_000;
export const MS = 1e6;
export const S = 1_000 * MS;

/** A lifecycle in a world of which the test says what is true. */
export class TestWorld {
  offsetMs = BOOT_MS;
  nowNs = 100 * S;
  sleptNs = 0;
  readonly looks = new Map<number, TableEntry>();
  readonly lifecycle: Lifecycle;

  constructor(options: Partial<LifecycleOptions> = {}) {
    this.lifecycle = new Lifecycle({
      bootId: BOOT_ID,
      source: {
        description: { name: "ebpf", sees: "", misses: [], unknownColumns: [] },
        look: (pid) => this.looks.get(pid) ?? null,
      },
      names: { userName: (id) => id === 0 ? "root" : null, groupName: () => null },
      clock: { bootTimeNs: () => this.nowNs, bootOffsetMs: () => this.offsetMs, sleptNs: () => this.sleptNs },
      ...options,
    });
  }

  receive(...records: SourceRecord[]): this {
    for (const record of records) this.lifecycle.receive(record);
    return this;
  }

  /** Events so far, at a time at which no fork has waited long enough unless the test says so. */
  events(nowMs = BOOT_MS): ProcessEvent[] {
    return this.lifecycle.flush(nowMs).events;
  }
}

export function fork(pid: number, ppid: number, time: number, startTime: number | null = time): ForkRecord {
  return { kind: "fork", time, pid, ppid, startTime, namespacePid: null, pidNamespace: null };
}

export function exec(pid: number, ppid: number | null, time: number, more: Partial<ExecRecord> = {}): ExecRecord {
  return {
    kind: "exec",
    time,
    pid,
    ppid,
    startTime: time,
    userId: 1000,
    groupId: 100,
    effectiveUserId: 1000,
    name: "true",
    executablePath: "/usr/bin/true",
    argv: joinArgv(["true"]),
    argvLength: 5,
    inode: 7,
    device: 8,
    namespacePid: null,
    context: null,
    ...more,
  };
}

export function exit(pid: number, time: number, startTime: number | null, exitStatus: number | null = 0): ExitRecord {
  return { kind: "exit", time, pid, startTime, exitStatus, cpuTime: 2 * MS };
}

export function entry(pid: number, startTime: number, more: Partial<TableEntry> = {}): TableEntry {
  const argv = more.argv === undefined ? joinArgv(["sleep", String(pid)]) : more.argv;
  return {
    pid,
    ppid: 1,
    startTime,
    name: "sleep",
    executablePath: "/usr/bin/sleep",
    argv,
    argvLength: argv?.length ?? null,
    userId: 0,
    groupId: 0,
    effectiveUserId: 0,
    cpuTime: 0,
    memoryUsage: 4096,
    threads: 1,
    namespacePid: null,
    context: null,
    status: "sleeping",
    kernelThread: false,
    ...more,
  };
}

/** What tells events apart, for short comparisons. */
export function brief(events: readonly ProcessEvent[]): string[] {
  return events.map((e) => `${e.kind} ${e.pid}${e.reason === null ? "" : ` (${e.reason})`}`);
}
