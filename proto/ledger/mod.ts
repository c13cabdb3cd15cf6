/**
 * Reading, verifying and proving audit ledgers: the part of the toolkit that also runs in a browser.
 *
 * Nothing here knows where files are: a {@linkcode LedgerSource} gives them, such as {@linkcode MemorySource}. Nothing is
 * trusted that is read: {@linkcode verifyLedger} puts what it finds into its verdict, {@linkcode checkProof} throws a
 * {@linkcode WireError} that says what does not hold. Uses WebCrypto and WebAssembly, and no API of a runtime. The formats
 * are those of `docs/ledger.md`.
 *
 * @example Check a proof that somebody handed over, with the ledger's key
 * ```ts
 * import { checkProof, loadHash, parseVkey } from "./mod.ts";
 * import assert from "node:assert/strict";
 *
 * const key = parseVkey("host.example/ledger+56fcea9d+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c");
 * const proof = [
 *   "c2sp.org/tlog-proof@v1",
 *   "extra AIABCxGoU3uHjQkGPuclHZO/drAAAAAAAAAABAAAAaDEUHe4AAAAALLQXgADAwMDAwMDAwMDAwMDAwMD0Q9CET6UwcxqBgCHQJTOt+vxH1VXxqZ6QhqjWiXQW0/tJLqiXv2jTA9Of6qvVn5JkLyv+eho9+LjMJwDodRpkQVhbGljZV7DySbByk/RDNOltdk2waV7InJlcXVlc3QiOiJiYWNrdXAifQ==",
 *   "index 4",
 *   "ln8+rwaTRyOerYBcanfvy9FZmqNNDuweS/MJUzxU3XY=",
 *   "",
 *   "host.example/ledger",
 *   "5",
 *   "kZgMBX2xtK5nwrcAYDivK/OTh6UISBAQvoG2KAbKzuw=",
 *   "",
 *   "— host.example/ledger VvzqnQRrtWczduTtl0+EJIQ/owPE7xbeZ3t4naHsHmwSz9MqUf++JJqXIQME8wriyMbvjRFq75kLZ0fYni/Xo52JKA4=",
 *   "",
 * ].join("\n");
 *
 * const { entry, payload } = await checkProof(new TextEncoder().encode(proof), [key], await loadHash("blake3"));
 * assert.deepEqual([entry.sequence, entry.action, entry.actor], [4, "request", "alice"]);
 * assert.equal(new TextDecoder().decode(payload!.bytes), `{"request":"backup"}`);
 *
 * // The same with one other letter proves nothing.
 * const forged = new TextEncoder().encode(proof.replace("index 4", "index 3"));
 * await assert.rejects(async () => checkProof(forged, [key], await loadHash("blake3")), /not in the tree/);
 * ```
 *
 * @example Prove a leaf of a tree, and that the tree only grew
 * ```ts
 * import { CompactRange, consistencyProof, inclusionProof, plainHash, verifyConsistency, verifyInclusion } from "./mod.ts";
 * import assert from "node:assert/strict";
 *
 * const hash = plainHash("sha256"), range = new CompactRange(hash);
 * const leaves = ["a", "b", "c", "d", "e"].map((text) => hash.leaf(new TextEncoder().encode(text)));
 * const roots = leaves.map((leaf) => {
 *   range.append(leaf);
 *   return range.root();
 * });
 * // Below 256 leaves a tree has one tile, of its leaves.
 * const tiles = {
 *   hashes: (_: number, first: number, count: number) =>
 *     Uint8Array.from(leaves.slice(first, first + count).flatMap((leaf) => [...leaf])),
 * };
 * const proof = inclusionProof(hash, tiles, 2, 5);
 * assert.ok(verifyInclusion(hash, proof, 2, 5, leaves[2]!, roots[4]!));
 * assert.ok(!verifyInclusion(hash, proof, 3, 5, leaves[2]!, roots[4]!));
 * assert.ok(verifyConsistency(hash, consistencyProof(hash, tiles, 3, 5), 3, 5, roots[2]!, roots[4]!));
 * ```
 *
 * @module
 */
export { type Checkpoint, parseCheckpoint, type SignedCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
export { CompactRange } from "./compact_range.ts";
export { describeVerdict, type Verdict, verifyLedger, type VerifyOptions } from "./directory.ts";
export { type Action, ACTIONS, decodeEntry, type Entry } from "./entry.ts";
export { checkEventEvidence, isEventEvidence, type ProvenEvent } from "./event_proof.ts";
export { HASH_NAMES, type HashName, type LedgerHash, loadHash, plainHash } from "./hash.ts";
export { decodeHeader, type LedgerHeader } from "./header.ts";
export { MemorySource } from "./memory_source.ts";
export {
  formatVkey,
  type Note,
  type NoteKey,
  type NoteSignature,
  parseVkey,
  SIGNATURE_TYPES,
  type SignatureType,
  type VerifiedSignature,
} from "./note.ts";
export type { Payload } from "./payload.ts";
export { verifyConsistency, verifyInclusion } from "./proofs.ts";
export { proveEntry, readCheckpoint, readEntry, readHeader, SourceTiles } from "./prove.ts";
export type { LedgerSource } from "./segment_stream.ts";
export { consistencyProof, inclusionProof, rootOf, type TileReader } from "./tiles.ts";
export { checkProof, parseProof, type ProvenEntry, type TlogProof } from "./tlog_proof.ts";
export { type Anchor, type FaultReason, FAULTS, LedgerFault } from "./verifier.ts";
export {
  judgeRequest,
  type KnownHead,
  parseWitnessRequest,
  type WatchedLog,
  type WitnessJudgement,
  type WitnessRequest,
} from "./witness.ts";
export { WireError } from "../wire_error.ts";
