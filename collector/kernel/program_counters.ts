/**
 * What the programs of process life lost: what found no room in the ring, and what the kernel did not run them for.
 *
 * @module
 */
import { BpfError, programMisses } from "./bpf.ts";
import { bootTimeNs, copyFrom, libc, map, MAP_SHARED, PROT_READ } from "./libc.ts";
import { readU64 } from "./little_endian.ts";
import { COUNTER_BYTES, counterOffset, type RecordKind } from "./process_records.ts";

/** How often the kernel is asked whether it skipped a program. */
const MISSES_INTERVAL_NS = 1e9;

/** What the programs count, read from their map's memory; and how often the kernel did not run them. */
export class KernelCounters {
  readonly #page: bigint;
  readonly #bytes = new Uint8Array(COUNTER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #programs: ReadonlyMap<RecordKind, number>;
  readonly #misses = { exec: 0, fork: 0, exit: 0 };
  #missesRead = 0;

  constructor(descriptor: number, programs: ReadonlyMap<RecordKind, number>) {
    this.#page = map(libc.getpagesize(), PROT_READ, MAP_SHARED, descriptor, 0);
    this.#programs = programs;
  }

  lost(): Record<RecordKind, number> {
    this.#readMisses();
    copyFrom(this.#page, this.#bytes);
    const of = (kind: RecordKind): number => readU64(this.#view, counterOffset(kind, "lost")) + this.#misses[kind];
    return { exec: of("exec"), fork: of("fork"), exit: of("exit") };
  }

  close(): void {
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
