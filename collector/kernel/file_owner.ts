/**
 * Whether a file is root's alone, all the way down to it.
 *
 * Deno tells of a file only where reading it is granted, which the directories above a configuration file are not. From
 * the top down, so that no answer can be made untrue: what stands in a directory that root alone can change stays.
 *
 * @module
 */
import { AT_FDCWD, checked, cString, libc, NativeArena } from "./libc.ts";
import { SYSCALL } from "./syscalls.ts";

// linux/fcntl.h, linux/stat.h
const AT_SYMLINK_NOFOLLOW = 0x100;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BYTES = 256, UID_AT = 20, MODE_AT = 28;
const S_IFMT = 0o170000, S_IFDIR = 0o040000, S_IFREG = 0o100000, S_IFLNK = 0o120000;
const STICKY = 0o1000, OTHERS_WRITE = 0o022;
const MAX_PATH_BYTES = 4_096;

/** Why somebody else than root could change what an absolute path names; `null` when nobody can. */
export function faultOfRootFile(path: string): string | null {
  const steps = path.split("/").filter((step) => step !== "");
  const arena = new NativeArena(MAX_PATH_BYTES + STATX_BYTES + 16);
  try {
    const name = arena.reserve(MAX_PATH_BYTES), answer = arena.reserve(STATX_BYTES);
    for (let depth = 0; depth <= steps.length; depth++) {
      const prefix = `/${steps.slice(0, depth).join("/")}`;
      const fault = faultOf(prefix, depth === steps.length, name, answer);
      if (fault !== null) return fault;
    }
    return null;
  } finally {
    arena.release();
  }
}

function faultOf(path: string, isLast: boolean, name: bigint, answer: bigint): string | null {
  const text = cString(path);
  if (text.length > MAX_PATH_BYTES) return `the path is longer than ${MAX_PATH_BYTES} bytes`;
  libc.copyTo(name, text, BigInt(text.length));
  const nr = BigInt(SYSCALL.statx), here = BigInt(AT_FDCWD) & 0xffff_ffff_ffff_ffffn;
  checked(
    libc.syscall(nr, here, name, BigInt(AT_SYMLINK_NOFOLLOW), BigInt(STATX_BASIC_STATS), answer, 0n),
    `statx ${path}`,
  );
  const bytes = new Uint8Array(STATX_BYTES);
  libc.copyFrom(bytes, answer, BigInt(bytes.length));
  const view = new DataView(bytes.buffer);
  const owner = view.getUint32(UID_AT, true), mode = view.getUint16(MODE_AT, true);
  const kind = mode & S_IFMT;
  if (kind === S_IFLNK) return `${path} is a symbolic link`;
  if (kind !== (isLast ? S_IFREG : S_IFDIR)) return `${path} is not a ${isLast ? "file" : "directory"}`;
  if (owner !== 0) return `${path} belongs to user ${owner}`;
  // In a sticky directory, such as /tmp, what root owns can be replaced by root only.
  const isKept = !isLast && (mode & STICKY) !== 0;
  return (mode & OTHERS_WRITE) !== 0 && !isKept ? `${path} can be written by others` : null;
}
