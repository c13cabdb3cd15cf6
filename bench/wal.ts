/**
 * Records a second that the write-ahead log takes durably, beside SQLite and a loop in C that do the same, in one run.
 *
 * Records of 300 bytes, written in groups, each group synced: the log's flush, a transaction of inserts with
 * `synchronous=FULL`, one `write` and one `fdatasync`. Then the same records read back. Usage: `deno task bench:wal`.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite";
import { DiskStorage } from "../collector/wal/disk_storage.ts";
import { WriteAheadLog } from "../collector/wal/log.ts";
import { compileC } from "../tests/support/compile_c.ts";
import { output } from "./support/commands.ts";
import { type Figure, median, report } from "./support/report.ts";

const RECORD_BYTES = 300, RECORDS = 200_000, RUNS = 3;
/** Records of one sync; what a drain brings at 1,000 events a second, and in a storm. */
const GROUPS = [16, 64, 256, 1_024];
/** The target holds for groups of this size: four milliseconds of a storm. */
const TARGET_GROUP = 256, TARGET = 100_000;

const C_LOOP = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
  int records = atoi(argv[2]), group = atoi(argv[3]), bytes = atoi(argv[4]);
  char *buffer = malloc((size_t)group * bytes);
  memset(buffer, 'x', (size_t)group * bytes);
  int fd = open(argv[1], O_CREAT | O_WRONLY | O_TRUNC, 0600);
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (int done = 0; done < records; done += group) {
    if (write(fd, buffer, (size_t)group * bytes) != (ssize_t)group * bytes || fdatasync(fd) != 0) return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &b);
  printf("%f\\n", (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9);
  return 0;
}
`;

function payload(i: number): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES).fill(0x61);
  new DataView(bytes.buffer).setUint32(0, i);
  return bytes;
}

function openLog(directory: string): WriteAheadLog {
  return new WriteAheadLog({
    storage: new DiskStorage(directory),
    host: "bench",
    collectorId: "bench",
    segmentBytes: 16_777_216,
    totalBytes: 1_073_741_824,
    maxPendingBytes: 16_777_216,
    keepMs: 600_000,
    clock: () => performance.now(),
    gapRecord: () => ({ kind: 2, payload: Uint8Array.of(1) }),
    notice: (text) => console.error(text),
  });
}

interface LogRun {
  readonly written: number;
  readonly read: number;
  readonly bytes: number;
}

function runLog(directory: string, payloads: readonly Uint8Array[], group: number): LogRun {
  const log = openLog(directory);
  const began = performance.now();
  for (let at = 0; at < RECORDS;) {
    for (let i = 0; i < group && at < RECORDS; i++, at++) {
      log.append({ kind: 1, itemClass: "start", count: 1, time: at, lastTime: at, payload: payloads[at]! });
    }
    if (!log.flush()) throw new Error(`The log cannot be written: ${log.status.fault}`);
  }
  const written = (performance.now() - began) / 1_000;
  log.close();
  const again = openLog(directory), from = performance.now();
  let read = 0;
  for (let after = 0; after < again.durable;) {
    for (const item of again.read(after, 1_048_576)) {
      if (item.kind !== "record") throw new Error(`Numbers ${item.first} to ${item.last} are missing`);
      read += 1;
      after = item.record.first;
    }
  }
  if (read !== RECORDS) throw new Error(`${read} of ${RECORDS} records came back`);
  const seconds = (performance.now() - from) / 1_000, { bytes } = again.status;
  again.close();
  return { written, read: seconds, bytes };
}

function runSqlite(path: string, payloads: readonly Uint8Array[], group: number): number {
  using db = new DatabaseSync(path);
  db.exec(
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE log (sequence INTEGER PRIMARY KEY, payload BLOB)",
  );
  const insert = db.prepare("INSERT INTO log VALUES (?, ?)");
  const began = performance.now();
  for (let at = 0; at < RECORDS;) {
    db.exec("BEGIN");
    for (let i = 0; i < group && at < RECORDS; i++, at++) insert.run(at + 1, payloads[at]!);
    db.exec("COMMIT");
  }
  return (performance.now() - began) / 1_000;
}

const payloads = Array.from({ length: RECORDS }, (_, i) => payload(i));
await using loop = await compileC(C_LOOP, ["-O2"]);
const figures: Figure[] = [];
let bytes = 0;
const reads: number[] = [];
for (const group of GROUPS) {
  const ours: number[] = [], sqlite: number[] = [], c: number[] = [];
  // The three take turns, so that what else the machine does falls on all of them.
  for (let run = 0; run < RUNS; run++) {
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-bench-" });
    try {
      const { written, read, bytes: all } = runLog(`${directory}/wal`, payloads, group);
      ours.push(RECORDS / written);
      reads.push(RECORDS / read);
      bytes = all / RECORDS;
      sqlite.push(RECORDS / runSqlite(`${directory}/log.db`, payloads, group));
      const args = [`${directory}/loop`, String(RECORDS), String(group), String(RECORD_BYTES)];
      c.push(RECORDS / Number(await output(loop.path, args)));
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  }
  const target = group === TARGET_GROUP ? { least: TARGET } : null;
  const what = `${RECORD_BYTES}-byte records, ${group} a sync`;
  figures.push(
    {
      what: `${what}, log`,
      ours: median(ours),
      unit: "records/s",
      peer: { name: "SQLite, synchronous=FULL", value: median(sqlite) },
      target,
    },
    {
      what: `${what}, log`,
      ours: median(ours),
      unit: "records/s",
      peer: { name: "write and fdatasync in C", value: median(c) },
      target: null,
    },
  );
}
figures.push(
  { what: "read back and checked", ours: median(reads), unit: "records/s", peer: null, target: null },
  {
    what: `on disk for each record`,
    ours: bytes,
    unit: "bytes",
    peer: { name: "payload", value: RECORD_BYTES },
    target: null,
  },
);
const met = report("Write-ahead log", figures);
console.log(`  resident ${(Deno.memoryUsage().rss / 1e6).toFixed(0)} MB`);
Deno.exit(met ? 0 : 1);
