/**
 * Alerts in a file: one a line, appended, durable before it counts as written unless it is set otherwise.
 *
 * A line is written in the turn of the event loop in which its alert was stored, so that who follows the file has it
 * then: each wait for the loop would be one behind a batch. Only the disk is waited for.
 *
 * A disk that fills within a line must not leave half of one: the file is cut back to where it was, and the alerts stay
 * owed. After a crash the end of the file says which of the owed alerts are in it, so that no line comes twice; a format
 * that is not JSON does not say it, and the last lines before a crash may come twice. The file may be rotated by renaming
 * it, by others or by this sink where a size is set: the next write makes a new one. Its directory is trusted; a symbolic
 * link, a pipe or anything else in the file's place is not written to.
 *
 * @module
 */
import { fstatSync, writeSync } from "node:fs";
import { constants, type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import type { Alert } from "../../../proto/alert.ts";
import type { Severity } from "../../../proto/process_event.ts";
import type { FileSinkSettings } from "../../../proto/sink_settings.ts";
import { lstat } from "../../files.ts";
import { share } from "../../share.ts";
import { FORMATS, USUAL_VALUE_BYTES } from "../formats/format.ts";
import type { AlertFormat, FormatOptions } from "../../../proto/formats/alert_format.ts";
import type { Sink } from "../sink.ts";

/** What a crash may have left unnoted is one write, so at most this from the end of the file. */
const MAX_TAIL_BYTES = 16 << 20;

const FILE_MODE = 0o640;
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export class FileSink implements Sink {
  readonly name: string;
  readonly minSeverity: Severity;
  readonly #path: string;
  readonly #settings: FileSinkSettings;
  readonly #format: AlertFormat;
  readonly #options: FormatOptions;
  #handle: FileHandle | null = null;
  /** The file ends within a line that could not be cut off. */
  #torn = false;

  constructor(settings: FileSinkSettings, host: string) {
    this.name = settings.name;
    this.minSeverity = settings.minSeverity;
    this.#path = settings.path;
    this.#settings = settings;
    this.#format = FORMATS[settings.format];
    this.#options = { host, valueBytes: settings.format === "json" ? Infinity : USUAL_VALUE_BYTES };
  }

  async write(alerts: readonly Alert[]): Promise<void> {
    let handle = this.#inPlace() ?? await this.#opened();
    let { size } = fstatSync(handle.fd);
    const lines = alerts.map((alert) => this.#format.line(alert, this.#options) + "\n").join("");
    const encoded = new TextEncoder().encode(this.#torn ? "\n" + lines : lines);
    if (this.#isFull(size, encoded.length)) {
      await this.#rotate();
      handle = await this.#opened();
      size = fstatSync(handle.fd).size;
    }
    const header = size === 0 && this.#format.header !== null ? this.#format.header + "\n" : "";
    let rest = header === "" ? encoded : new TextEncoder().encode(header + lines);
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(handle.fd, rest));
      if (this.#settings.fsync === "always") await handle.datasync();
      this.#torn = false;
    } catch (error) {
      await this.#cutBack(handle, size);
      throw error;
    }
  }

  async written(alertIds: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const found = new Set<string>(), { idOf } = this.#format;
    if (alertIds.size === 0) return found;
    const tail = readTail(this.#path);
    const end = tail.lastIndexOf(0x0a) + 1;
    if (end < tail.length) await this.#cutTornLine(tail.length - end);
    if (idOf === undefined) return found;
    for (const line of new TextDecoder().decode(tail.subarray(0, end)).split("\n")) {
      const id = idIn(line, idOf);
      if (id !== null && alertIds.has(id)) found.add(id);
    }
    return found;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = null;
  }

  /** The open file, if it is still the one in its place. */
  #inPlace(): FileHandle | null {
    const inPlace = this.#handle === null ? null : lstat(this.#path);
    if (inPlace === null || inPlace.isSymlink) return null;
    const { ino, dev } = fstatSync(this.#handle!.fd);
    return inPlace.ino === ino && inPlace.dev === dev ? this.#handle : null;
  }

  /** The open file; opened again when another, or none, is in its place. */
  async #opened(): Promise<FileHandle> {
    const known = this.#inPlace();
    if (known !== null) return known;
    const inPlace = lstat(this.#path);
    if (inPlace?.isSymlink) throw new Error(`The alert file ${this.#path} is a symbolic link; name the file itself`);
    await this.close();
    const handle = await open(this.#path, FLAGS, FILE_MODE);
    const info = await handle.stat();
    if (!info.isFile() && !info.isCharacterDevice()) {
      await handle.close();
      throw new Error(`The alert file ${this.#path} is not a regular file; name one`);
    }
    if (inPlace === null) share(this.#path, FILE_MODE);
    return this.#handle = handle;
  }

  /** A file that is empty takes whatever comes: it would not get any smaller. */
  #isFull(size: number, more: number): boolean {
    const { rotateBytes } = this.#settings;
    return rotateBytes > 0 && size > 0 && size + more > rotateBytes;
  }

  /** `path.2` to `path.3`, `path.1` to `path.2`, the file to `path.1`; the oldest goes. A crash between leaves a gap. */
  async #rotate(): Promise<void> {
    await this.close();
    for (let i = this.#settings.rotateKeep - 1; i >= 0; i--) {
      const from = i === 0 ? this.#path : `${this.#path}.${i}`;
      if (lstat(from) !== null) Deno.renameSync(from, `${this.#path}.${i + 1}`);
    }
    this.#torn = false;
    try {
      const directory = Deno.openSync(dirname(this.#path), { read: true });
      try {
        directory.syncSync();
      } finally {
        directory.close();
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotCapable)) throw error; // a directory that only the file's names are granted of
    }
  }

  async #cutBack(handle: FileHandle, size: number): Promise<void> {
    try {
      await handle.truncate(size);
    } catch {
      this.#torn = true; // a device, or a disk that does not even shrink a file: the next write begins a new line
    }
  }

  /** A crash within a write left the begin of a line, whose alert is still owed. */
  async #cutTornLine(bytes: number): Promise<void> {
    const handle = await this.#opened();
    const { size } = await handle.stat();
    await handle.truncate(size - bytes);
  }
}

function readTail(path: string): Uint8Array {
  const info = lstat(path);
  if (info === null || !info.isFile) return new Uint8Array();
  using file = Deno.openSync(path);
  const begin = Math.max(0, info.size - MAX_TAIL_BYTES);
  file.seekSync(begin, Deno.SeekMode.Start);
  const bytes = new Uint8Array(info.size - begin);
  let length = 0;
  for (let count: number | null = 0; count !== null && length < bytes.length; length += count ?? 0) {
    count = file.readSync(bytes.subarray(length));
  }
  return bytes.subarray(0, length);
}

function idIn(line: string, idOf: (parsed: unknown) => unknown): string | null {
  try {
    const id = idOf(JSON.parse(line));
    return typeof id === "string" ? id : null;
  } catch {
    return null; // a line that somebody else put there, or the cut begin of the first
  }
}
