/**
 * The entries of a ledger that hold digests of events, read segment by segment.
 *
 * @module
 */
import { WireError } from "../wire_error.ts";
import { ACTIONS, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "./entry.ts";
import { parseSegmentName } from "./layout.ts";
import { decodePayload, MAX_PAYLOAD_RECORD } from "./payload.ts";
import { type LedgerSource, SegmentStream } from "./segment_stream.ts";
import { decodeStatement, type Statements } from "./statement.ts";

export interface DigestEntry {
  /** Its number in the ledger. */
  readonly entry: number;
  readonly digest: Statements["events"];
}

export class DigestEntries {
  readonly #entries: SegmentStream;
  readonly #payloads: SegmentStream;

  constructor(private readonly source: LedgerSource, private readonly segmentEntries: number) {
    this.#entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES);
    this.#payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
  }

  /** Numbers of the segments that there are, in no order. */
  segments(): number[] {
    return this.source.names().map(parseSegmentName).flatMap((each) => each?.kind === "entries" ? [each.index] : []);
  }

  /** Those of a segment, as far as its files go. One segment is read at a time. */
  *of(segment: number): Generator<DigestEntry> {
    this.#entries.open(segment);
    this.#payloads.open(segment);
    for (let entry = segment * this.segmentEntries;; entry++) {
      const bytes = this.#entries.next(MIN_ENTRY_BYTES), body = this.#payloads.next(0);
      if (bytes === null || body === null) return;
      const digest = bytes[1] === ACTIONS.events ? digestOf(body) : null;
      if (digest !== null) yield { entry, digest };
    }
  }
}

/** `null` where the payload was erased or is none of ours: then it covers nothing. */
function digestOf(body: Uint8Array): Statements["events"] | null {
  try {
    const payload = decodePayload(body);
    return payload === null ? null : decodeStatement("events", payload.bytes).value;
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}
