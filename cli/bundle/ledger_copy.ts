/**
 * The audit ledger on its way into a bundle: every file of it, in pieces.
 *
 * The collector may be at work on it. Checkpoint and state are read first, so that all that they speak of is in what is
 * read after them; what was written behind that is unfinished, and known as such by its place.
 *
 * @module
 */
import { CHECKPOINT_NAME, decodeSlot, SLOT_BYTES, SLOTS, STATE_NAME } from "../../proto/ledger/layout.ts";
import { readCheckpoint } from "../../proto/ledger/prove.ts";
import type { LedgerSource } from "../../proto/ledger/segment_stream.ts";
import { WireError } from "../../proto/wire_error.ts";
import { CommandError } from "../command.ts";
import { bytes as byteWords } from "../units.ts";
import { isLedgerFile, LEDGER_PIECE_BYTES, ledgerMember } from "./members.ts";
import type { BundleWriter } from "./writer.ts";

/** Times that the state is read while its writer may be in the middle of a slot. */
const STATE_ATTEMPTS = 5;

export type NewestCheckpoint = ReturnType<typeof readCheckpoint>;

/** @throws CommandError when there is none */
export function newestCheckpoint(source: LedgerSource): NewestCheckpoint {
  try {
    return readCheckpoint(source);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new CommandError(`${error.message}; audit verify says more`, { cause: error });
  }
}

/** Adds a ledger whose checkpoint was read already. @throws CommandError when one of its files cannot be read */
export function addLedger(
  writer: BundleWriter,
  source: LedgerSource,
  checkpoint: NewestCheckpoint,
  progress: (text: string) => void,
): void {
  const early = new Map([[CHECKPOINT_NAME, checkpoint.bytes], [STATE_NAME, readState(source)]]);
  const names = source.names().filter(isLedgerFile).sort();
  let done = 0;
  for (const name of names) {
    const known = early.get(name), size = known?.length ?? source.size(name) ?? 0;
    for (let part = 0; part === 0 || part * LEDGER_PIECE_BYTES < size; part++) {
      const from = part * LEDGER_PIECE_BYTES, length = Math.min(LEDGER_PIECE_BYTES, size - from);
      const piece = known?.subarray(from, from + length) ?? readPiece(source, name, from, length);
      writer.add(ledgerMember(name, part), piece, null);
      done += piece.length;
      progress(`the ledger: ${byteWords(done)}`);
      if (piece.length < LEDGER_PIECE_BYTES) break;
    }
  }
}

function readPiece(source: LedgerSource, name: string, from: number, length: number): Uint8Array {
  const piece = new Uint8Array(length);
  let done = 0;
  for (let count = 1; count > 0 && done < length; done += count) {
    count = source.read(name, from + done, piece.subarray(done));
  }
  return piece.subarray(0, done);
}

/** Both slots, whole if they can be had so. */
function readState(source: LedgerSource): Uint8Array {
  let bytes = new Uint8Array(0);
  for (let attempt = 0; attempt < STATE_ATTEMPTS; attempt++) {
    bytes = readPiece(source, STATE_NAME, 0, SLOT_BYTES * SLOTS) as Uint8Array<ArrayBuffer>;
    const isWhole = [0, 1].every((slot) =>
      decodeSlot(bytes.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES)) !== null
    );
    if (isWhole) break;
  }
  return bytes;
}
