import { deepStrictEqual as equal, ok, throws } from "node:assert/strict";
import { Btf, BtfError, readKernelBtf } from "../../../collector/kernel/btf.ts";
import { readKernelLayout } from "../../../collector/kernel/kernel_layout.ts";
import { BtfBuilder, VOID } from "../../support/btf_builder.ts";
import { needs } from "../../support/needs.ts";

Deno.test("Btf finds members, also in inner, anonymous and qualified structures", () => {
  const b = new BtfBuilder();
  const int = b.integer("int");
  const inner = b.struct("inner", 16, [["first", int, 0], ["second", int, 64]]);
  const qualified = b.type(10, "", b.type(9, "", b.typedef("inner_t", inner)));
  const union = b.struct("", 8, [["left", int, 0], ["right", int, 32]], 0, 5);
  b.struct("outer", 64, [["a", int, 0], ["embedded", qualified, 128], ["", union, 256], ["row", b.array(int, 3), 320]]);
  const btf = new Btf(b.bytes());
  equal(btf.offsetOf("outer.a"), 0);
  equal(btf.offsetOf("outer.embedded"), 16);
  equal(btf.offsetOf("outer.embedded.second"), 24);
  equal(btf.offsetOf("outer.right"), 36);
  equal(btf.sizeOf("inner"), 16);
  equal([btf.isArray("outer.row"), btf.isArray("outer.a")], [true, false]);
  equal([btf.structId("inner"), btf.structId("outer")], [inner, inner + 6]);
  throws(() => btf.structId("int"), /This kernel has no int/);
  equal([btf.has("outer.left"), btf.has("outer.middle"), btf.has("nothing.a")], [true, false, false]);
  throws(() => btf.offsetOf("outer.middle"), /This kernel has no outer.middle/);
  throws(() => btf.offsetOf("outer.a.b"), BtfError);
});

Deno.test("Btf reads bit fields' structures, and refuses a member that starts within a byte", () => {
  const b = new BtfBuilder();
  const int = b.integer("int");
  b.struct("flags", 8, [["bit", int, 0x0100_0003], ["after", int, 0x0000_0020]], 1);
  const btf = new Btf(b.bytes());
  equal(btf.offsetOf("flags.after"), 4);
  throws(() => btf.offsetOf("flags.bit"), /bit is a bit field/);
});

Deno.test("Btf names functions by id and counts a tracepoint's arguments", () => {
  const b = new BtfBuilder();
  const int = b.integer("int");
  const prototype = b.prototype([b.pointer(VOID), int, int]);
  const id = b.function("bpf_iter_task", prototype);
  b.typedef("btf_trace_sched_process_exit", b.pointer(prototype));
  b.typedef("btf_trace_odd", int);
  const btf = new Btf(b.bytes());
  equal(btf.functionId("bpf_iter_task"), id);
  equal(btf.functionId("int"), null);
  equal(btf.tracepointArguments("sched_process_exit"), 2);
  throws(() => btf.tracepointArguments("odd"), /btf_trace_odd is not a pointer/);
});

Deno.test("Btf gives the numbers of an enumeration's names", () => {
  const b = new BtfBuilder();
  b.struct("colour", 4, [["red", b.integer("int"), 0]]);
  b.type(6, "colour", 4, [b.name("red"), 3, b.name("green"), 7], 2);
  const btf = new Btf(b.bytes());
  equal([btf.enumValue("colour", "red"), btf.enumValue("colour", "green")], [3, 7]);
  equal([btf.enumValue("colour", "blue"), btf.enumValue("shape", "red")], [null, null]);
});

Deno.test("Btf says what is wrong with its bytes", () => {
  const b = new BtfBuilder();
  b.struct("s", 8, [["a", b.integer("int"), 0]]);
  const whole = b.bytes();
  throws(() => new Btf(new Uint8Array(10)), /BTF of 10 bytes/);
  throws(() => new Btf(b.bytes((header) => header[0] = 0x0001_9feb)), /starts with 0x9feb/);
  throws(() => new Btf(b.bytes((header) => header[3] = 0xffff_ffff)), /outside its bytes/);
  throws(() => new Btf(b.bytes((header) => header[2] = 0xffff_fff0)), /outside its bytes/);
  throws(() => new Btf(b.bytes((header) => header[3]! -= 4)), /last type of BTF is cut/);
  throws(() => new Btf(b.bytes((header) => header[3]! -= 1)), /not whole words/);
  throws(() => new Btf(b.bytes((header) => header[5]! -= 1)), /last string of BTF has no end/);
  const unknown = new BtfBuilder();
  unknown.type(25, "future", 0);
  throws(() => new Btf(unknown.bytes()), /kind 25/);
  ok(new Btf(whole).has("s.a"));
});

Deno.test("Btf ends chains of types that have no end", () => {
  const loop = new BtfBuilder();
  loop.typedef("btf_trace_loop", 1);
  throws(() => new Btf(loop.bytes()).tracepointArguments("loop"), /refer to each other without end/);
  const nest = new BtfBuilder();
  nest.struct("nest", 8, [["", 1, 0]]);
  throws(() => new Btf(nest.bytes()).offsetOf("nest.a"), /nested without end/);
  const stray = new BtfBuilder();
  stray.struct("stray", 8, [["a", 4_000_000, 0], ["", 7, 0]]);
  equal(new Btf(stray.bytes()).offsetOf("stray.a"), 0);
  throws(() => new Btf(stray.bytes()).offsetOf("stray.b"), /type 7, which it does not have/);
});

Deno.test("Btf gives up on structures that hold each other so often that the search would not end", () => {
  const b = new BtfBuilder();
  let inner = b.struct("", 8, [["a", b.integer("int"), 0]]);
  for (let level = 0; level < 30; level++) inner = b.struct("", 8, [["", inner, 0], ["", inner, 64]]);
  b.struct("doubled", 8, [["", inner, 0]]);
  throws(() => new Btf(b.bytes()).offsetOf("doubled.b"), /hold each other too often/);
  equal(new Btf(b.bytes()).offsetOf("doubled.a"), 0);
});

Deno.test("Btf refuses an offset that is not of whole bytes, also of a structure without a name", () => {
  const b = new BtfBuilder();
  const inner = b.struct("", 8, [["x", b.integer("int"), 32]]);
  b.struct("odd", 8, [["", inner, 3]]);
  throws(() => new Btf(b.bytes()).offsetOf("odd.x"), /x lies in a structure that starts within a byte/);
});

Deno.test("Btf refuses a tracepoint that takes nothing", () => {
  const b = new BtfBuilder();
  b.typedef("btf_trace_empty", b.pointer(b.prototype([])));
  throws(() => new Btf(b.bytes()).tracepointArguments("empty"), /btf_trace_empty takes nothing/);
});

Deno.test("Btf survives any byte changed, and any length", () => {
  const b = new BtfBuilder();
  const int = b.integer("int");
  const inner = b.struct("", 8, [["x", int, 0]]);
  b.struct("s", 8, [["a", int, 0], ["", inner, 32]]);
  b.typedef("btf_trace_t", b.pointer(b.prototype([int])));
  b.type(6, "e", 4, [b.name("one"), 1], 1);
  const whole = b.bytes();
  const use = (bytes: Uint8Array<ArrayBuffer>): void => {
    try {
      const btf = new Btf(bytes);
      btf.has("s.x");
      btf.functionId("f");
      btf.enumValue("e", "one");
      btf.tracepointArguments("t");
    } catch (error) {
      ok(error instanceof BtfError, `${error}`);
    }
  };
  for (let length = 0; length < whole.length; length++) use(whole.slice(0, length));
  for (let at = 0; at < whole.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = whole.slice();
      changed[at]! ^= 1 << bit;
      use(changed);
    }
  }
});

Deno.test("Btf reads bytes that do not start at a word", () => {
  const b = new BtfBuilder();
  b.struct("s", 8, [["a", b.integer("int"), 32]]);
  const shifted = new Uint8Array(b.bytes().length + 1);
  shifted.set(b.bytes(), 1);
  equal(new Btf(shifted.subarray(1)).offsetOf("s.a"), 4);
});

Deno.test({
  name: "readKernelBtf() knows this kernel's structures, and release() frees its bytes",
  ...needs({ bpf: true }),
  fn() {
    const before = Deno.memoryUsage().external;
    const btf = readKernelBtf();
    const layout = readKernelLayout(btf);
    equal(layout.task.tgid, layout.task.pid + 4);
    equal(layout.mm.argEnd, layout.mm.argStart + 8);
    equal(layout.file.pathDentry, layout.file.pathMount + 8);
    ok(btf.sizeOf("task_struct") > layout.task.comm);
    ok(btf.functionId("bpf_iter_task") !== null);
    ok(Deno.memoryUsage().external - before > 1 << 20);
    btf.release();
    ok(Deno.memoryUsage().external - before < 1 << 20);
  },
});
