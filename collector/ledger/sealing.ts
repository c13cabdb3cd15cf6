/**
 * The key of the open epoch: made when the ledger is, shown once, and from then on only ever forward.
 *
 * It lies in a directory of its own that readers of the ledger cannot see. A key is erased when the seal that it made is
 * on disk and not before, so that no crash leaves an epoch without its seal.
 *
 * @module
 */
import { getU64, LEDGER_ID_BYTES, putU64 } from "../../proto/ledger/entry.ts";
import { sameBytes } from "../../proto/ledger/hash.ts";
import { encodeSeal, nextKey, type Seal, SEAL_KEY_BYTES, sealMac } from "../../proto/ledger/seal.ts";
import type { Storage } from "../wal/storage.ts";
import { LedgerBrokenError } from "./broken.ts";
import { SlotFile } from "./slot_file.ts";

/** The file in the directory of secrets. */
export const SEAL_KEY_NAME = "ledger-seal.key";

export class Sealer {
  #stored: number;

  private constructor(
    private readonly slots: SlotFile,
    private readonly ledgerId: Uint8Array,
    private key: Uint8Array,
    private epoch: number,
    stored: number,
  ) {
    this.#stored = stored;
  }

  /** Stores the first key of a new ledger; what was shown before of another attempt is worth nothing. @throws StorageError */
  static create(secrets: Storage, ledgerId: Uint8Array, secret: Uint8Array): void {
    SlotFile.create(secrets, SEAL_KEY_NAME, encode(ledgerId, 0, secret)).close();
  }

  /**
   * Goes on where the ledger says that `sealed` epochs have their seals.
   *
   * @throws LedgerBrokenError when the key is not this ledger's, or is one that a ledger this short cannot have.
   */
  static open(secrets: Storage, ledgerId: Uint8Array, sealed: number): Sealer {
    const mend = "restore it together with the ledger, or move both away for a new one";
    if (!secrets.list().some(({ name }) => name === SEAL_KEY_NAME)) {
      throw new LedgerBrokenError(`${SEAL_KEY_NAME} is missing, so no epoch can be sealed; ${mend}`);
    }
    const { slots, content } = SlotFile.open(secrets, SEAL_KEY_NAME);
    const broken = (why: string): LedgerBrokenError => {
      slots.close();
      return new LedgerBrokenError(`${SEAL_KEY_NAME} ${why}; ${mend}`);
    };
    if (content?.length !== CONTENT_BYTES) throw broken("cannot be read");
    if (!sameBytes(content.subarray(0, LEDGER_ID_BYTES), ledgerId)) throw broken("belongs to another ledger");
    const stored = getU64(new DataView(content.buffer), LEDGER_ID_BYTES);
    if (stored > sealed) throw broken(`is of epoch ${stored}, the ledger has seals of ${sealed}: it was rolled back`);
    const sealer = new Sealer(slots, ledgerId, content.slice(LEDGER_ID_BYTES + 8), stored, stored);
    while (sealer.epoch < sealed) sealer.#forward();
    return sealer;
  }

  /** The payload that seals the open epoch; the next one is open afterwards. */
  seal(
    size: number,
    root: Uint8Array,
    previous: Uint8Array,
  ): { readonly payload: Uint8Array; readonly mac: Uint8Array } {
    const unsealed: Omit<Seal, "mac"> = { epoch: this.epoch, size, root, previous };
    const mac = sealMac(this.key, this.ledgerId, unsealed);
    this.#forward();
    return { payload: encodeSeal({ ...unsealed, mac }), mac };
  }

  /** Erases keys of sealed epochs, now that their seals are on disk. @throws StorageError */
  forget(): void {
    if (this.#stored === this.epoch) return;
    this.slots.replace(encode(this.ledgerId, this.epoch, this.key));
    this.#stored = this.epoch;
  }

  close(): void {
    this.key.fill(0);
    this.slots.close();
  }

  #forward(): void {
    const next = nextKey(this.key);
    this.key.fill(0);
    this.key = next;
    this.epoch += 1;
  }
}

const CONTENT_BYTES = LEDGER_ID_BYTES + 8 + SEAL_KEY_BYTES;

function encode(ledgerId: Uint8Array, epoch: number, key: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(CONTENT_BYTES);
  bytes.set(ledgerId);
  putU64(new DataView(bytes.buffer), LEDGER_ID_BYTES, epoch);
  bytes.set(key, LEDGER_ID_BYTES + 8);
  return bytes;
}
