/**
 * `audit show`: entries of the ledger with their payloads, newest last.
 *
 * Goes back from the ledger's end, a file at a time, and no further than the answer needs. Each payload is held against
 * the hash in its entry; chain, tree and signatures are what `audit verify` is for.
 *
 * @module
 */
import { ACTIONS, decodeEntry, type Entry, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../proto/ledger/entry.ts";
import { type LedgerHash, loadHash, sameBytes } from "../../proto/ledger/hash.ts";
import type { LedgerHeader } from "../../proto/ledger/header.ts";
import { parseSegmentName } from "../../proto/ledger/layout.ts";
import { decodePayload, MAX_PAYLOAD_RECORD } from "../../proto/ledger/payload.ts";
import { readCheckpoint, readHeader } from "../../proto/ledger/prove.ts";
import { decodeSeal } from "../../proto/ledger/seal.ts";
import { SegmentStream } from "../../proto/ledger/segment_stream.ts";
import { WireError } from "../../proto/wire_error.ts";
import { choiceOption, integerOption, timeRange } from "../arguments.ts";
import { type Call, CommandError, EXIT, type Exit } from "../command.ts";
import { type Cell, openOutput, type ShownColumn } from "../output.ts";
import { timeCell } from "../process_cells.ts";
import { counted } from "../units.ts";
import type { ReadLedger } from "../held_state.ts";
import { LedgerDirectory } from "./ledger_directory.ts";
import { payloadText, payloadWords } from "./payloads.ts";

const NAMES = ["sequence", "time", "action", "actor", "boot_id", "monotonic_ns", "payload_state", "payload", "hash"];
const STATE = NAMES.indexOf("payload_state");

const SHOWN: readonly ShownColumn[] = [
  { name: "sequence", title: "ENTRY", keep: true },
  { name: "time", title: "TIME", keep: true, show: (cell) => timeCell(cell) },
  { name: "action", title: "ACTION", keep: true, show: (cell) => ({ text: String(cell), style: "strong" }) },
  { name: "actor", title: "ACTOR", keep: true },
  {
    name: "payload",
    title: "PAYLOAD",
    least: 24,
    show: (cell, of) => {
      const state = of("payload_state");
      if (state === "erased") return { text: "erased", style: "faint" };
      if (state === "altered") return { text: `NOT WHAT WAS LOGGED: ${payloadWords(String(cell))}`, style: "worst" };
      return payloadWords(String(cell ?? ""));
    },
  },
];

export async function show(call: Call): Promise<Exit> {
  const limit = integerOption(call, "limit", 1, 1_000_000, 100), range = timeRange(call);
  const action = choiceOption(call, "action", Object.keys(ACTIONS)), actor = call.values["actor"] as string | undefined;
  using source = LedgerDirectory.of(call);
  const fits = ({ wallMs, ...entry }: Entry): boolean =>
    (range.from === null || wallMs >= range.from) && (range.until === null || wallMs <= range.until) &&
    (action === null || entry.action === action) && (actor === undefined || entry.actor === actor);
  let rows: Cell[][] = [];
  try {
    const header = readHeader(source), hash = await loadHash(header.hash);
    const reader = new BackwardReader(source, header, hash);
    for (let segment = reader.last; segment >= 0 && rows.length <= limit; segment--) {
      const { found, earliestEpoch } = reader.segment(segment, fits, limit + 1 - rows.length);
      rows = [...found, ...rows];
      // No entry is later than the epoch in which it stands, and all before are of this epoch or an earlier one.
      const until = earliestEpoch === null ? null : header.created + (earliestEpoch + 1) * header.epochMs;
      if (range.from !== null && until !== null && until <= range.from) break;
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new CommandError(`The ledger cannot be shown: ${error.message}; audit verify says more`, { cause: error });
  }
  const cut = rows.length > limit;
  if (cut) rows.splice(0, rows.length - limit);
  const output = openOutput(call.format, NAMES, SHOWN, call.screen, (text) => call.out.write(text));
  for (const row of rows) output.add(row);
  output.end();
  if (rows.length === 0) call.note("No entry matches");
  if (cut) call.note(`The newest ${counted(limit, "entry", "entries")}; --limit or --since shows more`);
  const altered = rows.filter((row) => row[STATE] === "altered").length;
  if (altered === 0) return EXIT.complete;
  call.note(
    `${counted(altered, "payload")} ${altered === 1 ? "is" : "are"} not what was logged; audit verify says more`,
  );
  return EXIT.findings;
}

class BackwardReader {
  /** Number of the newest file of entries. */
  readonly last: number;
  readonly #signed: number;
  readonly #entries: SegmentStream;
  readonly #payloads: SegmentStream;

  constructor(source: ReadLedger, private readonly header: LedgerHeader, private readonly hash: LedgerHash) {
    this.#signed = readCheckpoint(source).size;
    this.#entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES);
    this.#payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
    let last = -1;
    for (const name of source.names()) {
      const parsed = parseSegmentName(name);
      if (parsed?.kind === "entries") last = Math.max(last, parsed.index);
    }
    this.last = last;
  }

  /** The newest `most` entries of a file that fit, and the earliest epoch that ends in it. @throws WireError */
  segment(
    index: number,
    fits: (entry: Entry) => boolean,
    most: number,
  ): { readonly found: Cell[][]; readonly earliestEpoch: number | null } {
    const { segmentEntries } = this.header, from = index * segmentEntries, until = from + segmentEntries;
    if (!this.#entries.open(index)) throw new WireError(`${this.#entries.name} is missing`);
    this.#payloads.open(index);
    let found: Cell[][] = [], earliestEpoch: number | null = null, sequence = from;
    for (; sequence < until; sequence++) {
      const bytes = this.#entries.next(MIN_ENTRY_BYTES);
      if (bytes === null) break;
      const body = this.#payloads.next(0), entry = decodeEntry(bytes);
      if (body === null) throw new WireError(`${this.#payloads.name} ends before entry ${sequence}`);
      if (entry.action === "sealed" && earliestEpoch === null) {
        const payload = decodePayload(body);
        if (payload !== null) earliestEpoch = decodeSeal(payload.bytes).epoch;
      }
      if (!fits(entry)) continue;
      found.push(this.#row(sequence, entry, bytes, body));
      if (found.length >= 2 * most) found = found.slice(-most);
    }
    // Behind what is signed an entry may be unfinished: its writer is at work.
    if (sequence < Math.min(until, index === this.last ? this.#signed : until)) {
      throw new WireError(`${this.#entries.name} ends before entry ${sequence}`);
    }
    return { found: found.slice(-most), earliestEpoch };
  }

  #row(sequence: number, entry: Entry, bytes: Uint8Array, body: Uint8Array): Cell[] {
    const { wallMs, action, actor, bootId, monotonicNs, payloadHash } = entry, { header, hash } = this;
    const payload = decodePayload(body);
    let state = "shown", text: string | null = null;
    if (action === "genesis") {
      text = JSON.stringify({ ledger: header.id.toHex(), host: header.host, key: header.key.id });
    } else if (payload === null) state = "erased";
    else {
      if (!sameBytes(hash.payload(payload.salt, payload.bytes), payloadHash)) state = "altered";
      text = payloadText(action, payload.bytes);
    }
    const cells: Cell[] = [sequence, wallMs, action, actor, bootId.toHex(), monotonicNs, state, text];
    return [...cells, hash.leaf(bytes).toHex()];
  }
}
