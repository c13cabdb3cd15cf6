import assert from "node:assert/strict";
import { signerOf } from "../../../collector/ledger/keys.ts";
import {
  formatCheckpoint,
  parseCheckpoint,
  signCheckpoint,
  verifyCheckpoint,
} from "../../../proto/ledger/checkpoint.ts";
import {
  cosign,
  formatNote,
  formatVkey,
  MAX_NOTE_BYTES,
  noteKey,
  parseNote,
  parseVkey,
  signNote,
  verifyNote,
} from "../../../proto/ledger/note.ts";
import { decodeRotation, encodeRotation, verifyRotation } from "../../../proto/ledger/rotation.ts";
import { WireError } from "../../../proto/wire_error.ts";

/** C2SP signed-note, its example of a verifier key. */
const SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE = "This is an example message.\n\n" +
  "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
/** golang.org/x/mod/sumdb/note, its documentation: a private key, a text, and the note that they make. */
const GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_SIGNATURE =
  "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const SIGNER = signerOf(new Uint8Array(32).fill(1)), WITNESS = signerOf(new Uint8Array(32).fill(2));
const KEY = noteKey("host.example/ledger", SIGNER.publicKey);
const WITNESS_KEY = noteKey("witness.example", WITNESS.publicKey, "cosignature");
const CHECKPOINT = { origin: KEY.name, size: 7, root: new Uint8Array(32).fill(5), extensions: [] };

Deno.test("verifyNote() accepts the published notes, and signNote() makes one of them byte for byte", async () => {
  const [signature] = await verifyNote(parseNote(encode(SPEC_NOTE)), [parseVkey(SPEC_VKEY)]);
  assert.equal(signature?.key.id, "530d903a");
  const key = parseVkey(GO_VKEY), signer = signerOf(Uint8Array.fromBase64(GO_SEED).slice(1));
  assert.deepEqual(signer.publicKey, key.publicKey);
  assert.equal(signNote(GO_TEXT, key, signer), `${GO_TEXT}\n${GO_SIGNATURE}`);
  await verifyNote(parseNote(encode(`${GO_TEXT}\n${GO_SIGNATURE}`)), [key]);
});

Deno.test("parseVkey() reads what formatVkey() makes, and refuses every part and every changed character", () => {
  for (const text of [SPEC_VKEY, GO_VKEY, formatVkey(WITNESS_KEY)]) assert.equal(formatVkey(parseVkey(text)), text);
  for (let from = 0; from < GO_VKEY.length; from++) {
    for (let to = from + 1; to <= GO_VKEY.length; to++) {
      if (to - from < GO_VKEY.length) assert.throws(() => parseVkey(GO_VKEY.slice(from, to)), WireError);
    }
    const next = String.fromCharCode(GO_VKEY.charCodeAt(from) + 1);
    assert.throws(() => parseVkey(GO_VKEY.slice(0, from) + next + GO_VKEY.slice(from + 1)), WireError);
  }
});

Deno.test("every flipped bit and every cut of a signed checkpoint is refused", async () => {
  const bytes = encode(signCheckpoint(CHECKPOINT, KEY, SIGNER));
  await verifyCheckpoint(parseCheckpoint(bytes), [KEY]);
  const refused = async (changed: Uint8Array, what: string): Promise<void> => {
    await assert.rejects(async () => await verifyCheckpoint(parseCheckpoint(changed), [KEY]), WireError, what);
  };
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = bytes.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    await refused(changed, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length++) await refused(bytes.slice(0, length), `${length} bytes`);
  await refused(Uint8Array.of(...bytes, 10), "one more line end");
});

Deno.test("cosignatures state a time, count by their key only, and unknown signatures do no harm", async () => {
  const text = formatCheckpoint(CHECKPOINT), cosignature = cosign(text, WITNESS_KEY, WITNESS, 1_679_315_147);
  const note = parseNote(encode(signNote(text, KEY, SIGNER, [cosignature])));
  assert.deepEqual(await verifyNote(note, [KEY, WITNESS_KEY]), [
    { key: WITNESS_KEY, time: 1_679_315_147 },
    { key: KEY, time: null },
  ]);
  assert.deepEqual(await verifyNote(note, [KEY]), [{ key: KEY, time: null }]);
  await assert.rejects(() => verifyNote(note, [parseVkey(GO_VKEY)]), WireError);
  // Another time makes it another signature.
  cosignature.bytes[7]! ^= 1;
  const wrong = parseNote(encode(formatNote({ text, signatures: [cosignature] })));
  await assert.rejects(() => verifyNote(wrong, [WITNESS_KEY]), WireError);
  // C2SP tlog-cosignature, "Ed25519 signed message".
  const body = encode(`cosignature/v1\ntime 0\n${text}`);
  assert.deepEqual(cosign(text, WITNESS_KEY, WITNESS, 0).bytes.slice(8), WITNESS.sign(body));
  assert.throws(() => cosign(text, KEY, SIGNER, 0), WireError);
  assert.throws(() => cosign(text, WITNESS_KEY, WITNESS, -1), WireError);
});

Deno.test("parseNote() takes 16 signatures and empty lines in the text, and refuses what no note is", () => {
  const line = GO_SIGNATURE;
  assert.equal(parseNote(encode(`a\n\nb\n\n${line.repeat(16)}`)).signatures.length, 16);
  for (
    const text of [
      "",
      "\n",
      `a\n${line}`,
      `a\n\n`,
      `a\n\n${line.trimEnd()}`,
      `a\r\n\n${line}`,
      `a\n\n${line.replace("— ", "- ")}`,
      `a\n\n${line.replace(" x08", "  x08")}`,
      `a\n\n${line.replace("nAM=", "nAN=")}`, // the same bytes spelled in another way
      `a\n\n${line.replace("nAM=", "nAM")}`,
      `a\n\n${line.replace("Neumann", "+Neumann")}`,
      `a\n\n${line.replace("Neumann", "\u2003Neumann")}`,
      `a\n\n— x x08goA==\n`, // a key id alone
      `a\n\n${line.repeat(101)}`,
      `${"a".repeat(MAX_NOTE_BYTES)}\n\n${line}`,
    ]
  ) assert.throws(() => parseNote(encode(text)), WireError, JSON.stringify(text.slice(0, 80)));
  assert.throws(() => parseNote(Uint8Array.of(0xff, ...encode(`a\n\n${line}`))), WireError);
});

Deno.test("parseCheckpoint() refuses what is no checkpoint", () => {
  const root = new Uint8Array(32).toBase64();
  const good = `o\n1\n${root}\n\n${GO_SIGNATURE}`;
  assert.equal(parseCheckpoint(encode(good)).size, 1);
  assert.deepEqual(parseCheckpoint(encode(good.replace("=\n\n", "=\nmore\n\n"))).extensions, ["more"]);
  for (
    const [from, to] of [
      ["o\n", "\n"],
      ["\n1\n", "\n01\n"],
      ["\n1\n", "\n-1\n"],
      ["\n1\n", "\n1e3\n"],
      ["\n1\n", `\n${2 ** 53}\n`],
      ["\n1\n", "\n"],
      [root, root.slice(4)],
      [`${root}\n`, `${root}\n\nmore\n`],
    ] as const
  ) {
    assert.throws(() => parseCheckpoint(encode(good.replace(from, to))), WireError, `${JSON.stringify(to)}`);
  }
});

Deno.test("a change of keys holds with both signatures, at its place, in its ledger", async () => {
  const id = new Uint8Array(16).fill(3), bytes = encodeRotation(id, 9, SIGNER, WITNESS);
  assert.ok(await verifyRotation(decodeRotation(bytes), id, 9));
  assert.ok(!await verifyRotation(decodeRotation(bytes), id, 10));
  assert.ok(!await verifyRotation(decodeRotation(bytes), new Uint8Array(16), 9));
  for (let at = 0; at < bytes.length; at++) {
    assert.ok(!await verifyRotation(decodeRotation(bytes.with(at, bytes[at]! ^ 1)), id, 9), `byte ${at}`);
  }
  assert.throws(() => decodeRotation(bytes.slice(1)), WireError);
});
