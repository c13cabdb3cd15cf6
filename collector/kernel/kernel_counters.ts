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

/** How often the kernel is asked whether it skipped a program. */
const MISSES_INTERVAL_NS = 1e9;

export class KernelCounters {
  readonly #page: bigint;
  readonly #bytes = new Uint8Array(COUNTER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #programs: ReadonlyMap<RecordKind, number>;
  readonly #misses = { exec: 0, fork: 0, exit: 0 };
  #missesRead = 0;
  readonly #reported = { exec: 0, fork: 0, exit: 0 };
  #lastReport = bootTimeNs();
  #closed = false;

  /** `descriptor` is that of the map, `programs` those of the programs. @throws {SystemCallError} */
  constructor(descriptor: number, programs: ReadonlyMap<RecordKind, number>) {
    this.#page = map(libc.getpagesize(), PROT_READ, MAP_SHARED, descriptor, 0);
    this.#programs = programs;
  }

  /** Since the start, by kind; after {@linkcode close} as it was then. */
  lost(): Record<RecordKind, number> {
    if (this.#closed) return { ...this.#reported };
    this.#readMisses();
    copyFrom(this.#page, this.#bytes);
    const of = (kind: RecordKind): number => readU64(this.#view, counterOffset(kind, "lost")) + this.#misses[kind];
    return { exec: of("exec"), fork: of("fork"), exit: of("exit") };
  }

  /** Hands out what was lost since the last call, a record for each kind. */
  report(receive: (record: LossRecord) => void): void {
    const from = this.#lastReport, to = bootTimeNs(), lost = this.lost();
    this.#lastReport = to;
    for (const kind of RECORD_KINDS) {
      const count = lost[kind] - this.#reported[kind];
      if (count === 0) continue;
      this.#reported[kind] = lost[kind];
      receive({ kind: "loss", recordKind: kind, from, to, count, reason: "the ring buffer was full" });
    }
  }

  close(): void {
    // A record that the kernel writes from here on belongs to nobody: the source is closed, and whoever closes it says
    // what time was not watched.
    Object.assign(this.#reported, this.lost());
    this.#closed = true;
    libc.munmap(this.#page, BigInt(libc.getpagesize()));
  }

  #readMisses(): void {
    const now = bootTimeNs();
    if (now - this.#missesRead < MISSES_INTERVAL_NS) return;
    this.#missesRead = now;
    for (const [kind, program] of this.#programs) {
      try {
        this.#misses[kind] = programMisses(program);
      } catch (error) {
        // Kernels before 5.19 let nobody without capabilities ask; what was known stays.
        if (!(error instanceof BpfError)) throw error;
      }
    }
  }
}
