import assert from "node:assert/strict";
import { FileRefusal, lookAt, openReply, readFile, timely } from "../../../agent/requests/spool_file.ts";
import { MAX_WAITING_FILES } from "../../../agent/requests/spool.ts";
import { decodeReply, draftName, encodeRequest, fileName, MAX_REQUEST_BYTES } from "../../../proto/request.ts";
import { needs } from "../../support/needs.ts";
import { TempDir, until } from "../support.ts";
import { newId, SpoolWorld } from "./spool_world.ts";

async function program(name: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(name, { args }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

Deno.test("a request is taken once, done and answered with its progress, and nothing stays behind", async () => {
  await using world = new SpoolWorld();
  world.spool.begin();
  const progress: string[] = [];
  const ending = await world.ask("say", { text: "hello" }, { progress: (text) => progress.push(text) });
  assert.deepEqual(ending, {
    kind: "ended",
    outcome: "done",
    text: "hello",
    value: { user: Deno.uid() },
    degraded: false,
  });
  assert.deepEqual(progress, ["half"]);
  assert.deepEqual(world.names(), []);
  assert.deepEqual(world.notes, [['say text="hello"', `user ${Deno.uid()} (tester)`, "done"]]);
  assert.equal(world.counters.requests, 1);
});

Deno.test("what changes something is noted before it is done, and refused when that is not kept", async () => {
  await using world = new SpoolWorld();
  world.spool.begin();
  const by = `user ${Deno.uid()} (tester)`;
  assert.equal((await world.ask("change")).outcome, "done");
  assert.deepEqual(world.notes.splice(0), [["change", by, "accepted"], ["change", by, "done"]]);
  assert.equal((await world.ask("fall")).text, "it fell");
  assert.deepEqual(world.notes.splice(0), [["fall", by, "accepted"], ["fall", by, "failed: it fell"]]);
  assert.equal((await world.ask("decline")).outcome, "refused");
  assert.deepEqual(world.notes.splice(0), [["decline", by, "accepted"], ["decline", by, "refused: not today"]]);
  world.isLedgered = false;
  const refused = await world.ask("change");
  assert.deepEqual([refused.outcome, refused.text.slice(0, 40)], [
    "refused",
    "The audit ledger's notes are not kept no",
  ]);
  assert.deepEqual([world.counters.requests, world.counters.requests_refused, world.counters.requests_failed], [
    4,
    2,
    1,
  ]);
});

Deno.test("a request that is not right is refused with its reason, and done nothing of", async () => {
  await using world = new SpoolWorld();
  const text = (version: number): Uint8Array =>
    new TextEncoder().encode(new TextDecoder().decode(world.request()).replace('"version":1', `"version":${version}`));
  const refused: [Uint8Array, RegExp][] = [
    [world.request().subarray(0, 60), /It is cut, or not JSON/],
    [new Uint8Array(), /It is cut/],
    [text(2), /version 2 is not understood here, only 1/],
    [world.request({ operation: "chnage" }), /no operation "chnage"; did you mean change\?/],
    [world.request({ operation: "toString" }), /no operation "toString"/],
    [world.request({ operation: "say", arguments: { text: "A" } }), /text is not what it should be: what, not "A"/],
    [world.request({ operation: "say" }), /TEXT is missing: what/],
    [world.request({ operation: "say", arguments: { text: ["a"] } }), /text is not what it should be/],
    [world.request({ arguments: { more: "x" } }), /It takes no more/],
    [world.request({ time: Date.now() - 120_000 }), /It is 120 s old, and done only within 60 s/],
    [world.request({ time: Date.now() + 120_000 }), /It is -120 s old/],
    [world.request({ spool: "1:2" }), /written for another spool/],
  ];
  const ids = refused.map(([bytes]) => world.put(bytes));
  world.spool.begin();
  for (const [at, [, reason]] of refused.entries()) {
    await until(`request ${at} is answered`, () => world.reply(ids[at]!).includes('"ended"'));
    const ending = decodeReply(new TextEncoder().encode(world.reply(ids[at]!))).at(-1)!;
    assert.equal(ending.kind === "ended" && ending.outcome, "refused");
    assert.match(ending.kind === "ended" ? ending.text : "", reason);
  }
  assert.equal(world.counters.requests_refused, refused.length);
  assert.equal(world.notes.filter(([, , outcome]) => outcome.startsWith("refused: ")).length, refused.length);
  assert.ok(world.notes.every(([, , outcome]) => outcome !== "done"));
});

Deno.test("hostile files are removed, counted by kind and user, and touch nothing", async () => {
  await using world = new SpoolWorld();
  const { dir } = world, outside = `${dir.path}/outside`, linked = newId(), answered = newId();
  Deno.writeTextFileSync(outside, "precious");
  const request = (): string => world.path(fileName(newId(), "request"));
  Deno.symlinkSync(outside, request());
  Deno.symlinkSync("/dev/zero", request());
  await program("mkfifo", request());
  Deno.mkdirSync(request());
  const socket = Deno.listen({ transport: "unix", path: request() });
  using sparse = Deno.openSync(request(), { write: true, createNew: true });
  sparse.truncateSync(2 ** 30);
  Deno.writeFileSync(world.path("unheard of"), world.request());
  Deno.writeFileSync(world.path(`${newId()}.request.request`), world.request());
  // A request with two names, and ones whose replies lead elsewhere
  Deno.writeFileSync(`${dir.path}/twice`, world.request());
  Deno.linkSync(`${dir.path}/twice`, world.path(fileName(linked, "request")));
  for (const make of [Deno.symlinkSync, Deno.linkSync]) {
    const id = newId();
    make(outside, world.path(fileName(id, "reply")));
    Deno.writeFileSync(world.path(fileName(id, "request")), world.request());
  }
  Deno.writeFileSync(world.path(fileName(answered, "request")), world.request());
  world.spool.begin();
  const left = world.names().filter((name) => name.endsWith(".reply"));
  await until("only the replies' names are left", () => world.names().every((name) => left.includes(name)));
  // The symbolic link among the replies is no file, and goes too
  await until("it is counted", () => world.counters.request_files_refused === 13);
  assert.equal(Deno.readTextFileSync(outside), "precious");
  assert.equal(world.counters.requests, 0);
  assert.deepEqual(world.notes, []);
  socket.close();
  assert.equal((await world.ask("change")).outcome, "done");
  await world.desk.stop(0);
  const total = world.counts.reduce((sum, [, count]) => sum + count, 0);
  assert.equal(total, 13, JSON.stringify(world.counts));
  for (const what of ["no regular file", "longer", "a name that no request has", "several names", "no reply file"]) {
    assert.ok(world.counts.some(([text]) => text.includes(what) && text.endsWith(`of user ${Deno.uid()}`)), what);
  }
});

Deno.test({
  name: "a file whose owner is not shown to be an operator asks for nothing",
  ...needs({ root: true }),
  async fn() {
    await using world = new SpoolWorld();
    Deno.chownSync(world.directory, 0, 64_174);
    Deno.chmodSync(world.directory, 0o3730);
    const moved = `${world.dir.path}/moved`, id = newId();
    Deno.writeFileSync(moved, world.request());
    Deno.chownSync(moved, 12_345, 12_345);
    Deno.writeFileSync(world.path(fileName(id, "reply")), new Uint8Array());
    Deno.chownSync(world.path(fileName(id, "reply")), 12_345, 12_345);
    Deno.renameSync(moved, world.path(fileName(id, "request")));
    world.spool.begin();
    await until("it is refused", () => world.counters.request_files_refused === 1);
    assert.match(world.lines.join("\n"), /an owner who is not proven to be in the group of operators, of user 12345/);
    assert.equal(world.reply(id), "");
    assert.deepEqual(world.notes, []);
  },
});

Deno.test("ten thousand hostile files are worked through with room for other work, and a request among them is done", async () => {
  await using world = new SpoolWorld();
  for (let i = 0; i < 10_000; i++) {
    const path = world.path(i % 4 === 0 ? `f${i}` : fileName(newId(), "request"));
    if (i % 4 === 1) Deno.symlinkSync("/etc/shadow", path);
    else if (i % 4 === 2) Deno.writeTextFileSync(path, "x".repeat(100));
    else if (i % 4 === 3) Deno.mkdirSync(path);
    else Deno.writeTextFileSync(path, "");
  }
  let turns = 0;
  const other = setInterval(() => turns++, 5);
  world.spool.begin();
  const ending = await world.ask("say", { text: "through" }, { timeoutMs: 60_000, takenMs: 50_000 });
  await until("all are counted", () => world.counters.request_files_refused === 10_000, 60_000);
  clearInterval(other);
  assert.equal(ending.text, "through");
  await until("all are gone", () => world.names().length === 0);
  assert.ok(turns > 100, `other work had ${turns} turns`);
  // Neither the log nor the ledger has a line for each
  assert.ok(world.lines.length < 50, world.lines.join("\n"));
  assert.ok(world.counts.length < 50);
});

Deno.test("directories that cannot be removed are counted once, and the spool comes to rest beside them", async () => {
  await using world = new SpoolWorld();
  for (let i = 0; i < 600; i++) Deno.mkdirSync(world.path(`d${i}/x`), { recursive: true });
  world.spool.begin();
  await until("they are counted", () => world.counters.request_files_refused === 600);
  assert.equal((await world.ask("change")).outcome, "done");
  assert.equal((await world.ask("change")).outcome, "done");
  assert.deepEqual([world.counters.request_files_refused, world.names().length], [600, 600]);
});

Deno.test("what is written is not looked into before it is renamed; what is left lying goes", async () => {
  await using world = new SpoolWorld({ leftMs: 60_000 });
  const id = newId();
  Deno.writeFileSync(world.path(fileName(id, "reply")), new Uint8Array());
  Deno.writeFileSync(world.path(draftName(id)), world.request());
  world.spool.begin();
  assert.equal((await world.ask("change")).outcome, "done");
  assert.deepEqual(world.names(), [draftName(id), fileName(id, "reply")].sort());
  Deno.renameSync(world.path(draftName(id)), world.path(fileName(id, "request")));
  await until("it is done", () => world.reply(id).includes('"done"'));

  await using later = new SpoolWorld({ leftMs: -1 });
  Deno.writeFileSync(later.path(fileName(newId(), "reply")), new Uint8Array());
  Deno.writeFileSync(later.path(".half"), new Uint8Array());
  later.spool.begin();
  await until("both are gone", () => later.names().length === 0);
  assert.deepEqual([later.counters.request_files_expired, later.counters.request_files_refused], [2, 0]);
});

Deno.test("one user's files are bounded, and requests that come too fast are refused", async () => {
  await using world = new SpoolWorld();
  for (let i = 0; i < MAX_WAITING_FILES + 36; i++) Deno.writeFileSync(world.path(`.d${i}`), new Uint8Array());
  world.spool.begin();
  await until("the surplus is removed", () => world.names().length === MAX_WAITING_FILES);
  assert.equal(world.counters.request_files_refused, 36);
  for (const name of world.names()) Deno.removeSync(world.path(name));
  let refused = 0;
  for (let i = 0; i < 200 && refused === 0; i++) {
    const { outcome, text } = await world.ask("say", { text: "again" });
    if (outcome === "refused") {
      refused += 1;
      assert.match(text, /Too many requests at once/);
    }
  }
  assert.equal(refused, 1);
});

Deno.test("a request that nobody takes is taken back; one that does not end is told so", async () => {
  await using world = new SpoolWorld({ deadlineMs: 200 });
  await assert.rejects(world.ask("change", {}, { takenMs: 50 }), /Nobody took the request .* and it is taken back/);
  assert.deepEqual(world.names(), []);
  const stop = new AbortController();
  const asking = world.ask("change", {}, { signal: stop.signal });
  stop.abort();
  await assert.rejects(asking, /taken back/);
  assert.deepEqual(world.names(), []);
  world.spool.begin();
  const { outcome, text } = await world.ask("wait");
  assert.deepEqual([outcome, text.slice(0, 31)], ["failed", "It has not ended within 0.2 s, "]);
  await assert.rejects(world.ask("wait", {}, { timeoutMs: 50 }), { isOpen: true });
  await until("it failed too", () => world.counters.requests_failed === 2);
  await assert.rejects(world.ask("say", {}, { spool: `${world.dir.path}/none` }), /There is no request spool/);
  await assert.rejects(world.ask("say", {}, { spool: "/tmp" }), /is no request spool: a directory that only operators/);
});

Deno.test("a file that is swapped or changed between two calls is not read", async () => {
  using dir = new TempDir();
  const path = `${dir.path}/a`, other = `${dir.path}/b`;
  const fault = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
      return "";
    } catch (error) {
      assert.ok(error instanceof FileRefusal, String(error));
      return error.fault;
    }
  };
  const fresh = async () => {
    Deno.writeTextFileSync(path, "one");
    Deno.writeTextFileSync(other, "two");
    return (await lookAt(path))!;
  };
  let looked = await fresh();
  assert.equal(new TextDecoder().decode(await readFile(path, looked, 100)), "one");
  Deno.renameSync(other, path);
  assert.equal(await fault(readFile(path, looked, 100)), "swapped");
  looked = await fresh();
  Deno.removeSync(path);
  Deno.symlinkSync(other, path);
  assert.equal(await fault(readFile(path, looked, 100)), "swapped");
  Deno.removeSync(path);
  await program("mkfifo", path);
  assert.equal(await fault(readFile(path, looked, 100)), "swapped");
  Deno.removeSync(path);
  assert.equal(await fault(readFile(path, looked, 100)), "swapped");
  looked = await fresh();
  Deno.writeTextFileSync(path, "more", { append: true });
  assert.equal(await fault(readFile(path, looked, 100)), "changed");
  Deno.truncateSync(path, MAX_REQUEST_BYTES * 2);
  assert.equal(await fault(readFile(path, looked, 100)), "long");
  looked = await fresh();
  Deno.linkSync(path, `${dir.path}/c`);
  assert.equal(await fault(readFile(path, looked, 100)), "linked");
  assert.equal(await lookAt(`${dir.path}/none`), null);
  assert.equal(await fault(timely(new Promise(() => {}), 1)), "stuck");
  // A reply must be empty, of who asks, and one file
  assert.equal(await fault(openReply(other, Deno.uid()!)), "unanswerable");
  Deno.truncateSync(other, 0);
  assert.equal(await fault(openReply(other, Deno.uid()! + 1)), "unanswerable");
  await (await openReply(other, Deno.uid()!)).close();
});

Deno.test("requests are found in a directory that took the place of another", async () => {
  await using world = new SpoolWorld();
  world.spool.begin();
  assert.equal((await world.ask("change")).outcome, "done");
  Deno.renameSync(world.directory, `${world.directory}.old`);
  await until(
    "it is told",
    () => world.lines.some((line) => /are not taken: .*No such file.*'deno task start' makes it/.test(line)),
  );
  Deno.mkdirSync(world.directory);
  Deno.chmodSync(world.directory, 0o3730);
  assert.equal((await world.ask("change")).outcome, "done");
  const request = { operation: "change", arguments: {}, time: Date.now(), spool: world.id };
  assert.ok(encodeRequest(request).length < MAX_REQUEST_BYTES);
});

Deno.test("an operation is told when who asked has gone, and the ledger has how it ended", async () => {
  await using world = new SpoolWorld();
  world.spool.begin();
  const stop = new AbortController(), told: string[] = [];
  const asking = world.ask("watch", {}, { signal: stop.signal, progress: (text) => told.push(text) });
  asking.catch(() => {});
  await until("it runs", () => told.includes("watching"));
  stop.abort();
  await assert.rejects(asking, { isOpen: true });
  await until("it has ended", () => world.counters.requests_failed === 1);
  assert.equal(world.notes.at(-1)![2], "failed: nobody waits");
});
