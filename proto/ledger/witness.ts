/**
 * What a witness is asked, and what it must answer (C2SP tlog-witness): the protocol, without sockets, files and keys.
 *
 * A witness knows one tree of each log, the largest that it has cosigned. A request brings a larger one and the proof
 * that the known one is its beginning. {@linkcode judgeRequest} trusts nothing in a request: it comes from whoever can
 * reach the witness, and the host that keeps the log is the one that is watched.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { parseCheckpoint, parseDecimal, type SignedCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
import { foldRoots } from "./compact_range.ts";
import { HASH_BYTES, type LedgerHash, sameBytes } from "./hash.ts";
import { fromBase64, MAX_NOTE_BYTES, type NoteKey, noteText } from "./note.ts";
import { MAX_PROOF_HASHES, verifyConsistency } from "./proofs.ts";

/** Longest request: its old size, its proof, a note. */
export const MAX_REQUEST_BYTES: number = MAX_NOTE_BYTES + 64 * (MAX_PROOF_HASHES + 1);

/** What a log asks a witness to cosign (C2SP `tlog-witness`). */
export interface WitnessRequest {
  /** Entries that the witness is believed to know. */
  readonly oldSize: number;
  /** Consistency proof from `oldSize` to the checkpoint, hashes of 32 bytes. */
  readonly proof: readonly Uint8Array[];
  /** The checkpoint's bytes as they were signed. */
  readonly checkpoint: Uint8Array;
}

/** A log that a witness watches. */
export interface WatchedLog {
  /** All have the log's origin as their name. */
  readonly keys: readonly NoteKey[];
  /** The hash of the log's tree. */
  readonly hash: LedgerHash;
}

/** The largest tree that was cosigned; size 0 before the first. */
export interface KnownHead {
  /** Entries. */
  readonly size: number;
  /** Root of the tree over them, 32 bytes. */
  readonly root: Uint8Array;
}

/** What a witness does with a request: cosigns this checkpoint once it remembers it, or answers with an HTTP status. */
export type WitnessJudgement =
  | { readonly kind: "consistent"; readonly checkpoint: SignedCheckpoint }
  | { readonly kind: "refused"; readonly status: 400 | 403 | 404 | 409 | 422; readonly reason: string };

/** @throws WireError for a checkpoint that is no text. */
export function formatWitnessRequest({ oldSize, proof, checkpoint }: WitnessRequest): string {
  const lines = [`old ${oldSize}`, ...proof.map((hash) => hash.toBase64()), ""];
  return `${lines.join("\n")}\n${noteText(checkpoint)}`;
}

/** The request in all of `bytes`; its checkpoint is parsed and nothing is verified. @throws WireError */
export function parseWitnessRequest(bytes: Uint8Array): WitnessRequest {
  if (bytes.length > MAX_REQUEST_BYTES) {
    throw new WireError(`A request has ${bytes.length} bytes; at most ${MAX_REQUEST_BYTES} are allowed`);
  }
  const text = noteText(bytes), end = text.indexOf("\n\n");
  if (end < 0) throw new WireError("A request has an empty line before its checkpoint");
  const [old, ...lines] = text.slice(0, end).split("\n");
  if (!old!.startsWith("old ")) throw new WireError("A request begins with old and a number of entries");
  if (lines.length > MAX_PROOF_HASHES) throw new WireError(`A request has ${lines.length} hashes`);
  const proof = lines.map(fromBase64);
  if (proof.some(({ length }) => length !== HASH_BYTES)) throw new WireError("A request has a hash of another length");
  const checkpoint = new TextEncoder().encode(text.slice(end + 2));
  parseCheckpoint(checkpoint);
  return { oldSize: parseDecimal(old!.slice(4)), proof, checkpoint };
}

/**
 * Whether the request's checkpoint may be cosigned by a witness that knows `known` of the log. Whoever calls must
 * remember the checkpoint durably before he cosigns it, and let no other request come in between.
 *
 * @param log `null` for an origin that the witness does not watch.
 */
export async function judgeRequest(
  request: WitnessRequest,
  log: WatchedLog | null,
  known: KnownHead,
): Promise<WitnessJudgement> {
  const refused = (status: 400 | 403 | 404 | 409 | 422, reason: string): WitnessJudgement => {
    return { kind: "refused", status, reason };
  };
  const { oldSize, proof } = request, checkpoint = parseCheckpoint(request.checkpoint), { size, root } = checkpoint;
  if (log === null) return refused(404, `${checkpoint.origin} is not watched here`);
  try {
    await verifyCheckpoint(checkpoint, log.keys);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return refused(403, error.message);
  }
  if (oldSize > size) return refused(400, `The old size ${oldSize} is larger than the checkpoint's ${size}`);
  if (oldSize !== known.size) return refused(409, `The largest tree known here has ${known.size} entries`);
  if (oldSize === size) {
    if (proof.length > 0) return refused(422, "Between trees of one size there is nothing to prove");
    const expected = size === 0 ? foldRoots(log.hash, []) : known.root;
    if (sameBytes(root, expected)) return { kind: "consistent", checkpoint };
    return refused(409, `Another tree of ${size} entries is known here: the log has forked`);
  }
  if (oldSize === 0) {
    if (proof.length > 0) return refused(422, "From no entries on there is nothing to prove");
    return { kind: "consistent", checkpoint };
  }
  if (verifyConsistency(log.hash, proof, oldSize, size, known.root, root)) return { kind: "consistent", checkpoint };
  return refused(422, `The tree of ${size} entries is not proven to begin with the ${oldSize} known here`);
}
