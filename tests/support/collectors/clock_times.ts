/**
 * How long the agent takes for a collector: until what was sent is acknowledged, and until a call is answered. Lines of
 * a file, `UNIX_MS KIND MS`, written a few times a second.
 *
 * @module
 */
import { AGENT, type Channel } from "../../../mod.ts";

export const CALL_MS = 10;
const WRITE_MS = 250, TIMEOUT_MS = 10_000;

export const TIMES = ["acknowledged", "answered"] as const;
export type TimeKind = typeof TIMES[number];

/** The file that they are written into. */
export class TimesFile {
  #lines = "";

  constructor(private readonly path: string) {
    setInterval(() => this.#write(), WRITE_MS);
  }

  note(kind: TimeKind, ms: number): void {
    this.#lines += `${Date.now()} ${kind} ${ms.toFixed(3)}\n`;
  }

  #write(): void {
    if (this.#lines === "") return;
    Deno.writeTextFileSync(this.path, this.#lines, { append: true });
    this.#lines = "";
  }
}

export class ClockTimes {
  readonly #sentAt = new Map<number, number>();
  readonly #file: TimesFile;
  #calling: ReturnType<typeof setInterval> | undefined;

  constructor(path: string) {
    this.#file = new TimesFile(path);
  }

  connected(channel: Channel): void {
    this.#sentAt.clear();
    this.#calling = setInterval(() => void this.#call(channel), CALL_MS);
  }

  disconnected(): void {
    clearInterval(this.#calling);
  }

  sent(sequence: number): void {
    this.#sentAt.set(sequence, performance.now());
  }

  acknowledged(upTo: number): void {
    const now = performance.now();
    for (const [sequence, at] of this.#sentAt) {
      if (sequence > upTo) break;
      this.#file.note("acknowledged", now - at);
      this.#sentAt.delete(sequence);
    }
  }

  async #call(channel: Channel): Promise<void> {
    const began = performance.now(), payload = { kind: "reason", text: "" } as const;
    const call = { operation: "get_capabilities", target: AGENT, timeoutMs: TIMEOUT_MS, correlation: null, payload };
    try {
      await channel.request({ kind: "rpc", call: { ...call, operation: "get_capabilities" } });
      this.#file.note("answered", performance.now() - began);
    } catch {
      // the session's own end says why
    }
  }
}

export interface Time {
  /** Unix milliseconds at which it ended. */
  readonly at: number;
  readonly ms: number;
}

/** Times of a kind by the moment at which they ended. */
export function readTimes(path: string, kind: TimeKind): Time[] {
  return Deno.readTextFileSync(path).split("\n").flatMap((line) => {
    const [at, of, ms] = line.split(" ");
    return of === kind && ms !== undefined ? [{ at: Number(at), ms: Number(ms) }] : [];
  });
}
