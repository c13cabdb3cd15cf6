/**
 * The text of those `/proc` files that tell of a process' circumstances: bytes in and facts out. Pure, and wary: any file
 * may be cut anywhere, and whoever owns a process chooses its names and paths.
 *
 * @module
 */
import type { StdioKind } from "../../proto/process_event.ts";

const COLON = 58, NEWLINE = 10, SPACE = 32, TAB = 9, ZERO = 48, NINE = 57, SLASH = 47, OPEN = 91, CLOSE = 93;

/** What `/proc/PID/status` says; null where a line is missing or was cut. */
export interface StatusFacts {
  readonly userId: number | null;
  readonly effectiveUserId: number | null;
  readonly savedUserId: number | null;
  readonly groupId: number | null;
  readonly effectiveGroupId: number | null;
  readonly savedGroupId: number | null;
  readonly effectiveCapabilities: number | null;
  readonly namespacePid: number | null;
}

const UID = ascii("Uid:"), GID = ascii("Gid:"), NSPID = ascii("NSpid:"), CAP_EFF = ascii("CapEff:");
const numbers = new Float64Array(3);

/** Facts of `/proc/PID/status`. Its first line holds the name of the process, with newlines escaped: none is forged. */
export function parseStatus(bytes: Uint8Array, length: number): StatusFacts {
  let userId = null, effectiveUserId = null, savedUserId = null;
  let groupId = null, effectiveGroupId = null, savedGroupId = null;
  let effectiveCapabilities: number | null = null, namespacePid: number | null = null;
  for (let at = 0; at < length;) {
    const end = bytes.indexOf(NEWLINE, at);
    if (end < 0 || end >= length) break; // a line without its end was cut
    if (begins(bytes, at, end, UID) && threeNumbers(bytes, at + UID.length, end)) {
      [userId, effectiveUserId, savedUserId] = [numbers[0]!, numbers[1]!, numbers[2]!];
    } else if (begins(bytes, at, end, GID) && threeNumbers(bytes, at + GID.length, end)) {
      [groupId, effectiveGroupId, savedGroupId] = [numbers[0]!, numbers[1]!, numbers[2]!];
    } else if (begins(bytes, at, end, NSPID)) namespacePid = lastNumber(bytes, at + NSPID.length, end);
    else if (begins(bytes, at, end, CAP_EFF)) {
      effectiveCapabilities = hexadecimal(bytes, at + CAP_EFF.length, end);
      break; // the last line that is wanted
    }
    at = end + 1;
  }
  return {
    userId,
    effectiveUserId,
    savedUserId,
    groupId,
    effectiveGroupId,
    savedGroupId,
    effectiveCapabilities,
    namespacePid,
  };
}

/** What `loginuid` and `sessionid` hold where nothing was ever set: -1. */
const UNSET = 0xffff_ffff;

/** The number of `/proc/PID/loginuid` or `sessionid`; null when nothing was set. */
export function parseAuditId(bytes: Uint8Array, length: number): number | null {
  let at = 0, value = 0;
  for (; at < length && bytes[at]! >= ZERO && bytes[at]! <= NINE; at++) value = value * 10 + bytes[at]! - ZERO;
  const isWhole = at > 0 && (at === length || (bytes[at] === NEWLINE && at + 1 === length));
  return isWhole && value < UNSET ? value : null;
}

/** The inode in a link such as `mnt:[4026531841]`. */
export function parseNamespace(bytes: Uint8Array, length: number): number | null {
  let at = 0;
  while (at < length && bytes[at] !== COLON) at++;
  if (at === 0 || bytes[at + 1] !== OPEN) return null;
  let value = 0, digits = 0;
  for (at += 2; at < length && bytes[at]! >= ZERO && bytes[at]! <= NINE; at++, digits++) {
    value = value * 10 + bytes[at]! - ZERO;
  }
  return digits > 0 && at + 1 === length && bytes[at] === CLOSE && Number.isSafeInteger(value) ? value : null;
}

/** Of lines that name equally deep groups, what they are of: the earlier the better. */
const PREFERRED = ["", "pids", "memory", "cpu", "name=systemd"];
/** What the kernel appends to a group that was removed. */
const DELETED = " (deleted)";

const decoder = new TextDecoder();

/**
 * The control group of `/proc/PID/cgroup`, whose lines are `ID:CONTROLLERS:PATH`, `0::PATH` for version 2. A host may use
 * both, and where it uses only the old one the line of the new one says `/`: the path that lies deepest is taken.
 */
export function parseControlGroup(bytes: Uint8Array, length: number): string | null {
  let best: string | null = null, bestDepth = -1, bestRank = Infinity;
  for (const line of decoder.decode(bytes.subarray(0, length)).split("\n").slice(0, -1)) {
    const first = line.indexOf(":"), second = line.indexOf(":", first + 1);
    if (first < 1 || second < 0 || line[second + 1] !== "/") continue;
    const path = line.endsWith(DELETED) ? line.slice(second + 1, -DELETED.length) : line.slice(second + 1);
    const depth = path === "/" ? 0 : path.split("/").length - 1;
    const ranks = line.slice(first + 1, second).split(",").map((name) => PREFERRED.indexOf(name));
    const rank = Math.min(...ranks.map((rank) => rank < 0 ? PREFERRED.length : rank));
    if (depth < bestDepth || (depth === bestDepth && rank >= bestRank)) continue;
    [best, bestDepth, bestRank] = [path, depth, rank];
  }
  return best;
}

/**
 * The name of a terminal by the number in `/proc/PID/stat` (`new_encode_dev()` of the kernel), after
 * admin-guide/devices.txt; null for none. One without a name here is `MAJOR:MINOR`.
 */
export function terminalName(number: number): string | null {
  if (number === 0) return null;
  const device = number >>> 0;
  const major = (device >>> 8) & 0xfff, minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return nameOfTerminal(major, minor) ?? `${major}:${minor}`;
}

function nameOfTerminal(major: number, minor: number): string | null {
  if (major >= 136 && major <= 143) return `pts/${(major - 136) * 256 + minor}`;
  switch (major) {
    case 4:
      return minor < 64 ? `tty${minor}` : `ttyS${minor - 64}`;
    case 5:
      return minor === 0 ? "tty" : minor === 1 ? "console" : null;
    case 166:
      return `ttyACM${minor}`;
    case 188:
      return `ttyUSB${minor}`;
    case 204:
      return minor >= 64 && minor < 80 ? `ttyAMA${minor - 64}` : null;
    case 229:
      return `hvc${minor}`;
    default:
      return null;
  }
}

/**
 * The kind of stream by the text of its link, null where only the file itself can tell. A path is no evidence: a process
 * in another mount namespace names any file `/dev/null`. What begins without a slash was named by the kernel.
 */
export function kindOfLink(bytes: Uint8Array, length: number): StdioKind | null {
  if (length === 0 || bytes[0] === SLASH || bytes[0] === 40) return null; // "(unreachable)/path"
  if (begins(bytes, 0, length, PIPE)) return "pipe";
  if (begins(bytes, 0, length, SOCKET)) return "socket";
  return "anonymous";
}
const PIPE = ascii("pipe:["), SOCKET = ascii("socket:[");

const S_IFMT = 0o170000;
const KINDS: Readonly<Record<number, StdioKind>> = {
  0o010000: "pipe",
  0o040000: "directory",
  0o060000: "device",
  0o100000: "file",
  0o140000: "socket",
};

/** The kind of stream by what it leads to; null when that has no type, as an inode without a file may. */
export function kindOfFile(mode: number, major: number, minor: number): StdioKind | null {
  if ((mode & S_IFMT) !== 0o020000) return KINDS[mode & S_IFMT] ?? null;
  if (major === 1 && minor === 3) return "null";
  return nameOfTerminal(major, minor) === null ? "device" : "tty";
}

/** How `/proc` was mounted: what it keeps from whom. */
export interface ProcMount {
  /** `noaccess`, `invisible` or `ptraceable`; null when everybody sees everything. */
  readonly hides: string | null;
  /** Whether it holds processes only, and nothing of the host. */
  readonly processesOnly: boolean;
}

/** `hidepid` as numbers, which kernels before 5.8 show. */
const HIDE_NAMES: Readonly<Record<string, string>> = { 1: "noaccess", 2: "invisible", 4: "ptraceable" };

/** How `/proc` is mounted, from `/proc/self/mountinfo`; null when it is not said. The topmost mount counts. */
export function parseProcMount(text: string): ProcMount | null {
  let mount: ProcMount | null = null;
  for (const line of text.split("\n")) {
    const [fields, file] = line.split(" - ", 2).map((part) => part.split(" "));
    if (fields?.[4] !== "/proc" || file?.[0] !== "proc") continue;
    const options = `${fields[5] ?? ""},${file[2] ?? ""}`.split(",");
    const hidepid = options.findLast((option) => option.startsWith("hidepid="))?.slice("hidepid=".length);
    const hides = hidepid === undefined || hidepid === "0" || hidepid === "off" ? null : HIDE_NAMES[hidepid] ?? hidepid;
    mount = { hides, processesOnly: options.includes("subset=pid") };
  }
  return mount;
}

/** Pids of the directories of `/proc` over which, or below which, something is mounted, from `/proc/self/mountinfo`. */
export function parseCoveredPids(text: string): number[] {
  const pids = new Set<number>();
  for (const [, pid] of text.matchAll(/^\d+ \d+ \S+ \S+ \/proc\/(\d{1,9})(?:\/\S*)? /gm)) pids.add(Number(pid));
  return [...pids];
}

/** Threads of the host, from `/proc/loadavg`; null when it does not say. */
export function parseThreadCount(text: string): number | null {
  const found = /^\S+ \S+ \S+ \d+\/(\d{1,9}) /.exec(text)?.[1];
  return found === undefined ? null : Number(found);
}

function begins(bytes: Uint8Array, at: number, end: number, what: Uint8Array): boolean {
  if (at + what.length > end) return false;
  for (let i = 0; i < what.length; i++) if (bytes[at + i] !== what[i]) return false;
  return true;
}

/** The kernel's ids and pids take 32 bits. */
const MAX_NUMBER = 0xffff_ffff;

function threeNumbers(bytes: Uint8Array, from: number, end: number): boolean {
  let at = from;
  for (let k = 0; k < 3; k++) {
    while (at < end && (bytes[at] === TAB || bytes[at] === SPACE)) at++;
    const begin = at;
    let value = 0;
    for (; at < end && bytes[at]! >= ZERO && bytes[at]! <= NINE; at++) value = value * 10 + bytes[at]! - ZERO;
    if (at === begin || value > MAX_NUMBER) return false;
    numbers[k] = value;
  }
  return true;
}

function lastNumber(bytes: Uint8Array, from: number, end: number): number | null {
  let at = end;
  while (at > from && bytes[at - 1]! >= ZERO && bytes[at - 1]! <= NINE) at--;
  if (at === end || at - 1 < from || (bytes[at - 1] !== TAB && bytes[at - 1] !== SPACE)) return null;
  let value = 0;
  for (; at < end; at++) value = value * 10 + bytes[at]! - ZERO;
  return value <= MAX_NUMBER ? value : null;
}

function hexadecimal(bytes: Uint8Array, from: number, end: number): number | null {
  let at = from, value = 0;
  while (at < end && (bytes[at] === TAB || bytes[at] === SPACE)) at++;
  if (at === end) return null;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    const digit = byte >= ZERO && byte <= NINE ? byte - ZERO : byte >= 97 && byte <= 102 ? byte - 87 : -1;
    if (digit < 0) return null;
    value = value * 16 + digit;
  }
  return Number.isSafeInteger(value) ? value : null;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
