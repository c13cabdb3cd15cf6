import assert from "node:assert/strict";
import { StorageSource } from "../../../collector/ledger/storage_source.ts";
import { verifyLedger } from "../../../proto/ledger/directory.ts";
import { MemorySource } from "../../../proto/ledger/memory_source.ts";
import type { SimStorage } from "../../support/sim_storage.ts";
import { BLAKE3, KEY, TestLedger, verify } from "./support.ts";

const world = await TestLedger.make({ segmentEntries: 128 });
while (world.ledger.status.size < 199) world.fill(1);
world.ledger.checkpoint();
world.ledger.append("tierStopped", "collector", new TextEncoder().encode("collector"));
world.ledger.close();
const base = world.storage, now = world.now;

async function faultOf(storage: SimStorage): Promise<string | null> {
  using source = new StorageSource(storage);
  return (await verifyLedger({ source, now, keys: [KEY], hash: BLAKE3 })).fault?.reason ?? null;
}

/**
 * All takes minutes: `deno task test:bits`. Otherwise one bit of each byte, another one in each, and the truncations at
 * every record's beginning, within its length and its content: what is between those takes the same way.
 */
const EVERY_BIT = Deno.env.get("EVERY_BIT") === "1";

/** The files as a verifier reads them, without a copy for each change. */
async function faultIn(files: ReadonlyMap<string, Uint8Array>): Promise<string | null> {
  return (await verifyLedger({ source: new MemorySource(files), now, keys: [KEY], hash: BLAKE3 })).fault?.reason ??
    null;
}

const FILES: ReadonlyMap<string, Uint8Array> = new Map(base.list().map(({ name }) => [name, base.bytes(name).slice()]));

/** Lengths to which a file is cut. */
function* cuts(name: string, bytes: Uint8Array): Generator<number> {
  const kind = name.replace(/-\d+$/, ""), { length } = bytes;
  if (EVERY_BIT || !/^(entries|payloads|tiles-\d|state)$/.test(kind)) {
    for (let cut = 0; cut < length; cut++) yield cut;
    return;
  }
  const known = new Set<number>();
  for (let at = 0; at < length;) {
    const next = kind === "entries" || kind === "payloads"
      ? at + 2 + bytes[at]! * 256 + bytes[at + 1]!
      : at + (kind === "state" ? 64 : 32);
    for (const cut of [at, at + 1, at + 2, at + 3, (at + next) >> 1, next - 1]) if (cut < length) known.add(cut);
    at = next;
  }
  yield* known;
}

Deno.test("every flipped bit of a directory of 200 entries is detected", async () => {
  assert.ok(world.ledger.status.size >= 200, `${world.ledger.status.size} entries`);
  assert.equal(await faultOf(base), null);
  const reasons = new Map<string, number>();
  let flipped = 0;
  const files = new Map([...FILES].map(([name, bytes]) => [name, bytes.slice()]));
  for (const [name, bytes] of files) {
    for (let bit = 0; bit < bytes.length * 8; bit += EVERY_BIT ? 1 : 8 + (bit % 8 === 7 ? -7 : 1)) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const reason = await faultIn(files);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      assert.notEqual(reason, null, `bit ${bit} of ${name} is not detected`);
      reasons.set(reason!, (reasons.get(reason!) ?? 0) + 1);
      flipped += 1;
    }
  }
  console.log(`${flipped} flipped bits, ${flipped} detected: ${[...reasons].map((each) => each.join(" ")).join(", ")}`);
  assert.equal(flipped, (EVERY_BIT ? 8 : 1) * base.used());
  assert.ok(base.used() > 37_500);
});

Deno.test("a directory of 200 entries that is cut anywhere is detected, and every missing file", async () => {
  let cut = 0;
  const files = new Map(FILES);
  for (const [name, bytes] of FILES) {
    for (const length of cuts(name, bytes)) {
      files.set(name, bytes.subarray(0, length));
      assert.notEqual(await faultIn(files), null, `${name} cut to ${length} bytes`);
      cut += 1;
    }
    files.delete(name);
    assert.notEqual(await faultIn(files), null, `${name} is missing`);
    files.set(name, bytes);
  }
  console.log(`${cut} truncations${EVERY_BIT ? "" : " around every record"}, ${cut} detected`);
  if (EVERY_BIT) assert.equal(cut, base.used());
  else assert.ok(cut > 3_000, `${cut} truncations`);
});

Deno.test("swapped, doubled, zeroed and lengthened files are detected, and the first bad entry is named", async () => {
  const names = base.list().map(({ name }) => name);
  for (const a of names) {
    for (const b of names) {
      if (a === b) continue;
      const storage = base.copy();
      storage.put(a, base.bytes(b));
      assert.notEqual(await faultOf(storage), null, `${b} in place of ${a}`);
    }
    const longer = base.copy();
    longer.put(a, Uint8Array.of(...base.bytes(a), 0));
    assert.notEqual(await faultOf(longer), null, `${a} is longer`);
    const zeroed = base.copy();
    zeroed.bytes(a).fill(0);
    assert.notEqual(await faultOf(zeroed), null, `${a} is zeroed`);
  }
  const storage = base.copy(), bytes = storage.bytes("entries-000000");
  let at = 0;
  for (let entry = 0; entry < 42; entry++) at += 2 + bytes[at]! * 256 + bytes[at + 1]!;
  bytes[at + 2 + 60]! ^= 1;
  const { fault, verified } = await verify(storage, { now });
  assert.deepEqual([fault?.sequence, fault?.reason, verified], [42, "payload", 42]);
  assert.equal(fault?.message, "Entry 42: its payload is not the one that was logged");
});

Deno.test("a ledger of another host, and one with another's entries, are refused by name", async () => {
  const other = await TestLedger.make({ segmentEntries: 128, origin: "other.example/ledger", random: otherRandom() });
  other.fill(150);
  other.ledger.close();
  const mixed = base.copy();
  mixed.put("entries-000000", other.storage.bytes("entries-000000"));
  assert.equal((await verify(mixed, { now })).fault?.reason, "ledger");
  const swapped = base.copy();
  swapped.put("checkpoint", other.storage.bytes("checkpoint"));
  const { fault } = await verify(swapped, { now });
  assert.match(fault!.message, /it is of other\.example\/ledger/);
});

function otherRandom(): (length: number) => Uint8Array {
  let last = 0;
  return (length) => new Uint8Array(length).fill(++last);
}
