/**
 * Assembler of eBPF instructions: labels in, bytes for `BPF_PROG_LOAD` out.
 *
 * Encodings are those of the kernel's `Documentation/bpf/standardization/instruction-set.rst`. Nothing is checked for
 * sense (the verifier does that), only for fitting its field.
 *
 * @module
 */

/** Bytes of one instruction. */
export const INSTRUCTION_BYTES = 8;

/** R0 holds results, R1 to R5 arguments, R6 to R9 survive calls, R10 is the frame's end. */
export const R0 = 0, R1 = 1, R2 = 2, R3 = 3, R4 = 4, R5 = 5, R6 = 6, R7 = 7, R8 = 8, R9 = 9, R10 = 10;
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;

/** Bytes of a load or store. */
export type Width = 1 | 2 | 4 | 8;
const WIDTH_BITS: Readonly<Record<Width, number>> = { 4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18 };

const JUMPS = {
  eq: 0x10,
  gt: 0x20,
  ge: 0x30,
  ne: 0x50,
  sgt: 0x60,
  sge: 0x70,
  lt: 0xa0,
  le: 0xb0,
  slt: 0xc0,
  sle: 0xd0,
};
/** Conditions of a jump; those with `s` compare as signed numbers. */
export type Condition = keyof typeof JUMPS;

const PSEUDO_MAP_FD = 1, PSEUDO_MAP_VALUE = 2, PSEUDO_KFUNC_CALL = 2;
/** Where an immediate can stand for the second operand, and where a register. */
const IMMEDIATE = 0x00, REGISTER = 0x08;

/**
 * What keeps loops from going on for ever: a counter of their own, of which the verifier follows every step; or the
 * kernel's budget for a program's loops (`may_goto`, Linux 6.9), for which it follows a few, so that long programs load
 * in a fraction of the time.
 */
export type LoopForm = "counter" | "budget";

interface Instruction {
  readonly code: number;
  readonly target: number;
  readonly source: number;
  readonly immediate: number;
  /** A number, or the label that a jump goes to. */
  readonly offset: number | string;
}

export class BpfAssembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();
  readonly #loops: LoopForm;

  constructor(loops: LoopForm = "counter") {
    this.#loops = loops;
  }

  // Moves and arithmetic, 64 bits wide. The operand is a register with the plain name, a constant with `Constant`.
  move = (target: Register, source: Register): this => this.#emit(0xb7 | REGISTER, target, source);
  moveConstant = (target: Register, value: number): this => this.#emit(0xb7, target, 0, 0, value);
  add = (target: Register, source: Register): this => this.#emit(0x07 | REGISTER, target, source);
  addConstant = (target: Register, value: number): this => this.#emit(0x07, target, 0, 0, value);
  subtract = (target: Register, source: Register): this => this.#emit(0x17 | REGISTER, target, source);
  orConstant = (target: Register, value: number): this => this.#emit(0x47, target, 0, 0, value);
  andConstant = (target: Register, value: number): this => this.#emit(0x57, target, 0, 0, value);
  multiplyConstant = (target: Register, value: number): this => this.#emit(0x27, target, 0, 0, value);
  shiftRight = (target: Register, bits: number): this => this.#emit(0x77, target, 0, 0, bits);

  /** `target = *(source + offset)`, zero-extended. */
  load(width: Width, target: Register, source: Register, offset: number): this {
    return this.#emit(0x61 | WIDTH_BITS[width], target, source, offset);
  }

  /** `*(target + offset) = source`. */
  store(width: Width, target: Register, offset: number, source: Register): this {
    return this.#emit(0x63 | WIDTH_BITS[width], target, source, offset);
  }

  storeConstant(width: Width, target: Register, offset: number, value: number): this {
    return this.#emit(0x62 | WIDTH_BITS[width], target, 0, offset, value);
  }

  /** Atomically `*(u64 *)(target + offset) += source`. */
  atomicAdd(target: Register, offset: number, source: Register): this {
    return this.#emit(0xdb, target, source, offset);
  }

  /** A map, as the first argument of a helper. */
  loadMap(target: Register, fd: number): this {
    return this.#emitWide(target, PSEUDO_MAP_FD, fd, 0);
  }

  /** The address of `offset` in the only element of an array map. */
  loadMapValue(target: Register, fd: number, offset: number): this {
    return this.#emitWide(target, PSEUDO_MAP_VALUE, fd, offset);
  }

  /** Calls a helper of `enum bpf_func_id`. */
  call(helper: number): this {
    return this.#emit(0x85, 0, 0, 0, helper);
  }

  /** Calls a function of the kernel that BTF names by `id`. */
  callKernelFunction(id: number): this {
    return this.#emit(0x85, 0, PSEUDO_KFUNC_CALL, 0, id);
  }

  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`Label ${name} stands twice`);
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  jump(label: string): this {
    return this.#emit(0x05, 0, 0, label);
  }

  /** Jumps when the 64-bit `left` compares so with a constant. */
  jumpIf(left: Register, condition: Condition, value: number, label: string): this {
    return this.#emit(0x05 | JUMPS[condition] | IMMEDIATE, left, 0, label, value);
  }

  jumpIfRegisters(left: Register, condition: Condition, right: Register, label: string): this {
    return this.#emit(0x05 | JUMPS[condition] | REGISTER, left, right, label);
  }

  /**
   * Puts `otherwise` into a register that holds more than `most`, as unsigned numbers. The verifier goes on with what
   * fits first; the other way is then one of those that it has seen, and ends here.
   */
  limit(register: Register, most: number, otherwise: number, name: string): this {
    this.jump(`${name} checked`).label(`${name} corrected`).moveConstant(register, otherwise);
    return this.label(`${name} checked`).jumpIf(register, "gt", most, `${name} corrected`);
  }

  /** The label of a loop, which goes to `end` when the kernel's budget is used up. */
  loop(name: string, end: string): this {
    this.label(name);
    return this.#loops === "budget" ? this.#emit(0xe5, 0, 0, end) : this;
  }

  /** Goes on with a loop; where there is no budget, until `counter`, which begins at zero, comes to `most`. */
  again(name: string, counter: Register, most: number, end: string): this {
    if (this.#loops === "budget") return this.jump(name);
    return this.addConstant(counter, 1).jumpIf(counter, "lt", most, name).jump(end);
  }

  exit(): this {
    return this.#emit(0x95, 0, 0);
  }

  /**
   * The program's bytes.
   *
   * @throws {RangeError} A jump goes too far, or a number does not fit.
   */
  assemble(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#instructions.length * INSTRUCTION_BYTES);
    const view = new DataView(bytes.buffer);
    this.#instructions.forEach(({ code, target, source, offset, immediate }, index) => {
      const at = index * INSTRUCTION_BYTES;
      view.setUint8(at, code);
      view.setUint8(at + 1, source << 4 | target);
      view.setInt16(at + 2, int16(typeof offset === "number" ? offset : this.#distance(index, offset)), true);
      view.setInt32(at + 4, int32(immediate), true);
    });
    return bytes;
  }

  #distance(from: number, label: string): number {
    const to = this.#labels.get(label);
    if (to === undefined) throw new Error(`Label ${label} stands nowhere`);
    return to - from - 1;
  }

  #emitWide(target: Register, source: number, low: number, high: number): this {
    return this.#emit(0x18, target, source, 0, low).#emit(0, 0, 0, 0, high);
  }

  #emit(code: number, target: number, source: number, offset: number | string = 0, immediate = 0): this {
    this.#instructions.push({ code, target, source, offset, immediate });
    return this;
  }
}

function int16(value: number): number {
  if ((value << 16 >> 16) !== value) throw new RangeError(`Offset ${value} does not fit 16 bits`);
  return value;
}

/** Signed, or unsigned of the same 32 bits. */
function int32(value: number): number {
  if ((value | 0) !== value && (value >>> 0) !== value) throw new RangeError(`Constant ${value} does not fit 32 bits`);
  return value | 0;
}
