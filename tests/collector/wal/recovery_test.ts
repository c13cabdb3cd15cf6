import assert from "node:assert/strict";
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, WAL_VERSION } from "../../../collector/wal/format.ts";
import { WalRefusedError } from "../../../collector/wal/recovery.ts";
import { crc32c } from "../../../proto/crc32c.ts";
import { Random } from "../../fuzz/random.ts";
import { SimStorage } from "../../support/sim_storage.ts";
import { open, outline, readAll, record, write } from "./support.ts";

const NAMES = [
  "0000000001-000000000000001.wal",
  "0000000002-000000000000005.wal",
  "0000000003-000000000000009.wal",
] as const;

/** Three closed segments: 1 to 4, 5 to 8, 9 to 10. */
function closedLog(): SimStorage {
  const storage = new SimStorage(), log = open(storage, { segmentBytes: 850 });
  write(log, 10);
  assert.ok(log.close());
  assert.deepEqual(storage.list().map(({ name }) => name), [...NAMES, "state"]);
  return storage;
}

function inventory(storage: SimStorage): string {
  return storage.list().map(({ name, kind, size }) => `${name} ${kind} ${size}`).join("\n");
}

interface Case {
  readonly what: string;
  readonly damage: (storage: SimStorage) => void;
  /** Numbers that can be read, and in brackets those that are told as lost. */
  readonly reads: string;
  /** What an operator is told when the log is opened; `null` for nothing. */
  readonly told: RegExp | null;
  /** The number that comes next. */
  readonly next?: number;
}

const CASES: readonly Case[] = [
  { what: "is whole", damage: () => {}, reads: "1 2 3 4 5 6 7 8 9 10", told: null },
  {
    what: "lost its first segment",
    damage: (storage) => storage.drop(NAMES[0]),
    reads: "[1-4] 5 6 7 8 9 10",
    told: null,
  },
  {
    what: "lost its second segment",
    damage: (storage) => storage.drop(NAMES[1]),
    reads: "1 2 3 4 [5-8] 9 10",
    told: null,
  },
  {
    what: "lost its last segment",
    damage: (storage) => storage.drop(NAMES[2]),
    reads: "1 2 3 4 5 6 7 8 [9-10]",
    told: /ends at number 8, but 10 was on disk: the rest is lost/,
  },
  {
    what: "lost every segment",
    damage: (storage) => NAMES.forEach((name) => storage.drop(name)),
    reads: "[1-10]",
    told: null,
  },
  {
    what: "lost its state file",
    damage: (storage) => storage.drop("state"),
    reads: "1 2 3 4 5 6 7 8 9 10",
    told: /state is missing or unreadable: what was refused and not told yet is not known/,
  },
  {
    what: "holds a copy of a segment under another number",
    damage: (storage) => storage.put("0000000009-000000000000005.wal", storage.bytes(NAMES[1])),
    reads: "1 2 3 4 5 6 7 8 9 10",
    told: /0000000009-\d+\.wal has the header of 0000000002-\d+\.wal; it was set aside as 0000000009-\d+\.wal\.aside/,
  },
  {
    what: "has two segments swapped",
    damage: (storage) => {
      const first = storage.bytes(NAMES[0]).slice();
      storage.put(NAMES[0], storage.bytes(NAMES[1]));
      storage.put(NAMES[1], first);
    },
    reads: "1 2 3 4 5 6 7 8 9 10",
    told: /0000000001-\d+\.wal is segment 2 by its header, which counts/,
  },
  {
    what: "has a zeroed segment in the middle",
    damage: (storage) => storage.bytes(NAMES[1]).fill(0),
    reads: "1 2 3 4 [5-8] 9 10",
    told: /0000000002-\d+\.wal: its header is damaged/,
  },
  {
    what: "has a zeroed last segment",
    damage: (storage) => storage.bytes(NAMES[2]).fill(0),
    reads: "1 2 3 4 5 6 7 8 [9-10]",
    told: /holds no record, but numbers up to 10 were on disk; it was set aside/,
  },
  {
    what: "has a segment in the middle that ends too early",
    damage: (storage) => storage.put(NAMES[1], storage.bytes(NAMES[1]).subarray(0, 700)),
    reads: "1 2 3 4 5 6 [7-8] 9 10",
    told: null,
  },
  {
    what: "has damage within a segment",
    damage: (storage) => storage.bytes(NAMES[1]).fill(0xff, SEGMENT_HEADER_BYTES + 90, SEGMENT_HEADER_BYTES + 100),
    reads: "1 2 3 4 5 [6-6] 7 8 9 10",
    told: null,
  },
  {
    what: "has damage within the last segment",
    damage: (storage) => storage.bytes(NAMES[2])[SEGMENT_HEADER_BYTES + 40]! ^= 1,
    reads: "1 2 3 4 5 6 7 8 [9-9] 10",
    told: null,
  },
  {
    what: "lost the end of its last segment, which was on disk",
    damage: (storage) => storage.put(NAMES[2], storage.bytes(NAMES[2]).subarray(0, SEGMENT_HEADER_BYTES + 100)),
    reads: "1 2 3 4 5 6 7 8 9 [10-10]",
    told: /ends at number 9, but 10 was on disk/,
  },
  {
    what: "has a torn record behind its end",
    damage: (storage) => {
      const whole = storage.bytes(NAMES[2]);
      storage.put(
        NAMES[2],
        Uint8Array.of(...whole, ...whole.subarray(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 50)),
      );
    },
    reads: "1 2 3 4 5 6 7 8 9 10",
    told: /50 bytes of a record that a crash tore were cut off/,
  },
  {
    what: "has an empty segment that a crash left",
    damage: (storage) => storage.put("0000000004-000000000000011.wal", new Uint8Array()),
    reads: "1 2 3 4 5 6 7 8 9 10",
    told: null,
  },
  {
    what: "has a segment that was torn at its first write",
    damage: (storage) => storage.put("0000000004-000000000000011.wal", new Uint8Array(900).fill(3)),
    reads: "1 2 3 4 5 6 7 8 9 10",
    told: /0000000004-\d+\.wal was torn by a crash at its first write; it was set aside/,
  },
  {
    what: "has a link where a segment was",
    damage: (storage) => {
      storage.drop(NAMES[1]);
      storage.planted.add(NAMES[1]);
    },
    reads: "1 2 3 4 [5-8] 9 10",
    told: /0000000002-\d+\.wal is not a regular file; it was set aside/,
  },
  {
    what: "has a link where the state file was",
    damage: (storage) => {
      storage.drop("state");
      storage.planted.add("state");
    },
    reads: "1 2 3 4 5 6 7 8 9 10",
    told: /state is not a regular file; it was set aside/,
  },
  {
    what: "has foreign files beside it",
    damage: (storage) => {
      storage.put("notes.txt", Uint8Array.of(1));
      storage.put("procmond-00001.wal", Uint8Array.of(1));
      storage.put("0000000001-000000000000001.WAL", Uint8Array.of(1));
    },
    reads: "1 2 3 4 5 6 7 8 9 10",
    told: /not files of the log, left alone: "0000000001-000000000000001.WAL", "notes.txt", "procmond-00001.wal"/,
  },
];

for (const { what, damage, reads, told, next = 11 } of CASES) {
  Deno.test(`WriteAheadLog opens a log that ${what}`, () => {
    const storage = closedLog();
    damage(storage);
    const foreign = storage.list().filter(({ name }) => /notes|procmond|WAL$/.test(name));
    const log = open(storage), findings = log.findings.join("\n");
    if (told === null) assert.equal(findings, "");
    else assert.match(findings, told);
    assert.ok(log.flush());
    assert.equal(outline(readAll(log)), reads);
    assert.equal(log.nextSequence, next, "no number is given out twice");
    // It goes on, and what was found is the same after the next start.
    log.append(record(log.nextSequence));
    log.close();
    const again = open(storage);
    assert.equal(outline(readAll(again)), `${reads} ${next}`);
    assert.ok(foreign.every(({ name, size }) => storage.bytes(name).length === size), "what is not ours is left alone");
  });
}

Deno.test("WriteAheadLog counts what damage took, each place once however often it is read", () => {
  const storage = closedLog(), notices: string[] = [];
  storage.bytes(NAMES[1]).fill(0xff, SEGMENT_HEADER_BYTES + 90, SEGMENT_HEADER_BYTES + 100);
  const log = open(storage, { notice: (text) => notices.push(text) });
  for (let i = 0; i < 3; i++) readAll(log);
  assert.deepEqual([log.status.damaged, log.status.missing], [1, 1]);
  assert.deepEqual(notices, [`write-ahead log: numbers 6 to 6 are lost: ${NAMES[1]} is damaged`]);
  const [, , , , , gap] = readAll(log);
  assert.deepEqual(gap, { kind: "missing", first: 6, last: 6, from: 1_005, to: 1_007 });
});

const REFUSED: readonly { what: string; damage: (storage: SimStorage) => void; reason: string; text: RegExp }[] = [
  {
    what: "another host",
    damage: (storage) => mixIn(storage, { host: "host-2" }, ["state", ...NAMES]),
    reason: "host",
    text: /^state of the write-ahead log belongs to host "host-2", not "host-1"; nothing in it was changed; move/,
  },
  {
    what: "another collector",
    damage: (storage) => mixIn(storage, { collectorId: "netmond" }, [NAMES[2]]),
    reason: "collector",
    text: /belongs to collector "netmond", not "procmond"/,
  },
  {
    what: "another epoch",
    damage: (storage) => mixIn(storage, { random: (length: number) => new Random(9).bytes(length) }, [NAMES[1]]),
    reason: "epoch",
    text: /^0000000002-000000000000005\.wal of the write-ahead log belongs to epoch "[0-9a-f-]{36}", not/,
  },
  {
    what: "a newer version",
    damage: (storage) => {
      const bytes = storage.bytes(NAMES[1]), view = new DataView(bytes.buffer);
      view.setUint16(8, WAL_VERSION + 1, true);
      view.setUint32(SEGMENT_HEADER_BYTES - 4, crc32c(bytes.subarray(0, SEGMENT_HEADER_BYTES - 4)), true);
    },
    reason: "version",
    text: /0000000002-000000000000005\.wal of the write-ahead log has version 2, this program reads version 1/,
  },
];

function mixIn(storage: SimStorage, options: Parameters<typeof open>[1], names: readonly string[]): void {
  const other = new SimStorage(), log = open(other, { segmentBytes: 850, ...options });
  write(log, 10);
  log.close();
  for (const name of names) storage.put(name, other.bytes(name));
}

for (const { what, damage, reason, text } of REFUSED) {
  Deno.test(`WriteAheadLog refuses a log of ${what}, and changes nothing`, () => {
    const storage = closedLog();
    damage(storage);
    const before = inventory(storage);
    assert.throws(() => open(storage), (error: unknown) => {
      assert.ok(error instanceof WalRefusedError);
      assert.equal(error.reason, reason);
      assert.match(error.message, text);
      return true;
    });
    assert.equal(inventory(storage), before);
  });
}

Deno.test("WriteAheadLog does not take bytes for a record that stand in a payload", () => {
  const storage = new SimStorage(), log = open(storage);
  // A whole segment of this very log, records and all, as a process could have it in its arguments.
  const other = new SimStorage(), theirs = open(other, { random: (length) => new Random(5).bytes(length) });
  write(theirs, 4);
  const payload = other.bytes(NAMES[0]).slice();
  log.append({ ...record(1), payload });
  log.append(record(2));
  log.flush();
  // The record that holds it is damaged, so the reader looks for the next one within it.
  storage.bytes(NAMES[0])[SEGMENT_HEADER_BYTES + 6]! ^= 0xff;
  assert.equal(outline(readAll(log)), "[1-1] 2");
});

Deno.test("a segment's header is what was pinned", () => {
  const bytes = encodeSegmentHeader({
    host: "h",
    collectorId: "c",
    epoch: "e",
    secret: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    index: 2,
    first: 2 ** 32 + 3,
    settled: [0, 0, 0, 0, 0, 7],
  });
  const hex = (from: number, to: number): string =>
    Array.from(bytes.subarray(from, to), (byte) => byte.toString(16).padStart(2, "0")).join("");
  assert.equal(hex(0, 28), "de57414c0d0a1a0a" + "0100" + "0000" + "020000000000" + "0000" + "030000000100" + "0000");
  assert.equal(
    hex(28, 72),
    "0102030405060708" + "00".repeat(20) + "07000000" + "00000000" + "0168" + "0163" + "0165" + "0000",
  );
  assert.equal(bytes.length, 512);
});
