/**
 * The request spool: finds what operators put there, hands each request over once, and keeps the directory empty.
 *
 * Who may write the directory is decided by its mode, who asks is the file's owner; a file's group shows that its maker
 * was in the group of operators, as the directory gives it to what is made there. A request is written under a name that
 * begins with a dot and renamed when it is whole. It is removed before it is done: a crash does it once or not at all.
 *
 * It looks at the directory's time of change twice a second, which costs next to nothing, and into it when that is
 * new. The kernel would tell (inotify), but Deno (2.9.6) opens what it is told of: a pipe that somebody makes there holds
 * the watch for good, and links that lead out are kept quiet. Whatever else lies there is counted, told and removed; a
 * hostile operator costs the agent part of a processor's time and nobody's events. Files are looked at beside the agent's
 * own thread, some at a time, with pauses.
 *
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import { fileName, MAX_REQUEST_BYTES, parseFileName } from "../../proto/request.ts";
import { every, type Repeated } from "../beat.ts";
import type { Journal } from "../journal.ts";
import { type FileFault, FileRefusal, lookAt, type Looked, openReply, readFile, remove, timely } from "./spool_file.ts";

/** Files of one user that may lie there: what is being written, and replies. */
export const MAX_WAITING_FILES = 64;
/** What is neither taken nor fetched is removed after so long. */
const LEFT_MS = 600_000;
/** Files that are looked at at once, and between two pauses. */
const AT_ONCE = 4, BETWEEN_PAUSES = 32;
const PAUSE_MS = 4;
/** Between two looks at the directory, and between two into it while nothing is new: what is left lying grows old. */
const LOOK_MS = 500, SWEEP_MS = 30_000;
/** Where one request came, more come: so often then, and for so long. */
const BUSY_LOOK_MS = 50, BUSY_MS = 5_000;
/** Times of change are told in steps of some milliseconds: what comes right behind a look may bear the same. */
const GRAIN_MS = 1_000;
/** Each keeps a thread for good. */
const MAX_STUCK = 8;

/** A request that was taken out of the spool. */
export interface TakenFile {
  readonly id: string;
  readonly bytes: Uint8Array;
  readonly userId: number;
  /** `DEVICE:INODE` of the directory. */
  readonly spool: string;
  /** Open, empty, and who asks owns it; to be closed by who takes it. */
  readonly reply: FileHandle;
}

export interface SpoolOptions {
  readonly directory: string;
  readonly journal: Journal;
  readonly take: (file: TakenFile) => void;
  /** Tells of a file that is not taken; of whom is `null` where that cannot be known. */
  readonly refuse: (fault: FileFault, userId: number | null) => void;
  readonly lookMs?: number;
  readonly leftMs?: number;
}

interface Directory {
  /** `DEVICE:INODE`. */
  readonly id: string;
  readonly gid: number;
}

interface Entry {
  readonly name: string;
  readonly isFile: boolean;
}

export class Spool {
  readonly #options: SpoolOptions;
  #looks: Repeated | null = null;
  /** When a request came last, on the clock of `performance.now()`. */
  #takenAt = -Infinity;
  #running: Promise<void> | null = null;
  #stopped = false;
  #fault = "";
  /** What the directory was when the last look into it began, and when that was. */
  #seen = "";
  #seenAt = -Infinity;
  /** Names that cannot be removed, or whose file system does not answer: not touched again. */
  #left = new Set<string>();
  #stuck = 0;

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** From now on takes requests. */
  begin(): void {
    const { lookMs = LOOK_MS } = this.#options;
    const looks = this.#looks = every(lookMs, () => {
      this.#look();
      const isBusy = performance.now() - this.#takenAt < BUSY_MS;
      looks.pace(isBusy ? Math.min(lookMs, BUSY_LOOK_MS) : lookMs);
    });
  }

  /** Takes nothing more once this has resolved. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#looks?.stop();
    await this.#running;
  }

  /** Looks into the directory if there may be something new. The directory is the agent's own: asking for it never waits. */
  #look(): void {
    if (this.#running !== null || this.#stuck >= MAX_STUCK) return;
    try {
      const { isDirectory, dev, ino, gid, mtime } = Deno.lstatSync(this.#options.directory);
      if (!isDirectory) throw new TypeError("it is no directory");
      const changed = mtime?.getTime() ?? 0, seen = `${dev}:${ino} ${changed}`, now = Date.now();
      if (seen === this.#seen && changed < this.#seenAt - GRAIN_MS && Math.abs(now - this.#seenAt) < SWEEP_MS) return;
      this.#seen = seen;
      this.#seenAt = now;
      this.#running = this.#scan({ id: `${dev}:${ino}`, gid: gid ?? -1 })
        .then(() => void (this.#fault = ""), (error) => this.#complain(error)).finally(() => this.#running = null);
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Says once what keeps requests from being taken. */
  #complain(error: unknown): void {
    const { directory, journal } = this.#options, text = error instanceof Error ? error.message : String(error);
    if (text !== this.#fault && !this.#stopped) {
      journal.notice(`requests of operators are not taken: ${directory}: ${text}; 'deno task start' makes it`);
    }
    this.#fault = text;
    this.#seen = "";
  }

  /** Looks at everything once. */
  async #scan(spool: Directory): Promise<void> {
    const entries = await timely(list(this.#options.directory)), owners = new Map<number, number>();
    const names = new Set(entries.map(({ name }) => name));
    this.#left = new Set([...this.#left].filter((name) => names.has(name)));
    for (let at = 0; at < entries.length; at += BETWEEN_PAUSES) {
      if (at > 0) await pause(PAUSE_MS);
      const slice = entries.slice(at, at + BETWEEN_PAUSES).values();
      const work = async (): Promise<void> => {
        for (const entry of slice) if (!this.#stopped) await this.#one(entry, spool, owners);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    }
  }

  /** Takes or removes one. */
  async #one({ name, isFile }: Entry, spool: Directory, owners: Map<number, number>): Promise<void> {
    if (this.#left.has(name)) return;
    const { directory, take, refuse, journal } = this.#options, path = `${directory}/${name}`;
    let userId: number | null = null;
    try {
      const looked = await lookAt(path);
      if (looked === null) return;
      userId = looked.uid;
      if (!isFile || !looked.isFile) throw new FileRefusal("kind");
      const parsed = parseFileName(name);
      if (parsed === null && !name.startsWith(".")) throw new FileRefusal("name");
      if (parsed?.part !== "request") {
        const count = (owners.get(userId) ?? 0) + 1;
        owners.set(userId, count);
        if (count > MAX_WAITING_FILES) throw new FileRefusal("many");
        if (Date.now() - looked.changed > (this.#options.leftMs ?? LEFT_MS)) throw new FileRefusal("late");
        return;
      }
      const taken = await this.#take(path, parsed.id, looked, spool);
      this.#takenAt = performance.now();
      take(taken);
    } catch (error) {
      if (this.#stopped) return;
      const fault = error instanceof FileRefusal ? error.fault : "access";
      refuse(fault, userId);
      if (fault !== "stuck" && fault !== "kept" && await remove(path)) return;
      this.#left.add(name);
      if (fault !== "stuck") return;
      this.#stuck += 1;
      if (this.#stuck === MAX_STUCK) {
        journal.notice(
          `requests of operators are not taken any more: ${MAX_STUCK} files in ${directory} are on file systems that ` +
            `do not answer; unmount those, and start the agent again`,
        );
      }
    }
  }

  async #take(path: string, id: string, looked: Looked, spool: Directory): Promise<TakenFile> {
    if (looked.gid !== spool.gid) throw new FileRefusal("owner");
    const bytes = await readFile(path, looked, MAX_REQUEST_BYTES);
    if (!await remove(path)) throw new FileRefusal("kept");
    const reply = await openReply(`${this.#options.directory}/${fileName(id, "reply")}`, looked.uid);
    return { id, bytes, userId: looked.uid, spool: spool.id, reply };
  }
}

async function list(directory: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const { name, isFile } of Deno.readDir(directory)) entries.push({ name, isFile });
  return entries;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
