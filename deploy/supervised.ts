/**
 * One process under supervision: started, started again when it ends unasked, stopped, started and restarted on request.
 *
 * @module
 */
import type { SupervisedProcess } from "../proto/status.ts";
import type { SupervisionReply } from "../proto/supervisor_lines.ts";
import { Backoff, BUDGET_WINDOW_MS, RestartBudget } from "./backoff.ts";
import { GentleStart } from "./gentle_start.ts";
import type { Guard } from "./guard.ts";
import { describeEnd, LAST_END } from "./last_end.ts";
import { lines } from "./lines.ts";

/** Time that a tier gets to stop by itself before SIGKILL. */
const STOP_DEADLINE_MS = 5_000;
/** Restarts of a tier within ten minutes: at the longest waits it never uses them up. */
const TIER_RESTARTS = 20;

/** What may wait to be said to a process that reads slowly. */
const MAX_UNSAID = 262_144;

type State = "running" | "waiting" | "exhausted" | "stopped";

export interface SupervisedOptions {
  /** As people read it. */
  readonly name: string;
  /** As the agent knows it; the name by default. */
  readonly id?: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly guard: Guard;
  readonly onStdout: (line: string) => void;
  readonly onStderr: (line: string) => void;
  /** Why the tier is not running, and when it is started again. */
  readonly onEnd: (sentence: string) => void;
  /** Restarts within ten minutes. */
  readonly restarts?: number;
  /** What each run finds on its standard input at first; without it there is none. */
  readonly input?: () => string;
  /** Whether more can be said to it later: its standard input stays open. */
  readonly isSpokenTo?: boolean;
  /** Whether each start of it leaves the processor to others first. */
  readonly isGentle?: boolean;
  /** Its state has changed. */
  readonly onChange?: () => void;
}

export class Supervised {
  readonly #options: SupervisedOptions;
  readonly #backoff = new Backoff();
  readonly #budget: RestartBudget;
  /** Resolved by {@linkcode stop}. */
  readonly #stopped = Promise.withResolvers<void>();
  /** Ends a wait before the next start. */
  #wake: () => void = () => {};
  #stopping = false;
  /** What was asked for and ends the run of now, instead of a fault. */
  #asked: "stop" | "restart" | null = null;
  /** Why it is ended by the supervisor, unasked. */
  #fault = "";
  #process: Deno.ChildProcess | null = null;
  #input: WritableStreamDefaultWriter<Uint8Array> | null = null;
  #unsaid = "";
  #isSaying = false;
  #running: Promise<void> | null = null;
  /** Resolved when the process of now is gone. */
  #gone: Promise<void> = Promise.resolve();
  /** How it ended the last time, for its next run. */
  #lastEnd: Record<string, string> = {};
  #lastWords = "";
  #state: State = "running";
  #restarts = 0;
  /** Unix milliseconds; 0 when no start is due. */
  #nextStart = 0;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#budget = new RestartBudget(options.restarts ?? TIER_RESTARTS);
  }

  /** The process id while it runs. */
  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  get name(): string {
    return this.#options.name;
  }

  status(): SupervisedProcess {
    return {
      name: this.#options.id ?? this.name,
      state: this.#state,
      pid: this.pid ?? 0,
      restarts: this.#restarts,
      budget: this.#budget.left(performance.now()),
      lastEnd: this.#lastWords,
      nextStart: this.#nextStart,
    };
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Ends the tier for good: SIGTERM, then SIGKILL after {@linkcode STOP_DEADLINE_MS}. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#stopped.resolve();
    this.#wake();
    await this.#end(this.#running);
  }

  /** Ends it now. */
  kill(): void {
    this.#stopping = true;
    this.#stopped.resolve();
    this.#wake();
    this.#signal("SIGKILL");
  }

  /** Starts it again now: a running one is ended first. Its budget and its waits begin anew, as somebody knows of it. */
  async restart(): Promise<SupervisionReply> {
    this.#budget.forget();
    this.#backoff.forget();
    if (this.pid === null) {
      this.#wake();
      return { accepted: true, detail: "it did not run; it is started" };
    }
    this.#asked = "restart";
    const pid = this.pid;
    await this.#end(this.#gone);
    return { accepted: true, detail: `process ${pid} was ended; it is started again` };
  }

  /** Starts it if it does not run. */
  startNow(): Promise<SupervisionReply> {
    if (this.pid === null) return this.restart();
    return Promise.resolve({ accepted: false, detail: `it runs already, as process ${this.pid}` });
  }

  /** Ends it until somebody starts it. */
  async halt(): Promise<SupervisionReply> {
    if (this.#state === "stopped") return { accepted: false, detail: "it is stopped already" };
    this.#asked = "stop";
    this.#wake();
    await this.#end(this.#gone);
    return { accepted: true, detail: "it was stopped" };
  }

  /** Ends a process that is of no use any more; it is then started again as after any end. */
  async abandon(fault: string): Promise<void> {
    this.#fault = fault;
    await this.#end(this.#gone);
  }

  /** Writes to its standard input, as far as it has one. Does not wait for it, and does not throw. */
  tell(text: string): void {
    // One that takes nothing must not make this program grow: it gets what there is room for.
    if (this.#input === null || this.#unsaid.length + text.length > MAX_UNSAID) return;
    this.#unsaid += text;
    if (!this.#isSaying) void this.#say(this.#input);
  }

  async #say(input: WritableStreamDefaultWriter<Uint8Array>): Promise<void> {
    this.#isSaying = true;
    try {
      while (this.#unsaid !== "" && this.#input === input) {
        const text = this.#unsaid;
        this.#unsaid = "";
        await input.write(new TextEncoder().encode(text));
      }
    } catch {
      // It is gone.
    }
    this.#isSaying = false;
  }

  async #run(): Promise<void> {
    const { name, onEnd } = this.#options;
    while (!this.#stopping) {
      const began = performance.now();
      const why = await this.#once();
      if (this.#stopping) return;
      const asked = this.#asked, now = performance.now();
      this.#asked = null;
      if (asked === "restart") {
        this.#restarts += 1;
        onEnd(`the ${name} was ended on request; it starts again`);
        continue;
      }
      if (asked === "stop") {
        onEnd(`the ${name} was stopped on request`);
        await this.#rest("stopped", null);
        continue;
      }
      const untilRefilled = this.#budget.spend(now), backoff = this.#backoff.after(now - began);
      const wait = Math.max(untilRefilled, backoff), seconds = Math.round(wait / 100) / 10;
      onEnd(
        untilRefilled > 0
          ? `the ${name} ended (${why}); its ${this.#budget.limit} restarts in ${
            BUDGET_WINDOW_MS / 60_000
          } minutes are used up, it starts again in ${seconds} s`
          : `the ${name} ended (${why}); it starts again in ${seconds} s`,
      );
      await this.#rest(untilRefilled > 0 ? "exhausted" : "waiting", wait);
      if (untilRefilled > 0) this.#budget.spend(performance.now());
      this.#restarts += 1;
    }
  }

  /** Waits before the next start, or with `null` until somebody asks for one. */
  async #rest(state: "waiting" | "exhausted" | "stopped", ms: number | null): Promise<void> {
    this.#change(state, ms === null ? 0 : Date.now() + Math.ceil(ms));
    const woken = new Promise<void>((resolve) => this.#wake = resolve);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new Promise<void>((resolve) => timer = ms === null ? undefined : setTimeout(resolve, ms));
    if (!this.#stopping) await Promise.race([woken, over, this.#stopped.promise]);
    clearTimeout(timer);
    // Asked to stop while it waited: then it waits for somebody.
    if (this.#asked === "stop" && !this.#stopping) {
      this.#asked = null;
      await this.#rest("stopped", null);
    }
  }

  #change(state: State, nextStart: number): void {
    this.#state = state;
    this.#nextStart = nextStart;
    this.#options.onChange?.();
  }

  /** Runs the process to its end and says how it ended. */
  async #once(): Promise<string> {
    const { command, env, guard, onStdout, onStderr, input, isGentle = false } = this.#options;
    const [program, ...args] = command;
    let process: Deno.ChildProcess;
    try {
      process = new Deno.Command(program!, {
        args,
        cwd: "/",
        clearEnv: true,
        env: { ...env, ...this.#lastEnd },
        stdin: input === undefined ? "null" : "piped",
        stdout: "piped",
        stderr: "piped",
        // A session of its own: Ctrl-C reaches the supervisor alone, and the tier has no terminal to write to.
        detached: true,
      }).spawn();
    } catch (error) {
      return this.#lastWords = `could not be started: ${error instanceof Error ? error.message : error}`;
    }
    const gone = Promise.withResolvers<void>();
    this.#gone = gone.promise;
    this.#process = process;
    guard.watch(process.pid);
    const gentle = isGentle ? new GentleStart(process.pid) : null;
    this.#change("running", 0);
    const fed = this.#feed(process);
    const forward = async (stream: ReadableStream<Uint8Array>, to: (line: string) => void): Promise<void> => {
      for await (const line of lines(stream)) to(line);
    };
    const [status] = await Promise.all([
      process.status.then((status) => {
        guard.forget(process.pid);
        gentle?.close();
        this.#process = null;
        this.#input = null;
        this.#unsaid = "";
        gone.resolve();
        return status;
      }),
      forward(process.stdout, onStdout),
      forward(process.stderr, onStderr),
    ]);
    await fed;
    if (this.#stopping) return "";
    const { words, variable } = await describeEnd(status, process.pid);
    this.#lastEnd = { [LAST_END]: variable };
    this.#lastWords = this.#fault === "" ? words : `${this.#fault}; ${words}`;
    this.#fault = "";
    return this.#lastWords;
  }

  /** Gives a process what it finds on its standard input. Ends when that is closed. */
  async #feed(process: Deno.ChildProcess): Promise<void> {
    const { input, isSpokenTo = false } = this.#options;
    if (input === undefined) return;
    const writer = process.stdin.getWriter();
    try {
      await writer.write(new TextEncoder().encode(input()));
      if (isSpokenTo) {
        this.#input = writer;
        this.#options.onChange?.(); // it is to be told how things stand
        await process.status;
      }
      await writer.close();
    } catch {
      // It has closed its end, or is gone.
    }
  }

  /** Ends the process of now, first by asking it, and waits for `end`. */
  async #end(end: Promise<void> | null): Promise<void> {
    this.#signal("SIGTERM");
    const deadline = setTimeout(() => this.#signal("SIGKILL"), STOP_DEADLINE_MS);
    await end;
    clearTimeout(deadline);
  }

  #signal(signal: Deno.Signal): void {
    try {
      this.#process?.kill(signal);
    } catch {
      // It ended in this moment.
    }
  }
}
