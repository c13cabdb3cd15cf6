/**
 * The second rung of the source ladder: the kernel's process connector, and `/proc` for what its messages leave out.
 *
 * Sees every fork, exec and exit, as long as it is read in time. Programs, arguments and circumstances are read from
 * `/proc` when the message is read, some tens of microseconds after the fact: of a process that has ended by then they
 * stay unknown, and one that has run another program since shows that one. A start time is only taken over when it is
 * not after the message's, so a process that got the pid later is never mistaken for the one that is meant.
 *
 * Messages are read as soon as they come, also while their receiver gathers them: a pause of some milliseconds is as long
 * as most processes of a storm live. Arguments are read beside this thread, as a process can make who reads them wait,
 * so a record waits here until they are there or it has been late for long enough. Records keep their order: what comes
 * after one that waits, waits too.
 *
 * When the socket's buffer overflows the kernel says so without a number: a loss of unknown count, after which the
 * table tells what is.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { TICK_NS } from "../../proto/identity.ts";
import type { VariableNames } from "../kernel/environment.ts";
import { bootTimeNs, SystemCallError } from "../kernel/libc.ts";
import { type ConnectorEvent, ProcessConnector } from "../kernel/netlink.ts";
import { readRunState } from "../kernel/procfs.ts";
import { ProcfsReader } from "../kernel/procfs_reader.ts";
import type {
  ExecRecord,
  ProcessSource,
  SourceCounters,
  SourceDescription,
  SourceRecord,
  TableEntry,
} from "./source.ts";
import { SourceUnavailableError } from "./unavailable.ts";

/** The longest that {@linkcode ProcessSource.wait} waits, so that a closing process is not held up. */
const MAX_WAIT_MS = 1_000;
/** How often it is looked whether the arguments of records that wait have come, while no message comes. */
const SETTLE_MS = 2;
/**
 * The longest that a record waits for its arguments: longer than as many processes as may be asked and do not answer keep
 * others from being asked. One has less time: see `ArgumentReader`.
 */
const PATIENCE_MS = 5_000;
/** Records that wait; with more, messages stay in the socket, where the kernel says when there are too many. */
const MAX_PENDING = 16_384;
/**
 * With so many records of one pause the next passes without reading: most of these processes are gone before anybody can
 * look, and to be woken by each would cost the host more than it tells.
 */
const DENSE = 512;
/** Messages that are read at a stretch: each may take as long as reading a process from `/proc` does. */
const STRETCH = 1_024;
/** Processes whose first thread ended before the others, of which that is remembered. */
const MAX_LEADERLESS = 4_096;

export interface NetlinkOptions {
  /** Room for records that wait, in bytes of the kernel's. */
  readonly bufferBytes?: number;
  /** Names of the environment variables to capture: see `EnvironmentFilter`. */
  readonly environment?: VariableNames;
  /** Whether executables and directories of other users stay readable. */
  readonly readsOthers?: boolean;
}

/** @throws {SourceUnavailableError} with the reason in words */
export function openNetlinkSource(options: NetlinkOptions = {}): ProcessSource {
  try {
    return new NetlinkSource(
      new ProcessConnector(options.bufferBytes),
      new ProcfsReader({ environment: options.environment ?? [] }),
      options.readsOthers ?? false,
    );
  } catch (error) {
    throw new SourceUnavailableError("netlink", explain(error), { cause: error });
  }
}

/** A record, and until when it waits for its arguments; 0 when it has what it will have. */
interface Pending {
  record: SourceRecord;
  until: number;
}

class NetlinkSource implements ProcessSource {
  readonly #connector: ProcessConnector;
  readonly #processes: ProcfsReader;
  /** In their order. */
  #pending: Pending[] = [];
  /** Pids whose first thread has ended while others run: their end comes with that of another thread. */
  readonly #leaderless = new Set<number>();
  readonly #received = { exec: 0, fork: 0, exit: 0 };
  #isDense = false;
  #overruns = 0;
  #damaged = 0;
  #lastRead = bootTimeNs();
  #closed = false;

  constructor(connector: ProcessConnector, processes: ProcfsReader, private readonly readsOthers: boolean) {
    this.#connector = connector;
    this.#processes = processes;
  }

  get description(): SourceDescription {
    return {
      name: "netlink",
      sees: "the start and end of every process, and what /proc still tells of it",
      misses: [
        "arguments, executable, user and circumstances of a process that ends within a millisecond are often unknown, " +
        "and its environment mostly",
        (this.readsOthers ? "" : "executable, directory, namespaces, ") +
        "streams and environment of other users' processes are unknown once the collector has given up its privileges",
        "CPU time of ended processes, and device and inode of executables are unknown",
        "records that are lost when the host starts processes faster than they are read are not counted",
        ...this.#processes.misses,
      ],
      unknownColumns: [...UNKNOWN_COLUMNS],
    };
  }

  snapshot(): Promise<TableEntry[]> {
    return this.#processes.table();
  }

  look(pid: number): TableEntry | null {
    return this.#processes.look(pid);
  }

  drain(receive: (record: SourceRecord) => void): number {
    this.#read();
    const now = performance.now();
    const held = this.#pending.findIndex(({ until }) => until > now);
    const whole = this.#pending.splice(0, held < 0 ? this.#pending.length : held);
    let failure: { error: unknown } | null = null;
    for (const pending of whole) {
      pending.until = 0; // what comes of it now comes too late
      const { record } = pending;
      if (record.kind === "exec" && (record.argv === null || record.userId === null)) this.#damaged++;
      try {
        receive(record);
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== null) throw (failure as { error: unknown }).error;
    return whole.length;
  }

  async wait(timeoutMs: number): Promise<void> {
    const end = performance.now() + Math.max(0, Math.min(timeoutMs, MAX_WAIT_MS));
    while (!this.#closed) {
      this.#read();
      const left = end - performance.now();
      if (this.#isReady() || left <= 0) return await turn();
      await this.#next(left);
    }
  }

  async gather(ms: number): Promise<void> {
    const end = performance.now() + ms, before = this.#pending.length;
    if (this.#isDense && ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    for (let left = end - performance.now(); left > 0 && !this.#closed; left = end - performance.now()) {
      await this.#next(left);
      this.#read();
    }
    while (!this.#closed && this.#read()) await turn();
    if (ms > 0) this.#isDense = this.#pending.length - before >= DENSE;
    // Not for those that come meanwhile: they may never cease.
    const waiting = this.#pending.filter(({ until }) => until > 0);
    while (!this.#closed && waiting.some(({ until }) => until > performance.now())) {
      await this.#next(SETTLE_MS);
      this.#read();
    }
    await turn();
  }

  counters(): SourceCounters {
    return {
      received: { ...this.#received },
      lost: { exec: 0, fork: 0, exit: 0 },
      overruns: this.#overruns,
      damaged: this.#damaged,
    };
  }

  close(): void {
    this.#closed = true;
    this.#pending = [];
    this.#connector.close();
    this.#processes.close();
  }

  #isReady(): boolean {
    const next = this.#pending[0];
    return next !== undefined && next.until <= performance.now();
  }

  /** Waits for the next message, or for what becomes of a record that waits. */
  async #next(ms: number): Promise<void> {
    if (this.#isFull) return await new Promise((resolve) => setTimeout(resolve, Math.min(ms, SETTLE_MS)));
    // Arguments come to this thread as everything else does: between its turns.
    if (this.#connector.pending) return await turn();
    const isWaiting = this.#pending.length > 0 && this.#pending.at(-1)!.until > 0;
    await this.#connector.wait(Math.ceil(Math.min(ms, isWaiting ? SETTLE_MS : MAX_WAIT_MS)));
  }

  get #isFull(): boolean {
    return this.#pending.length >= MAX_PENDING;
  }

  /** Takes over messages that wait, and begins to read what they leave out. Whether there may be more of them. */
  #read(): boolean {
    if (this.#isFull || this.#closed) return false;
    const from = this.#lastRead;
    const { messages, overruns } = this.#connector.read((event) => {
      const pending = this.#record(event);
      if (pending !== null) this.#pending.push(pending);
    }, STRETCH);
    this.#lastRead = bootTimeNs();
    if (overruns === 0) return messages >= STRETCH;
    this.#overruns += overruns;
    const reason = "the socket of the process connector was full";
    const record = { kind: "loss", recordKind: "all", from, to: this.#lastRead, count: null, reason } as const;
    this.#pending.push(ready(record));
    return messages >= STRETCH;
  }

  /** The record of an event; `null` for events of threads. */
  #record(event: ConnectorEvent): Pending | null {
    switch (event.kind) {
      case "fork":
        if (event.pid !== event.tgid) return null;
        this.#received.fork++;
        this.#leaderless.delete(event.pid);
        return ready({
          kind: "fork",
          time: event.time,
          pid: event.pid,
          ppid: event.ppid,
          startTime: null,
          namespacePid: null,
          pidNamespace: null,
        });
      case "exec":
        this.#received.exec++;
        this.#leaderless.delete(event.tgid);
        return this.#exec(event.tgid, event.time);
      case "exit":
        if (!this.#isEnd(event.pid, event.tgid, event.time)) return null;
        this.#received.exit++;
        return ready({
          kind: "exit",
          time: event.time,
          pid: event.tgid,
          startTime: null,
          exitStatus: event.exitStatus,
          cpuTime: null,
        });
      case "answer":
        return null;
    }
  }

  #exec(pid: number, time: number): Pending {
    let entry: TableEntry | null = null;
    const pending: Pending = { record: unknownExec(pid, time), until: 0 };
    entry = this.#processes.follow(pid, () => {
      if (pending.until === 0) return; // handed out
      pending.record = execOf(entry!, time);
      pending.until = 0;
    });
    if (entry === null || entry.startTime > time || entry.status === "zombie" || entry.status === "dead") {
      return pending;
    }
    pending.record = execOf(entry, time);
    pending.until = performance.now() + PATIENCE_MS;
    return pending;
  }

  /**
   * Whether the end of a thread is the end of its process. The kernel tells of threads only: the first one may end
   * before the others, and one that calls `execve` ends the first and takes its place.
   */
  #isEnd(pid: number, tgid: number, time: number): boolean {
    if (pid !== tgid && !this.#leaderless.has(tgid)) return false;
    const run = readRunState(tgid);
    const isGone = run === null || run.startTicks * TICK_NS > time || (run.isEnded && run.threads <= 1);
    if (isGone) this.#leaderless.delete(tgid);
    else if (run.isEnded && this.#leaderless.size < MAX_LEADERLESS) this.#leaderless.add(tgid);
    return isGone;
  }
}

/** Columns of `process_events` that nothing of this fills. `/proc` has no place for what a script was asked for by. */
const UNKNOWN_COLUMNS = ["inode", "device", "cgroup_id", "interpreter_path", "script_path"] as const;

function ready(record: SourceRecord): Pending {
  return { record, until: 0 };
}

/** Lets everything else have its turn that waits for one. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function unknownExec(pid: number, time: number): ExecRecord {
  return {
    kind: "exec",
    time,
    pid,
    ppid: null,
    startTime: null,
    userId: null,
    groupId: null,
    effectiveUserId: null,
    name: "",
    executablePath: null,
    argv: null,
    argvLength: null,
    inode: null,
    device: null,
    namespacePid: null,
    context: null,
  };
}

function execOf(entry: TableEntry, time: number): ExecRecord {
  const { pid, ppid, startTime, userId, groupId, effectiveUserId, name, executablePath, argv, argvLength } = entry;
  return {
    kind: "exec",
    time,
    pid,
    ppid,
    startTime,
    userId,
    groupId,
    effectiveUserId,
    name,
    executablePath,
    argv,
    argvLength,
    inode: null,
    device: null,
    namespacePid: entry.namespacePid,
    context: entry.context,
  };
}

function explain(error: unknown): string {
  if (error instanceof SystemCallError) {
    return `${error.message}; start as root or with CAP_NET_ADMIN, in the first network namespace`;
  }
  return error instanceof Error ? error.message : String(error);
}
