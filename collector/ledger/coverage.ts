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

/** Between two digests. One a second would be 33 MB a day on a busy host, half of it before anything is said. */
export const DIGEST_MS = 2_000;
const READ_BYTES = 524_288;
/** What waits while the hash is loaded. */
const MAX_EARLY_BYTES = 33_554_432;
/** Digests that wait for a ledger. */
const MAX_READY = 4_096;

/** {@linkcode WriteAheadLog.apart}. */
export type ReadLog = ReturnType<WriteAheadLog["apart"]>;
export type LogDigest = Statements["events"];

/** Numbers of a log, both included. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** A part of what an earlier run left, up to a number: its digest, and what the log does not have any more. */
export interface BacklogStep {
  readonly upTo: number;
  readonly digest: LogDigest | null;
  readonly missing: readonly NumberRange[];
}

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
    this.#make(log);
    return this.#ready.splice(0);
  }

  /** Digests of what is on disk in `log`, and of logs that it replaced. */
  ready(log: Pick<WriteAheadLog, "identity" | "durable">): LogDigest[] {
    this.#look(log);
    return this.#ready.splice(0);
  }

  /** As {@linkcode Coverage.take}, for one that cannot enter them yet: they wait here, and what comes after many is under one. */
  hold(log: Pick<WriteAheadLog, "identity" | "durable">): void {
    if (this.#ready.length < MAX_READY) this.#make(log);
  }

  /**
   * Digests of what an earlier run left in `log` behind number `covered`, in steps that leave room for other work. The
   * log must have all of that on disk; `read` is how it is read.
   *
   * @throws StorageError; the steps before hold.
   */
  async *catchUp(
    log: Pick<WriteAheadLog, "identity" | "foundLast">,
    read: ReadLog,
    covered: number,
  ): AsyncGenerator<BacklogStep> {
    const { foundLast, identity: { epoch } } = log;
    for (let after = covered; after < foundLast;) {
      const digester = new EventDigester(this.#hash!), missing: NumberRange[] = [], before = after;
      for (const item of read(after, READ_BYTES)) {
        const [first, last] = item.kind === "missing"
          ? [item.first, item.last]
          : [item.record.first, item.record.first + item.record.count - 1];
        if (first > foundLast) break;
        if (first > after + 1) missing.push({ first: after + 1, last: first - 1 });
        if (item.kind === "missing") missing.push({ first, last });
        else this.faults += add(digester, first, item.record.count, item.record.payload);
        after = last;
      }
      if (after === before) {
        missing.push({ first: after + 1, last: foundLast });
        after = foundLast;
      }
      const digest = digester.take();
      yield { upTo: after, missing, digest: digest === null ? null : { epoch, ...digest } };
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  #make(log: Pick<WriteAheadLog, "identity" | "durable">): void {
    this.#look(log);
    if (this.#made !== null || this.#digester === null || this.#epoch !== log.identity.epoch) return;
    const digest = this.#digester.take();
    this.#made = digest === null ? null : { epoch: this.#epoch, ...digest };
    this.#look(log);
  }

  /** Whether the digest that was made is on disk by now. */
  #look(log: Pick<WriteAheadLog, "identity" | "durable">): void {
    const made = this.#made;
    if (made === null || (made.epoch === log.identity.epoch && made.last > log.durable)) return;
    this.#ready.push(made);
    this.#made = null;
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
