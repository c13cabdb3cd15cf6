/**
 * `audit checkpoint`: the newest signed head of the ledger, to be kept elsewhere; as text, as a QR code, or as a request
 * to a witness.
 *
 * @module
 */
import { loadHash, sameBytes } from "../../proto/ledger/hash.ts";
import { readCheckpoint, readHeader, SourceTiles } from "../../proto/ledger/prove.ts";
import { consistencyProof, rootOf } from "../../proto/ledger/tiles.ts";
import { formatWitnessRequest } from "../../proto/ledger/witness.ts";
import { WireError } from "../../proto/wire_error.ts";
import { integerOption } from "../arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "../command.ts";
import { openOutput } from "../output.ts";
import { safeJson } from "../safe_json.ts";
import { LedgerDirectory } from "./ledger_directory.ts";
import { drawQr } from "./qr.ts";

export async function checkpoint(call: Call): Promise<Exit> {
  const from = integerOption(call, "proof-from", 0, Number.MAX_SAFE_INTEGER, null), qr = call.values["qr"] === true;
  if (from !== null && qr) throw new UsageError("A request to a witness is too long for --qr");
  if ((from !== null || qr) && call.format !== "table") throw new UsageError("--proof-from and --qr have no --format");
  using source = LedgerDirectory.of(call);
  try {
    const header = readHeader(source), newest = readCheckpoint(source), text = new TextDecoder().decode(newest.bytes);
    const hash = await loadHash(header.hash), tiles = new SourceTiles(source, header.segmentEntries);
    if (newest.origin !== header.key.name || !sameBytes(rootOf(hash, tiles, newest.size), newest.root)) {
      call.note("The checkpoint is not of this ledger's tree; do not keep it: audit verify says what is wrong");
      return EXIT.findings;
    }
    if (from !== null) {
      if (from > newest.size) throw behind(newest.size, from);
      const proof = from === 0 ? [] : consistencyProof(hash, tiles, from, newest.size);
      call.out.write(formatWitnessRequest({ oldSize: from, proof, checkpoint: newest.bytes }));
      return EXIT.complete;
    }
    if (qr) {
      call.out.write(drawQr(text, call.screen));
      return EXIT.complete;
    }
    if (call.format === "table") {
      call.out.write(text);
      return EXIT.complete;
    }
    const { origin, size, root } = newest;
    const row = { origin, size, root: root.toHex(), checkpoint: text };
    if (call.format === "csv" || call.format === "line") {
      const output = openOutput(call.format, Object.keys(row), [], call.screen, (line) => call.out.write(line));
      output.add(Object.values(row));
      output.end();
    } else call.out.write(`${safeJson(row, call.format === "json" ? 2 : undefined)}\n`);
    return EXIT.complete;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new CommandError(`There is no checkpoint to show: ${error.message}; audit verify says more`, {
      cause: error,
    });
  }
}

function behind(size: number, known: number): CommandError {
  return new CommandError(
    `The ledger's newest checkpoint has ${size} entries and the witness knows ${known}: this ledger was rolled back, or ` +
      "is another one; audit verify --against the checkpoint that the witness cosigned says which",
  );
}
