/**
 * What the collector remembers of a process and of the program that it runs.
 *
 * Everything here was redacted before it came here. A process refers to images, never to other processes: a chain of
 * parents that have ended would otherwise stay in memory as long as its last child lives.
 *
 * @module
 */

import { commandLine, splitArgv } from "../proto/argv.ts";
import { TICK_NS } from "../proto/identity.ts";
import type { ProcessContext } from "../proto/process_event.ts";

/** Longest `parent_command_line` of an event, in characters; the parent's own events have all of it. */
const MAX_PARENT_COMMAND = 2_048;

/** Two start times of one process, one of them taken from the time of a record, differ by less. */
export const SAME_START_NS = 100e6;

/** Bytes of arguments that a lean image keeps. */
export const LEAN_ARGV_BYTES = 256;

/** A program as one `execve` brought it into a process; a fork shares it. */
export class Image {
  #commandLine: string | null | undefined;

  constructor(
    readonly name: string,
    readonly executablePath: string | null,
    /** Whether the file that runs is no longer the one of its path; `null` when unknown. */
    readonly onDiskMismatch: boolean | null,
    readonly argv: Uint8Array | null,
    readonly argvLength: number | null,
    readonly inode: number | null,
    readonly device: number | null,
    /** See `ExecRecord.changeTime`. */
    readonly changeTime: number | null = null,
  ) {}

  /** Roughly what it takes in memory, in bytes. */
  get weight(): number {
    return (this.argv?.length ?? 0) + (this.executablePath?.length ?? 0);
  }

  /** The arguments as text, for the events of its children. Made once, as most images have no children. */
  get commandLine(): string | null {
    if (this.#commandLine === undefined) {
      const text = this.argv === null ? null : commandLine(splitArgv(this.argv));
      this.#commandLine = text === null ? null : text.slice(0, MAX_PARENT_COMMAND).toWellFormed();
    }
    return this.#commandLine;
  }

  /** The same with only the first of its arguments, for when memory is short. */
  lean(): Image {
    if (this.argv === null || this.argv.length <= LEAN_ARGV_BYTES) return this;
    return this.with({ argv: this.argv.slice(0, LEAN_ARGV_BYTES) });
  }

  with(changes: Partial<Pick<Image, "name" | "executablePath" | "onDiskMismatch" | "argv" | "argvLength">>): Image {
    const { name, executablePath, onDiskMismatch, argv, argvLength } = { ...plain(this), ...changes };
    return new Image(name, executablePath, onDiskMismatch, argv, argvLength, this.inode, this.device, this.changeTime);
  }
}

function plain(image: Image): Pick<Image, "name" | "executablePath" | "onDiskMismatch" | "argv" | "argvLength"> {
  const { name, executablePath, onDiskMismatch, argv, argvLength } = image;
  return { name, executablePath, onDiskMismatch, argv, argvLength };
}

/** An image of which nothing is known. */
export const UNKNOWN_IMAGE: Image = new Image("", null, null, null, null, null, null);

/**
 * How well the start of a process is known: to the tick, from the time of its fork, or only that it was before some
 * record of it (whose tick then stands in its name).
 */
export type StartKnowledge = "exact" | "near" | "unknown";

/** How much of a process' begin has been reported: nothing, its event, or its row in the first snapshot. */
export type Reported = "no" | "event" | "baseline";

/** A process, alive or ended a short while ago. Times are nanoseconds since boot. */
export class TrackedProcess {
  /** Start in the unit of its name: see `proto/identity.ts`. */
  startTicks: number;
  /** Names its last execution; empty until something needs the name, as its start may become better known until then. */
  execId = "";
  /** Unix milliseconds of the start, once an event has said so: a later step of the clock must not change it. */
  startMs: number | null = null;
  ppid: number | null = null;
  parentExecId: string | null = null;
  parentImage: Image | null = null;
  userId: number | null = null;
  effectiveUserId: number | null = null;
  groupId: number | null = null;
  kernelThread = false;
  namespacePid: number | null = null;
  context: ProcessContext | null = null;
  reported: Reported = "no";
  /** Since when the image is known to be this: the time of its fork or exec, or of the table that showed it. */
  imageSince = 0;
  /**
   * Up to when its ids may be later ones than those of records: a table that took them from it, or from its parent before
   * the fork, was read whole by then.
   */
  idsUntil = 0;
  /** Whether a snapshot showed the image, and not a record. */
  imageFromTable = false;
  /** Tick in the name of the last execution, so that two in one tick get two names. */
  lastExecTicks = 0;
  endTime: number | null = null;
  /** Number of the last snapshot that showed it. */
  seenIn = 0;
  /** Whether its name and its parent's come from the table of the last run. */
  isCarried = false;
  /** Whether the file of the last known table has it. */
  isWritten = false;
  /** Whether it is to be written there: see `KnownChanges`. */
  isChanged = false;
  /** What was said to be suspicious in it: see `suspicions.ts`. */
  suspected = 0;
  /** What was last said of these two, or seen first; `null` before. Nanoseconds and bytes. */
  cpuTime: number | null = null;
  memoryUsage: number | null = null;
  /** What the table counted for it: see `ProcessTable`. */
  counted = 0;

  constructor(
    readonly pid: number,
    public startTime: number,
    public start: StartKnowledge,
    public image: Image,
  ) {
    this.startTicks = ticksOf(startTime);
  }

  /** Which process of this pid has the given start: this one, one after it or one before it. */
  relate(startTime: number): "same" | "younger" | "older" {
    if (this.start === "exact") {
      const ticks = ticksOf(startTime);
      return ticks === this.startTicks ? "same" : ticks > this.startTicks ? "younger" : "older";
    }
    const isSame = this.start === "near"
      ? Math.abs(startTime - this.startTime) < SAME_START_NS
      : startTime <= this.startTime;
    return isSame ? "same" : startTime > this.startTime ? "younger" : "older";
  }

  /** Takes over the exact start, unless the process was named by another one already. */
  correctStart(startTime: number): void {
    if (this.start === "exact" || this.execId !== "") return;
    this.startTime = startTime;
    this.startTicks = ticksOf(startTime);
    this.start = "exact";
  }
}

/** The tick of a start. A name has no sign: what claims to have begun before boot is named as begun with it. */
function ticksOf(startTime: number): number {
  return Math.max(0, Math.floor(startTime / TICK_NS));
}
