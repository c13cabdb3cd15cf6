/**
 * The second rung of the source ladder: the kernel's process connector, and `/proc` for what its messages leave out.
 *
 * Sees every fork, exec and exit, as long as it is read in time. Programs, arguments and users are read from `/proc`
 * when the message is read, some milliseconds after the fact: of a process that has ended by then they stay unknown,
 * and one that has run another program since shows that one. A start time is only taken over when it is not after the
 * message's, so a process that got the pid later is never mistaken for the one that is meant.
 *
 * When the socket's buffer overflows the kernel says so without a number: a loss of unknown count, after which the
 * table tells what is.
 *
 * @module
 */

import { TICK_NS } from "../../proto/identity.ts";
import { bootTimeNs, SystemCallError } from "../kernel/libc.ts";
import { type ConnectorEvent, ProcessConnector } from "../kernel/netlink.ts";
import { readProcess, readProcessTable, readRunState } from "../kernel/procfs.ts";
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
/** Processes whose first thread ended before the others, of which that is remembered. */
const MAX_LEADERLESS = 4_096;

export interface NetlinkOptions {
  /** Room for records that wait, in bytes of the kernel's. */
  readonly bufferBytes?: number;
}

/** @throws {SourceUnavailableError} with the reason in words */
export function openNetlinkSource(options: NetlinkOptions = {}): ProcessSource {
  try {
    return new NetlinkSource(new ProcessConnector(options.bufferBytes));
  } catch (error) {
    throw new SourceUnavailableError("netlink", explain(error), { cause: error });
  }
}

class NetlinkSource implements ProcessSource {
  readonly description: SourceDescription = {
    name: "netlink",
    sees: "the start and end of every process, and what /proc still tells of it",
    misses: [
      "arguments, executable and user of a process that ends within milliseconds are often unknown",
      "the executables of other users' processes are unknown once the collector has given up its privileges",
      "CPU time of ended processes, and device, inode and control group of executables are unknown",
      "records that are lost when the host starts processes faster than they are read are not counted",
    ],
    unknownColumns: ["inode", "device"],
  };
  readonly #connector: ProcessConnector;
  /** Pids whose first thread has ended while others run: their end comes with that of another thread. */
  readonly #leaderless = new Set<number>();
  readonly #received = { exec: 0, fork: 0, exit: 0 };
  #overruns = 0;
  #damaged = 0;
  #lastDrain = bootTimeNs();

  constructor(connector: ProcessConnector) {
    this.#connector = connector;
  }

  snapshot(): TableEntry[] {
    return readProcessTable();
  }

  look(pid: number): TableEntry | null {
    return readProcess(pid);
  }

  drain(receive: (record: SourceRecord) => void): number {
    const from = this.#lastDrain;
    let count = 0;
    let failure: { error: unknown } | null = null;
    const hand = (record: SourceRecord): void => {
      count++;
      try {
        receive(record);
      } catch (error) {
        failure ??= { error };
      }
    };
    const { overruns } = this.#connector.read((event) => {
      const record = this.#record(event);
      if (record !== null) hand(record);
    });
    this.#lastDrain = bootTimeNs();
    if (overruns > 0) {
      this.#overruns += overruns;
      const reason = "the socket of the process connector was full";
      hand({ kind: "loss", recordKind: "all", from, to: this.#lastDrain, count: null, reason });
    }
    if (failure !== null) throw (failure as { error: unknown }).error;
    return count;
  }

  async wait(timeoutMs: number): Promise<void> {
    await this.#connector.wait(Math.ceil(Math.max(0, Math.min(timeoutMs, MAX_WAIT_MS))));
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
    this.#connector.close();
  }

  /** The record of an event; `null` for events of threads. */
  #record(event: ConnectorEvent): SourceRecord | null {
    switch (event.kind) {
      case "fork":
        if (event.pid !== event.tgid) return null;
        this.#received.fork++;
        this.#leaderless.delete(event.pid);
        return {
          kind: "fork",
          time: event.time,
          pid: event.pid,
          ppid: event.ppid,
          startTime: null,
          namespacePid: null,
          pidNamespace: null,
        };
      case "exec":
        this.#received.exec++;
        this.#leaderless.delete(event.tgid);
        return this.#exec(event.tgid, event.time);
      case "exit":
        if (!this.#isEnd(event.pid, event.tgid, event.time)) return null;
        this.#received.exit++;
        return {
          kind: "exit",
          time: event.time,
          pid: event.tgid,
          startTime: null,
          exitStatus: event.exitStatus,
          cpuTime: null,
        };
      case "answer":
        return null;
    }
  }

  #exec(pid: number, time: number): ExecRecord {
    const entry = readProcess(pid);
    if (entry === null || entry.startTime > time || entry.status === "zombie" || entry.status === "dead") {
      this.#damaged++;
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
    if (entry.argv === null || entry.userId === null) this.#damaged++;
    const { ppid, startTime, userId, groupId, effectiveUserId, name, executablePath, argv, argvLength } = entry;
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
      namespacePid: null,
      context: null,
    };
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

function explain(error: unknown): string {
  if (error instanceof SystemCallError) {
    return `${error.message}; start as root or with CAP_NET_ADMIN, in the first network namespace`;
  }
  return error instanceof Error ? error.message : String(error);
}
