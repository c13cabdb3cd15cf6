import { deepStrictEqual as equal, throws } from "node:assert/strict";
import { BpfAssembler, type LoopForm, R0, R1, R10, R2, R9 } from "../../../collector/kernel/bpf_assembler.ts";

function hex(build: (a: BpfAssembler) => unknown, loops?: LoopForm): string {
  const a = new BpfAssembler(loops);
  build(a);
  return [...a.assemble()].map((byte) => byte.toString(16).padStart(2, "0")).join("").replace(/(.{16})(?=.)/g, "$1 ");
}

// As `llvm-objdump` and the kernel's own test_verifier spell them.
const ENCODINGS: readonly [string, (a: BpfAssembler) => unknown, string][] = [
  ["r1 = r2", (a) => a.move(R1, R2), "bf21000000000000"],
  ["r0 = 1", (a) => a.moveConstant(R0, 1), "b700000001000000"],
  ["r0 = -1", (a) => a.moveConstant(R0, -1), "b7000000ffffffff"],
  ["r1 += r2", (a) => a.add(R1, R2), "0f21000000000000"],
  ["r1 += -8", (a) => a.addConstant(R1, -8), "07010000f8ffffff"],
  ["r2 -= r1", (a) => a.subtract(R2, R1), "1f12000000000000"],
  ["r1 |= 4", (a) => a.orConstant(R1, 4), "4701000004000000"],
  ["r1 &= 255", (a) => a.andConstant(R1, 255), "57010000ff000000"],
  ["r1 *= 16", (a) => a.multiplyConstant(R1, 16), "2701000010000000"],
  ["r0 >>= 32", (a) => a.shiftRight(R0, 32), "7700000020000000"],
  ["r1 = *(u8 *)(r2 + 1)", (a) => a.load(1, R1, R2, 1), "7121010000000000"],
  ["r1 = *(u16 *)(r2 + 2)", (a) => a.load(2, R1, R2, 2), "6921020000000000"],
  ["r1 = *(u32 *)(r2 + 4)", (a) => a.load(4, R1, R2, 4), "6121040000000000"],
  ["r1 = *(u64 *)(r10 - 8)", (a) => a.load(8, R1, R10, -8), "79a1f8ff00000000"],
  ["*(u32 *)(r9 + 12) = r0", (a) => a.store(4, R9, 12, R0), "63090c0000000000"],
  ["*(u64 *)(r10 - 16) = r1", (a) => a.store(8, R10, -16, R1), "7b1af0ff00000000"],
  ["*(u32 *)(r10 - 4) = 7", (a) => a.storeConstant(4, R10, -4, 7), "620afcff07000000"],
  ["lock *(u64 *)(r1 + 8) += r2", (a) => a.atomicAdd(R1, 8, R2), "db21080000000000"],
  ["r1 = map[fd:5]", (a) => a.loadMap(R1, 5), "1811000005000000 0000000000000000"],
  ["r1 = map[fd:5][0]+24", (a) => a.loadMapValue(R1, 5, 24), "1821000005000000 0000000018000000"],
  ["call 14", (a) => a.call(14), "850000000e000000"],
  ["call kernel-function 65481", (a) => a.callKernelFunction(65481), "85200000c9ff0000"],
  ["exit", (a) => a.exit(), "9500000000000000"],
  ["if r0 == 0 goto +1", (a) => a.jumpIf(R0, "eq", 0, "end").exit().label("end"), "1500010000000000 9500000000000000"],
  ["if r0 s<= 0 goto +0", (a) => a.jumpIf(R0, "sle", 0, "end").label("end"), "d500000000000000"],
  ["if r1 != r2 goto +0", (a) => a.jumpIfRegisters(R1, "ne", R2, "end").label("end"), "5d21000000000000"],
  ["goto -1", (a) => a.label("self").jump("self"), "0500ffff00000000"],
];

Deno.test("assembler encodes every instruction as the kernel reads it", () => {
  for (const [text, build, expected] of ENCODINGS) equal(hex(build), expected, text);
});

Deno.test("assembler jumps over the second half of a wide instruction", () => {
  equal(
    hex((a) => a.jump("end").loadMap(R1, 3).label("end").exit()),
    "0500020000000000 1811000003000000 0000000000000000 9500000000000000",
  );
});

Deno.test("assembler keeps a loop from going on for ever by a counter, or by the kernel's budget", () => {
  const loop = (a: BpfAssembler): unknown => a.loop("next", "end").again("next", R1, 9, "end").label("end").exit();
  // r1 += 1; if r1 < 9 goto -2; goto +0; exit
  equal(hex(loop, "counter"), "0701000001000000 a501feff09000000 0500000000000000 9500000000000000");
  // may_goto +1; goto -2; exit
  equal(hex(loop, "budget"), "e500010000000000 0500feff00000000 9500000000000000");
});

Deno.test("assembler limits a register so that the verifier sees first what fits", () => {
  // goto +1; r1 = 0; if r1 > 9 goto -2; exit
  equal(
    hex((a) => a.limit(R1, 9, 0, "length").exit()),
    "0500010000000000 b701000000000000 2501feff09000000 9500000000000000",
  );
});

Deno.test("assembler refuses what does not fit", () => {
  throws(() => new BpfAssembler().load(8, R1, R2, 40_000).assemble(), /Offset 40000 does not fit 16 bits/);
  throws(() => new BpfAssembler().moveConstant(R1, 2 ** 32).assemble(), /does not fit 32 bits/);
  throws(() => new BpfAssembler().moveConstant(R1, 0.5).assemble(), /does not fit 32 bits/);
  equal(hex((a) => a.moveConstant(R1, 0xffff_ffff)), "b7010000ffffffff");
});

Deno.test("assembler refuses a label that is missing or stands twice", () => {
  throws(() => new BpfAssembler().jump("nowhere").assemble(), /Label nowhere stands nowhere/);
  throws(() => new BpfAssembler().label("here").label("here"), /Label here stands twice/);
});
