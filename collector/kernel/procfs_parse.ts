/**
 * The text of `/proc` files, as bytes in and facts out. Pure, and wary: a process names itself as it likes, so `comm`
 * may hold anything but NUL, and any file may be cut anywhere (proc(5)).
 *
 * @module
 */

/** What `/proc/PID/stat` says. Ticks are of 10 ms. The command name stands in the bytes from `nameFrom` to `nameTo`. */
export interface Stat {
  readonly nameFrom: number;
  readonly nameTo: number;
  /** The letter of its state. */
  readonly state: number;
  readonly ppid: number;
  /** Device number of the controlling terminal, 0 for none. */
  readonly terminal: number;
  readonly flags: number;
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly threads: number;
  readonly startTicks: number;
  readonly residentPages: number;
}

const OPEN = 40, CLOSE = 41, SPACE = 32, MINUS = 45, ZERO = 48, NINE = 57, NEWLINE = 10, TAB = 9;
const UPPER_G = 71, UPPER_U = 85, LOWER_D = 100, LOWER_I = 105, COLON = 58;
/** Fields after the state: resident pages are field 24 of the file, the 21st of these. */
const STAT_FIELDS = 21;
const MAX_ID = 0xffff_ffff;
/** Those that are taken, none of which the kernel has below zero. */
const WANTED_FIELDS = [0, 5, 10, 11, 16, 18, 20];
const fields = new Float64Array(STAT_FIELDS);

/** Facts of `/proc/PID/stat`, `null` when the bytes are not such a line. */
export function parseStat(bytes: Uint8Array, length: number): Stat | null {
  const open = bytes.indexOf(OPEN);
  // The last one: a command name may hold parentheses and look like a whole line of its own.
  let close = length - 1;
  while (close > open && bytes[close] !== CLOSE) close--;
  if (open < 1 || open >= length || close <= open || close + 3 >= length) return null;
  let count = 0, value = 0, negative = false, digits = 0;
  for (let i = close + 4; i <= length && count < STAT_FIELDS; i++) {
    const byte = i < length ? bytes[i]! : NEWLINE;
    if (byte === SPACE || byte === NEWLINE) {
      if (digits === 0) continue;
      fields[count++] = negative ? -value : value;
      value = digits = 0;
      negative = false;
    } else if (byte >= ZERO && byte <= NINE) {
      value = value * 10 + byte - ZERO;
      digits++;
    } else if (byte === MINUS && digits === 0 && !negative) negative = true;
    else return null;
  }
  if (count < STAT_FIELDS || !WANTED_FIELDS.every((field) => fields[field]! >= 0 && fields[field]! < Infinity)) {
    return null;
  }
  return {
    nameFrom: open + 1,
    nameTo: close,
    state: bytes[close + 2]!,
    ppid: fields[0]!,
    terminal: fields[3]! >= 0 && fields[3]! <= MAX_ID ? fields[3]! : 0,
    flags: fields[5]!,
    userTicks: fields[10]!,
    systemTicks: fields[11]!,
    threads: fields[16]!,
    startTicks: fields[18]!,
    residentPages: fields[20]!,
  };
}

/** Real and effective ids of `/proc/PID/status`; false when its lines are not there. `into`: uid, euid, gid, egid. */
export function parseIds(bytes: Uint8Array, length: number, into: Float64Array): boolean {
  // "Uid:" and then "Gid:" at the begin of a line: no other line begins so, and the name of the process, which stands in
  // the first line, has its newlines escaped.
  const uid = lineStart(bytes, 0, length, UPPER_U);
  const gid = uid < 0 ? -1 : lineStart(bytes, uid, length, UPPER_G);
  return gid >= 0 && readTwo(bytes, uid, length, into, 0) && readTwo(bytes, gid, length, into, 2);
}

/** Where a line that begins with `first` and "id:" goes on; -1 when there is none. */
function lineStart(bytes: Uint8Array, from: number, length: number, first: number): number {
  for (let i = from; i + 4 < length; i++) {
    if (bytes[i] !== NEWLINE || bytes[i + 1] !== first) continue;
    if (bytes[i + 2] === LOWER_I && bytes[i + 3] === LOWER_D && bytes[i + 4] === COLON) return i + 5;
  }
  return -1;
}

function readTwo(bytes: Uint8Array, from: number, length: number, into: Float64Array, offset: number): boolean {
  let i = from;
  for (let k = 0; k < 2; k++) {
    while (i < length && (bytes[i] === TAB || bytes[i] === SPACE)) i++;
    const begin = i;
    let value = 0;
    for (; i < length && bytes[i]! >= ZERO && bytes[i]! <= NINE; i++) value = value * 10 + bytes[i]! - ZERO;
    // A number that reaches the end may have been cut, and ids are of 32 bits.
    if (i === begin || i === length || value > MAX_ID) return false;
    into[offset + k] = value;
  }
  return true;
}

/** Credentials of one thread, from `/proc/self/task/TID/status`. */
export interface ThreadCredentials {
  readonly tid: number;
  /** Real, effective, saved, file system. */
  readonly userIds: readonly number[];
  readonly groupIds: readonly number[];
  readonly supplementaryGroups: readonly number[];
  readonly effectiveCapabilities: bigint;
  readonly permittedCapabilities: bigint;
  readonly inheritableCapabilities: bigint;
  readonly ambientCapabilities: bigint;
  /** What an `execve` could give at most. */
  readonly boundingCapabilities: bigint;
  readonly noNewPrivileges: boolean;
  /** 0 off, 1 strict, 2 filter. */
  readonly seccomp: number;
}

/** @throws SyntaxError when a line that must be there is not: nothing may be proven from half a file. */
export function parseCredentials(tid: number, text: string): ThreadCredentials {
  const line = (name: string): string => {
    const found = new RegExp(`^${name}:[ \t]*(.*)$`, "m").exec(text)?.[1];
    if (found === undefined) throw new SyntaxError(`The status of thread ${tid} has no line ${name}`);
    return found;
  };
  const numbers = (name: string): number[] => {
    return line(name).split(/\s+/).filter((part) => part !== "").map((part) => number(name, part));
  };
  const number = (name: string, text: string): number => {
    if (!/^\d{1,10}$/.test(text)) throw new SyntaxError(`The status of thread ${tid} says ${name} ${text}`);
    return Number(text);
  };
  const capabilities = (name: string): bigint => BigInt(`0x${line(name).trim()}`);
  return {
    tid,
    userIds: numbers("Uid"),
    groupIds: numbers("Gid"),
    supplementaryGroups: numbers("Groups"),
    effectiveCapabilities: capabilities("CapEff"),
    permittedCapabilities: capabilities("CapPrm"),
    inheritableCapabilities: capabilities("CapInh"),
    ambientCapabilities: capabilities("CapAmb"),
    boundingCapabilities: capabilities("CapBnd"),
    noNewPrivileges: line("NoNewPrivs").trim() === "1",
    seccomp: number("Seccomp", line("Seccomp").trim()),
  };
}

/** Forks since boot, threads included, from `/proc/stat`; `null` when it does not say. */
export function parseForkCount(text: string): number | null {
  const found = /^processes (\d{1,15})$/m.exec(text)?.[1];
  return found === undefined ? null : Number(found);
}

const STATES: Readonly<Record<string, string>> = {
  R: "running",
  S: "sleeping",
  D: "disk_sleep",
  T: "stopped",
  t: "traced",
  Z: "zombie",
  X: "dead",
  x: "dead",
  I: "idle",
};

/** The word for the letter of a state. */
export function stateName(letter: number): string {
  return STATES[String.fromCharCode(letter)] ?? "unknown";
}
