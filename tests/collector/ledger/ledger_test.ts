import assert from "node:assert/strict";
import { DIGEST_MS } from "../../../collector/ledger/coverage.ts";
import { encodeStatement } from "../../../proto/ledger/statement.ts";
import { LedgerBrokenError } from "../../../collector/ledger/broken.ts";
import { KeyFileError, readSigningKeys } from "../../../collector/ledger/keys.ts";
import { SEAL_KEY_NAME } from "../../../collector/ledger/sealing.ts";
import { StorageSource } from "../../../collector/ledger/storage_source.ts";
import { parseCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { describeVerdict } from "../../../proto/ledger/directory.ts";
import { loadHash, plainHash } from "../../../proto/ledger/hash.ts";
import { noteKey } from "../../../proto/ledger/note.ts";
import { verifyConsistency } from "../../../proto/ledger/proofs.ts";
import { proveEntry, readEntry, readHeader, SourceTiles } from "../../../proto/ledger/prove.ts";
import { consistencyProof } from "../../../proto/ledger/tiles.ts";
import { checkProof } from "../../../proto/ledger/tlog_proof.ts";
import type { SimStorage } from "../../support/sim_storage.ts";
import { BLAKE3, CREATED, EPOCH_MS, KEY, ORIGIN, SIGNER, TestLedger, testSigner, verify } from "./support.ts";

Deno.test("a ledger verifies after every close, and goes on where it was", async () => {
  const world = await TestLedger.make();
  let size = 0;
  for (const count of [1, 62, 63, 65, 200]) {
    world.fill(count);
    assert.ok(world.ledger.close());
    size = world.ledger.status.size;
    const verdict = await world.verify({ sealSecret: world.secret! });
    assert.equal(verdict.fault, null, verdict.fault?.message);
    assert.deepEqual([verdict.verified, verdict.signed, verdict.keyKnown], [size, size, true]);
    assert.deepEqual(verdict.remarks, []);
    assert.equal(world.storage.handles + world.secrets.handles, 0);
    await world.open();
    assert.equal(world.ledger.status.size, size);
  }
  assert.deepEqual(world.notices, []);
});

Deno.test("SHA-256 ledgers verify too, and a ledger is not opened with another hash", async () => {
  const hash = await loadHash("sha256"), world = await TestLedger.make({ hash });
  world.fill(100);
  world.ledger.close();
  assert.equal((await world.verify()).fault, null);
  await assert.rejects(() => world.open({ hash: BLAKE3 }), LedgerBrokenError);
  assert.equal(world.storage.handles, 0);
});

Deno.test("every epoch gets a seal, also after a pause, and keys of sealed epochs are gone from the disk", async () => {
  const world = await TestLedger.make();
  const first = world.secrets.bytes(SEAL_KEY_NAME).toHex();
  assert.ok(first.includes(world.secret!.toHex()));
  world.fill(130); // 2 epochs and a bit
  world.ledger.close();
  assert.ok(!world.secrets.bytes(SEAL_KEY_NAME).toHex().includes(world.secret!.toHex()));
  world.now += 10 * EPOCH_MS;
  await world.open();
  world.ledger.close();
  assert.equal(world.ledger.status.sealedEpochs, 12);
  const verdict = await world.verify({ sealSecret: world.secret! });
  assert.equal(verdict.fault, null, verdict.fault?.message);
  assert.ok(verdict.sealed > 130 && !verdict.stale);
  assert.equal(verdict.unprovenMs, world.now - (CREATED + 12 * EPOCH_MS));
  assert.match(describeVerdict(verdict), /^verified to \d+, anchored to 0, tail unproven for 10 s$/);
  world.now += 3 * EPOCH_MS;
  assert.match(describeVerdict(await world.verify()), /nothing outside of it proves any of it; TAIL-UNPROVEN$/);
  // Another secret, and no entry that was sealed with it.
  const forged = await world.verify({ sealSecret: new Uint8Array(32) });
  assert.equal(forged.fault?.reason, "forged");
});

Deno.test("a clock that is set back is told, one that runs years ahead is not believed", async () => {
  const world = await TestLedger.make();
  world.fill(130);
  const monotonicNs = (): bigint => 10n ** 15n;
  world.ledger.close();
  world.now -= 125_000;
  await world.open({ clock: { wallMs: () => world.now, monotonicNs } });
  world.ledger.append("alert", "collector", new Uint8Array(3));
  world.now += 200_000 * EPOCH_MS;
  world.ledger.append("alert", "collector", new Uint8Array(3));
  world.ledger.close();
  const verdict = await world.verify({ sealSecret: world.secret! });
  assert.equal(verdict.fault, null, verdict.fault?.message);
  assert.match(verdict.remarks.join(), /1 entries are older than their epoch/);
  assert.match(world.notices.join(), /ahead, so it is not believed/);
  assert.ok(verdict.stale);
});

Deno.test("the next key takes over at a start, and both are accepted as the known one", async () => {
  const world = await TestLedger.make(), next = testSigner(2);
  world.fill(10);
  world.ledger.close();
  await world.open({ keys: { current: SIGNER, next } });
  world.fill(10);
  world.ledger.close();
  const size = world.ledger.status.size;
  // Both key files are still there at the next start, and then the old one is gone.
  await world.open({ keys: { current: SIGNER, next } });
  world.ledger.close();
  await world.open({ keys: { current: next, next: null } });
  world.ledger.close();
  assert.equal(world.ledger.status.size, size);
  for (const keys of [[KEY], [noteKey(ORIGIN, next.publicKey)]]) {
    const verdict = await world.verify({ keys });
    assert.deepEqual([verdict.fault, verdict.keyKnown], [null, true]);
  }
  const other = await world.verify({ keys: [noteKey(ORIGIN, testSigner(3).publicKey)] });
  assert.equal(other.fault?.reason, "checkpoint");
  assert.equal((await world.verify({ keys: [] })).keyKnown, false);
  await assert.rejects(() => world.open(), /The ledger is signed with the key/);
});

Deno.test("entries are proven from tiles by a file that needs the public key alone", async () => {
  const world = await TestLedger.make();
  world.fill(700);
  world.ledger.checkpoint();
  using source = new StorageSource(world.storage);
  for (const sequence of [0, 1, 63, 64, 255, 256, 511, 600, world.ledger.status.signed - 1]) {
    const text = proveEntry(source, BLAKE3, sequence);
    const { entry, payload } = await checkProof(new TextEncoder().encode(text), [KEY], plainHash("blake3"));
    assert.equal(entry.sequence, sequence);
    assert.equal(payload === null, sequence === 0);
  }
  assert.throws(() => proveEntry(source, BLAKE3, world.ledger.status.signed), RangeError);
  const { payload } = readEntry(source, readHeader(source), 77);
  assert.equal(new TextDecoder().decode(payload!.bytes), "payload 77");
});

Deno.test("a checkpoint that was kept is an anchor: proofs lead from it to every later one", async () => {
  const world = await TestLedger.make(), kept: { size: number; root: Uint8Array }[] = [];
  for (const count of [3, 90, 300]) {
    world.fill(count);
    assert.ok(world.ledger.checkpoint());
    kept.push(parseCheckpoint(world.storage.bytes("checkpoint")));
  }
  world.ledger.close();
  using source = new StorageSource(world.storage);
  const tiles = new SourceTiles(source, 64), [old, , last] = kept;
  const proof = consistencyProof(BLAKE3, tiles, old!.size, last!.size);
  assert.ok(verifyConsistency(BLAKE3, proof, old!.size, last!.size, old!.root, last!.root));
  const verdict = await world.verify({ anchors: kept });
  assert.deepEqual([verdict.fault, verdict.anchored], [null, last!.size]);
  const wrong = await world.verify({ anchors: [{ size: old!.size, root: last!.root }] });
  assert.equal(wrong.fault?.reason, "anchor");
  const ahead = await world.verify({ anchors: [{ size: 10_000, root: last!.root }] });
  assert.equal(ahead.fault?.reason, "short");
});

Deno.test("payloads are erased in whole files, with a word in the ledger, and seals stay", async () => {
  const world = await TestLedger.make();
  world.fill(300);
  world.ledger.checkpoint();
  const before = world.storage.used();
  assert.equal(world.ledger.prune(200), 192);
  assert.equal(world.ledger.prune(200), 192);
  assert.ok(world.storage.used() < before);
  world.fill(10);
  world.ledger.close();
  const verdict = await world.verify({ sealSecret: world.secret! });
  assert.equal(verdict.fault, null, verdict.fault?.message);
  assert.match(verdict.remarks.join(), /^18\d payloads were erased$/);
  // Erased behind what was said is damage.
  const more = world.storage.copy();
  more.put("payloads-000003", more.bytes("payloads-000001"));
  const wrong = await verify(more, { now: world.now });
  assert.ok(wrong.fault !== null, describeVerdict(wrong));
  await world.open();
  world.ledger.close();
});

Deno.test("a full disk stops nothing: entries wait, what finds no room is counted and told by an entry", async () => {
  const world = await TestLedger.make({ maxPendingBytes: 4_096 });
  world.fill(5);
  assert.ok(world.ledger.checkpoint());
  world.storage.faults.capacity = world.storage.used();
  world.fill(40);
  assert.ok(!world.ledger.flush());
  world.fill(10);
  const { refused, fault } = world.ledger.status;
  assert.ok(refused > 10 && fault !== "", `${refused} ${fault}`);
  world.storage.faults.capacity = Infinity;
  world.ledger.tick();
  world.ledger.tick();
  assert.equal(world.ledger.status.fault, "");
  assert.ok(world.ledger.close());
  assert.equal((await world.verify({ sealSecret: world.secret! })).fault, null);
  using source = new StorageSource(world.storage);
  const told: number[] = [];
  for (let at = 1; at < world.ledger.status.size; at++) {
    const { payload, entry } = readEntry(source, readHeader(source), at);
    if (entry[1] === 17) told.push(JSON.parse(new TextDecoder().decode(payload!.bytes)).count);
  }
  assert.equal(told.reduce((a, b) => a + b, 0), refused);
  assert.match(world.notices.join("\n"), /wait in memory[^]*takes entries again/);
});

function inventory(storage: SimStorage): string {
  return storage.list().map(({ name, size }) => `${name} ${size} ${storage.bytes(name).toHex()}`).join("\n");
}

Deno.test("what others did to the directory is refused with the mend, and nothing is changed", async () => {
  const world = await TestLedger.make();
  world.fill(100);
  world.ledger.close();
  const storage = world.storage, secrets = world.secrets;
  const refuses = async (
    damage: (storage: typeof world.storage, secrets: typeof world.secrets) => void,
    say: RegExp,
  ) => {
    const other = new TestLedger(storage.copy(), secrets.copy());
    other.now = world.now;
    damage(other.storage, other.secrets);
    const names = inventory(other.storage);
    await assert.rejects(() => other.open(), (error) => error instanceof LedgerBrokenError && say.test(error.message));
    assert.equal(inventory(other.storage), names);
    assert.equal(other.storage.handles + other.secrets.handles, 0);
    assert.equal(other.secret, null, "no new ledger was begun");
  };
  await refuses((it) => it.drop("header"), /no header, but has other files/);
  await refuses((it) => it.drop("state"), /no state, but has other files/);
  await refuses((it) => it.bytes("state").fill(0), /Neither of its slots is whole/);
  await refuses(
    (it) => it.put("entries-000001", it.bytes("entries-000001").slice(0, 99)),
    /shorter than what was signed/,
  );
  await refuses((it) => it.put("payloads-000001", new Uint8Array(0)), /payloads-000001 is .* shorter/);
  await refuses((it) => it.put("header", new Uint8Array(3)), /restore header, or move the directory away/);
  await refuses((_, it) => it.drop(SEAL_KEY_NAME), /missing, so no epoch can be sealed/);
});

Deno.test("an older copy of the ledger beside the key of a later epoch is refused as rolled back", async () => {
  const world = await TestLedger.make();
  world.fill(70);
  world.ledger.checkpoint();
  const old = world.storage.copy();
  world.fill(200);
  world.ledger.close();
  const back = new TestLedger(old, world.secrets);
  back.now = CREATED + 71_000;
  await assert.rejects(() => back.open(), /it was rolled back/);
});

Deno.test("readSigningKeys() reads by name what it is given, and says what is wrong with a key file", () => {
  const files: Record<string, string> = { "ledger.key": `${"01".repeat(32)}\n` };
  const read = (name: string): Uint8Array | null => name in files ? new TextEncoder().encode(files[name]) : null;
  const { current, next } = readSigningKeys(read);
  assert.deepEqual(current.publicKey, SIGNER.publicKey);
  assert.equal(next, null);
  files["ledger-next.key"] = "02";
  assert.throws(() => readSigningKeys(read), KeyFileError);
  delete files["ledger.key"];
  assert.throws(() => readSigningKeys(read), /openssl rand -hex 32/);
});

Deno.test("digests as often as they come make less than 20 MB a day", async () => {
  const world = await TestLedger.make({ epochMs: 900_000, segmentEntries: 65_536 });
  const before = world.storage.used(), seconds = 3_600;
  const epoch = "9b69c1f4-cc91-4dc4-8388-4330721527aa";
  for (let i = 0; i < seconds; i += DIGEST_MS / 1_000) {
    world.now += DIGEST_MS;
    const first = 3_000_000_000 + 1_000 * i, root = world.random.bytes(32), others = i % 30 === 0 ? 2 : 0;
    const value = { epoch, first, last: first + 999, events: 998, root, others, othersRoot: others > 0 ? root : null };
    world.ledger.append("events", "collector", encodeStatement("events", value));
    if (i % 60 === 0) world.ledger.tick();
  }
  world.ledger.close();
  const day = (world.storage.used() - before) * 24;
  console.log(`${(day / 1e6).toFixed(1)} MB a day`);
  assert.ok(day < 20_000_000, `${day} bytes a day`);
});
