import assert from "node:assert/strict";
import fc from "fast-check";
import { eventRow } from "../../../proto/event_row.ts";
import {
  canonicalEvent,
  checkEventProof,
  EventDigester,
  EventProofError,
  proveEvent,
  type SequenceDigest,
} from "../../../proto/ledger/event_digest.ts";
import { loadHash, plainHash } from "../../../proto/ledger/hash.ts";
import { storedEvent } from "../../../proto/ledger/stored_event.ts";
import type { ProcessEvent } from "../../../proto/process_event.ts";
import { decodeMessage, encodeMessage } from "../../../proto/wire.ts";
import { anyEvent } from "../../support/arbitrary_events.ts";
import { FULL_EVENT, USUAL_EVENT } from "../../support/event_samples.ts";

const HASH = await loadHash("blake3");

function batch(firstSequence: number, events: readonly ProcessEvent[]): Uint8Array {
  return encodeMessage({ kind: "events", firstSequence, events });
}

function events(count: number): ProcessEvent[] {
  return Array.from({ length: count }, (_, at) => ({ ...(at % 3 === 0 ? FULL_EVENT : USUAL_EVENT), time: at }));
}

/** What the store has of an event, in the form of a leaf. */
function stored(event: ProcessEvent, sequence: number): Uint8Array {
  const message = decodeMessage(batch(sequence, [event]));
  assert.ok(message.kind === "events");
  return storedEvent(eventRow(message.events[0]!, sequence, "procmond"));
}

const GAP = { source: "ebpf", recordKind: "exec", from: 1, to: 2, count: 3, reason: "lost" };

/** Events from 5 on with a gap after the first ten, in records of `size`. */
function digestOf(list: readonly ProcessEvent[], size: number): { digest: SequenceDigest; sequences: number[] } {
  const digester = new EventDigester(HASH), sequences: number[] = [];
  let sequence = 5;
  const add = (part: readonly ProcessEvent[]): void => {
    if (part.length === 0) return;
    digester.add(sequence, part.length, batch(sequence, part));
    for (const _ of part) sequences.push(sequence++);
  };
  const records = (part: readonly ProcessEvent[]): void => {
    for (let at = 0; at < part.length; at += size) add(part.slice(at, at + size));
  };
  records(list.slice(0, 10));
  digester.add(sequence, 1, encodeMessage({ kind: "gap", sequence: sequence++, gap: GAP }));
  records(list.slice(10));
  const digest = digester.take();
  assert.ok(digest !== null && digester.take() === null);
  return { digest, sequences };
}

Deno.test("every event of a digest is proven from its row, whatever the records were", () => {
  for (const count of [1, 2, 8, 9, 33, 100]) {
    const list = events(count), { digest, sequences } = digestOf(list, 7);
    assert.deepEqual(digestOf(list, 1).digest, digest);
    assert.deepEqual(digestOf(list, 50).digest, digest);
    assert.deepEqual([digest.first, digest.events, digest.others], [5, count, 1]);
    const rows = list.map((event, at) => ({ sequence: sequences[at]!, bytes: stored(event, sequences[at]!) }));
    for (const { sequence, bytes } of rows) {
      const proof = proveEvent(HASH, digest, sequence, rows);
      assert.deepEqual(checkEventProof(HASH, digest, sequence, proof), bytes);
      assert.equal(checkEventProof(HASH, digest, sequence + 1_000, proof), null);
      for (
        const wrong of [
          { ...proof, index: proof.index + 1 },
          { ...proof, hashes: [...proof.hashes, HASH.digest(bytes)] },
          { ...proof, leaf: proof.leaf.subarray(0, -1) },
        ]
      ) assert.equal(checkEventProof(HASH, digest, sequence, wrong), null);
    }
  }
});

Deno.test("an event that is missing or was changed in the store is not proven, and neither are its fellows", () => {
  const list = events(30), { digest, sequences } = digestOf(list, 30);
  const rows = list.map((event, at) => ({ sequence: sequences[at]!, bytes: stored(event, sequences[at]!) }));
  const refuses = (given: typeof rows, missing: number): void =>
    assert.throws(() => proveEvent(HASH, digest, 9, given), (error: Error) => {
      return error instanceof EventProofError && error.missing === missing;
    });
  refuses(rows.toSpliced(20, 1), 1);
  refuses(rows.with(20, { ...rows[20]!, bytes: stored({ ...list[20]!, pid: 1 }, rows[20]!.sequence) }), 0);
  refuses(rows.with(20, { ...rows[20]!, sequence: 999 }), 0);
  assert.throws(() => proveEvent(HASH, digest, 15, rows), /is no event of the digest/);
});

Deno.test("every bit of a proof counts", () => {
  const list = Array.from({ length: 20 }, () => USUAL_EVENT), { digest, sequences } = digestOf(list, 20);
  const rows = list.map((event, at) => ({ sequence: sequences[at]!, bytes: stored(event, sequences[at]!) }));
  const proof = proveEvent(HASH, digest, 9, rows);
  for (let bit = 0; bit < proof.leaf.length * 8; bit++) {
    const leaf = proof.leaf.slice();
    leaf[bit >>> 3]! ^= 1 << (bit & 7);
    assert.equal(checkEventProof(HASH, digest, 9, { ...proof, leaf }), null);
  }
});

Deno.test("whatever the event, its row gives the bytes that were digested", () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const digester = new EventDigester(plainHash("sha256"));
      digester.add(1, 1, batch(1, [event]));
      const digest = digester.take()!, bytes = stored(event, 1);
      const proof = proveEvent(plainHash("sha256"), digest, 1, [{ sequence: 1, bytes }]);
      assert.deepEqual(checkEventProof(plainHash("sha256"), digest, 1, proof), bytes);
    }),
    { endOnFailure: true },
  );
  const cut = { ...USUAL_EVENT, argv: new TextEncoder().encode("cut\0in the mid") };
  const ended = { ...USUAL_EVENT, argv: new TextEncoder().encode("cut\0in the mid\0") };
  assert.deepEqual(stored(cut, 1), canonicalEvent(ended));
});

Deno.test("a record that is none is refused", () => {
  const payload = batch(1, events(3)), digester = new EventDigester(HASH);
  assert.throws(() => digester.add(1, 2, payload), /more than 2 events/);
  assert.throws(() => new EventDigester(HASH).add(1, 4, payload), /holds 3 events, not 4/);
  for (let length = 1; length < payload.length; length += length < 400 ? 1 : 97) {
    assert.throws(() => new EventDigester(HASH).add(1, 3, payload.subarray(0, length)));
  }
});
