/** What may be wrong with a ledger, a checkpoint and a proof, and what the CLI says of it: text and exit code. */
import assert from "node:assert/strict";
import { signCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { formatVkey, noteKey } from "../../../proto/ledger/note.ts";
import { KEY, SIGNER, testSigner } from "../../collector/ledger/support.ts";
import { Random } from "../../fuzz/random.ts";
import { AuditWorld, VKEY } from "../../support/audit_world.ts";
import type { CliResult } from "../../support/cli_run.ts";

async function closedWorld(entries = 300): Promise<AuditWorld> {
  const world = await AuditWorld.make(entries);
  world.ledger.append("tierStopped", "collector", new TextEncoder().encode("{}"));
  world.ledger.close();
  world.write();
  return world;
}

async function otherHost(): Promise<AuditWorld> {
  let last = 0;
  const world = await AuditWorld.make(300, {
    origin: "other.example/ledger",
    random: (length) => new Uint8Array(length).fill(++last),
  });
  world.ledger.close();
  world.write();
  return world;
}

interface BadInput {
  readonly what: string;
  /** Changes the ledger's directory; returns arguments of `audit` other than `verify`. */
  readonly arrange: (world: AuditWorld, other: AuditWorld) => void | string[] | Promise<string[]>;
  readonly code: 1 | 4;
  readonly says: RegExp;
}

const path = (world: AuditWorld, name: string): string => `${world.directory}/${name}`;
const read = (world: AuditWorld, name: string): Uint8Array => Deno.readFileSync(path(world, name));
const write = (world: AuditWorld, name: string, bytes: Uint8Array): void => {
  Deno.writeFileSync(path(world, name), bytes);
};
const missing = (name: string, says: RegExp): BadInput => ({
  what: `${name} missing`,
  arrange: (world) => Deno.removeSync(path(world, name)),
  code: 4,
  says,
});
const edited = (name: string, what: string, edit: (bytes: Uint8Array) => Uint8Array, says: RegExp): BadInput => ({
  what: `${name} ${what}`,
  arrange: (world) => write(world, name, edit(read(world, name))),
  code: 4,
  says,
});
const half = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length >> 1);
const zeroed = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.length);
const copied = (from: string, to: string, says: RegExp): BadInput => ({
  what: `${from} doubled as ${to}`,
  arrange: (world) => write(world, to, read(world, from)),
  code: 4,
  says,
});
const swapped = (a: string, b: string, says: RegExp): BadInput => ({
  what: `${a} and ${b} swapped`,
  arrange(world) {
    const bytes = read(world, a);
    write(world, a, read(world, b));
    write(world, b, bytes);
  },
  code: 4,
  says,
});
const kept = async (world: AuditWorld, edit: (text: string) => string): Promise<string[]> => {
  const { out } = await world.audit(["checkpoint"]);
  return ["verify", "--against", world.file("kept.txt", edit(out))];
};

const ZEROS = new Uint8Array(32).toBase64();
const signed = (size: number, root: Uint8Array): string => {
  return signCheckpoint({ origin: KEY.name, size, root, extensions: [] }, KEY, SIGNER);
};

const BAD: readonly BadInput[] = [
  missing("header", /BROKEN: The ledger: a file is missing, damaged or unexpected \(header is missing\)/),
  missing("checkpoint", /\(checkpoint is missing\)/),
  missing("state", /\(state is missing\)/),
  missing("entries-000000", /BROKEN: Entry 0: the ledger is shorter .*verified to 0,/),
  missing("entries-000002", /BROKEN: Entry 128: the ledger is shorter than a checkpoint of it .*verified to 128,/),
  missing("payloads-000001", /BROKEN: Entry 64: its payload is not the one that was logged \(payloads end before it\)/),
  missing("tiles-0-000001", /a tile does not hold the hashes of the entries \(level 0 ends at 64/),
  missing("tiles-1-000000", /a tile does not hold the hashes of the entries \(level 1 ends at 0/),
  edited("header", "cut", half, /the ledger's header is not the one that it began with/),
  edited("header", "zeroed", zeroed, /the ledger's header is not the one that it began with \(A note has control/),
  edited("checkpoint", "cut", half, /its checkpoint is not signed by its key/),
  edited("checkpoint", "zeroed", zeroed, /its checkpoint is not signed by its key/),
  edited("state", "cut", half, /the state file is damaged/),
  edited("state", "zeroed", zeroed, /the state file is damaged/),
  edited("entries-000002", "cut", half, /BROKEN: Entry 1\d\d: the ledger is shorter/),
  edited("entries-000002", "zeroed", zeroed, /BROKEN: Entry 128: the ledger is shorter/),
  edited("payloads-000002", "cut", half, /BROKEN: Entry 1\d\d: its payload is not the one/),
  edited("payloads-000002", "zeroed", zeroed, /BROKEN: /),
  edited("tiles-0-000000", "cut", half, /\(level 0 ends at 32, not at/),
  edited("tiles-0-000000", "zeroed", zeroed, /\(hash 0 of level 0\)/),
  copied("entries-000001", "entries-000002", /BROKEN: Entry 128: it has another number than its place \(number 64\)/),
  copied("payloads-000001", "payloads-000002", /BROKEN: Entry 128: its payload is not the one that was logged/),
  copied("entries-000004", "entries-000009", /entries-000009 is behind the end/),
  copied("tiles-0-000000", "tiles-0-000001", /\(hash 64 of level 0\)/),
  swapped("entries-000001", "entries-000002", /BROKEN: Entry 64: it has another number than its place \(number 128\)/),
  swapped("payloads-000001", "payloads-000002", /BROKEN: Entry 64: its payload is not the one that was logged/),
  swapped("tiles-0-000001", "tiles-0-000002", /\(hash 64 of level 0\)/),
  {
    what: "entries of another host",
    arrange: (world, other) => write(world, "entries-000001", read(other, "entries-000001")),
    code: 4,
    says: /BROKEN: Entry 64: it belongs to another ledger; verified to 64/,
  },
  {
    what: "the checkpoint of another host",
    arrange: (world, other) => write(world, "checkpoint", read(other, "checkpoint")),
    code: 4,
    says: /\(it is of other\.example\/ledger\)/,
  },
  {
    what: "the ledger of another host, with the key of this one",
    arrange: (_, other) => ["verify", "--ledger", other.directory, "--key", VKEY],
    code: 4,
    says: /its key is [0-9a-f]{8}, not the one that is known/,
  },
  {
    what: "the ledger of another host, with a checkpoint of this one",
    arrange: async (world, other) => [...await kept(world, (text) => text), "--ledger", other.directory],
    code: 4,
    says:
      /REFUSED: .*kept\.txt does not vouch for this ledger: it is of host\.example\/ledger, and this ledger is of other/,
  },
  {
    what: "an older version",
    arrange(world) {
      const text = new TextDecoder().decode(read(world, "header"));
      write(world, "header", new TextEncoder().encode(text.replace("daemoneye-ledger/1", "daemoneye-ledger/0")));
    },
    code: 1,
    says: /has version 0, which this program does not read; use the one that wrote it/,
  },
  {
    what: "an entry of a later version",
    arrange(world) {
      const bytes = read(world, "entries-000000");
      bytes[2] = 2;
      write(world, "entries-000000", bytes);
    },
    code: 4,
    says: /BROKEN: Entry 0: its bytes are no entry \(An entry has version 2; this program reads version 1\)/,
  },
  {
    what: "no ledger",
    arrange: (world) => Deno.removeSync(world.directory, { recursive: true }),
    code: 1,
    says: /There is no audit ledger: .* does not exist; --state or --ledger says where it is/,
  },
  {
    what: "an empty directory",
    arrange: (world) => ["verify", "--ledger", world.state.layout.rules],
    code: 1,
    says: /There is no audit ledger in .*rules; --ledger names another directory/,
  },
  {
    what: "a directory in place of a file",
    arrange(world) {
      Deno.removeSync(path(world, "entries-000001"));
      Deno.mkdirSync(path(world, "entries-000001"));
    },
    code: 1,
    says: /entries-000001 is not a regular file/,
  },
  {
    what: "a kept checkpoint with a bad signature",
    arrange: (world) =>
      kept(world, (text) => text.replace(/^(— \S+ .{20})(.)/m, (_, a, b) => a + (b === "A" ? "B" : "A"))),
    code: 4,
    says:
      /REFUSED: .*kept\.txt does not vouch for this ledger: The signature of host\.example\/ledger \([0-9a-f]{8}\) is wrong/,
  },
  {
    what: "a kept checkpoint that somebody else signed",
    arrange: async (world) => {
      const stranger = noteKey("host.example/ledger", testSigner(9).publicKey);
      const { out } = await world.audit(["checkpoint"]);
      const line = `— ${stranger.name} ${
        Uint8Array.of(...Uint8Array.fromHex(stranger.id), ...new Uint8Array(64)).toBase64()
      }`;
      return ["verify", "--against", world.file("kept.txt", out.replace(/^— .*$/m, line))];
    },
    code: 4,
    says: /does not vouch for this ledger: no key of this ledger has signed it/,
  },
  {
    what: "a kept checkpoint with an edited root",
    arrange: (world) => kept(world, (text) => text.replace(/^(\d+\n).{43}=/m, `$1${ZEROS}`)),
    code: 4,
    says: /REFUSED: .* does not vouch for this ledger: The signature of host\.example\/ledger \([0-9a-f]{8}\) is wrong/,
  },
  {
    what: "a kept checkpoint of another tree of the same size",
    arrange: (world) => ["verify", "--against", world.file("kept.txt", signed(200, Uint8Array.fromBase64(ZEROS)))],
    code: 4,
    says:
      /BROKEN: The ledger: the ledger is not the one whose checkpoint was kept \(the first 200 entries have another/,
  },
  {
    what: "a kept checkpoint of more entries than the ledger has",
    arrange: (world) => ["verify", "--against", world.file("kept.txt", signed(9_999, Uint8Array.fromBase64(ZEROS)))],
    code: 4,
    says: /the ledger is shorter than a checkpoint of it \(it has \d+ entries, a kept checkpoint has 9999\)/,
  },
  {
    what: "a kept checkpoint of no entries",
    arrange: (world) => kept(world, (text) => text.replace(/^\d+$/m, "0")),
    code: 1,
    says: /kept\.txt: the head of no entries anchors nothing/,
  },
  {
    what: "a kept checkpoint that is none",
    arrange: (world) => kept(world, () => "nothing of the kind\n"),
    code: 1,
    says: /kept\.txt is no checkpoint: A note has a text, an empty line and signatures/,
  },
  {
    what: "a kept checkpoint that is not there",
    arrange: (world) => ["verify", "--against", path(world, "nothing")],
    code: 1,
    says: /There is no file .*nothing to read checkpoints from/,
  },
  {
    what: "a kept checkpoint that is too large",
    arrange: (world) => ["verify", "--against", world.file("large", new Uint8Array(2_200_000))],
    code: 1,
    says: /has 2200000 bytes, too many for checkpoints: at most \d+/,
  },
  {
    what: "a key that is none",
    arrange: (world) => ["verify", "--key", world.file("key", "key\n")],
    code: 1,
    says: /key: A verifier key reads NAME\+8 HEXADECIMAL DIGITS\+BASE64/,
  },
];

for (const { what, arrange, code, says } of BAD) {
  Deno.test(`audit verify: ${what}`, async () => {
    using world = await closedWorld();
    using other = await otherHost();
    const args = await arrange(world, other) ?? ["verify", "--key", VKEY], before = contents(world.directory);
    const result = await world.audit(args);
    assert.match(result.out + result.err, says);
    assert.equal(result.code, code, result.out + result.err);
    assert.doesNotMatch(result.err, / at .*\.ts:/, "an error in words, not a stack");
    assert.deepEqual(contents(world.directory), before, "nothing of it is changed");
  });
}

function contents(directory: string): Record<string, number> | null {
  try {
    return Object.fromEntries([...Deno.readDirSync(directory)].map(({ name }) => {
      const { size, mtime } = Deno.statSync(`${directory}/${name}`);
      return [name, size + (mtime?.getTime() ?? 0)];
    }));
  } catch {
    return null;
  }
}

Deno.test("audit verify finds flipped bits of every file", async () => {
  using world = await closedWorld(40);
  const random = new Random(3);
  for (const { name } of [...Deno.readDirSync(world.directory)]) {
    const bytes = read(world, name);
    for (let i = 0; i < 25; i++) {
      const at = random.below(bytes.length), changed = bytes.with(at, bytes[at]! ^ 1 << random.below(8));
      write(world, name, changed);
      const { code, out, err } = await world.audit(["verify", "--key", VKEY]);
      const version = name === "header" && /has version/.test(err);
      assert.equal(code, version ? 1 : 4, `${name} byte ${at}: ${out}${err}`);
    }
    write(world, name, bytes);
  }
  assert.equal((await world.audit(["verify", "--key", VKEY])).code, 0);
});

const PROVEN = 137;

async function proof(): Promise<
  { world: AuditWorld; text: string; check: (text: string | Uint8Array) => Promise<CliResult> }
> {
  const world = await closedWorld(), { out } = await world.audit(["prove", String(PROVEN)]);
  return { world, text: out, check: (text) => world.audit(["check-proof", "-", "--key", VKEY], { stdin: text }) };
}

Deno.test("audit check-proof accepts what audit prove makes, without any file of the product's", async () => {
  const { world, text, check } = await proof();
  world[Symbol.dispose]();
  const { code, out, err } = await check(text);
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /^● proven: \w+ by collector\n {2}entry +number 137 of the ledger host\.example\/ledger\n/);
  assert.match(out, /payload +payload 137\n/);
});

Deno.test("audit check-proof refuses a proof cut at any byte, with the right exit code", async () => {
  const { world, text, check } = await proof();
  using _ = world;
  const bytes = new TextEncoder().encode(text), codes = new Map<number, number>();
  for (let length = 0; length < bytes.length; length++) {
    const { code, out, err } = await check(bytes.subarray(0, length));
    assert.ok(code === 1 || code === 4, `cut to ${length}: exit code ${code}`);
    assert.equal(out, "");
    assert.match(
      err,
      code === 1 ? /^stdin is no proof that can be read: [^\n]+\n$/ : /^REFUSED: stdin proves nothing: [^\n]+\n$/,
    );
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  console.log(`cut at ${bytes.length} places: ${codes.get(1) ?? 0} cannot be read, ${codes.get(4) ?? 0} refused`);
});

Deno.test("audit check-proof refuses a proof with any flipped bit", async () => {
  const { world, text, check } = await proof();
  using _ = world;
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at++) {
    const { code } = await check(bytes.with(at, bytes[at]! ^ 1 << at % 8));
    assert.ok(code === 1 || code === 4, `byte ${at}: exit code ${code}`);
  }
});

const lines = (text: string, edit: (lines: string[]) => string[]): string => edit(text.split("\n")).join("\n");
const BAD_PROOFS: readonly [what: string, edit: (text: string) => string | Uint8Array, code: 1 | 4, says: RegExp][] = [
  ["empty", () => "", 1, /A proof has an empty line before its checkpoint/],
  [
    "of another format",
    (text) => text.replace("proof@v1", "proof@v2"),
    1,
    /A proof begins with c2sp\.org\/tlog-proof@v1/,
  ],
  ["too large", () => new Uint8Array(400_000).fill(65), 1, /A proof has 400000 bytes; at most 294912 are allowed/],
  [
    "of 64 hashes",
    (text) => lines(text, (all) => all.toSpliced(3, 0, ...Array(64).fill(ZEROS))),
    1,
    /A proof has \d+ hashes/,
  ],
  [
    "longer than its tree",
    (text) => lines(text, (all) => all.toSpliced(3, 0, ZEROS)),
    4,
    /not in the tree of the checkpoint/,
  ],
  [
    "shorter than its tree",
    (text) => lines(text, (all) => all.toSpliced(3, 1)),
    4,
    /not in the tree of the checkpoint/,
  ],
  ["of another index", (text) => text.replace("index 137", "index 136"), 4, /not in the tree of the checkpoint/],
  ["of an index beyond its tree", (text) => text.replace("index 137", "index 9999"), 4, /not in the tree/],
  ["without its entry", (text) => text.replace(/^extra .*\n/m, ""), 4, /does not hold its entry/],
  [
    "of an entry that is none",
    (text) => text.replace(/^extra .*$/m, `extra ${new Uint8Array(2).toBase64()}`),
    1,
    /An entry has 124 to 187 bytes, not 0/,
  ],
  [
    "not signed by the key",
    (text) => text.replace(/^— host\.example\/ledger \w{5}/m, "— host.example/ledger AAAAA"),
    4,
    /No known key has signed/,
  ],
  [
    "of another checkpoint",
    (text) => text.replace(/^host\.example\/ledger$/m, "other.example/ledger"),
    4,
    /The signature of .* is wrong/,
  ],
];

for (const [what, edit, code, says] of BAD_PROOFS) {
  Deno.test(`audit check-proof: a proof ${what}`, async () => {
    const { world, text, check } = await proof();
    using _ = world;
    const changed = edit(text);
    assert.notEqual(changed, text);
    const result = await check(changed);
    assert.match(result.err, says);
    assert.deepEqual([result.code, result.out], [code, ""]);
  });
}

Deno.test("audit check-proof refuses another key, and a witness that has not cosigned", async () => {
  const { world, text } = await proof();
  using _ = world;
  const stranger = formatVkey(noteKey("host.example/ledger", testSigner(9).publicKey));
  const other = await world.audit(["check-proof", "-", "--key", stranger], { stdin: text });
  assert.equal(other.code, 4);
  assert.match(other.err, /No known key has signed/);
  const witness = formatVkey(noteKey("witness.example/w1", testSigner(7).publicKey, "cosignature"));
  const lonely = await world.audit(["check-proof", "-", "--key", VKEY, "--witness", witness], { stdin: text });
  assert.equal(lonely.code, 4);
  assert.match(lonely.err, /witness\.example\/w1 has not cosigned its checkpoint/);
});
