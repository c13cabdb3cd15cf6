/**
 * What our programs count in the kernel: records that found no room, and times that the kernel did not run them.
 *
 * Read from the map's memory, so that it works when every capability is gone.
 *
 * @module
 */
import { BpfError, programMisses } from "./bpf.ts";
import { bootTimeNs, copyFrom, libc, map, MAP_SHARED, PROT_READ } from "./libc.ts";
import { readU64 } from "./little_endian.ts";
import type { LossRecord } from "../sources/source.ts";
import { COUNTER_BYTES, counterOffset, RECORD_KINDS, type RecordKind } from "./process_records.ts";

/** How often the kernel is asked whether it skipped a program: a loss is to be known before its record is missed. */
const MISSES_INTERVAL_NS = 250e6;

export class KernelCounters {
  readonly #page: bigint;
  readonly #bytes = new Uint8Array(COUNTER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #programs: ReadonlyMap<RecordKind, number>;
  /** Times that the kernel did not run a program, records that found no room; as read last. */
  readonly #skipped = { exec: 0, fork: 0, exit: 0 };
  readonly #unstored = { exec: 0, fork: 0, exit: 0 };
  readonly #reportedSkipped = { exec: 0, fork: 0, exit: 0 };
  readonly #reportedUnstored = { exec: 0, fork: 0, exit: 0 };
  #skippedRead = 0;
  /** When {@linkcode report} last had what the kernel skipped read, and what found no room. */
  #lastSkipped = bootTimeNs();
  #lastUnstored = bootTimeNs();
  #closed = false;

  /** `descriptor` is that of the map, `programs` those of the programs. @throws {SystemCallError} */
  constructor(descriptor: number, programs: ReadonlyMap<RecordKind, number>) {
    this.#page = map(libc.getpagesize(), PROT_READ, MAP_SHARED, descriptor, 0);
    this.#programs = programs;
  }

  /** Since the start, by kind; after {@linkcode close} as it was then. */
  lost(): Record<RecordKind, number> {
    if (!this.#closed) this.#read();
    const skipped = this.#skipped, unstored = this.#unstored;
    return {
      exec: skipped.exec + unstored.exec,
      fork: skipped.fork + unstored.fork,
      exit: skipped.exit + unstored.exit,
    };
  }

  /** Hands out what was lost since the last call, a record for each kind and reason. */
  report(receive: (record: LossRecord) => void): void {
    if (this.#closed) return;
    const to = bootTimeNs();
    this.#read();
    const tell = (counts: Counts, told: Counts, from: number, reason: string): void => {
      for (const kind of RECORD_KINDS) {
        const count = counts[kind] - told[kind];
        if (count === 0) continue;
        told[kind] = counts[kind];
        receive({ kind: "loss", recordKind: kind, from, to, count, reason });
      }
    };
    tell(this.#unstored, this.#reportedUnstored, this.#lastUnstored, "the ring buffer was full");
    tell(this.#skipped, this.#reportedSkipped, this.#lastSkipped, "the kernel skipped the program, as it ran already");
    this.#lastUnstored = to;
    if (this.#skippedRead >= to) this.#lastSkipped = to;
  }

  close(): void {
    // A record that the kernel writes from here on belongs to nobody: the source is closed, and whoever closes it says
    // what time was not watched.
    this.#read();
    this.#closed = true;
    libc.munmap(this.#page, BigInt(libc.getpagesize()));
  }

  #read(): void {
    copyFrom(this.#page, this.#bytes);
    for (const kind of RECORD_KINDS) this.#unstored[kind] = readU64(this.#view, counterOffset(kind, "lost"));
    const now = bootTimeNs();
    if (now - this.#skippedRead < MISSES_INTERVAL_NS) return;
    this.#skippedRead = now;
    for (const [kind, program] of this.#programs) {
      try {
        this.#skipped[kind] = programMisses(program);
      } catch (error) {
        // Kernels before 5.19 let nobody without capabilities ask; what was known stays.
        if (!(error instanceof BpfError)) throw error;
      }
    }
  }
}

type Counts = Record<RecordKind, number>;
