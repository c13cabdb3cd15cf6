/**
 * A change of the key that signs the ledger, in the running product: signed by both, and whoever knows only the old one,
 * kept an old checkpoint, or watches the log, goes on.
 */
import assert from "node:assert/strict";
import { signerOf } from "../../collector/ledger/keys.ts";
import { parseCheckpoint, verifyCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { SEED_BYTES } from "../../proto/ledger/ed25519.ts";
import { readHeader } from "../../proto/ledger/prove.ts";
import { formatVkey, type NoteKey, noteKey } from "../../proto/ledger/note.ts";
import { WireError } from "../../proto/wire_error.ts";
import { DirectorySource, entriesOf } from "../support/ledger_on_disk.ts";
import { needs } from "../support/needs.ts";
import { newStateDirectory, World } from "../support/world.ts";
import { PATIENCE_MS } from "../support/patience.ts";

const kernel = needs({ root: true, bpf: true });
const WITNESS = new URL("../../deploy/witness.ts", import.meta.url).pathname;

async function witness(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", WITNESS, ...args],
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

/** Has the collector sign something new, and stops everything. Returns the last checkpoint. */
async function run(state: string, during: (world: World) => Promise<void> = async () => {}): Promise<Uint8Array> {
  await using world = await World.start({ state, set: ["collector.ledger_checkpoint_ms=1000"] });
  const { ledger } = world.collectorStatus()!;
  assert.equal(ledger.state, "on", ledger.trouble);
  await new Deno.Command("/bin/sh", { args: ["-c", "i=0; while [ $i -lt 20 ]; do /bin/true; i=$((i+1)); done"] })
    .output();
  await world.until(
    "a digest is signed",
    () => world.collectorStatus()!.ledger.signed > ledger.signed && digests(world) > 0,
    PATIENCE_MS,
  );
  await during(world);
  const { layout } = world;
  assert.equal(await world.stop(), 0);
  return Deno.readFileSync(`${layout.ledger}/checkpoint`);
}

function digests(world: World): number {
  return entriesOf(world.layout.ledger).filter(({ action }) => action === "events").length;
}

async function signedBy(note: Uint8Array, key: NoteKey): Promise<boolean> {
  try {
    return (await verifyCheckpoint(parseCheckpoint(note), [key])).length === 1;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return false;
  }
}

Deno.test({
  name: "a ledger whose key is changed verifies by either key, against checkpoints of both, and its witness goes on",
  ignore: kernel.ignore,
  async fn() {
    const state = await newStateDirectory(), kept = await Deno.makeTempDir({ prefix: "daemoneye-witness-" });
    try {
      const first = await run(state), ledger = `${state}/collector/ledger`, keys = `${state}/keys`;
      const { key: oldKey } = readHeader(new DirectorySource(ledger));
      assert.ok(await signedBy(first, oldKey));
      const init = await witness("init", "witness.example/w1", "--directory", `${kept}/w`);
      assert.equal(init.code, 0, init.err);
      const vkey = init.out.trim();
      assert.equal((await witness("watch", formatVkey(oldKey), "--directory", `${kept}/w`)).code, 0);

      // An operator makes the next key, as docs/ledger.md says.
      const seed = crypto.getRandomValues(new Uint8Array(SEED_BYTES));
      Deno.writeTextFileSync(`${keys}/ledger-next.key`, `${seed.toHex()}\n`, { mode: 0o400 });
      const newKey = noteKey(oldKey.name, signerOf(seed.slice()).publicKey);
      let firstRequest = "", verified = 0;
      const cosign = async (request: string): Promise<{ code: number; out: string; err: string }> => {
        Deno.writeTextFileSync(`${kept}/request`, request);
        return await witness("sign", `${kept}/request`, "--directory", `${kept}/w`);
      };
      const second = await run(state, async (world) => {
        const asked = await world.cli("audit", "checkpoint", "--proof-from", "0");
        assert.equal(asked.code, 0, asked.stderr);
        firstRequest = asked.stdout;
        const live = await world.cli("audit", "verify", "--key", formatVkey(oldKey));
        assert.equal(live.code, 0, live.stdout + live.stderr);
        assert.equal(await Deno.readTextFile(`${keys}/ledger-next.key`), `${seed.toHex()}\n`);
      });
      const rotations = (): number => entriesOf(ledger).filter(({ action }) => action === "keyRotated").length;
      assert.equal(rotations(), 1);
      assert.deepEqual([await signedBy(second, oldKey), await signedBy(second, newKey)], [false, true]);

      // The witness knows the old key only: it refuses until its owner has seen the new one.
      const refused = await cosign(firstRequest);
      assert.notEqual(refused.code, 0, refused.out);
      assert.equal((await witness("watch", formatVkey(newKey), "--directory", `${kept}/w`)).code, 0);
      const cosigned = await cosign(firstRequest);
      assert.equal(cosigned.code, 0, cosigned.err);
      const { size } = parseCheckpoint(new TextEncoder().encode(cosigned.out));

      // The next key becomes the current one; nothing is rotated again.
      const { uid, gid, mode } = Deno.statSync(`${keys}/ledger.key`);
      Deno.chownSync(`${keys}/ledger-next.key`, uid, gid);
      Deno.chmodSync(`${keys}/ledger-next.key`, mode! & 0o7777);
      Deno.renameSync(`${keys}/ledger-next.key`, `${keys}/ledger.key`);
      const third = await run(state, async (world) => {
        const texts: [name: string, text: string][] = [
          ["first", new TextDecoder().decode(first)],
          ["second", new TextDecoder().decode(second)],
          ["cosigned", cosigned.out],
        ];
        const against = texts.flatMap(([name, text]) => {
          Deno.writeTextFileSync(`${state}/${name}.txt`, text, { mode: 0o644 });
          return ["--against", `${state}/${name}.txt`];
        });
        for (const key of [oldKey, newKey]) {
          const { code, stdout } = await world.cli(
            "audit",
            "verify",
            "--key",
            formatVkey(key),
            "--witness",
            vkey,
            ...against,
          );
          assert.equal(code, 0, stdout);
          assert.match(stdout, /verified to \d+, anchored to \d+/);
          verified++;
        }
        const stranger = noteKey(oldKey.name, signerOf(new Uint8Array(SEED_BYTES).fill(7)).publicKey);
        assert.equal((await world.cli("audit", "verify", "--key", formatVkey(stranger))).code, 4);
        const more = await world.cli("audit", "checkpoint", "--proof-from", String(size));
        const again = await cosign(more.stdout);
        assert.equal(again.code, 0, again.err);
        assert.ok(parseCheckpoint(new TextEncoder().encode(again.out)).size > size);
      });
      assert.equal(verified, 2);
      assert.ok(await signedBy(third, newKey));
      assert.equal(rotations(), 1);
    } finally {
      await Deno.remove(state, { recursive: true });
      await Deno.remove(kept, { recursive: true });
    }
  },
});
