import assert from "node:assert/strict";
import { ElfError, isElf, parseElf } from "../../../collector/analyzer/elf.ts";
import { buildElf } from "../../support/elf_builder.ts";

Deno.test("parseElf() says what an ordinary executable is linked to and protected by", () => {
  for (const is64 of [true, false]) {
    for (const littleEndian of [true, false]) {
      const facts = parseElf(buildElf({ is64, littleEndian, needed: ["libc.so.6", "libm.so.6"], bindsNow: true }));
      assert.equal(facts.class, is64 ? 64 : 32);
      assert.equal(facts.endianness, littleEndian ? "little" : "big");
      assert.equal(facts.type, "shared");
      assert.equal(facts.machine, "x86_64");
      assert.equal(facts.interpreter, "/lib64/ld-linux-x86-64.so.2");
      assert.deepEqual(facts.needed, ["libc.so.6", "libm.so.6"]);
      assert.deepEqual([facts.imports, facts.notableImports], [2, ["execve"]]);
      assert.deepEqual([facts.isPie, facts.isStatic, facts.nx, facts.relro], [true, false, true, "full"]);
      assert.deepEqual([facts.isStripped, facts.buildId, facts.packer], [true, "01020304", null]);
      assert.deepEqual(facts.faults, []);
      assert.ok(facts.sections.some(({ name, flags, entropy }) => name === ".text" && flags === "ax" && entropy === 0));
    }
  }
});

Deno.test("parseElf() tells a static, unprotected and unstripped executable from it", () => {
  const facts = parseElf(buildElf({
    type: 2,
    interpreter: null,
    needed: [],
    imports: [],
    stack: null,
    relro: false,
    codeFlags: 7,
    withSymbolTable: true,
    buildId: null,
  }));
  assert.deepEqual([facts.isStatic, facts.isPie, facts.nx, facts.relro], [true, false, false, "none"]);
  assert.deepEqual([facts.hasWritableCode, facts.isStripped, facts.buildId], [true, false, null]);
});

Deno.test("parseElf() finds imports and build id of a file whose sections were cut off", () => {
  const facts = parseElf(buildElf({ bare: true }));
  assert.deepEqual([facts.sections, facts.sectionCount], [[], 0]);
  assert.deepEqual([facts.notableImports, facts.needed, facts.buildId], [["execve"], ["libc.so.6"], "01020304"]);
});

Deno.test("parseElf() knows packers by name, and by what packing looks like", () => {
  const noise = new Uint8Array(16_384);
  for (let i = 0, x = 1; i < noise.length; i++) noise[i] = (x = (x * 1_103_515_245 + 12_345) % 2 ** 31) >> 16;
  const packer = (shape: Parameters<typeof buildElf>[0]): string | null => parseElf(buildElf(shape)).packer;
  assert.equal(packer({ tail: new TextEncoder().encode("....UPX!....") }), "UPX");
  assert.equal(packer({ tail: new Uint8Array([0x4d, 0x45, 0x49, 0x0c, 0x0b, 0x0a, 0x0b, 0x0e, 0, 0]) }), "PyInstaller");
  assert.match(packer({ code: noise }) ?? "", /^unknown: code in \.text has 7\.\d+ bits a byte$/);
  assert.match(packer({ code: noise, bare: true, interpreter: null, needed: [] }) ?? "", /^unknown: no sections/);
  assert.equal(packer({}), null);
});

Deno.test("parseElf() throws ElfError for what is none, and for nothing else", () => {
  assert.equal(isElf(new Uint8Array([0x7f, 0x45, 0x4c])), false);
  const whole = buildElf();
  for (const bytes of [new Uint8Array(0), whole.subarray(0, 63), new TextEncoder().encode("#!/bin/sh\n")]) {
    assert.throws(() => parseElf(bytes), ElfError);
  }
  for (let length = 64; length < whole.length; length++) parseElf(whole.subarray(0, length));
  for (let bit = 48; bit < whole.length * 8; bit++) {
    const bytes = whole.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    parseElf(bytes);
  }
});

Deno.test("parseElf() names what cannot be so, and does not follow it", () => {
  const faulty = (change: (view: DataView) => void): readonly string[] => {
    const bytes = buildElf();
    change(new DataView(bytes.buffer));
    return parseElf(bytes).faults;
  };
  assert.deepEqual(faulty((view) => view.setUint16(54, 8, true)), ["program headers of 8 bytes"]);
  assert.ok(faulty((view) => view.setUint16(60, 65_535, true)).includes("65535 sections"));
  assert.ok(faulty((view) => view.setUint16(56, 65_535, true)).includes("65535 program headers"));
  assert.ok(faulty((view) => view.setBigUint64(40, 2n ** 62n, true)).includes("section headers outside of the file"));
});

Deno.test("parseElf() looks at the bytes of sections that overlap once", () => {
  const bytes = buildElf({ code: new Uint8Array(4_096) }), view = new DataView(bytes.buffer);
  const sectionsAt = Number(view.getBigUint64(40, true)), count = view.getUint16(60, true);
  for (let i = 1; i < count; i++) {
    view.setBigUint64(sectionsAt + i * 64 + 24, 0n, true);
    view.setBigUint64(sectionsAt + i * 64 + 32, BigInt(bytes.length), true);
  }
  const { faults, sections } = parseElf(bytes);
  assert.ok(faults.includes("sections that overlap"));
  assert.equal(sections.filter(({ entropy }) => entropy !== null).length, 1);
});

Deno.test("parseElf() reads the programs of this host", () => {
  const facts = parseElf(Deno.readFileSync("/bin/sh"));
  assert.equal(facts.packer, null);
  assert.deepEqual(facts.faults, []);
  assert.ok(facts.needed.some((name) => name.startsWith("libc.")));
  assert.ok(facts.imports > 10);
});
