import assert from "node:assert/strict";
import { HashBook } from "../../collector/hash_book.ts";
import { HashKeeper } from "../../collector/hash_keeper.ts";
import {
  decodeHashRecord,
  encodeHashRecord,
  HashMemoryError,
  HashMemoryFile,
  type HashRecord,
  readHashMemory,
} from "../../collector/hash_memory.ts";
import { PackageManagers } from "../../collector/package_managers.ts";
import { RecentHashes } from "../../collector/recent_hashes.ts";
import { blankProcessEvent, type ProcessEvent } from "../../proto/process_event.ts";
import { WireError } from "../../proto/wire_error.ts";

const NOW = 1_700_000_000_000;
const ONE = "1".repeat(64), TWO = "2".repeat(64);
const PATH: HashRecord = { kind: "path", path: "/usr/bin/é", known: { hash: ONE, fuzzyHash: "3:a:b" } };
const RECORDS: readonly HashRecord[] = [
  PATH,
  { kind: "path", path: "/x", known: { hash: TWO, fuzzyHash: null } },
  { kind: "manager", run: { name: "dpkg", pid: 4_194_304, from: NOW, to: NOW + 5 } },
];

async function inDirectory(run: (path: string) => void | Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await run(`${directory}/hashes.pb`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("records come back as they were kept; cut or damaged ones are refused or others, and nothing else happens", () => {
  for (const record of RECORDS) {
    const bytes = encodeHashRecord(record);
    assert.deepEqual(decodeHashRecord(bytes), record);
    for (let at = 0; at < bytes.length; at++) {
      tryDecode(bytes.subarray(0, at));
      for (let bit = 0; bit < 8; bit++) {
        const damaged = bytes.slice();
        damaged[at]! ^= 1 << bit;
        tryDecode(damaged);
      }
    }
  }
  const refuses = (record: HashRecord): void =>
    assert.throws(() => decodeHashRecord(encodeHashRecord(record)), WireError);
  refuses({ ...PATH, path: "usr/bin/x" });
  refuses({ ...PATH, path: `/${"x".repeat(4_095)}` });
  refuses({ ...PATH, known: { hash: ONE.slice(1), fuzzyHash: null } });
  refuses({ ...PATH, known: { hash: ONE, fuzzyHash: "x".repeat(141) } });
  for (const [from, to] of [[2, 1], [-1, 1]] as const) {
    refuses({ kind: "manager", run: { name: "dpkg", pid: 1, from, to } });
  }
  refuses({ kind: "manager", run: { name: "", pid: 1, from: 1, to: 2 } });
});

function tryDecode(bytes: Uint8Array): void {
  try {
    decodeHashRecord(bytes);
  } catch (error) {
    assert.ok(error instanceof WireError, String(error));
  }
}

Deno.test("the file holds what was written whole and then appended, and a torn end is left out", () =>
  inDirectory(async (path) => {
    assert.deepEqual(readHashMemory(path), []);
    const file = new HashMemoryFile(path);
    assert.ok(file.isDue);
    file.replace(RECORDS.slice(0, 2));
    assert.ok(!file.isDue);
    file.append(RECORDS.slice(2));
    assert.deepEqual(readHashMemory(path), RECORDS);
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    file.close();
    const whole = await Deno.readFile(path);
    for (let length = 0; length < whole.length; length++) {
      await Deno.writeFile(path, whole.subarray(0, length));
      const found = readHashMemory(path);
      assert.deepEqual(found, RECORDS.slice(0, found.length));
      assert.ok(found.length < RECORDS.length);
    }
    const damaged = whole.slice();
    damaged[12]! ^= 1;
    await Deno.writeFile(path, damaged);
    assert.throws(() => readHashMemory(path), HashMemoryError);
    await Deno.writeFile(path, new Uint8Array(100));
    assert.throws(() => readHashMemory(path), HashMemoryError, "what a crash of the host may leave");
    await Deno.truncate(path, 200 << 20);
    assert.throws(() => readHashMemory(path), HashMemoryError);
  }));

/** One run of a collector, as far as hashes go. */
class Run {
  readonly notices: string[] = [];
  readonly managers = new PackageManagers();
  readonly asked: number[] = [];
  readonly book = new HashBook({ ask: ({ id }) => this.asked.push(id), managers: this.managers, now: () => NOW });
  readonly keeper: HashKeeper;

  constructor(path: string) {
    this.keeper = new HashKeeper(path, this.book, this.managers, (text) => this.notices.push(text));
    this.keeper.restore();
    this.keeper.begin();
  }

  /** Events of a start of a file of which the hash is this. */
  start(path: string, hash: string, changeTime: number): ProcessEvent[] {
    const event: ProcessEvent = {
      ...blankProcessEvent("start", NOW, "boot-1-1", 1),
      executablePath: path,
      executableKind: "file",
      device: 8,
      inode: 7,
    };
    this.book.started(event, changeTime);
    this.book.answered({ id: this.asked.at(-1)!, state: "hashed", hash, fuzzyHash: null, changeTime, isSettled: true });
    return this.book.takeEvents().filter(({ kind }) => kind === "suspicious");
  }
}

Deno.test("a program that was changed while no collector ran is told by the next one, once", () =>
  inDirectory((path) => {
    const first = new Run(path);
    assert.deepEqual(first.start("/usr/bin/tool", ONE, 5), []);
    assert.deepEqual(first.start("/usr/bin/other", ONE, 5), []);
    first.keeper.keep();
    first.start("/usr/bin/third", ONE, 5);
    first.keeper.end();

    const second = new Run(path);
    assert.deepEqual(second.start("/usr/bin/other", ONE, 6), []);
    assert.deepEqual(second.start("/usr/bin/third", ONE, 6), [], "the last word of the first run");
    const [event, ...more] = second.start("/usr/bin/tool", TWO, 7);
    assert.deepEqual([event!.severity, more], ["medium", []]);
    assert.match(event!.reason!, new RegExp(`was ${ONE}$`));
    second.keeper.end();

    const third = new Run(path);
    assert.deepEqual(third.start("/usr/bin/tool", TWO, 8), []);
    third.keeper.end();
    assert.deepEqual([first.notices, second.notices, third.notices], [[], [], []]);
  }));

Deno.test("when package managers ran is known to the next collector too, also of one that it leaves at work", () =>
  inDirectory((path) => {
    const first = new Run(path);
    first.start("/usr/bin/tool", ONE, (NOW - 10_000) * 1e6);
    first.start("/usr/bin/two", ONE, (NOW - 10_000) * 1e6);
    const dpkg = {
      ...blankProcessEvent("start", NOW - 1_000, "boot-9-1", 9),
      executablePath: "/usr/bin/dpkg",
      executableKind: "file" as const,
      effectiveUserId: 0,
    };
    first.managers.started(dpkg);
    first.managers.ended(9, NOW);
    first.managers.started({ ...dpkg, pid: 10, time: NOW + 5_000 });
    first.keeper.end();
    const second = new Run(path);
    const [event] = second.start("/usr/bin/tool", TWO, (NOW - 500) * 1e6);
    assert.equal(event!.severity, "low");
    assert.match(event!.reason!, new RegExp(`was ${ONE}; the file changed while dpkg \\(process 9\\) ran$`));
    assert.equal(event!.executableHash, TWO);
    assert.equal(second.start("/usr/bin/two", TWO, (NOW - 5_000) * 1e6)[0]!.severity, "medium");
    assert.equal(second.start("/usr/bin/two", ONE, (NOW + 6_000) * 1e6)[0]!.severity, "low");
    second.keeper.end();
  }));

Deno.test("a file that is damaged or cannot be written is said once, and does not keep hashes from being compared", () =>
  inDirectory(async (path) => {
    await Deno.writeTextFile(path, "something else, for sure");
    const first = new Run(path);
    assert.match(first.notices.join(), /^what paths brought before this start cannot be used, .*: A frame says/);
    first.start("/x", ONE, 5);
    first.keeper.end();
    const second = new Run(path);
    second.keeper.end();
    assert.deepEqual(second.notices, [], "it was written anew");
    const elsewhere = new Run(`${path}.d/none`);
    elsewhere.start("/x", ONE, 5);
    elsewhere.keeper.keep();
    assert.equal(elsewhere.start("/x", TWO, 6).length, 1);
    elsewhere.keeper.end();
    assert.equal(elsewhere.notices.length, 1);
    assert.match(elsewhere.notices[0]!, /^hashes cannot be remembered beyond this run: /);
  }));

Deno.test("RecentHashes is bounded in number and in the length of names", () => {
  const known = { hash: ONE, fuzzyHash: null };
  const few = new RecentHashes(2, 1_000);
  for (const name of ["a", "b", "a", "c"]) few.set(name, known);
  assert.deepEqual([...few.entries()].map(([name]) => name), ["a", "c"]);
  const short = new RecentHashes(100, 10);
  for (const name of ["aaaa", "bbbb", "aaaa", "cccc"]) short.set(name, known);
  assert.deepEqual([...short.entries()].map(([name]) => name), ["aaaa", "cccc"]);
  short.set("x".repeat(11), known);
  assert.equal(short.size, 0);
});
