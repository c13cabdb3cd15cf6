import assert from "node:assert/strict";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { FieldReader } from "../../proto/field_reader.ts";
import { MAX_KEPT_BYTES, TextCache } from "../../proto/text_cache.ts";

const LENGTHS = [0, 1, 5, 16, 31, 32, 33, MAX_KEPT_BYTES - 1, MAX_KEPT_BYTES, MAX_KEPT_BYTES + 1, 5_000];

function field(bytes: Uint8Array): Uint8Array {
  return new BinaryWriter().bytes(bytes).finish();
}

Deno.test("FieldReader.string() gives what BinaryReader does, and stands where that one stands, also the second time", () => {
  const texts = LENGTHS.flatMap((length) => ["a".repeat(length), "é".repeat(length), `${"x".repeat(length)}\0y`]);
  for (const text of [...texts, ...texts, "€😀", "\u007f\u0080"]) {
    const bytes = new BinaryWriter().string(text).uint32(77).finish();
    const reader = new FieldReader(bytes);
    assert.equal(reader.string(true), text);
    assert.equal(reader.uint32(), 77);
    assert.equal(reader.pos, bytes.length);
  }
});

Deno.test("a text that differs in any one byte from one that came before is not taken for it", () => {
  const encoder = new TextEncoder();
  for (const length of LENGTHS.slice(1, -1)) {
    const known = encoder.encode("/usr/lib/x86_64-linux-gnu/".repeat(6).slice(0, length));
    new FieldReader(field(known)).string(true);
    for (let at = 0; at < length; at++) {
      for (const bit of [0, 3, 6, 7]) {
        const other = known.slice();
        other[at]! ^= 1 << bit;
        const read = (reader: BinaryReader): string => {
          try {
            return reader.string(true);
          } catch {
            return "refused";
          }
        };
        assert.equal(read(new FieldReader(field(other))), read(new BinaryReader(field(other))));
        assert.equal(new FieldReader(field(known)).string(true), new TextDecoder().decode(known));
      }
    }
  }
});

Deno.test("a text that goes beyond the end is refused, known or not", () => {
  const whole = new BinaryWriter().string("/usr/bin/true").finish();
  assert.equal(new FieldReader(whole).string(true), "/usr/bin/true");
  for (let length = 1; length < whole.length; length++) {
    assert.throws(() => new FieldReader(whole.slice(0, length)).string(true), RangeError);
  }
});

Deno.test("a TextCache knows short ASCII texts of the bytes that were looked for last, and no others", () => {
  const cache = new TextCache(), encoder = new TextEncoder();
  const known = (text: string): string | null => cache.known(encoder.encode(text), 0, encoder.encode(text).length);
  for (const [text, isKept] of [["dash", true], ["größe", false], ["a".repeat(MAX_KEPT_BYTES + 1), false]] as const) {
    assert.equal(known(text), null);
    cache.keep(text, encoder.encode(text).length);
    assert.equal(known(text), isKept ? text : null);
  }
  assert.equal(cache.known(encoder.encode("xdashx"), 1, 5), "dash");
});
