/**
 * Digests over what the write-ahead log took, by which one stored event can be proven without the log.
 *
 * A digest is the root of a tree (RFC 9162) whose leaves are groups of up to eight events: those whose sequence divided
 * by eight gives the same number. Eight, because one hash over eight events costs half a microsecond an event, and one
 * for each of them twice as much; a proof shows up to seven neighbours of the event that it proves. What a leaf holds is
 *
 * ```
 *  0 group   u64   sequence / 8, big endian
 *  8 which   u8    bit n: the event of sequence 8 * group + n is in it
 *  9               the events in their order, each as in a frame: 0x12, its length, a ProcessEvent of eventbus.proto
 * ```
 *
 * so all of it can be made again from rows of `process_events` (`stored_event.ts`), in whatever records or frames the
 * events once were. One thing is not as it was sent: arguments that were cut end in a NUL here as well where there is
 * room for it, since a row does not tell. Gaps, process tables and reports of sources are in a second tree, a leaf for each: sequence (u64) and
 * payload. Only the log can prove those.
 *
 * @module
 */
import { MAX_ARGV_BYTES, type ProcessEvent } from "../process_event.ts";
import { decodeMessage, encodeMessage } from "../wire.ts";
import { WireError } from "../wire_error.ts";
import { CompactRange } from "./compact_range.ts";
import { getU64, putU64 } from "./entry.ts";
import { type LedgerHash, sameBytes } from "./hash.ts";
import { verifyInclusion } from "./proofs.ts";

/** Events of one leaf. */
const GROUP_EVENTS = 8;
const GROUP_HEADER_BYTES = 9;
/** First bytes: `Envelope.events` holds a batch, `EventBatch.events` an event; in an event, arguments. */
const BATCH_TAG = 42, EVENT_TAG = 18, ARGV_TAG = 74;

const NOTHING = new Uint8Array(0);

/** What was taken from sequence `first` to `last` of one epoch. A root is `null` when there is nothing below it. */
export interface SequenceDigest {
  readonly first: number;
  readonly last: number;
  readonly events: number;
  readonly root: Uint8Array | null;
  readonly others: number;
  readonly othersRoot: Uint8Array | null;
}

/** Makes digests of the log's records, given in their order. */
export class EventDigester {
  #events: CompactRange;
  #others: CompactRange;
  #eventCount = 0;
  #first = 0;
  #last = 0;
  #group = -1;
  #which = 0;
  /** The open leaf. */
  #leaf: Uint8Array = new Uint8Array(16_384);
  #length = GROUP_HEADER_BYTES;
  /** What belongs to the open leaf and is not in it yet. */
  #source: Uint8Array = NOTHING;
  #from = 0;
  #to = 0;

  constructor(private readonly hash: LedgerHash) {
    this.#events = new CompactRange(hash);
    this.#others = new CompactRange(hash);
  }

  /** The last sequence that was taken since the last digest; 0 when nothing was. */
  get last(): number {
    return this.#last;
  }

  /** Takes a record's payload, whose `count` items have the sequences from `first` on. @throws WireError */
  add(first: number, count: number, payload: Uint8Array): void {
    if (this.#last === 0) this.#first = first;
    this.#last = first + count - 1;
    if (payload[0] !== BATCH_TAG) return this.#others.append(otherLeaf(this.hash, first, payload));
    let sequence = first;
    const end = first + count;
    try {
      walkEvents(payload, (from, to, argvEnd) => {
        if (sequence === end) throw new WireError(`A record holds more than ${count} events`);
        if (argvEnd === 0 || payload[argvEnd - 1] === 0) this.#put(sequence, payload, from, to);
        else {
          const bytes = closed(payload, sequence - first);
          this.#put(sequence, bytes, 0, bytes.length);
        }
        sequence += 1;
      });
    } finally {
      // The payload is the caller's again.
      this.#copy();
      this.#source = NOTHING;
    }
    if (sequence !== end) throw new WireError(`A record holds ${sequence - first} events, not ${count}`);
  }

  /** The digest of what was taken since the last one; `null` when nothing was. */
  take(): SequenceDigest | null {
    if (this.#last === 0) return null;
    this.#close();
    const digest = {
      first: this.#first,
      last: this.#last,
      events: this.#eventCount,
      root: this.#eventCount === 0 ? null : this.#events.root(),
      others: this.#others.size,
      othersRoot: this.#others.size === 0 ? null : this.#others.root(),
    };
    this.#first = this.#last = this.#eventCount = 0;
    if (this.#events.size > 0) this.#events = new CompactRange(this.hash);
    if (this.#others.size > 0) this.#others = new CompactRange(this.hash);
    return digest;
  }

  #put(sequence: number, source: Uint8Array, from: number, to: number): void {
    const group = Math.floor(sequence / GROUP_EVENTS);
    if (group !== this.#group) {
      this.#copy();
      this.#close();
      this.#group = group;
    }
    this.#which |= 1 << sequence % GROUP_EVENTS;
    this.#eventCount += 1;
    if (source === this.#source && from === this.#to) {
      this.#to = to;
      return;
    }
    this.#copy();
    this.#source = source;
    this.#from = from;
    this.#to = to;
  }

  /** Takes into the open leaf what was put: events that lie side by side at once, not each for itself. */
  #copy(): void {
    const length = this.#length + this.#to - this.#from;
    if (length === this.#length) return;
    if (length > this.#leaf.length) {
      const more = new Uint8Array(2 * length);
      more.set(this.#leaf.subarray(0, this.#length));
      this.#leaf = more;
    }
    this.#leaf.set(this.#source.subarray(this.#from, this.#to), this.#length);
    this.#length = length;
    this.#from = this.#to = 0;
  }

  #close(): void {
    if (this.#group === -1) return;
    putU64(new DataView(this.#leaf.buffer), 0, this.#group);
    this.#leaf[8] = this.#which;
    this.#events.append(this.hash.leaf(this.#leaf.subarray(0, this.#length)));
    this.#group = -1;
    this.#which = 0;
    this.#length = GROUP_HEADER_BYTES;
  }
}

/** An event in the form of a leaf: {@linkcode canonicalEvent} of a stored row makes it. */
export interface DigestedEvent {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** That one event is under a digest. */
export interface EventProof {
  /** What the leaf holds: the event and its neighbours. */
  readonly leaf: Uint8Array;
  /** The leaf's number, and how many there are. */
  readonly index: number;
  readonly size: number;
  readonly hashes: readonly Uint8Array[];
}

/** Why no proof can be made; `missing` of the digest's events were not given, 0 when one of them is another. */
export class EventProofError extends Error {
  override name = "EventProofError";
  constructor(readonly missing: number, message: string) {
    super(message);
  }
}

/**
 * Proves the event of `sequence`, given all events that a digest covers, in their order.
 *
 * @throws {EventProofError} when some are missing, or one is not as it was taken
 */
export function proveEvent(
  hash: LedgerHash,
  digest: SequenceDigest,
  sequence: number,
  events: Iterable<DigestedEvent>,
): EventProof {
  const range = new CompactRange(hash), leaves: Uint8Array[] = [];
  let count = 0, wanted: { leaf: Uint8Array; index: number } | null = null;
  for (const { leaf, group, size } of groups(events)) {
    if (group === Math.floor(sequence / GROUP_EVENTS)) wanted = { leaf, index: leaves.length };
    leaves.push(hash.leaf(leaf));
    range.append(leaves.at(-1)!);
    count += size;
  }
  const missing = Math.max(0, digest.events - count);
  if (missing > 0) throw new EventProofError(missing, `${missing} of ${digest.events} events are missing`);
  if (digest.root === null || !sameBytes(range.root(), digest.root)) {
    throw new EventProofError(0, `One of the ${digest.events} events is not as it was taken`);
  }
  if (wanted === null || (wanted.leaf[8]! >>> sequence % GROUP_EVENTS & 1) === 0) {
    throw new EventProofError(0, `Sequence ${sequence} is no event of the digest`);
  }
  return { ...wanted, size: leaves.length, hashes: path(hash, leaves, wanted.index) };
}

/** The event that a proof proves, as in {@linkcode DigestedEvent}; `null` when it proves nothing. Never throws. */
export function checkEventProof(
  hash: LedgerHash,
  digest: SequenceDigest,
  sequence: number,
  { leaf, index, size, hashes }: EventProof,
): Uint8Array | null {
  if (digest.root === null || leaf.length < GROUP_HEADER_BYTES) return null;
  if (!verifyInclusion(hash, hashes, index, size, hash.leaf(leaf), digest.root)) return null;
  try {
    const view = new DataView(leaf.buffer, leaf.byteOffset, leaf.length), place = sequence % GROUP_EVENTS;
    if (getU64(view, 0) !== Math.floor(sequence / GROUP_EVENTS)) return null;
    let found: Uint8Array | null = null, bit = -1;
    const which = leaf[8]!;
    walk(leaf, GROUP_HEADER_BYTES, leaf.length, (from, to) => {
      for (bit++; bit < GROUP_EVENTS && (which >>> bit & 1) === 0;) bit++;
      if (bit === place) found = leaf.slice(from, to);
    });
    return found;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return null;
  }
}

function* groups(events: Iterable<DigestedEvent>): Generator<{ leaf: Uint8Array; group: number; size: number }> {
  let parts: DigestedEvent[] = [];
  const groupOf = ({ sequence }: DigestedEvent): number => Math.floor(sequence / GROUP_EVENTS);
  const made = (): { leaf: Uint8Array; group: number; size: number } => {
    const leaf = new Uint8Array(GROUP_HEADER_BYTES + parts.reduce((sum, { bytes }) => sum + bytes.length, 0));
    putU64(new DataView(leaf.buffer), 0, groupOf(parts[0]!));
    let at = GROUP_HEADER_BYTES;
    for (const { sequence, bytes } of parts) {
      leaf[8]! |= 1 << sequence % GROUP_EVENTS;
      leaf.set(bytes, at);
      at += bytes.length;
    }
    return { leaf, group: groupOf(parts[0]!), size: parts.length };
  };
  for (const event of events) {
    if (parts.length > 0 && groupOf(parts[0]!) !== groupOf(event)) {
      yield made();
      parts = [];
    }
    parts.push(event);
  }
  if (parts.length > 0) yield made();
}

/** Inclusion proof in a tree whose leaves are all there (RFC 9162, section 2.1.3.1). */
function path(hash: LedgerHash, leaves: readonly Uint8Array[], index: number): Uint8Array[] {
  if (leaves.length === 1) return [];
  let half = 1;
  while (half * 2 < leaves.length) half *= 2;
  const left = leaves.slice(0, half), right = leaves.slice(half);
  return index < half
    ? [...path(hash, left, index), rootOf(hash, right)]
    : [...path(hash, right, index - half), rootOf(hash, left)];
}

function rootOf(hash: LedgerHash, leaves: readonly Uint8Array[]): Uint8Array {
  const range = new CompactRange(hash);
  for (const leaf of leaves) range.append(leaf);
  return range.root();
}

function otherLeaf(hash: LedgerHash, sequence: number, payload: Uint8Array): Uint8Array {
  const leaf = new Uint8Array(8 + payload.length);
  putU64(new DataView(leaf.buffer), 0, sequence);
  leaf.set(payload, 8);
  return hash.leaf(leaf);
}

/** The event `index` of a record, its arguments ended by a NUL. Only an argument list that was cut comes here. */
function closed(payload: Uint8Array, index: number): Uint8Array {
  const message = decodeMessage(payload);
  if (message.kind !== "events") throw new WireError("A record holds no events");
  const event = message.events[index]!;
  if (event.argv!.length === MAX_ARGV_BYTES) return canonicalEvent(event);
  const argv = new Uint8Array(event.argv!.length + 1);
  argv.set(event.argv!);
  return canonicalEvent({ ...event, argv });
}

/** An event as leaves have it. Arguments that do not end in a NUL are to be ended by the caller. @throws WireError */
export function canonicalEvent(event: ProcessEvent): Uint8Array {
  const payload = encodeMessage({ kind: "events", firstSequence: 1, events: [event] });
  let bytes = payload.subarray(0, 0);
  walkEvents(payload, (from, to) => void (bytes = payload.slice(from, to)));
  return bytes;
}

/** `use` gets where an event begins and ends, and where its arguments end, 0 when it has none. */
type UseEvent = (from: number, to: number, argvEnd: number) => void;

function walkEvents(payload: Uint8Array, use: UseEvent): void {
  let at = 1;
  const length = varint(payload, at);
  at = varintEnd;
  if (payload[0] !== BATCH_TAG || at + length !== payload.length) throw new WireError("A record is no batch of events");
  walk(payload, at, payload.length, use);
}

function walk(bytes: Uint8Array, from: number, end: number, use: UseEvent): void {
  for (let at = from; at < end;) {
    const tag = bytes[at]!;
    if (tag !== EVENT_TAG) {
      at = skip(bytes, at + 1, tag);
      continue;
    }
    const length = varint(bytes, at + 1), body = varintEnd;
    if (body + length > end) throw new WireError("An event is longer than its record");
    use(at, body + length, argvEnd(bytes, body, body + length));
    at = body + length;
  }
}

/** The fields of an event are in the order of their numbers, and all up to the arguments have tags of one byte. */
function argvEnd(bytes: Uint8Array, from: number, end: number): number {
  for (let at = from; at < end;) {
    const tag = bytes[at]!;
    if (tag === ARGV_TAG) {
      const length = varint(bytes, at + 1);
      return length === 0 ? 0 : varintEnd + length;
    }
    if (tag > ARGV_TAG) return 0;
    at = skip(bytes, at + 1, tag);
  }
  return 0;
}

/** Where the field whose tag ends at `at` ends. */
function skip(bytes: Uint8Array, at: number, tag: number): number {
  switch (tag & 7) {
    case 0:
      varint(bytes, at);
      return varintEnd;
    case 1:
      return at + 8;
    case 2: {
      const length = varint(bytes, at);
      return varintEnd + length;
    }
    default:
      throw new WireError(`A record has a field of wire type ${tag & 7}`);
  }
}

/** Where the number ended that {@linkcode varint} read last. */
let varintEnd = 0;

function varint(bytes: Uint8Array, at: number): number {
  let value = 0, shift = 1;
  for (let end = at; end < at + 5 && end < bytes.length; end++) {
    const byte = bytes[end]!;
    value += (byte & 0x7f) * shift;
    shift *= 128;
    if (byte < 128) {
      varintEnd = end + 1;
      return value;
    }
  }
  throw new WireError("A record ends within a number");
}
