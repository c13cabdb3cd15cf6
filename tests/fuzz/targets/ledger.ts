/**
 * The ledger's parsers: entry, payload, header, tile names, slots, notes, checkpoints, keys, proofs, and seals.
 *
 * Whatever the bytes, they are refused with {@linkcode WireError} or say what makes the same bytes again; and no proof
 * verifies but the one that was made.
 *
 * @module
 */
import { signerOf } from "../../../collector/ledger/keys.ts";
import { formatCheckpoint, parseCheckpoint, signCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { decodeEntry, encodeEntry } from "../../../proto/ledger/entry.ts";
import { plainHash, sameBytes } from "../../../proto/ledger/hash.ts";
import { decodeHeader, encodeHeader } from "../../../proto/ledger/header.ts";
import {
  decodeSlot,
  decodeState,
  encodeSlot,
  encodeState,
  type LedgerState,
  parseSegmentName,
  segmentName,
} from "../../../proto/ledger/layout.ts";
import { cosign, formatNote, formatVkey, noteKey, parseNote, parseVkey } from "../../../proto/ledger/note.ts";
import { decodePayload, encodePayload } from "../../../proto/ledger/payload.ts";
import { verifyConsistency, verifyInclusion } from "../../../proto/ledger/proofs.ts";
import { decodeRotation } from "../../../proto/ledger/rotation.ts";
import { decodeSeal, encodeSeal } from "../../../proto/ledger/seal.ts";
import { consistencyProof, inclusionProof, rootOf } from "../../../proto/ledger/tiles.ts";
import { formatProof, makeExtra, parseProof, readExtra } from "../../../proto/ledger/tlog_proof.ts";
import { WireError } from "../../../proto/wire_error.ts";
import { numberedLeaves, TilesInMemory } from "../../proto/ledger/support.ts";
import { type FuzzInput, type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";

const encoder = new TextEncoder();
export const SIGNER = signerOf(new Uint8Array(32).fill(1));
const WITNESS = signerOf(new Uint8Array(32).fill(2));
export const KEY = noteKey("host.example/ledger", SIGNER.publicKey);
const WITNESS_KEY = noteKey("witness.example", WITNESS.publicKey, "cosignature");
export const HASH = plainHash("sha256");

export const ENTRIES: readonly Uint8Array[] = (["genesis", "events", "sealed", "request"] as const).map((
  action,
  sequence,
) =>
  encodeEntry({
    action,
    ledgerId: new Uint8Array(16).fill(1),
    sequence,
    wallMs: 1_790_000_000_000,
    monotonicNs: 1n << 40n,
    bootId: new Uint8Array(16).fill(2),
    payloadHash: new Uint8Array(32).fill(3),
    previous: new Uint8Array(32).fill(4),
    actor: sequence % 2 === 0 ? "collector" : "käthe",
  })
);
const BODY = { origin: KEY.name, size: 70_000, root: new Uint8Array(32).fill(9), extensions: [] };
export const CHECKPOINTS = [signCheckpoint(BODY, KEY, SIGNER), cosigned()].map((text) => encoder.encode(text));
export const PROOFS = [0, 3, 20].map((count) =>
  encoder.encode(formatProof({
    index: count,
    hashes: Array.from({ length: count }, (_, i) => new Uint8Array(32).fill(i)),
    extra: count === 3 ? null : makeExtra(ENTRIES[1]!, { salt: new Uint8Array(16), bytes: new Uint8Array(count) }),
    checkpoint: CHECKPOINTS[0]!,
  }))
);
const HEADERS = (["blake3", "sha256"] as const).map((hash) =>
  encodeHeader({
    id: new Uint8Array(16).fill(7),
    hash,
    key: KEY,
    epochMs: 900_000,
    segmentEntries: 65_536,
    created: 1_790_000_000_000,
    host: "host 1",
  })
);
const STATE: LedgerState = {
  size: 5,
  time: 1,
  entriesEnd: 2,
  payloadsEnd: 3,
  last: new Uint8Array(32),
  publicKey: SIGNER.publicKey,
  sealed: 4,
  sealMac: new Uint8Array(32).fill(1),
  prunedBefore: 0,
  roots: [new Uint8Array(32), new Uint8Array(32).fill(2)],
  checkpoint: CHECKPOINTS[0]!,
};

function cosigned(): string {
  const text = formatCheckpoint(BODY);
  return signCheckpoint(BODY, KEY, SIGNER).concat(
    formatNote({ text, signatures: [cosign(text, WITNESS_KEY, WITNESS, 1_790_000_000)] }).slice(text.length + 1),
  );
}

/** Bytes that a parser takes, changed; `check` feeds them and says what they make again, or `null`. */
export function bytesTarget(
  name: string,
  share: number,
  corpus: readonly Uint8Array[],
  check: (bytes: Uint8Array) => Uint8Array | string | null,
): FuzzTarget {
  return {
    name: `ledger:${name}`,
    share,
    open: () => (random): FuzzInput => {
      const bytes = mutate(random, random.pick(corpus));
      return {
        show: () => hex(bytes),
        run: () => {
          let again: Uint8Array | string | null;
          try {
            again = check(bytes);
          } catch (error) {
            if (!(error instanceof WireError)) throw error;
            return;
          }
          if (again === null) return;
          must(sameBytes(typeof again === "string" ? encoder.encode(again) : again, bytes), "one text for each value");
        },
      };
    },
  };
}

const SIZE = 300, TILES = new TilesInMemory(HASH), LEAVES = numberedLeaves(HASH, SIZE);
LEAVES.forEach((leaf) => TILES.append(leaf));
const ROOT = TILES.range.root();

interface MadeProof {
  readonly inclusion: boolean;
  readonly number: number;
  readonly good: readonly Uint8Array[];
  readonly oldRoot: Uint8Array;
}

function madeProofs(): MadeProof[] {
  return LEAVES.filter((_, at) => at % 7 === 0 || at > SIZE - 4).flatMap((_, at) => [
    { inclusion: true, number: at, good: inclusionProof(HASH, TILES, at, SIZE), oldRoot: ROOT },
    {
      inclusion: false,
      number: at + 1,
      good: consistencyProof(HASH, TILES, at + 1, SIZE),
      oldRoot: rootOf(HASH, TILES, at + 1),
    },
  ]);
}

/** A proof with something changed: it holds only if nothing was. */
function proofInput(random: Random, made: MadeProof): FuzzInput {
  const { inclusion, good, oldRoot } = made, steps: Uint8Array[] = good.map((step) => step.slice());
  const at = random.below(steps.length + 1);
  switch (random.below(5)) {
    case 0:
      if (at < steps.length) steps[at]! = mutate(random, steps[at]!);
      break;
    case 1:
      steps.splice(at, 0, random.oneIn(2) ? random.bytes(32) : ROOT);
      break;
    case 2:
      steps.splice(at, 1 + random.below(3));
      break;
    case 3:
      steps.push(...steps.slice(at));
      break;
  }
  const same = steps.length === good.length && steps.every((step, i) => sameBytes(step, good[i]!));
  const number = random.oneIn(3) ? random.edge() : made.number,
    size = random.oneIn(4) ? random.edge() : SIZE;
  return {
    show: () => JSON.stringify({ inclusion, number, size, steps: steps.map((step) => step.toHex()) }),
    run: () => {
      const holds = inclusion
        ? verifyInclusion(HASH, steps, number, size, LEAVES[made.number]!, ROOT)
        : verifyConsistency(HASH, steps, number, size, oldRoot, ROOT);
      const right = same && number === made.number && size === SIZE;
      // A proof says nothing of the size by itself: some sizes have trees of the same shape along its path.
      if (right) must(holds, "the proof that was made holds");
      else if (size === SIZE) must(!holds, "a changed proof does not hold");
    },
  };
}

export const ledger: readonly FuzzTarget[] = [
  bytesTarget("entry", 20_000, ENTRIES, (bytes) => encodeEntry(decodeEntry(bytes))),
  bytesTarget(
    "payload",
    10_000,
    [new Uint8Array(0), new Uint8Array(16), new Uint8Array(100)],
    (bytes) => encodePayload(decodePayload(bytes)).subarray(2),
  ),
  bytesTarget("header", 10_000, HEADERS, (bytes) => encodeHeader(decodeHeader(bytes))),
  bytesTarget("note", 20_000, CHECKPOINTS, (bytes) => formatNote(parseNote(bytes))),
  bytesTarget("checkpoint", 20_000, CHECKPOINTS, (bytes) => {
    const { note, ...checkpoint } = parseCheckpoint(bytes);
    must(formatCheckpoint(checkpoint) === note.text, "a checkpoint has one text");
    return formatNote(note);
  }),
  bytesTarget("vkey", 10_000, [KEY, WITNESS_KEY].map((key) => encoder.encode(formatVkey(key))), (bytes) => {
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    return text.isWellFormed() && !text.includes("\ufffd") ? formatVkey(parseVkey(text)) : null;
  }),
  bytesTarget("proof-file", 20_000, PROOFS, (bytes) => {
    const proof = parseProof(bytes);
    if (proof.extra !== null) {
      try {
        readExtra(proof.extra);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
    }
    return formatProof(proof);
  }),
  bytesTarget("slot", 10_000, [encodeSlot(3, encodeState(STATE))], (bytes) => {
    const slot = decodeSlot(bytes);
    if (slot === null) return null;
    decodeState(slot.content);
    return encodeSlot(slot.generation, slot.content);
  }),
  bytesTarget("state", 10_000, [encodeState(STATE)], (bytes) => encodeState(decodeState(bytes))),
  bytesTarget("seal", 5_000, [new Uint8Array(112).fill(1)], (bytes) => {
    if (bytes.length === 192) decodeRotation(bytes);
    return encodeSeal(decodeSeal(bytes));
  }),
  bytesTarget("name", 5_000, [encoder.encode("tiles-0-000123"), encoder.encode("entries-123456789")], (bytes) => {
    const text = new TextDecoder().decode(bytes), parsed = parseSegmentName(text);
    if (parsed !== null) must(segmentName(parsed.kind, parsed.index) === text, "one name for each file");
    return null;
  }),
  {
    name: "ledger:tree-proof",
    share: 10_000,
    open: () => {
      const made = madeProofs();
      return (random) => proofInput(random, random.pick(made));
    },
  },
];
