import assert from "node:assert/strict";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { FieldWriter } from "../../proto/field_writer.ts";

type Field =
  | { readonly kind: "uint32" | "fixed32" | "double"; readonly value: number }
  | { readonly kind: "bool"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "bytes" | "raw"; readonly value: Uint8Array }
  | { readonly kind: "message"; readonly value: readonly Field[] };

interface Writer {
  uint32(value: number): unknown;
  fixed32(value: number): unknown;
  double(value: number): unknown;
  bool(value: boolean): unknown;
  string(value: string): unknown;
  bytes(value: Uint8Array): unknown;
  raw(value: Uint8Array): unknown;
  fork(): unknown;
  join(): unknown;
}

function write(writer: Writer, fields: readonly Field[]): void {
  for (const { kind, value } of fields) {
    if (kind === "message") {
      writer.fork();
      write(writer, value);
      writer.join();
    } else (writer[kind] as (value: unknown) => unknown).call(writer, value);
  }
}

function same(writer: FieldWriter, fields: readonly Field[]): void {
  const reference = new BinaryWriter();
  write(reference, fields);
  write(writer, fields);
  assert.deepEqual(writer.finish(), reference.finish());
}

const { field } = fc.letrec<{ field: Field }>((tie) => ({
  field: fc.oneof(
    { depthSize: "small" },
    fc.record({ kind: fc.constantFrom("uint32" as const, "fixed32" as const), value: fc.nat(2 ** 32 - 1) }),
    fc.record({ kind: fc.constant("double" as const), value: fc.double() }),
    fc.record({ kind: fc.constant("bool" as const), value: fc.boolean() }),
    fc.record({
      kind: fc.constant("string" as const),
      value: fc.oneof(fc.string({ unit: "binary", maxLength: 300 }), fc.string({ maxLength: 300 })),
    }),
    fc.record({
      kind: fc.constantFrom("bytes" as const, "raw" as const),
      value: fc.uint8Array({ maxLength: 300 }),
    }),
    fc.record({ kind: fc.constant("message" as const), value: fc.array(tie("field"), { maxLength: 6 }) }),
  ),
}));

Deno.test("FieldWriter writes the bytes that the library writes, whatever was written before", () => {
  const writer = new FieldWriter();
  fc.assert(fc.property(fc.array(field, { maxLength: 20 }), (fields) => same(writer, fields)), { numRuns: 500 });
});

Deno.test("lengths around the sizes of their numbers come out as they are", () => {
  const writer = new FieldWriter();
  for (const length of [0, 1, 42, 43, 126, 127, 128, 199, 200, 201, 5_461, 5_462, 16_383, 16_384, 65_536, 700_000]) {
    for (const unit of ["a", "ä", "€", "\ud800", "a\u{1f600}"]) {
      const text = unit.repeat(length), mixed = `${"a".repeat(length)}${unit}`;
      same(writer, [{ kind: "string", value: text }, { kind: "string", value: mixed }, { kind: "uint32", value: 7 }]);
      same(writer, [{ kind: "message", value: [{ kind: "message", value: [{ kind: "string", value: text }] }] }]);
    }
    same(writer, [{ kind: "message", value: [{ kind: "raw", value: new Uint8Array(length).fill(7) }] }]);
  }
});

Deno.test("a number that is none of 32 bits is refused, and what was begun is forgotten by finish()", () => {
  const writer = new FieldWriter();
  for (const value of [-1, 2 ** 32, 0.5, NaN, Infinity]) {
    assert.throws(() => writer.uint32(value), /invalid uint32/);
    assert.throws(() => writer.fixed32(value), /invalid uint32/);
  }
  assert.throws(() => writer.join(), TypeError);
  writer.fork().uint32(1);
  writer.finish();
  same(writer, [{ kind: "uint32", value: 5 }]);
});

Deno.test("what finish() gave is not touched by what is written later", () => {
  const writer = new FieldWriter();
  const first = writer.string("first").finish(), copy = first.slice();
  writer.string("other").finish();
  assert.deepEqual(first, copy);
});
