/**
 * `deno task fuzz:wal [--runs N] [--from SEED] [--seed SEED]`: directories of the write-ahead log, mutated by seed.
 *
 * Whatever lies there, opening, writing and reading it throws nothing but {@linkcode WalRefusedError}, ends, gives every
 * record in order and once, goes on numbering above what it gives, and keeps memory bounded.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { SEGMENT_HEADER_BYTES } from "../../collector/wal/format.ts";
import { SegmentReader } from "../../collector/wal/segment_reader.ts";
import type { WalOptions } from "../../collector/wal/log.ts";
import { WalRefusedError } from "../../collector/wal/recovery.ts";
import type { StorageFile } from "../../collector/wal/storage.ts";
import { lastOf, open, readAll, record } from "../collector/wal/support.ts";
import { Random } from "../support/random.ts";
import { SimStorage } from "../support/sim_storage.ts";

/** Growth of the resident size, in bytes, that no bounded reader needs. */
const MAX_GROWTH = 300_000_000;
/** Numbers with meaning for lengths, counts and sequences. */
const NOTABLE = [0, 1, 7, 8, 0xff, 0xffff, 0x10000, 0x0010_0000, 0x0010_0001, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

function corpus(more: Partial<WalOptions> = {}): SimStorage[] {
  return [1, 5, 30].map((count) => {
    const storage = new SimStorage();
    const log = open(storage, { segmentBytes: 1_100, ...more });
    for (let i = 0; i < count; i++) {
      if (i === count - 2) log.refuse("stop", 3, 1, 2);
      log.append(record(log.nextSequence, { bytes: 20 + 7 * i, count: 1 + i % 3 }));
      if (i % 2 === 0) log.flush();
    }
    log.flush();
    return storage;
  });
}

const CORPUS = corpus();
/** The same of another host: what is mixed in from it is refused, or not recognised. */
const FOREIGN = corpus({ host: "host-2", random: (length) => new Random(8).bytes(length) });

/** One directory, damaged in one to four ways. */
function mutated(random: Random): SimStorage {
  const storage = random.pick(CORPUS).copy();
  for (let i = 1 + random.below(4); i > 0; i--) mutate(storage, random);
  return storage;
}

function mutate(storage: SimStorage, random: Random): void {
  const names = storage.list().filter(({ kind }) => kind === "file").map(({ name }) => name);
  if (names.length === 0) return;
  const name = random.pick(names), bytes = storage.bytes(name), at = random.below(bytes.length + 1);
  switch (random.below(13)) {
    case 0:
    case 1:
      if (at < bytes.length) bytes[at]! ^= 1 << random.below(8);
      return;
    case 2:
      return void bytes.set(random.bytes(Math.min(random.below(40), bytes.length - at)), at);
    case 3: {
      const place = at & ~3;
      if (place + 4 <= bytes.length) new DataView(bytes.buffer).setUint32(place, random.pick(NOTABLE), true);
      return;
    }
    case 4:
      return storage.put(name, bytes.subarray(0, at));
    case 5:
      return storage.put(name, concat(bytes.subarray(0, at), random.bytes(random.below(64)), bytes.subarray(at)));
    case 6:
      return storage.put(
        name,
        concat(bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + random.below(99)))),
      );
    case 7: {
      const other = storage.bytes(random.pick(names)).slice();
      storage.put(random.pick(names), bytes);
      return storage.put(name, other);
    }
    case 8:
      return storage.drop(name);
    case 9:
      return storage.put(
        random.pick(["0000000099-000000000000001.wal", "notes.txt", "state", "0000000002-999999999999999.wal"]),
        bytes,
      );
    case 10:
      storage.drop(name);
      return void storage.planted.add(name);
    case 12: {
      const other = random.pick(FOREIGN), from = random.pick(other.list()).name;
      return storage.put(from, other.bytes(from));
    }
    case 11:
      return void bytes.fill(0, at, at + random.below(1_024));
  }
}

function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

type FuzzOutcome = "refused" | "whole" | "told";

/** Opens, reads, writes and opens again what a seed makes. @throws when anything escapes */
function fuzzDirectory(seed: number): FuzzOutcome {
  const random = new Random(seed), storage = mutated(random);
  const before = storage.list().map(({ name, size }) => `${name} ${size}`).join();
  let log;
  try {
    log = open(storage, { segmentBytes: 1_100 });
  } catch (error) {
    if (!(error instanceof WalRefusedError)) throw error;
    const after = storage.list().map(({ name, size }) => `${name} ${size}`).join();
    if (after !== before) throw new Error("A refused directory was changed", { cause: error });
    return "refused";
  }
  const first = log.nextSequence;
  log.append(record(first, { bytes: 30 }));
  if (!log.flush()) throw new Error(`A flush failed: ${log.status.fault}`);
  checkOrder(log);
  log.acknowledge(log.durable);
  log.close();
  const again = open(storage, { segmentBytes: 1_100 });
  if (again.nextSequence <= first) throw new Error(`Number ${first} would be given out again`);
  if (again.identity.epoch !== log.identity.epoch) throw new Error("The epoch changed");
  again.close();
  return log.findings.length + log.status.damaged + log.status.missing > 0 ? "told" : "whole";
}

function checkOrder(log: ReturnType<typeof open>): void {
  let expected = 1;
  for (const item of readAll(log)) {
    const first = item.kind === "record" ? item.record.first : item.first;
    if (first !== expected) throw new Error(`Number ${first} comes where ${expected} is due`);
    expected = lastOf(item) + 1;
  }
}

/** Reads bytes that a seed makes as the records of a segment. @throws when anything escapes */
function fuzzRecords(seed: number): void {
  const random = new Random(seed), storage = random.pick(CORPUS);
  const names = storage.list().filter(({ name }) => name.endsWith(".wal")).map(({ name }) => name);
  const bytes = storage.bytes(random.pick(names)).slice();
  for (let i = random.below(6); i >= 0; i--) {
    const at = random.below(bytes.length);
    if (random.chance(0.5)) bytes[at]! ^= 1 << random.below(8);
    else if ((at & ~3) + 4 <= bytes.length) {
      new DataView(bytes.buffer).setUint32(at & ~3, random.pick(NOTABLE), true);
    }
  }
  const reader = new SegmentReader(memoryFile(bytes), random.u32(), 1, random.chance(0.5) ? SEGMENT_HEADER_BYTES : 0);
  let end = 0;
  for (let item = reader.next(), steps = 0; item !== null; item = reader.next(), steps++) {
    if (item.end <= item.at || item.at < end || item.end > bytes.length) throw new Error("The reader went back");
    if (steps > bytes.length) throw new Error("The reader does not end");
    end = item.end;
  }
}

function memoryFile(bytes: Uint8Array): StorageFile {
  const refuse = (): never => {
    throw new TypeError("A reader changes nothing");
  };
  return {
    size: () => bytes.length,
    readAt: (position, into) => {
      const piece = bytes.subarray(position, position + into.length);
      into.set(piece);
      return piece.length;
    },
    writeAt: refuse,
    syncData: refuse,
    truncate: refuse,
    close: () => {},
  };
}

function main(): number {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      runs: { type: "string", default: "1000000" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
    },
  });
  if (values.seed !== undefined) {
    fuzzRecords(Number(values.seed));
    console.log(fuzzDirectory(Number(values.seed)));
    return 0;
  }
  const runs = Number(values.runs), from = Number(values.from), counts = { refused: 0, whole: 0, told: 0 };
  const resident = Deno.memoryUsage().rss, began = performance.now();
  let most = resident;
  for (let seed = from; seed < from + runs; seed++) {
    try {
      // One directory takes as long as many records, so records make the larger half.
      if (seed % 8 === 0) counts[fuzzDirectory(seed)] += 1;
      else fuzzRecords(seed);
    } catch (error) {
      console.log(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
      console.log(`  deno task fuzz:wal --seed ${seed}`);
      return 1;
    }
    if (seed % 4_096 === 0) most = Math.max(most, Deno.memoryUsage().rss);
  }
  const seconds = (performance.now() - began) / 1_000, directories = counts.refused + counts.whole + counts.told;
  console.log(
    `${runs} inputs in ${seconds.toFixed(0)} s, nothing escaped: ${runs - directories} segments, ${directories} ` +
      `directories (${counts.refused} refused untouched, ${counts.told} opened with what is wrong told, ` +
      `${counts.whole} whole); resident at most ${(most / 1e6).toFixed(0)} MB, at the start ${
        (resident / 1e6).toFixed(0)
      }`,
  );
  return most - resident > MAX_GROWTH ? 1 : 0;
}

Deno.exit(main());
