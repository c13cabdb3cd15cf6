/**
 * The events of a bundle against the digests of them in its ledger.
 *
 * The collector entered a digest over everything that its log took, before the agent stored any of it; here each is made
 * again from the rows. Events come in the order of their times and digests in that of their sequences, so the rows of a
 * digest wait until all of them are there. Those of one that reaches beyond the bundle's time never are: they are counted
 * apart, as are events that no entry covers.
 *
 * @module
 */
import type { SqlValue } from "../../proto/event_row.ts";
import { DigestEntries } from "../../proto/ledger/digest_entries.ts";
import { type DigestedEvent, EventProofError, proveEvent } from "../../proto/ledger/event_digest.ts";
import { type LedgerHash, loadHash } from "../../proto/ledger/hash.ts";
import { readHeader } from "../../proto/ledger/prove.ts";
import type { Statements } from "../../proto/ledger/statement.ts";
import { storedEvent } from "../../proto/ledger/stored_event.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";
import { WireError } from "../../proto/wire_error.ts";
import { tableNamed } from "../../proto/catalog.ts";
import type { Cell } from "../output.ts";
import { BundleLedger } from "./bundle_ledger.ts";
import type { Member } from "./manifest.ts";
import type { BundleReader } from "./reader.ts";

export interface EventVerdict {
  /** Events that are, to the byte, what the ledger's digests were made of. */
  readonly proven: number;
  /** Events whose digest covers others too that are not in the bundle. */
  readonly partial: number;
  /** Events that no digest of the ledger covers. */
  readonly uncovered: number;
  /** Events of digests that their rows do not make again. */
  readonly altered: number;
  /** Of the first of those: the entry that has the digest, and the member with the last of its rows. */
  readonly entry: number | null;
  readonly member: string | null;
}

/** Bytes of events that wait for others; those of the digests that wait longest are given up first. */
const MAX_WAITING_BYTES = 268_435_456;
/** Digests that are looked at, 70 days of them; events of others count as not covered. */
const MAX_DIGESTS = 3_000_000;

type Digest = Statements["events"];

interface Covering {
  readonly entry: number;
  readonly digest: Digest;
  events: DigestedEvent[];
  bytes: number;
  /** Rows that were given up for want of room, or that are no event. */
  lost: number;
}

/** The ledger must have been verified. @throws BundleRefusedError */
export async function checkEvents(reader: BundleReader, progress: (events: number) => void): Promise<EventVerdict> {
  const ledger = BundleLedger.of(reader);
  if (ledger === null) throw new RangeError("The bundle has no ledger");
  const header = readHeader(ledger), hash = await loadHash(header.hash);
  const check = new EventCheck(hash, readDigests(ledger, header.segmentEntries), readStreams(reader));
  const place = tableNamed("process_events").columns.findIndex(({ name }) => name === "event_id");
  let done = 0;
  for (const { member, row } of rowsOf(reader, "process_events")) {
    check.add(Number(row[place]), row, member.name);
    done += 1;
    if (done % 10_000 === 0) progress(done);
  }
  return check.end();
}

class EventCheck {
  readonly #waiting = new Set<Covering>();
  #waitingBytes = 0;
  #proven = 0;
  #partial = 0;
  #uncovered = 0;
  #altered = 0;
  #entry: number | null = null;
  #member: string | null = null;
  #last: Covering | null = null;
  #lastEpoch: string | null = null;

  /** `digests` of each epoch are in the order of what they cover. */
  constructor(
    private readonly hash: LedgerHash,
    private readonly digests: ReadonlyMap<string, readonly Covering[]>,
    private readonly streams: ReadonlyMap<number, string>,
  ) {}

  add(eventId: number, row: readonly Cell[], member: string): void {
    const stream = Math.floor(eventId / SEQUENCES_PER_STREAM), sequence = eventId % SEQUENCES_PER_STREAM;
    const covering = this.#covering(this.streams.get(stream) ?? null, sequence);
    if (covering === null) {
      this.#uncovered += 1;
      return;
    }
    let bytes: Uint8Array | null = null;
    try {
      bytes = storedEvent(row as readonly SqlValue[]);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
    if (bytes === null) covering.lost += 1;
    else {
      covering.events.push({ sequence, bytes });
      covering.bytes += bytes.length;
      this.#waitingBytes += bytes.length;
      this.#waiting.add(covering);
    }
    if (covering.events.length + covering.lost >= covering.digest.events) this.#judge(covering, member);
    else if (this.#waitingBytes > MAX_WAITING_BYTES) this.#giveUp();
  }

  end(): EventVerdict {
    for (const covering of this.#waiting) this.#partial += covering.events.length;
    return {
      proven: this.#proven,
      partial: this.#partial,
      uncovered: this.#uncovered,
      altered: this.#altered,
      entry: this.#entry,
      member: this.#member,
    };
  }

  #judge(covering: Covering, member: string): void {
    const { digest, lost, entry } = covering, events = this.#taken(covering);
    if (lost === digest.events) return;
    let holds = lost === 0;
    if (holds) {
      events.sort((a, b) => a.sequence - b.sequence);
      try {
        proveEvent(this.hash, digest, events[0]!.sequence, events);
      } catch (error) {
        if (!(error instanceof EventProofError)) throw error;
        holds = false;
      }
    }
    if (holds) this.#proven += events.length;
    else {
      this.#altered += events.length + lost;
      this.#entry ??= entry;
      this.#member ??= member;
    }
  }

  #giveUp(): void {
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    const events = this.#taken(oldest);
    this.#partial += events.length;
    oldest.lost += events.length;
  }

  #taken(covering: Covering): DigestedEvent[] {
    const { events } = covering;
    this.#waitingBytes -= covering.bytes;
    covering.events = [];
    covering.bytes = 0;
    this.#waiting.delete(covering);
    return events;
  }

  #covering(epoch: string | null, sequence: number): Covering | null {
    if (epoch === null) return null;
    const last = this.#last;
    if (last !== null && epoch === this.#lastEpoch && last.digest.first <= sequence && sequence <= last.digest.last) {
      return last;
    }
    const list = this.digests.get(epoch) ?? [];
    let low = 0, high = list.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1, { digest } = list[middle]!;
      if (digest.last < sequence) low = middle + 1;
      else if (digest.first > sequence) high = middle - 1;
      else {
        this.#last = list[middle]!;
        this.#lastEpoch = epoch;
        return this.#last;
      }
    }
    return null;
  }
}

/** Every digest of events in a ledger, by epoch. */
function readDigests(source: BundleLedger, segmentEntries: number): ReadonlyMap<string, readonly Covering[]> {
  const digests = new Map<string, Covering[]>();
  let count = 0;
  const entries = new DigestEntries(source, segmentEntries);
  for (const segment of entries.segments().sort((a, b) => a - b)) {
    for (const { entry, digest } of entries.of(segment)) {
      if (count >= MAX_DIGESTS || digest.events === 0) continue;
      count += 1;
      const list = digests.get(digest.epoch);
      const covering: Covering = { entry, digest, events: [], bytes: 0, lost: 0 };
      if (list === undefined) digests.set(digest.epoch, [covering]);
      else list.push(covering);
    }
  }
  for (const list of digests.values()) list.sort((a, b) => a.digest.first - b.digest.first);
  return digests;
}

/** The epoch of each stream. */
function readStreams(reader: BundleReader): ReadonlyMap<number, string> {
  const names = tableNamed("collectors").columns.map(({ name }) => name);
  const stream = names.indexOf("stream"), epoch = names.indexOf("epoch");
  return new Map([...rowsOf(reader, "collectors")].map(({ row }) => [Number(row[stream]), String(row[epoch])]));
}

/** Every row of a table of the catalog or the bundle's own, with the member that it is in. @throws BundleRefusedError */
export function* rowsOf(reader: BundleReader, table: string): Generator<{ member: Member; row: Cell[] }> {
  for (const member of reader.manifest.members) {
    if (member.place.kind !== "table" || member.place.table.name !== table) continue;
    for (const row of reader.rows(member)) yield { member, row };
  }
}
