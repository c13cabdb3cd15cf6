/**
 * A file that grows, followed through rotation and truncation, a piece at a time.
 *
 * The file is known by its inode and its first bytes. When another one has its name, what was not read of the old one is
 * read first, from the open file or, after a restart, from `NAME.1`. When it is shorter than was read, or begins with other
 * bytes, it was truncated. What may be missing is said, not guessed.
 *
 * @module
 */

const PIECE_BYTES = 65_536, HEAD_BYTES = 256;

/** How far a file was read. */
export interface FilePosition {
  readonly inode: number;
  readonly offset: number;
  /** The first bytes, in hexadecimal. */
  readonly head: string;
}

/** What comes next. */
export type Piece =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** What comes after this is of another file; `missing` says what may be lost, and is `null` when nothing is. */
  | { readonly kind: "other"; readonly missing: string | null };

export class FollowedFile {
  readonly #path: string;
  #file: Deno.FsFile | null = null;
  #inode = 0;
  #offset = 0;
  #head = "";

  /** Goes on at a position, or begins at the end of what is there, or at its start. */
  constructor(path: string, from: FilePosition | "start" | "end") {
    this.#path = path;
    if (typeof from !== "string") {
      this.#inode = from.inode;
      this.#offset = from.offset;
      this.#head = from.head;
    } else if (from === "end") {
      this.#open(path);
      this.#offset = this.#file?.statSync().size ?? 0;
      this.#head = this.#headOf();
    }
  }

  get position(): FilePosition {
    return { inode: this.#inode, offset: this.#offset, head: this.#head };
  }

  /** The next piece; `null` while there is none. @throws Deno.errors when the file may not be read */
  next(): Piece | null {
    if (this.#file === null) {
      const found = this.#find();
      if (found !== null) return found;
      if (this.#file === null) return null;
    }
    const file = this.#file!, { size } = file.statSync();
    const isOther = !this.#headOf().startsWith(this.#head);
    if (size < this.#offset || isOther) {
      this.#offset = 0;
      this.#head = "";
      return { kind: "other", missing: `${this.#path} was truncated: lines that were not read before that are lost` };
    }
    if (size > this.#offset) {
      const bytes = new Uint8Array(Math.min(PIECE_BYTES, size - this.#offset));
      file.seekSync(this.#offset, Deno.SeekMode.Start);
      const length = file.readSync(bytes) ?? 0;
      this.#offset += length;
      if (this.#head.length < 2 * HEAD_BYTES) this.#head = this.#headOf();
      if (length > 0) return { kind: "bytes", bytes: bytes.subarray(0, length) };
    }
    // All of it is read: is it still the one of that name?
    const now = statOf(this.#path);
    if (now === null || now.ino === this.#inode) return null;
    this.close();
    this.#offset = 0;
    this.#head = "";
    this.#inode = 0;
    return { kind: "other", missing: null };
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  /** Opens the file that the position is of, wherever it is now. */
  #find(): Piece | null {
    if (this.#inode === 0) {
      this.#open(this.#path);
      return null;
    }
    for (const path of [this.#path, `${this.#path}.1`]) {
      if (statOf(path)?.ino !== this.#inode) continue;
      this.#open(path);
      return null;
    }
    if (statOf(this.#path) === null) return null;
    this.#inode = this.#offset = 0;
    this.#head = "";
    return { kind: "other", missing: `${this.#path} was rotated away: lines that came before its rotation are lost` };
  }

  #open(path: string): void {
    try {
      const file = Deno.openSync(path, { read: true }), { ino, isFile } = file.statSync();
      if (!isFile) {
        file.close();
        throw new Deno.errors.NotFound(`${path} is no file`);
      }
      this.#file = file;
      this.#inode = ino ?? 0;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** The first bytes of what is open. */
  #headOf(): string {
    if (this.#file === null) return "";
    const bytes = new Uint8Array(HEAD_BYTES);
    this.#file.seekSync(0, Deno.SeekMode.Start);
    const length = this.#file.readSync(bytes) ?? 0;
    return bytes.subarray(0, length).toHex();
  }
}

function statOf(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) return null;
    throw error;
  }
}
