/**
 * Two listings of processes against each other: what the kernel's iterator shows, and what `/proc` lists.
 *
 * Whoever hides from `ps` hides from one of them, or has something mounted over what `/proc` shows of them. `/proc` is listed before and after the table is read, so that what
 * began or ended meanwhile is told apart: hidden is only who must have been there all the time. Nobody is accused by one
 * look: it must be missing in a second one.
 *
 * @module
 */

import { linkText, listProcesses, putPid, readProcLink } from "./kernel/proc_files.ts";
import { readCoveredPids, readRunState } from "./kernel/procfs.ts";
import { bootTimeNs, cString } from "./kernel/libc.ts";
import { TICK_NS } from "../proto/identity.ts";
import type { ProcessSource, TableEntry } from "./sources/source.ts";

/** A process that began this short a time before a listing is not asked for in it. */
const MARGIN_NS = 20e6;
/** Processes that are remembered as told; with more, some may be told again. */
const MAX_TOLD = 1_024;
/** Hidden processes that one look names. */
export const MAX_HIDDEN = 64;
const FIRST_PID_NAMESPACE = 0xeffffffc;

export interface Hidden {
  readonly pid: number;
  /** Nanoseconds since boot. */
  readonly startTime: number;
  readonly seenBy: "the kernel's table" | "/proc";
  readonly missedBy: "the kernel's table" | "/proc" | "/proc, as something is mounted over it there";
}

export interface TableCheckOptions {
  readonly source: Pick<ProcessSource, "look">;
  /** Lists the pids of `/proc`, as this user sees it. */
  readonly list?: () => number[];
  /** Start of a process of `/proc`, nanoseconds since boot; `null` when there is none. */
  readonly startOf?: (pid: number) => number | null;
  /** Pids of which `/proc` has a directory that something is mounted over. */
  readonly covered?: () => number[];
}

/** A listing of `/proc` and when it was made. */
interface Listing {
  readonly pids: ReadonlySet<number>;
  readonly from: number;
}

export class TableCheck {
  readonly #source: Pick<ProcessSource, "look">;
  readonly #list: () => number[];
  readonly #startOf: (pid: number) => number | null;
  readonly #covered: () => number[];
  #told = new Set<string>();

  constructor({ source, list, startOf, covered }: TableCheckOptions) {
    this.#source = source;
    this.#list = list ?? listProcesses;
    this.#startOf = startOf ?? startInProc;
    this.#covered = covered ?? readCoveredPids;
  }

  /** To be called right before the table is read. */
  before(): Listing {
    const from = bootTimeNs();
    return { from, pids: new Set(this.#list()) };
  }

  /** Whom one of the two does not show, each said once. To be called right after the table was read. */
  after(before: Listing, table: readonly TableEntry[]): Hidden[] {
    // Where `/proc` does not show the first process it keeps others' from this user, as it was told to.
    if (!before.pids.has(1)) return [];
    const after = new Set(this.#list());
    const hidden: Hidden[] = [];
    let again: ReadonlySet<number> | null = null;
    for (const { pid, startTime } of table) {
      if (hidden.length >= MAX_HIDDEN) break;
      if (before.pids.has(pid) || after.has(pid) || startTime > before.from - MARGIN_NS) continue;
      // It was there before and after the first listing. It may have ended before the second, and by now.
      again ??= new Set(this.#list());
      if (!again.has(pid) && this.#isThere(pid, startTime)) {
        this.#tell(hidden, { pid, startTime, seenBy: "the kernel's table", missedBy: "/proc" });
      }
    }
    for (const pid of this.#covered().slice(0, MAX_HIDDEN)) {
      const startTime = this.#source.look(pid)?.startTime;
      if (startTime === undefined || hidden.length >= MAX_HIDDEN) continue;
      const missedBy = "/proc, as something is mounted over it there";
      this.#tell(hidden, { pid, startTime, seenBy: "the kernel's table", missedBy });
    }
    const shown = new Set(table.map(({ pid }) => pid));
    for (const pid of before.pids) {
      if (hidden.length >= MAX_HIDDEN) break;
      if (shown.has(pid) || !after.has(pid)) continue;
      const startTime = this.#startOf(pid);
      if (startTime === null || startTime > before.from - MARGIN_NS) continue;
      if (this.#source.look(pid) === null && this.#startOf(pid) === startTime) {
        this.#tell(hidden, { pid, startTime, seenBy: "/proc", missedBy: "the kernel's table" });
      }
    }
    return hidden;
  }

  #isThere(pid: number, startTime: number): boolean {
    return this.#source.look(pid)?.startTime === startTime;
  }

  #tell(hidden: Hidden[], found: Hidden): void {
    const name = `${found.pid} ${found.startTime}`;
    if (this.#told.has(name)) return;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.add(name);
    hidden.push(found);
  }
}

/** Whether this process sees the pids of the whole host: otherwise the two listings name different things. */
export function seesAllPids(): boolean {
  return readProcLinkText(Deno.pid, "/ns/pid") === `pid:[${FIRST_PID_NAMESPACE}]`;
}

/** Whether `/proc` says that pids here are another namespace's than the host's. */
export function isInOwnPidNamespace(): boolean {
  return readProcLinkText(Deno.pid, "/ns/pid") !== null && !seesAllPids();
}

function readProcLinkText(pid: number, link: string): string | null {
  const count = readProcLink(putPid(pid), cString(link));
  return linkText(count);
}

function startInProc(pid: number): number | null {
  const run = readRunState(pid);
  return run === null ? null : run.startTicks * TICK_NS;
}
