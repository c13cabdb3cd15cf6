/**
 * Makes proofs from a ledger's files: reads some tiles, one file of entries, and the checkpoint.
 *
 * Nothing is verified on the way; a proof from damaged files is one that does not hold.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { parseCheckpoint, type SignedCheckpoint } from "./checkpoint.ts";
import { MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "./entry.ts";
import { HASH_BYTES, type LedgerHash } from "./hash.ts";
import { decodeHeader, type LedgerHeader, MAX_HEADER_BYTES } from "./header.ts";
import { CHECKPOINT_NAME, HEADER_NAME, segmentName } from "./layout.ts";
import { MAX_NOTE_BYTES } from "./note.ts";
import { decodePayload, MAX_PAYLOAD_RECORD, type Payload } from "./payload.ts";
import { type LedgerSource, SegmentStream } from "./segment_stream.ts";
import { inclusionProof, type TileReader } from "./tiles.ts";
import { formatProof, makeExtra } from "./tlog_proof.ts";

/** Tiles in a ledger's files. */
export class SourceTiles implements TileReader {
  /** `segmentEntries`: how many entries one file of the ledger has. */
  constructor(private readonly source: LedgerSource, private readonly segmentEntries: number) {}

  hashes(level: number, first: number, count: number): Uint8Array {
    // A tile can span files only when those are smaller than a tile.
    const bytes = new Uint8Array(count * HASH_BYTES);
    for (let at = 0; at < count;) {
      const index = first + at, segment = Math.floor(index / this.segmentEntries), place = index % this.segmentEntries;
      const here = Math.min(count - at, this.segmentEntries - place);
      const into = bytes.subarray(at * HASH_BYTES, (at + here) * HASH_BYTES);
      const name = segmentName(`tiles-${level}`, segment);
      if (readAll(this.source, name, place * HASH_BYTES, into) < into.length) {
        throw new WireError(`${name} has no hash ${index}; verify the ledger`);
      }
      at += here;
    }
    return bytes;
  }
}

/** The header of the ledger in `source`. @throws WireError */
export function readHeader(source: LedgerSource): LedgerHeader {
  return decodeHeader(readFile(source, HEADER_NAME, MAX_HEADER_BYTES));
}

/** The newest checkpoint, not verified. @throws WireError */
export function readCheckpoint(source: LedgerSource): SignedCheckpoint & { readonly bytes: Uint8Array } {
  const bytes = readFile(source, CHECKPOINT_NAME, MAX_NOTE_BYTES);
  return { ...parseCheckpoint(bytes), bytes };
}

/** An entry's bytes and payload. @throws WireError when the files do not hold it. */
export function readEntry(
  source: LedgerSource,
  header: LedgerHeader,
  sequence: number,
): { readonly entry: Uint8Array; readonly payload: Payload | null } {
  const entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES);
  const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
  const segment = Math.floor(sequence / header.segmentEntries);
  entries.open(segment);
  payloads.open(segment);
  for (let at = segment * header.segmentEntries;; at++) {
    const entry = entries.next(MIN_ENTRY_BYTES), payload = payloads.next(0);
    if (entry === null || payload === null) {
      throw new WireError(`${entries.name} ends before entry ${sequence}; verify the ledger`);
    }
    if (at === sequence) return { entry: entry.slice(), payload: decodePayload(payload.slice()) };
  }
}

/** One file that proves an entry to be in the newest checkpoint. @throws WireError @throws RangeError */
export function proveEntry(source: LedgerSource, hash: LedgerHash, sequence: number): string {
  const header = readHeader(source), { size, bytes } = readCheckpoint(source);
  if (!Number.isSafeInteger(sequence) || sequence < 0 || sequence >= size) {
    throw new RangeError(`The newest checkpoint has ${size} entries; entry ${sequence} is not among them`);
  }
  const { entry, payload } = readEntry(source, header, sequence);
  const hashes = inclusionProof(hash, new SourceTiles(source, header.segmentEntries), sequence, size);
  return formatProof({ index: sequence, hashes, extra: makeExtra(entry, payload), checkpoint: bytes });
}

function readFile(source: LedgerSource, name: string, most: number): Uint8Array {
  const size = source.size(name);
  if (size === null) throw new WireError(`The ledger has no ${name}`);
  if (size > most) throw new WireError(`${name} has ${size} bytes; at most ${most} are allowed`);
  const bytes = new Uint8Array(size);
  return bytes.subarray(0, readAll(source, name, 0, bytes));
}

function readAll(source: LedgerSource, name: string, position: number, into: Uint8Array): number {
  let done = 0;
  while (done < into.length) {
    const count = source.read(name, position + done, into.subarray(done));
    if (count === 0) break;
    done += count;
  }
  return done;
}
