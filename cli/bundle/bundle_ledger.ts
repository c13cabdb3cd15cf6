/**
 * The audit ledger in a bundle, as everything that reads ledgers reads one.
 *
 * Pieces are checked and unpacked when they are asked for, and a few of them are kept: a verifier goes through entries,
 * payloads and tiles side by side.
 *
 * @module
 */
import type { LedgerSource } from "../../proto/ledger/segment_stream.ts";
import type { ReadLedger } from "../held_state.ts";
import type { Member } from "./manifest.ts";
import { LEDGER_PIECE_BYTES } from "./members.ts";
import type { BundleReader } from "./reader.ts";

/** Entries, payloads, seven levels of tiles and three small files, each with the piece that comes next. */
const MAX_KEPT = 16;

export class BundleLedger implements LedgerSource, ReadLedger {
  /** It was copied while its writer may have been at work: its end may be unfinished. */
  readonly live = true;
  readonly #files = new Map<string, Member[]>();
  readonly #kept = new Map<Member, Uint8Array>();

  /** The ledger of a bundle; `null` when it has none. */
  static of(reader: BundleReader): BundleLedger | null {
    return reader.manifest.ledger === null ? null : new BundleLedger(reader);
  }

  private constructor(private readonly reader: BundleReader) {
    for (const member of reader.manifest.members) {
      if (member.place.kind !== "ledger") continue;
      const parts = this.#files.get(member.place.file);
      if (parts === undefined) this.#files.set(member.place.file, [member]);
      else parts.push(member);
    }
  }

  names(): readonly string[] {
    return [...this.#files.keys()];
  }

  size(name: string): number | null {
    const parts = this.#files.get(name);
    return parts === undefined ? null : (parts.length - 1) * LEDGER_PIECE_BYTES + parts.at(-1)!.bytes;
  }

  read(name: string, position: number, into: Uint8Array): number {
    const parts = this.#files.get(name) ?? [];
    let done = 0;
    for (let at = position; done < into.length; at = position + done) {
      const member = parts[Math.floor(at / LEDGER_PIECE_BYTES)];
      if (member === undefined) break;
      const from = at % LEDGER_PIECE_BYTES, piece = this.#content(member).subarray(from, from + into.length - done);
      if (piece.length === 0) break;
      into.set(piece, done);
      done += piece.length;
    }
    return done;
  }

  /** @throws BundleRefusedError */
  #content(member: Member): Uint8Array {
    const kept = this.#kept.get(member);
    if (kept !== undefined) {
      this.#kept.delete(member);
      this.#kept.set(member, kept);
      return kept;
    }
    const content = this.reader.content(member);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(oldest!);
    this.#kept.set(member, content);
    return content;
  }

  [Symbol.dispose](): void {
    this.#kept.clear();
  }
}
