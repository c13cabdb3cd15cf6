import assert from "node:assert/strict";
import { encode } from "uqr";
import { plainHash } from "../../../proto/ledger/hash.ts";
import { parseCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { verifyConsistency } from "../../../proto/ledger/proofs.ts";
import { parseWitnessRequest } from "../../../proto/ledger/witness.ts";
import { AuditWorld } from "../../support/audit_world.ts";
import { needs } from "../../support/needs.ts";

const LIGHT = { "█": [true, true], "▀": [true, false], "▄": [false, true], " ": [false, false] } as const;

/** The dark modules of a drawn code. */
function modules(drawn: string, inverse: boolean): boolean[][] {
  const rows: boolean[][] = [];
  for (const line of drawn.replace(/\n$/, "").split("\n")) {
    const halves = [...line].map((character) => LIGHT[character as keyof typeof LIGHT]);
    rows.push(halves.map(([upper]) => upper === inverse), halves.map(([, lower]) => lower === inverse));
  }
  return rows;
}

Deno.test("audit checkpoint prints the signed text as it is, to be kept, and fields for programs", async () => {
  using world = await AuditWorld.make(100);
  const { out, err, code } = await world.audit(["checkpoint"]);
  assert.deepEqual([out, err, code], [new TextDecoder().decode(world.world.storage.bytes("checkpoint")), "", 0]);
  const json = JSON.parse((await world.audit(["checkpoint", "-f", "json"])).out),
    parsed = parseCheckpoint(encodeText(out));
  assert.deepEqual(json, { origin: parsed.origin, size: parsed.size, root: parsed.root.toHex(), checkpoint: out });
});

Deno.test("audit checkpoint --qr draws the code of the text, in halves, in colour and in ASCII", async () => {
  using world = await AuditWorld.make(100);
  const text = (await world.audit(["checkpoint"])).out, { data, size } = encode(text, { ecc: "L", border: 4 });
  const drawn = await world.audit(["checkpoint", "--qr"], { columns: 120 });
  assert.deepEqual(modules(drawn.out, false).slice(0, size), data);
  const coloured = await world.audit(["checkpoint", "--qr"], { columns: 120, color: true });
  // deno-lint-ignore no-control-regex -- that is what colours are
  const bare = coloured.out.replaceAll(/\x1b\[(?:30;107|0)m/g, "");
  assert.deepEqual(modules(bare, true).slice(0, size), data);
  const plain = await world.audit(["checkpoint", "--qr", "--plain"]);
  assert.deepEqual(
    plain.out.replace(/\n$/, "").split("\n").map((line) => (line.match(/../g) ?? []).map((pair) => pair === "  ")),
    data,
  );
  const narrow = await world.audit(["checkpoint", "--qr"], { columns: 40 });
  assert.equal(narrow.code, 1);
  assert.match(narrow.err, /The code is \d+ columns wide and the terminal 40; make it wider/);
});

Deno.test({
  name: "audit checkpoint --qr is read by another program's reader of codes",
  ...needs({ programs: ["zbarimg"] }),
  async fn() {
    using world = await AuditWorld.make(100);
    const text = (await world.audit(["checkpoint"])).out, { out } = await world.audit(["checkpoint", "--qr"]);
    const rows = modules(out, false), scale = 6, width = rows[0]!.length * scale, height = rows.length * scale;
    const pixels = new Uint8Array(width * height);
    for (let at = 0; at < pixels.length; at++) {
      pixels[at] = rows[Math.floor(at / width / scale)]![Math.floor(at % width / scale)]! ? 0 : 255;
    }
    const image = world.file("code.pgm", Uint8Array.of(...encodeText(`P5 ${width} ${height} 255\n`), ...pixels));
    const { stdout, stderr } = await new Deno.Command("zbarimg", { args: ["-q", "--raw", image], stdin: "null" })
      .output();
    assert.equal(new TextDecoder().decode(stdout), `${text}\n`, new TextDecoder().decode(stderr));
  },
});

Deno.test("audit checkpoint --proof-from makes what a witness that knows so much can check", async () => {
  using world = await AuditWorld.make(100);
  const old = parseCheckpoint(encodeText((await world.audit(["checkpoint"])).out));
  world.world.fill(150);
  world.ledger.checkpoint();
  world.write();
  const { out } = await world.audit(["checkpoint", "--proof-from", String(old.size)]);
  const { oldSize, proof, checkpoint } = parseWitnessRequest(encodeText(out)),
    { size, root } = parseCheckpoint(checkpoint);
  assert.equal(oldSize, old.size);
  assert.ok(verifyConsistency(plainHash("blake3"), proof, oldSize, size, old.root, root));
  const first = parseWitnessRequest(encodeText((await world.audit(["checkpoint", "--proof-from", "0"])).out));
  assert.deepEqual([first.oldSize, first.proof], [0, []]);
  const back = await world.audit(["checkpoint", "--proof-from", "9999"]);
  assert.equal(back.code, 1);
  assert.match(
    back.err,
    /has 2\d\d entries and the witness knows 9999: this ledger was rolled back, or is another one/,
  );
});

Deno.test("audit checkpoint and audit prove refuse what their files do not make", async () => {
  using world = await AuditWorld.make(300);
  const tiles = world.world.storage.bytes("tiles-0-000001");
  tiles[40]! ^= 1;
  world.write();
  const proof = await world.audit(["prove", "70"]);
  assert.deepEqual([proof.code, proof.out], [4, ""]);
  assert.match(proof.err, /The ledger's files make no proof of entry 70; audit verify says what is wrong/);
  tiles[40]! ^= 1;
  world.world.storage.bytes("tiles-1-000000")[0]! ^= 1;
  world.write();
  const kept = await world.audit(["checkpoint"]);
  assert.deepEqual([kept.code, kept.out], [4, ""]);
  assert.match(kept.err, /The checkpoint is not of this ledger's tree; do not keep it/);
  const ahead = await world.audit(["prove", "5000"]);
  assert.equal(ahead.code, 1);
  assert.match(ahead.err, /Entry 5000 is not signed: the newest checkpoint has 30\d entries/);
});

function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
