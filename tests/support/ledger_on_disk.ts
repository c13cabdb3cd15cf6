/**
 * A ledger's directory on the real disk, read as a verifier reads it.
 *
 * @module
 */
import { type Verdict, verifyLedger, type VerifyOptions } from "../../proto/ledger/directory.ts";
import { type Action, decodeEntry, MAX_ENTRY_BYTES, MIN_ENTRY_BYTES } from "../../proto/ledger/entry.ts";
import { segmentName } from "../../proto/ledger/layout.ts";
import { decodePayload, MAX_PAYLOAD_RECORD } from "../../proto/ledger/payload.ts";
import { type LedgerSource, SegmentStream } from "../../proto/ledger/segment_stream.ts";
import { decodeStatement, isStated, type Statement } from "../../proto/ledger/statement.ts";

/** The files as they are now; `live` when somebody writes them. */
export class DirectorySource implements LedgerSource {
  readonly #files: Map<string, Uint8Array>;

  constructor(directory: string, readonly live: boolean = false) {
    const names = [...Deno.readDirSync(directory)].filter(({ isFile }) => isFile).map(({ name }) => name);
    // Checkpoint and state first, as a reader of a living ledger does: what is appended meanwhile is behind them.
    names.sort((a, b) =>
      Number(b === "checkpoint") - Number(a === "checkpoint") || Number(b === "state") - Number(a === "state")
    );
    this.#files = new Map(names.map((name) => [name, Deno.readFileSync(`${directory}/${name}`)]));
  }

  names(): readonly string[] {
    return [...this.#files.keys()];
  }
  size(name: string): number | null {
    return this.#files.get(name)?.length ?? null;
  }
  read(name: string, position: number, into: Uint8Array): number {
    const bytes = this.#files.get(name)!.subarray(position, position + into.length);
    into.set(bytes);
    return bytes.length;
  }
}

export function verifyOnDisk(directory: string, more: Partial<VerifyOptions> = {}, live = false): Promise<Verdict> {
  return verifyLedger({ source: new DirectorySource(directory, live), now: Date.now(), ...more });
}

export interface ReadEntry {
  readonly action: Action;
  readonly actor: string;
  readonly text: string;
  readonly said: Statement | null;
}

/** Every entry of the first file, with what it says. */
export function entriesOf(directory: string): ReadEntry[] {
  const source = new DirectorySource(directory, true), found: ReadEntry[] = [];
  const entries = new SegmentStream(source, "entries", MAX_ENTRY_BYTES);
  const payloads = new SegmentStream(source, "payloads", MAX_PAYLOAD_RECORD);
  if (!entries.open(0) || !payloads.open(0)) throw new Error(`There is no ${segmentName("entries", 0)}`);
  for (let next = entries.next(MIN_ENTRY_BYTES); next !== null; next = entries.next(MIN_ENTRY_BYTES)) {
    const { action, actor } = decodeEntry(next), body = payloads.next(0);
    if (body === null) break;
    const bytes = decodePayload(body)?.bytes ?? new Uint8Array(0);
    const said = isStated(action) ? decodeStatement(action, bytes) : null;
    found.push({ action, actor, text: new TextDecoder().decode(bytes), said });
  }
  return found;
}
