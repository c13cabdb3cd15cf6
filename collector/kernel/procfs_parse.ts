/**
 * The text of `/proc` files, as bytes in and facts out. Pure, and wary: a process names itself as it likes, so `comm`
 * may hold anything but NUL, and any file may be cut anywhere (proc(5)).
 *
 * @module
 */

/** What `/proc/PID/stat` says. Ticks are of 10 ms. */
export interface Stat {
  readonly name: string;
  /** The letter of its state. */
  readonly state: number;
  readonly ppid: number;
  readonly flags: number;
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly startTicks: number;
  readonly residentPages: number;
  /** The wait status of a zombie, -1 where the kernel does not show it. */
  readonly exitStatus: number;
}

const OPEN = 40, CLOSE = 41, SPACE = 32, MINUS = 45, ZERO = 48, NINE = 57, NEWLINE = 10;
/** Fields after the command name: `exit_code` is field 52 of the file, the 50th of these. */
const STAT_FIELDS = 50;
const fields = new Float64Array(STAT_FIELDS);
const decoder = new TextDecoder();

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
    } else if (byte === MINUS) negative = true;
    else return null;
  }
  if (count < 21) return null;
  return {
    name: decodeName(bytes, open + 1, close),
    state: bytes[close + 2]!,
    ppid: fields[0]!,
    flags: fields[5]!,
    userTicks: fields[10]!,
    systemTicks: fields[11]!,
    startTicks: fields[18]!,
    residentPages: fields[20]!,
    exitStatus: count >= STAT_FIELDS ? fields[49]! : -1,
  };
}

/** Real and effective ids of `/proc/PID/status`; false when its lines are not there. `into`: uid, euid, gid, egid. */
export function parseIds(bytes: Uint8Array, length: number, into: Float64Array): boolean {
  let at = 0, found = 0;
  while (at < length && found < 2) {
    // "Uid:\t" and "Gid:\t" at the begin of a line; no other line begins with these letters
    const first = bytes[at];
    if ((first === 85 || first === 71) && bytes[at + 1] === 105 && bytes[at + 2] === 100 && bytes[at + 3] === 58) {
      const offset = first === 85 ? 0 : 2;
      let i = at + 4;
      for (let k = 0; k < 2; k++) {
        while (i < length && (bytes[i]! < ZERO || bytes[i]! > NINE)) i++;
        let value = 0;
        while (i < length && bytes[i]! >= ZERO && bytes[i]! <= NINE) value = value * 10 + bytes[i++]! - ZERO;
        into[offset + k] = value;
      }
      found++;
    }
    const next = bytes.indexOf(NEWLINE, at);
    if (next < 0 || next >= length) break;
    at = next + 1;
  }
  return found === 2;
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
  const numbers = (name: string): number[] => line(name).split(/\s+/).filter((part) => part !== "").map(Number);
  return {
    tid,
    userIds: numbers("Uid"),
    groupIds: numbers("Gid"),
    supplementaryGroups: numbers("Groups"),
    effectiveCapabilities: BigInt(`0x${line("CapEff").trim()}`),
    permittedCapabilities: BigInt(`0x${line("CapPrm").trim()}`),
    noNewPrivileges: line("NoNewPrivs").trim() === "1",
    seccomp: Number(line("Seccomp").trim()),
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

/** Names are short and nearly always ASCII: built without a decoder then. */
function decodeName(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to; i++) {
    if (bytes[i]! >= 0x80) return decoder.decode(bytes.subarray(from, to));
    text += String.fromCharCode(bytes[i]!);
  }
  return text;
}
