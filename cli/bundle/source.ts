/**
 * The bytes of a bundle: a regular file that is read in place, or standard input, which is read whole.
 *
 * @module
 */
import { resolve } from "node:path";
import { type Call, CommandError } from "../command.ts";
import { fileProblem, readProblem } from "../file_problem.ts";
import { bytes as byteWords } from "../units.ts";

/** Longest bundle on standard input, which is kept in memory. */
const MAX_STDIN_BYTES = 1_073_741_824;
/** Its name. */
export const STDIN = "stdin";

export interface ByteSource extends Disposable {
  /** For a person. */
  readonly name: string;
  readonly size: number;
  /** Exactly `length` bytes from `position` on. @throws CommandError when they are not there any more */
  read(position: number, length: number): Uint8Array<ArrayBuffer>;
}

/** Opens what a command line names; "-" is standard input. @throws CommandError */
export function openSource(call: Call, path: string): ByteSource {
  return path === "-" ? memorySource(STDIN, call.readStdin(MAX_STDIN_BYTES)) : fileSource(path);
}

export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read: (position, length) => {
      const piece = bytes.slice(position, position + length);
      if (piece.length < length) throw new RangeError(`There are no ${length} bytes at ${position}`);
      return piece as Uint8Array<ArrayBuffer>;
    },
    [Symbol.dispose]: () => {},
  };
}

function fileSource(path: string): ByteSource {
  const place = resolve(path), problem = fileProblem(place);
  if (problem === "absent") throw new CommandError(`There is no bundle ${path}`);
  if (problem !== null) {
    throw new CommandError(`The bundle ${path} cannot be read: ${problem}; or hand it over on standard input, as "-"`);
  }
  const file = openFile(place, path), { size } = file.statSync();
  return {
    name: path,
    size,
    read: (position, length) => {
      const into = new Uint8Array(length);
      try {
        file.seekSync(position, Deno.SeekMode.Start);
        let done = 0;
        while (done < length) {
          const count = file.readSync(into.subarray(done));
          if (count === null) break;
          done += count;
        }
        if (done === length) return into;
      } catch (error) {
        throw new CommandError(`The bundle ${path} cannot be read: ${readProblem(error)}`, { cause: error });
      }
      throw new CommandError(`The bundle ${path} became shorter than ${byteWords(size)} while it was read`);
    },
    [Symbol.dispose]: () => file.close(),
  };
}

function openFile(place: string, path: string): Deno.FsFile {
  try {
    return Deno.openSync(place);
  } catch (error) {
    throw new CommandError(`The bundle ${path} cannot be read: ${readProblem(error)}`, { cause: error });
  }
}
