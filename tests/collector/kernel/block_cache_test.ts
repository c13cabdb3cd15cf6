import { equal, strictEqual } from "node:assert/strict";
import { BlockCache } from "../../../collector/kernel/block_cache.ts";

function world(): { cache: BlockCache<string>; get: (text: string, at?: number) => string; made: () => number } {
  const cache = new BlockCache<string>();
  let made = 0;
  const get = (text: string, at = 3): string => {
    const bytes = new Uint8Array(at + text.length + 5).fill(0xee);
    bytes.set(new TextEncoder().encode(text), at);
    const known = cache.find(new DataView(bytes.buffer), at, at + text.length);
    if (known !== null) return known;
    made++;
    const value = cache.keep(bytes, `<${text}>`);
    bytes.fill(0);
    return value;
  };
  return { cache, get, made: () => made };
}

Deno.test("BlockCache gives what was made of the same bytes, wherever they stand", () => {
  const { get, made } = world();
  for (const at of [0, 1, 2, 3, 8]) equal(get("some bytes", at), "<some bytes>");
  equal(get("", 0), "<>");
  equal(get("", 4), "<>");
  strictEqual(made(), 2);
});

Deno.test("BlockCache tells blocks apart in every byte and by their length", () => {
  const { get } = world();
  const text = "abcdefghijk";
  for (let round = 0; round < 2; round++) {
    for (let length = 0; length <= text.length; length++) {
      equal(get(text.slice(0, length)), `<${text.slice(0, length)}>`);
    }
    for (let at = 0; at < text.length; at++) {
      const other = text.slice(0, at) + "X" + text.slice(at + 1);
      equal(get(other), `<${other}>`);
    }
  }
});

Deno.test("BlockCache is right about more blocks than it keeps, and about ones too long to keep", () => {
  const { get, made } = world();
  for (let number = 0; number < 2_000; number++) equal(get(`block ${number}`), `<block ${number}>`);
  const before = made(), long = "l".repeat(5_000);
  equal(get(long), `<${long}>`);
  equal(get(long), `<${long}>`);
  strictEqual(made(), before + 2);
});
