import assert from "node:assert/strict";
import type { LogItem } from "../../../collector/wal/log_reader.ts";
import { WalRefusedError } from "../../../collector/wal/recovery.ts";
import { SimStorage } from "../../support/sim_storage.ts";
import { open, readAll, record } from "./support.ts";

/** Numbers in the log; the last of them is written and not known to be synced. */
const LAST = 11;

/** Three segments, five refused items that no record tells of yet, and a last record that no hint proves. */
function threeSegments(): SimStorage {
  const storage = new SimStorage();
  const log = open(storage, { segmentBytes: 880, totalBytes: 3_300 });
  let state = new Uint8Array();
  while (log.nextSequence <= LAST) {
    if (log.nextSequence === LAST - 1) log.refuse("snapshot", 5, 1, 2);
    if (log.nextSequence === LAST) state = storage.bytes("state").slice();
    assert.ok(log.append(record(log.nextSequence, { bytes: 50 })));
    log.flush();
  }
  storage.put("state", state);
  const names = storage.list().map(({ name }) => name);
  assert.equal(names.filter((name) => name.endsWith(".wal")).length, 3, names.join(" "));
  return storage;
}

interface View {
  readonly items: LogItem[];
  readonly tallies: string;
  readonly told: boolean;
}

function view(storage: SimStorage): View | null {
  try {
    // Full, so that the refused items stay what they are and take no number.
    const log = open(storage, { segmentBytes: 880, totalBytes: 1 });
    assert.ok(log.flush());
    const items = readAll(log), tallies = JSON.stringify(log.outstanding);
    return { items, tallies, told: log.findings.length > 0 || log.status.damaged > 0 };
  } catch (error) {
    assert.ok(error instanceof WalRefusedError, String(error));
    return null;
  }
}

type Outcome = "detected" | "identical" | "cut";

/** What became of a damaged copy; throws when something is gone or wrong and nothing says so. */
function judge(good: View, found: View | null, what: string): Outcome {
  if (found === null) return "detected";
  const missing = new Set<number>();
  for (const item of found.items) {
    if (item.kind === "missing") { for (let n = item.first; n <= item.last; n++) missing.add(n); }
  }
  const records = new Map(
    found.items.flatMap((item) => item.kind === "record" ? [[item.record.first, item.record]] : []),
  );
  for (const item of good.items) {
    assert.ok(item.kind === "record");
    const { first } = item.record, same = records.get(first);
    if (same !== undefined) assert.deepEqual(same, item.record, `${what}: number ${first} is another`);
    else if (first !== LAST) assert.ok(missing.has(first), `${what}: number ${first} is gone, and nothing says so`);
    records.delete(first);
  }
  assert.equal(records.size, 0, `${what}: a record that was never written`);
  if (found.tallies !== good.tallies) assert.ok(found.told, `${what}: tallies ${found.tallies}, and nothing says why`);
  if (missing.size > 0) return "detected";
  if (found.items.length < good.items.length) return "cut";
  return found.told ? "detected" : "identical";
}

function count(damages: Iterable<[what: string, storage: SimStorage]>, good: View): Record<Outcome, number> {
  const counts = { detected: 0, identical: 0, cut: 0 };
  for (const [what, storage] of damages) counts[judge(good, view(storage), what)] += 1;
  return counts;
}

function sum(counts: Record<Outcome, number>): number {
  return counts.detected + counts.identical + counts.cut;
}

Deno.test("WriteAheadLog answers every flipped bit of three segments: told, harmless, or the unproven end cut", () => {
  const base = threeSegments(), good = view(base.copy())!;
  assert.equal(good.items.length, LAST);
  assert.match(good.tallies, /"count":5/, "the refused items wait for room");
  function* flips(): Generator<[string, SimStorage]> {
    for (const { name, size } of base.list()) {
      for (let bit = 0; bit < size * 8; bit++) {
        const storage = base.copy();
        storage.bytes(name)[bit >> 3]! ^= 1 << (bit & 7);
        yield [`bit ${bit} of ${name}`, storage];
      }
    }
  }
  const counts = count(flips(), good);
  console.log(
    `${
      sum(counts)
    } flips of a bit: ${counts.detected} told, ${counts.identical} without effect, ${counts.cut} cut the unproven end`,
  );
  assert.ok(counts.detected > 10_000 && counts.cut > 300 && counts.identical > 50, JSON.stringify(counts));
});

Deno.test("WriteAheadLog answers every truncation of three segments: told, or the unproven end cut", () => {
  const base = threeSegments(), good = view(base.copy())!;
  function* cuts(): Generator<[string, SimStorage]> {
    for (const { name, size } of base.list()) {
      for (let length = 0; length < size; length++) {
        const storage = base.copy();
        storage.put(name, base.bytes(name).subarray(0, length));
        yield [`${name} cut to ${length} bytes`, storage];
      }
    }
  }
  const counts = count(cuts(), good);
  console.log(
    `${
      sum(counts)
    } truncations: ${counts.detected} told, ${counts.identical} without effect, ${counts.cut} cut the unproven end`,
  );
  assert.ok(counts.detected > 1_000 && counts.cut > 80 && counts.identical === 0, JSON.stringify(counts));
});

Deno.test("WriteAheadLog answers every sector that is zeroed, and every pair of segments that is swapped", () => {
  const base = threeSegments(), good = view(base.copy())!;
  const segments = base.list().filter(({ name }) => name.endsWith(".wal")).map(({ name }) => name);
  function* damages(): Generator<[string, SimStorage]> {
    for (const { name, size } of base.list()) {
      for (let at = 0; at < size; at += 512) {
        const storage = base.copy();
        storage.bytes(name).fill(0, at, at + 512);
        yield [`${name} zeroed at ${at}`, storage];
      }
    }
    for (const one of segments) {
      for (const other of segments) {
        if (one >= other) continue;
        const storage = base.copy();
        storage.put(one, base.bytes(other));
        storage.put(other, base.bytes(one));
        yield [`${one} and ${other} swapped`, storage];
      }
    }
  }
  const counts = count(damages(), good);
  assert.ok(counts.detected >= 9, JSON.stringify(counts));
});
