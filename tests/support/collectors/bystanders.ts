/**
 * Starts the two processes of `bystander.ts`, and reads their times.
 *
 * @module
 */
import { readTimes, type Time } from "./clock_times.ts";

const PROGRAM = new URL("bystander.ts", import.meta.url).pathname;

export class Bystanders implements AsyncDisposable {
  private constructor(private readonly directory: string, private readonly processes: readonly Deno.ChildProcess[]) {}

  static async start(): Promise<Bystanders> {
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-bystanders-" });
    const run = (...args: string[]): Deno.ChildProcess =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "-q", "--no-check", PROGRAM, ...args],
        stdin: "null",
        stdout: "piped",
        // A session of its own each, as every collector has one.
        detached: true,
      }).spawn();
    const answering = run(`${directory}/socket`), reader = answering.stdout.getReader();
    await reader.read(); // "ready"
    await reader.cancel();
    const asking = run(`${directory}/socket`, `${directory}/times`);
    await asking.stdout.cancel();
    return new Bystanders(directory, [answering, asking]);
  }

  times(): Time[] {
    return readTimes(`${this.directory}/times`, "answered");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.processes) {
      process.kill("SIGKILL");
      await process.status;
    }
    await Deno.remove(this.directory, { recursive: true });
  }
}
