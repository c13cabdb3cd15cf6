/**
 * A log that was forked: two trees that are the same up to some entry, both signed with the log's key.
 *
 * @module
 */
import { signCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { plainHash } from "../../proto/ledger/hash.ts";
import type { NoteKey } from "../../proto/ledger/note.ts";
import type { Signer } from "../../proto/ledger/ed25519.ts";
import { consistencyProof } from "../../proto/ledger/tiles.ts";
import { formatWitnessRequest } from "../../proto/ledger/witness.ts";
import { TilesInMemory } from "../proto/ledger/support.ts";

const HASH = plainHash("blake3");
export type Branch = "a" | "b";

export class ForkedLog {
  readonly #branches: Readonly<Record<Branch, { tiles: TilesInMemory; roots: Uint8Array[] }>>;

  constructor(readonly key: NoteKey, private readonly signer: Signer, readonly shared: number, readonly size: number) {
    this.#branches = { a: this.#grow("a"), b: this.#grow("b") };
  }

  root(branch: Branch, size: number): Uint8Array {
    return this.#branches[branch].roots[size]!;
  }

  checkpoint(branch: Branch, size: number): Uint8Array {
    const text = { origin: this.key.name, size, root: this.root(branch, size), extensions: [] };
    return new TextEncoder().encode(signCheckpoint(text, this.key, this.signer));
  }

  /** A request that a witness of this branch must grant. */
  request(branch: Branch, oldSize: number, size: number): Uint8Array {
    const proof = oldSize === 0 || oldSize > size
      ? []
      : consistencyProof(HASH, this.#branches[branch].tiles, oldSize, size);
    return new TextEncoder().encode(
      formatWitnessRequest({ oldSize, proof, checkpoint: this.checkpoint(branch, size) }),
    );
  }

  #grow(branch: Branch): { tiles: TilesInMemory; roots: Uint8Array[] } {
    const tiles = new TilesInMemory(HASH), roots = [tiles.range.root()];
    for (let at = 0; at < this.size; at++) {
      tiles.append(HASH.leaf(new TextEncoder().encode(at < this.shared ? `${at}` : `${branch} ${at}`)));
      roots.push(tiles.range.root());
    }
    return { tiles, roots };
  }
}
