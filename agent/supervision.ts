/**
 * What the agent asks of whoever started it: to start, stop or restart one collector, by its name.
 *
 * The agent may start no program and signal none. It asks over what it has anyway, its standard error and standard input,
 * so it needs no further right, and nothing in a directory can be put in the place of a request. The supervisor decides
 * (`deploy/supervisor.ts`); where none speaks, as under systemd, a request is answered by saying so.
 *
 * @module
 */
import type { SupervisedProcess } from "../proto/status.ts";
import {
  MAX_SUPERVISOR_LINE,
  readSupervisorLine,
  requestLine,
  type SupervisionAction,
  type SupervisionReply,
} from "../proto/supervisor_lines.ts";

export type { SupervisionAction, SupervisionReply };

/** How long the supervisor may take for a restart: the end of a process by itself, by force, and a start. */
const REPLY_MS = 15_000;
/** Requests that wait for an answer. */
const MAX_WAITING = 16;
/** For the supervisor's first line, which it writes before the agent runs. */
const HELLO_MS = 1_000;

export interface Supervision {
  /** Whether anybody supervises this agent now. */
  readonly isThere: boolean;
  /** Does not reject: what could not be done is a reply. */
  request(action: SupervisionAction, collectorId: string): Promise<SupervisionReply>;
}

const refused = (detail: string): SupervisionReply => ({ accepted: false, detail });

export class SupervisorPipe implements Supervision {
  readonly #ask: (line: string) => void;
  #nonce = "";
  #last = 0;
  readonly #waiting = new Map<number, (reply: SupervisionReply) => void>();
  readonly #hello = Promise.withResolvers<readonly string[]>();
  /** What the supervisor says of its processes, newest. */
  processes: readonly SupervisedProcess[] = [];

  /** @param ask writes a line where the supervisor reads it */
  constructor(ask: (line: string) => void = (line) => console.error(line)) {
    this.#ask = ask;
  }

  get isThere(): boolean {
    return this.#nonce !== "";
  }

  /** Reads what the supervisor says until it says nothing more. Returns at once. */
  listen(input: ReadableStream<Uint8Array>): void {
    this.#read(input).catch(() => {}).finally(() => {
      this.#nonce = "";
      this.processes = [];
      this.#hello.resolve([]);
      for (const reply of this.#waiting.values()) reply(refused("the supervisor has gone"));
    });
  }

  /** Names of the collectors that the supervisor starts; none when nobody speaks. */
  async collectors(): Promise<readonly string[]> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const nobody = new Promise<readonly string[]>((resolve) => timer = setTimeout(() => resolve([]), HELLO_MS));
    const collectors = await Promise.race([this.#hello.promise, nobody]);
    clearTimeout(timer);
    return collectors;
  }

  async request(action: SupervisionAction, collectorId: string): Promise<SupervisionReply> {
    if (!this.isThere) return refused("nobody supervises this agent; use what started it, such as systemctl");
    if (this.#waiting.size >= MAX_WAITING) return refused(`${MAX_WAITING} requests wait for the supervisor`);
    const id = ++this.#last, { promise, resolve } = Promise.withResolvers<SupervisionReply>();
    this.#waiting.set(id, resolve);
    const timer = setTimeout(() => resolve(refused("the supervisor does not answer")), REPLY_MS);
    try {
      this.#ask(requestLine(this.#nonce, { id, action, collectorId }));
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  async #read(input: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of input) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      if (rest.length > MAX_SUPERVISOR_LINE) return; // no supervisor of ours
      for (const line of lines) this.#take(line);
    }
  }

  #take(line: string): void {
    const said = readSupervisorLine(line);
    switch (said?.kind) {
      case "hello":
        this.#nonce = said.nonce;
        return this.#hello.resolve(said.collectors);
      case "reply":
        return this.#waiting.get(said.id)?.({ accepted: said.accepted, detail: said.detail });
      case "processes":
        this.processes = said.processes;
    }
  }
}
