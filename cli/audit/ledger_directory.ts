/**
 * A ledger's directory as this program reads it: while the collector writes to it, or as a copy.
 *
 * What the files hold is judged by who asked for them. What keeps them from being read at all, such as missing rights
 * or a disk that fails, is a {@linkcode CommandError}: no verdict comes of it.
 *
 * @module
 */
import { resolve } from "node:path";
import { HEADER_NAME, parseSegmentName } from "../../proto/ledger/layout.ts";
import { MAX_HEADER_BYTES, otherHeaderVersion } from "../../proto/ledger/header.ts";
import type { LedgerSource } from "../../proto/ledger/segment_stream.ts";
import { type Call, CommandError } from "../command.ts";
import { readProblem } from "../file_problem.ts";
import { heldLedger, type ReadLedger } from "../held_state.ts";
import { findPlaces } from "../settings.ts";

/** Files that are open at a time: a ledger of years has more than a process may open. */
const MAX_OPEN = 64;
/** Names under which the writer makes files before they get their own. */
const UNFINISHED = /^(?:header|state|checkpoint|payloads-\d{6,11})\.new$/;

export class LedgerDirectory implements LedgerSource, Disposable {
  readonly live = true;
  readonly #files = new Map<string, Deno.FsFile | null>();

  private constructor(readonly path: string) {}

  /** The ledger that `--ledger` names, or that of the state directory. @throws CommandError when there is none. */
  static of(call: Call): ReadLedger {
    const named = call.values["ledger"] as string | undefined;
    const path = named === undefined ? findPlaces(call).layout.ledger : resolve(named), held = heldLedger(path);
    if (held === null) throw new CommandError("The bundle has no audit ledger: there was none, or it was left out");
    return held ?? LedgerDirectory.open(path);
  }

  /** @throws CommandError */
  static open(path: string): LedgerDirectory {
    const directory = new LedgerDirectory(path);
    if (!directory.names().some((name) => name === HEADER_NAME || parseSegmentName(name) !== null)) {
      throw new CommandError(`There is no audit ledger in ${path}; --ledger names another directory`);
    }
    const header = new Uint8Array(MAX_HEADER_BYTES), length = directory.read(HEADER_NAME, 0, header);
    const version = otherHeaderVersion(header.subarray(0, length));
    if (version === null) return directory;
    directory[Symbol.dispose]();
    throw new CommandError(
      `The ledger in ${path} has version ${version}, which this program does not read; use the one that wrote it`,
    );
  }

  names(): readonly string[] {
    try {
      return [...Deno.readDirSync(this.path)].map(({ name }) => name).filter((name) => !UNFINISHED.test(name));
    } catch (error) {
      const problem = readProblem(error);
      throw new CommandError(
        problem === "absent"
          ? `There is no audit ledger: ${this.path} does not exist; --state or --ledger says where it is`
          : `The audit ledger ${this.path} cannot be read: ${problem}`,
        { cause: error },
      );
    }
  }

  size(name: string): number | null {
    return this.#reading(name, () => this.#file(name)?.statSync().size ?? null);
  }

  read(name: string, position: number, into: Uint8Array): number {
    return this.#reading(name, () => {
      const file = this.#file(name);
      if (file === null) return 0;
      file.seekSync(position, Deno.SeekMode.Start);
      return file.readSync(into) ?? 0;
    });
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) file?.close();
    this.#files.clear();
  }

  /** Stays open, so that a file that is replaced meanwhile is the same one from its first byte to its last. */
  #file(name: string): Deno.FsFile | null {
    let file = this.#files.get(name);
    if (file !== undefined) return file;
    if (this.#files.size >= MAX_OPEN) this[Symbol.dispose]();
    file = this.#found(name);
    this.#files.set(name, file);
    return file;
  }

  #found(name: string): Deno.FsFile | null {
    const path = `${this.path}/${name}`;
    try {
      // To open a named pipe in its place would wait for ever.
      if (!Deno.statSync(path).isFile) {
        throw new CommandError(`${path} is not a regular file; verify a copy without it`);
      }
      return Deno.openSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }

  #reading<T>(name: string, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw new CommandError(`${this.path}/${name} cannot be read: ${readProblem(error)}`, { cause: error });
    }
  }
}
