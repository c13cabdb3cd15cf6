/**
 * Verifies a ledger's directory: entries, payloads, tiles, state and checkpoint against each other and against what is
 * known from elsewhere.
 *
 * Reads every file once from its beginning to its end; memory does not grow with the ledger. Nothing is changed. The
 * files may be damaged or made by an enemy in any way: what they hold ends up in the verdict, and only a file that
 * cannot be read throws, with the reader's own error.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { parseCheckpoint, type SignedCheckpoint, verifyCheckpoint } from "./checkpoint.ts";
import { MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "./entry.ts";
import { HASH_BYTES, type LedgerHash, loadHash, sameBytes } from "./hash.ts";
import { decodeHeader, type LedgerHeader, MAX_HEADER_BYTES } from "./header.ts";
import {
  CHECKPOINT_NAME,
  decodeSlot,
  decodeState,
  HEADER_NAME,
  type LedgerState,
  parseSegmentName,
  SLOT_BYTES,
  SLOTS,
  STATE_NAME,
} from "./layout.ts";
import { MAX_NOTE_BYTES, type NoteKey } from "./note.ts";
import { MAX_PAYLOAD_RECORD } from "./payload.ts";
import { type LedgerSource, SegmentStream } from "./segment_stream.ts";
import { MAX_TILE_LEVELS, tileHashes } from "./tiles.ts";
import { type Anchor, LedgerFault, LedgerVerifier } from "./verifier.ts";

/** What is to be verified, and against what. */
export interface VerifyOptions {
  /** The ledger's files. */
  readonly source: LedgerSource;
  /** Unix milliseconds. */
  readonly now: number;
  /** Keys that are known from elsewhere: the ledger's, and those of witnesses. Without any the header's own counts. */
  readonly keys?: readonly NoteKey[];
  /** Heads that were kept elsewhere, their signatures verified by who kept them. */
  readonly anchors?: readonly Anchor[];
  /** The secret of the seals; without it, or with `null`, they are not checked with their keys. */
  readonly sealSecret?: Uint8Array | null;
  /** The hash to use instead of the fastest that fits the header. */
  readonly hash?: LedgerHash;
  /** Told now and then how many entries hold, and how many are signed. */
  readonly progress?: (verified: number, signed: number) => void;
}

/** What was found. */
export interface Verdict {
  /** `null` when everything holds that can be checked. */
  readonly fault: LedgerFault | null;
  /** Entries that hold, counted from the first. */
  readonly verified: number;
  /** Entries of the checkpoint on disk. */
  readonly signed: number;
  /** Entries that a head kept elsewhere, or a witness, vouches for. */
  readonly anchored: number;
  /** Entries before the last seal that was checked with the key of its epoch; 0 without the secret. */
  readonly sealed: number;
  /** Since when nothing proves that no entry was taken away or written anew, in ms; `null`: nothing ever did. */
  readonly unprovenMs: number | null;
  /** The last seal is older than two epochs. */
  readonly stale: boolean;
  /** Whether one of the ledger's keys is known from elsewhere. */
  readonly keyKnown: boolean;
  /** Which ledger it says it is; `null` when that cannot be read. */
  readonly header: LedgerHeader | null;
  /** Keys that have signed it, in their order, as far as it holds: each but the first was signed by the one before. */
  readonly keys: readonly NoteKey[];
  /** What is worth saying and no fault, one sentence each. */
  readonly remarks: readonly string[];
}

/** A seal that is older than this many epochs proves nothing of the present. */
const STALE_EPOCHS = 2;
/** Entries after which {@linkcode VerifyOptions.progress} is told. */
const PROGRESS_ENTRIES = 16_384;
/** Times that a state is read while a writer may be in the middle of a slot. */
const STATE_ATTEMPTS = 5;

/** Looks at everything. @throws what `source` throws */
export async function verifyLedger(options: VerifyOptions): Promise<Verdict> {
  const check = new DirectoryCheck(options);
  let fault: LedgerFault | null = null;
  try {
    await check.run();
  } catch (error) {
    if (!(error instanceof LedgerFault)) throw error;
    fault = error;
  }
  return check.verdict(fault);
}

/** The verdict in one line, as a person reads it. */
export function describeVerdict(verdict: Verdict): string {
  const { fault, verified, anchored, unprovenMs, stale } = verdict;
  const tail = unprovenMs === null
    ? "nothing outside of it proves any of it"
    : `tail unproven for ${Math.max(0, Math.round(unprovenMs / 1_000))} s`;
  const line = `verified to ${verified}, anchored to ${anchored}, ${tail}${stale ? "; TAIL-UNPROVEN" : ""}`;
  return fault === null ? line : `BROKEN: ${fault.message}; ${line}`;
}

class DirectoryCheck {
  readonly #source: LedgerSource;
  readonly #remarks: string[] = [];
  #verifier: LedgerVerifier | null = null;
  #header: LedgerHeader | null = null;
  #signed = 0;
  #witnessed: { size: number; timeMs: number } | null = null;
  #keyKnown = false;

  constructor(private readonly options: VerifyOptions) {
    this.#source = options.source;
  }

  async run(): Promise<void> {
    const header = this.#header = this.#readHeader();
    const hash = this.options.hash ?? await loadHash(header.hash);
    // These first: what is appended meanwhile is behind them. The checkpoint before the state, as a writer at work
    // publishes it after that.
    const checkpoint = this.#readCheckpoint(), state = this.#readState();
    this.#checkNames();
    const tiles = new TileCheck(this.#source, header.segmentEntries, state.size);
    let own: Uint8Array | null = null, stated: Uint8Array | null = null;
    const { anchors = [], sealSecret = null } = this.options;
    const verifier = this.#verifier = new LedgerVerifier({
      header,
      hash,
      anchors,
      sealSecret,
      built: (level, index, node) => tiles.built(level, index, node),
    });
    const entries = new SegmentStream(this.#source, "entries", MAX_ENTRY_BYTES);
    const payloads = new SegmentStream(this.#source, "payloads", MAX_PAYLOAD_RECORD);
    for (let end = false; !end;) {
      const index = Math.floor(verifier.size / header.segmentEntries);
      if (!entries.open(index)) break;
      payloads.open(index);
      const until = (index + 1) * header.segmentEntries;
      while (verifier.size < until) {
        const entry = entries.next(MIN_ENTRY_BYTES);
        if (entry === null) {
          end = true;
          break;
        }
        const payload = payloads.next(0);
        if (payload === null) throw new LedgerFault("payload", verifier.size, `payloads end before it`);
        const wait = verifier.add(entry, payload);
        if (wait !== undefined) await wait;
        if (verifier.size === checkpoint.size) own = verifier.range.root();
        if (verifier.size === state.size) stated = verifier.range.root();
        if (verifier.size % PROGRESS_ENTRIES === 0) this.options.progress?.(verifier.size, state.size);
      }
      for (
        const { name, rest } of end ? [] : [entries, payloads].map((each) => ({ name: each.name, rest: each.rest() }))
      ) {
        if (rest > 0) throw new LedgerFault("file", null, `${name} is too long`);
      }
    }
    this.#checkEnd(verifier, entries, payloads, Math.max(checkpoint.size, state.size));
    tiles.end(verifier.size === state.size && this.#complete);
    verifier.end();
    await this.#checkCheckpoint(checkpoint, own, verifier);
    this.#checkState(state, checkpoint, stated, verifier);
  }

  verdict(fault: LedgerFault | null): Verdict {
    const verifier = this.#verifier, header = this.#header, { now } = this.options;
    const sealedUntil = header === null || verifier === null ? 0 : header.created + verifier.sealed * header.epochMs;
    const proofs: number[] = [];
    if (verifier?.sealsChecked && verifier.sealed > 0) proofs.push(sealedUntil);
    if (verifier?.anchored) proofs.push(verifier.anchored.wallMs);
    if (this.#witnessed !== null) proofs.push(this.#witnessed.timeMs);
    if (verifier !== null && verifier.backwards > 0) {
      this.#remarks.push(`${verifier.backwards} entries are older than their epoch: the clock was set back`);
    }
    if (verifier !== null && verifier.erased > 0) this.#remarks.push(`${verifier.erased} payloads were erased`);
    if (verifier !== null && !(this.options.keys ?? []).some(({ type }) => type === "ed25519")) {
      this.#remarks.push(`the key is the ledger's own word; give ${verifier.keys[0]!.id} from elsewhere to check it`);
    }
    return {
      fault,
      verified: verifier?.size ?? 0,
      signed: this.#signed,
      anchored: Math.max(verifier?.anchored?.size ?? 0, this.#witnessed?.size ?? 0),
      sealed: verifier?.sealsChecked ? verifier.sealedSize : 0,
      unprovenMs: proofs.length === 0 ? null : Math.max(0, now - Math.max(...proofs)),
      stale: header !== null && now - sealedUntil > STALE_EPOCHS * header.epochMs,
      keyKnown: this.#keyKnown,
      header,
      keys: verifier?.keys ?? [],
      remarks: this.#remarks,
    };
  }

  #readHeader(): LedgerHeader {
    return this.#decoded(HEADER_NAME, MAX_HEADER_BYTES, decodeHeader, "genesis");
  }

  #readCheckpoint(): SignedCheckpoint {
    return this.#decoded(CHECKPOINT_NAME, MAX_NOTE_BYTES, parseCheckpoint, "checkpoint");
  }

  #readState(): LedgerState {
    for (let attempt = 1; attempt < STATE_ATTEMPTS && !this.#complete; attempt++) {
      try {
        return this.#readStateOnce();
      } catch (error) {
        if (!(error instanceof LedgerFault)) throw error;
      }
    }
    return this.#readStateOnce();
  }

  #readStateOnce(): LedgerState {
    return this.#decoded(STATE_NAME, SLOT_BYTES * SLOTS, (bytes) => {
      const slots = [0, 1].map((at) => decodeSlot(bytes.subarray(at * SLOT_BYTES, (at + 1) * SLOT_BYTES)));
      if (bytes.length !== SLOT_BYTES * SLOTS || slots.includes(null)) throw new WireError("A slot is damaged");
      const [a, b] = slots as [NonNullable<typeof slots[0]>, NonNullable<typeof slots[0]>];
      return decodeState(a.generation > b.generation ? a.content : b.content);
    }, "state");
  }

  #decoded<T>(
    name: string,
    most: number,
    decode: (bytes: Uint8Array) => T,
    reason: "genesis" | "checkpoint" | "state",
  ): T {
    const size = this.#source.size(name);
    if (size === null) throw new LedgerFault("file", null, `${name} is missing`);
    if (size > most) throw new LedgerFault(reason, null, `${name} has ${size} bytes`);
    const bytes = new Uint8Array(size);
    let length = 0;
    for (let count = 1; count > 0 && length < size; length += count) {
      count = this.#source.read(name, length, bytes.subarray(length));
    }
    try {
      return decode(bytes.subarray(0, length));
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause;
      throw new LedgerFault(reason, null, cause.message, { cause });
    }
  }

  #checkNames(): void {
    const known = new Set<string>([HEADER_NAME, STATE_NAME, CHECKPOINT_NAME]);
    const foreign = this.#source.names().filter((name) => !known.has(name) && parseSegmentName(name) === null);
    if (foreign.length > 0) {
      this.#remarks.push(`${foreign.length} files are not the ledger's, ${foreign[0]} among them`);
    }
  }

  /** What is behind the last whole entry: nothing, or what a crash or a writer at work leaves behind what is signed. */
  #checkEnd(verifier: LedgerVerifier, entries: SegmentStream, payloads: SegmentStream, signed: number): void {
    const { size } = verifier;
    if (size < signed) {
      throw new LedgerFault("short", size, `the ledger ends here, its own checkpoint has ${signed} entries`);
    }
    const rest = entries.rest() + payloads.rest();
    if (rest > 0) {
      if (size === signed && this.#complete) throw new LedgerFault("file", size, `${rest} bytes behind the end`);
      this.#remarks.push(`${rest} bytes behind the last entry are unfinished`);
    }
    const { segmentEntries } = this.#header!, last = Math.floor(Math.max(0, size - 1) / segmentEntries);
    for (const name of this.#source.names()) {
      const parsed = parseSegmentName(name);
      if (parsed === null || parsed.kind.startsWith("tiles") || parsed.index <= last) continue;
      if (this.#source.size(name) === 0) continue;
      throw new LedgerFault("file", null, `${name} is behind the end`);
    }
  }

  get #complete(): boolean {
    return !(this.options.source.live ?? false);
  }

  async #checkCheckpoint(
    checkpoint: SignedCheckpoint,
    root: Uint8Array | null,
    verifier: LedgerVerifier,
  ): Promise<void> {
    const { keys = [] } = this.options;
    const witnesses = keys.filter(({ type }) => type === "cosignature");
    const own = keys.filter(({ type }) => type === "ed25519");
    if (checkpoint.origin !== verifier.key.name) {
      throw new LedgerFault("checkpoint", null, `it is of ${checkpoint.origin}`);
    }
    if (root === null || !sameBytes(root, checkpoint.root)) throw new LedgerFault("checkpoint", null, "another root");
    try {
      const signatures = await verifyCheckpoint(checkpoint, [verifier.key, ...witnesses]);
      if (!signatures.some(({ key }) => key === verifier.key)) throw new WireError("The ledger's key has not signed");
      const times = signatures.flatMap(({ time }) => time === null ? [] : [time * 1_000]);
      if (times.length > 0) this.#witnessed = { size: checkpoint.size, timeMs: Math.max(...times) };
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause;
      throw new LedgerFault("checkpoint", null, cause.message, { cause });
    }
    this.#signed = checkpoint.size;
    this.#keyKnown = own.some((key) =>
      verifier.keys.some(({ id, publicKey }) => {
        return id === key.id && sameBytes(publicKey, key.publicKey);
      })
    );
    if (own.length > 0 && !this.#keyKnown) {
      throw new LedgerFault("checkpoint", null, `its key is ${verifier.key.id}, not the one that is known`);
    }
  }

  #checkState(
    state: LedgerState,
    checkpoint: SignedCheckpoint,
    root: Uint8Array | null,
    verifier: LedgerVerifier,
  ): void {
    if (state.size < checkpoint.size) throw new LedgerFault("state", null, "it is older than the checkpoint");
    if (state.size > checkpoint.size) this.#remarks.push("the newest checkpoint is signed and not published yet");
    if (root === null || state.checkpoint.length === 0) throw new LedgerFault("state", null, "it has no checkpoint");
    let stated: SignedCheckpoint;
    try {
      stated = parseCheckpoint(state.checkpoint);
    } catch (cause) {
      throw new LedgerFault("state", null, "its checkpoint cannot be read", { cause });
    }
    if (stated.size !== state.size || !sameBytes(stated.root, root) || stated.origin !== verifier.key.name) {
      throw new LedgerFault("state", null, "its checkpoint is of another tree");
    }
  }
}

/** Compares tiles on disk with the hashes that the entries make. */
class TileCheck {
  readonly #levels: { stream: SegmentStream; next: number; ended: boolean }[] = [];

  constructor(source: LedgerSource, private readonly segmentEntries: number, private readonly signed: number) {
    for (let level = 0; level < MAX_TILE_LEVELS; level++) {
      this.#levels.push({ stream: new SegmentStream(source, `tiles-${level}`, HASH_BYTES), next: 0, ended: false });
    }
  }

  built(height: number, index: number, node: Uint8Array): void {
    const level = this.#levels[height / 8];
    if (height % 8 !== 0 || level === undefined || level.ended) return;
    if (index % this.segmentEntries === 0) {
      if (level.stream.rest() > 0) throw new LedgerFault("tile", null, `${level.stream.name} is too long`);
      level.ended = !level.stream.open(index / this.segmentEntries);
    }
    const hash = level.ended ? null : level.stream.take(HASH_BYTES);
    if (hash === null) {
      level.ended = true;
      return;
    }
    if (sameBytes(hash, node)) level.next = index + 1;
    else if (index < tileHashes(height / 8, this.signed)) {
      throw new LedgerFault("tile", null, `hash ${index} of level ${height / 8}`);
    } else level.ended = true; // behind what is signed tiles are unfinished, whatever is in them
  }

  /** All hashes of the signed tree are there, and when that is all there is, no others. */
  end(complete: boolean): void {
    this.#levels.forEach(({ stream, next }, level) => {
      const due = tileHashes(level, this.signed);
      if (next < due) throw new LedgerFault("tile", null, `level ${level} ends at ${next}, not at ${due}`);
      if (complete && stream.rest() > 0) throw new LedgerFault("tile", null, `level ${level} goes on behind the tree`);
    });
  }
}
