/**
 * The agent's status: what it says of itself once a second.
 *
 * The file is replaced by rename, so a reader never sees half of one; while nothing happens only its signs of life are
 * brought up to date (`proto/status_image.ts`). On a full disk there is no room for the next one:
 * so a spare file of enough bytes lies beside it, which then becomes the status, and the room of the one that it replaces
 * becomes the spare. A status that cannot be written at all is noticed and tried again a second later; nothing else
 * depends on it, and readers call the last one stale.
 *
 * @module
 */
import process from "node:process";
import { RuleStatusBytes } from "../proto/rule_status_bytes.ts";
import { type AgentStatus, STATUS_INTERVAL_MS, type TierStatus } from "../proto/status.ts";
import { encodeAgentStatus } from "../proto/status_codec.ts";
import { type SignsOfLife, StatusImage } from "../proto/status_image.ts";
import { VERSION } from "../proto/version.ts";
import { every, type Repeated } from "./beat.ts";
import type { Journal } from "./journal.ts";
import { share } from "./share.ts";

const FILE_MODE = 0o640;
/** The spare has room for a status that grows; its length is a multiple of this. */
const SPARE_STEP_BYTES = 16_384;

/** What the rest of the agent says for its status, looked up each time. */
export type AgentPart = Omit<AgentStatus, Exclude<keyof TierStatus, "bootId">>;

export class StatusFile {
  readonly #path: string;
  readonly #journal: Journal;
  readonly #look: () => AgentPart;
  readonly #activity: () => readonly unknown[];
  /** What {@linkcode #activity} gave last. */
  #seen: readonly unknown[] = [];
  readonly #rules = new RuleStatusBytes();
  readonly #image = new StatusImage<AgentStatus>({
    encode: (status) => encodeAgentStatus(status, this.#rules),
    still: (status, { store: { freeBytes }, registry }) => ({
      ...status,
      store: { ...status.store, freeBytes },
      registry: status.registry.map((one, i) => ({ ...one, lastHeard: registry[i]?.lastHeard ?? one.lastHeard })),
    }),
  });
  /** What lies there, as it was written last. */
  #file: Deno.FsFile | null = null;
  #state = "starting";
  #kept: AgentPart | null = null;
  #userId: number | null = null;
  #writes: Repeated | null = null;
  #fault = "";
  /** Length of the spare that lies there, 0 before it is made. */
  #spareBytes = 0;

  /** `activity` gives what changes when something happened: a look at all there is to say costs more. */
  constructor(
    path: string,
    journal: Journal,
    look: () => AgentPart,
    activity: () => readonly unknown[] = () => [Symbol()],
  ) {
    this.#path = path;
    this.#journal = journal;
    this.#look = look;
    this.#activity = activity;
  }

  /** What the next status will say. */
  look(): AgentStatus {
    return this.#status();
  }

  get state(): string {
    return this.#state;
  }

  /** The user that the agent runs as; `null` before the first write. */
  get userId(): number | null {
    return this.#userId;
  }

  /** From now on writes a status every second. */
  begin(): void {
    this.#writes = every(STATUS_INTERVAL_MS, () => this.#write(!this.#isActive()));
  }

  /** Writes a status of this state at once; from `stopping` on there is no way back. */
  say(state: string): void {
    const ending = this.#state === "stopping" || this.#state === "stopped";
    if (!ending || state === "stopped") this.#state = state;
    this.#write();
  }

  /** The rest of the agent is about to be closed: what it says now stays in what is written from here on. */
  keep(): void {
    this.#kept = this.#look();
  }

  /** Writes the last one. */
  end(): void {
    this.#writes?.stop();
    this.say("stopped");
    this.#close();
    try {
      Deno.removeSync(`${this.#path}.spare`);
    } catch {
      // There is none, or it stays for the next start: only room is at stake.
    }
  }

  #isActive(): boolean {
    const seen = this.#seen, now = this.#seen = this.#activity();
    return seen.length !== now.length || now.some((value, i) => value !== seen[i]);
  }

  #write(isQuiet = false): void {
    try {
      this.#userId ??= ownUser(`${this.#path}.new`);
      const { at, bytes } = (isQuiet ? this.#image.live(signsOfLife()) : null) ?? this.#image.next(this.#status());
      if (at === 0) this.#replace(bytes);
      else {
        this.#file!.seekSync(at, Deno.SeekMode.Start);
        this.#file!.writeSync(bytes);
      }
      this.#fault = "";
    } catch (error) {
      this.#image.forget();
      const fault = error instanceof Error ? error.message : String(error);
      if (fault !== this.#fault) this.#journal.notice(`the status ${this.#path} cannot be written: ${fault}`);
      this.#fault = fault; // once is enough for the log, not every second
    }
  }

  #replace(bytes: Uint8Array<ArrayBuffer>): void {
    const temporary = `${this.#path}.new`;
    this.#close();
    try {
      Deno.writeFileSync(temporary, bytes, { mode: FILE_MODE });
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC" || this.#spareBytes < bytes.length) throw error;
      this.#useSpare(temporary, bytes);
    }
    share(temporary, FILE_MODE);
    Deno.renameSync(temporary, this.#path);
    this.#file = Deno.openSync(this.#path, { write: true });
    this.#keepSpare(bytes.length);
  }

  #close(): void {
    this.#file?.close();
    this.#file = null;
  }

  /** Writes into the room that the spare has already. */
  #useSpare(temporary: string, bytes: Uint8Array): void {
    Deno.removeSync(temporary);
    const spare = `${this.#path}.spare`;
    using file = Deno.openSync(spare, { write: true });
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.truncateSync(bytes.length);
    Deno.renameSync(spare, temporary);
    this.#spareBytes = 0;
  }

  /** Sees to it that there is a spare for a status of `length` bytes; without room for one, the next second does. */
  #keepSpare(length: number): void {
    const wanted = Math.ceil(length * 1.25 / SPARE_STEP_BYTES) * SPARE_STEP_BYTES;
    if (wanted <= this.#spareBytes) return;
    try {
      // Not zeros alone: a file system may keep those without giving them room.
      Deno.writeFileSync(`${this.#path}.spare`, new Uint8Array(wanted).fill(0xff), { mode: FILE_MODE });
      this.#spareBytes = wanted;
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
    }
  }

  #status(): AgentStatus {
    return {
      ...signsOfLife(),
      pid: Deno.pid,
      userId: this.#userId,
      version: VERSION,
      state: this.#state,
      notices: this.#journal.log.notices,
      noticeCount: this.#journal.log.count,
      ...this.#kept ?? this.#look(),
    };
  }
}

function signsOfLife(): SignsOfLife {
  const { user, system } = process.cpuUsage();
  return {
    time: Date.now(),
    uptimeMs: Math.round(performance.now()),
    memoryBytes: Deno.memoryUsage().rss,
    cpuMs: Math.round((user + system) / 1_000),
  };
}

/** The agent may not ask who it is; what it makes tells. */
function ownUser(path: string): number | null {
  Deno.writeFileSync(path, new Uint8Array(), { mode: FILE_MODE });
  return Deno.statSync(path).uid;
}
