import assert from "node:assert/strict";
import { parseCheckpoint } from "../../../proto/ledger/checkpoint.ts";
import { encodeSeal, NO_MAC } from "../../../proto/ledger/seal.ts";
import { type Anchor, LedgerFault } from "../../../proto/ledger/verifier.ts";
import type { SimStorage } from "../../support/sim_storage.ts";
import { currentSealKey, forge, type ForgedEntry, readEntries } from "./forger.ts";
import { CREATED, EPOCH_MS, TestLedger, verify } from "./support.ts";

const DOCUMENT = new URL("../../../docs/ledger.md", import.meta.url);
const OPTIONS = { segmentEntries: 65_536 };

/** Six epochs of a ledger, copies of it on the way, and the anchor at its end. */
const world = await TestLedger.make(OPTIONS);
world.fill(130);
world.ledger.checkpoint();
const early = { storage: world.storage.copy(), secrets: world.secrets.copy(), now: world.now };
world.fill(250);
world.ledger.checkpoint();
const late = world.storage.copy();
world.fill(15);
world.ledger.checkpoint();
const anchor: Anchor = parseCheckpoint(world.storage.bytes("checkpoint"));
const { now, secret } = world, size = world.ledger.status.size, base = world.storage.copy();
const entries = readEntries(base, size), key = currentSealKey(world.secrets);
world.fill(10);
world.ledger.checkpoint();
const behind = { storage: world.storage.copy(), size: world.ledger.status.size, now: world.now };
world.ledger.close();

function rewritten(at: number): ForgedEntry[] {
  const { entry, payload } = entries[at]!;
  return entries.with(at, {
    entry,
    payload: { salt: payload!.salt, bytes: new TextEncoder().encode("nothing to see") },
  });
}

/** Two entries with their payloads; the times stay where they are. */
function swapped(a: number, b: number): ForgedEntry[] {
  const take = (from: number, to: number): ForgedEntry => {
    const { wallMs, monotonicNs } = entries[to]!.entry;
    return { entry: { ...entries[from]!.entry, wallMs, monotonicNs }, payload: entries[from]!.payload };
  };
  return entries.with(a, take(b, a)).with(b, take(a, b));
}

function swappedBytes(): SimStorage {
  const storage = base.copy(), files = [["entries-000000", 20], ["payloads-000000", 20]] as const;
  for (const [name, first] of files) {
    const bytes = storage.bytes(name), places = [0];
    while (places.at(-1)! < bytes.length) {
      places.push(places.at(-1)! + 2 + bytes[places.at(-1)!]! * 256 + bytes[places.at(-1)! + 1]!);
    }
    const piece = (at: number): Uint8Array => bytes.slice(places[at], places[at + 1]);
    const [a, b, c] = [piece(first), piece(first + 1), bytes.slice(places[first + 2])];
    storage.put(name, Uint8Array.of(...bytes.slice(0, places[first]), ...b, ...a, ...c));
  }
  return storage;
}

/** Everything after the second epoch is gone, and the epochs since then have seals of nothing. */
function emptied(): ForgedEntry[] {
  const last = entries.findLastIndex(({ entry }, at) => {
    return entry.action === "sealed" &&
      entries.slice(0, at).filter((each) => each.entry.action === "sealed").length === 1;
  });
  const due = Math.floor((now - CREATED) / EPOCH_MS), { entry, payload } = entries[last]!;
  const seals = Array.from({ length: due - 2 }, (_, i): ForgedEntry => ({
    entry: { ...entry, wallMs: CREATED + (i + 3) * EPOCH_MS, monotonicNs: BigInt((i + 3) * EPOCH_MS) * 1_000_000n },
    payload: {
      salt: payload!.salt,
      bytes: encodeSeal({ epoch: 0, size: 0, root: NO_MAC, previous: NO_MAC, mac: NO_MAC }),
    },
  }));
  // Something must be longer than the anchor, or its length alone would tell.
  const filler = Array.from({ length: size }, (): ForgedEntry => {
    const { entry, payload } = entries.at(-1)!;
    return { entry, payload };
  });
  return [...entries.slice(0, last + 1), ...seals, ...filler];
}

async function replaced(): Promise<SimStorage> {
  const other = new TestLedger();
  await other.open({ ...OPTIONS, random: (length) => other.random.bytes(length + 1).slice(1) });
  other.fill(400);
  other.ledger.close();
  other.now = now;
  return other.storage;
}

/** The copy, its key of that time, and another history from there. */
async function wentOn(): Promise<SimStorage> {
  const other = new TestLedger(early.storage.copy(), early.secrets.copy());
  other.now = early.now;
  await other.open(OPTIONS);
  other.fill(265);
  other.ledger.close();
  return other.storage;
}

interface Attack {
  readonly storage: SimStorage;
  readonly now?: number;
  readonly anchor?: Anchor;
}

function naive(): SimStorage {
  const storage = base.copy(), bytes = storage.bytes("payloads-000000"), place = bytes.length >> 1;
  bytes[place]! ^= 0x20;
  return storage;
}

const ATTACKS: Readonly<Record<string, () => Attack | Promise<Attack>>> = {
  "rewrite an entry, recompute nothing": () => ({ storage: naive() }),
  "rewrite an entry": () => ({ storage: forge(base, rewritten(20), key) }),
  "swap two entries, recompute nothing": () => ({ storage: swappedBytes() }),
  "swap two entries": () => ({ storage: forge(base, swapped(20, 22), key) }),
  "drop the tail of the open epoch": () => ({ storage: forge(base, entries.slice(0, -10), key) }),
  "drop the tail behind the anchor, in the open epoch": () => ({ storage: base.copy(), now: behind.now }),
  "drop four epochs and stop": () => ({ storage: forge(base, entries.slice(0, 130), key) }),
  "drop four epochs and seal them empty with the current key": () => ({ storage: forge(base, emptied(), key) }),
  "replace the whole ledger": async () => ({ storage: await replaced() }),
  "rewrite an entry and seal every epoch with the current key": () => ({
    storage: forge(base, rewritten(200), key, true),
  }),
  "roll back to a copy of the same epoch": () => ({ storage: late.copy() }),
  "roll back to a copy of four epochs ago": () => ({ storage: early.storage.copy() }),
  "roll back to a copy with the seal key of its time, and go on": async () => ({ storage: await wentOn() }),
};

async function outcome(
  { storage, now: at = now }: Attack,
  anchors: readonly Anchor[],
  known: Uint8Array | null,
): Promise<string> {
  const { fault, stale } = await verify(storage, { now: at, anchors, sealSecret: known });
  if (fault instanceof LedgerFault) return `BROKEN ${fault.reason}`;
  return stale ? "TAIL-UNPROVEN" : "intact";
}

/** The rows of the table behind the marker. */
function documented(): Map<string, string[]> {
  const lines = Deno.readTextFileSync(DOCUMENT).split("\n");
  const marker = lines.findIndex((line) => line.startsWith("<!-- verdicts"));
  const from = lines.findIndex((line, at) => at > marker && line.startsWith("| ---")) + 1;
  const rows = new Map<string, string[]>();
  for (const line of lines.slice(from)) {
    if (!line.startsWith("|")) break;
    const [attack, ...cells] = line.split("|").slice(1, -1).map((cell) => cell.trim());
    rows.set(attack!, cells);
  }
  return rows;
}

Deno.test("the ledger without an attack is intact, whatever is known", async () => {
  for (const anchors of [[], [anchor]]) {
    for (const known of [null, secret]) {
      assert.equal(await outcome({ storage: base }, anchors, known), "intact");
      assert.equal(await outcome({ storage: behind.storage, now: behind.now }, anchors, known), "intact");
      // The attacker's tools make what is there, when nothing is changed.
      assert.equal(await outcome({ storage: forge(base, entries, key) }, anchors, known), "intact");
    }
  }
});

Deno.test("docs/ledger.md has exactly the attacks that are tested", () => {
  assert.deepEqual([...documented().keys()], Object.keys(ATTACKS));
});

for (const [name, attack] of Object.entries(ATTACKS)) {
  Deno.test(`attack: ${name}: the verdicts are those of docs/ledger.md`, async () => {
    const made = await attack(), found: string[] = [];
    for (const anchors of [[], [anchor]]) {
      for (const known of [null, secret]) found.push(await outcome(made, anchors, known));
    }
    assert.deepEqual(found, documented().get(name));
  });
}
