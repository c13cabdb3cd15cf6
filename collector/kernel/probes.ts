/**
 * Reads of kernel memory within our eBPF programs, and the ways from a task to what it points to.
 *
 * Registers over the length of a program: R8 the task, R9 where the record is made.
 *
 * @module
 */
import { HELPER } from "./bpf.ts";
import { type BpfAssembler, R1, R10, R2, R3, R8, R9, type Register } from "./bpf_assembler.ts";
import type { Fact } from "./context_layout.ts";

/** Copies `bytes` of kernel memory at `source + offset` to `base + at`; zeros when they cannot be read. */
export function read(
  a: BpfAssembler,
  base: Register,
  at: number,
  bytes: number,
  source: Register,
  offset: number,
): void {
  if (source !== R3) a.move(R3, source);
  a.addConstant(R3, offset).move(R1, base).addConstant(R1, at).moveConstant(R2, bytes).call(HELPER.probeReadKernel);
}

/** The same, from where the pointer in a slot of the stack points. */
export function readThrough(
  a: BpfAssembler,
  base: Register,
  at: number,
  bytes: number,
  slot: number,
  offset: number,
): void {
  a.load(8, R3, R10, slot);
  read(a, base, at, bytes, R3, offset);
}

/**
 * Reads members of eight bytes at most from where the pointer in a slot points to, all in one go where they stand close,
 * into `areaBytes` of the stack from `area` on. Gives the place of each; eight bytes of the area for each are enough.
 */
export function readTogether(
  a: BpfAssembler,
  area: number,
  areaBytes: number,
  slot: number,
  offsets: readonly number[],
): number[] {
  const first = Math.min(...offsets) & ~7, bytes = Math.max(...offsets) + 8 - first;
  if (bytes <= areaBytes) {
    readThrough(a, R10, area, bytes, slot, first);
    return offsets.map((offset) => area + offset - first);
  }
  return offsets.map((offset, index) => {
    readThrough(a, R10, area + index * 8, 8, slot, offset);
    return area + index * 8;
  });
}

/** A {@linkcode Fact} and where in the record it goes. */
export interface Copy {
  readonly fact: Fact;
  readonly width: 4 | 8;
  readonly at: number;
}

/** The two ways to get at what a task points to. Both leave R6 to R9 alone. */
export interface Reader {
  /** Copies facts into the record, which keeps what it holds where a pointer on the way is null. */
  copyFacts(a: BpfAssembler, copies: readonly Copy[]): void;
  /** Puts the pointer at the end of offsets into a slot of the stack, or goes to `none` where one is null. */
  follow(a: BpfAssembler, to: number, from: number | "task", offsets: readonly number[], none: string): void;
  /** Copies a number from where the pointer in a slot points to into the record. */
  copy(a: BpfAssembler, width: 4 | 8, at: number, slot: number, offset: number): void;
}

/** By a helper for each read: for programs that the kernel does not tell the types of what they see. */
export const BY_PROBES: Reader = {
  copyFacts(a, copies) {
    const POINTER = -16;
    for (const { pointers, group, label } of byPointers(copies)) {
      if (pointers.length === 0) { for (const { fact, width, at } of group) read(a, R9, at, width, R8, fact.offset); }
      else {
        this.follow(a, POINTER, "task", pointers, label);
        for (const { fact, width, at } of group) this.copy(a, width, at, POINTER, fact.offset);
      }
      a.label(label);
    }
  },
  follow(a, to, from, offsets, none) {
    offsets.forEach((offset, index) => {
      if (index > 0) readThrough(a, R10, to, 8, to, offset);
      else if (from === "task") read(a, R10, to, 8, R8, offset);
      else readThrough(a, R10, to, 8, from, offset);
    });
    // A null on the way leaves null at its end, as what cannot be read is zeros.
    a.load(8, R1, R10, to).jumpIf(R1, "eq", 0, none);
  },
  copy(a, width, at, slot, offset) {
    readThrough(a, R9, at, width, slot, offset);
  },
};

/**
 * By loads, ten times faster: for programs whose task has a type, and where every pointer on the way has one too. The
 * kernel lets a load through a bad pointer give zero. `task` is the slot of the stack where the typed task stands.
 */
export function byLoads(task: number): Reader {
  return {
    copyFacts(a, copies) {
      for (const { pointers, group, label } of byPointers(copies)) {
        a.load(8, R1, R10, task);
        for (const offset of pointers) a.load(8, R1, R1, offset).jumpIf(R1, "eq", 0, label);
        for (const { fact, width, at } of group) a.load(width, R2, R1, fact.offset).store(width, R9, at, R2);
        a.label(label);
      }
    },
    follow(a, to, from, offsets, none) {
      a.load(8, R1, R10, from === "task" ? task : from);
      for (const offset of offsets) a.load(8, R1, R1, offset).jumpIf(R1, "eq", 0, none);
      a.store(8, R10, to, R1);
    },
    copy(a, width, at, slot, offset) {
      a.load(8, R1, R10, slot).load(width, R2, R1, offset).store(width, R9, at, R2);
    },
  };
}

/** Neighbours that the same pointers lead to, together, so that each way is gone once. */
function* byPointers(copies: readonly Copy[]): Generator<{
  readonly pointers: readonly number[];
  readonly group: readonly Copy[];
  readonly label: string;
}> {
  const groups = Map.groupBy(copies, ({ fact }) => fact.pointers.join(" "));
  for (const group of groups.values()) {
    yield { pointers: group[0]!.fact.pointers, group, label: `copied to ${group[0]!.at}` };
  }
}
