/**
 * Whether a tier that runs still lives: its status file, which it writes to every second, and the time of CPU that it uses.
 *
 * A tier whose status has stood still for {@linkcode STILL_LOOKS} looks and that used no CPU meanwhile is stopped or
 * stuck, and is ended and started again. The status alone does not tell: on a full disk it cannot be written by a tier that
 * does all else. The file is in a directory of the tier's own, which is not trusted: only its number of changes is looked
 * at, never what is in it, and a name that is no file has not changed. Looks are counted, not time, so that a supervisor
 * that stood still itself blames nobody.
 *
 * @module
 */
import type { Supervised } from "./supervised.ts";

const LOOK_MS = 1_000;
/** Looks in a row without a change. */
const STILL_LOOKS = 60;
/** Clock ticks of CPU (1/100 s) that a tier uses in a minute at the least: writing its status takes more. */
const FEWEST_TICKS = 2;

interface Seen {
  readonly pid: number;
  readonly mark: string;
  readonly ticks: number;
  looks: number;
}

export interface StatusWatchOptions {
  readonly process: Supervised;
  readonly path: string;
  readonly say: (line: string) => void;
  /** Looks in a row without a change that are too many. */
  readonly stillLooks?: number;
  readonly lookMs?: number;
}

export class StatusWatch {
  readonly #options: StatusWatchOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  #seen: Seen | null = null;

  constructor(options: StatusWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), options.lookMs ?? LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { process, path, say, stillLooks = STILL_LOOKS } = this.#options, { pid } = process;
    if (pid === null) return void (this.#seen = null);
    const mark = markOf(path), ticks = ticksOf(pid);
    const seen = this.#seen;
    if (seen === null || seen.pid !== pid || seen.mark !== mark || ticks - seen.ticks >= FEWEST_TICKS) {
      return void (this.#seen = { pid, mark, ticks, looks: 0 });
    }
    seen.looks += 1;
    if (seen.looks < stillLooks) return;
    this.#seen = null;
    const fault = `its status and its use of CPU stood still for ${stillLooks} looks`;
    say(`the ${process.name} stands still (process ${pid}): ${fault}; it is ended and started again`);
    void process.abandon(fault);
  }
}

/** Resolves when a status is written anew, or so many milliseconds have passed. */
export async function nextStatus(path: string, withinMs: number): Promise<void> {
  const before = markOf(path), end = performance.now() + withinMs;
  do await new Promise((resolve) => setTimeout(resolve, NEXT_LOOK_MS)); while (
    markOf(path) === before && performance.now() < end
  );
}
const NEXT_LOOK_MS = 20;

/** Changes with each replacement of the file. */
function markOf(path: string): string {
  try {
    const { ino, mtime, isFile } = Deno.lstatSync(path);
    return isFile ? `${ino} ${mtime?.getTime()}` : "";
  } catch {
    return "";
  }
}

/** Clock ticks of CPU that a process has used: fields 14 and 15 of its stat, counted from behind its name. */
function ticksOf(pid: number): number {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return -1;
  }
}
