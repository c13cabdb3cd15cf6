/**
 * One simulated life of a ledger on a bad disk, compared with a model after every crash.
 *
 * The model knows what the ledger promised: an entry is promised when a flush said that it is on disk, and a checkpoint
 * when anybody could have read it. After each crash, kill and clean end the ledger is opened again and must verify, hold
 * every promised entry with its bytes, follow from every checkpoint that was ever visible, and have all seals in order;
 * two checkpoints of one size must be the same to the last byte.
 *
 * @module
 */
import { LedgerBrokenError } from "../../../collector/ledger/broken.ts";
import { Ledger } from "../../../collector/ledger/ledger.ts";
import { StorageSource } from "../../../collector/ledger/storage_source.ts";
import { StorageError } from "../../../collector/wal/storage.ts";
import { parseCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { verifyLedger } from "../../../proto/ledger/directory.ts";
import type { LedgerHash } from "../../../proto/ledger/hash.ts";
import { noteKey } from "../../../proto/ledger/note.ts";
import { decodePayload, MAX_PAYLOAD_RECORD } from "../../../proto/ledger/payload.ts";
import { SegmentStream } from "../../../proto/ledger/segment_stream.ts";
import { Random } from "../../fuzz/random.ts";
import { NO_FAULTS, SimStorage, SimulatedCrash } from "../../support/sim_storage.ts";
import { CREATED, EPOCH_MS, ORIGIN, testSigner } from "./support.ts";

export interface SimulationResult {
  /** Entries that a flush said are on disk, and of those, found after every restart. */
  promised: number;
  present: number;
  /** Checkpoints that could be read, and checks that the ledger follows from one. */
  checkpoints: number;
  anchored: number;
  seals: number;
  rotations: number;
  refused: number;
  cut: number;
  crashes: number;
  kills: number;
  closes: number;
  steps: number;
}

export function nothing(): SimulationResult {
  return {
    promised: 0,
    present: 0,
    checkpoints: 0,
    anchored: 0,
    seals: 0,
    rotations: 0,
    refused: 0,
    cut: 0,
    crashes: 0,
    kills: 0,
    closes: 0,
    steps: 0,
  };
}

export function add(sum: SimulationResult, one: SimulationResult): void {
  for (const key of Object.keys(sum) as (keyof SimulationResult)[]) sum[key] += one[key];
}

/** The ledger broke a promise. */
export class BrokenPromise extends Error {
  override name = "BrokenPromise";
}

/** Runs the life with this seed, and tells `trace` its steps. @throws {BrokenPromise} */
export function simulate(seed: number, hash: LedgerHash, trace?: (text: string) => void): Promise<SimulationResult> {
  return new Life(seed, hash, trace).run();
}

const SIGNERS = [testSigner(1), testSigner(2), testSigner(3)];

class Life {
  readonly #random: Random;
  readonly #storage: SimStorage;
  readonly #secrets: SimStorage;
  readonly #result = nothing();
  readonly #segmentEntries: number;
  readonly #maxPendingBytes: number;
  #ledger: Ledger | null = null;
  #now = CREATED;
  #boot = 0;
  #key = 0;
  #changing = false;
  #secret: Uint8Array | null = null;
  /** Payloads that were appended, by their entry's number. */
  readonly #taken = new Map<number, Uint8Array>();
  #promised = 0;
  #prunedBefore = 0;
  /** Texts of all checkpoints that could be read, by their sizes. */
  readonly #seen = new Map<number, string>();

  constructor(
    seed: number,
    private readonly hash: LedgerHash,
    private readonly trace: (text: string) => void = () => {},
  ) {
    this.#random = new Random(seed);
    this.#storage = new SimStorage(this.#random);
    this.#secrets = new SimStorage(this.#random);
    this.#storage.trace = trace;
    this.#secrets.trace = (text) => trace(`secrets: ${text}`);
    this.#segmentEntries = this.#random.pick([4, 16, 64]);
    this.#maxPendingBytes = this.#random.pick([2_048, 65_536]);
  }

  async run(): Promise<SimulationResult> {
    await this.#reopen();
    const rounds = 2 + this.#random.below(4);
    for (let round = 0; round < rounds; round++) {
      let ended = false;
      try {
        this.#live(5 + this.#random.below(40));
        ended = this.#end();
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
      }
      if (!ended) this.#crash();
      await this.#reopen();
      await this.#check();
    }
    this.#result.steps = this.#storage.steps + this.#secrets.steps;
    return this.#result;
  }

  async #open(): Promise<void> {
    this.#ledger = null;
    this.#boot += 1;
    // A next key that is there once stays there until it signs: an attempt that failed may have changed to it.
    if (!this.#changing && this.#key + 1 < SIGNERS.length) this.#changing = this.#random.chance(0.1);
    const next = this.#changing ? SIGNERS[this.#key + 1]! : null;
    this.#ledger = await Ledger.open({
      storage: this.#storage,
      secrets: this.#secrets,
      hash: this.hash,
      keys: { current: SIGNERS[this.#key]!, next },
      origin: ORIGIN,
      host: "host-1",
      bootId: new Uint8Array(16).fill(this.#boot),
      clock: { wallMs: () => this.#now, monotonicNs: () => BigInt(this.#now) },
      notice: (text) => this.trace(`notice: ${text}`),
      showSecret: (secret) => this.#secret = secret,
      random: (length) => this.#random.bytes(length),
      epochMs: EPOCH_MS,
      segmentEntries: this.#segmentEntries,
      maxPendingBytes: this.#maxPendingBytes,
      checkpointMs: 5_000,
    });
    // What the ledger wrote itself under these numbers, nobody else did.
    for (const sequence of [...this.#taken.keys()]) if (sequence >= this.#promised) this.#taken.delete(sequence);
  }

  #live(steps: number): void {
    const random = this.#random, ledger = this.#ledger!;
    for (let i = 0; i < steps; i++) {
      this.#now += random.chance(0.05) ? 90_000 : random.below(2_000);
      const what = random.below(20);
      if (what < 11) this.#append();
      else if (what < 14) this.#note(ledger.flush());
      else if (what < 16) this.#note(ledger.checkpoint());
      else if (what < 18) ledger.tick();
      else if (what < 19 && random.chance(0.3)) this.#prune();
      else this.#changeFaults();
      this.#note(false);
      this.#observe();
    }
  }

  #append(): void {
    const payload = this.#random.bytes(this.#random.below(this.#random.chance(0.1) ? 3_000 : 100));
    const sequence = this.#ledger!.append("events", "collector", payload);
    if (sequence === null) this.#result.refused += 1;
    else this.#taken.set(sequence, payload);
  }

  #prune(): void {
    const before = this.#random.below(this.#promised + 1);
    // Counted first: a crash may come when some of them are gone already.
    this.#prunedBefore = Math.max(this.#prunedBefore, before);
    this.#ledger!.prune(before);
  }

  #changeFaults(): void {
    const random = this.#random;
    for (const { faults } of [this.#storage, this.#secrets]) {
      faults.io = random.pick([0, 0, 0.02, 0.2]);
      faults.short = random.pick([0, 0.3]);
      faults.crash = random.pick([0, 0.005, 0.03]);
    }
    this.#storage.faults.capacity = random.pick([Infinity, Infinity, this.#storage.used() + random.below(3_000)]);
  }

  /** What the ledger says is on disk. */
  #note(flushed: boolean): void {
    const { durable, size } = this.#ledger!.status;
    if (flushed && durable !== size) throw new BrokenPromise(`flush() said yes, but ${durable} of ${size} are on disk`);
    if (durable < this.#promised) throw new BrokenPromise(`${this.#promised} were on disk, now ${durable} are`);
    this.#result.promised += durable - this.#promised;
    this.#promised = durable;
  }

  /** Looks at the checkpoint as any reader could. */
  #observe(): void {
    let bytes: Uint8Array;
    try {
      bytes = this.#storage.bytes("checkpoint");
    } catch {
      return;
    }
    const { size } = parseCheckpoint(bytes), text = new TextDecoder().decode(bytes), before = this.#seen.get(size);
    if (before === undefined) this.#result.checkpoints += 1;
    else if (
      before !== text &&
      parseCheckpoint(new TextEncoder().encode(before)).note.text !== parseCheckpoint(bytes).note.text
    ) {
      throw new BrokenPromise(`Two checkpoints of ${size} entries contradict:\n${before}\n${text}`);
    }
    this.#seen.set(size, text);
  }

  /** How a round ends when the disk did not end it. */
  #end(): boolean {
    if (this.#random.chance(0.4)) return false;
    if (this.#random.chance(0.5)) {
      this.#observe();
      this.#result.kills += 1;
      this.#storage.kill();
      this.#secrets.kill();
      return true;
    }
    const closed = this.#ledger!.close();
    this.#note(closed);
    this.#observe();
    if (this.#storage.handles + this.#secrets.handles !== 0) throw new BrokenPromise("Files stay open");
    this.#result.closes += 1;
    return false;
  }

  #crash(): void {
    this.#observe();
    this.#result.crashes += 1;
    this.#storage.crash();
    this.#secrets.crash();
  }

  /** Opens what is left, now and then on a disk that fails during that. */
  async #reopen(): Promise<void> {
    if (this.#random.chance(0.4)) {
      for (const { faults } of [this.#storage, this.#secrets]) {
        Object.assign(faults, { io: 0.02, short: 0.2, crash: 0.02 });
      }
    }
    for (let tries = 0;; tries++) {
      try {
        await this.#open();
        break;
      } catch (error) {
        if (error instanceof LedgerBrokenError) throw new BrokenPromise(`It is not opened again: ${error.message}`);
        if (error instanceof SimulatedCrash) this.#crash();
        else if (error instanceof StorageError) {
          this.trace(error.message);
          this.#observe();
          if (this.#storage.handles + this.#secrets.handles !== 0) throw new BrokenPromise("Files stay open");
          this.#storage.kill();
          this.#secrets.kill();
        } else throw error;
        if (tries > 50) throw new BrokenPromise("It cannot be opened");
      }
    }
    for (const each of [this.#storage, this.#secrets]) each.faults = { ...NO_FAULTS };
    if (!this.#ledger!.checkpoint()) throw new BrokenPromise(`On a good disk: ${this.#ledger!.status.fault}`);
    this.#observe();
    if (this.#changing) {
      this.#result.rotations += 1;
      this.#key += 1;
      this.#changing = false;
    }
  }

  async #check(): Promise<void> {
    const ledger = this.#ledger!, { size, durable, signed } = ledger.status;
    if (size !== durable || size !== signed) throw new BrokenPromise(`${signed} of ${size} entries are signed`);
    using source = new StorageSource(this.#storage);
    const anchors = [...this.#seen.values()].map((text) => parseCheckpoint(new TextEncoder().encode(text)));
    const verdict = await verifyLedger({
      source,
      now: this.#now,
      hash: this.hash,
      keys: SIGNERS.map((signer) => noteKey(ORIGIN, signer.publicKey)),
      anchors,
      sealSecret: this.#secret,
    });
    if (verdict.fault !== null) throw new BrokenPromise(`It does not verify: ${verdict.fault.message}`);
    if (verdict.verified !== size) throw new BrokenPromise(`${verdict.verified} of ${size} entries verify`);
    if (verdict.stale) throw new BrokenPromise("Epochs have no seal");
    this.#result.anchored += anchors.length;
    this.#result.seals += ledger.status.sealedEpochs;
    if (size < this.#promised) throw new BrokenPromise(`${this.#promised} entries were on disk, now ${size} are`);
    this.#checkPayloads(source);
    this.#promised = size;
  }

  #checkPayloads(source: StorageSource): void {
    const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
    for (let sequence = 0; sequence < this.#promised; sequence++) {
      if (sequence % this.#segmentEntries === 0) payloads.open(sequence / this.#segmentEntries);
      const body = payloads.next(0), expected = this.#taken.get(sequence);
      if (body === null) throw new BrokenPromise(`Entry ${sequence} has no payload`);
      const payload = decodePayload(body);
      if (expected === undefined || (payload === null && sequence < this.#prunedBefore)) continue;
      if (payload?.bytes.toHex() !== expected.toHex()) throw new BrokenPromise(`Entry ${sequence} has another payload`);
      this.#result.present += 1;
    }
  }
}
