/**
 * Finds rule files and tells whether they changed.
 *
 * The directories are trusted to the operator, the files are not: what is no regular file, a symbolic link included, is
 * passed over, and each is bounded.
 *
 * @module
 */
export const MAX_RULE_FILE_BYTES = 262_144;
/** Directories within directories. */
const MAX_DEPTH = 8;

/** The rule files of one directory, or why it cannot be read. */
export type Listing =
  | { readonly directory: string; readonly paths: readonly string[] }
  | { readonly directory: string; readonly fault: string };

/** Of a rules directory, the part that holds no rules over events but what is analysed, and when. */
export const ANALYSIS_DIRECTORY = "analysis";

/** Every rule file of a rules directory: `*.yml` and `*.yaml` below it, but for {@linkcode ANALYSIS_DIRECTORY}. */
export function listRules(directory: string): Listing {
  return listFilesBelow(directory, ANALYSIS_DIRECTORY);
}

/** Every `*.yml` and `*.yaml` below a directory, in the order of their names, but for those in one directory of it. */
export function listFilesBelow(directory: string, except: string | null = null): Listing {
  const found: string[] = [];
  const walk = (path: string, depth: number): void => {
    const entries = [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1);
    for (const entry of entries) {
      const child = `${path}/${entry.name}`;
      // A symbolic link is neither: it could lead out of what the operator named.
      if (entry.isDirectory && depth < MAX_DEPTH && !(depth === 0 && entry.name === except)) walk(child, depth + 1);
      else if (entry.isFile && /\.ya?ml$/.test(entry.name)) found.push(child);
    }
  };
  try {
    walk(directory, 0);
    return { directory, paths: found };
  } catch (error) {
    return {
      directory,
      fault: error instanceof Deno.errors.NotFound ? "does not exist" : `cannot be read (${words(error)})`,
    };
  }
}

/** Changes whenever the file does; `null` when it is gone. @throws Error of the file system */
export function stampOf(file: string): string | null {
  try {
    const { ino, size, mtime, ctime } = Deno.statSync(file);
    return `${ino} ${size} ${mtime?.getTime()} ${ctime?.getTime()}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/**
 * Reads a file of at most {@linkcode MAX_RULE_FILE_BYTES}, whatever it becomes while it is read: one that another takes
 * the place of is read whole, as it was; one that is written to in place is refused, since half of it may be new. A writer
 * that pauses leaves a file that ends early and looks whole: the next load sees the rest. The byte order mark is kept.
 *
 * @throws RangeError, TypeError, or an error of the file system
 */
export function readRule(file: string): string {
  // Opening a pipe would wait for its writer
  if (!Deno.lstatSync(file).isFile) throw new TypeError("It is no file any more; put one there, or remove it");
  using handle = Deno.openSync(file, { read: true });
  const before = handle.statSync();
  const bytes = new Uint8Array(Math.min(before.size, MAX_RULE_FILE_BYTES) + 1);
  let length = 0;
  while (length < bytes.length) {
    const read = handle.readSync(bytes.subarray(length));
    if (read === null) break;
    length += read;
  }
  if (before.size > MAX_RULE_FILE_BYTES || length > MAX_RULE_FILE_BYTES) {
    throw new RangeError(
      `The file has ${Math.max(before.size, length)} bytes; at most ${MAX_RULE_FILE_BYTES} are read`,
    );
  }
  const after = handle.statSync();
  if (length !== before.size || after.size !== before.size || after.mtime?.getTime() !== before.mtime?.getTime()) {
    throw new RangeError("The file was written to while it was read; write a new one beside it and rename that");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, length));
  } catch (error) {
    throw new TypeError("The file is not UTF-8; save it as UTF-8", { cause: error });
  }
}

export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
