/**
 * A small ledger for tests: on a simulated disk, with a clock that the test turns.
 *
 * @module
 */
import { signerOf } from "../../../collector/ledger/keys.ts";
import { Ledger, type LedgerOptions } from "../../../collector/ledger/ledger.ts";
import { StorageSource } from "../../../collector/ledger/storage_source.ts";
import type { Storage } from "../../../collector/wal/storage.ts";
import type { Signer } from "../../../proto/ledger/ed25519.ts";
import { loadHash } from "../../../proto/ledger/hash.ts";
import { noteKey } from "../../../proto/ledger/note.ts";
import { type Verdict, verifyLedger, type VerifyOptions } from "../../../proto/ledger/directory.ts";
import { Random } from "../../fuzz/random.ts";
import { SimStorage } from "../../support/sim_storage.ts";

export const CREATED = 1_790_000_000_000, EPOCH_MS = 60_000, ORIGIN = "host.example/ledger";
export const BLAKE3 = await loadHash("blake3");

export function testSigner(number: number): Signer {
  return signerOf(new Uint8Array(32).fill(number));
}

export const SIGNER: Signer = testSigner(1);
export const KEY = noteKey(ORIGIN, SIGNER.publicKey);

/** A ledger and everything around it. */
export class TestLedger {
  storage: SimStorage;
  secrets: SimStorage;
  now = CREATED;
  secret: Uint8Array | null = null;
  readonly notices: string[] = [];
  readonly random = new Random(11);
  ledger!: Ledger;

  constructor(storage = new SimStorage(), secrets = new SimStorage()) {
    this.storage = storage;
    this.secrets = secrets;
  }

  static async make(more: Partial<LedgerOptions> = {}): Promise<TestLedger> {
    const world = new TestLedger();
    await world.open(more);
    return world;
  }

  async open(more: Partial<LedgerOptions> = {}): Promise<Ledger> {
    return this.ledger = await Ledger.open({
      storage: this.storage,
      secrets: this.secrets,
      hash: BLAKE3,
      keys: { current: SIGNER, next: null },
      origin: ORIGIN,
      host: "host-1",
      bootId: new Uint8Array(16).fill(3),
      clock: { wallMs: () => this.now, monotonicNs: () => BigInt(this.now - CREATED) * 1_000_000n },
      notice: (text) => this.notices.push(text),
      showSecret: (secret) => this.secret = secret,
      random: (length) => this.random.bytes(length),
      epochMs: EPOCH_MS,
      segmentEntries: 64,
      ...more,
    });
  }

  /** Appends entries of alternating kinds, a second apart. */
  fill(count: number): void {
    for (let i = 0; i < count; i++) {
      this.now += 1_000;
      const action = (["events", "alert", "rulesChanged"] as const)[i % 3]!;
      this.ledger.append(action, "collector", new TextEncoder().encode(`payload ${this.ledger.head.size}`));
    }
  }

  verify(more: Partial<VerifyOptions> = {}): Promise<Verdict> {
    return verify(this.storage, { now: this.now, ...more });
  }
}

export async function verify(storage: Storage, more: Partial<VerifyOptions> & { now: number }): Promise<Verdict> {
  using source = new StorageSource(storage);
  return await verifyLedger({ source, keys: [KEY], ...more });
}
