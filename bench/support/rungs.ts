/**
 * The rungs of our source ladder, each in a process of its own under the collector's grant.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { libcPath } from "../../collector/kernel/libc.ts";
import { SOURCE_NAMES, type SourceName } from "../../proto/process_event.ts";
import type { StormMaker, StormSize } from "./storm.ts";
import { freshTag, NotMeasured, type Sighting, type Watcher, type Watching } from "./watcher.ts";

const COLLECTOR = new URL("./capture_collector.ts", import.meta.url).pathname;

/** What one of our sources saw of a storm. */
export interface Capture extends Sighting {
  /** Starts with exact argv, uid, gid, ppid, executable and name, once each; forks and ends with exit status, likewise. */
  readonly whole: number;
  readonly forks: number;
  readonly ends: number;
  /** Starts of the storm's processes with something that is not so. */
  readonly wrong: number;
  /** Records lost, in number where it is known and in times where it is not; and records with a part missing. */
  readonly lost: number;
  readonly overruns: number;
  readonly damaged: number;
  /** Bytes. */
  readonly memory: number;
}

export interface Rung extends Watcher {
  readonly name: SourceName;
}

/** All rungs, best first. */
export const rungs: readonly Rung[] = SOURCE_NAMES.map((name) => ({
  name,
  start: (maker, size) => startRung(name, maker, size),
}));

/** Of the storm that warms a collector up, as one that has run for days is warm. */
const WARM_UP = { count: 10_000, forkers: 2, lifetimeMs: 0 };

async function startRung(name: SourceName, maker: StormMaker, size: StormSize): Promise<Watching> {
  const grants = ["--no-prompt", `--allow-ffi=${libcPath}`, ...(name === "ps" ? [`--allow-run=${psPath()}`] : [])];
  const collector = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", ...grants, COLLECTOR, name, `${size.count}`, maker.program(size.lifetimeMs)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const input = collector.stdin.getWriter();
  const tell = (line: string): Promise<void> => input.write(new TextEncoder().encode(`${line}\n`));
  const output = collector.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const line = async (): Promise<string> => {
    let end: number;
    while ((end = text.indexOf("\n")) < 0) {
      const { value, done } = await output.read();
      if (done) throw new Error(`The collecting process of ${name} ended after saying ${JSON.stringify(text)}`);
      text += value;
    }
    const first = text.slice(0, end);
    text = text.slice(end + 1);
    return first;
  };
  const stop = async (): Promise<void> => {
    await input.close().catch(() => {});
    await output.cancel();
    await collector.status;
  };
  try {
    const { unavailable } = JSON.parse(await line());
    if (unavailable !== null) throw new NotMeasured(unavailable);
    if (size.lifetimeMs === 0) await maker.run(WARM_UP, freshTag());
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid: collector.pid,
    async begin(tag) {
      await tell(tag);
      await line();
    },
    async end(storm) {
      await tell("end");
      const { pids, ...capture } = JSON.parse(await line()) as Omit<Capture, "seen"> & { pids: number[] };
      const said = new Set(pids);
      const result: Capture = { ...capture, seen: storm.pids.filter((pid) => said.has(pid)).length };
      return result;
    },
    stop,
  };
}

/** The one `ps` that a collector is granted. */
function psPath(): string {
  return existsSync("/usr/bin/ps") ? "/usr/bin/ps" : "/bin/ps";
}
