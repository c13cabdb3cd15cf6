/**
 * The audit ledger: appends entries, puts them on disk, signs what is there, and seals what is past.
 *
 * The order in which things reach the disk is the ledger's promise: payloads, then entries, then tiles, then what is
 * going to be signed, and only then the checkpoint that others can see. A crash at any step leaves a ledger that goes on
 * from there and never signs anything that contradicts what it signed before. Faults of the disk do not throw: entries
 * wait in memory, those that find no room there are counted and told by an entry of their own, and every call tries
 * again. Who can write the ledger's directory and read its keys can forge its present, not its sealed past.
 *
 * @module
 */
import { signCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { type Action, encodeEntry, putU64 } from "../../proto/ledger/entry.ts";
import { type LedgerHash, sameBytes } from "../../proto/ledger/hash.ts";
import { encodeHeader, type LedgerHeader } from "../../proto/ledger/header.ts";
import { CHECKPOINT_NAME, encodeState } from "../../proto/ledger/layout.ts";
import { noteKey } from "../../proto/ledger/note.ts";
import { encodePayload, SALT_BYTES } from "../../proto/ledger/payload.ts";
import { encodeRotation } from "../../proto/ledger/rotation.ts";
import type { Signer } from "../../proto/ledger/ed25519.ts";
import { type Storage, StorageError } from "../wal/storage.ts";
import { LedgerBrokenError } from "./broken.ts";
import type { SigningKeys } from "./keys.ts";
import { closeWriters, openDirectory, type OpenedLedger, putEntry, putTiles } from "./opening.ts";
import { erasePayloads } from "./pruning.ts";
import { Sealer } from "./sealing.ts";
import { writeWhole } from "./slot_file.ts";

export interface LedgerClock {
  /** Unix milliseconds. */
  readonly wallMs: () => number;
  /** Nanoseconds since boot. */
  readonly monotonicNs: () => bigint;
}

export interface LedgerOptions {
  readonly storage: Storage;
  /** A directory that nobody else reads: the key of the open epoch. */
  readonly secrets: Storage;
  readonly hash: LedgerHash;
  readonly keys: SigningKeys;
  /** Name of the log and of its keys, for a new ledger; a schema-less URL by custom. */
  readonly origin: string;
  readonly host: string;
  /** 16 bytes. */
  readonly bootId: Uint8Array;
  readonly clock: LedgerClock;
  /** Called with what an operator should know. */
  readonly notice: (text: string) => void;
  /** Called once in a ledger's life, with the secret by which its seals are checked. It is stored nowhere. */
  readonly showSecret: (secret: Uint8Array, header: LedgerHeader) => void;
  readonly random?: (length: number) => Uint8Array;
  /** Of a new ledger. */
  readonly epochMs?: number;
  readonly segmentEntries?: number;
  /** Between two checkpoints when entries were added. */
  readonly checkpointMs?: number;
  /** What waits in memory while the disk takes nothing. */
  readonly maxPendingBytes?: number;
}

export interface LedgerStatus {
  /** Entries, on disk or not; those on disk; those that the newest checkpoint has. */
  readonly size: number;
  readonly durable: number;
  readonly signed: number;
  readonly sealedEpochs: number;
  readonly pendingBytes: number;
  /** Entries that found no room since start. */
  readonly refused: number;
  readonly faults: number;
  /** Why nothing is written now, or empty. */
  readonly fault: string;
}

const EPOCH_MS = 900_000, SEGMENT_ENTRIES = 65_536, CHECKPOINT_MS = 60_000, MAX_PENDING_BYTES = 8_388_608;
/** Entries after which a checkpoint is made early, so that a start never has more to read. */
const MAX_UNSIGNED = 65_536;
/** Epochs that are sealed one after the other after a pause; what is further ahead is a wrong clock. */
const MAX_CATCH_UP = 100_000;
/** Actor of entries that the ledger makes itself. */
const SELF = "ledger";

export class Ledger {
  readonly header: LedgerHeader;
  readonly #options: LedgerOptions;
  readonly #found: OpenedLedger;
  readonly #sealer: Sealer;
  readonly #random: (length: number) => Uint8Array;
  readonly #built: (level: number, index: number, hash: Uint8Array) => void;
  #signer: Signer;
  #last: Uint8Array;
  #sealed: number;
  #sealMac: Uint8Array;
  #time: number;
  #durable: number;
  #signed: number;
  #published: boolean;
  #head: { readonly size: number; readonly root: Uint8Array } | null = null;
  #checkpointAt: number;
  #prunedBefore: number;
  #refused = { count: 0, from: 0, to: 0 };
  #refusedSinceStart = 0;
  #faults = 0;
  #fault = "";
  #clockTold = false;

  private constructor(options: LedgerOptions, found: OpenedLedger, sealer: Sealer, signer: Signer) {
    const { state, verifier, header } = found;
    this.#options = options;
    this.#found = found;
    this.#sealer = sealer;
    this.#signer = signer;
    this.header = header;
    this.#random = options.random ?? randomBytes;
    this.#built = putTiles(found.writers, header.segmentEntries);
    this.#last = verifier.last;
    this.#sealed = verifier.sealed;
    this.#sealMac = verifier.sealMac;
    this.#time = Math.max(state.time, verifier.wallMs);
    this.#durable = verifier.size;
    this.#signed = state.size;
    this.#published = false;
    this.#checkpointAt = -Infinity;
    this.#prunedBefore = state.prunedBefore;
  }

  /**
   * Opens the ledger in a directory, or makes one; says in an entry what it had to cut off, and changes keys when the
   * next one is there.
   *
   * @throws {LedgerBrokenError} when what is there must not be gone on with.
   * @throws {StorageError} when the disk fails; nothing is lost, and opening can be tried again.
   */
  static async open(options: LedgerOptions): Promise<Ledger> {
    const { keys, origin, host, clock, epochMs = EPOCH_MS, segmentEntries = SEGMENT_ENTRIES } = options;
    const random = options.random ?? randomBytes;
    const newHeader = (): LedgerHeader => ({
      id: random(16),
      hash: options.hash.name,
      key: noteKey(origin, keys.current.publicKey),
      epochMs,
      segmentEntries,
      created: clock.wallMs(),
      host,
    });
    const found = await openDirectory({ ...options, random, newHeader });
    let sealer: Sealer | null = null;
    try {
      const key = found.verifier.key.publicKey;
      const signer = [keys.current, keys.next].find((each) => each !== null && sameBytes(each.publicKey, key));
      if (!signer) {
        throw new LedgerBrokenError(
          `The ledger is signed with the key ${found.verifier.key.id}, which is not there; restore its key file`,
        );
      }
      sealer = Sealer.open(options.secrets, found.header.id, found.verifier.sealed);
      const ledger = new Ledger(options, found, sealer, signer);
      ledger.#begin();
      return ledger;
    } catch (error) {
      sealer?.close();
      closeFiles(found);
      throw error;
    }
  }

  get status(): LedgerStatus {
    return {
      size: this.#range.size,
      durable: this.#durable,
      signed: this.#signed,
      sealedEpochs: this.#sealed,
      pendingBytes: this.#pending,
      refused: this.#refusedSinceStart,
      faults: this.#faults,
      fault: this.#fault,
    };
  }

  /** Size and root of everything that was appended. */
  get head(): { readonly size: number; readonly root: Uint8Array } {
    return { size: this.#range.size, root: this.#range.root() };
  }

  /** What the newest checkpoint that was published says; `null` before the first of this run. */
  get published(): { readonly size: number; readonly root: Uint8Array } | null {
    return this.#head;
  }

  /**
   * Takes an entry. Its number, or `null` when there is no room for it: then it is counted, and told when there is.
   *
   * @throws WireError for what no entry can hold.
   */
  append(
    action: Exclude<Action, "genesis" | "sealed" | "keyRotated">,
    actor: string,
    payload: Uint8Array,
  ): number | null {
    const now = this.#options.clock.wallMs();
    this.#sealUntil(now);
    if (this.#pending + payload.length > (this.#options.maxPendingBytes ?? MAX_PENDING_BYTES)) {
      if (this.#refused.count === 0) this.#refused.from = now;
      this.#refused.count += 1;
      this.#refused.to = now;
      this.#refusedSinceStart += 1;
      return null;
    }
    this.#tellRefused();
    return this.#put(action, actor, payload);
  }

  /** Puts on disk what was taken. Returns whether all of it is there. */
  flush(): boolean {
    return this.#tried(() => {
      this.#found.writers.payloads.flush();
      // A payload that is nobody's is cut off at the next start; an entry without one would not hold.
      this.#found.writers.entries.flush();
      this.#durable = this.#range.size;
      // Seals are on disk: from here on their keys are not needed by anybody.
      this.#sealer.forget();
    });
  }

  /** Signs and publishes what there is, when that is more than was signed before. Returns whether it is published. */
  checkpoint(): boolean {
    if (!this.flush()) return false;
    return this.#tried(() => {
      const { slots, writers } = this.#found, size = this.#range.size;
      if (this.#signed === size && this.#published) return;
      for (const writer of writers.tiles) writer.flush();
      const root = this.#range.root(), key = noteKey(this.header.key.name, this.#signer.publicKey);
      const text = signCheckpoint({ origin: key.name, size, root, extensions: [] }, key, this.#signer);
      const checkpoint = new TextEncoder().encode(text), segment = Math.floor(size / this.header.segmentEntries);
      // Nobody has seen the signature yet. A crash before this forgets it, one after it finds and publishes it.
      slots.save(encodeState({
        size,
        time: this.#time,
        entriesEnd: writers.entries.endOf(segment),
        payloadsEnd: writers.payloads.endOf(segment),
        last: this.#last,
        publicKey: key.publicKey,
        sealed: this.#sealed,
        sealMac: this.#sealMac,
        prunedBefore: this.#prunedBefore,
        roots: this.#range.roots,
        checkpoint,
      }));
      this.#signed = size;
      this.#published = false;
      writeWhole(this.#options.storage, CHECKPOINT_NAME, checkpoint).close();
      this.#published = true;
      this.#head = { size, root };
      this.#checkpointAt = this.#options.clock.wallMs();
    });
  }

  /** What time asks for: seals of epochs that are over, entries on disk, a checkpoint now and then. */
  tick(): void {
    const now = this.#options.clock.wallMs(), { checkpointMs = CHECKPOINT_MS } = this.#options;
    this.#sealUntil(now);
    this.#tellRefused();
    const unsigned = this.#range.size - this.#signed, waited = Math.abs(now - this.#checkpointAt);
    if (!this.#published || (unsigned > 0 && (waited >= checkpointMs || unsigned >= MAX_UNSIGNED))) this.checkpoint();
    else this.flush();
  }

  /**
   * Erases payloads of entries before `before`, in whole files that are full: they take no room any more and cannot be
   * read again. Entries and tree stay, and an entry tells of it. Returns before which entry payloads are gone now.
   */
  prune(before: number): number {
    const { segmentEntries } = this.header;
    const until = Math.min(Math.floor(before / segmentEntries), Math.floor(this.#signed / segmentEntries)) *
      segmentEntries;
    if (!(until > this.#prunedBefore)) return this.#prunedBefore;
    const payload = new Uint8Array(8);
    putU64(new DataView(payload.buffer), 0, until);
    this.#put("pruned", SELF, payload);
    // Said first: payloads that are gone without a word would look like damage.
    if (!this.checkpoint()) return this.#prunedBefore;
    this.#tried(() => {
      for (let at = this.#prunedBefore / segmentEntries; at < until / segmentEntries; at++) {
        erasePayloads(this.#options.storage, at);
      }
      this.#prunedBefore = until;
    });
    return this.#prunedBefore;
  }

  /** Signs what there is and closes every file. Returns whether the checkpoint is published. */
  close(): boolean {
    this.#tellRefused();
    const published = this.checkpoint();
    this.#sealer.close();
    closeFiles(this.#found);
    return published;
  }

  get #range(): OpenedLedger["verifier"]["range"] {
    return this.#found.verifier.range;
  }

  get #pending(): number {
    const { entries, payloads, tiles } = this.#found.writers;
    return entries.pending + payloads.pending + tiles[0]!.pending;
  }

  #begin(): void {
    const { cut } = this.#found, { notice, keys } = this.#options;
    if (this.#range.size === 0) this.#put("genesis", SELF, encodeHeader(this.header));
    this.#sealUntil(this.#options.clock.wallMs());
    if (cut !== null) {
      notice(`ledger: ${cut.bytes} bytes behind what was signed do not hold and were cut off: ${cut.why}`);
      this.#put("recovered", SELF, new TextEncoder().encode(JSON.stringify(cut)));
    }
    const { next } = keys;
    if (next !== null && !sameBytes(next.publicKey, this.#signer.publicKey)) {
      this.#put("keyRotated", SELF, encodeRotation(this.header.id, this.#range.size, this.#signer, next));
      this.#signer = next;
      notice("ledger: checkpoints are signed with the next key from now on; make it the current one");
    }
    this.checkpoint();
  }

  /** Ends every epoch that is over, each with its own key. */
  #sealUntil(now: number): void {
    const { created, epochMs } = this.header;
    this.#time = Math.max(this.#time, now);
    const due = Math.floor((this.#time - created) / epochMs);
    if (due <= this.#sealed) return;
    if (due - this.#sealed > MAX_CATCH_UP) {
      if (!this.#clockTold) {
        this.#options.notice(
          `ledger: the clock is ${due - this.#sealed} epochs ahead, so it is not believed; set it right`,
        );
      }
      this.#clockTold = true;
      this.#time = created + (this.#sealed + 1) * epochMs - 1;
      return;
    }
    while (this.#sealed < due) {
      const { payload, mac } = this.#sealer.seal(this.#range.size, this.#range.root(), this.#sealMac);
      this.#put("sealed", SELF, payload);
      this.#sealMac = mac;
      this.#sealed += 1;
    }
  }

  #tellRefused(): void {
    const { count, from, to } = this.#refused;
    if (count === 0 || this.#pending > (this.#options.maxPendingBytes ?? MAX_PENDING_BYTES) / 2) return;
    this.#put("refused", SELF, new TextEncoder().encode(JSON.stringify({ count, from, to })));
    this.#refused = { count: 0, from: 0, to: 0 };
  }

  #put(action: Action, actor: string, payload: Uint8Array): number {
    const { hash, bootId, clock } = this.#options, { segmentEntries, id } = this.header;
    const sequence = this.#range.size, first = action === "genesis", salt = first ? id : this.#random(SALT_BYTES);
    // A clock that is not believed would put the entry beyond its epoch.
    const latest = this.header.created + (this.#sealed + 1) * this.header.epochMs - 1;
    const wallMs = action === "sealed" ? this.#time : Math.min(clock.wallMs(), latest);
    const record = encodePayload(first ? null : { salt, bytes: payload });
    const entry = encodeEntry({
      action,
      ledgerId: id,
      sequence,
      wallMs: Math.max(0, Math.floor(wallMs)),
      monotonicNs: clock.monotonicNs(),
      bootId,
      payloadHash: hash.payload(salt, payload),
      previous: this.#last,
      actor,
    });
    this.#last = hash.leaf(entry);
    this.#range.append(this.#last, this.#built);
    putEntry(this.#found.writers, segmentEntries, sequence, entry, record);
    return sequence;
  }

  #tried(work: () => void): boolean {
    try {
      work();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#faults += 1;
      if (this.#fault === "") {
        this.#options.notice(`ledger: ${error.message}; entries wait in memory until it is mended`);
      }
      this.#fault = error.message;
      return false;
    }
    // Tiles wait for the next checkpoint without harm.
    if (this.#fault !== "" && this.#found.writers.entries.pending === 0) {
      this.#fault = "";
      this.#options.notice("ledger: the disk takes entries again");
    }
    return true;
  }
}

function closeFiles({ slots, writers }: OpenedLedger): void {
  slots.close();
  closeWriters(writers);
}

/** Random bytes are asked for in advance: a call for 16 of them takes longer than the rest of an entry. */
const pool = new Uint8Array(4_096);
let pooled = 0;

function randomBytes(length: number): Uint8Array {
  if (length > pooled) {
    crypto.getRandomValues(pool);
    pooled = pool.length;
  }
  const bytes = pool.slice(pooled - length, pooled);
  pool.fill(0, pooled - length, pooled); // what was given out is kept by nobody else
  pooled -= length;
  return bytes;
}
