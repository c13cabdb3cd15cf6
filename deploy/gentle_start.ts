/**
 * A start that leaves the processor to others first.
 *
 * A program of this kind uses some third of a second of several processors before it does anything, and a collector that
 * has crashed must not slow down those that have not. Each is a session of its own, and to those the kernel gives the
 * processor as to one group (`sched(7)`, autogroups): the group of one that starts gets less of it, for a time that is
 * over soon also where it gets nearly none. Where the kernel knows no such groups, or the supervisor is in a control group
 * of its own, a start is like any other.
 *
 * @module
 */

/** Of a group that starts: it gets a tenth of what another gets that wants the processor at the same time. */
const START_NICE = 10;
/** From here on it is like any other, started or not. */
const START_MS = 2_000;
/** The kernel takes ten changes a second from who does not administer it. */
const RETRY_MS = 150, TRIES = 20;

/** Has the session of a process that was just started step back for {@linkcode START_MS}. To be closed when it has ended. */
export class GentleStart {
  readonly #file: Deno.FsFile | null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(pid: number) {
    // Opened once: later it may be another user's, which not every root may open.
    this.#file = opened(`/proc/${pid}/autogroup`);
    this.#begin(TRIES);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#file?.close();
  }

  #begin(tries: number): void {
    if (this.#set(START_NICE)) this.#endLater(START_MS, TRIES);
    else if (this.#file !== null && tries > 1) this.#timer = setTimeout(() => this.#begin(tries - 1), RETRY_MS);
  }

  #endLater(ms: number, tries: number): void {
    this.#timer = setTimeout(() => {
      if (!this.#set(0) && tries > 1) this.#endLater(RETRY_MS, tries - 1);
    }, ms);
  }

  /** Whether the kernel took it. */
  #set(nice: number): boolean {
    try {
      this.#file?.writeSync(new TextEncoder().encode(`${nice}`));
      return this.#file !== null;
    } catch {
      return false; // it has ended, or too many changes were made just now
    }
  }
}

/** `null` where there are no such groups, or it has ended. */
function opened(path: string): Deno.FsFile | null {
  try {
    return Deno.openSync(path, { write: true });
  } catch {
    return null;
  }
}
