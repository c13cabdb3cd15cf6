/**
 * The audit ledger, verified while the report is made, and its newest signed head.
 *
 * Whatever is wrong with the ledger is an answer that the report has to give, never a reason for there to be none.
 *
 * @module
 */
import { describeVerdict, type Verdict, verifyLedger } from "../../proto/ledger/directory.ts";
import { formatVkey } from "../../proto/ledger/note.ts";
import { readCheckpoint } from "../../proto/ledger/prove.ts";
import type { LedgerSource } from "../../proto/ledger/segment_stream.ts";
import { WireError } from "../../proto/wire_error.ts";
import { CommandError } from "../command.ts";
import { count } from "../units.ts";
import type { LedgerFacts, LedgerHead, Progress } from "./data.ts";

/** @param open opens the ledger; its errors are what the report says then */
export async function gatherLedger(
  open: () => LedgerSource & Disposable,
  now: number,
  progress: Progress,
): Promise<LedgerFacts> {
  let source: LedgerSource & Disposable;
  try {
    source = open();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { kind: "absent", why: error.message };
  }
  try {
    const verdict = await verifyLedger({
      source,
      now,
      progress: (done, signed) => progress(`verified ${count(done)} of ${count(signed)} entries of the ledger`),
    });
    const { fault, stale, header, keys } = verdict;
    return {
      kind: fault !== null ? "broken" : stale ? "stale" : "verified",
      verdict: describeVerdict(verdict),
      host: header?.host ?? null,
      begun: header?.created ?? null,
      key: keys.length === 0 ? null : formatVkey(keys.at(-1)!),
      verified: verdict.verified,
      signed: verdict.signed,
      remarks: verdict.remarks,
      head: headOf(source, verdict),
    };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { kind: "unread", why: error.message };
  } finally {
    source[Symbol.dispose]();
  }
}

/** The head on disk, which was verified: the file is still open. `null` of a ledger that does not hold. */
function headOf(source: LedgerSource, { fault }: Verdict): LedgerHead | null {
  if (fault !== null) return null;
  try {
    const { origin, size, root, bytes } = readCheckpoint(source);
    return { origin, size, root: root.toBase64(), note: new TextDecoder().decode(bytes) };
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}
