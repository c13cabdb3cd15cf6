/**
 * Files that others put into the request spool, looked at, opened, read and removed so that none of them can do harm.
 *
 * Nothing is trusted: a name may lead to another file with every call. Deno resolves links before it opens, so what is
 * opened is compared with what was looked at, and is used only if both are the same regular file with one name. Opening
 * never waits (`O_NONBLOCK`: a pipe without a writer), has no effect of its own (nothing is made or cut), and reading is
 * bounded. A call that does not come back, as below a file system of the user's own, costs its deadline and that name.
 * What is refused throws {@linkcode FileRefusal}; other errors are those of the file system.
 *
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** Why a file is not taken, each as a person reads it. */
export const FILE_FAULTS = {
  kind: "no regular file",
  name: "a name that no request has",
  long: "longer than a request may be",
  linked: "a file with several names",
  swapped: "another file when it was opened",
  changed: "written to while it was read",
  owner: "an owner who is not proven to be in the group of operators",
  access: "not to be read",
  unanswerable: "no reply file of the same owner, empty and to be written by the agent",
  many: "more files than one user may have lying there",
  late: "left lying",
  stuck: "no answer from its file system",
  kept: "not to be removed",
} as const;
export type FileFault = keyof typeof FILE_FAULTS;

export class FileRefusal extends Error {
  override name = "FileRefusal";
  constructor(readonly fault: FileFault, options?: ErrorOptions) {
    super(FILE_FAULTS[fault], options);
  }
}

/** What a file is, at one moment. */
export interface Looked {
  readonly isFile: boolean;
  readonly dev: number;
  readonly ino: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  /** Unix milliseconds: of the last change of its content as its owner says, and of any change as the kernel does. */
  readonly modified: number;
  readonly changed: number;
}

/** For one call: they come back at once, or never. */
const CALL_DEADLINE_MS = 5_000;

/** What a call gives in time. @throws what the call throws, and when it does not come back, what `tooLate` makes */
export async function timely<T>(
  call: Promise<T>,
  deadlineMs = CALL_DEADLINE_MS,
  tooLate: () => Error = () => new FileRefusal("stuck"),
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => timer = setTimeout(() => reject(tooLate()), deadlineMs));
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What lies at a path, links not followed; `null` when nothing does any more. */
export async function lookAt(path: string): Promise<Looked | null> {
  try {
    return lookedOf(await timely(Deno.lstat(path)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Takes the name away; a directory only if it is empty. Whether it is gone. */
export async function remove(path: string): Promise<boolean> {
  try {
    await timely(Deno.remove(path));
    return true;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}

/** All of the file that was looked at, if it is no longer than `most`. @throws FileRefusal */
export async function readFile(path: string, looked: Looked, most: number): Promise<Uint8Array> {
  if (looked.size > most) throw new FileRefusal("long");
  const file = await openSame(path, looked, constants.O_RDONLY);
  try {
    const bytes = new Uint8Array(most + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await timely(file.read(bytes, length, bytes.length - length, null));
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > most) throw new FileRefusal("long");
    const { size, modified } = await lookInto(file);
    if (size !== looked.size || length !== size || modified !== looked.modified) throw new FileRefusal("changed");
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}

/** The empty file of the same user at `path`, to be written to its end. @throws FileRefusal */
export async function openReply(path: string, userId: number): Promise<FileHandle> {
  const looked = await lookAt(path);
  if (looked === null || !looked.isFile || looked.uid !== userId || looked.size !== 0) {
    throw new FileRefusal("unanswerable");
  }
  try {
    return await openSame(path, looked, constants.O_WRONLY | constants.O_APPEND);
  } catch (cause) {
    if (cause instanceof FileRefusal && cause.fault === "stuck") throw cause;
    throw new FileRefusal("unanswerable", { cause });
  }
}

/** Opens what was looked at, and nothing else. */
async function openSame(path: string, looked: Looked, flags: number): Promise<FileHandle> {
  if (!looked.isFile) throw new FileRefusal("kind");
  if (looked.links !== 1) throw new FileRefusal("linked");
  let file: FileHandle;
  const opening = open(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    file = await timely(opening);
  } catch (error) {
    // One that comes back after all is not left open
    opening.then((late) => late.close(), () => {});
    if (error instanceof FileRefusal) throw error;
    const { code } = error as { code?: string };
    throw new FileRefusal(code === "ENOENT" || code === "ELOOP" || code === "ENXIO" ? "swapped" : "access", {
      cause: error,
    });
  }
  try {
    const now = await lookInto(file);
    if (!now.isFile || now.dev !== looked.dev || now.ino !== looked.ino || now.uid !== looked.uid) {
      throw new FileRefusal("swapped");
    }
    if (now.links !== 1) throw new FileRefusal("linked");
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function lookInto(file: FileHandle): Promise<Looked> {
  const stat = await timely(file.stat()), { dev, ino, uid, gid, nlink, size, mtimeMs, ctimeMs } = stat;
  return {
    ...{ isFile: stat.isFile(), dev, ino, uid, gid, links: nlink, size },
    ...{ modified: Math.floor(mtimeMs), changed: Math.floor(ctimeMs) },
  };
}

function lookedOf({ isFile, dev, ino, uid, gid, nlink, size, mtime, ctime }: Deno.FileInfo): Looked {
  return {
    ...{ isFile, dev, ino: ino ?? -1, uid: uid ?? -1, gid: gid ?? -1, links: nlink ?? 0, size },
    ...{ modified: mtime?.getTime() ?? 0, changed: ctime?.getTime() ?? 0 },
  };
}
