import assert from "node:assert/strict";
import { signerOf } from "../../../collector/ledger/keys.ts";
import { signCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { encodeEntry } from "../../../proto/ledger/entry.ts";
import { type HashName, plainHash } from "../../../proto/ledger/hash.ts";
import { decodeHeader, encodeHeader, type LedgerHeader } from "../../../proto/ledger/header.ts";
import { noteKey } from "../../../proto/ledger/note.ts";
import { nextKey, NO_MAC, sealMac } from "../../../proto/ledger/seal.ts";
import { inclusionProof } from "../../../proto/ledger/tiles.ts";
import { checkProof, formatProof, makeExtra, parseProof } from "../../../proto/ledger/tlog_proof.ts";
import { WireError } from "../../../proto/wire_error.ts";
import { TilesInMemory } from "./support.ts";

const SIGNER = signerOf(new Uint8Array(32).fill(1)), KEY = noteKey("host.example/ledger", SIGNER.publicKey);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function proofOf(name: HashName, index: number, size: number): string {
  const hash = plainHash(name), tiles = new TilesInMemory(hash), entries: Uint8Array[] = [];
  const payload = { salt: new Uint8Array(16).fill(4), bytes: encode("what was done") };
  for (let sequence = 0; sequence < size; sequence++) {
    const entry = encodeEntry({
      action: "request",
      ledgerId: new Uint8Array(16).fill(1),
      sequence,
      wallMs: 5,
      monotonicNs: 6n,
      bootId: new Uint8Array(16),
      payloadHash: hash.payload(payload.salt, payload.bytes),
      previous: new Uint8Array(32),
      actor: "root",
    });
    entries.push(entry);
    tiles.append(hash.leaf(entry));
  }
  const checkpoint = signCheckpoint({ origin: KEY.name, size, root: tiles.range.root(), extensions: [] }, KEY, SIGNER);
  const extra = makeExtra(entries[index]!, payload);
  return formatProof({
    index,
    hashes: inclusionProof(hash, tiles, index, size),
    extra,
    checkpoint: encode(checkpoint),
  });
}

for (const name of ["blake3", "sha256"] as const) {
  Deno.test(`checkProof() shows entry and payload of a proof by ${name}`, async () => {
    const text = proofOf(name, 5, 13),
      { entry, payload, checkpoint } = await checkProof(encode(text), [KEY], plainHash(name));
    assert.equal(entry.sequence, 5);
    assert.equal(new TextDecoder().decode(payload!.bytes), "what was done");
    assert.equal(checkpoint.size, 13);
    assert.equal(formatProof(parseProof(encode(text))), text);
  });
}

Deno.test("a proof cut at any byte, or with any bit flipped, is refused", async () => {
  const bytes = encode(proofOf("sha256", 2, 5)), hash = plainHash("sha256");
  const refused = async (changed: Uint8Array, what: string): Promise<void> => {
    await assert.rejects(() => checkProof(changed, [KEY], hash), WireError, what);
  };
  await checkProof(bytes, [KEY], hash);
  for (let length = 0; length < bytes.length; length++) await refused(bytes.slice(0, length), `${length} bytes`);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    await refused(changed, `bit ${bit}`);
  }
});

Deno.test("parseProof() refuses what C2SP tlog-proof does not allow", () => {
  const good = proofOf("sha256", 2, 5);
  const hashes = good.match(/^[A-Za-z0-9+/]{43}=$/gm)!;
  for (
    const [from, to] of [
      ["@v1", "@v2"],
      ["extra ", "Extra "],
      ["index 2", "index 02"],
      ["index 2", "index"],
      [`${hashes[0]}\n`, `${hashes[0]!.slice(4)}\n`],
      [`${hashes[0]}\n`, `${hashes[0]}\n`.repeat(64)],
      ["\n\nhost", "\nhost"],
    ] as const
  ) assert.throws(() => parseProof(encode(good.replace(from, to))), WireError, to.slice(0, 60));
});

Deno.test("a header has one text, and every flipped bit changes it or is refused", () => {
  const header: LedgerHeader = {
    id: new Uint8Array(16).fill(7),
    hash: "blake3",
    key: KEY,
    epochMs: 900_000,
    segmentEntries: 65_536,
    created: 1_790_000_000_000,
    host: "host 1",
  };
  const bytes = encodeHeader(header);
  assert.deepEqual(decodeHeader(bytes), header);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    try {
      assert.deepEqual(encodeHeader(decodeHeader(changed)), changed);
    } catch (error) {
      assert.ok(error instanceof WireError, String(error));
    }
  }
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeHeader(bytes.subarray(0, length)), WireError);
  }
  for (const wrong of [{ epochMs: 999 }, { segmentEntries: 3 }, { segmentEntries: 131_072 }, { host: "a\nb c" }]) {
    assert.throws(() => encodeHeader({ ...header, ...wrong }), WireError);
  }
});

Deno.test("seals and keys are those that were fixed with version 1", () => {
  const key = new Uint8Array(32).fill(1),
    seal = { epoch: 3, size: 10, root: new Uint8Array(32).fill(2), previous: NO_MAC };
  assert.notDeepEqual(nextKey(key), key);
  const mac = sealMac(key, new Uint8Array(16), seal);
  for (const other of [{ epoch: 4 }, { size: 11 }, { root: new Uint8Array(32) }, { previous: mac }]) {
    assert.notDeepEqual(sealMac(key, new Uint8Array(16), { ...seal, ...other }), mac);
  }
  assert.notDeepEqual(sealMac(nextKey(key), new Uint8Array(16), seal), mac);
  assert.notDeepEqual(sealMac(key, new Uint8Array(16).fill(1), seal), mac);
  assert.equal(nextKey(key).toHex(), FIXED.next);
  assert.equal(mac.toHex(), FIXED.mac);
});

const FIXED = {
  next: "0f974b610b3a8b54c4e2a16b7b6667c432d083a49a05db5067da6e0aab166382",
  mac: "1251eab784b9f575aac99902c7b235fdcd1c667afa2d65cec263259f556774c6",
};
