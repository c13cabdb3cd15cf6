/**
 * Archives of tar, as far as rules need them: regular files of text.
 *
 * Read are ustar with GNU's and pax's long names; what is no regular file is passed over. Written are ustar with plain
 * names of ASCII, of one owner and no time, so that the same rules give the same bytes.
 *
 * @module
 */
export const BLOCK = 512;
const MAX_PATH = 1_024;

export interface TarFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** An archive is none, or ends too early. */
export class TarError extends Error {
  override name = "TarError";
}

/** The regular files of an archive. @throws TarError */
export function* readTar(archive: Uint8Array): Generator<TarFile> {
  let longName: string | null = null;
  for (let at = 0; at + BLOCK <= archive.length;) {
    const header = archive.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return;
    if (header[0] === 0x1f && header[1] === 0x8b) throw new TarError("It is compressed; unpack it first, by gunzip -c");
    if (octal(header, 148, 8) !== checksum(header)) {
      throw new TarError(`It is no tar archive, or damaged at byte ${at}`);
    }
    const size = octal(header, 124, 12), begin = at + BLOCK, end = begin + size;
    if (!Number.isSafeInteger(size) || end > archive.length) throw new TarError("It ends before its last file does");
    const bytes = archive.subarray(begin, end), type = String.fromCharCode(header[156]!);
    at = begin + Math.ceil(size / BLOCK) * BLOCK;
    if (type === "L") longName = text(bytes, 0, Math.min(size, MAX_PATH));
    else if (type === "x") longName = paxPath(bytes) ?? longName;
    else if (type !== "g") {
      const prefix = text(header, 257, 5) === "ustar" ? text(header, 345, 155) : "";
      const path = longName ?? (prefix === "" ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`);
      longName = null;
      if (type === "0" || type === "\0") yield { path, bytes };
    }
  }
}

/** An archive of texts. @throws RangeError for a path that ustar has no room for */
export function writeTar(
  files: readonly { readonly path: string; readonly text: string }[],
  write: (text: string) => void,
): void {
  const encoder = new TextEncoder();
  for (const { path, text } of files) {
    const size = encoder.encode(text).length;
    write(headerOf(path, size));
    write(text);
    write("\0".repeat((BLOCK - size % BLOCK) % BLOCK));
  }
  write("\0".repeat(2 * BLOCK));
}

/** The 512 bytes before a regular file: the same for the same name and size. @throws RangeError as {@linkcode writeTar} */
export function tarHeader(path: string, size: number): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(headerOf(path, size));
}

/** What `size` bytes take in an archive behind their header: they are filled up with zeros. */
export function tarRoom(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/** A path with the characters that every archive holds, without parts that lead elsewhere. */
export function plainPath(path: string): string {
  return path.split("/").map((part) => part.replace(/[^A-Za-z0-9._-]/g, "_")).filter((part) => !/^\.*$/.test(part))
    .join("/");
}

/** Whether ustar has room for a path. */
export function fitsTar(path: string): boolean {
  return splitPath(path) !== null;
}

function splitPath(path: string): { name: string; prefix: string } | null {
  if (path.length <= 100) return { name: path, prefix: "" };
  const cut = path.indexOf("/", path.length - 101);
  return cut < 0 || cut > 155 ? null : { name: path.slice(cut + 1), prefix: path.slice(0, cut) };
}

function headerOf(path: string, size: number): string {
  const split = splitPath(path);
  if (split === null || /[^ -~]/.test(path)) throw new RangeError(`No archive holds the path ${path}`);
  const field = (value: string, width: number): string => value.padEnd(width, "\0");
  const number = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, "0")}\0`;
  const begin = field(split.name, 100) + number(0o644, 8) + number(0, 8) + number(0, 8) + number(size, 12) +
    number(0, 12);
  const rest = `0${field("", 100)}ustar\0` + "00" + field("root", 32) + field("root", 32) + number(0, 8) +
    number(0, 8) +
    field(split.prefix, 155) + field("", 12);
  const sum = [...begin + " ".repeat(8) + rest].reduce((total, character) => total + character.charCodeAt(0), 0);
  return `${begin}${sum.toString(8).padStart(6, "0")}\0 ${rest}`;
}

function checksum(header: Uint8Array): number {
  return header.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 32 : byte), 0);
}

function octal(bytes: Uint8Array, at: number, length: number): number {
  const digits = text(bytes, at, length).trim();
  return /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
}

function text(bytes: Uint8Array, at: number, length: number): string {
  const field = bytes.subarray(at, at + length), end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

function paxPath(bytes: Uint8Array): string | null {
  const records = new TextDecoder().decode(bytes.subarray(0, 65_536));
  return /(?:^|\n)[0-9]+ path=([^\n]{1,1024})\n/.exec(records)?.[1] ?? null;
}
