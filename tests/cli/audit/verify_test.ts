import assert from "node:assert/strict";
import { parseCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { cosign, formatNote, formatVkey, noteKey } from "../../../proto/ledger/note.ts";
import { AuditWorld, VKEY } from "../../support/audit_world.ts";
import { NOW } from "../../support/test_store.ts";
import { EPOCH_MS, KEY, testSigner } from "../../collector/ledger/support.ts";

const WITNESS = testSigner(7), WITNESS_KEY = noteKey("witness.example/w1", WITNESS.publicKey, "cosignature");
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function cosigned(checkpoint: string, time: number): string {
  const { note: { text, signatures } } = parseCheckpoint(encode(checkpoint));
  return formatNote({ text, signatures: [...signatures, cosign(text, WITNESS_KEY, WITNESS, time)] });
}

/** 300 entries in five files, the checkpoint that was kept then, and 70 entries more. */
async function grown(): Promise<{ world: AuditWorld; kept: string; size: number }> {
  const world = await AuditWorld.make(300), kept = (await world.audit(["checkpoint"])).out;
  world.world.fill(70);
  world.ledger.checkpoint();
  world.write();
  return { world, kept, size: world.ledger.status.size };
}

Deno.test("audit verify says verified to N, anchored to M, tail unproven for T, to people and to programs", async () => {
  const { world, kept, size } = await grown();
  using _ = world;
  const bare = await world.audit(["verify"]);
  assert.equal(bare.code, 0);
  assert.match(bare.out, /^● verified to 377, anchored to 0, nothing from outside of this host proves any of it\n/);
  assert.match(bare.err, /the key is the ledger's own word; give 56fcea9d from elsewhere/);
  const file = world.file("monday.txt", kept);
  const anchored = await world.audit(["verify", "--against", file, "--key", VKEY]);
  assert.match(anchored.out, /^● verified to 377, anchored to 306, tail unproven for 1 min 10 s\n/);
  assert.deepEqual([anchored.code, anchored.err], [0, ""]);
  const json = JSON.parse((await world.audit(["verify", "--against", file, "--key", VKEY, "-f", "json"])).out);
  assert.deepEqual(
    [json.status, json.verified, json.anchored, json.signed, json.tail_unproven_ms, json.fault, json.key_known],
    ["verified", size, 306, size, 70_000, null, true],
  );
  assert.deepEqual(json.against[0].signed_by, ["host.example/ledger (56fcea9d)"]);
  assert.deepEqual(json.keys, [VKEY]);
});

Deno.test("audit verify takes kept heads from files, from standard input one after the other, and as SIZE:ROOT", async () => {
  const { world, kept } = await grown();
  using _ = world;
  const newest = (await world.audit(["checkpoint"])).out, [, size, root] = newest.split("\n");
  const both = await world.audit(["verify", "--against", "-", "-f", "json"], { stdin: `${kept}\n${newest}` });
  const { anchored, against } = JSON.parse(both.out);
  assert.deepEqual([both.code, anchored, against.map((head: { size: number }) => head.size)], [0, 377, [306, 377]]);
  for (const written of [root!, Uint8Array.fromBase64(root!).toHex()]) {
    const head = await world.audit(["verify", "--against", `${size}:${written}`, "-f", "json"]);
    assert.deepEqual([head.code, JSON.parse(head.out).anchored], [0, 377]);
  }
  const other = await world.audit(["verify", "--against", `300:${root}`]);
  assert.equal(other.code, 4);
  assert.match(
    other.out,
    /BROKEN: The ledger: the ledger is not the one whose checkpoint was kept \(the first 300 entr/,
  );
  const twice = await world.audit(["verify", "--against", "-", "--key", "-"], { stdin: `${VKEY}\n` });
  assert.equal(twice.code, 2);
  assert.match(twice.err, /Standard input is for the key of --key already/);
});

Deno.test("audit verify --secret-file checks every seal with the key of its epoch", async () => {
  const { world } = await grown();
  using _ = world;
  const secret = world.world.secret!.toHex();
  const right = await world.audit(["verify", "--secret-file", "-", "-f", "json"], { stdin: `${secret}\n` });
  const { sealed, tail_unproven_ms } = JSON.parse(right.out);
  assert.equal(right.code, 0);
  assert.ok(sealed > 300 && tail_unproven_ms < EPOCH_MS, right.out);
  const wrong = await world.audit(["verify", "--secret-file", world.file("secret", "0".repeat(64))]);
  assert.equal(wrong.code, 4);
  assert.match(wrong.out, /BROKEN: Entry \d+: its seal was not made with the key of its epoch/);
  const none = await world.audit(["verify", "--secret-file", world.file("short", "abc")]);
  assert.equal(none.code, 1);
  assert.match(none.err, /64 hexadecimal digits, as it was shown/);
});

Deno.test("audit verify says TAIL-UNPROVEN when the last seal is older than two epochs", async () => {
  const { world } = await grown();
  using _ = world;
  const late = await world.audit(["verify"], { now: world.world.now + 3 * EPOCH_MS });
  assert.equal(late.code, 3);
  assert.match(late.out, /^▲ TAIL-UNPROVEN: the last seal is older than two epochs; verified to 377, anchored to 0/);
});

Deno.test("audit verify --witness counts cosignatures on kept checkpoints and on the published one", async () => {
  const { world, kept } = await grown();
  using _ = world;
  const time = world.world.now / 1_000 - 60, vkey = formatVkey(WITNESS_KEY);
  const nothing = await world.audit(["verify", "--witness", vkey, "--against", "-"], { stdin: kept });
  assert.equal(nothing.code, 3);
  assert.match(
    nothing.out,
    /UNWITNESSED: witness\.example\/w1 has cosigned nothing here; verified to 377, anchored to 306/,
  );
  const file = world.file("cosigned.txt", cosigned(kept, time));
  const witnessed = await world.audit(["verify", "--witness", vkey, "--against", file, "-f", "json"]);
  assert.equal(witnessed.code, 0, witnessed.out + witnessed.err);
  assert.deepEqual(JSON.parse(witnessed.out).witnesses, [{ key: vkey, size: 306, time: time * 1_000 }]);
  // The witness's line by itself, as it comes from a witness: behind the checkpoint
  const line = cosigned(kept, time).split("\n").at(-2)!;
  const joined = await world.audit(["verify", "--witness", vkey, "--against", "-"], { stdin: `${kept}${line}\n` });
  assert.equal(joined.code, 0);
  const published = cosigned((await world.audit(["checkpoint"])).out, time);
  Deno.writeTextFileSync(`${world.directory}/checkpoint`, published);
  const online = await world.audit(["verify", "--witness", vkey, "-f", "json"]);
  assert.deepEqual([online.code, JSON.parse(online.out).witnesses[0].size], [0, 377]);
  assert.equal(JSON.parse(online.out).anchored, 377);
});

Deno.test("audit verify goes over a change of keys, and says which key signs now", async () => {
  using world = await AuditWorld.make(30);
  const kept = (await world.audit(["checkpoint"])).out;
  world.ledger.close();
  await world.world.open({ keys: { current: testSigner(1), next: testSigner(2) } });
  world.world.fill(20);
  world.ledger.checkpoint();
  world.write();
  const newKey = formatVkey(noteKey(KEY.name, testSigner(2).publicKey)),
    later = (await world.audit(["checkpoint"])).out;
  const run = await world.audit(["verify", "--key", VKEY, "--against", "-", "-f", "json"], { stdin: kept + later });
  assert.equal(run.code, 0, run.out);
  const { keys, anchored, verified, against } = JSON.parse(run.out);
  assert.deepEqual([keys, anchored], [[VKEY, newKey], verified]);
  assert.match(against[1].signed_by[0], new RegExp(noteKey(KEY.name, testSigner(2).publicKey).id));
});

Deno.test("audit verify tells its progress on a terminal, and nothing elsewhere", async () => {
  using world = await AuditWorld.make(20_000, { segmentEntries: 65_536, epochMs: 86_400_000 });
  const terminal = await world.audit(["verify", "--key", VKEY, "-f", "json"], { stderrTerminal: true });
  assert.equal(terminal.code, 0, terminal.out);
  assert.equal(terminal.err, "\r\x1b[Kverified 16,384 of 20,001 entries\r\x1b[K");
  assert.equal((await world.audit(["verify", "--key", VKEY, "-f", "json"])).err, "");
});

Deno.test("audit names the action and the option that were probably meant, and refuses those of other actions", async () => {
  using world = await AuditWorld.make(3);
  const refused = async (args: string[], words: RegExp): Promise<void> => {
    const { code, err, out } = await world.audit(args, { now: NOW });
    assert.deepEqual([code, out], [2, ""], args.join(" "));
    assert.match(err, words);
  };
  await refused([], /audit takes one of verify, show, prove, check-proof, event, checkpoint/);
  await refused(["verfy"], /did you mean verify\?/);
  await refused(["show", "--qr"], /audit show has no option --qr; it has --since, --until/);
  await refused(["verify", "x"], /audit verify does not take x/);
  await refused(["prove"], /audit prove needs SEQ/);
  await refused(["prove", "x"], /An entry is named by its number/);
  await refused(["prove", "1", "--output", "f"], /may write no file, so the proof goes to standard output/);
  await refused(["check-proof", "f"], /audit check-proof needs --key/);
  await refused(
    ["verify", "--key", "host+00000000+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"],
    /--key: A verifier key has the id/,
  );
  await refused(["verify", "--witness", VKEY], /host\.example\/ledger is the key of a ledger; give it as --key/);
  await refused(["verify", "--key", formatVkey(WITNESS_KEY)], /is the key of a witness; give it as --witness/);
  await refused(["verify", "--against", "3:abcd"], /is no head SIZE:ROOT: a root has 32 bytes, not 3/);
});
