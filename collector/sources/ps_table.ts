/**
 * The table that `ps` prints: which columns to ask for, and their text as facts. Pure.
 *
 * Written against the documentation and sources of procps (Linux) and of the ps of macOS, FreeBSD and OpenBSD. Every
 * column is asked for by the keyword that is no alias there, as BSD lets only those have a header of our choice. Two of
 * the headers are as wide as their columns must be: so the start, the name and the command line stand at offsets that
 * the header line tells, and nothing is guessed from spaces, which names and arguments may hold.
 *
 * The text is hostile: a process chooses its name and its arguments. A line that is not exactly as asked for is refused
 * and counted; only a table without its header, or without the process that asked, is refused as a whole. Where a `ps`
 * prints line feeds of arguments as they are, an argument can look like a line of its own: a pid that stands in two
 * lines is taken from neither.
 *
 * @module
 */
import { MAX_ARGV_BYTES } from "../../proto/process_event.ts";
import { decodeName, TextCache } from "../kernel/text_cache.ts";
import { parseCpuTime, parseDigits, parseId, parseStart, parseState, parseTerminal, START_BYTES } from "./ps_fields.ts";

/** The longest name of a kernel (Linux' own threads: 63 bytes; OpenBSD: 23), with room for what BSD escapes. */
const NAME_BYTES = 96;

const COLUMNS = [
  ["pid", "PID"],
  ["ppid", "PPID"],
  ["ruid", "RUID"],
  ["uid", "UID"],
  ["rgid", "RGID"],
  ["state", "STATE"],
  ["rss", "RSS"],
  ["time", "TIME"],
  ["tty", "TTY"],
  ["lstart", "STARTED".padEnd(START_BYTES, "_")],
  ["ucomm", "NAME".padEnd(NAME_BYTES, "_")],
  ["command", "COMMAND"],
] as const;
const HEADERS = COLUMNS.map(([, header]) => header);
/** Columns before the start: words without spaces. */
const WORDS = 9;

/** Arguments of `ps`: all processes, lines of any length, our columns. */
export const PS_ARGUMENTS: readonly string[] = [
  "-A",
  "-ww",
  ...COLUMNS.flatMap(([keyword, header]) => ["-o", `${keyword}=${header}`]),
];
/** The whole environment of `ps`: dates and numbers as this module reads them. */
export const PS_ENVIRONMENT: Readonly<Record<string, string>> = { LC_ALL: "C", TZ: "UTC" };

/** The output is no process table of ours. */
export class PsTableError extends Error {
  override name = "PsTableError";
}

/** A process as `ps` shows it. */
export interface PsRow {
  readonly pid: number;
  readonly ppid: number;
  readonly userId: number;
  readonly effectiveUserId: number;
  readonly groupId: number;
  /** See `ProcessState.status`. */
  readonly status: string;
  /** Resident bytes. */
  readonly memoryUsage: number;
  /** Nanoseconds. */
  readonly cpuTime: number;
  readonly tty: string | null;
  /** Unix time in whole seconds. */
  readonly startedAt: number;
  readonly name: string;
  /**
   * One argument: the command line as `ps` joined it. Cut at {@linkcode MAX_ARGV_BYTES}, and then without its NUL.
   * `null` where there is none.
   */
  readonly argv: Uint8Array | null;
  readonly kernelThread: boolean;
}

export interface PsTable {
  readonly rows: readonly PsRow[];
  /** Lines that could not be understood, those of {@linkcode PsTable.doubtful} included. */
  readonly damaged: number;
  /** Pids that more than one line claims. */
  readonly doubtful: ReadonlySet<number>;
}

/**
 * Reads a table. Linear in its bytes.
 *
 * @param self a pid that must be in it
 * @param os as `Deno.build.os` names it
 * @throws {PsTableError} without the header that was asked for, or without `self`
 */
export function parsePsTable(bytes: Uint8Array, self: number, os: string): PsTable {
  let end = bytes.indexOf(NEWLINE);
  const places = placesOf(bytes.subarray(0, Math.min(end < 0 ? bytes.length : end, MAX_HEADER_BYTES)));
  const rows = new Map<number, PsRow>(), doubtful = new Set<number>();
  let damaged = 0;
  while (end + 1 < bytes.length) {
    const begin = end + 1;
    end = bytes.indexOf(NEWLINE, begin);
    if (end < 0) { // the output was cut
      damaged++;
      break;
    }
    const row = parseRow(bytes.subarray(begin, end), places, os);
    if (row === null) damaged++;
    else if (row !== NOT_A_PROCESS) {
      if (rows.has(row.pid)) {
        damaged++;
        doubtful.add(row.pid);
      } else rows.set(row.pid, row);
    }
  }
  if (!rows.has(self)) {
    throw new PsTableError(`The table of ps does not show process ${self}, which asked for it`);
  }
  for (const pid of doubtful) {
    rows.delete(pid);
    damaged++;
  }
  return { rows: [...rows.values()], damaged, doubtful };
}

const NEWLINE = 10, SPACE = 32, MINUS = 45, OPEN = 91, CLOSE = 93;
/** Room for the headers above, with wide columns between. */
const MAX_HEADER_BYTES = 1_024;
/** No word of a column is longer; device names of terminals are at most that (`SPECNAMELEN` of FreeBSD). */
const MAX_WORD_BYTES = 255;

/** Where columns stand, counted from the begin of the start time. */
interface Places {
  readonly name: number;
  readonly command: number;
}

function placesOf(line: Uint8Array): Places {
  const text = decodeName(line);
  const found = text.split(" ").filter((word) => word !== "");
  if (found.length !== HEADERS.length || HEADERS.some((header, index) => found[index] !== header)) {
    throw new PsTableError(`The columns of ps are not those that were asked for, but ${JSON.stringify(text)}`);
  }
  const start = text.indexOf(HEADERS[WORDS]!);
  return { name: text.indexOf(HEADERS[WORDS + 1]!) - start, command: text.lastIndexOf(HEADERS[WORDS + 2]!) - start };
}

/** A line that is understood and shows no process: the kernel itself, or an ended process of which nothing is left. */
const NOT_A_PROCESS = Symbol();

const wordFrom = new Int32Array(WORDS), wordTo = new Int32Array(WORDS);
const names = new TextCache(decodeName);

/** One line without its line feed, `null` when it is not understood. */
function parseRow(line: Uint8Array, places: Places, os: string): PsRow | typeof NOT_A_PROCESS | null {
  let at = 0;
  for (let word = 0; word < WORDS; word++) {
    while (line[at] === SPACE) at++;
    wordFrom[word] = at;
    while (at < line.length && line[at] !== SPACE) at++;
    wordTo[word] = at;
    if (at === wordFrom[word] || at - wordFrom[word]! > MAX_WORD_BYTES) return null;
  }
  while (line[at] === SPACE) at++;
  const pid = read(parseDigits, line, 0), ppid = read(parseDigits, line, 1);
  const userId = read(parseId, line, 2), effectiveUserId = read(parseId, line, 3), groupId = read(parseId, line, 4);
  const resident = read(parseDigits, line, 6), cpuTime = read(parseCpuTime, line, 7);
  if (
    pid < 0 || pid > MAX_PID || ppid < 0 || ppid > MAX_PID || userId < 0 || effectiveUserId < 0 || groupId < 0 ||
    resident < 0 || resident > MAX_RESIDENT_KIB || cpuTime < 0
  ) return null;
  const status = parseState(line[wordFrom[5]!]!);
  const startedAt = parseStart(line, at);
  if (Number.isNaN(startedAt)) return status === "zombie" && line[at] === MINUS ? NOT_A_PROCESS : null;
  for (let i = at + START_BYTES; i < at + places.name; i++) if (line[i] !== SPACE) return null;
  const nameFrom = at + places.name, commandFrom = at + places.command;
  // The column before the command line ends with a space, unless that is empty and the line ends before it.
  if (line.length >= commandFrom && line[commandFrom - 1] !== SPACE) return null;
  let nameTo = Math.min(line.length, commandFrom - 1);
  while (nameTo > nameFrom && line[nameTo - 1] === SPACE) nameTo--;
  if (nameTo <= nameFrom) return null;
  const command = line.subarray(commandFrom);
  if (command.includes(0)) return null;
  if (pid === 0) return NOT_A_PROCESS;
  const kernelThread = isKernelThread(os, pid, ppid, resident, status, command);
  return {
    pid,
    ppid,
    userId,
    effectiveUserId,
    groupId,
    status,
    memoryUsage: resident * 1024,
    cpuTime,
    tty: read(parseTerminal, line, 8),
    startedAt,
    name: names.text(line, nameFrom, nameTo),
    argv: kernelThread || status === "zombie" || command.length === 0 ? null : argvOf(command),
    kernelThread,
  };
}

function read<T>(parse: (line: Uint8Array, from: number, to: number) => T, line: Uint8Array, word: number): T {
  return parse(line, wordFrom[word]!, wordTo[word]!);
}

/** `pid_t` is a signed number of 32 bits everywhere. */
const MAX_PID = 0x7fff_ffff;
/** What a double holds exactly as bytes. */
const MAX_RESIDENT_KIB = 2 ** 43;
/**
 * Linux shows its threads in brackets, as children of pid 2 and without memory of their own; FreeBSD as children of the
 * kernel. Brackets alone prove nothing: a process may call itself so. macOS and OpenBSD do not list theirs.
 */
function isKernelThread(
  os: string,
  pid: number,
  ppid: number,
  resident: number,
  status: string,
  command: Uint8Array,
): boolean {
  if (command[0] !== OPEN || command[command.length - 1] !== CLOSE || status === "zombie") return false;
  if (os === "linux") return resident === 0 && (ppid === 2 || ppid === 0 && pid === 2);
  return os === "freebsd" && ppid === 0 && pid !== 1;
}

function argvOf(command: Uint8Array): Uint8Array {
  if (command.length + 1 > MAX_ARGV_BYTES) return command.slice(0, MAX_ARGV_BYTES);
  const argv = new Uint8Array(command.length + 1);
  argv.set(command);
  return argv;
}
