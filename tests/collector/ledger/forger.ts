/**
 * What root can do with a ledger's files, its signing key and the key of the open epoch: rewrite history, and recompute
 * and sign everything that follows from it.
 *
 * @module
 */
import { SEAL_KEY_NAME } from "../../../collector/ledger/sealing.ts";
import { StorageSource } from "../../../collector/ledger/storage_source.ts";
import { signCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { CompactRange } from "../../../proto/ledger/compact_range.ts";
import { decodeEntry, encodeEntry, type Entry } from "../../../proto/ledger/entry.ts";
import { decodeSlot, encodeSlot, encodeState, SLOT_BYTES } from "../../../proto/ledger/layout.ts";
import { encodePayload, type Payload } from "../../../proto/ledger/payload.ts";
import { readEntry, readHeader } from "../../../proto/ledger/prove.ts";
import { decodeSeal, encodeSeal, NO_MAC, sealMac } from "../../../proto/ledger/seal.ts";
import { SimStorage } from "../../support/sim_storage.ts";
import { BLAKE3, KEY, SIGNER } from "./support.ts";

export interface ForgedEntry {
  readonly entry: Entry;
  readonly payload: Payload | null;
}

/** All entries of a ledger in one file. */
export function readEntries(storage: SimStorage, size: number): ForgedEntry[] {
  using source = new StorageSource(storage);
  const header = readHeader(source);
  return Array.from({ length: size }, (_, at) => {
    const { entry, payload } = readEntry(source, header, at);
    return { entry: decodeEntry(entry), payload };
  });
}

/** The key that lies on the host's disk. */
export function currentSealKey(secrets: SimStorage): Uint8Array {
  return decodeSlot(secrets.bytes(SEAL_KEY_NAME).subarray(0, SLOT_BYTES))!.content.slice(24);
}

/** The ledger that these entries make: chain, seals, tree, tiles, checkpoint and state anew. `reseal` makes every seal anew. */
export function forge(
  storage: SimStorage,
  entries: readonly ForgedEntry[],
  sealKey: Uint8Array,
  reseal = false,
): SimStorage {
  const forged = new SimStorage(), range = new CompactRange(BLAKE3);
  const files = new Map<string, number[]>(),
    put = (name: string, bytes: Uint8Array): void => {
      files.set(name, [...files.get(name) ?? [], ...bytes]);
    };
  let last = new Uint8Array(32), mac = NO_MAC, sealed = 0;
  const entryBytes: number[] = [], payloadBytes: number[] = [];
  for (const { entry, payload: before } of entries) {
    let payload = before;
    if (entry.action === "sealed") {
      const old = decodeSeal(before!.bytes),
        seal = { epoch: sealed, size: range.size, root: range.root(), previous: mac };
      const same = !reseal && encodeSeal({ ...seal, mac: old.mac }).toHex() === before!.bytes.toHex();
      mac = same ? old.mac : sealMac(sealKey, entry.ledgerId, seal);
      payload = { salt: before!.salt, bytes: encodeSeal({ ...seal, mac }) };
      sealed += 1;
    }
    const bytes = encodeEntry({
      ...entry,
      sequence: range.size,
      previous: last,
      payloadHash: payload === null ? entry.payloadHash : BLAKE3.payload(payload.salt, payload.bytes),
    });
    last = new Uint8Array(BLAKE3.leaf(bytes));
    range.append(last, (level, _, hash) => {
      if (level % 8 === 0) put(`tiles-${level / 8}-000000`, hash);
    });
    entryBytes.push(bytes.length >>> 8, bytes.length & 0xff, ...bytes);
    payloadBytes.push(...encodePayload(payload));
  }
  const text = signCheckpoint({ origin: KEY.name, size: range.size, root: range.root(), extensions: [] }, KEY, SIGNER);
  const checkpoint = new TextEncoder().encode(text);
  const state = encodeState({
    size: range.size,
    time: entries.at(-1)!.entry.wallMs,
    entriesEnd: entryBytes.length,
    payloadsEnd: payloadBytes.length,
    last,
    publicKey: SIGNER.publicKey,
    sealed,
    sealMac: mac,
    prunedBefore: 0,
    roots: range.roots,
    checkpoint,
  });
  forged.put("header", storage.bytes("header"));
  forged.put("entries-000000", Uint8Array.from(entryBytes));
  forged.put("payloads-000000", Uint8Array.from(payloadBytes));
  for (const [name, bytes] of files) forged.put(name, Uint8Array.from(bytes));
  forged.put("checkpoint", checkpoint);
  forged.put("state", Uint8Array.of(...encodeSlot(0, state), ...encodeSlot(1, state)));
  return forged;
}
