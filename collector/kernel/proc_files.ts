/**
 * Single files and links of `/proc/PID`, read through libc into one buffer.
 *
 * Paths are built byte by byte and the buffer is kept, as a process table is read in thousands of small calls. What
 * stands in {@linkcode procBytes} is valid until the next call of this module.
 *
 * Reading a file here may wait for ever if it holds memory of the process (`cmdline`, `environ`): see
 * `argument_reader.ts`. Nothing else of what is read waits for anybody.
 *
 * @module
 */
import { checked, cString, ENOENT, errno, libc, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./libc.ts";
import { decodeName, TextCache } from "./text_cache.ts";

/** Longest that is read at once. */
export const PROC_READ_BYTES = 1 << 16;
/** Longest path that is read from a link. */
const MAX_LINK_BYTES = 4096;

/** What was read last. */
export const procBytes: Uint8Array<ArrayBuffer> = new Uint8Array(PROC_READ_BYTES);
const state = { root: -1, path: new Uint8Array(64), directory: new Uint8Array(1 << 16) };
const paths = new TextCache(decodeName);

/** The directory `/proc`, opened once. */
function procRoot(): number {
  if (state.root < 0) {
    state.root = checked(libc.open(cString("/proc"), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), "open /proc");
  }
  return state.root;
}

/** The pids of the process table, or of those in it that may be seen. */
export function listProcesses(): number[] {
  checked(Number(libc.lseek(procRoot(), 0n, 0)), "lseek");
  return listNumbers(procRoot());
}

/** The numbers among the names of an open directory. */
export function listNumbers(directory: number): number[] {
  const numbers: number[] = [], bytes = state.directory, view = new DataView(bytes.buffer);
  for (;;) {
    const count = checked(libc.getdents64(directory, bytes, bytes.length), "getdents64");
    if (count === 0) return numbers;
    // struct linux_dirent64: inode, offset, u16 length, u8 type, name
    for (let at = 0; at < count; at += view.getUint16(at + 16, true)) {
      let digit = at + 19, number = 0;
      for (let byte = bytes[digit]!; byte >= 48 && byte <= 57; byte = bytes[++digit]!) number = number * 10 + byte - 48;
      if (digit > at + 19 && bytes[digit] === 0) numbers.push(number);
    }
  }
}

/** Makes a process the one that the other calls are about. Returns how many digits its pid has: they ask for that. */
export function putPid(pid: number): number {
  let digits = 1;
  for (let rest = Math.floor(pid / 10); rest > 0; rest = Math.floor(rest / 10)) digits++;
  for (let i = digits - 1, rest = pid; i >= 0; i--, rest = Math.floor(rest / 10)) state.path[i] = 48 + rest % 10;
  return digits;
}

/** Opens a file of the process; -1 when it is gone or may not be opened. `suffix` begins with a slash and ends with NUL. */
export function openProcFile(digits: number, suffix: Uint8Array): number {
  state.path.set(suffix, digits);
  return libc.openat(procRoot(), state.path, O_RDONLY | O_CLOEXEC, 0);
}

/** Reads a file of the process into {@linkcode procBytes}. Bytes read, or -1. */
export function readProcFile(digits: number, suffix: Uint8Array): number {
  const fd = openProcFile(digits, suffix);
  if (fd < 0) return -1;
  const count = libc.read(fd, procBytes, procBytes.length);
  libc.close(fd);
  return count;
}

/** What became of reading a link: the bytes of it that stand in {@linkcode procBytes}, or why there are none. */
export type LinkRead = number;
/** There is no such link; also when the process is gone. */
export const LINK_MISSING = -1;
/** It cannot be read, mostly because this user may not read links of the process. */
export const LINK_REFUSED = -2;

/** Reads where a link of the process leads, without going there. */
export function readProcLink(digits: number, suffix: Uint8Array): LinkRead {
  state.path.set(suffix, digits);
  const count = libc.readlinkat(procRoot(), state.path, procBytes, MAX_LINK_BYTES);
  if (count > 0) return count;
  return errno() === ENOENT ? LINK_MISSING : LINK_REFUSED;
}

/** The text of a link that was read; null when it was not. As the kernel has it, " (deleted)" included. */
export function linkText(count: LinkRead): string | null {
  return count <= 0 ? null : paths.text(procBytes, 0, count);
}

const AT_NO_AUTOMOUNT = 0x800, AT_STATX_DONT_SYNC = 0x4000, STATX_TYPE = 1, STATX_BYTES = 256;
const found = new Uint8Array(STATX_BYTES), foundView = new DataView(found.buffer);

/** What a link of the process leads to. */
export interface Target {
  /** File type and permissions, as `st_mode`. */
  readonly mode: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/**
 * Follows a link of the process and asks what is there; null when that cannot be told. No file system is asked to
 * answer: a hostile one never would, so what the kernel holds of it must do (`AT_STATX_DONT_SYNC`).
 */
export function statProcLink(digits: number, suffix: Uint8Array): Target | null {
  if (libc.statx === null) return null;
  state.path.set(suffix, digits);
  if (libc.statx(procRoot(), state.path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, found) < 0) return null;
  // struct statx: mode at 28, the device that a special file stands for at 128
  return {
    mode: foundView.getUint16(28, true),
    deviceMajor: foundView.getUint32(128, true),
    deviceMinor: foundView.getUint32(132, true),
  };
}
