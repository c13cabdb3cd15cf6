/**
 * Reader of a BPF ring buffer.
 *
 * The kernel writes records of 8 bytes of header and a body, and marks one as committed by clearing a bit of its
 * header. The reader copies, never looks in place: under a scoped FFI grant there are no views of foreign memory, and
 * so nothing can dangle. Loss is the writers' to count; the reader loses nothing, also when its receiver throws.
 *
 * Layout: `kernel/bpf/ringbuf.c`. The data can be mapped twice in a row, so that a record over the end is contiguous; it
 * is mapped once here, as a second mapping counts as resident memory and copying in two parts costs nothing.
 *
 * @module
 */
import { copyFrom, copyTo, libc, map, MAP_SHARED, POLLIN, PROT_READ, PROT_WRITE } from "./libc.ts";

const HEADER_BYTES = 8;
const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;
const LENGTH = 0x3fff_ffff;
/** How much is copied at a time: the longest record many times over. */
const COPY_BYTES = 256 << 10;
/** Positions are doubles, exact to 8 PiB of records. */
const WORD = 0x1_0000_0000;

/** The memory that kernel and reader share. Positions count bytes since the ring was made. */
export interface RingMemory {
  /** A power of two. */
  readonly bytes: number;
  producerPosition(): number;
  /** Tells the kernel that everything before `position` can be overwritten. */
  setConsumerPosition(position: number): void;
  /** Copies `length` bytes from `offset` on to the start of `into`; reads on at the ring's start after its end. */
  copy(offset: number, length: number, into: Uint8Array<ArrayBuffer>): void;
}

/** Takes the body of a record: `length` bytes at `at`. They are overwritten after it returns. */
export type ReceiveBody = (bytes: Uint8Array<ArrayBuffer>, view: DataView, at: number, length: number) => void;

export class RingReader {
  readonly #memory: RingMemory;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #fence = new Int32Array(1);
  #position = 0;

  constructor(memory: RingMemory) {
    this.#memory = memory;
    this.#bytes = new Uint8Array(Math.min(memory.bytes, COPY_BYTES));
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Whether records wait, committed or not. */
  get pending(): boolean {
    return this.#memory.producerPosition() > this.#position;
  }

  /**
   * Hands over every record that was committed when the call came upon it, up to what the kernel had written when the
   * call began. When `receive` throws, the rest is handed over all the same, and then the first error is thrown.
   */
  read(receive: ReceiveBody): void {
    const end = this.#memory.producerPosition();
    let failure: { error: unknown } | null = null;
    while (this.#position < end) {
      const offset = this.#position % this.#memory.bytes;
      const length = Math.min(end - this.#position, this.#bytes.length);
      // Twice: a record that is committed while it is copied may come with a new header and an old body. So the first
      // copy says how far everything is committed, and the second takes the bodies.
      this.#memory.copy(offset, length, this.#bytes);
      const committed = this.#committedBytes(length);
      if (committed === 0) break;
      this.#orderMemory();
      this.#memory.copy(offset, committed, this.#bytes);
      failure = this.#handOver(committed, receive) ?? failure;
      this.#position += committed;
      this.#orderMemory();
      this.#memory.setConsumerPosition(this.#position);
    }
    if (failure !== null) throw failure.error;
  }

  #committedBytes(length: number): number {
    let at = 0;
    while (at + HEADER_BYTES <= length) {
      const header = this.#view.getUint32(at, true);
      if ((header & BUSY) !== 0) break;
      const next = at + recordBytes(header);
      if (next > length) {
        // The kernel's position moves on by whole records: nothing will come that makes this one whole.
        if (at === 0) throw new RangeError(`The ring holds a record of ${next} bytes, where it may hold ${length}`);
        break;
      }
      at = next;
    }
    return at;
  }

  #handOver(end: number, receive: ReceiveBody): { error: unknown } | null {
    let failure: { error: unknown } | null = null;
    for (let at = 0; at < end;) {
      const header = this.#view.getUint32(at, true);
      if ((header & DISCARDED) === 0) {
        try {
          receive(this.#bytes, this.#view, at + HEADER_BYTES, header & LENGTH);
        } catch (error) {
          failure ??= { error };
        }
      }
      at += recordBytes(header);
    }
    return failure;
  }

  /** A full barrier: processors other than x86 may reorder the copies around it. */
  #orderMemory(): void {
    Atomics.exchange(this.#fence, 0, 0);
  }
}

function recordBytes(header: number): number {
  return ((header & LENGTH) + HEADER_BYTES + 7) & ~7;
}

/** The ring of a map of type `BPF_MAP_TYPE_RINGBUF`, of which this process has the descriptor. */
export class MappedRing implements RingMemory {
  readonly #pageBytes = libc.getpagesize();
  readonly #consumerPage: bigint;
  readonly #producerPage: bigint;
  readonly #data: bigint;
  readonly #position = new Uint32Array(2);
  readonly #positionBytes = new Uint8Array(this.#position.buffer);
  /** `struct pollfd`; a field, because the pool's thread writes to it after the call has returned. */
  readonly #pollfd = new Int32Array(2);
  readonly #pollfdBytes = new Uint8Array(this.#pollfd.buffer);
  #closed = false;

  /** @throws {SystemCallError} */
  constructor(readonly fd: number, readonly bytes: number) {
    this.#consumerPage = map(this.#pageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    this.#producerPage = map(this.#pageBytes + bytes, PROT_READ, MAP_SHARED, fd, this.#pageBytes);
    this.#data = this.#producerPage + BigInt(this.#pageBytes);
  }

  producerPosition(): number {
    if (this.#closed) return 0;
    copyFrom(this.#producerPage, this.#positionBytes);
    return this.#position[0]! + this.#position[1]! * WORD;
  }

  setConsumerPosition(position: number): void {
    this.#position[0] = position % WORD;
    this.#position[1] = position / WORD;
    copyTo(this.#consumerPage, this.#positionBytes);
  }

  copy(offset: number, length: number, into: Uint8Array<ArrayBuffer>): void {
    const untilEnd = Math.min(length, this.bytes - offset);
    libc.copyFrom(into, this.#data + BigInt(offset), BigInt(untilEnd));
    if (untilEnd < length) libc.copyFrom(into.subarray(untilEnd), this.#data, BigInt(length - untilEnd));
  }

  /**
   * Resolves to true when records wait, to false after `timeoutMs`. The kernel wakes a reader only for a record that
   * comes when the reader has taken all before it, so a busy host pays for no wake-ups.
   */
  async wait(timeoutMs: number): Promise<boolean> {
    this.#pollfd[0] = this.fd;
    this.#pollfd[1] = POLLIN;
    return await libc.pollAsync(this.#pollfdBytes, 1, timeoutMs) > 0;
  }

  /** Unmaps; the descriptor is the caller's. Nothing is read any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    libc.munmap(this.#consumerPage, BigInt(this.#pageBytes));
    libc.munmap(this.#producerPage, BigInt(this.#pageBytes + this.bytes));
  }
}
