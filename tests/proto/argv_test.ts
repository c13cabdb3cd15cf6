import assert from "node:assert/strict";
import fc from "fast-check";
import { argvTexts } from "../../proto/argv_texts.ts";
import { commandLine, decodeBytes, encodeText, joinArgv, splitArgv } from "../../proto/argv.ts";

Deno.test("decodeBytes() gives any bytes a text from which encodeText() has them back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.deepEqual(encodeText(decodeBytes(bytes)), bytes);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("decodeBytes() keeps valid UTF-8 and marks each byte that is not", () => {
  assert.equal(decodeBytes(new TextEncoder().encode("grüße 🙂")), "grüße 🙂");
  assert.equal(decodeBytes(Uint8Array.of(0x61, 0xff, 0x62)), "a\udcffb");
  // overlong "/", a surrogate half, beyond U+10FFFF, a sequence that ends early
  for (const bytes of [[0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
    assert.equal(decodeBytes(Uint8Array.from(bytes)), String.fromCharCode(...bytes.map((byte) => 0xdc00 + byte)));
  }
  assert.equal(decodeBytes(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa", "a byte order mark is a character here");
});

Deno.test("splitArgv() is the inverse of joinArgv(), empty arguments included", () => {
  const argument = fc.string({ unit: "grapheme", maxLength: 20 }).filter((text) => !text.includes("\0"));
  fc.assert(fc.property(fc.array(argument, { maxLength: 10 }), (parts) => {
    const wellFormed = parts.map((part) => part.toWellFormed());
    assert.deepEqual(splitArgv(joinArgv(wellFormed)), wellFormed);
  }));
});

Deno.test("splitArgv() counts a last argument that was cut", () => {
  assert.deepEqual(splitArgv(new TextEncoder().encode("a\0bc")), ["a", "bc"]);
  assert.deepEqual(splitArgv(new TextEncoder().encode("a\0\0")), ["a", ""]);
  assert.deepEqual(splitArgv(new Uint8Array(0)), []);
});

Deno.test("commandLine() is well-formed text whatever the arguments", () => {
  assert.equal(commandLine(["a", "b\udcff"]), "a b\ufffd");
});

Deno.test("argvTexts() is command line and JSON of the arguments, whatever came before", () => {
  const byte = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 0x61, 0x62, 0x20, 0x22) }, fc.nat({ max: 255 }));
  // Few different ones, so that they come again and share places
  const argv = fc.array(byte, { maxLength: 6 }).map((bytes) => Uint8Array.from(bytes));
  fc.assert(
    fc.property(fc.array(argv, { maxLength: 40 }), (many) => {
      for (const each of many) {
        const parts = splitArgv(each), { line, json } = argvTexts(each);
        assert.equal(line, commandLine(parts));
        assert.equal(json, JSON.stringify(parts));
      }
    }),
    { numRuns: 1_000 },
  );
  const long = joinArgv(["x".repeat(300), "y"]);
  assert.equal(argvTexts(long).line, `${"x".repeat(300)} y`);
});

Deno.test("argvTexts() gives the same texts for arguments that come again", () => {
  const first = argvTexts(joinArgv(["/bin/again", "-v"]));
  assert.equal(argvTexts(joinArgv(["/bin/again", "-v"])), first);
  assert.notEqual(argvTexts(joinArgv(["/bin/again", "-w"])).line, first.line);
});
