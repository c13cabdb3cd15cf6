/**
 * The write-ahead log: its segments as bytes, and its directory as a whole.
 *
 * Whatever lies there, opening, writing and reading it throws nothing but {@linkcode WalRefusedError}, ends, gives every
 * record in order and once, and goes on numbering above what it gives.
 *
 * @module
 */
import {
  decodeSegmentHeader,
  parseSegmentName,
  recordSeed,
  SEGMENT_HEADER_BYTES,
} from "../../../collector/wal/format.ts";
import type { WalOptions } from "../../../collector/wal/log_options.ts";
import { WalRefusedError } from "../../../collector/wal/recovery.ts";
import { SegmentReader } from "../../../collector/wal/segment_reader.ts";
import type { StorageFile } from "../../../collector/wal/storage.ts";
import { lastOf, open, readAll, record } from "../../collector/wal/support.ts";
import { SimStorage } from "../../support/sim_storage.ts";
import { type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import { Random } from "../random.ts";

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

/** The secret of a log, from its first segment. */
function decodeSecret(storage: SimStorage): Uint8Array {
  const header = decodeSegmentHeader(storage.bytes(storage.list()[0]!.name));
  must(header !== null && "secret" in header, "the corpus is whole");
  return header.secret;
}

/** One directory, damaged in one to four ways. */
function mutatedDirectory(random: Random): SimStorage {
  const storage = random.pick(CORPUS).copy();
  for (let i = 1 + random.below(4); i > 0; i--) damage(storage, random);
  return storage;
}

function damage(storage: SimStorage, random: Random): void {
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
      if (place + 4 <= bytes.length) new DataView(bytes.buffer).setUint32(place, random.edge(), true);
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

/** Opens a directory, reads, writes, and opens it again. */
function openDirectory(storage: SimStorage): void {
  const before = inventory(storage);
  let log;
  try {
    log = open(storage, { segmentBytes: 1_100 });
  } catch (error) {
    if (!(error instanceof WalRefusedError)) throw error;
    must(inventory(storage) === before, "a refused directory is not changed");
    return;
  }
  const first = log.nextSequence;
  log.append(record(first, { bytes: 30 }));
  must(log.flush(), `a flush on a good disk succeeds: ${log.status.fault}`);
  checkOrder(log);
  log.acknowledge(log.durable);
  log.close();
  const again = open(storage, { segmentBytes: 1_100 });
  must(again.nextSequence > first, `number ${first} is not given out again`);
  must(again.identity.epoch === log.identity.epoch, "the epoch stays");
  again.close();
  must(storage.handles === 0, "every file is closed");
}

function inventory(storage: SimStorage): string {
  return storage.list().map(({ name, kind, size }) => `${name} ${kind} ${size}`).join("\n");
}

function checkOrder(log: ReturnType<typeof open>): void {
  let expected = 1;
  for (const item of readAll(log)) {
    const first = item.kind === "record" ? item.record.first : item.first;
    must(first === expected, `number ${expected} comes, not ${first}`);
    expected = lastOf(item) + 1;
  }
}

/** Reads bytes as a segment of the log that `seed` belongs to. */
function readSegment(bytes: Uint8Array, seed: number, at: number): void {
  const reader = new SegmentReader(memoryFile(bytes), seed, 1, at);
  let end = 0;
  for (let item = reader.next(), steps = 0; item !== null; item = reader.next(), steps++) {
    must(item.at >= end && item.end > item.at && item.end <= bytes.length, "the reader goes on, within the file");
    must(steps <= bytes.length, "the reader ends");
    if (item.kind === "record") must(reader.payload(item).length === item.header.length, "a payload is whole");
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
    syncDataBeside: refuse,
    truncate: refuse,
    close: () => {},
  };
}

export const wal: readonly FuzzTarget[] = [
  {
    name: "wal:segment",
    share: 100_000,
    open: () => {
      const segments = CORPUS.flatMap((storage) =>
        storage.list().filter(({ name }) => name.endsWith(".wal")).map(({ name }) => ({
          bytes: storage.bytes(name),
          seed: recordSeed(decodeSecret(storage), parseSegmentName(name)!.index),
        }))
      );
      return (random) => {
        const { bytes, seed } = random.pick(segments), changed = mutate(random, bytes);
        const at = random.oneIn(4) ? 0 : SEGMENT_HEADER_BYTES;
        return { show: () => hex(changed), run: () => readSegment(changed, seed, at) };
      };
    },
  },
  {
    name: "wal:directory",
    share: 40_000,
    open: () => (random) => {
      const storage = mutatedDirectory(random);
      return { show: () => inventory(storage), run: () => openDirectory(storage) };
    },
  },
];
