/**
 * Exec and exit records out of whole process tables, read one after the other: what the polling rungs share.
 *
 * A process that is new in a table becomes an exec record of the time it began, one that is gone an exit record of the
 * time it was missed first, one that runs another program an exec record of now. Pure but for what it remembers.
 *
 * @module
 */
import type { ExecRecord, SourceRecord, TableEntry } from "./source.ts";

export class TableWatcher {
  #known: ReadonlyMap<number, TableEntry> | null = null;
  #pending: SourceRecord[] = [];
  readonly #youthNs: number;
  /** Records made, by kind. */
  readonly received = { exec: 0, fork: 0, exit: 0 };
  /** Beginnings of processes whose arguments could not be read. */
  damaged = 0;

  /** @param youthNs how long after its start a table may still show a process between its fork and its exec */
  constructor(youthNs: number) {
    this.#youthNs = youthNs;
  }

  /** The last table by pid, `null` before the first. */
  get known(): ReadonlyMap<number, TableEntry> | null {
    return this.#known;
  }

  /** Records that wait. */
  get waiting(): number {
    return this.#pending.length;
  }

  /** Takes a table that was read just before `now` (nanoseconds since boot). The first one is the baseline. */
  compare(table: readonly TableEntry[], now: number): void {
    const known = this.#known;
    const next = new Map<number, TableEntry>();
    for (const entry of table) {
      next.set(entry.pid, entry);
      if (known === null) continue;
      const before = known.get(entry.pid);
      if (before === undefined || before.startTime !== entry.startTime) {
        if (before !== undefined) this.#ended(before, entry.startTime);
        this.#began(entry, entry.startTime);
      } else if (this.#runsAnother(before, entry, now)) this.#began(entry, now);
    }
    if (known !== null) { for (const entry of known.values()) if (!next.has(entry.pid)) this.#ended(entry, now); }
    this.#known = next;
  }

  /** Adds a record that no comparison gives. */
  push(record: SourceRecord): void {
    this.#pending.push(record);
  }

  /** Hands out what waits. A throw of `receive` comes after the last record and costs none. */
  drain(receive: (record: SourceRecord) => void): number {
    const records = this.#pending;
    this.#pending = [];
    let fault: { error: unknown } | null = null;
    for (const record of records) {
      try {
        receive(record);
      } catch (error) {
        fault ??= { error };
      }
    }
    if (fault !== null) throw fault.error;
    return records.length;
  }

  /** Forgets what waits. */
  close(): void {
    this.#pending = [];
  }

  #began(entry: TableEntry, time: number): void {
    if (entry.status === "zombie" || entry.status === "dead") return; // its program and arguments are gone already
    this.received.exec++;
    if (entry.argv === null && !entry.kernelThread) this.damaged++;
    const record: ExecRecord = {
      kind: "exec",
      time,
      pid: entry.pid,
      ppid: entry.ppid,
      startTime: entry.startTime,
      userId: entry.userId,
      groupId: entry.groupId,
      effectiveUserId: entry.effectiveUserId,
      name: entry.name,
      executablePath: entry.executablePath,
      argv: entry.argv,
      argvLength: entry.argvLength,
      inode: null,
      device: null,
      namespacePid: entry.namespacePid,
      context: entry.context,
    };
    this.#pending.push(record);
  }

  #ended(entry: TableEntry, time: number): void {
    this.received.exit++;
    const { pid, startTime, cpuTime } = entry;
    this.#pending.push({ kind: "exit", time, pid, startTime, exitStatus: null, cpuTime });
  }

  /**
   * Whether a process runs another program than before. Arguments alone may also have been rewritten by the process; in
   * its first moments, between fork and exec, they are taken as a new program's, and later the lifecycle reports a
   * change. Where no executable can be read, a new name together with new arguments is a new program. One whose fields
   * were read while it changed had the name of the former.
   */
  #runsAnother(before: TableEntry, after: TableEntry, now: number): boolean {
    if (after.kernelThread || after.status === "zombie") return false;
    const bothPaths = after.executablePath !== null && before.executablePath !== null;
    if (bothPaths && after.executablePath !== before.executablePath) return true;
    if (bothPaths && hasItsName(after) && !hasItsName(before)) return true;
    if (after.argv === null || before.argv === null) return false;
    const isRenamed = after.executablePath === null && before.executablePath === null && after.name !== before.name;
    return (isRenamed || now - after.startTime < this.#youthNs) && !sameBytes(after.argv, before.argv);
  }
}

/** Longest name that the kernel gives a process. */
const NAME_BYTES = 15;

/** Whether it is called what the kernel calls the process of that executable. */
function hasItsName({ name, executablePath }: TableEntry): boolean {
  const path = executablePath!;
  return path.slice(path.lastIndexOf("/") + 1).slice(0, NAME_BYTES) === name;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
