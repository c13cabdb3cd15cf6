/**
 * A ledger's files in memory: an upload, an archive, an answer from the network.
 *
 * @module
 */
import type { LedgerSource } from "./segment_stream.ts";

/**
 * Files by name, as {@linkcode verifyLedger} and {@linkcode proveEntry} read them.
 *
 * @example
 * ```ts
 * import { describeVerdict, verifyLedger } from "./directory.ts";
 * import { MemorySource } from "./memory_source.ts";
 * import assert from "node:assert/strict";
 *
 * // What was uploaded is no ledger: the verdict says so, nothing throws.
 * const source = new MemorySource(new Map([["notes.txt", new TextEncoder().encode("hello")]]));
 * const verdict = await verifyLedger({ source, now: Date.now() });
 * assert.equal(verdict.fault?.reason, "file");
 * assert.match(describeVerdict(verdict), /^BROKEN: The ledger: a file is missing, .*header is missing/);
 * ```
 */
export class MemorySource implements LedgerSource {
  /** `live` says that the files were copied while the ledger was written, so that its end may be unfinished. */
  constructor(private readonly files: ReadonlyMap<string, Uint8Array>, readonly live: boolean = false) {}

  names(): readonly string[] {
    return [...this.files.keys()];
  }

  size(name: string): number | null {
    return this.files.get(name)?.length ?? null;
  }

  read(name: string, position: number, into: Uint8Array): number {
    const piece = this.files.get(name)?.subarray(position, position + into.length) ?? new Uint8Array(0);
    into.set(piece);
    return piece.length;
  }
}
