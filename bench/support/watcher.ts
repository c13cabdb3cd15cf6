/**
 * Programs that watch processes start, ours and others', as the capture benchmark runs them.
 *
 * @module
 */
import type { Storm, StormMaker, StormSize } from "./storm.ts";

export interface Watcher {
  readonly name: string;
  /** Starts it and waits until it watches. @throws {NotMeasured} */
  start(maker: StormMaker, size: StormSize): Promise<Watching>;
}

export interface Watching {
  readonly pid: number;
  /** From here on the storm of that tag is to be seen. */
  begin(tag: string): Promise<void>;
  /** Ends the watcher and tells what it saw of the storm since {@linkcode begin}. */
  end(storm: Storm): Promise<Sighting>;
  /** Ends the watcher, whatever state it is in. */
  stop(): Promise<void>;
}

export interface Sighting {
  /** Processes of the storm of which it said anything. */
  readonly seen: number;
  /** Processes of which it gave the whole command line. */
  readonly exact: number;
}

/** A watcher cannot run here; the message says why. */
export class NotMeasured extends Error {
  override name = "NotMeasured";
}

/** One storm, watched. */
export interface Watched {
  readonly storm: Storm;
  readonly sighting: Sighting;
  /** Microseconds that the watcher and the children that it waited for took, by ticks of 10 ms. */
  readonly cpu: number;
}

let storms = 0;
/** A tag that no storm had. */
export function freshTag(): string {
  return `storm${storms++}x`;
}

/** Starts a watcher, runs a storm under its eyes and ends it. @throws {NotMeasured} */
export async function watch(watcher: Watcher, maker: StormMaker, size: StormSize): Promise<Watched> {
  const watching = await watcher.start(maker, size);
  try {
    const tag = freshTag();
    await watching.begin(tag);
    const before = cpuOf(watching.pid);
    const storm = await maker.run(size, tag);
    // It goes on with what its buffers still hold.
    await settle(watching.pid, 3_000);
    const cpu = cpuOf(watching.pid) - before;
    return { storm, sighting: await watching.end(storm), cpu };
  } finally {
    await watching.stop();
  }
}

const SETTLED_MS = 300;

/** Waits until a process has used no CPU time for a while, as one that has nothing left to do. */
export async function settle(pid: number, patienceMs: number): Promise<void> {
  const end = performance.now() + patienceMs;
  let cpu = -1, since = performance.now();
  while (performance.now() < end && performance.now() - since < SETTLED_MS) {
    const now = cpuOf(pid);
    if (now !== cpu) since = performance.now();
    cpu = now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Microseconds of user and system time, with that of children that were waited for; ticks are of 10 ms. */
function cpuOf(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10_000, 0);
}
