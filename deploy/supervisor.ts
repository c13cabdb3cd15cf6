/**
 * All processes under supervision, and what the agent may ask about them.
 *
 * The agent asks over its standard error and is answered on its standard input: pipes that only the process has that this
 * program started, so nobody else can ask, nothing in a directory can be put in the place of a request, and the agent
 * needs no right that it has not. The agent is not trusted: it may name a collector and one of three actions, no path and
 * no argument; it is not answered more often than {@linkcode MAX_REQUESTS} times a minute; and the sensor is restarted for
 * it now and then, but never stopped, or whoever takes over the agent could end the watch.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import {
  readRequestLine,
  type SupervisionReply,
  type SupervisionRequest,
  type SupervisorLine,
} from "../proto/supervisor_lines.ts";
import { Supervised, type SupervisedOptions } from "./supervised.ts";

/** Requests of the agent in one minute. */
export const MAX_REQUESTS = 10;
/** Restarts of the sensor for the agent, in ten minutes. */
export const MAX_SENSOR_RESTARTS = 3;
const MINUTE_MS = 60_000;

export interface SupervisorOptions {
  /** Names of the collectors that will be begun, before the agent or after it: it waits for them. */
  readonly collectors: readonly string[];
  readonly say: (line: string) => void;
  /** A process was started, or has ended. */
  readonly changed?: () => void;
  /** On a clock that does not jump. */
  readonly clock?: () => number;
}

/** What kind of process it is: only collectors can be asked for, and the sensor is one that is not stopped. */
export type Role = "sensor" | "collector" | "agent" | "other";

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #clock: () => number;
  readonly #all: Supervised[] = [];
  readonly #collectors = new Map<string, { readonly process: Supervised; readonly role: Role }>();
  readonly #requests: number[] = [];
  readonly #sensorRestarts: number[] = [];
  #nonce = "";
  #agent: Supervised | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** In the order in which they were begun. */
  get processes(): readonly Supervised[] {
    return this.#all;
  }

  /** Once it was begun. */
  get agent(): Supervised | null {
    return this.#agent;
  }

  /** The sensor and the collectors beside it. */
  get collectors(): readonly Supervised[] {
    return [...this.#collectors.values()].map(({ process }) => process);
  }

  /** Starts a process. The agent's is spoken to, and heard. */
  begin(role: Role, options: Omit<SupervisedOptions, "onChange" | "isGentle">): Supervised {
    const isAgent = role === "agent";
    const process: Supervised = new Supervised({
      ...options,
      // While the sensor or the agent starts nothing is seen: they wait for nobody.
      isGentle: role === "collector",
      onChange: () => {
        this.#options.changed?.();
        this.#tellProcesses();
      },
      ...isAgent ? { input: () => this.#hello(), isSpokenTo: true } : {},
      onStderr: (line) => {
        const request = isAgent ? readRequestLine(this.#nonce, line) : null;
        if (request === null) options.onStderr(line);
        else void this.#answer(process, request);
      },
    });
    this.#all.push(process);
    if (role === "sensor" || role === "collector") {
      this.#collectors.set(options.id ?? options.name, { process, role });
    }
    if (isAgent) this.#agent = process;
    process.start();
    return process;
  }

  /** What the agent asks for. */
  async request({ action, collectorId }: Omit<SupervisionRequest, "id">): Promise<SupervisionReply> {
    const now = this.#clock(), refuse = (detail: string): SupervisionReply => ({ accepted: false, detail });
    if (!take(this.#requests, now, MINUTE_MS, MAX_REQUESTS)) {
      return refuse(`more than ${MAX_REQUESTS} requests in a minute are not answered`);
    }
    const found = this.#collectors.get(collectorId);
    if (found === undefined) return refuse(`no collector ${collectorId} is supervised here`);
    if (found.role === "sensor") {
      if (action === "stop") return refuse("the sensor is not stopped for an agent; stop the supervisor itself");
      if (action === "restart" && !take(this.#sensorRestarts, now, 10 * MINUTE_MS, MAX_SENSOR_RESTARTS)) {
        return refuse(`the sensor is restarted ${MAX_SENSOR_RESTARTS} times in ten minutes at most`);
      }
    }
    this.#options.say(`the agent asks to ${action} ${collectorId}`);
    switch (action) {
      case "start":
        return await found.process.startNow();
      case "stop":
        return await found.process.halt();
      case "restart":
        return await found.process.restart();
    }
  }

  async #answer(agent: Supervised, request: SupervisionRequest): Promise<void> {
    const nonce = this.#nonce, reply = await this.request(request);
    // An agent that was started meanwhile has other numbers.
    if (nonce === this.#nonce) agent.tell(line({ kind: "reply", id: request.id, ...reply }));
  }

  /** Of each run another number, so that nothing that an earlier one printed can be repeated. */
  #hello(): string {
    this.#nonce = randomBytes(16).toString("hex");
    return line({ kind: "hello", nonce: this.#nonce, collectors: this.#options.collectors });
  }

  #tellProcesses(): void {
    this.#agent?.tell(line({ kind: "processes", processes: this.#all.map((process) => process.status()) }));
  }
}

function line(said: SupervisorLine): string {
  return `${JSON.stringify(said)}\n`;
}

/** Whether one more fits within the time; then it is counted. */
function take(times: number[], now: number, withinMs: number, most: number): boolean {
  while (times.length > 0 && now - times[0]! >= withinMs) times.shift();
  if (times.length >= most) return false;
  times.push(now);
  return true;
}
