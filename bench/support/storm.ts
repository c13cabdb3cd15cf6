/**
 * Storms of processes: many, each with a command line that no other has, each living as long as the others.
 *
 * @module
 */
import { output } from "./commands.ts";

const SOURCES = new URL("./", import.meta.url).pathname;

export interface StormSize {
  readonly count: number;
  readonly forkers: number;
  /** How long each process lives; 0 is as short as can be, some 50 microseconds. */
  readonly lifetimeMs: number;
}

export interface Storm {
  /** Microseconds, the CPU time user and system of all its processes. */
  readonly wall: number;
  readonly cpu: number;
  /** Of its processes, by their number. */
  readonly pids: readonly number[];
}

/** Compiles what storms need into a directory. */
export class StormMaker {
  private constructor(private readonly directory: string) {}

  static async build(directory: string, lifetimesMs: readonly number[]): Promise<StormMaker> {
    const maker = new StormMaker(directory);
    await output("gcc", ["-O2", "-o", `${directory}/storm`, `${SOURCES}storm.c`]);
    for (const ms of lifetimesMs) {
      const flags = ["-O2", "-static", "-nostdlib", `-DLIFETIME_MS=${ms}`];
      await output("gcc", [...flags, "-o", maker.program(ms), `${SOURCES}tiny.c`]);
    }
    return maker;
  }

  /** What the processes of a storm run: their arguments are this and `TAG-NUMBER`. */
  program(lifetimeMs: number): string {
    return `${this.directory}/tiny${lifetimeMs}`;
  }

  async run({ count, forkers, lifetimeMs }: StormSize, tag: string): Promise<Storm> {
    const args = [`${count}`, `${forkers}`, tag, this.program(lifetimeMs)];
    const { failedForkers, ...storm } = JSON.parse(await output(`${this.directory}/storm`, args));
    if (failedForkers !== 0) throw new Error("The storm could not start all its processes");
    return storm;
  }
}
