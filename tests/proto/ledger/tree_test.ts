import assert from "node:assert/strict";
import { CompactRange } from "../../../proto/ledger/compact_range.ts";
import { type LedgerHash, loadHash, plainHash } from "../../../proto/ledger/hash.ts";
import { MAX_PROOF_HASHES, verifyConsistency, verifyInclusion } from "../../../proto/ledger/proofs.ts";
import { consistencyProof, inclusionProof, rootOf, tileHashes, tilePath } from "../../../proto/ledger/tiles.ts";
import { Random } from "../../fuzz/random.ts";
import { definedRoot, numberedLeaves, remembering, TilesInMemory } from "./support.ts";

const blake3 = await loadHash("blake3"), sha256 = plainHash("sha256");

/** transparency-dev/merkle, testonly/constants.go: the inputs and roots that implementations of RFC 6962 share. */
const INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

Deno.test("CompactRange with SHA-256 gives the RFC 6962 example roots", () => {
  const range = new CompactRange(sha256), roots = [range.root().toHex()];
  for (const input of INPUTS) {
    range.append(sha256.leaf(Uint8Array.fromHex(input)));
    roots.push(range.root().toHex());
  }
  assert.deepEqual(roots, ROOTS);
});

for (const [hash, most] of [[blake3, 256], [sha256, 65]] as const) {
  Deno.test(`every inclusion and consistency proof up to ${most} entries verifies, with ${hash.name}`, () => {
    const leaves = numberedLeaves(hash, most), tiles = new TilesInMemory(hash), roots = [hash.digest(new Uint8Array())];
    const maker = remembering(hash);
    let checked = 0;
    for (let size = 1; size <= leaves.length; size++) {
      tiles.append(leaves[size - 1]!);
      const root = tiles.range.root();
      roots.push(root);
      assert.deepEqual(root, definedRoot(hash, leaves, 0, size));
      assert.deepEqual(rootOf(hash, tiles, size), root);
      for (let index = 0; index < size; index++) {
        const inclusion = inclusionProof(maker, tiles, index, size);
        assert.ok(verifyInclusion(hash, inclusion, index, size, leaves[index]!, root), `${index} in ${size}`);
        const old = index + 1, consistency = consistencyProof(maker, tiles, old, size);
        assert.ok(verifyConsistency(hash, consistency, old, size, roots[old]!, root), `${old} to ${size}`);
        checked += 2;
      }
    }
    assert.equal(checked, most * (most + 1));
  });
}

Deno.test("random proofs at 1,000,000 entries verify, and those of another entry, size or root do not", () => {
  const size = 1_000_000, tiles = new TilesInMemory(blake3), random = new Random(3), wanted = new Map<number, string>();
  const leaf = (i: number): Uint8Array => blake3.leaf(new TextEncoder().encode(String(i)));
  while (wanted.size < 500) wanted.set(1 + random.below(size - 1), "");
  for (let i = 0; i < size; i++) {
    tiles.append(leaf(i));
    if (wanted.has(i + 1)) wanted.set(i + 1, tiles.range.root().toHex());
  }
  const root = tiles.range.root();
  for (const [old, text] of wanted) {
    const oldRoot = Uint8Array.fromHex(text), index = old;
    const proof = inclusionProof(blake3, tiles, index, size);
    assert.ok(proof.length <= 20, `${proof.length} hashes`);
    assert.ok(verifyInclusion(blake3, proof, index, size, leaf(index), root));
    assert.ok(!verifyInclusion(blake3, proof, index ^ 1, size, leaf(index), root));
    assert.ok(!verifyInclusion(blake3, proof, index, size, leaf(index ^ 1), root));
    const consistency = consistencyProof(blake3, tiles, old, size);
    assert.ok(verifyConsistency(blake3, consistency, old, size, oldRoot, root));
    assert.ok(!verifyConsistency(blake3, consistency, old, size, root, oldRoot));
    assert.ok(!verifyConsistency(blake3, consistency, old + 1, size, oldRoot, root));
  }
});

/** What is made of a proof that no verifier may accept. */
function* mutations(random: Random, proof: readonly Uint8Array[], root: Uint8Array): Generator<Uint8Array[]> {
  const other = random.bytes(32);
  yield [...proof, other];
  yield [other, ...proof];
  yield [...proof, root];
  yield [root, ...proof];
  yield [...Array.from({ length: MAX_PROOF_HASHES }, () => other), ...proof];
  yield [...proof, new Uint8Array(0)];
  if (proof.length === 0) return;
  yield [];
  yield proof.slice(1);
  yield proof.slice(0, -1);
  yield proof.map((each, at) => at === 0 ? each.slice(0, 31) : each);
  yield proof.map((each, at) => at === 0 ? Uint8Array.of(...each, 0) : each);
  if (proof.length > 1) yield proof.toReversed();
  for (let at = 0; at < proof.length; at++) {
    const flipped = proof.map((each) => each.slice());
    flipped[at]![random.below(32)]! ^= 1 << random.below(8);
    yield flipped;
    yield [...proof.slice(0, at), proof[at]!, ...proof.slice(at)];
  }
}

function refusedProofs(hash: LedgerHash, sizes: number): number {
  const leaves = numberedLeaves(hash, sizes), tiles = new TilesInMemory(hash), roots = [hash.digest(new Uint8Array())];
  const random = new Random(4), maker = remembering(hash);
  let refused = 0;
  for (let size = 1; size <= sizes; size++) {
    tiles.append(leaves[size - 1]!);
    const root = tiles.range.root();
    roots.push(root);
    for (let index = 0; index < size; index++) {
      const leaf = leaves[index]!, inclusion = inclusionProof(maker, tiles, index, size);
      const no = (
        proof: readonly Uint8Array[],
        at = index,
        of = size,
        node = leaf,
        head = root,
      ): void => {
        assert.ok(!verifyInclusion(hash, proof, at, of, node, head), `${index} in ${size}`);
        refused += 1;
      };
      for (const proof of mutations(random, inclusion, root)) no(proof);
      for (const at of [index - 1, index + 1, index ^ 2, size, -1, 0.5, 2 ** 53]) if (at !== index) no(inclusion, at);
      for (const other of [0, -1, 2 ** 53, index]) no(inclusion, index, other);
      no(inclusion, index, size, random.bytes(32));
      no(inclusion, index, size, leaf, random.bytes(32));
      no(inclusion, index, size, leaf.slice(0, 31));
      const old = index + 1, consistency = consistencyProof(maker, tiles, old, size);
      const none = (proof: readonly Uint8Array[], from = old, to = size, a = roots[old]!, b = root): void => {
        assert.ok(!verifyConsistency(hash, proof, from, to, a, b), `${old} to ${size}`);
        refused += 1;
      };
      for (const proof of mutations(random, consistency, root)) none(proof);
      for (const from of [0, -1, size + 1, 0.5]) none(consistency, from);
      if (old !== size) {
        none(consistency, size);
        none([], old, size, roots[old]!, root);
        none(consistency, old, size, root, roots[old]!);
      }
      none(consistency, old, size, random.bytes(32));
      none(consistency, old, size, roots[old]!, random.bytes(32));
    }
  }
  return refused;
}

Deno.test("mutated, over-long and misplaced proofs are all refused", () => {
  const refused = refusedProofs(sha256, 33) + refusedProofs(blake3, 33);
  console.log(`${refused} wrong proofs refused`);
  assert.ok(refused > 30_000);
});

Deno.test("proofs that nobody can make are refused with what was asked", () => {
  const tiles = new TilesInMemory(sha256);
  tiles.append(sha256.leaf(new Uint8Array()));
  assert.throws(() => inclusionProof(sha256, tiles, 1, 1), RangeError);
  assert.throws(() => consistencyProof(sha256, tiles, 0, 1), RangeError);
  assert.throws(() => consistencyProof(sha256, tiles, 2, 1), RangeError);
  assert.throws(() => new CompactRange(sha256, 3, [new Uint8Array(32)]), RangeError);
});

Deno.test("tilePath() and tileHashes() are those of C2SP tlog-tiles", () => {
  assert.equal(tilePath(0, 1_234_067), "tile/0/x001/x234/067");
  assert.equal(tilePath(1, 7), "tile/1/007");
  assert.equal(tilePath("entries", 999, 3), "tile/entries/999.p/3");
  // The example of its section on partial tiles.
  assert.deepEqual([0, 1, 2, 3].map((level) => tileHashes(level, 70_000)), [273 * 256 + 112, 273, 1, 0]);
  assert.deepEqual([0, 1].map((level) => tileHashes(level, 256)), [256, 1]);
});
