import assert from "node:assert/strict";
import { HashBook } from "../../collector/hash_book.ts";
import type { HashAnswer, HashRequest, HashState } from "../../collector/hasher/protocol.ts";
import { blankProcessEvent, type ProcessEvent } from "../../proto/process_event.ts";

const NOW = 1_700_000_000_000;
const ONE = "1".repeat(64), TWO = "2".repeat(64);
const FUZZY = "96:abcdefghijklmnopqrstuvwxyz0123456789ABCD:abcdefghijklmnopqrst";

class TestBook {
  readonly asked: HashRequest[] = [];
  readonly book = new HashBook({ ask: (request) => this.asked.push(request), now: () => NOW });

  start(more: Partial<ProcessEvent> = {}, changeTime: number | null = 5): ProcessEvent {
    const event: ProcessEvent = {
      ...blankProcessEvent("start", NOW - 1_000, "boot-1-1", 1),
      executablePath: "/usr/bin/tool",
      executableKind: "file",
      device: 8,
      inode: 7,
      onDiskMismatch: false,
      ...more,
    };
    this.book.started(event, changeTime);
    return event;
  }

  answer(state: HashState, hash: string | null = null, more: Partial<HashAnswer> = {}): ProcessEvent[] {
    const { id } = this.asked.at(-1)!;
    this.book.answered({
      id,
      state,
      hash,
      fuzzyHash: hash === null ? null : FUZZY,
      changeTime: null,
      isSettled: true,
      ...more,
    });
    return this.book.takeEvents();
  }
}

Deno.test("the first start of a file is asked for and changed later; the next ones carry the hash", () => {
  const test = new TestBook();
  const first = test.start({ execId: "a" });
  assert.equal(first.executableHash, null);
  assert.deepEqual(test.asked, [
    { id: 1, path: "/usr/bin/tool", device: 8, inode: 7, changeTime: 5, isForeign: false },
  ]);
  test.start({ execId: "b", pid: 2 }); // meanwhile
  assert.equal(test.asked.length, 1, "one question for both");
  const events = test.answer("hashed", ONE);
  assert.deepEqual(events.map((e) => [e.kind, e.execId, e.time, e.reason]), [
    ["modify", "a", NOW, "hashed"],
    ["modify", "b", NOW, "hashed"],
  ]);
  for (const event of events) {
    assert.deepEqual(event.modifiedFields, ["executable_hash", "hash_algorithm", "fuzzy_hash", "file_exists"]);
    assert.deepEqual([event.executableHash, event.hashAlgorithm, event.fuzzyHash, event.fileExists], [
      ONE,
      "sha256",
      FUZZY,
      true,
    ]);
  }
  const next = test.start({ execId: "c" });
  assert.deepEqual([next.executableHash, next.hashAlgorithm, next.fuzzyHash, next.fileExists], [
    ONE,
    "sha256",
    FUZZY,
    true,
  ]);
  assert.deepEqual([test.asked.length, test.book.takeEvents()], [1, []]);
  assert.deepEqual(test.book.counters(), {
    hashed: 1,
    hashes_remembered: 1,
    hash_changes: 0,
    hash_waiting: 0,
    hash_dropped: 0,
  });
});

Deno.test("nothing is taken from memory for another version, for one that may still change, or without its numbers", () => {
  const test = new TestBook();
  test.start();
  test.answer("hashed", ONE);
  for (const [more, changeTime] of [[{}, 6], [{ inode: 9 }, 5], [{ device: 9 }, 5]] as const) {
    assert.equal(test.start(more, changeTime).executableHash, null);
    test.answer("hashed", ONE, { isSettled: false });
    assert.equal(test.start(more, changeTime).executableHash, null);
    test.answer("hashed", ONE, { isSettled: false });
  }
  assert.equal(test.asked.length, 7);
  for (const [more, changeTime] of [[{}, null], [{ inode: null }, 5], [{ device: null }, 5]] as const) {
    test.start(more, changeTime);
    test.start(more, changeTime);
  }
  assert.equal(test.asked.length, 13, "each is asked for");
});

Deno.test("a path that brings another hash is suspicious, more so where the system keeps its programs", () => {
  for (const [path, severity] of [["/usr/bin/tool", "medium"], ["/home/ann/a.out", "low"]] as const) {
    const test = new TestBook();
    test.start({ executablePath: path });
    test.answer("hashed", ONE);
    test.start({ executablePath: path, execId: "later" }, 6);
    const [modify, suspicious, ...rest] = test.answer("hashed", TWO);
    assert.deepEqual([modify!.kind, rest], ["modify", []]);
    assert.deepEqual([suspicious!.kind, suspicious!.severity, suspicious!.execId], ["suspicious", severity, "later"]);
    assert.equal(
      suspicious!.reason,
      `its executable is not what ${path} was the last time: similarity 100 of 100, was ${ONE}`,
    );
    assert.deepEqual([suspicious!.executableHash, suspicious!.modifiedFields], [TWO, ["executable_hash"]]);
    test.start({ executablePath: path }, 6);
    assert.deepEqual(test.book.takeEvents(), [], "told once");
    // The first file is put back: known by its numbers, and yet a change.
    test.start({ executablePath: path }, 5);
    assert.deepEqual(test.book.takeEvents().map(({ kind }) => kind), ["suspicious"]);
    assert.equal(test.book.counters()["hash_changes"], 2);
  }
});

Deno.test("the same path in another mount namespace is another file", () => {
  const test = new TestBook();
  test.start();
  test.answer("hashed", ONE);
  test.start({ executableKind: "foreign", device: 9 });
  assert.equal(test.asked.at(-1)!.isForeign, true);
  assert.deepEqual(test.answer("hashed", TWO).map(({ kind }) => kind), ["modify"]);
});

Deno.test("what cannot be hashed says what is known of the file", () => {
  const outcome = (state: HashState): unknown => {
    const test = new TestBook();
    test.start();
    const [event] = test.answer(state);
    assert.equal(test.book.counters()[`hash_${state}`], 1);
    if (event === undefined) return null;
    assert.equal(event.reason, `not hashed: ${state}`);
    return [event.fileExists, event.onDiskMismatch, event.modifiedFields];
  };
  assert.deepEqual(outcome("missing"), [false, true, ["file_exists", "on_disk_mismatch"]]);
  assert.deepEqual(outcome("replaced"), [true, true, ["file_exists", "on_disk_mismatch"]]);
  for (const state of ["unreadable", "not_regular", "too_large", "timed_out", "changed"] as const) {
    assert.deepEqual(outcome(state), [true, false, ["file_exists"]], state);
  }
  for (const state of ["foreign", "busy"] as const) assert.equal(outcome(state), null, state);
});

Deno.test("a deleted file and a memfd are not asked for, nor is a fork, nor a path that lost bytes", () => {
  const test = new TestBook();
  for (const executableKind of ["deleted", "memfd"] as const) {
    assert.equal(test.start({ executableKind, onDiskMismatch: true }).fileExists, false);
  }
  test.start({ reason: "fork" });
  test.start({ executablePath: null });
  test.start({ executablePath: "/bin/\ufffd" });
  assert.deepEqual(test.asked, []);
  assert.equal(test.book.counters()["hash_unreadable"], 1);
});

Deno.test("what waits is bounded, and what is dropped is counted", () => {
  const test = new TestBook();
  for (let i = 0; i < 300; i++) test.start();
  for (let inode = 1_000; inode < 18_000; inode++) test.start({ inode });
  assert.equal(test.asked.length, 1 + 16_384 - 300);
  const { hash_waiting, hash_dropped } = test.book.counters();
  assert.deepEqual([hash_waiting, hash_dropped], [16_384, 17_300 - 16_384]);
  test.book.dropped(1);
  test.book.dropped(1);
  assert.equal(test.book.counters()["hash_waiting"], 16_384 - 300);
  test.book.answered({ id: 1, state: "hashed", hash: ONE, fuzzyHash: null, changeTime: null, isSettled: true });
  assert.deepEqual(test.book.takeEvents(), [], "an answer that nobody waits for changes nothing");

  const long = new TestBook(), argv = new Uint8Array(16_384);
  for (let i = 0; i < 3_000; i++) long.start({ argv });
  assert.deepEqual(long.book.counters()["hash_waiting"], 2_048, "32 MiB of arguments");
  long.book.dropped(1);
  for (let i = 0; i < 3_000; i++) long.start({ argv });
  assert.deepEqual(long.book.counters()["hash_waiting"], 2_048);
});

Deno.test("a book of which nothing is wanted asks nothing, and still answers who asked before", () => {
  const test = new TestBook();
  test.start({ execId: "before" });
  test.book.isWanted = false;
  const meanwhile = test.start({ execId: "meanwhile", pid: 2 }, 6);
  const gone = test.start({ executableKind: "deleted" });
  assert.deepEqual([meanwhile.executableHash, gone.fileExists, test.asked.length], [null, false, 1]);
  assert.deepEqual(test.answer("hashed", ONE).map(({ execId }) => execId), ["before"]);
  assert.equal(test.start({ execId: "known" }).executableHash, null, "also of a file that is known");
  test.book.isWanted = true;
  assert.equal(test.start({ execId: "again" }).executableHash, ONE);
});
