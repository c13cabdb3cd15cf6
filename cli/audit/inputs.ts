/**
 * What an auditor brings along: keys, kept checkpoints, the secret of the seals.
 *
 * Files lie where the person keeps them, which is seldom where this program was granted to read: `-` hands one over on
 * standard input, any number of checkpoints one after the other, and keys and heads are short enough to be arguments.
 *
 * @module
 */
import { resolve } from "node:path";
import { parseCheckpoint, parseDecimal, type SignedCheckpoint } from "../../proto/ledger/checkpoint.ts";
import { HASH_BYTES } from "../../proto/ledger/hash.ts";
import { fromBase64, MAX_NOTE_BYTES, type NoteKey, noteText, parseVkey } from "../../proto/ledger/note.ts";
import { SEAL_KEY_BYTES } from "../../proto/ledger/seal.ts";
import { WireError } from "../../proto/wire_error.ts";
import { type Call, CommandError, UsageError } from "../command.ts";
import { fileProblem } from "../file_problem.ts";

/** Longest standard input: checkpoints of years. */
const MAX_INPUT_BYTES = 8 * MAX_NOTE_BYTES;
const MAX_KEY_BYTES = 4_096, MAX_SECRET_BYTES = 4_096;
/** Kept heads that are checked in one run. */
const MAX_ANCHORS = 10_000;
const VKEY_SHAPE = /^[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$/;

/** A head that was kept elsewhere. */
export interface KeptHead {
  /** Where it comes from, for a person. */
  readonly name: string;
  readonly size: number;
  readonly root: Uint8Array;
  /** `null` for a head without its signature, as alerts carry it. */
  readonly checkpoint: SignedCheckpoint | null;
}

/** Reads what the command line names, standard input at most once. */
export class Inputs {
  #stdinIsFor: string | null = null;

  constructor(private readonly call: Call) {}

  /** All bytes of a file, or of standard input. `what` names it in errors. @throws CommandError @throws UsageError */
  read(path: string, limit: number, what: string): Uint8Array {
    if (path === "-") {
      if (this.#stdinIsFor !== null) {
        throw new UsageError(`Standard input is for ${this.#stdinIsFor} already; ${what} must come from elsewhere`);
      }
      this.#stdinIsFor = what;
      return this.call.readStdin(limit);
    }
    const file = resolve(path), problem = fileProblem(file);
    if (problem === "absent") throw new CommandError(`There is no file ${path} to read ${what} from`);
    if (problem !== null) {
      throw new CommandError(`${path} cannot be read: ${problem}; or hand it over on standard input, as "-"`);
    }
    const { size } = Deno.statSync(file);
    if (size > limit) throw new CommandError(`${path} has ${size} bytes, too many for ${what}: at most ${limit}`);
    return Deno.readFileSync(file);
  }

  /** Keys of an option: a verifier key itself, or a file of them, a line each. */
  keys(option: "key" | "witness"): NoteKey[] {
    const type = option === "key" ? "ed25519" : "cosignature";
    return listOf(this.call, option).flatMap((value) => {
      if (VKEY_SHAPE.test(value)) return [parsedKey(value, type, (text) => new UsageError(`--${option}: ${text}`))];
      const lines = textOf(this.read(value, MAX_KEY_BYTES, `the key of --${option}`), value).split("\n");
      const keys = lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
      if (keys.length === 0) throw new CommandError(`${value} holds no verifier key`);
      return keys.map((key) => parsedKey(key, type, (text) => new CommandError(`${value}: ${text}`)));
    });
  }

  /** Heads of `--against`: files of checkpoints, or `SIZE:ROOT`. */
  heads(): KeptHead[] {
    const heads = listOf(this.call, "against").flatMap((value) => {
      const head = /^(\d+):([A-Za-z0-9+/=]+)$/.exec(value);
      if (head !== null) return [headOf(value, head[1]!, head[2]!)];
      return this.#checkpoints(value);
    });
    if (heads.length > MAX_ANCHORS) {
      throw new CommandError(`There are ${heads.length} checkpoints; ${MAX_ANCHORS} can be checked at a time`);
    }
    const empty = heads.find(({ size }) => size === 0);
    if (empty !== undefined) throw new CommandError(`${empty.name}: the head of no entries anchors nothing`);
    return heads;
  }

  /** The first key of the seals, as it was shown when the ledger was made; `null` when it is not given. */
  secret(): Uint8Array | null {
    const path = this.call.values["secret-file"] as string | undefined;
    if (path === undefined) return null;
    const bytes = this.read(path, MAX_SECRET_BYTES, "the secret of the seals");
    const digits = new TextDecoder().decode(bytes).replace(/[\s-]/g, "").toLowerCase();
    bytes.fill(0);
    if (digits.length !== 2 * SEAL_KEY_BYTES || /[^0-9a-f]/.test(digits)) {
      throw new CommandError(`The secret of the seals is ${2 * SEAL_KEY_BYTES} hexadecimal digits, as it was shown`);
    }
    return Uint8Array.fromHex(digits);
  }

  #checkpoints(value: string): KeptHead[] {
    const bytes = this.read(value, MAX_INPUT_BYTES, "checkpoints"), shown = value === "-" ? "stdin" : value;
    const notes = splitNotes(textOf(bytes, shown));
    if (notes.length === 0) throw new CommandError(`${shown} holds no checkpoint`);
    return notes.map((note, at) => {
      const name = notes.length === 1 ? shown : `${shown}, checkpoint ${at + 1}`;
      try {
        const checkpoint = parseCheckpoint(new TextEncoder().encode(note));
        return { name, size: checkpoint.size, root: checkpoint.root, checkpoint };
      } catch (cause) {
        if (!(cause instanceof WireError)) throw cause;
        throw new CommandError(`${name} is no checkpoint: ${cause.message}`, { cause });
      }
    });
  }
}

/** Notes that stand one after the other: a line behind signatures that is none begins the next. */
function splitNotes(text: string): string[] {
  const notes: string[] = [];
  let note = "", signed = false;
  for (const line of text.split(/(?<=\n)/)) {
    if (signed && !line.startsWith("— ")) {
      notes.push(note);
      note = "";
      signed = false;
    }
    if (note === "" && line.trim() === "") continue;
    signed ||= line.startsWith("— ") && note.endsWith("\n\n");
    note += line;
  }
  return note === "" ? notes : [...notes, note];
}

/** Values of an option that may be repeated. */
function listOf(call: Call, option: string): string[] {
  return (call.values[option] ?? []) as string[];
}

function headOf(value: string, size: string, root: string): KeptHead {
  try {
    const bytes = /^[0-9a-f]{64}$/.test(root) ? Uint8Array.fromHex(root) : fromBase64(root);
    if (bytes.length !== HASH_BYTES) throw new WireError(`a root has ${HASH_BYTES} bytes, not ${bytes.length}`);
    return { name: `the head of ${size}`, size: parseDecimal(size), root: bytes, checkpoint: null };
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new UsageError(`--against ${value} is no head SIZE:ROOT: ${cause.message}`, { cause });
  }
}

function parsedKey(text: string, type: NoteKey["type"], failed: (text: string) => Error): NoteKey {
  let key: NoteKey;
  try {
    key = parseVkey(text);
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw failed(cause.message);
  }
  if (key.type === type) return key;
  throw failed(
    type === "ed25519"
      ? `${key.name} is the key of a witness; give it as --witness`
      : `${key.name} is the key of a ledger; give it as --key`,
  );
}

function textOf(bytes: Uint8Array, name: string): string {
  try {
    return noteText(bytes);
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new CommandError(`${name} is no text of ours: ${cause.message}`, { cause });
  }
}
