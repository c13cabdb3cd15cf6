import { deepStrictEqual as equal } from "node:assert/strict";
import { decodeName, TextCache } from "../../../collector/kernel/text_cache.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

Deno.test("text cache decodes once and gives equal text for equal bytes at any place", () => {
  let decoded = 0;
  const cache = new TextCache((input) => (decoded++, decodeName(input)));
  equal(cache.text(bytes("/bin/sh"), 0, 7), "/bin/sh");
  equal(cache.text(bytes("..../bin/sh...."), 4, 11), "/bin/sh");
  equal(cache.text(bytes(""), 0, 0), "");
  equal(decoded, 2);
});

Deno.test("text cache never mixes texts up, with more of them than it has room for", () => {
  const cache = new TextCache(decodeName);
  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < 20_000; index++) {
      const text = `/usr/bin/${index}`;
      equal(cache.text(bytes(text), 0, text.length), text);
    }
  }
});

Deno.test("text cache does not keep long texts, and does not let a caller's bytes change a kept one", () => {
  let decoded = 0;
  const cache = new TextCache((input) => (decoded++, decodeName(input)));
  const long = bytes("x".repeat(300));
  cache.text(long, 0, 300);
  cache.text(long, 0, 300);
  equal(decoded, 2);
  const reused = bytes("first");
  equal(cache.text(reused, 0, 5), "first");
  reused.set(bytes("other"));
  equal(cache.text(reused, 0, 5), "other");
  equal(cache.text(bytes("first"), 0, 5), "first");
});

Deno.test("decodeName() gives well-formed text for any bytes", () => {
  const text = decodeName(Uint8Array.of(0x61, 0xff, 0xed, 0xa0, 0x80, 0x62));
  equal(text.isWellFormed(), true);
  equal([text.at(0), text.at(-1)], ["a", "b"]);
  equal(decodeName(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
});
