/**
 * What is made from the ledger and of it: witness requests, proofs of events, what entries say, and whole directories.
 *
 * Whatever the bytes, they are refused with {@linkcode WireError} or mean one thing; no event is proven but the one that
 * was taken; and what is read from damaged files is refused or is what was written.
 *
 * @module
 */
import { hash } from "node:crypto";
import { decodeEntry, encodeEntry, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../../proto/ledger/entry.ts";
import {
  checkEventProof,
  EventDigester,
  EventProofError,
  proveEvent,
  type SequenceDigest,
} from "../../../proto/ledger/event_digest.ts";
import { formatEventEvidence, isEventEvidence, parseEventEvidence } from "../../../proto/ledger/event_proof.ts";
import { ledgerHash, sameBytes } from "../../../proto/ledger/hash.ts";
import { encodeHeader } from "../../../proto/ledger/header.ts";
import { signCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { MemorySource } from "../../../proto/ledger/memory_source.ts";
import { decodePayload, encodePayload, MAX_PAYLOAD_RECORD } from "../../../proto/ledger/payload.ts";
import { verifyInclusion } from "../../../proto/ledger/proofs.ts";
import { proveEntry } from "../../../proto/ledger/prove.ts";
import { SegmentStream } from "../../../proto/ledger/segment_stream.ts";
import {
  decodeStatement,
  encodeStatement,
  type StatedAction,
  type Statements,
} from "../../../proto/ledger/statement.ts";
import { STORED_COLUMNS, storedEvent } from "../../../proto/ledger/stored_event.ts";
import { parseCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { parseProof, readExtra } from "../../../proto/ledger/tlog_proof.ts";
import { formatWitnessRequest, parseWitnessRequest } from "../../../proto/ledger/witness.ts";
import { eventRow, type SqlValue } from "../../../proto/event_row.ts";
import { encodeMessage } from "../../../proto/wire.ts";
import { WireError } from "../../../proto/wire_error.ts";
import { TilesInMemory } from "../../proto/ledger/support.ts";
import { FULL_EVENT, USUAL_EVENT } from "../../support/event_samples.ts";
import { type FuzzInput, type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";
import { bytesTarget, CHECKPOINTS, KEY, PROOFS, SIGNER } from "./ledger.ts";

const encoder = new TextEncoder();
/** The runtime's own: of what is hashed here much is long. */
const HASH = ledgerHash("sha256", (bytes) => new Uint8Array(hash("sha256", bytes, "buffer")));

const REQUESTS = [0, 2, 63].flatMap((count) =>
  CHECKPOINTS.map((checkpoint) =>
    encoder.encode(formatWitnessRequest({
      oldSize: count === 0 ? 0 : 65_000,
      proof: Array.from({ length: count }, (_, i) => new Uint8Array(32).fill(i)),
      checkpoint,
    }))
  )
);

/** Twenty events from sequence 5 on, with their digest. */
const EVENTS = Array.from({ length: 20 }, (_, at) => ({ ...(at % 10 === 0 ? FULL_EVENT : USUAL_EVENT), time: at }));
const RECORD = encodeMessage({ kind: "events", firstSequence: 5, events: EVENTS });
const DIGEST = digestOf(RECORD)!;
const ROWS = EVENTS.map((event, at) => eventRow(event, 5 + at, "procmond"));
const STORED = ROWS.map((row, at) => ({ sequence: 5 + at, bytes: storedEvent(row) }));
const EVENT_PROOFS = STORED.map(({ sequence }) => proveEvent(HASH, DIGEST, sequence, STORED));
const EVIDENCE = [0, 7, 19].map((at) =>
  encoder.encode(formatEventEvidence({ sequence: 5 + at, proof: EVENT_PROOFS[at]!, entry: PROOFS[1]! }))
);

function digestOf(payload: Uint8Array, count: number = EVENTS.length): SequenceDigest | null {
  const digester = new EventDigester(HASH);
  digester.add(5, count, payload);
  return digester.take();
}

const SAID: { readonly [A in StatedAction]: Statements[A] } = {
  response: {
    ...{ what: "kill tree", process: "1a2b3c4d-812-99", by: "user 1000", rule: "", reason: "it mines" },
    ...{ outcome: "done", detail: "SIGKILL was sent", place: "", time: 1 },
  },
  tierStarted: { tier: "agent", version: "1.0.0", pid: 7, source: null, time: 1 },
  tierStopped: { tier: "agent", pid: 7, time: 1, why: "it was told to stop" },
  confined: { tier: "collector", proof: "5 threads without capabilities", retained: "" },
  configurationChanged: { digest: "ab".repeat(32), changed: ["a.b", "c"], settings: { "a.b": "1", c: '["x"]' } },
  rulesChanged: { digest: "ab".repeat(32), active: 3, drafts: 1, rejected: 0, disabled: 2, paused: ["a", "b"] },
  demandChanged: { given: ["hashes"], refused: ["environment.A"], passing: [], changes: 2, time: 1 },
  gap: { epoch: "e", sequence: 4, source: "ebpf", kind: "exec", from: 1, to: 2, count: null, reason: "ring full" },
  suppressed: { what: "käthe", count: 3, from: 1, to: 2 },
  alert: { alerts: [{ id: "r@c:e:1", rule: "ab".repeat(32), hash: "cd".repeat(32) }] },
  exported: { what: "copy of the store", name: "a.db", time: 1, userId: 1_000 },
  request: { what: "reload", by: null, time: 1, outcome: null },
  events: { epoch: "e", ...DIGEST },
};
const ACTIONS = Object.keys(SAID) as StatedAction[];

/** Those with a member that older entries lack. */
const NEED_NOT_ALL: ReadonlySet<StatedAction> = new Set(["exported", "request"]);

/** A statement, changed: refused, or what makes one text, with nothing but the members of its form. */
function statementInput(random: Random): FuzzInput {
  const action = random.pick(ACTIONS), of = random.oneIn(8) ? random.pick(ACTIONS) : action;
  const bytes = mutate(random, encodeStatement(action, SAID[action], random.oneIn(2) ? null : 77));
  return {
    show: () => `${of} ${hex(bytes)}`,
    run: () => {
      const said = refusing(() => decodeStatement(of, bytes));
      if (said === null) return;
      const again = encodeStatement(of, said.value as never, said.note);
      const twice = decodeStatement(of, again);
      must(sameBytes(encodeStatement(of, twice.value as never, twice.note), again), "one text for each value");
      // A member that nobody knows may be as long as one that need not be there.
      if (again.length === bytes.length && !NEED_NOT_ALL.has(of)) {
        must(sameBytes(again, bytes), "nothing but what was said");
      }
    },
  };
}

/** A proof of an event with something changed: it shows what was taken, or nothing. */
function eventProofInput(random: Random): FuzzInput {
  const at = random.below(EVENTS.length), made = EVENT_PROOFS[at]!;
  const leaf = random.oneIn(2) ? mutate(random, made.leaf) : made.leaf;
  const hashes = random.oneIn(3) ? made.hashes.map((each) => mutate(random, each)) : made.hashes;
  const index = random.oneIn(4) ? random.edge() : made.index, size = random.oneIn(6) ? random.edge() : made.size;
  const sequence = random.oneIn(4) ? random.below(40) : 5 + at;
  return {
    show: () => JSON.stringify({ at, sequence, index, size, leaf: hex(leaf), hashes: hashes.map(hex) }),
    run: () => {
      const found = checkEventProof(HASH, DIGEST, sequence, { leaf, index, size, hashes });
      const taken = STORED.find((each) => each.sequence === sequence)?.bytes;
      if (found !== null) must(taken !== undefined && sameBytes(found, taken), "what is proven was taken");
      const isSame = sequence === 5 + at && index === made.index && size === made.size &&
        sameBytes(leaf, made.leaf) && hashes.every((each, i) => sameBytes(each, made.hashes[i]!));
      if (isSame) must(found !== null, "the proof that was made holds");
    },
  };
}

/** A row as a store that was changed has it: refused, or an event that another row would not make. */
function rowInput(random: Random): FuzzInput {
  const at = random.below(ROWS.length), row: SqlValue[] = [...ROWS[at]!];
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    row[random.below(row.length)] = random.pick<SqlValue>([
      null,
      "",
      "x",
      "[]",
      '["a",1]',
      '["a\\u0000b"]',
      "[".repeat(500),
      "\ud800",
      -1,
      0.5,
      1e308,
      2 ** 53,
      random.edge(),
    ]);
  }
  return {
    show: () => JSON.stringify(Object.fromEntries(STORED_COLUMNS.map((name, i) => [name, row[i]]))),
    run: () => {
      const bytes = refusing(() => storedEvent(row));
      if (bytes === null || sameBytes(bytes, STORED[at]!.bytes)) return;
      const rows = STORED.with(at, { sequence: 5 + at, bytes });
      try {
        proveEvent(HASH, DIGEST, 5 + at, rows);
      } catch (error) {
        if (error instanceof EventProofError) return;
        throw error;
      }
      must(false, "a row that was changed is not proven");
    },
  };
}

/** A record of the log, changed: refused, or under another digest. */
function recordInput(random: Random): FuzzInput {
  const bytes = mutate(random, RECORD), count = random.oneIn(4) ? random.below(40) : EVENTS.length;
  return {
    show: () => `${count} ${hex(bytes)}`,
    run: () => {
      const digest = refusing(() => digestOf(bytes, count));
      if (digest === null || digest.root === null || sameBytes(bytes, RECORD)) return;
      // Fields that no version knows stand beside the events; those are as they were.
      if (sameBytes(digest.root, DIGEST.root!)) must(digest.events === DIGEST.events, "another record, another digest");
    },
  };
}

const SIZE = 260, SEGMENT = 256;
const LEDGER = smallLedger();

/** 260 entries in two files of each kind. */
function smallLedger(): { readonly files: Map<string, Uint8Array>; readonly entries: Uint8Array[]; root: Uint8Array } {
  const tiles = new TilesInMemory(HASH), entries: Uint8Array[] = [], files = new Map<string, Uint8Array>();
  const put = (name: string, ...parts: Uint8Array[]): void => {
    const before = files.get(name) ?? new Uint8Array(0);
    files.set(name, Uint8Array.from([before, ...parts].flatMap((part) => [...part])));
  };
  for (let sequence = 0; sequence < SIZE; sequence++) {
    const payload = { salt: new Uint8Array(16).fill(sequence), bytes: encoder.encode(`what ${sequence}`) };
    const entry = encodeEntry({
      action: "request",
      ledgerId: new Uint8Array(16).fill(7),
      sequence,
      wallMs: 1_790_000_000_000,
      monotonicNs: 1n,
      bootId: new Uint8Array(16),
      payloadHash: HASH.payload(payload.salt, payload.bytes),
      previous: new Uint8Array(32),
      actor: "collector",
    });
    entries.push(entry);
    tiles.append(HASH.leaf(entry));
    const segment = `00000${Math.floor(sequence / SEGMENT)}`;
    put(`entries-${segment}`, Uint8Array.of(entry.length >>> 8, entry.length & 0xff), entry);
    put(`payloads-${segment}`, encodePayload(payload));
    put(`tiles-0-${segment}`, HASH.leaf(entry));
  }
  put("tiles-1-000000", tiles.hashes(1, 0, 1));
  const root = tiles.range.root();
  put(
    "checkpoint",
    encoder.encode(signCheckpoint({ origin: KEY.name, size: SIZE, root, extensions: [] }, KEY, SIGNER)),
  );
  put(
    "header",
    encodeHeader({
      id: new Uint8Array(16).fill(7),
      hash: "sha256",
      key: KEY,
      epochMs: 900_000,
      segmentEntries: SEGMENT,
      created: 1_790_000_000_000,
      host: "host 1",
    }),
  );
  return { files, entries, root };
}

/** A ledger of which one file was changed: what is proven from it is what was written, or is no proof. */
function filesInput(random: Random): FuzzInput {
  const name = random.pick([...LEDGER.files.keys()]), bytes = mutate(random, LEDGER.files.get(name)!);
  const sequence = random.below(SIZE + 3), gone = random.oneIn(20);
  return {
    show: () => `${name} ${gone ? "gone" : hex(bytes)}, entry ${sequence}`,
    run: () => {
      const files = new Map(LEDGER.files);
      if (gone) files.delete(name);
      else files.set(name, bytes);
      const source = new MemorySource(files), index = name.endsWith("1") ? 1 : 0;
      if (/^(entries|payloads)/.test(name)) readThrough(source, index);
      let text: string | null;
      try {
        text = refusing(() => proveEntry(source, HASH, sequence));
      } catch (error) {
        if (!(error instanceof RangeError) || sequence < SIZE && name !== "checkpoint") throw error;
        return;
      }
      if (text === null) return;
      const proof = parseProof(encoder.encode(text)), { entry } = readExtra(proof.extra!);
      const { size, root } = parseCheckpoint(proof.checkpoint);
      if (!sameBytes(root, LEDGER.root) || size !== SIZE) return; // whose signature does not hold
      if (!verifyInclusion(HASH, proof.hashes, sequence, size, HASH.leaf(entry), root)) return;
      must(sameBytes(entry, LEDGER.entries[sequence]!), "what is proven was written");
    },
  };
}

/** Reads a file of entries and one of payloads to their ends. */
function readThrough(source: MemorySource, index: number): void {
  const entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES);
  const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
  entries.open(index);
  payloads.open(index);
  for (let next = entries.next(MIN_ENTRY_BYTES); next !== null; next = entries.next(MIN_ENTRY_BYTES)) {
    const entry = next;
    refusing(() => decodeEntry(entry));
  }
  for (let next = payloads.next(0); next !== null; next = payloads.next(0)) {
    const record = next;
    refusing(() => decodePayload(record));
  }
  must(entries.rest() >= 0 && payloads.rest() >= 0, "no more is read than is there");
}

function refusing<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return null;
  }
}

function target(name: string, share: number, make: (random: Random) => FuzzInput): FuzzTarget {
  return { name: `ledger:${name}`, share, open: () => make };
}

export const ledgerEvidence: readonly FuzzTarget[] = [
  bytesTarget("witness-request", 20_000, REQUESTS, (bytes) => formatWitnessRequest(parseWitnessRequest(bytes))),
  bytesTarget("event-evidence", 10_000, EVIDENCE, (bytes) => {
    const evidence = refusing(() => parseEventEvidence(bytes));
    must(evidence === null || isEventEvidence(bytes), "what is evidence looks like it");
    return evidence === null ? null : formatEventEvidence(evidence);
  }),
  target("event-proof", 10_000, eventProofInput),
  target("statement", 20_000, statementInput),
  target("record", 5_000, recordInput),
  target("row", 5_000, rowInput),
  target("files", 2_000, filesInput),
];
