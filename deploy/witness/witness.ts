/**
 * A witness: cosigns checkpoints that continue what it has cosigned before, and nothing else.
 *
 * The order of steps is its promise: it judges against what is on disk, puts the new head there, and only then signs. A
 * crash before the head is on disk has signed nothing; one after it has signed at most what the head allows. Requests
 * are taken one at a time, over all programs that work on the same directory.
 *
 * @module
 */
import { loadHash } from "../../proto/ledger/hash.ts";
import { cosign, formatNote, type NoteKey, noteKey, type NoteSignature } from "../../proto/ledger/note.ts";
import type { Signer } from "../../proto/ledger/ed25519.ts";
import { seedSigner } from "../../proto/ledger/seed_signer.ts";
import { judgeRequest, parseWitnessRequest, type WatchedLog, type WitnessRequest } from "../../proto/ledger/witness.ts";
import { parseCheckpoint, type SignedCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { WireError } from "../../proto/wire_error.ts";
import type { WitnessFiles } from "./files.ts";

export type WitnessAnswer =
  | { readonly kind: "cosigned"; readonly checkpoint: SignedCheckpoint; readonly signature: NoteSignature }
  | {
    readonly kind: "refused";
    /** Of HTTP. */
    readonly status: number;
    readonly reason: string;
    /** Entries of the largest tree that is known here, told with 409. */
    readonly known: number | null;
  };

export class Witness {
  readonly key: NoteKey;
  readonly #signer: Signer;
  #last: Promise<unknown> = Promise.resolve();

  /** @param alone runs its work while no other program works on the same files */
  constructor(
    private readonly files: WitnessFiles,
    private readonly alone: <T>(work: () => Promise<T>) => Promise<T>,
    private readonly now: () => number,
  ) {
    this.#signer = seedSigner(files.seed());
    this.key = noteKey(files.name(), this.#signer.publicKey, "cosignature");
  }

  /** The answer to the bytes of a request. @throws WitnessError and errors of the disk: then nothing was cosigned */
  answer(bytes: Uint8Array): Promise<WitnessAnswer> {
    let request: WitnessRequest;
    try {
      request = parseWitnessRequest(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return Promise.resolve({ kind: "refused", status: 400, reason: error.message, known: null });
    }
    const answer = this.#last.then(() => this.alone(() => this.#judge(request)));
    this.#last = answer.catch(() => {});
    return answer;
  }

  async #judge(request: WitnessRequest): Promise<WitnessAnswer> {
    const { origin } = parseCheckpoint(request.checkpoint), log = await this.#log(origin);
    const head = log === null ? null : this.files.head(origin);
    const judgement = await judgeRequest(request, log, head ?? { size: 0, root: new Uint8Array(0) });
    if (judgement.kind === "refused") {
      const { status, reason } = judgement;
      return { kind: "refused", status, reason, known: status === 409 ? head!.size : null };
    }
    const { checkpoint } = judgement, { size, root } = checkpoint;
    // A clock that was set back must not make a larger tree older than a smaller one.
    const time = Math.max(Math.floor(this.now() / 1_000), head!.time);
    this.files.saveHead(origin, { size, root, time });
    return { kind: "cosigned", checkpoint, signature: cosign(checkpoint.note.text, this.key, this.#signer, time) };
  }

  async #log(origin: string): Promise<WatchedLog | null> {
    const logs = this.files.logs().filter(({ key }) => key.name === origin);
    return logs.length === 0 ? null : { keys: logs.map(({ key }) => key), hash: await loadHash(logs[0]!.hash) };
  }
}

/** The checkpoint with the witness's signature behind those that it had. */
export function cosignedNote(
  { note }: SignedCheckpoint,
  signature: NoteSignature,
): string {
  const others = note.signatures.filter(({ name, id }) => name !== signature.name || id !== signature.id);
  return formatNote({ text: note.text, signatures: [...others, signature] });
}

/** The line of a signature, as a note has it. */
export function signatureLine(signature: NoteSignature): string {
  const note = formatNote({ text: "\n", signatures: [signature] });
  return note.slice(note.indexOf("—"));
}
