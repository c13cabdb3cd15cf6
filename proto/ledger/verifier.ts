/**
 * Verifies a ledger entry by entry, in memory that does not grow with it.
 *
 * Nothing that it is given is trusted but the header's place: whoever calls says which keys, heads and seal secret he
 * knows from elsewhere. The first entry that does not hold ends the verification with a {@linkcode LedgerFault} that says
 * which and why.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { CompactRange } from "./compact_range.ts";
import { BOOT_ID_BYTES, decodeEntry, type Entry, getU64 } from "./entry.ts";
import { HASH_BYTES, type LedgerHash, sameBytes } from "./hash.ts";
import { encodeHeader, type LedgerHeader } from "./header.ts";
import type { LedgerState } from "./layout.ts";
import { type NoteKey, noteKey } from "./note.ts";
import { decodePayload, type Payload } from "./payload.ts";
import { decodeRotation, verifyRotation } from "./rotation.ts";
import { decodeSeal, nextKey, NO_MAC, sealMac } from "./seal.ts";

/** Why an entry, or the ledger as a whole, does not hold. */
export const FAULTS = {
  entry: "its bytes are no entry",
  ledger: "it belongs to another ledger",
  sequence: "it has another number than its place",
  link: "it does not follow from the entry before",
  genesis: "the ledger's header is not the one that it began with",
  payload: "its payload is not the one that was logged",
  erased: "its payload is gone, and no entry says that it was erased",
  time: "it is older than the entry before, in the same boot",
  epoch: "it is later than the epoch that it stands in",
  seal: "its seal does not fit the epoch, the tree or the seal before",
  forged: "its seal was not made with the key of its epoch",
  key: "its change of keys is not signed by both",
  anchor: "the ledger is not the one whose checkpoint was kept",
  short: "the ledger is shorter than a checkpoint of it",
  checkpoint: "its checkpoint is not signed by its key, or not of this tree",
  tile: "a tile does not hold the hashes of the entries",
  state: "the state file is damaged or says something else",
  file: "a file is missing, damaged or unexpected",
} as const;
/** Why a ledger does not hold, for programs. */
export type FaultReason = keyof typeof FAULTS;

/** The ledger does not hold. */
export class LedgerFault extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "LedgerFault";
  /** `sequence` is the first entry that is affected; `null` when it is none in particular. */
  constructor(readonly reason: FaultReason, readonly sequence: number | null, more = "", options: ErrorOptions = {}) {
    const where = sequence === null ? "The ledger" : `Entry ${sequence}`;
    super(`${where}: ${FAULTS[reason]}${more === "" ? "" : ` (${more})`}`, options);
  }
}

/** A tree that is known from elsewhere. */
export interface Anchor {
  /** Entries. */
  readonly size: number;
  /** Root of the tree over them, 32 bytes. */
  readonly root: Uint8Array;
}

export interface VerifierOptions {
  readonly header: LedgerHeader;
  readonly hash: LedgerHash;
  /** In any order. */
  readonly anchors?: readonly Anchor[];
  /** The first seal key, as it was shown when the ledger was made. */
  readonly sealSecret?: Uint8Array | null;
  /** Goes on behind what a ledger of one's own has signed, instead of with the first entry. */
  readonly from?: LedgerState;
  /** Told of every subtree that an entry completes. */
  readonly built?: (level: number, index: number, hash: Uint8Array) => void;
}

export class LedgerVerifier {
  /** Tree over the entries that hold. */
  readonly range: CompactRange;
  /** Keys that have signed, in their order. */
  readonly keys: NoteKey[];
  /** Epochs that are sealed. */
  sealed = 0;
  /** Entries that stand before the last seal. */
  sealedSize = 0;
  /** Largest anchor that held, and the time of its last entry. */
  anchored: { readonly size: number; readonly wallMs: number } | null = null;
  /** Entries that are older than the epoch that they stand in: the clock went back, or somebody made it. */
  backwards = 0;
  erased = 0;
  /** Wall time of the last entry. */
  wallMs: number;
  readonly #anchors: Anchor[];
  #previous = new Uint8Array(HASH_BYTES);
  #bootId = new Uint8Array(BOOT_ID_BYTES);
  #monotonicNs = -1n;
  #mac: Uint8Array = NO_MAC;
  #sealKey: Uint8Array | null;
  #lastErased = -1;
  #prunedBefore = 0;
  #openUntil: number;

  constructor(private readonly options: VerifierOptions) {
    const { header, hash, anchors = [], sealSecret, from } = options;
    this.range = new CompactRange(hash, from?.size, from?.roots);
    this.keys = [from === undefined ? header.key : noteKey(header.key.name, from.publicKey)];
    this.#anchors = anchors.toSorted((a, b) => b.size - a.size);
    this.#sealKey = sealSecret ?? null;
    this.wallMs = header.created;
    if (from !== undefined) {
      this.sealed = from.sealed;
      this.#mac = from.sealMac;
      this.#previous.set(from.last);
      this.#prunedBefore = from.prunedBefore;
      this.wallMs = from.time;
    }
    this.#openUntil = header.created + (this.sealed + 1) * header.epochMs;
  }

  /** Hash of the last entry; zeros before the first. */
  get last(): Uint8Array {
    return this.#previous.slice();
  }

  /** The last seal's mac. */
  get sealMac(): Uint8Array {
    return this.#mac;
  }

  /** Entries that hold. */
  get size(): number {
    return this.range.size;
  }

  /** Whether seals were checked with the keys of their epochs. */
  get sealsChecked(): boolean {
    return this.#sealKey !== null;
  }

  /** The key that signs now. */
  get key(): NoteKey {
    return this.keys.at(-1)!;
  }

  /**
   * Takes the next entry and what its payload's record holds. Only a change of keys makes one wait.
   *
   * @throws LedgerFault
   */
  add(bytes: Uint8Array, payloadBody: Uint8Array): void | Promise<void> {
    const entry = this.#checkedEntry(bytes), payload = this.#checkedPayload(entry, payloadBody);
    this.#checkTime(entry);
    if (entry.action === "sealed") this.#checkSeal(entry, payload!);
    else if (entry.action === "pruned") this.#checkPruned(entry, payload!);
    else if (entry.action === "keyRotated") {
      return this.#checkRotation(entry, payload!).then(() => this.#take(entry, bytes));
    }
    this.#take(entry, bytes);
  }

  /** Says that no entry comes any more. @throws LedgerFault */
  end(): void {
    if (this.#lastErased >= this.#prunedBefore) throw new LedgerFault("erased", this.#lastErased);
    const ahead = this.#anchors[0];
    if (ahead !== undefined) {
      throw new LedgerFault("short", null, `it has ${this.size} entries, a kept checkpoint has ${ahead.size}`);
    }
  }

  #checkedEntry(bytes: Uint8Array): Entry {
    const sequence = this.size, { header, hash } = this.options;
    let entry: Entry;
    try {
      entry = decodeEntry(bytes);
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause;
      throw new LedgerFault("entry", sequence, cause.message, { cause });
    }
    if (!sameBytes(entry.ledgerId, header.id)) throw new LedgerFault("ledger", sequence);
    if (entry.sequence !== sequence) throw new LedgerFault("sequence", sequence, `number ${entry.sequence}`);
    if (!sameBytes(entry.previous, this.#previous)) throw new LedgerFault("link", sequence);
    if ((entry.action === "genesis") !== (sequence === 0)) throw new LedgerFault("genesis", sequence);
    if (sequence === 0 && !sameBytes(entry.payloadHash, hash.payload(header.id, encodeHeader(header)))) {
      throw new LedgerFault("genesis", 0);
    }
    return entry;
  }

  /** The payload; `null` when it was erased, which what the verifier reads itself never is. */
  #checkedPayload(entry: Entry, body: Uint8Array): Payload | null {
    const { sequence, action } = entry;
    let payload: Payload | null;
    try {
      payload = decodePayload(body);
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause;
      throw new LedgerFault("payload", sequence, cause.message, { cause });
    }
    if (action === "genesis") {
      if (payload !== null) throw new LedgerFault("payload", sequence);
      return null;
    }
    if (payload === null) {
      if (isKept(action)) throw new LedgerFault("payload", sequence, "it is never erased");
      this.#lastErased = sequence;
      this.erased += 1;
    } else if (!sameBytes(this.options.hash.payload(payload.salt, payload.bytes), entry.payloadHash)) {
      throw new LedgerFault("payload", sequence);
    }
    return payload;
  }

  #checkTime(entry: Entry): void {
    const { header } = this.options;
    const sameBoot = sameBytes(entry.bootId, this.#bootId);
    if (sameBoot && entry.monotonicNs < this.#monotonicNs) throw new LedgerFault("time", entry.sequence);
    // A seal is written when its epoch is over.
    if (entry.action !== "sealed") {
      if (entry.wallMs >= this.#openUntil) throw new LedgerFault("epoch", entry.sequence);
      if (entry.wallMs < this.#openUntil - header.epochMs) this.backwards += 1;
    }
    if (!sameBoot) this.#bootId.set(entry.bootId);
    this.#monotonicNs = entry.monotonicNs;
    this.wallMs = entry.wallMs;
  }

  #checkSeal(entry: Entry, payload: Payload): void {
    const { header } = this.options, { sequence } = entry, seal = read(decodeSeal, payload.bytes, "seal", sequence);
    const wrong = (why: string): LedgerFault => new LedgerFault("seal", sequence, why);
    if (seal.epoch !== this.sealed) throw wrong(`it is of epoch ${seal.epoch}, that of epoch ${this.sealed} is due`);
    if (seal.size !== sequence) throw wrong(`it is of ${seal.size} entries`);
    if (!sameBytes(seal.root, this.range.root())) throw wrong("it is of another tree");
    if (!sameBytes(seal.previous, this.#mac)) throw wrong("another seal came before");
    if (this.#sealKey !== null) {
      if (!sameBytes(sealMac(this.#sealKey, header.id, seal), seal.mac)) throw new LedgerFault("forged", sequence);
      this.#sealKey = nextKey(this.#sealKey);
    }
    this.#mac = seal.mac;
    this.sealed += 1;
    this.sealedSize = seal.size;
    this.#openUntil += header.epochMs;
  }

  #checkPruned(entry: Entry, payload: Payload): void {
    const before = read(decodePruned, payload.bytes, "erased", entry.sequence);
    if (before > entry.sequence) throw new LedgerFault("erased", entry.sequence, "it speaks of entries after it");
    this.#prunedBefore = Math.max(this.#prunedBefore, before);
  }

  async #checkRotation(entry: Entry, payload: Payload): Promise<void> {
    const { sequence, ledgerId } = entry, rotation = read(decodeRotation, payload.bytes, "key", sequence);
    if (!sameBytes(rotation.oldKey, this.key.publicKey)) throw new LedgerFault("key", sequence, "another key signs");
    if (!await verifyRotation(rotation, ledgerId, sequence)) throw new LedgerFault("key", sequence);
    this.keys.push(noteKey(this.key.name, rotation.newKey));
  }

  #take(entry: Entry, bytes: Uint8Array): void {
    const leaf = this.options.hash.leaf(bytes);
    this.range.append(leaf, this.options.built);
    this.#previous.set(leaf);
    for (let anchor = this.#anchors.at(-1); anchor?.size === this.size; anchor = this.#anchors.at(-1)) {
      this.#anchors.pop();
      if (!sameBytes(anchor.root, this.range.root())) {
        throw new LedgerFault("anchor", null, `the first ${anchor.size} entries have another root`);
      }
      this.anchored = { size: this.size, wallMs: entry.wallMs };
    }
  }
}

/** Actions whose payloads are part of the ledger's own proof, so that they are never erased. */
export function isKept(action: Entry["action"]): boolean {
  return action === "sealed" || action === "keyRotated" || action === "pruned";
}

/** What the payload of `pruned` says: payloads before this entry may be gone. @throws WireError */
export function decodePruned(bytes: Uint8Array): number {
  if (bytes.length !== 8) throw new WireError("What was erased is told in 8 bytes");
  return getU64(new DataView(bytes.buffer, bytes.byteOffset, 8), 0);
}

function read<T>(decode: (bytes: Uint8Array) => T, bytes: Uint8Array, reason: FaultReason, sequence: number): T {
  try {
    return decode(bytes);
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new LedgerFault(reason, sequence, cause.message, { cause });
  }
}
