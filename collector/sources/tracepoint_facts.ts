/**
 * What tracepoints tell, made whole with what `/proc` tells afterwards.
 *
 * What the kernel said in the moment stands. From `/proc` comes the rest, and only while the process is still the same
 * one and still runs the program in question: a pid may be another process', and a process run another program, by the
 * time that a record is read.
 *
 * @module
 */
import { TICK_NS } from "../../proto/identity.ts";
import type { Credentials, Executed, Exited, Forked } from "../kernel/tracepoint_records.ts";
import { type ExecRecord, type ForkRecord, NOTHING_KNOWN, type SourceRecord, type TableEntry } from "./source.ts";

/** The longest that a fork takes from the start of its child to its record. */
const FORK_NS = 1e9;

export class TracepointFacts {
  #damaged = 0;

  /**
   * `look` reads a process from `/proc`, without what the process could hold back: its arguments; `null` when it is
   * gone.
   */
  constructor(private readonly look: (pid: number) => TableEntry | null) {}

  /** Records whose arguments could not be had from anywhere. */
  get damaged(): number {
    return this.#damaged;
  }

  /**
   * The records of what was told, in its order, one after the other. An exec after which the batch tells of another, or
   * of the end, is not looked up: its program is gone.
   */
  *records(batch: readonly (Executed | Forked | Exited)[]): Generator<SourceRecord> {
    const last = new Map<number, Executed | Exited>();
    for (const told of batch) if (told.kind !== "fork") last.set(told.pid, told);
    for (const told of batch) yield this.#record(told, last.get(told.pid) === told);
  }

  #record(told: Executed | Forked | Exited, isLast: boolean): SourceRecord {
    switch (told.kind) {
      case "exec":
        return this.#exec(told, isLast ? this.look(told.pid) : null);
      case "fork":
        return this.#fork(told);
      case "exit":
        return { ...told, cpuTime: null };
    }
  }

  #exec(told: Executed, found: TableEntry | null): ExecRecord {
    const { kind, time, pid, startTime, userId, groupId, name } = told;
    const process = found !== null && isSameProcess(told, found) ? found : null;
    const image = process !== null && isSameImage(told, process) ? process : null;
    // A page of them was not in memory in the moment. `/proc` would wait for it, and a process can make that long.
    if (told.argv === null) this.#damaged++;
    // The effective user is read late; where the real one is another by now, so may this be.
    const hasKeptIds = process !== null && process.userId === userId && process.groupId === groupId;
    const { cgroupId, credentials, environment, environmentCut } = told;
    return {
      kind,
      time,
      pid,
      ppid: told.ppid ?? process?.ppid ?? null,
      startTime: startTime ?? process?.startTime ?? null,
      userId,
      groupId,
      effectiveUserId: credentials?.effectiveUserId ?? (hasKeptIds ? process.effectiveUserId : null),
      name,
      executablePath: image?.executablePath ?? namedExecutable(told),
      argv: told.argv,
      argvLength: told.argvLength,
      inode: null,
      device: null,
      namespacePid: process?.namespacePid ?? null,
      context: {
        ...(image?.context ?? NOTHING_KNOWN),
        ...(credentials === null ? null : circumstances(credentials)),
        cgroupId: cgroupId ?? image?.context?.cgroupId ?? null,
        environment,
        environmentCut,
      },
    };
  }

  #fork({ kind, time, pid, creator, isSibling }: Forked): ForkRecord {
    return {
      kind,
      time,
      pid,
      ppid: isSibling ? this.#parentOfSibling(pid, creator, time) : creator,
      startTime: null,
      namespacePid: null,
      pidNamespace: null,
    };
  }

  /** With CLONE_PARENT a child gets its creator's parent. Rare, so `/proc` is asked; else the creator has to stand in. */
  #parentOfSibling(pid: number, creator: number, time: number): number {
    const child = this.look(pid);
    if (child !== null && child.startTime <= time && time - child.startTime < FORK_NS) return child.ppid;
    const maker = this.look(creator);
    return maker !== null && maker.startTime <= time ? maker.ppid : creator;
  }
}

function circumstances(credentials: Credentials): Omit<Credentials, "effectiveUserId"> {
  const { savedUserId, effectiveGroupId, savedGroupId, effectiveCapabilities } = credentials;
  return { savedUserId, effectiveGroupId, savedGroupId, effectiveCapabilities };
}

function isSameProcess(told: Executed, entry: TableEntry): boolean {
  return told.startTime === null
    ? entry.startTime <= told.time
    : Math.floor(entry.startTime / TICK_NS) === Math.floor(told.startTime / TICK_NS);
}

/** Whether a process still runs the program of a record, as far as its name tells. */
function isSameImage(told: Executed, entry: TableEntry): boolean {
  return entry.status !== "zombie" && entry.status !== "dead" && entry.name === told.name;
}

/**
 * The executable by the name that it was started by: links in it are not resolved. `null` for a name that says nothing
 * later (relative, or by a descriptor), and for what may be a script, whose interpreter is what runs: the kernel puts a
 * script's name behind the interpreter's and its one argument.
 */
function namedExecutable({ fileName, argv }: Executed): string | null {
  if (fileName === null || !fileName.startsWith("/") || /^\/(?:proc|dev\/fd)\//.test(fileName)) return null;
  return argv === null || mayBeScript(argv, fileName) ? null : fileName;
}

function mayBeScript(argv: Uint8Array, fileName: string): boolean {
  let at = argv.indexOf(0) + 1;
  for (let index = 1; index <= 2 && at > 0; index++) {
    const end = argv.indexOf(0, at);
    const isCut = end < 0;
    if (isCut || decoder.decode(argv.subarray(at, end)) === fileName) return isCut ? at < argv.length : true;
    at = end + 1;
  }
  return false;
}
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
