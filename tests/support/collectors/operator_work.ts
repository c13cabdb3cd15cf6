/**
 * What people do beside collectors that come and go: start programs, give tasks, ask collectors, change their settings.
 *
 * @module
 */
import { askAgent } from "../../../agent/ask/spool_client.ts";
import type { Ending, RequestArguments } from "../../../proto/request.ts";
import { CLOCK_SETTING } from "./clock_service.ts";
import { CLOCKS, SENSOR } from "./clock_world.ts";

const LAUNCH_MS = 100;
/** Between two requests: a user may ask twice a second. */
const ASK_MS = 700;
const TIMEOUT_MS = 60_000;

export interface Launch {
  readonly number: number;
  /** Unix milliseconds: it was started between these. */
  readonly before: number;
  readonly after: number;
}

export class OperatorWork implements AsyncDisposable {
  readonly tag = `minute-${Deno.pid}`;
  readonly launches: Launch[] = [];
  readonly faults: string[] = [];
  /** The last word that every clock was told to put into its events. */
  lastTag = "";
  readonly #done: Record<string, number> = {};
  #isPartial = 0;
  #isOver = false;
  #working: Promise<unknown> = Promise.resolve();

  constructor(private readonly spool: string) {}

  begin(): void {
    this.#working = Promise.all([this.#launch(), this.#ask()]);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#working;
  }

  words(): string {
    const done = Object.entries(this.#done).map(([name, count]) => `${count} × ${name}`).join(", ");
    return `${this.launches.length} programs were started; done: ${done}; ${this.#isPartial} results were partial`;
  }

  async #launch(): Promise<void> {
    for (let number = 0; !this.#isOver; number++) {
      const before = Date.now();
      await new Deno.Command("/bin/true", { args: [`${this.tag}-${number}`] }).output();
      this.launches.push({ number, before, after: Date.now() });
      await new Promise((resolve) => setTimeout(resolve, LAUNCH_MS));
    }
  }

  /** One request after another: each must be done, whoever was killed meanwhile. */
  async #ask(): Promise<void> {
    for (let round = 0; !this.#isOver; round++) {
      const id = CLOCKS[round % CLOCKS.length]!, within = "60s";
      await this.#one("task", { type: "enumerate_processes", target: "all", pids: String(Deno.pid), within });
      await this.#one("task", { type: "enumerate_processes", target: id, within });
      await this.#one("task", { type: "monitor_process_tree", target: id, for: "200ms", within });
      const tag = `t${round}`;
      let isTold = true;
      for (const clock of CLOCKS) {
        const assignments = [`${CLOCK_SETTING}=${tag}`];
        isTold = await this.#one("collector config", { id: clock, assignments }, true) && isTold;
      }
      if (isTold) this.lastTag = tag;
      const interval = `collector.snapshot_interval_ms=${10_000 + round * 100}`;
      await this.#one("collector config", { id: SENSOR, assignments: [interval] }, true);
      await this.#one("collector health", { id }, true);
    }
  }

  /** @param mayBeAway whether it is no fault when the collector is not there just now; whether it was done */
  async #one(operation: string, args: RequestArguments, mayBeAway = false): Promise<boolean> {
    if (this.#isOver) return false;
    let ending: Ending;
    try {
      ending = await askAgent({ spool: this.spool, operation, arguments: args, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      this.faults.push(`${operation}: ${error instanceof Error ? error.message : error}`);
      return false;
    }
    const { outcome, text, value } = ending, isDone = outcome === "done";
    if (isDone) this.#done[operation] = (this.#done[operation] ?? 0) + 1;
    else if (!mayBeAway || !/not connected|went away|has not said yet/.test(text)) {
      this.faults.push(`${operation} ${JSON.stringify(args)}: ${outcome}: ${text}`);
    }
    if (isDone && operation === "task" && (value as { partial: boolean }).partial) this.#isPartial++;
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    return isDone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
