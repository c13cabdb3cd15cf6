/**
 * Digests over everything that the write-ahead log takes, one every two seconds at most.
 *
 * A digest is entered when the log has on disk what it covers: what a crash takes away is not under one, and its numbers
 * may be given out again. As there is always something that is not on disk yet while the disk works beside the drains, a
 * digest is made first and waits for that. What the last run put on disk and did not enter is read from the log and entered after the
 * start, as far as the log still has it.
 *
 * @module
 */
import { EventDigester } from "../../proto/ledger/event_digest.ts";
import type { LedgerHash } from "../../proto/ledger/hash.ts";
import type { Statements } from "../../proto/ledger/statement.ts";
import { WireError } from "../../proto/wire_error.ts";
import type { WriteAheadLog } from "../wal/log.ts";

/** Between two digests. One a second would be 27 MB a day on a busy host. */
export const DIGEST_MS = 2_000;
const READ_BYTES = 524_288;
/** What waits while the hash is loaded. */
const MAX_EARLY_BYTES = 33_554_432;

export type LogDigest = Statements["events"];

interface Early {
  readonly epoch: string;
  readonly first: number;
  readonly count: number;
  readonly payload: Uint8Array;
}

export class Coverage {
  #hash: LedgerHash | null = null;
  #digester: EventDigester | null = null;
  #epoch = "";
  /** Made, and not known to be on disk as a whole. */
  #made: LogDigest | null = null;
  #ready: LogDigest[] = [];
  #early: Early[] = [];
  #earlyBytes = 0;
  /** Records that no digest can be made of: another version wrote them, or they were too many at the start. */
  faults = 0;

  /** For {@linkcode WalOptions.taken}: called for every record, in the hot path. */
  readonly taken = (epoch: string, first: number, count: number, payload: Uint8Array): void => {
    if (this.#digester === null) {
      this.#earlyBytes += payload.length;
      if (this.#earlyBytes > MAX_EARLY_BYTES) this.faults += 1;
      else this.#early.push({ epoch, first, count, payload });
      return;
    }
    if (epoch !== this.#epoch) this.#turn(epoch);
    this.faults += add(this.#digester, first, count, payload);
  };

  /** From here on hashes; before, records wait. */
  begin(hash: LedgerHash): void {
    this.#hash = hash;
    this.#digester = new EventDigester(hash);
    const early = this.#early;
    this.#early = [];
    for (const { epoch, first, count, payload } of early) this.taken(epoch, first, count, payload);
  }

  /** Makes a digest of what was taken since the last one, unless that one waits; gives what {@linkcode ready} does. */
  take(log: Pick<WriteAheadLog, "identity" | "durable">): LogDigest[] {
    const ready = this.ready(log);
    if (this.#made !== null || this.#digester === null || this.#epoch !== log.identity.epoch) return ready;
    const digest = this.#digester.take();
    this.#made = digest === null ? null : { epoch: this.#epoch, ...digest };
    return [...ready, ...this.ready(log)];
  }

  /** Digests of what is on disk in `log`, and of logs that it replaced. */
  ready(log: Pick<WriteAheadLog, "identity" | "durable">): LogDigest[] {
    const made = this.#made;
    if (made !== null && (made.epoch !== log.identity.epoch || made.last <= log.durable)) {
      this.#ready.push(made);
      this.#made = null;
    }
    return this.#ready.splice(0);
  }

  /**
   * Digests of what an earlier run left in `log` behind number `covered`, in steps that leave room for other work.
   * `missing` is told of numbers that the log does not have any more.
   */
  async *catchUp(
    log: Pick<WriteAheadLog, "identity" | "foundLast" | "durable" | "read">,
    covered: number,
    missing: (first: number, last: number) => void,
  ): AsyncGenerator<LogDigest> {
    const { foundLast, identity: { epoch } } = log;
    for (let after = covered; after < Math.min(foundLast, log.durable);) {
      const digester = new EventDigester(this.#hash!), before = after;
      for (const item of log.read(after, READ_BYTES)) {
        const [first, last] = item.kind === "missing"
          ? [item.first, item.last]
          : [item.record.first, item.record.first + item.record.count - 1];
        if (first > foundLast) break;
        if (first > after + 1) missing(after + 1, first - 1);
        if (item.kind === "missing") missing(first, last);
        else this.faults += add(digester, first, item.record.count, item.record.payload);
        after = last;
      }
      const digest = digester.take();
      if (digest !== null) yield { epoch, ...digest };
      if (after === before) return;
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  #turn(epoch: string): void {
    if (this.#made !== null) this.#ready.push(this.#made);
    this.#made = null;
    const digest = this.#digester!.take();
    if (digest !== null) this.#ready.push({ epoch: this.#epoch, ...digest });
    this.#epoch = epoch;
  }
}

/** How many records were no records. */
function add(digester: EventDigester, first: number, count: number, payload: Uint8Array): number {
  try {
    digester.add(first, count, payload);
    return 0;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return 1;
  }
}
