/**
 * The collector's status: what it says of itself once a second, and what it said before it was last ended.
 *
 * The file is replaced by rename, so a reader never sees half of one; while nothing happens only its signs of life are
 * brought up to date (`proto/status_image.ts`). A status that cannot be written is noticed and tried again a second
 * later; nothing else depends on it. What an earlier run left is read as untrusted bytes: damaged
 * means that the gap before this start has an unknown begin.
 *
 * @module
 */
import type { Gap } from "../proto/process_event.ts";
import type { CollectorStatus } from "../proto/status.ts";
import { decodeCollectorStatus, encodeCollectorStatus } from "../proto/status_codec.ts";
import { type SignsOfLife, type StatusChange, StatusImage } from "../proto/status_image.ts";

/** A status is some kilobytes; anything larger is not one. */
const MAX_STATUS_BYTES = 1_048_576;

export class StatusFile {
  readonly #path: string;
  readonly #image = new StatusImage<CollectorStatus>({
    encode: encodeCollectorStatus,
    still: (status, { durableTime, forksSinceBoot }) => ({ ...status, durableTime, forksSinceBoot }),
  });
  /** What lies there, as it was written last. */
  #file: Deno.FsFile | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Has the file say this. @throws Deno.errors when the directory is not there or not ours. */
  write(status: CollectorStatus): void {
    this.#put(this.#image.next(status));
  }

  /** Has it say that all is as it was; `false` when it is time to say everything. @throws as {@linkcode write} */
  live(signs: SignsOfLife): boolean {
    const change = this.#image.live(signs);
    if (change !== null) this.#put(change);
    return change !== null;
  }

  #put({ at, bytes }: StatusChange): void {
    try {
      if (at === 0) return this.#replace(bytes);
      this.#file!.seekSync(at, Deno.SeekMode.Start);
      this.#file!.writeSync(bytes);
    } catch (error) {
      this.#image.forget();
      throw error;
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  #replace(bytes: Uint8Array): void {
    const temporary = `${this.#path}.new`;
    this.close();
    Deno.writeFileSync(temporary, bytes, { mode: 0o640 });
    Deno.renameSync(temporary, this.#path);
    this.#file = Deno.openSync(this.#path, { write: true });
  }
}

/** What the last run said, `null` on the first run or when it cannot be understood. */
export function readStatus(path: string): CollectorStatus | null {
  try {
    if (Deno.statSync(path).size > MAX_STATUS_BYTES) return null;
    return decodeCollectorStatus(Deno.readFileSync(path));
  } catch {
    return null;
  }
}

/**
 * The time in which nobody looked, from the last run's last word to now.
 *
 * It begins with the last record that the last run put on disk, or later, where that run said that all it had seen was on
 * disk. If the log that is there is not the one that it wrote, what waited in that one is lost as well: then it begins
 * with the oldest item that was not acknowledged. The kernel's
 * fork counter says how much happened meanwhile; it counts threads too, so it bounds the number and is not the number.
 * `endedWithBoot` is how many processes the last run knew when the host went down.
 */
export function gapSince(
  previous: CollectorStatus,
  now: { time: number; bootId: string; forksSinceBoot: number | null; epoch: string; lastRecordTime: number },
  endedWithBoot: number | null = null,
): Gap {
  const how = previous.state === "stopped" ? "was stopped" : "ended without a word";
  const sameBoot = previous.bootId === now.bootId;
  let meanwhile = sameBoot ? "" : "; the host was booted meanwhile";
  if (!sameBoot && endedWithBoot !== null) meanwhile += `, which ended ${endedWithBoot} known processes`;
  if (sameBoot && previous.forksSinceBoot !== null && now.forksSinceBoot !== null) {
    const forks = Math.max(0, now.forksSinceBoot - previous.forksSinceBoot);
    meanwhile = `; the kernel counted ${forks} forks meanwhile, threads included`;
  }
  const isSameLog = previous.epoch === now.epoch;
  const from = isSameLog
    ? Math.max(now.lastRecordTime, previous.durableTime)
    : previous.log.oldestTime ?? previous.durableTime;
  const lost = isSameLog || previous.log.oldestTime === null ? "" : ", and what its log held is lost";
  return {
    source: "collector",
    recordKind: "all",
    from: Math.min(from || previous.time, now.time),
    to: now.time,
    count: null,
    reason: `the collector ${how} and did not run${lost}${meanwhile}`,
  };
}
