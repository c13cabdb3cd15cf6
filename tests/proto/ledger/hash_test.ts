import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { loadHash, plainHash } from "../../../proto/ledger/hash.ts";
import { Random } from "../../fuzz/random.ts";

Deno.test("loadHash() and plainHash() give the same BLAKE3 for 10,000 random inputs", async () => {
  const fast = await loadHash("blake3"), plain = plainHash("blake3"), random = new Random(1);
  for (let i = 0; i < 10_000; i++) {
    const bytes = random.bytes(random.length(3_000));
    assert.deepEqual(fast.digest(bytes), plain.digest(bytes), `length ${bytes.length}`);
  }
});

Deno.test("plainHash() gives the SHA-256 of the runtime, and the BLAKE3 of the published vectors", async () => {
  const plain = plainHash("sha256"), random = new Random(2);
  for (let i = 0; i < 1_000; i++) {
    const bytes = random.bytes(random.length(3_000));
    assert.equal(plain.digest(bytes).toHex(), createHash("sha256").update(bytes).digest("hex"));
  }
  // BLAKE3-team/BLAKE3, test_vectors.json: byte i is i modulo 251.
  const vectors: [number, string][] = [
    [0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"],
    [1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"],
  ];
  const fast = await loadHash("blake3");
  for (const [length, hash] of vectors) {
    const bytes = Uint8Array.from({ length }, (_, i) => i % 251);
    assert.equal(fast.digest(bytes).toHex(), hash);
    assert.equal(plainHash("blake3").digest(bytes).toHex(), hash);
  }
});

Deno.test("leaf, node and payload are hashes of the same bytes behind different prefixes", () => {
  const hash = plainHash("sha256"), a = new Uint8Array(32).fill(1), b = new Uint8Array(32).fill(2);
  const both = Uint8Array.of(...a, ...b);
  assert.deepEqual(hash.leaf(both), hash.digest(Uint8Array.of(0, ...both)));
  assert.deepEqual(hash.node(a, b), hash.digest(Uint8Array.of(1, ...both)));
  assert.deepEqual(hash.payload(a, b), hash.digest(Uint8Array.of(2, ...both)));
});
