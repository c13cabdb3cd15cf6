/**
 * An evidence bundle that somebody handed over, checked to the last bit before anything of it is believed.
 *
 * It is read from its end: the note says hash and length of the manifest, the manifest those of every member, and from
 * them it follows where each byte of the file must be. Headers and the zeros between members are compared with what
 * they must be, members with their hashes before they are unpacked, and unpacked no further than the manifest declares.
 * Whatever does not hold is a {@linkcode BundleRefusedError} that names the member.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { sameBytes } from "../../proto/ledger/hash.ts";
import { WireError } from "../../proto/wire_error.ts";
import type { Cell } from "../output.ts";
import { BLOCK, tarHeader, tarRoom } from "../tar.ts";
import { BundleRefusedError } from "./bundle_refused.ts";
import { collectedTables } from "./collected_members.ts";
import { type Manifest, type Member, parseManifest } from "./manifest.ts";
import { type BundledTable, MANIFEST_NAME, MAX_MANIFEST_BYTES, MAX_NOTE_BYTES, NOTE_NAME } from "./members.ts";
import { type BundleNote, checkSignature, parseBundleNote } from "./note.ts";
import { RowReader } from "./rows.ts";
import type { ByteSource } from "./source.ts";

/** Every gzip of ours begins so: no time, no name (RFC 1952, section 2.3). */
const GZIP_START = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3);
const END_BYTES = 2 * BLOCK;

export class BundleReader {
  readonly #source: ByteSource;
  readonly #positions = new Map<Member, number>();
  #collected: ReadonlyMap<string, BundledTable> | null = null;

  private constructor(source: ByteSource, readonly manifest: Manifest, readonly note: BundleNote) {
    this.#source = source;
    let position = 0;
    for (const member of manifest.members) {
      this.#positions.set(member, position);
      position += BLOCK + tarRoom(member.stored);
    }
  }

  /** Reads a bundle whose signature holds. @throws BundleRefusedError @throws NewerBundleError */
  static async open(source: ByteSource): Promise<BundleReader> {
    const reader = BundleReader.unsigned(source);
    try {
      await checkSignature(reader.note, reader.manifest.signer);
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause;
      throw new BundleRefusedError(NOTE_NAME, cause.message, { cause });
    }
    return reader;
  }

  /**
   * Checks note and manifest, and that the file has room for the members and no more, but no signature.
   *
   * @throws BundleRefusedError @throws NewerBundleError
   */
  static unsigned(source: ByteSource): BundleReader {
    const noteAt = findNote(source);
    const note = refusing(NOTE_NAME, () => parseBundleNote(fileAt(source, NOTE_NAME, noteAt)));
    if (note.size > MAX_MANIFEST_BYTES) {
      throw new BundleRefusedError(NOTE_NAME, `it declares a manifest of ${note.size} bytes`);
    }
    const manifestAt = noteAt - BLOCK - tarRoom(note.size);
    if (manifestAt < 0 || !isHeaderOf(MANIFEST_NAME, source.read(manifestAt, BLOCK))) {
      const there = findManifest(source, noteAt);
      if (there === null) {
        throw new BundleRefusedError(MANIFEST_NAME, "its header is damaged, or a part of it is missing");
      }
      throw new BundleRefusedError(
        NOTE_NAME,
        `it declares a manifest of ${note.size} bytes, and there is one of ${there}`,
      );
    }
    const bytes = fileAt(source, MANIFEST_NAME, manifestAt);
    if (bytes.length !== note.size || sha256(bytes) !== note.sha256) {
      throw new BundleRefusedError(
        MANIFEST_NAME,
        `it is not the one that ${NOTE_NAME} was made for: one of the two was changed`,
      );
    }
    const manifest = refusing(MANIFEST_NAME, () => parseManifest(decoded(bytes)));
    const end = manifest.members.reduce((sum, { stored }) => sum + BLOCK + tarRoom(stored), 0);
    if (end !== manifestAt) throw misplaced(source, manifest, end, manifestAt);
    return new BundleReader(source, manifest, note);
  }

  get name(): string {
    return this.#source.name;
  }

  get size(): number {
    return this.#source.size;
  }

  /** What a member holds, checked. @throws BundleRefusedError */
  content(member: Member): Uint8Array<ArrayBuffer> {
    const packed = this.#stored(member), { name, bytes } = member;
    if (!sameBytes(packed.subarray(0, GZIP_START.length), GZIP_START)) {
      throw new BundleRefusedError(name, "it is not packed as members are");
    }
    let content: Uint8Array;
    try {
      content = gunzipSync(packed, { maxOutputLength: Math.max(1, bytes) });
    } catch (cause) {
      const isTooMuch = cause instanceof RangeError;
      const reason = isTooMuch
        ? `it unpacks to more than the ${bytes} bytes that it declares`
        : "it cannot be unpacked";
      throw new BundleRefusedError(name, reason, { cause });
    }
    if (content.length !== bytes) {
      throw new BundleRefusedError(name, `it unpacks to ${content.length} bytes, and declares ${bytes}`);
    }
    return new Uint8Array(content.buffer as ArrayBuffer, content.byteOffset, content.length);
  }

  /** The tables that collectors brought, by name. @throws BundleRefusedError when one cannot be */
  get collected(): ReadonlyMap<string, BundledTable> {
    return this.#collected ??= collectedTables(this);
  }

  /** The table that a member has rows of; `null` for what has none. @throws BundleRefusedError when nothing says */
  tableOf({ name, place }: Member): BundledTable | null {
    if (place.kind === "table") return place.table;
    if (place.kind !== "collected") return null;
    const table = this.collected.get(place.table);
    if (table === undefined) throw new BundleRefusedError(name, "collected_tables does not say what its columns are");
    return table;
  }

  /** The rows of a member of a table. @throws BundleRefusedError that names the line */
  *rows(member: Member): Generator<Cell[]> {
    const table = this.tableOf(member);
    if (table === null) throw new RangeError(`${member.name} is no part of a table`);
    const content = this.content(member);
    try {
      yield* new RowReader(table).rows(content, member.rows!);
    } catch (cause) {
      if (!(cause instanceof WireError)) throw cause;
      throw new BundleRefusedError(member.name, cause.message, { cause });
    }
  }

  /** A member as it is stored, with the header before it and the zeros behind it. */
  #stored(member: Member): Uint8Array {
    const { name, stored } = member;
    const all = this.#source.read(this.#positions.get(member)!, BLOCK + tarRoom(stored));
    if (!sameBytes(all.subarray(0, BLOCK), tarHeader(name, stored))) {
      throw new BundleRefusedError(name, "its header is not the one that the manifest asks for");
    }
    const packed = all.subarray(BLOCK, BLOCK + stored);
    if (sha256(packed) !== member.sha256) throw new BundleRefusedError(name, "its SHA-256 is not that of the manifest");
    if (!isZero(all.subarray(BLOCK + stored))) throw new BundleRefusedError(name, "something stands behind it");
    return packed;
  }
}

/** Where the note's header is: before the end, so near that one need not look far. */
function findNote(source: ByteSource): number {
  const { size } = source, cut = (): BundleRefusedError => brokenEnd(source);
  if (size < 2 * BLOCK + END_BYTES || size % BLOCK !== 0) throw cut();
  if (!isZero(source.read(size - END_BYTES, END_BYTES))) throw cut();
  const furthest = Math.max(0, size - END_BYTES - BLOCK - tarRoom(MAX_NOTE_BYTES));
  for (let at = size - END_BYTES - 2 * BLOCK; at >= furthest; at -= BLOCK) {
    const header = source.read(at, BLOCK), length = size - END_BYTES - BLOCK - at;
    const told = sizeIn(header);
    if (tarRoom(told) === length && sameBytes(header, tarHeader(NOTE_NAME, told))) return at;
  }
  throw cut();
}

/** Length of the manifest whose header is so far before the note as it says; `null` when there is none. */
function findManifest(source: ByteSource, noteAt: number): number | null {
  const furthest = Math.max(0, noteAt - BLOCK - tarRoom(MAX_MANIFEST_BYTES));
  for (let at = noteAt - 2 * BLOCK; at >= furthest; at -= BLOCK) {
    const header = source.read(at, BLOCK), told = sizeIn(header);
    if (tarRoom(told) === noteAt - BLOCK - at && isHeaderOf(MANIFEST_NAME, header)) return told;
  }
  return null;
}

function isHeaderOf(name: string, header: Uint8Array): boolean {
  const size = sizeIn(header);
  return Number.isSafeInteger(size) && sameBytes(header, tarHeader(name, size));
}

/** What a header says of the length of its file; `NaN` when that is no number. */
function sizeIn(header: Uint8Array): number {
  return parseInt(new TextDecoder().decode(header.subarray(124, 135)), 8);
}

/** The content of a file whose header is at a place. @throws BundleRefusedError */
function fileAt(source: ByteSource, name: string, at: number): Uint8Array<ArrayBuffer> {
  const header = source.read(at, BLOCK), size = sizeIn(header);
  if (!Number.isSafeInteger(size) || size > MAX_MANIFEST_BYTES || !sameBytes(header, tarHeader(name, size))) {
    throw new BundleRefusedError(name, "its header is damaged, or it is missing");
  }
  if (at + BLOCK + tarRoom(size) > source.size) throw new BundleRefusedError(name, "it is cut off");
  const room = source.read(at + BLOCK, tarRoom(size));
  if (!isZero(room.subarray(size))) throw new BundleRefusedError(name, "something stands behind it");
  return room.slice(0, size);
}

/**
 * Why there is no note at the end. The headers are gone along, each a promise of the next, to say where the file ends or
 * stops being one.
 */
function brokenEnd(source: ByteSource): BundleRefusedError {
  let last = "";
  for (let at = 0; at + BLOCK <= source.size;) {
    const header = source.read(at, BLOCK);
    const name = new TextDecoder().decode(header.subarray(0, 100)).replace(/\0[^]*$/, "");
    const size = sizeIn(header);
    if (!isHeader(header, name, size)) {
      if (last === "") break;
      if (last === NOTE_NAME) return new BundleRefusedError(NOTE_NAME, "the file is cut off behind it, or goes on");
      if (last === MANIFEST_NAME) return new BundleRefusedError(NOTE_NAME, "its header is damaged");
      return new BundleRefusedError(`behind ${last}`, "the header of the next member is damaged, or the file is none");
    }
    at += BLOCK + tarRoom(size);
    if (at > source.size) return new BundleRefusedError(name, "the file is cut off within it");
    last = name;
  }
  if (last === "") return new BundleRefusedError("the file", "it is no bundle: it does not begin with a member of one");
  return new BundleRefusedError(
    last === NOTE_NAME ? NOTE_NAME : `behind ${last}`,
    `the file is cut off, and its end with ${NOTE_NAME} is missing or damaged`,
  );
}

function isHeader(header: Uint8Array, name: string, size: number): boolean {
  if (name === "" || name.length > 100 || /[^ -~]/.test(name) || !Number.isSafeInteger(size)) return false;
  return sameBytes(header, tarHeader(name, size));
}

/** The members take another room than there is: the first whose header is not where it must be. */
function misplaced(source: ByteSource, manifest: Manifest, end: number, manifestAt: number): BundleRefusedError {
  let at = 0;
  for (const { name, stored } of manifest.members) {
    if (at + BLOCK > manifestAt || !sameBytes(source.read(at, BLOCK), tarHeader(name, stored))) {
      return new BundleRefusedError(name, "it is not where the manifest says: missing, or something stands before it");
    }
    at += BLOCK + tarRoom(stored);
  }
  return new BundleRefusedError(
    MANIFEST_NAME,
    end < manifestAt ? `${manifestAt - end} bytes before it are of no member` : "members before it are missing",
  );
}

function refusing<T>(member: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new BundleRefusedError(member, cause.message, { cause });
  }
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new WireError("It is not UTF-8", { cause });
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
