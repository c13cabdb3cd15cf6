/**
 * One tier under supervision: started, started again when it ends unasked, stopped on request.
 *
 * @module
 */
import { Backoff } from "./backoff.ts";
import type { Guard } from "./guard.ts";
import { describeEnd, LAST_END } from "./last_end.ts";
import { lines } from "./lines.ts";

/** Time that a tier gets to stop by itself before SIGKILL. */
export const STOP_DEADLINE_MS = 5_000;

export interface SupervisedOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly guard: Guard;
  readonly onStdout: (line: string) => void;
  readonly onStderr: (line: string) => void;
  /** Why the tier is not running, and when it is started again. */
  readonly onEnd: (sentence: string) => void;
}

export class Supervised {
  readonly #options: SupervisedOptions;
  readonly #backoff = new Backoff();
  /** Resolved by {@linkcode stop}: ends a wait before the next start. */
  readonly #stopped = Promise.withResolvers<void>();
  #stopping = false;
  #process: Deno.ChildProcess | null = null;
  #running: Promise<void> | null = null;
  /** How it ended the last time, for its next run. */
  #lastEnd: Record<string, string> = {};

  constructor(options: SupervisedOptions) {
    this.#options = options;
  }

  /** The process id while it runs. */
  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Ends the tier for good: SIGTERM, then SIGKILL after {@linkcode STOP_DEADLINE_MS}. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#stopped.resolve();
    this.#signal("SIGTERM");
    const deadline = setTimeout(() => this.kill(), STOP_DEADLINE_MS);
    await this.#running;
    clearTimeout(deadline);
  }

  /** Ends it now. */
  kill(): void {
    this.#stopping = true;
    this.#stopped.resolve();
    this.#signal("SIGKILL");
  }

  async #run(): Promise<void> {
    const { name, onEnd } = this.#options;
    while (!this.#stopping) {
      const began = performance.now();
      const why = await this.#once();
      if (this.#stopping) return;
      const wait = this.#backoff.after(performance.now() - began);
      onEnd(`the ${name} ended (${why}); it starts again in ${wait / 1000} s`);
      await delay(wait, this.#stopped.promise);
    }
  }

  /** Runs the process to its end and says how it ended. */
  async #once(): Promise<string> {
    const { command, env, guard, onStdout, onStderr } = this.#options;
    const [program, ...args] = command;
    let process: Deno.ChildProcess;
    try {
      process = new Deno.Command(program!, {
        args,
        cwd: "/",
        clearEnv: true,
        env: { ...env, ...this.#lastEnd },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
        // A session of its own: Ctrl-C reaches the supervisor alone, and the tier has no terminal to write to.
        detached: true,
      }).spawn();
    } catch (error) {
      return `could not be started: ${error instanceof Error ? error.message : error}`;
    }
    this.#process = process;
    guard.watch(process.pid);
    const forward = async (stream: ReadableStream<Uint8Array>, to: (line: string) => void): Promise<void> => {
      for await (const line of lines(stream)) to(line);
    };
    const [status] = await Promise.all([
      process.status.then((status) => {
        guard.forget(process.pid);
        this.#process = null;
        return status;
      }),
      forward(process.stdout, onStdout),
      forward(process.stderr, onStderr),
    ]);
    if (this.#stopping) return "";
    const { words, variable } = await describeEnd(status, process.pid);
    this.#lastEnd = { [LAST_END]: variable };
    return words;
  }

  #signal(signal: Deno.Signal): void {
    try {
      this.#process?.kill(signal);
    } catch {
      // It ended in this moment.
    }
  }
}

async function delay(ms: number, until: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([until, new Promise<void>((resolve) => timer = setTimeout(resolve, ms))]);
  clearTimeout(timer);
}
