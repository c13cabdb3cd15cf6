/**
 * Evidence of one stored event, as one text file: that it is under a digest, and that the digest is in the ledger.
 *
 * ```
 * daemoneye-event-proof/1
 * sequence N             of the event in its log
 * leaf BASE64            what the digest's leaf holds: the event and up to seven neighbours (event_digest.ts)
 * index I                of the leaf
 * leaves N               of the digest
 * BASE64                 a line for each hash that leads from the leaf to the digest's root
 *
 * c2sp.org/tlog-proof@v1 …
 * ```
 *
 * The second part is the proof of the entry that holds the digest, as {@linkcode parseProof} reads it. Nothing in the
 * first part is signed; it counts because the digest is proven.
 *
 * @module
 */
import type { ProcessEvent } from "../process_event.ts";
import { decodeMessage } from "../wire.ts";
import { WireError } from "../wire_error.ts";
import { parseDecimal } from "./checkpoint.ts";
import { checkEventProof, type EventProof } from "./event_digest.ts";
import { HASH_BYTES, type LedgerHash } from "./hash.ts";
import { fromBase64, type NoteKey, noteText } from "./note.ts";
import { MAX_PROOF_HASHES } from "./proofs.ts";
import { decodeStatement } from "./statement.ts";
import { checkProof, MAX_PROOF_BYTES, parseProof, type ProvenEntry } from "./tlog_proof.ts";

const FIRST_LINE = "daemoneye-event-proof/1";
/** Eight events of the longest frame in base64, and the proof of an entry. */
export const MAX_EVENT_PROOF_BYTES: number = 4 * 1_048_576 + MAX_PROOF_BYTES;

export interface EventEvidence {
  readonly sequence: number;
  readonly proof: EventProof;
  /** The proof of the digest's entry. */
  readonly entry: Uint8Array;
}

/** What evidence proves. */
export interface ProvenEvent extends ProvenEntry {
  /** Number of the ledger's entry that has its digest. */
  readonly sequence: number;
  /** The event. */
  readonly event: ProcessEvent;
}

/** Whether a file is of an event, and not of an entry alone. */
export function isEventEvidence(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(0, FIRST_LINE.length + 1)) === `${FIRST_LINE}\n`;
}

export function formatEventEvidence({ sequence, proof, entry }: EventEvidence): string {
  const { leaf, index, size, hashes } = proof;
  const lines = [`sequence ${sequence}`, `leaf ${leaf.toBase64()}`, `index ${index}`, `leaves ${size}`];
  return `${[FIRST_LINE, ...lines, ...hashes.map((hash) => hash.toBase64()), ""].join("\n")}\n${noteText(entry)}`;
}

/** The evidence in all of `bytes`; nothing is verified. @throws WireError */
export function parseEventEvidence(bytes: Uint8Array): EventEvidence {
  if (bytes.length > MAX_EVENT_PROOF_BYTES) {
    throw new WireError(`A proof has ${bytes.length} bytes; at most ${MAX_EVENT_PROOF_BYTES} are allowed`);
  }
  const text = noteText(bytes), end = text.indexOf("\n\n");
  if (end < 0) throw new WireError("A proof of an event has an empty line before that of its entry");
  const lines = text.slice(0, end).split("\n");
  if (lines.shift() !== FIRST_LINE) throw new WireError(`A proof of an event begins with ${FIRST_LINE}`);
  const value = (name: string): string => {
    const line = lines.shift();
    if (line === undefined || !line.startsWith(`${name} `)) throw new WireError(`A proof of an event says its ${name}`);
    return line.slice(name.length + 1);
  };
  const sequence = parseDecimal(value("sequence")), leaf = fromBase64(value("leaf"));
  const index = parseDecimal(value("index")), size = parseDecimal(value("leaves"));
  if (lines.length > MAX_PROOF_HASHES) throw new WireError(`A proof of an event has ${lines.length} hashes`);
  const hashes = lines.map(fromBase64);
  if (hashes.some(({ length }) => length !== HASH_BYTES)) {
    throw new WireError("A proof of an event has a hash of another length");
  }
  const entry = new TextEncoder().encode(text.slice(end + 2));
  parseProof(entry);
  return { sequence, proof: { leaf, index, size, hashes }, entry };
}

/** The event that a file is evidence of, when one of `keys` has signed. @throws WireError that says what does not hold */
export async function checkEventEvidence(
  bytes: Uint8Array,
  keys: readonly NoteKey[],
  hash: LedgerHash,
): Promise<ProvenEvent> {
  const { sequence, proof, entry } = parseEventEvidence(bytes), proven = await checkProof(entry, keys, hash);
  if (proven.entry.action !== "events" || proven.payload === null) {
    throw new WireError(`Entry ${proven.entry.sequence} holds no digest of events`);
  }
  const { value } = decodeStatement("events", proven.payload.bytes);
  if (sequence < value.first || sequence > value.last) throw new WireError("The digest is of other events");
  const found = checkEventProof(hash, value, sequence, proof);
  if (found === null) throw new WireError("The event is not under the digest, or its proof was damaged");
  return { ...proven, sequence, event: eventOf(found) };
}

/** An event in the form of a leaf is one field of a batch; around it goes the message that a batch is. */
function eventOf(bytes: Uint8Array): ProcessEvent {
  const head = [BATCH_TAG], length = bytes.length + FIRST_SEQUENCE.length;
  for (let rest = length; rest > 0 || head.length === 1; rest = Math.floor(rest / 128)) {
    head.push(rest % 128 + (rest >= 128 ? 128 : 0));
  }
  const message = decodeMessage(Uint8Array.of(...head, ...FIRST_SEQUENCE, ...bytes));
  if (message.kind !== "events" || message.events.length !== 1) throw new WireError("The digest's leaf holds no event");
  return message.events[0]!;
}

/** `Envelope.events`, and `EventBatch.first_sequence`, a fixed64 of 1. */
const BATCH_TAG = 42, FIRST_SEQUENCE = [9, 1, 0, 0, 0, 0, 0, 0, 0] as const;
