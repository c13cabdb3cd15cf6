/**
 * A ring buffer of the kernel's in plain memory.
 *
 * @module
 */
import { ok } from "node:assert/strict";
import type { RingMemory } from "../../collector/kernel/ring_buffer.ts";

/** Bits of a header. */
export const BUSY = 0x8000_0000, DISCARDED = 0x4000_0000;

/** A ring in plain memory, written as the kernel writes. */
export class FakeRing implements RingMemory {
  readonly memory: Uint8Array;
  produced = 0;
  consumed = 0;
  /** Runs in the middle of every copy, which goes from the end to the start as a real one may. */
  duringCopy: () => void = () => {};

  constructor(readonly bytes: number) {
    this.memory = new Uint8Array(bytes);
  }

  producerPosition(): number {
    return this.produced;
  }

  setConsumerPosition(position: number): void {
    this.consumed = position;
  }

  copy(offset: number, length: number, into: Uint8Array): void {
    const half = length >> 1;
    for (let index = length - 1; index >= 0; index--) {
      if (index === half) this.duringCopy();
      into[index] = this.memory[(offset + index) % this.bytes]!;
    }
  }

  /** Appends a record and gives the position of its header. */
  append(body: string | Uint8Array, flags = 0): number {
    const at = this.produced, bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    this.produced += (bytes.length + 8 + 7) & ~7;
    ok(this.produced - this.consumed <= this.bytes, "the fake ring is full");
    this.header(at, bytes.length | flags);
    this.write(at + 8, bytes);
    return at;
  }

  header(at: number, value: number): void {
    this.write(at, new Uint8Array(Uint32Array.of(value >>> 0).buffer));
  }

  write(at: number, bytes: Uint8Array): void {
    bytes.forEach((byte, index) => this.memory[(at + index) % this.bytes] = byte);
  }
}
