import assert from "node:assert/strict";
import { parseCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { StorageSource } from "../../../collector/ledger/storage_source.ts";
import { loadHash } from "../../../proto/ledger/hash.ts";
import { cosign, formatNote, formatVkey, noteKey } from "../../../proto/ledger/note.ts";
import { proveEntry, readEntry, readHeader, SourceTiles } from "../../../proto/ledger/prove.ts";
import { consistencyProof } from "../../../proto/ledger/tiles.ts";
import { Random } from "../../fuzz/random.ts";
import { needs } from "../../support/needs.ts";
import { KEY, TestLedger, testSigner } from "./support.ts";

const PROGRAM = new URL("../../independent/verify_ledger.py", import.meta.url).pathname;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What the independent verifier says of each of these argument lists. */
async function judge(directory: string, lists: readonly (readonly string[])[]): Promise<string[]> {
  await Deno.writeTextFile(`${directory}/batch.json`, JSON.stringify(lists));
  const { stdout, stderr, success } = await new Deno.Command("python3", {
    args: [PROGRAM, "batch", `${directory}/batch.json`],
    stdin: "null",
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trimEnd().split("\n");
}

Deno.test({
  name: "a verifier in Python and openssl accepts our notes, checkpoints and SHA-256 proofs, and refuses mutated ones",
  ...needs({ programs: ["python3", "openssl"] }),
  async fn() {
    const hash = await loadHash("sha256"), world = await TestLedger.make({ hash });
    world.fill(40);
    world.ledger.checkpoint();
    const old = parseCheckpoint(world.storage.bytes("checkpoint"));
    world.fill(260);
    world.ledger.close();
    using source = new StorageSource(world.storage);
    const directory = await Deno.makeTempDir({ prefix: "daemoneye-test-" }), random = new Random(6);
    try {
      const good: string[][] = [], bad: string[][] = [];
      let files = 0;
      const file = (bytes: Uint8Array): string => {
        const path = `${directory}/${files++}`;
        Deno.writeFileSync(path, bytes);
        return path;
      };
      const flipped = (bytes: Uint8Array): Uint8Array => {
        const at = random.below(bytes.length);
        return bytes.with(at, bytes[at]! ^ 1 << random.below(8));
      };
      const vkey = formatVkey(KEY), bytes = world.storage.bytes("checkpoint"), checkpoint = parseCheckpoint(bytes);
      good.push(["note", vkey, file(bytes)], ["checkpoint", vkey, file(bytes)]);
      for (let i = 0; i < 40; i++) bad.push(["checkpoint", vkey, file(flipped(bytes))]);
      bad.push(["checkpoint", vkey, file(bytes.slice(0, -1))]);
      bad.push(["checkpoint", formatVkey(noteKey(KEY.name, testSigner(5).publicKey)), file(bytes)]);
      const witness = testSigner(7), witnessKey = noteKey("witness.example", witness.publicKey, "cosignature");
      const { text, signatures } = checkpoint.note;
      const cosigned = encode(formatNote({
        text,
        signatures: [...signatures, cosign(text, witnessKey, witness, 1_790_000_000)],
      }));
      good.push(["checkpoint", vkey, file(cosigned)], ["checkpoint", formatVkey(witnessKey), file(cosigned)]);
      bad.push(["checkpoint", formatVkey(witnessKey), file(bytes)]);
      for (const sequence of [0, 1, 64, 255, 256, checkpoint.size - 1]) {
        const proof = encode(proveEntry(source, hash, sequence));
        const entry = file(readEntry(source, readHeader(source), sequence).entry);
        good.push(["proof", vkey, file(proof), entry]);
        // The extra line is nobody's word, so it is left out: the entry comes by itself.
        const bare = encode(new TextDecoder().decode(proof).replace(/^extra .*\n/m, ""));
        good.push(["proof", vkey, file(bare), entry]);
        for (let i = 0; i < 8; i++) bad.push(["proof", vkey, file(flipped(bare)), entry]);
        bad.push(["proof", vkey, file(bare), file(flipped(Deno.readFileSync(entry)))]);
      }
      const tiles = new SourceTiles(source, 64);
      const steps = consistencyProof(hash, tiles, old.size, checkpoint.size).map((step) => step.toBase64());
      const ends = [String(old.size), old.root.toBase64(), String(checkpoint.size), checkpoint.root.toBase64()];
      good.push(["consistency", ...ends, ...steps]);
      bad.push(["consistency", ...ends, ...steps.slice(1)], ["consistency", ...ends, ...steps, steps[0]!]);
      bad.push(["consistency", String(old.size + 1), ...ends.slice(1), ...steps]);
      const answers = await judge(directory, [...good, ...bad]);
      assert.equal(answers.length, good.length + bad.length);
      answers.forEach((answer, at) => {
        const list = [...good, ...bad][at]!.join(" ");
        if (at < good.length) assert.equal(answer, "ok", list);
        else assert.match(answer, /^refused: /, list);
      });
      console.log(`accepted ${good.length}, refused ${bad.length}`);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});
