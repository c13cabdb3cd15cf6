import assert from "node:assert/strict";
import { type WitnessDisk, WitnessError, WitnessFiles } from "../../../deploy/witness/files.ts";
import { witnessHandler } from "../../../deploy/witness/server.ts";
import { cosignedNote, Witness, type WitnessAnswer } from "../../../deploy/witness/witness.ts";
import { parseCheckpoint, verifyCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { noteKey } from "../../../proto/ledger/note.ts";
import { MAX_REQUEST_BYTES, parseWitnessRequest } from "../../../proto/ledger/witness.ts";
import { WireError } from "../../../proto/wire_error.ts";
import { KEY, SIGNER, testSigner } from "../../collector/ledger/support.ts";
import { Random } from "../../fuzz/random.ts";
import { type Branch, ForkedLog } from "../../support/forked_log.ts";

const LOG = new ForkedLog(KEY, SIGNER, 5, 40),
  STRANGER = new ForkedLog(noteKey("other.example/log", SIGNER.publicKey), SIGNER, 5, 9);
const FORGED = new ForkedLog(KEY, testSigner(9), 5, 9);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The power went, or the process was killed. */
class Crash extends Error {}

/** A disk of which a crash keeps what was synced, and of what was not maybe something. */
class SimDisk implements WitnessDisk {
  durable = new Map<string, Uint8Array>();
  names = new Map<string, Uint8Array>();
  /** Steps until the crash. */
  left = Infinity;

  read(name: string): Uint8Array | null {
    return this.names.get(name)?.slice() ?? null;
  }

  writeSynced(name: string, bytes: Uint8Array): void {
    this.#step(() => this.names.set(name, bytes.slice(0, bytes.length >> 1)));
    this.names.set(name, bytes.slice());
  }

  rename(from: string, to: string): void {
    this.#step();
    this.names.set(to, this.names.get(from)!);
    this.names.delete(from);
  }

  syncDirectory(): void {
    this.#step();
    this.durable = new Map(this.names);
    this.#step();
  }

  /** What the next start finds. `process`: only the process was killed, and the system went on. */
  restart(process: boolean, random: Random): void {
    if (!process) this.names = new Map(random.below(2) === 0 ? this.durable : this.names);
    this.durable = new Map(this.names);
    this.left = Infinity;
  }

  #step(torn: () => void = () => {}): void {
    if (this.left-- > 0) return;
    torn();
    throw new Crash();
  }
}

function makeFiles(disk: WitnessDisk = new SimDisk()): WitnessFiles {
  const files = new WitnessFiles(disk);
  files.init("witness.example/w1", new Uint8Array(32).fill(7));
  files.watch({ key: KEY, hash: "blake3" });
  return files;
}

const alone = <T>(work: () => Promise<T>): Promise<T> => work();

function makeWitness(files = makeFiles(), now = { ms: 1_790_000_000_000 }): Witness {
  return new Witness(files, alone, () => now.ms);
}

function words(answer: WitnessAnswer): string {
  if (answer.kind === "cosigned") return `200 ${answer.checkpoint.size}`;
  return answer.known === null ? `${answer.status}` : `${answer.status} knows ${answer.known}`;
}

const ZERO = new Uint8Array(32).toBase64();

/** What was cosigned before, the request, the answer. */
const CASES: readonly [what: string, before: readonly Uint8Array[], request: Uint8Array, answer: string][] = [
  ["the first checkpoint", [], LOG.request("a", 0, 7), "200 7"],
  ["a larger one", [LOG.request("a", 0, 7)], LOG.request("a", 7, 20), "200 20"],
  ["the same once more", [LOG.request("a", 0, 7)], LOG.request("a", 7, 7), "200 7"],
  ["from before the fork on", [LOG.request("a", 0, 4)], LOG.request("b", 4, 20), "200 20"],
  ["a rollback", [LOG.request("a", 0, 20)], LOG.request("a", 7, 10), "409 knows 20"],
  [
    "a rollback that claims to know",
    [LOG.request("a", 0, 20)],
    edited(LOG.request("a", 10, 10), "old 10", "old 20"),
    "400",
  ],
  ["a stale request", [LOG.request("a", 0, 20)], LOG.request("a", 0, 30), "409 knows 20"],
  ["a request ahead of what is known", [LOG.request("a", 0, 7)], LOG.request("a", 20, 30), "409 knows 7"],
  ["a fork of the same size", [LOG.request("a", 0, 20)], LOG.request("b", 20, 20), "409 knows 20"],
  ["a fork that is larger", [LOG.request("a", 0, 20)], LOG.request("b", 20, 30), "422"],
  ["a proof that lacks a hash", [LOG.request("a", 0, 7)], withoutHash(LOG.request("a", 7, 20)), "422"],
  ["a proof that has one more", [LOG.request("a", 0, 7)], withHash(LOG.request("a", 7, 20)), "422"],
  ["a proof between equal sizes", [LOG.request("a", 0, 7)], withHash(LOG.request("a", 7, 7)), "422"],
  ["a proof from nothing on", [], withHash(LOG.request("a", 0, 7)), "422"],
  ["another log", [], STRANGER.request("a", 0, 7), "404"],
  ["a log of that name with another key", [], FORGED.request("a", 0, 7), "403"],
  ["a broken signature", [], edited(LOG.request("a", 0, 7), /(— \S+ .{20})./, "$1/"), "403"],
  ["an empty tree", [], LOG.request("a", 0, 0), "200 0"],
  ["nothing", [], new Uint8Array(0), "400"],
  ["no old size", [], edited(LOG.request("a", 0, 7), "old 0\n", ""), "400"],
  ["an old size with a zero in front", [], edited(LOG.request("a", 0, 7), "old 0", "old 00"), "400"],
  ["64 hashes", [], edited(LOG.request("a", 0, 7), "old 0\n", `old 0\n${`${ZERO}\n`.repeat(64)}`), "400"],
  [
    "a hash of 31 bytes",
    [],
    edited(LOG.request("a", 0, 7), "old 0\n", `old 0\n${new Uint8Array(31).toBase64()}\n`),
    "400",
  ],
  ["too many bytes", [], new Uint8Array(MAX_REQUEST_BYTES + 1).fill(65), "400"],
];

function edited(bytes: Uint8Array, from: string | RegExp, to: string): Uint8Array {
  const text = decode(bytes).replace(from, to);
  assert.notEqual(text, decode(bytes));
  return encode(text);
}

function withHash(bytes: Uint8Array): Uint8Array {
  return edited(bytes, /^(old \d+\n)/, `$1${ZERO}\n`);
}

function withoutHash(bytes: Uint8Array): Uint8Array {
  return edited(bytes, /^(old \d+\n)[^\n]{44}\n/, "$1");
}

for (const [what, before, request, expected] of CASES) {
  Deno.test(`The witness answers ${what} with ${expected}`, async () => {
    const witness = makeWitness();
    for (const each of before) assert.equal((await witness.answer(each)).kind, "cosigned");
    assert.equal(words(await witness.answer(request)), expected);
  });
}

Deno.test("A cosignature verifies with the witness's key, and is of the checkpoint with the signatures that it had", async () => {
  const witness = makeWitness(), answer = await witness.answer(LOG.request("a", 0, 7));
  assert.ok(answer.kind === "cosigned");
  const note = parseCheckpoint(encode(cosignedNote(answer.checkpoint, answer.signature)));
  const signatures = await verifyCheckpoint(note, [KEY, witness.key]);
  assert.deepEqual(signatures.map(({ key, time }) => [key.name, time]), [[KEY.name, null], [
    "witness.example/w1",
    1_790_000_000,
  ]]);
});

Deno.test("A clock that goes back does not make a larger tree older than a smaller one", async () => {
  const now = { ms: 1_790_000_000_000 }, witness = makeWitness(makeFiles(), now);
  const timeOf = async (request: Uint8Array): Promise<number> => {
    const answer = await witness.answer(request);
    assert.ok(answer.kind === "cosigned");
    return Number(new DataView(answer.signature.bytes.buffer, answer.signature.bytes.byteOffset).getBigUint64(0));
  };
  const first = await timeOf(LOG.request("a", 0, 7));
  now.ms -= 3_600_000;
  assert.equal(await timeOf(LOG.request("a", 7, 9)), first);
  now.ms += 7_200_000;
  assert.ok(await timeOf(LOG.request("a", 9, 9)) > first);
});

Deno.test("A head that is missing, damaged or of another log stops its cosignatures, and none is given for it", async () => {
  const disk = new SimDisk(), witness = makeWitness(makeFiles(disk));
  await witness.answer(LOG.request("a", 0, 20));
  const name = [...disk.names.keys()].find((each) => each.startsWith("head-"))!, bytes = disk.names.get(name)!;
  const refused = (what: RegExp): Promise<void> => {
    return assert.rejects(() => witness.answer(LOG.request("a", 0, 30)), (error) => {
      assert.ok(error instanceof WitnessError);
      assert.match(error.message, what);
      return true;
    });
  };
  disk.names.delete(name);
  await refused(/is missing; nothing of it is cosigned until it is restored/);
  for (let at = 0; at < bytes.length; at++) {
    disk.names.set(name, bytes.with(at, bytes[at]! ^ 1));
    await refused(/is damaged: .*; restore it/);
    disk.names.set(name, bytes.slice(0, at));
    await refused(/is damaged/);
  }
  disk.names.set(name, bytes);
  assert.equal(words(await witness.answer(LOG.request("a", 20, 30))), "200 30");
});

Deno.test("A log is watched once, with one hash and as many keys as it has", async () => {
  const files = makeFiles();
  assert.throws(() => files.watch({ key: KEY, hash: "blake3" }), /is watched already/);
  assert.throws(
    () => files.watch({ key: noteKey(KEY.name, testSigner(9).publicKey), hash: "sha256" }),
    /with another hash/,
  );
  files.watch({ key: noteKey(KEY.name, testSigner(9).publicKey), hash: "blake3" });
  const later = new ForkedLog(noteKey(KEY.name, testSigner(9).publicKey), testSigner(9), 5, 9);
  assert.equal(words(await makeWitness(files).answer(later.request("a", 0, 7))), "200 7");
  assert.throws(() => files.init("again", new Uint8Array(32)), /There is a witness in the directory already/);
});

Deno.test("Requests at the same time are judged one after the other: of two forks one is cosigned", async () => {
  const witness = makeWitness();
  const answers = await Promise.all(
    (["a", "b", "a", "b"] as Branch[]).map((branch) => witness.answer(LOG.request(branch, 0, 20))),
  );
  assert.deepEqual(answers.map(words), ["200 20", "409 knows 20", "409 knows 20", "409 knows 20"]);
});

Deno.test("2,000 lives with a crash at any step: no two cosignatures contradict", async () => {
  const lives = 2_000;
  let crashes = 0, cosigned = 0;
  for (let seed = 0; seed < lives; seed++) {
    const random = new Random(seed), disk = new SimDisk(), files = makeFiles(disk), signed = new Map<number, string>();
    let known = 0, branch: Branch = "a";
    for (let request = 0; request < 8; request++) {
      if (random.below(3) === 0) branch = random.below(2) === 0 ? "a" : "b";
      disk.left = random.below(3) === 0 ? Infinity : random.below(6);
      const witness = new Witness(files, alone, () => 1_790_000_000_000);
      const size = Math.min(LOG.size, known + random.below(8));
      try {
        const answer = await witness.answer(LOG.request(branch, known, size));
        disk.left = Infinity;
        if (answer.kind === "cosigned") {
          const root = answer.checkpoint.root.toHex();
          assert.equal(signed.get(size) ?? root, root, `seed ${seed}: two trees of ${size} entries`);
          signed.set(size, root);
          cosigned += 1;
          known = size;
        } else if (answer.known !== null) known = answer.known;
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        crashes += 1;
        disk.restart(random.below(2) === 0, random);
      }
    }
    // All of one branch, and none beyond what is remembered.
    const sizes = [...signed.keys()], head = files.head(KEY.name);
    assert.ok(sizes.every((size) => size <= head.size), `seed ${seed}: cosigned ${sizes}, remembered ${head.size}`);
    const beyond = sizes.filter((size) => size > LOG.shared);
    const of = (name: Branch): boolean => beyond.every((size) => signed.get(size) === LOG.root(name, size).toHex());
    assert.ok(of("a") || of("b"), `seed ${seed}: cosignatures of both branches`);
  }
  console.log(`${lives} lives, ${crashes} crashes, ${cosigned} cosignatures`);
  assert.ok(crashes > lives && cosigned > lives);
});

Deno.test("The HTTP answers are those of the protocol", async () => {
  const told: string[] = [], handler = witnessHandler(makeWitness(), (text) => told.push(text));
  const post = (body: Uint8Array): Promise<Response> => {
    return handler(new Request("http://witness/add-checkpoint", { method: "POST", body: body.slice() }));
  };
  const first = await post(LOG.request("a", 0, 7)), line = await first.text();
  assert.equal(first.status, 200);
  assert.match(line, /^— witness\.example\/w1 [A-Za-z0-9+/]{100,}={0,2}\n$/);
  // As the protocol says: behind the checkpoint it is a note that verifies.
  const joined = encode(decode(LOG.checkpoint("a", 7)) + line);
  await verifyCheckpoint(parseCheckpoint(joined), [makeWitness().key]);
  const stale = await post(LOG.request("a", 0, 20));
  assert.deepEqual([stale.status, stale.headers.get("content-type"), await stale.text()], [
    409,
    "text/x.tlog.size",
    "7\n",
  ]);
  assert.equal((await post(LOG.request("b", 7, 20))).status, 422);
  assert.equal((await post(STRANGER.request("a", 0, 7))).status, 404);
  assert.equal((await post(FORGED.request("a", 0, 7))).status, 403);
  assert.equal((await post(encode("old"))).status, 400);
  assert.equal((await post(new Uint8Array(MAX_REQUEST_BYTES + 1))).status, 413);
  assert.equal((await handler(new Request("http://witness/add-checkpoint"))).status, 405);
  assert.equal((await handler(new Request("http://witness/other", { method: "POST" }))).status, 404);
  assert.ok(told.includes("cosigned host.example/ledger at 7"), told.join("\n"));
});

Deno.test("A disk that fails is 500, and nothing was cosigned", async () => {
  const disk = new SimDisk(), files = makeFiles(disk), handler = witnessHandler(makeWitness(files), () => {});
  disk.left = 1;
  const body = LOG.request("a", 0, 7).slice();
  const { status } = await handler(new Request("http://witness/add-checkpoint", { method: "POST", body }));
  assert.equal(status, 500);
  assert.equal(files.head(KEY.name).size, 0);
});

Deno.test("Requests cut at any byte or with any byte changed are refused or say the same", () => {
  const bytes = LOG.request("a", 7, 20);
  for (let at = 0; at < bytes.length; at++) {
    for (const changed of [bytes.slice(0, at), bytes.with(at, bytes[at]! ^ 1), bytes.with(at, 0x0a)]) {
      try {
        parseWitnessRequest(changed);
      } catch (error) {
        assert.ok(error instanceof WireError, `byte ${at}: ${error}`);
      }
    }
  }
});
