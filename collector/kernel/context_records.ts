/**
 * The circumstances of a process as our eBPF programs write them into their records, and their way into objects.
 *
 * In every record they are one block: numbers of {@linkcode CONTEXT}, and right after the record's own numbers three
 * texts. Processes mostly have the circumstances of others before them, so the objects are kept by the bytes they were
 * made of.
 *
 * @module
 */
import type { StdioKind } from "../../proto/process_event.ts";
import type { RawContext } from "../sources/source.ts";
import { BlockCache } from "./block_cache.ts";
import type { FactName } from "./context_layout.ts";
import { readU64 } from "./little_endian.ts";
import { decodeName } from "./text_cache.ts";

/**
 * Offsets from where the block begins. Ends are counted from where the texts of the record begin: the working directory
 * is the first of them, then the control group, then the terminal.
 */
export const CONTEXT = {
  flags: 0,
  cwdEnd: 4,
  groupEnd: 8,
  ttyEnd: 12,
  groupId: 16,
  effectiveCapabilities: 24,
  savedUserId: 32,
  effectiveGroupId: 36,
  savedGroupId: 40,
  loginUserId: 44,
  sessionId: 48,
  userNamespace: 52,
  mountNamespace: 56,
  networkNamespace: 60,
  pidNamespace: 64,
  standardInput: 68,
  standardOutput: 80,
  /** Address family of the socket that standard input is, or 0. */
  inputFamily: 92,
  bytes: 96,
} satisfies Record<FactName, number> & Record<string, number>;
/** `S_IFMT` and `S_IFSOCK` (`include/uapi/linux/stat.h`). */
export const FORMAT = 0o170000, SOCKET_FORMAT = 0o140000;
/** A standard stream: the mode, device and flags of its inode. */
export const STREAM = { mode: 0, device: 4, flags: 8, bytes: 12 };
/** Bits of `CONTEXT.flags`. */
export const CWD_KNOWN = 1, CWD_UNLINKED = 2, CWD_CUT = 4, GROUP_CUT = 8;
/** In the place of a mode: nothing is open there, and nothing is known. */
export const CLOSED = 0x1_0000, UNKNOWN = 0xffff_ffff;

/** Bytes of texts after each of them; the longest path that the kernel gives (PATH_MAX) is 4096. */
export const CWD_LIMIT = 4096;
export const GROUP_LIMIT = CWD_LIMIT + 1024;
/** `tty_struct.name`. */
export const TTY_BYTES = 64;
export const TTY_LIMIT = GROUP_LIMIT + TTY_BYTES;

/** What follows from a block and does not change with the record it stands in. */
export class ContextDecoder {
  readonly #cache = new BlockCache<RawContext>();

  /**
   * The circumstances whose numbers begin at `at`, and whose texts begin where these end. Shared with other records of
   * the same; null when the block lies outside of what ends at `end`.
   */
  decode(bytes: Uint8Array, view: DataView, at: number, end: number): RawContext | null {
    const texts = at + CONTEXT.bytes;
    const cwdEnd = view.getUint32(at + CONTEXT.cwdEnd, true), groupEnd = view.getUint32(at + CONTEXT.groupEnd, true);
    const ttyEnd = view.getUint32(at + CONTEXT.ttyEnd, true);
    if (cwdEnd > groupEnd || groupEnd > ttyEnd || ttyEnd > end - texts) return null;
    const known = this.#cache.find(view, at, texts + ttyEnd);
    if (known !== null) return known;
    const flags = view.getUint32(at + CONTEXT.flags, true);
    const groupId = readU64(view, at + CONTEXT.groupId);
    const stdinFamily = view.getUint32(at + CONTEXT.inputFamily, true);
    return this.#cache.keep(bytes, {
      cwd: (flags & (CWD_KNOWN | CWD_CUT)) !== CWD_KNOWN
        ? null
        : joinComponents(bytes, texts, texts + cwdEnd) + ((flags & CWD_UNLINKED) === 0 ? "" : DELETED),
      savedUserId: idOrNull(view.getUint32(at + CONTEXT.savedUserId, true)),
      effectiveGroupId: idOrNull(view.getUint32(at + CONTEXT.effectiveGroupId, true)),
      savedGroupId: idOrNull(view.getUint32(at + CONTEXT.savedGroupId, true)),
      loginUserId: idOrNull(view.getUint32(at + CONTEXT.loginUserId, true)),
      sessionId: idOrNull(view.getUint32(at + CONTEXT.sessionId, true)),
      tty: terminalName(decodeName(bytes.subarray(texts + groupEnd, texts + ttyEnd))),
      effectiveCapabilities: exactOrNull(readU64(view, at + CONTEXT.effectiveCapabilities)),
      userNamespace: inodeOrNull(view.getUint32(at + CONTEXT.userNamespace, true)),
      pidNamespace: inodeOrNull(view.getUint32(at + CONTEXT.pidNamespace, true)),
      mountNamespace: inodeOrNull(view.getUint32(at + CONTEXT.mountNamespace, true)),
      networkNamespace: inodeOrNull(view.getUint32(at + CONTEXT.networkNamespace, true)),
      cgroupPath: groupId === 0 || (flags & GROUP_CUT) !== 0
        ? null
        : joinComponents(bytes, texts + cwdEnd, texts + groupEnd),
      cgroupId: inodeOrNull(exactOrNull(groupId)),
      interpreterPath: null,
      scriptPath: null,
      stdinKind: streamKind(view, at + CONTEXT.standardInput),
      stdoutKind: streamKind(view, at + CONTEXT.standardOutput),
      ...(stdinFamily === 0 ? {} : { stdinFamily }),
      environment: null,
      environmentCut: false,
    });
  }
}

/** As the kernel's d_path() says it. */
export const DELETED = " (deleted)";

/** A walk goes from the lowest name up to the root, each ended by NUL; the root itself has none. */
export function joinComponents(bytes: Uint8Array, start: number, end: number): string {
  if (start >= end) return "/";
  return "/" + decodeName(bytes.subarray(start, end - 1)).split("\0").reverse().join("/");
}

/** `pts3` is what the kernel calls `/dev/pts/3`. */
function terminalName(text: string): string | null {
  const name = text.replace(/\0.*$/s, "");
  return name === "" ? null : name.replace(/^pts(?=\d+$)/, "pts/");
}

/** What is nobody's is the highest number. */
function idOrNull(value: number): number | null {
  return value === UNKNOWN ? null : value;
}

function inodeOrNull(value: number | null): number | null {
  return value === 0 ? null : value;
}

function exactOrNull(value: number): number | null {
  return value <= Number.MAX_SAFE_INTEGER ? value : null;
}

/** Formats of `i_mode`. */
const KINDS: Readonly<Record<number, StdioKind>> = {
  0o010000: "pipe",
  0o020000: "device",
  0o040000: "directory",
  0o060000: "device",
  0o100000: "file",
  [SOCKET_FORMAT]: "socket",
};
/** `S_ANON_INODE`: since Linux 6.16 such inodes have the format of a file, which they hide from `stat`. */
const ANONYMOUS = 1 << 19;
const NULL_DEVICE = 1 << 20 | 3;
/** Majors of `Documentation/admin-guide/devices.txt`: consoles and serial lines, `/dev/tty` and its kin, pseudo ones. */
const isTerminal = (major: number): boolean => major === 4 || major === 5 || major >= 136 && major <= 143;

function streamKind(view: DataView, at: number): StdioKind | null {
  const mode = view.getUint32(at + STREAM.mode, true);
  if (mode === UNKNOWN) return null;
  if (mode === CLOSED) return "none";
  return kindOfInode(mode, view.getUint32(at + STREAM.device, true), view.getUint32(at + STREAM.flags, true));
}

/** What an inode of this mode, device number (the kernel's `dev_t`) and flags is. */
export function kindOfInode(mode: number, device: number, flags: number): StdioKind {
  const kind = KINDS[mode & FORMAT];
  if (kind === undefined || kind === "file" && (flags & ANONYMOUS) !== 0) return "anonymous";
  if (kind !== "device" || (mode & FORMAT) !== 0o020000) return kind;
  if (device === NULL_DEVICE) return "null";
  return isTerminal(device >>> 20) ? "tty" : "device";
}
