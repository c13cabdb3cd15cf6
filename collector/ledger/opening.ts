/**
 * Opens a ledger's directory, or makes one: what is signed must be there, what a crash tore behind it is cut off.
 *
 * A new ledger comes into being in this order: seal key (shown before it is stored), header, state. Until the state is
 * there nothing can have been signed, so a directory without one may begin anew. Entries behind what was signed are read
 * and checked as a verifier would; those that hold are written once more, since what can be read may be in memory only.
 *
 * @module
 */
import { parseCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { foldRoots } from "../../proto/ledger/compact_range.ts";
import { MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../proto/ledger/entry.ts";
import { HASH_BYTES, type LedgerHash, sameBytes } from "../../proto/ledger/hash.ts";
import { decodeHeader, encodeHeader, type LedgerHeader, MAX_HEADER_BYTES } from "../../proto/ledger/header.ts";
import {
  CHECKPOINT_NAME,
  decodeState,
  encodeState,
  HEADER_NAME,
  type LedgerState,
  parseSegmentName,
  type SegmentKind,
  STATE_NAME,
} from "../../proto/ledger/layout.ts";
import { MAX_PAYLOAD_RECORD } from "../../proto/ledger/payload.ts";
import { NO_MAC } from "../../proto/ledger/seal.ts";
import { SegmentStream } from "../../proto/ledger/segment_stream.ts";
import { MAX_TILE_LEVELS, tileHashes } from "../../proto/ledger/tiles.ts";
import { LedgerFault, LedgerVerifier } from "../../proto/ledger/verifier.ts";
import { WireError } from "../../proto/wire_error.ts";
import { readFully, type Storage } from "../wal/storage.ts";
import { LedgerBrokenError } from "./broken.ts";
import { Sealer } from "./sealing.ts";
import { SegmentWriter } from "./segment_writer.ts";
import { SlotFile, writeWhole } from "./slot_file.ts";
import { StorageSource } from "./storage_source.ts";

export interface Writers {
  readonly entries: SegmentWriter;
  readonly payloads: SegmentWriter;
  /** By level. */
  readonly tiles: readonly SegmentWriter[];
}

export interface OpenedLedger {
  readonly header: LedgerHeader;
  readonly slots: SlotFile;
  readonly state: LedgerState;
  /** It has taken all entries that are there. */
  readonly verifier: LedgerVerifier;
  readonly writers: Writers;
  /** What was cut off behind the last whole entry, and why. */
  readonly cut: { readonly bytes: number; readonly why: string } | null;
}

export interface OpeningOptions {
  readonly storage: Storage;
  readonly secrets: Storage;
  readonly hash: LedgerHash;
  readonly host: string;
  /** Of a ledger that is not there yet. */
  readonly newHeader: () => LedgerHeader;
  readonly random: (length: number) => Uint8Array;
  readonly showSecret: (secret: Uint8Array, header: LedgerHeader) => void;
}

/** @throws {LedgerBrokenError} when the directory was changed by others; nothing in it is changed then. @throws {StorageError} */
export async function openDirectory(options: OpeningOptions): Promise<OpenedLedger> {
  const { storage, hash, host } = options;
  // What an earlier run has named or removed must stay so before anything is built on it.
  storage.syncDirectory();
  const header = readHeader(options) ?? makeLedger(options);
  if (header.host !== host) {
    throw new LedgerBrokenError(
      `The ledger is of the host ${header.host}, and this is ${host}; move the directory away for a new ledger`,
    );
  }
  if (header.hash !== hash.name) {
    throw new LedgerBrokenError(
      `The ledger's hash is ${header.hash}, not ${hash.name}; set collector.ledger_hash to ${header.hash}, or move the ` +
        "directory away for a new ledger",
    );
  }
  const { slots, content } = SlotFile.open(storage, STATE_NAME);
  try {
    const state = readState(content);
    checkSigned(state, hash, header);
    return { header, slots, state, ...await readTail(storage, header, hash, state) };
  } catch (error) {
    slots.close();
    throw error;
  }
}

/** Puts an entry, its payload's record and the tiles that it completes where they belong. */
export function putEntry(
  writers: Writers,
  segmentEntries: number,
  sequence: number,
  entry: Uint8Array,
  payload: Uint8Array,
): void {
  const segment = Math.floor(sequence / segmentEntries);
  lengthBytes[0] = entry.length >>> 8;
  lengthBytes[1] = entry.length;
  writers.entries.put(segment, lengthBytes);
  writers.entries.put(segment, entry);
  writers.payloads.put(segment, payload);
}

/** For a compact range: keeps hashes that tiles hold. */
export function putTiles(
  writers: Writers,
  segmentEntries: number,
): (level: number, index: number, hash: Uint8Array) => void {
  return (height, index, hash) => {
    if (height % 8 === 0) writers.tiles[height / 8]!.put(Math.floor(index / segmentEntries), hash);
  };
}

const lengthBytes = new Uint8Array(2);

function readHeader({ storage }: OpeningOptions): LedgerHeader | null {
  const names = new Set(storage.list().map(({ name }) => name));
  const entries = [...names].some((name) => parseSegmentName(name) !== null);
  if (!names.has(HEADER_NAME) || !names.has(STATE_NAME)) {
    if (!names.has(STATE_NAME) && !names.has(CHECKPOINT_NAME) && !entries) return null;
    const missing = names.has(HEADER_NAME) ? STATE_NAME : HEADER_NAME;
    throw new LedgerBrokenError(
      `The ledger has no ${missing}, but has other files; restore it, or move the directory away for a new ledger`,
    );
  }
  const file = storage.open(HEADER_NAME);
  try {
    const bytes = new Uint8Array(MAX_HEADER_BYTES + 1);
    return decodeHeader(bytes.subarray(0, readFully(file, 0, bytes)));
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new LedgerBrokenError(`${cause.message}; restore ${HEADER_NAME}, or move the directory away`, { cause });
  } finally {
    file.close();
  }
}

function makeLedger({ storage, secrets, newHeader, random, showSecret }: OpeningOptions): LedgerHeader {
  const header = newHeader(), secret = random(32);
  showSecret(secret.slice(), header);
  Sealer.create(secrets, header.id, secret);
  secret.fill(0);
  writeWhole(storage, HEADER_NAME, encodeHeader(header)).close();
  const state: LedgerState = {
    size: 0,
    time: header.created,
    entriesEnd: 0,
    payloadsEnd: 0,
    last: new Uint8Array(HASH_BYTES),
    publicKey: header.key.publicKey,
    sealed: 0,
    sealMac: NO_MAC,
    prunedBefore: 0,
    roots: [],
    checkpoint: new Uint8Array(0),
  };
  SlotFile.create(storage, STATE_NAME, encodeState(state)).close();
  return header;
}

function readState(content: Uint8Array | null): LedgerState {
  try {
    if (content === null) throw new WireError("Neither of its slots is whole");
    return decodeState(content);
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new LedgerBrokenError(
      `${STATE_NAME} cannot be read, so nobody knows what was signed (${cause.message}); ` +
        "restore it, or move the directory away for a new ledger",
      { cause },
    );
  }
}

/** The state's tree is the one that it says was signed. */
function checkSigned(state: LedgerState, hash: LedgerHash, header: LedgerHeader): void {
  if (state.checkpoint.length === 0) {
    if (state.size !== 0) throw new LedgerBrokenError(`${STATE_NAME} has entries and no checkpoint`);
    return;
  }
  const checkpoint = parseCheckpoint(state.checkpoint);
  if (
    checkpoint.size !== state.size || checkpoint.origin !== header.key.name ||
    !sameBytes(checkpoint.root, foldRoots(hash, state.roots))
  ) throw new LedgerBrokenError(`${STATE_NAME} does not fit its own checkpoint; run audit verify`);
}

async function readTail(
  storage: Storage,
  header: LedgerHeader,
  hash: LedgerHash,
  state: LedgerState,
): Promise<Pick<OpenedLedger, "verifier" | "writers" | "cut">> {
  const { segmentEntries } = header, { size } = state;
  const place = (items: number): [index: number, within: number] => {
    return [Math.floor(items / segmentEntries), items % segmentEntries];
  };
  const [index] = place(size);
  const writers: Writers = {
    entries: new SegmentWriter(storage, "entries", index, state.entriesEnd),
    payloads: new SegmentWriter(storage, "payloads", index, state.payloadsEnd),
    tiles: Array.from({ length: MAX_TILE_LEVELS }, (_, level) => {
      const [file, within] = place(tileHashes(level, size));
      return new SegmentWriter(storage, `tiles-${level}`, file, within * HASH_BYTES);
    }),
  };
  try {
    return { writers, ...await recover(storage, header, hash, state, writers) };
  } catch (error) {
    closeWriters(writers);
    throw error;
  }
}

export function closeWriters({ entries, payloads, tiles }: Writers): void {
  for (const writer of [entries, payloads, ...tiles]) writer.close();
}

/** Reads on behind what is signed. */
async function recover(
  storage: Storage,
  header: LedgerHeader,
  hash: LedgerHash,
  state: LedgerState,
  writers: Writers,
): Promise<Pick<OpenedLedger, "verifier" | "cut">> {
  const { segmentEntries } = header, index = Math.floor(state.size / segmentEntries);
  const verifier = new LedgerVerifier({ header, hash, from: state, built: putTiles(writers, segmentEntries) });
  using source = new StorageSource(storage);
  const entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES);
  const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
  let why = "torn by a crash";
  for (let at = -1;;) {
    const next = Math.floor(verifier.size / segmentEntries);
    if (next !== at) {
      const [from, payloadsFrom] = next === index ? [state.entriesEnd, state.payloadsEnd] : [0, 0];
      if (next === index && from > 0) checkLength(source, entries, payloads, state, index);
      if (!entries.open(next, from)) break;
      payloads.open(next, payloadsFrom);
      at = next;
    }
    const entry = entries.next(MIN_ENTRY_BYTES), payload = entry === null ? null : payloads.next(0);
    if (entry === null || payload === null) break;
    const sequence = verifier.size;
    try {
      await verifier.add(entry, payload);
    } catch (error) {
      if (!(error instanceof LedgerFault)) throw error;
      why = error.message;
      break;
    }
    const record = new Uint8Array(2 + payload.length);
    record[0] = payload.length >>> 8;
    record[1] = payload.length;
    record.set(payload, 2);
    putEntry(writers, segmentEntries, sequence, entry, record);
  }
  source[Symbol.dispose]();
  const bytes = settle(storage, writers);
  return { verifier, cut: bytes === 0 ? null : { bytes, why } };
}

/** Signed entries are there at least by their length; what is in them, a verifier says. */
function checkLength(
  source: StorageSource,
  entries: SegmentStream,
  payloads: SegmentStream,
  state: LedgerState,
  index: number,
): void {
  entries.open(index);
  payloads.open(index);
  const missing = state.entriesEnd - (source.size(entries.name) ?? 0);
  const gone = state.payloadsEnd - (source.size(payloads.name) ?? 0);
  if (missing <= 0 && gone <= 0) return;
  throw new LedgerBrokenError(
    `${missing > 0 ? entries.name : payloads.name} is ${Math.max(missing, gone)} bytes shorter than what was signed; ` +
      "run audit verify, restore the file, or move the directory away for a new ledger",
  );
}

/** Writes again what was read, and cuts off what is behind. Returns how many bytes of entries and payloads that was. */
function settle(storage: Storage, { entries, payloads, tiles }: Writers): number {
  payloads.flush();
  entries.flush();
  const byKind = new Map<SegmentKind, { name: string; index: number }[]>();
  for (const { name, kind: type } of storage.list()) {
    const parsed = type === "file" ? parseSegmentName(name) : null;
    if (parsed === null) continue;
    byKind.set(parsed.kind, [...byKind.get(parsed.kind) ?? [], { name, index: parsed.index }]);
  }
  const cut = (writer: SegmentWriter, kind: SegmentKind): number => writer.cut(byKind.get(kind) ?? []);
  const bytes = cut(entries, "entries") + cut(payloads, "payloads");
  for (const writer of tiles) writer.flush();
  tiles.forEach((writer, level) => cut(writer, `tiles-${level}`));
  return bytes;
}
