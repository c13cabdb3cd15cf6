/**
 * The directory of a witness: its key, the logs that it watches, and the largest tree that it has cosigned of each.
 *
 * Only what is on disk counts. A file is written beside its place, synced, and then takes it, so that a crash leaves the
 * old one or the new one. A head that is missing or damaged is never taken for a log that was not seen yet: the witness
 * cosigns nothing of it until somebody restores it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { parseDecimal } from "../../proto/ledger/checkpoint.ts";
import { SEED_BYTES } from "../../proto/ledger/ed25519.ts";
import { HASH_BYTES, type HashName, hashName } from "../../proto/ledger/hash.ts";
import { formatVkey, fromBase64, type NoteKey, noteText, parseVkey } from "../../proto/ledger/note.ts";
import { WireError } from "../../proto/wire_error.ts";

/** The directory does not hold what it should; the text says which and what to do. */
export class WitnessError extends Error {
  override name = "WitnessError";
}

/** What is remembered of a log. */
export interface StoredHead {
  readonly size: number;
  readonly root: Uint8Array;
  /** Unix seconds of the last cosignature; later ones never state an earlier time. */
  readonly time: number;
}

/** A line of the list of logs. */
export interface LogEntry {
  readonly key: NoteKey;
  readonly hash: HashName;
}

/** The steps by which files become durable, in the order in which they are taken. */
export interface WitnessDisk {
  /** `null` when there is none of that name. */
  read(name: string): Uint8Array | null;
  /** Makes a file, or overwrites it, and has it on disk when it returns. */
  writeSynced(name: string, bytes: Uint8Array, mode: number): void;
  rename(from: string, to: string): void;
  /** Makes names as they are now survive a crash. */
  syncDirectory(): void;
}

const KEY_FILE = "witness.key", NAME_FILE = "name", LOGS_FILE = "logs", LOCK_FILE = "lock";
const HEAD_LINE = "daemoneye-witness-head/1", MAX_FILE_BYTES = 1_048_576;
const ROOTLESS: StoredHead = { size: 0, root: new Uint8Array(HASH_BYTES), time: 0 };

export class RealDisk implements WitnessDisk {
  constructor(readonly directory: string) {}

  read(name: string): Uint8Array | null {
    try {
      const path = `${this.directory}/${name}`, { isFile, size } = Deno.statSync(path);
      if (!isFile || size > MAX_FILE_BYTES) throw new WitnessError(`${path} is no file of a witness; look at it`);
      return Deno.readFileSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }

  writeSynced(name: string, bytes: Uint8Array, mode: number): void {
    using file = Deno.openSync(`${this.directory}/${name}`, { write: true, create: true, truncate: true, mode });
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    file.syncSync();
  }

  rename(from: string, to: string): void {
    Deno.renameSync(`${this.directory}/${from}`, `${this.directory}/${to}`);
  }

  syncDirectory(): void {
    using directory = Deno.openSync(this.directory, { read: true });
    directory.syncSync();
  }
}

export class WitnessFiles {
  constructor(private readonly disk: WitnessDisk) {}

  /** Makes key and name of a new witness. The seed's bytes are erased. @throws WitnessError when it has a key already */
  init(name: string, seed: Uint8Array): void {
    if (this.disk.read(KEY_FILE) !== null) throw new WitnessError("There is a witness in the directory already");
    this.#replace(NAME_FILE, new TextEncoder().encode(`${name}\n`));
    this.#replace(LOGS_FILE, new Uint8Array(0));
    // Last: a directory with a key is a whole one.
    this.#replace(KEY_FILE, new TextEncoder().encode(`${seed.toHex()}\n`), 0o400);
    seed.fill(0);
  }

  /** @throws WitnessError */
  name(): string {
    return noteText(this.#needed(NAME_FILE)).trimEnd();
  }

  /** The seed of the witness's key. @throws WitnessError */
  seed(): Uint8Array {
    const text = new TextDecoder().decode(this.#needed(KEY_FILE)).trim();
    if (!/^[0-9a-f]+$/.test(text) || text.length !== 2 * SEED_BYTES) {
      throw new WitnessError(`${KEY_FILE} does not hold ${2 * SEED_BYTES} hexadecimal digits; restore it`);
    }
    return Uint8Array.fromHex(text);
  }

  /** @throws WitnessError */
  logs(): LogEntry[] {
    try {
      return noteText(this.#needed(LOGS_FILE)).split("\n").filter((line) => line !== "").map((line) => {
        const [name, vkey, ...rest] = line.split(" "), hash = hashName(name!);
        if (hash === null || vkey === undefined || rest.length > 0) throw new WireError("A line reads HASH VKEY");
        return { hash, key: parseVkey(vkey) };
      });
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause;
      throw new WitnessError(`${LOGS_FILE}: ${cause.message}`, { cause });
    }
  }

  /** Watches a log from now on, or trusts one more of its keys. @throws WitnessError */
  watch(entry: LogEntry): void {
    const logs = this.logs(), { key, hash } = entry;
    const same = logs.filter((log) => log.key.name === key.name);
    if (same.some((log) => log.key.id === key.id)) throw new WitnessError(`${key.name} (${key.id}) is watched already`);
    if (same.some((log) => log.hash !== hash)) throw new WitnessError(`${key.name} is watched with another hash`);
    // The head before the log: one without the other is not taken for a log that was not seen yet.
    if (same.length === 0) {
      if (this.disk.read(headName(key.name)) !== null) {
        throw new WitnessError(`There is a head of ${key.name}, which is not watched; add its line to ${LOGS_FILE}`);
      }
      this.saveHead(key.name, ROOTLESS);
    }
    const text = [...logs, entry].map((log) => `${log.hash} ${formatVkey(log.key)}\n`).join("");
    this.#replace(LOGS_FILE, new TextEncoder().encode(text));
  }

  /** @throws WitnessError when it is missing or damaged */
  head(origin: string): StoredHead {
    const name = headName(origin), bytes = this.disk.read(name);
    if (bytes === null) {
      throw new WitnessError(
        `The head of ${origin} (${name}) is missing; nothing of it is cosigned until it is restored`,
      );
    }
    try {
      return decodeHead(bytes, origin);
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause;
      throw new WitnessError(`The head of ${origin} (${name}) is damaged: ${cause.message}; restore it`, { cause });
    }
  }

  /** Remembers a head; it is on disk when this returns. */
  saveHead(origin: string, head: StoredHead): void {
    this.#replace(headName(origin), encodeHead(head, origin));
  }

  #needed(name: string): Uint8Array {
    const bytes = this.disk.read(name);
    if (bytes === null) {
      throw new WitnessError(`There is no witness in the directory (${name} is missing); init makes one`);
    }
    return bytes;
  }

  #replace(name: string, bytes: Uint8Array, mode = 0o600): void {
    this.disk.writeSynced(`${name}.new`, bytes, mode);
    this.disk.rename(`${name}.new`, name);
    this.disk.syncDirectory();
  }
}

/** Runs `work` while no other program works on the directory. */
export async function locked<T>(directory: string, work: () => Promise<T>): Promise<T> {
  using file = Deno.openSync(`${directory}/${LOCK_FILE}`, { write: true, create: true, mode: 0o600 });
  await file.lock(true); // the kernel takes it back when this program ends, however it does
  return await work();
}

/** An origin may hold whatever a path may not. */
function headName(origin: string): string {
  return `head-${createHash("sha256").update(origin).digest("hex")}`;
}

function encodeHead({ size, root, time }: StoredHead, origin: string): Uint8Array {
  const text = `${HEAD_LINE}\n${origin}\n${size}\n${root.toBase64()}\n${time}\n`;
  return new TextEncoder().encode(`${text}${createHash("sha256").update(text).digest("hex")}\n`);
}

function decodeHead(bytes: Uint8Array, origin: string): StoredHead {
  const text = noteText(bytes), lines = text.split("\n");
  const [first, name, size, root, time, digest, end] = lines;
  if (lines.length !== 7 || first !== HEAD_LINE || end !== "") throw new WireError("It has other lines than a head");
  if (createHash("sha256").update(text.slice(0, -digest!.length - 1)).digest("hex") !== digest) {
    throw new WireError("Its digest is another");
  }
  if (name !== origin) throw new WireError(`It is of ${name}`);
  const hash = fromBase64(root!);
  if (hash.length !== HASH_BYTES) throw new WireError(`Its root has ${hash.length} bytes`);
  return { size: parseDecimal(size!), root: hash, time: parseDecimal(time!) };
}
