/**
 * The agent's status: what it says of itself once a second.
 *
 * The file is replaced by rename, so a reader never sees half of one. A status that cannot be written is noticed and
 * tried again a second later; nothing else depends on it.
 *
 * @module
 */
import process from "node:process";
import { type AgentStatus, STATUS_INTERVAL_MS, type TierStatus } from "../proto/status.ts";
import { encodeAgentStatus } from "../proto/status_codec.ts";
import { VERSION } from "../proto/version.ts";
import type { Journal } from "./journal.ts";
import { share } from "./share.ts";

const FILE_MODE = 0o640;

/** What the rest of the agent says for its status, looked up each time. */
export type AgentPart = Omit<AgentStatus, Exclude<keyof TierStatus, "bootId">>;

export class StatusFile {
  readonly #path: string;
  readonly #journal: Journal;
  readonly #look: () => AgentPart;
  #state = "starting";
  #userId: number | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #fault = "";

  constructor(path: string, journal: Journal, look: () => AgentPart) {
    this.#path = path;
    this.#journal = journal;
    this.#look = look;
  }

  /** The user that the agent runs as; `null` before the first write. */
  get userId(): number | null {
    return this.#userId;
  }

  /** Writes a status now and from now on every second. */
  begin(): void {
    this.say("running");
    this.#timer = setInterval(() => this.#write(), STATUS_INTERVAL_MS);
  }

  /** Writes a status of this state at once. */
  say(state: string): void {
    this.#state = state;
    this.#write();
  }

  /** Writes the last one. */
  end(): void {
    clearInterval(this.#timer);
    this.say("stopped");
  }

  #write(): void {
    const temporary = `${this.#path}.new`;
    try {
      this.#userId ??= ownUser(temporary);
      Deno.writeFileSync(temporary, encodeAgentStatus(this.#status()), { mode: FILE_MODE });
      share(temporary, FILE_MODE);
      Deno.renameSync(temporary, this.#path);
      this.#fault = "";
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== this.#fault) this.#journal.notice(`the status ${this.#path} cannot be written: ${fault}`);
      this.#fault = fault; // once is enough for the log, not every second
    }
  }

  #status(): AgentStatus {
    const { user, system } = process.cpuUsage();
    return {
      time: Date.now(),
      uptimeMs: Math.round(performance.now()),
      pid: Deno.pid,
      userId: this.#userId,
      version: VERSION,
      state: this.#state,
      memoryBytes: Deno.memoryUsage().rss,
      cpuMs: Math.round((user + system) / 1_000),
      notices: this.#journal.log.notices,
      noticeCount: this.#journal.log.count,
      ...this.#look(),
    };
  }
}

/** The agent may not ask who it is; what it makes tells. */
function ownUser(path: string): number | null {
  Deno.writeFileSync(path, new Uint8Array(), { mode: FILE_MODE });
  return Deno.statSync(path).uid;
}
