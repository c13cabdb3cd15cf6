/**
 * `audit event`: which entry of the ledger covers a stored event, and the proof of it in one file.
 *
 * The ledger holds a digest of what the write-ahead log took; all events under it are read from the store and hashed
 * again, so an event that was changed there since is found. The proof goes to standard output, the words to stderr.
 *
 * @module
 */
import { DigestEntries, type DigestEntry } from "../../proto/ledger/digest_entries.ts";
import { type DigestedEvent, EventProofError, proveEvent } from "../../proto/ledger/event_digest.ts";
import { formatEventEvidence } from "../../proto/ledger/event_proof.ts";
import { loadHash } from "../../proto/ledger/hash.ts";
import type { LedgerHeader } from "../../proto/ledger/header.ts";
import { readHeader } from "../../proto/ledger/prove.ts";
import { STORED_COLUMNS, storedEvent } from "../../proto/ledger/stored_event.ts";
import { SEQUENCES_PER_STREAM } from "../../proto/store_layout.ts";
import type { SqlValue } from "../../proto/event_row.ts";
import { WireError } from "../../proto/wire_error.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "../command.ts";
import { findPlaces } from "../settings.ts";
import { Store } from "../store_reader.ts";
import { count } from "../units.ts";
import type { ReadLedger } from "../held_state.ts";
import { LedgerDirectory } from "./ledger_directory.ts";
import { provenText } from "./proof.ts";

export async function event(call: Call): Promise<Exit> {
  const text = call.arguments[0]!, eventId = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(eventId)) {
    throw new UsageError(`An event is named by its number (event_id), and not by ${text}`);
  }
  if (call.format !== "table") throw new UsageError("A proof has one form; audit event has no other --format");
  const sequence = eventId % SEQUENCES_PER_STREAM, stream = Math.floor(eventId / SEQUENCES_PER_STREAM);
  using store = Store.open(findPlaces(call).layout.store);
  const epoch = store.rows("SELECT epoch FROM collectors WHERE stream = ?", stream)[0]?.[0];
  const [there] = store.rows("SELECT event_id FROM process_events WHERE event_id = ?", eventId);
  if (epoch === undefined || there === undefined) throw new CommandError(`The store has no event ${eventId}`);
  using source = LedgerDirectory.of(call);
  try {
    const header = readHeader(source), hash = await loadHash(header.hash);
    const { covering, later } = findCovering(source, header, String(epoch), sequence);
    if (covering === null) {
      if (!later) throw new CommandError(`No entry covers event ${eventId} yet; there is one a second at most`);
      call.note(`No entry covers event ${eventId}, though later events of its log are covered`);
      return EXIT.findings;
    }
    const { entry, digest } = covering, base = stream * SEQUENCES_PER_STREAM;
    const rows = store.rows(
      `SELECT ${STORED_COLUMNS.join(", ")} FROM process_events WHERE event_id BETWEEN ? AND ? ORDER BY event_id`,
      base + digest.first,
      base + digest.last,
    );
    const place = STORED_COLUMNS.indexOf("event_id");
    const events = rows.map((row): DigestedEvent => {
      return { sequence: Number(row[place]) - base, bytes: storedEvent(row as SqlValue[]) };
    });
    const proof = proveEvent(hash, digest, sequence, events);
    const proven = await provenText(source, entry);
    if (proven === null) {
      call.note(`The ledger's files make no proof of entry ${entry}; audit verify says what is wrong with them`);
      return EXIT.findings;
    }
    call.out.write(formatEventEvidence({ sequence, proof, entry: new TextEncoder().encode(proven) }));
    call.note(
      `Event ${eventId} is under entry ${count(entry)}, with ${count(digest.events)} events from sequence ` +
        `${count(digest.first)} to ${count(digest.last)}; audit check-proof checks what is printed`,
    );
    return EXIT.complete;
  } catch (error) {
    if (error instanceof EventProofError) {
      if (error.missing > 0) {
        throw new CommandError(
          `Event ${eventId} cannot be proven: ${error.message} from the store; were they retained?`,
        );
      }
      call.note(`Event ${eventId} is not proven: ${error.message}: the store was changed since`);
      return EXIT.findings;
    }
    if (!(error instanceof WireError)) throw error;
    throw new CommandError(`Event ${eventId} cannot be proven: ${error.message}`, { cause: error });
  }
}

/** The entry whose digest covers a sequence, newest files first; `later` when one of the same log is behind it. */
function findCovering(
  source: ReadLedger,
  header: LedgerHeader,
  epoch: string,
  sequence: number,
): { readonly covering: DigestEntry | null; readonly later: boolean } {
  const digests = new DigestEntries(source, header.segmentEntries);
  let later = false;
  for (const segment of digests.segments().sort((a, b) => b - a)) {
    let earlier = false;
    for (const { entry, digest } of digests.of(segment)) {
      if (digest.epoch !== epoch) continue;
      if (digest.first <= sequence && sequence <= digest.last) return { covering: { entry, digest }, later };
      later ||= digest.first > sequence;
      earlier ||= digest.last < sequence;
    }
    // Digests of one log are in the order of what they cover.
    if (earlier) break;
  }
  return { covering: null, later };
}
