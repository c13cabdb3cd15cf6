/**
 * Two listings of processes against each other: what the kernel's iterator shows, and what `/proc` lists.
 *
 * Whoever hides from `ps` hides from one of them, or has something mounted over what `/proc` shows of them. `/proc` is
 * listed before and after the table is read, so that what began or ended meanwhile is told apart: hidden is only who
 * must have been there all the time. Nobody is accused by one look: it must be missing in a second one.
 *
 * Who is hidden from the kernel's table is read from `/proc`, so that its name and program stand in the table of who
 * watches, as every other's.
 *
 * @module
 */

import { linkText, listProcesses, putPid, readProcLink } from "./kernel/proc_files.ts";
import { readCoveredPids, readProcess, SAFE } from "./kernel/procfs.ts";
import { bootTimeNs, cString } from "./kernel/libc.ts";
import type { ArgumentReader } from "./kernel/argument_reader.ts";
import type { ProcessSource, TableEntry } from "./sources/source.ts";

/** A process that began this short a time before a listing is not asked for in it. */
const MARGIN_NS = 20e6;
/** Processes that are remembered as told; with more, some may be told again. */
const MAX_TOLD = 1_024;
/** Hidden processes that one look names. */
const MAX_HIDDEN = 64;
/** How long all that are hidden from the kernel's table may take to show their arguments. */
const ARGUMENTS_MS = 500;
const FIRST_PID_NAMESPACE = 0xeffffffc;

export interface Hidden {
  readonly pid: number;
  /** Nanoseconds since boot. */
  readonly startTime: number;
  readonly seenBy: "the kernel's table" | "/proc";
  readonly missedBy: "the kernel's table" | "/proc" | "/proc, as something is mounted over it there";
}

/** What a look found. */
export interface Checked {
  /** Whom one of the two does not show, each said once. */
  readonly hidden: readonly Hidden[];
  /** The table, and of `/proc` those whom it does not show, in every look. */
  readonly entries: TableEntry[];
}

export interface TableCheckOptions {
  readonly source: Pick<ProcessSource, "look">;
  /** Reads the arguments of who is hidden from the kernel's table. */
  readonly argumentsOf?: Pick<ArgumentReader, "read"> | null;
  /** Lists the pids of `/proc`, as this user sees it. */
  readonly list?: () => number[];
  /** A process as `/proc` shows it; `null` when there is none. */
  readonly read?: (pid: number) => TableEntry | null;
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
  readonly #argumentsOf: Pick<ArgumentReader, "read"> | null;
  readonly #read: (pid: number) => TableEntry | null;
  readonly #covered: () => number[];
  #told = new Set<string>();

  constructor({ source, argumentsOf, list, read, covered }: TableCheckOptions) {
    this.#source = source;
    this.#argumentsOf = argumentsOf ?? null;
    this.#list = list ?? listProcesses;
    this.#read = read ?? ((pid) => readProcess(pid, SAFE));
    this.#covered = covered ?? readCoveredPids;
  }

  /** To be called right before the table is read. */
  before(): Listing {
    const from = bootTimeNs();
    return { from, pids: new Set(this.#list()) };
  }

  /** To be called right after the table was read. */
  async after(before: Listing, table: TableEntry[]): Promise<Checked> {
    // Where `/proc` does not show the first process it keeps others' from this user, as it was told to.
    if (!before.pids.has(1)) return { hidden: [], entries: table };
    const after = new Set(this.#list()), hidden: Hidden[] = [];
    this.#findUnlisted(hidden, before, after, table);
    this.#findCovered(hidden);
    const unshown = this.#unshown(before, after, table);
    for (const { pid, startTime } of unshown) {
      this.#tell(hidden, { pid, startTime, seenBy: "/proc", missedBy: "the kernel's table" });
    }
    return { hidden, entries: unshown.length === 0 ? table : [...table, ...await this.#withArguments(unshown)] };
  }

  #findUnlisted(hidden: Hidden[], before: Listing, after: ReadonlySet<number>, table: readonly TableEntry[]): void {
    let again: ReadonlySet<number> | null = null;
    for (const { pid, startTime } of table) {
      if (before.pids.has(pid) || after.has(pid) || startTime > before.from - MARGIN_NS) continue;
      // It was there before and after the first listing. It may have ended before the second, and by now.
      again ??= new Set(this.#list());
      if (!again.has(pid) && this.#isThere(pid, startTime)) {
        this.#tell(hidden, { pid, startTime, seenBy: "the kernel's table", missedBy: "/proc" });
      }
    }
  }

  #findCovered(hidden: Hidden[]): void {
    for (const pid of this.#covered().slice(0, MAX_HIDDEN)) {
      const startTime = this.#source.look(pid)?.startTime;
      if (startTime === undefined) continue;
      const missedBy = "/proc, as something is mounted over it there";
      this.#tell(hidden, { pid, startTime, seenBy: "the kernel's table", missedBy });
    }
  }

  /** Who is in `/proc` and not in the table, the first ones of them, as `/proc` shows them. */
  #unshown(before: Listing, after: ReadonlySet<number>, table: readonly TableEntry[]): TableEntry[] {
    const unshown: TableEntry[] = [], shown = new Set(table.map(({ pid }) => pid));
    for (const pid of before.pids) {
      if (unshown.length >= MAX_HIDDEN) break;
      if (shown.has(pid) || !after.has(pid)) continue;
      const startTime = this.#read(pid)?.startTime;
      if (startTime === undefined || startTime > before.from - MARGIN_NS || this.#source.look(pid) !== null) continue;
      const entry = this.#read(pid);
      if (entry?.startTime === startTime) unshown.push(entry);
    }
    return unshown;
  }

  async #withArguments(entries: readonly TableEntry[]): Promise<readonly TableEntry[]> {
    const pids = entries.filter(({ kernelThread }) => !kernelThread).map(({ pid }) => pid);
    const found = await this.#argumentsOf?.read(pids, ARGUMENTS_MS);
    return entries.map((entry) => ({ ...entry, argv: found?.get(entry.pid) ?? null }));
  }

  #isThere(pid: number, startTime: number): boolean {
    return this.#source.look(pid)?.startTime === startTime;
  }

  #tell(hidden: Hidden[], found: Hidden): void {
    const name = `${found.pid} ${found.startTime}`;
    if (hidden.length >= MAX_HIDDEN || this.#told.has(name)) return;
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
