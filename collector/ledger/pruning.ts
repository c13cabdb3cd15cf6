/**
 * Erases payloads: a file of them is replaced by one in which only those are left that the ledger's proof needs.
 *
 * @module
 */
import { decodeEntry, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../proto/ledger/entry.ts";
import { segmentName } from "../../proto/ledger/layout.ts";
import { decodePayload, encodePayload, MAX_PAYLOAD_RECORD } from "../../proto/ledger/payload.ts";
import { SegmentStream } from "../../proto/ledger/segment_stream.ts";
import { isKept } from "../../proto/ledger/verifier.ts";
import { WireError } from "../../proto/wire_error.ts";
import { type Storage, StorageError } from "../wal/storage.ts";
import { writeWhole } from "./slot_file.ts";
import { StorageSource } from "./storage_source.ts";

/** Erases what may be erased in one full file of payloads. @throws StorageError */
export function erasePayloads(storage: Storage, index: number): void {
  using source = new StorageSource(storage);
  const entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES);
  const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
  if (!entries.open(index) || !payloads.open(index)) throw new StorageError("missing", `Segment ${index} is missing`);
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let entry = entries.next(MIN_ENTRY_BYTES); entry !== null; entry = entries.next(MIN_ENTRY_BYTES)) {
    const body = payloads.next(0);
    if (body === null) throw damaged(index);
    try {
      const part = encodePayload(isKept(decodeEntry(entry).action) ? decodePayload(body) : null);
      parts.push(part);
      length += part.length;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      throw damaged(index);
    }
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  source[Symbol.dispose]();
  writeWhole(storage, segmentName("payloads", index), bytes).close();
}

function damaged(index: number): StorageError {
  return new StorageError(
    "other",
    `The ledger's files ${index} are damaged, so nothing of them is erased; run audit verify`,
  );
}
