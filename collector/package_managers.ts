/**
 * When package managers ran, as the collector itself saw it: what changed on the disk in that time is their doing, as far
 * as anybody can tell from a time.
 *
 * Only root's own counts, in the host's own mounts, from the place where its package puts it: nobody else may write where
 * programs of the system lie, and whoever has root may run `dpkg` too. So a change in its time is told all the same, with
 * both hashes, and only as less bad. Only those stand here that write the files themselves and end when they have: `apt`
 * has `dpkg` do it, and a service that always runs, as `snapd` does, would excuse everything.
 *
 * Bounded: of the many that ran, the oldest are forgotten, and what they changed is then told as any other change.
 *
 * @module
 */
import type { ProcessEvent } from "../proto/process_event.ts";

/** Programs of their own, by the path that the kernel gives. */
const PROGRAMS: ReadonlyMap<string, string> = new Map([
  "/usr/bin/dpkg",
  "/usr/bin/dpkg-divert",
  "/usr/bin/rpm",
  "/usr/bin/dnf5",
  "/usr/bin/microdnf",
  "/usr/bin/tdnf",
  "/usr/bin/zypper",
  "/usr/bin/pacman",
  "/sbin/apk",
  "/usr/bin/apk",
  "/usr/sbin/apk",
  "/usr/bin/xbps-install",
  "/usr/bin/xbps-reconfigure",
].map((path) => [path, nameOf(path)]));

/** Scripts, by the path that was executed, and what interprets them. */
const SCRIPTS: ReadonlyMap<string, string> = new Map(
  ["/usr/bin/dnf", "/usr/bin/dnf-3", "/usr/bin/dnf4", "/usr/bin/yum", "/bin/yum"].map((path) => [path, nameOf(path)]),
);
const INTERPRETER = /^\/usr\/(?:bin|libexec)\/(?:platform-)?python[\d.]*$/;

/** Where packages put programs, and administrators; nobody but root may write there. */
const SYSTEM_PATHS = /^\/(?:usr|bin|sbin|lib|lib32|lib64|libexec|opt|boot|etc)\//;

/** Times of files are taken from a clock that goes in ticks of at most 10 ms; those of events are cut to 1 ms. */
const TICK_MS = 20;
/** Runs that have ended, of some 100 bytes each. An upgrade makes some ten; a script that asks `dpkg` all day more. */
const MAX_RUNS = 4_096;
/** No host has so many at once: the oldest ended unseen. */
const MAX_RUNNING = 256;

/** One run of a package manager. Times are Unix milliseconds. */
export interface ManagerRun {
  readonly name: string;
  readonly pid: number;
  readonly from: number;
  readonly to: number;
}

type Start = Pick<
  ProcessEvent,
  "pid" | "time" | "startTime" | "reason" | "executablePath" | "executableKind" | "effectiveUserId" | "context"
>;

export class PackageManagers {
  readonly #running = new Map<number, Omit<ManagerRun, "to">>();
  /** A ring: `#next` is the oldest once it is full. */
  readonly #runs: ManagerRun[] = [];
  #next = 0;
  #ended = 0;

  /** Takes the start of any program. */
  started(start: Start): void {
    if (start.reason === "fork") return; // its parent's run goes on
    const { pid, time } = start;
    if (this.#running.size > 0) this.ended(pid, time); // an `execve` ends one too
    if (start.reason === "late") return; // it has ended already, nobody knows when
    const name = managerOf(start);
    if (name === null) return;
    if (this.#running.size >= MAX_RUNNING) this.ended(this.#running.keys().next().value!, time);
    // What a table shows began before it was read.
    const from = start.reason === "snapshot" ? Math.min(time, start.startTime ?? time) : time;
    this.#running.set(pid, { name, pid, from });
  }

  /** Takes the end of any process. */
  ended(pid: number, time: number): void {
    if (this.#running.size === 0) return;
    const run = this.#running.get(pid);
    if (run === undefined) return;
    this.#running.delete(pid);
    this.#keep({ ...run, to: Math.max(run.from, time) });
    this.#ended++;
  }

  /** Takes the end of the collector: what runs on is known again by the next one, from its start. */
  endAll(time: number): void {
    for (const pid of [...this.#running.keys()]) this.ended(pid, time);
  }

  /** The one that ran when a file changed, at a time of its file system's clock in nanoseconds; `null` for none. */
  during(changeTime: number | null): Omit<ManagerRun, "to"> | null {
    if (changeTime === null) return null;
    const time = changeTime / 1e6;
    for (const run of this.#running.values()) if (run.from - TICK_MS <= time) return run;
    return this.#runs.find(({ from, to }) => from - TICK_MS <= time && time <= to + TICK_MS) ?? null;
  }

  /** How many have ended since the start: whether there is something new to keep. */
  get endedCount(): number {
    return this.#ended;
  }

  /** All that have ended, the oldest first. */
  runs(): ManagerRun[] {
    return [...this.#runs.slice(this.#next), ...this.#runs.slice(0, this.#next)];
  }

  /** Takes over what an earlier run of the collector saw, the oldest first. */
  restore(runs: readonly ManagerRun[]): void {
    for (const run of runs.slice(-MAX_RUNS)) this.#keep(run);
  }

  #keep(run: ManagerRun): void {
    if (this.#runs.length < MAX_RUNS) return void this.#runs.push(run);
    this.#runs[this.#next] = run;
    this.#next = (this.#next + 1) % MAX_RUNS;
  }
}

/** The words for a reason. */
export function whileRan({ name, pid }: Pick<ManagerRun, "name" | "pid">): string {
  return `while ${name} (process ${pid}) ran`;
}

/** Whether a path is one that a package manager may have written, and nobody but root. */
export function isSystemPath(path: string): boolean {
  return SYSTEM_PATHS.test(path);
}

function managerOf({ executablePath: path, executableKind, effectiveUserId, context }: Start): string | null {
  if (path === null || executableKind !== "file" || effectiveUserId !== 0) return null;
  const program = PROGRAMS.get(path);
  if (program !== undefined) return program;
  const script = context?.scriptPath ?? null;
  return script !== null && INTERPRETER.test(path) ? SCRIPTS.get(script) ?? null : null;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
