/**
 * What the memory of a process looks like, from the text of its `/proc/PID/maps`: pure and bounded.
 *
 * Counted is what code that was not loaded from a file looks like: pages that are writable and executable, executable ones
 * of no file, of memory files and of files that are gone. Engines with a compiler of their own (Java, JavaScript, PCRE) have
 * some of them honestly; a shell or a server has none.
 *
 * @see {@link https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html}
 * @module
 */

/** Mappings that are looked at; `vm.max_map_count` is 65,530. */
const MAX_MAPPINGS = 65_536;
/** Suspicious mappings that are named, and the length of a path. */
const MAX_NAMED = 32, MAX_PATH_LENGTH = 512;

export interface MemoryMaps {
  readonly mappings: number;
  /** Writable and executable at once. */
  readonly writableCode: number;
  /** Executable, of no file and no part that the kernel puts there. */
  readonly anonymousCode: number;
  /** Bytes of those two kinds. */
  readonly strayCodeBytes: number;
  /** Executable, of a file that has been removed or of a memory file. */
  readonly deletedCode: number;
  readonly memfdCode: number;
  /** Files whose code is mapped. */
  readonly codeFiles: number;
  /** The suspicious ones, as `rwxp PATH`. */
  readonly named: readonly string[];
  /** Whether there were more mappings than are looked at, or lines that are none. */
  readonly isCut: boolean;
}

const LINE = /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][ps]) [0-9a-f]{1,16} [0-9a-f]+:[0-9a-f]+ \d+(?: +(.*))?$/;
/** What the kernel maps into every process. */
const KERNELS = new Set(["[vdso]", "[vsyscall]", "[vvar]", "[vvar_vclock]", "[sigpage]", "[uprobes]"]);

/** The text may be cut at its end: a last line without its end is left out. */
export function parseMaps(text: string): MemoryMaps {
  let mappings = 0, writableCode = 0, anonymousCode = 0, strayCodeBytes = 0, deletedCode = 0, memfdCode = 0;
  let isCut = false;
  const files = new Set<string>(), named: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\n", at);
    if (end < 0) {
      isCut = true;
      break;
    }
    const found = LINE.exec(text.slice(at, Math.min(end, at + 4_352)));
    at = end + 1;
    if (found === null || mappings >= MAX_MAPPINGS) {
      isCut = true;
      if (found === null) continue;
      break;
    }
    mappings++;
    const rights = found[3]!, path = found[4] ?? "";
    if (rights[2] !== "x" || KERNELS.has(path)) continue;
    const bytes = Math.max(0, Number.parseInt(found[2]!, 16) - Number.parseInt(found[1]!, 16));
    const isWritable = rights[1] === "w", isMemfd = path.startsWith("/memfd:");
    const isDeleted = path.endsWith(" (deleted)"), isAnonymous = !path.startsWith("/") || path.startsWith("/dev/zero");
    if (isWritable) writableCode++;
    if (isAnonymous) anonymousCode++;
    if (isWritable || isAnonymous) strayCodeBytes += bytes;
    if (isMemfd) memfdCode++;
    else if (isDeleted) deletedCode++;
    if (!isAnonymous) files.add(path);
    if ((isWritable || isAnonymous || isMemfd || isDeleted) && named.length < MAX_NAMED) {
      named.push(`${rights} ${path === "" ? "[anonymous]" : path.slice(0, MAX_PATH_LENGTH)}`.toWellFormed());
    }
  }
  const counts = { mappings, writableCode, anonymousCode, strayCodeBytes, deletedCode, memfdCode };
  return { ...counts, codeFiles: files.size, named, isCut };
}
