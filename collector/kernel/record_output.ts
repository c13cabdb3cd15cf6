/**
 * How our eBPF programs hand over a record: into the ring, or counted as lost.
 *
 * @module
 */
import { HELPER } from "./bpf.ts";
import { type BpfAssembler, R0, R1, R2, R4 } from "./bpf_assembler.ts";
import { counterOffset, type RecordKind } from "./process_records.ts";

/** Descriptors of the maps that records and counts go to. */
export interface OutputMaps {
  readonly ring: number;
  /** One element of `COUNTER_BYTES`. */
  readonly counters: number;
}

export function count(a: BpfAssembler, maps: OutputMaps, kind: RecordKind, counter: "seen" | "lost"): void {
  a.loadMapValue(R1, maps.counters, counterOffset(kind, counter)).moveConstant(R2, 1).atomicAdd(R1, 0, R2);
}

/**
 * Puts R3 bytes at R2 into the ring, or counts them as lost, and ends the program. Without flags, so that the kernel
 * wakes the reader only when it has taken everything before.
 */
export function submit(a: BpfAssembler, maps: OutputMaps, kind: RecordKind): void {
  a.loadMap(R1, maps.ring).moveConstant(R4, 0).call(HELPER.ringBufferOutput).jumpIf(R0, "eq", 0, "out");
  a.label("lost");
  count(a, maps, kind, "lost");
  a.label("out").moveConstant(R0, 0).exit();
}
