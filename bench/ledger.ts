/**
 * Entries a second that the ledger takes, signs and verifies, and how long a proof takes at a million entries, beside the
 * same with BLAKE3 in JavaScript alone, and beside what the disk takes at all, in one run. Usage: `deno task bench:ledger`.
 *
 * An entry is one digest of what the write-ahead log took: 134 bytes, and a payload of 44. "In memory" makes entry, hashes,
 * tree and tiles, and writes nothing; "synced" puts each group on disk, payloads and entries, with `fdatasync` for each.
 *
 * @module
 */
import { signerOf } from "../collector/ledger/keys.ts";
import { Ledger } from "../collector/ledger/ledger.ts";
import { StorageSource } from "../collector/ledger/storage_source.ts";
import { DiskStorage } from "../collector/wal/disk_storage.ts";
import { verifyLedger } from "../proto/ledger/directory.ts";
import { type LedgerHash, loadHash, plainHash, sameBytes } from "../proto/ledger/hash.ts";
import { noteKey } from "../proto/ledger/note.ts";
import { proveEntry } from "../proto/ledger/prove.ts";
import { checkProof } from "../proto/ledger/tlog_proof.ts";
import { type Figure, median, report } from "./support/report.ts";

const ENTRIES = 1_000_000, SHORT = 100_000, GROUP = 256, PROOFS = 50, INPUTS = 10_000, MAX_PENDING = 1_000_000_000;
const ORIGIN = "bench.example/ledger";
const SEED = (): Uint8Array => new Uint8Array(32).fill(1);
const KEY = noteKey(ORIGIN, signerOf(SEED()).publicKey);
const payload = new Uint8Array(44);

async function open(directory: string, hash: LedgerHash): Promise<Ledger> {
  const created = Date.now();
  return await Ledger.open({
    storage: new DiskStorage(`${directory}/ledger`),
    secrets: new DiskStorage(`${directory}/secrets`),
    hash,
    keys: { current: signerOf(SEED()), next: null },
    origin: ORIGIN,
    host: "bench",
    bootId: new Uint8Array(16),
    clock: { wallMs: () => created, monotonicNs: () => BigInt(Math.floor(performance.now() * 1e6)) },
    notice: (text) => console.error(text),
    showSecret: () => {},
    maxPendingBytes: MAX_PENDING,
  });
}

async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await Deno.makeTempDir({ prefix: "daemoneye-bench-" });
  try {
    return await work(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** The disk by itself: so many appended bytes, and `fdatasync`, a second, in entries. What no program can beat here. */
async function diskRate(count: number, group: number): Promise<number> {
  return await inDirectory((directory) => {
    using entries = Deno.openSync(`${directory}/entries`, { write: true, create: true });
    using payloads = Deno.openSync(`${directory}/payloads`, { write: true, create: true });
    const [some, more] = [new Uint8Array(group * 136), new Uint8Array(group * (18 + payload.length))];
    const began = performance.now();
    for (let done = 0; done < count; done += group) {
      payloads.writeSync(more);
      payloads.syncDataSync();
      entries.writeSync(some);
      entries.syncDataSync();
    }
    return Promise.resolve(count / (performance.now() - began) * 1_000);
  });
}

/** On how many of as many random inputs the two implementations of BLAKE3 give the same. */
function agreeing(a: LedgerHash, b: LedgerHash, inputs: number): number {
  let same = 0;
  for (let i = 0; i < inputs; i++) {
    const bytes = crypto.getRandomValues(new Uint8Array(Math.floor(Math.random() ** 3 * 5_000)));
    if (sameBytes(a.digest(bytes), b.digest(bytes))) same += 1;
  }
  return same;
}

/** Entries a second; with a group, each group is on disk before the next. */
async function appendRate(hash: LedgerHash, count: number, group: number | null): Promise<number> {
  return await inDirectory(async (directory) => {
    const ledger = await open(directory, hash), began = performance.now();
    for (let i = 1; i <= count; i++) {
      ledger.append("events", "collector", payload);
      if (group !== null && i % group === 0 && !ledger.flush()) throw new Error(ledger.status.fault);
    }
    const rate = count / (performance.now() - began) * 1_000;
    ledger.close();
    return rate;
  });
}

const fast = await loadHash("blake3"), plain = plainHash("blake3");
await appendRate(fast, SHORT, null); // warms up
const memory: number[] = [], synced: number[] = [], plainMemory: number[] = [], disk: number[] = [];
for (let run = 0; run < 3; run++) {
  memory.push(await appendRate(fast, SHORT, null));
  synced.push(await appendRate(fast, SHORT, GROUP));
  disk.push(await diskRate(SHORT, GROUP));
  plainMemory.push(await appendRate(plain, SHORT / 4, null));
}

const figures = await inDirectory(async (directory): Promise<Figure[]> => {
  const ledger = await open(directory, fast);
  for (let i = ledger.status.size; i < ENTRIES; i++) {
    ledger.append("events", "collector", payload);
    if (i % 65_536 === 0 && !ledger.checkpoint()) throw new Error(ledger.status.fault);
  }
  ledger.close();
  const storage = new DiskStorage(`${directory}/ledger`);
  const bytes = [...Deno.readDirSync(`${directory}/ledger`)]
    .reduce((sum, { name }) => sum + Deno.statSync(`${directory}/ledger/${name}`).size, 0);
  const verify = async (hash: LedgerHash): Promise<number> => {
    using source = new StorageSource(storage);
    const began = performance.now();
    const { fault, verified } = await verifyLedger({ source, now: Date.now(), keys: [KEY], hash });
    if (fault !== null) throw fault;
    return verified / (performance.now() - began) * 1_000;
  };
  await verify(fast);
  const before = Deno.memoryUsage().rss, rates: number[] = [];
  for (let run = 0; run < 3; run++) rates.push(await verify(fast));
  const grown = (Deno.memoryUsage().rss - before) / 1e6, plainRate = await verify(plain);
  using source = new StorageSource(storage);
  const times: number[] = [], plainTimes: number[] = [];
  for (let i = 0; i < PROOFS; i++) {
    const sequence = Math.floor((i + 0.5) * ENTRIES / PROOFS);
    for (const [hash, into] of [[fast, times], [plain, plainTimes]] as const) {
      const began = performance.now(), text = proveEntry(source, hash, sequence);
      into.push(performance.now() - began);
      if (i % 10 === 0) await checkProof(new TextEncoder().encode(text), [KEY], hash);
    }
  }
  const alone = (value: number): Figure["peer"] => ({ name: "noble alone", value });
  return [
    {
      what: "append in memory",
      ours: median(memory),
      unit: "entries/s",
      peer: alone(median(plainMemory)),
      target: { least: 100_000 },
    },
    {
      what: `append, ${GROUP} a sync`,
      ours: median(synced),
      unit: "entries/s",
      peer: { name: "the disk alone", value: median(disk) },
      target: { least: 50_000 },
    },
    {
      what: `verify ${ENTRIES} entries`,
      ours: median(rates),
      unit: "entries/s",
      peer: alone(plainRate),
      target: { least: 200_000 },
    },
    {
      what: "resident memory that three verifications add",
      ours: grown,
      unit: "MB",
      peer: { name: "the ledger's files", value: bytes / 1e6 },
      target: { most: 64 },
    },
    {
      what: `inclusion proof at ${ENTRIES}, entry read included`,
      ours: median(times),
      unit: "ms",
      peer: alone(median(plainTimes)),
      target: { most: 5 },
    },
    {
      what: "random inputs on which WebAssembly and JavaScript give the same BLAKE3",
      ours: agreeing(fast, plain, INPUTS),
      unit: "inputs",
      peer: { name: "of", value: INPUTS },
      target: { least: INPUTS },
    },
  ];
});
Deno.exit(report("Audit ledger", figures) ? 0 : 1);
