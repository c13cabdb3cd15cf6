/**
 * Debian's `yara` over the bytes of one file: the only program that an analyser runs.
 *
 * It gets the bytes in a memory file and no name of any file but those of its rules, runs without a capability, under the
 * analyser's filter of system calls, for a bounded time, and of what it prints a bounded part is read. So neither a rule that
 * backtracks nor one that matches everywhere holds anything up, and a fault of its parsers by a hostile file has nothing to
 * reach. The rules are root's; one file of them that does not compile is left out, and said.
 *
 * @module
 */
import { checked, cString, libc, NativeArena } from "../kernel/libc.ts";
import { SYSCALL } from "../kernel/syscalls.ts";
import { allSteps } from "../../proto/steps.ts";
import { paced } from "./paced.ts";
import { StageFailure } from "./read_file.ts";

/** The only path that it is run by: the grant is matched as text. */
export const YARA_PATH = "/usr/bin/yara";
/** Bounds of the rules: files, bytes of one and of all. */
export const MAX_RULE_FILES = 64, MAX_RULE_BYTES = 1 << 20, MAX_ALL_BYTES = 8 << 20;
/** Of what it prints, so much is read; of its matches so many are told. */
const MAX_OUTPUT_BYTES = 262_144, MAX_MATCHES = 256;
/** What one rule may find in a file, so that memory stays bounded. */
const MAX_STRINGS_PER_RULE = 1_000;
/** How long rules may take to compile, and a run beyond what yara was told. */
const COMPILE_MS = 10_000, GRACE_MS = 1_000;
const TIMED_OUT = /\btime(?:d )?out\b/i;

export interface YaraMatch {
  /** `file:rule`. */
  readonly rule: string;
  readonly tags: readonly string[];
}

interface RuleFile {
  readonly path: string;
  readonly namespace: string;
  readonly stamp: string;
  readonly size: number;
}

/** What the run of a program came to. */
interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly isCut: boolean;
  readonly isLate: boolean;
}

const FILE_NAME = /^([A-Za-z0-9_]{1,64})\.yara?$/;
const MATCH = /^([A-Za-z0-9_]{1,64}):([A-Za-z_][A-Za-z0-9_]{0,127}) \[([A-Za-z0-9_,]{0,1024})\] /;

export class Yara {
  readonly #directory: string;
  readonly #memory: number;
  /** What was said of each version of a rule file: an empty text where it compiles. */
  #verdicts = new Map<string, string>();
  /** One file at a time is in the memory file. */
  #last: Promise<unknown> = Promise.resolve();

  /** `memory` is a memory file that programs inherit, made before system calls were filtered. */
  constructor(directory: string, memory: number) {
    this.#directory = directory;
    this.#memory = memory;
  }

  /** Scans bytes, after those before. @throws {StageFailure} */
  scan(bytes: Uint8Array<ArrayBuffer>, timeoutMs: number, signal: AbortSignal): Promise<readonly YaraMatch[]> {
    const scanned = this.#last.then(() => this.#scan(bytes, timeoutMs, signal));
    this.#last = scanned.catch(() => {});
    return scanned;
  }

  /** Rule files that do not compile, or are too large, each with the reason. */
  get refused(): readonly string[] {
    return [...this.#verdicts].filter(([, verdict]) => verdict !== "").map(([file, verdict]) =>
      `${file.split(" ")[0]}: ${verdict}`
    );
  }

  async #scan(bytes: Uint8Array<ArrayBuffer>, timeoutMs: number, signal: AbortSignal): Promise<readonly YaraMatch[]> {
    if (signal.aborted) throw new StageFailure("TIMED_OUT", "It was given up before its turn");
    const rules = await this.#rules(signal);
    await paced(this.#filling(bytes), signal);
    const seconds = Math.max(1, Math.floor(timeoutMs / 1_000));
    const { code, stdout, stderr, isCut, isLate } = await this.#run(rules, seconds, signal);
    allSteps(this.#filling(EMPTY));
    if (isLate || TIMED_OUT.test(stderr)) {
      throw new StageFailure("TIMED_OUT", `yara was ended after ${seconds} s: a rule takes too long`);
    }
    if (code !== 0) throw new StageFailure("FAILED", `yara ended with ${code}: ${firstLine(stderr)}`);
    const matches = parseMatches(stdout);
    if (isCut || matches.length > MAX_MATCHES) {
      throw new StageFailure("FAILED", `yara printed more than ${MAX_MATCHES} matches: a rule matches everywhere`);
    }
    return matches;
  }

  /** The rule files that compile. @throws {StageFailure} when there is none */
  async #rules(signal: AbortSignal): Promise<readonly RuleFile[]> {
    const found = listRuleFiles(this.#directory), fresh = new Map<string, string>(), usable: RuleFile[] = [];
    if (found === null || found.length === 0) {
      throw new StageFailure("ABSENT", `No YARA rules in ${this.#directory}; put files named *.yar there`);
    }
    let room = MAX_ALL_BYTES;
    allSteps(this.#filling(new Uint8Array(1)));
    for (const [index, file] of found.entries()) {
      const key = `${file.path} ${file.stamp}`;
      let verdict = this.#verdicts.get(key);
      if (index >= MAX_RULE_FILES) verdict = `only ${MAX_RULE_FILES} files are used`;
      else if (file.size > MAX_RULE_BYTES) verdict = `it has ${file.size} bytes; ${MAX_RULE_BYTES} are allowed`;
      else if (file.size > room) verdict = `with it all rules have more than ${MAX_ALL_BYTES} bytes`;
      else if (verdict === undefined) verdict = await this.#verdict(file, signal);
      fresh.set(key, verdict);
      if (verdict !== "") continue;
      room -= file.size;
      usable.push(file);
    }
    this.#verdicts = fresh;
    if (usable.length === 0) throw new StageFailure("FAILED", `No YARA rule compiles: ${this.refused[0]}`);
    return usable;
  }

  async #verdict(file: RuleFile, signal: AbortSignal): Promise<string> {
    const { code, stderr, isLate } = await this.#run([file], 1, signal, COMPILE_MS);
    if (isLate) return "it takes too long to compile";
    // What takes long over one byte is looked at when it takes long over a program.
    return code === 0 || TIMED_OUT.test(stderr)
      ? ""
      : firstLine(stderr).replaceAll(file.path, "line").slice(0, 300) || `yara ended with ${code}`;
  }

  async #run(
    rules: readonly RuleFile[],
    seconds: number,
    signal: AbortSignal,
    graceMs = GRACE_MS,
  ): Promise<Run> {
    const child = new Deno.Command(YARA_PATH, {
      args: [
        ...["--no-warnings", "--print-namespace", "--print-tags", `--timeout=${seconds}`],
        ...[`--max-rules=${MAX_MATCHES + 1}`, `--max-strings-per-rule=${MAX_STRINGS_PER_RULE}`],
        ...rules.map(({ namespace, path }) => `${namespace}:${path}`),
        `/proc/self/fd/${this.#memory}`,
      ],
      ...{ stdin: "null", stdout: "piped", stderr: "piped", clearEnv: true, cwd: "/" } as const,
    }).spawn();
    let isLate = false;
    const kill = (): void => {
      isLate = true;
      try {
        child.kill("SIGKILL");
      } catch {
        // it has ended
      }
    };
    const timer = setTimeout(kill, seconds * 1_000 + graceMs);
    signal.addEventListener("abort", kill, { once: true });
    try {
      const [out, err, { code }] = await Promise.all([
        bounded(child.stdout, () => child.kill("SIGKILL")),
        bounded(child.stderr, () => child.kill("SIGKILL")),
        child.status,
      ]);
      return { code, stdout: out.text, stderr: err.text, isCut: out.isCut, isLate };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", kill);
    }
  }

  /** Puts bytes into the memory file, in place of what was there. */
  *#filling(bytes: Uint8Array<ArrayBuffer>): Generator<void, void> {
    checked(libc.syscall(BigInt(SYSCALL.ftruncate), BigInt(this.#memory), 0n, 0n, 0n, 0n, 0n), "ftruncate");
    libc.lseek(this.#memory, 0n, 0);
    for (let at = 0; at < bytes.length;) {
      const count = libc.write(this.#memory, bytes.subarray(at, at + (1 << 20)), Math.min(1 << 20, bytes.length - at));
      if (count <= 0) throw new StageFailure("FAILED", "There is no memory for the file that yara reads");
      at += count;
      yield;
    }
  }
}

const EMPTY = new Uint8Array(0);

/** A file in memory that whatever is run inherits. To be made before system calls are filtered. @throws {SystemCallError} */
export function memoryFile(): number {
  const arena = new NativeArena(64);
  try {
    const name = arena.place(cString("analyzed"));
    return checked(libc.syscall(BigInt(SYSCALL.memfd_create), name, 0n, 0n, 0n, 0n, 0n), "memfd_create");
  } finally {
    arena.release();
  }
}

/** Rule files of a directory, in the order of their names; `null` where it cannot be read. */
function listRuleFiles(directory: string): RuleFile[] | null {
  try {
    return [...Deno.readDirSync(directory)].flatMap(({ name, isFile }) => {
      const namespace = FILE_NAME.exec(name)?.[1], path = `${directory}/${name}`;
      if (!isFile || namespace === undefined) return [];
      const { size, mtime, ino } = Deno.statSync(path);
      return [{ path, namespace, size, stamp: `${ino} ${size} ${mtime?.getTime()}` }];
    }).sort((a, b) => a.path < b.path ? -1 : 1);
  } catch {
    return null;
  }
}

/** What yara printed: `namespace:rule [tags] file`, a line each. Lines that are none are passed over. */
export function parseMatches(text: string): YaraMatch[] {
  const found = new Map<string, YaraMatch>();
  for (const line of text.split("\n")) {
    const match = MATCH.exec(line);
    if (match === null) continue;
    const rule = `${match[1]}:${match[2]}`;
    found.set(rule, { rule, tags: match[3] === "" ? [] : match[3]!.split(",") });
  }
  return [...found.values()];
}

async function bounded(
  stream: ReadableStream<Uint8Array>,
  full: () => void,
): Promise<{ readonly text: string; readonly isCut: boolean }> {
  const pieces: Uint8Array[] = [];
  let length = 0, isCut = false;
  for await (const piece of stream) {
    if (isCut) continue;
    pieces.push(piece);
    length += piece.length;
    if (length <= MAX_OUTPUT_BYTES) continue;
    isCut = true;
    try {
      full();
    } catch {
      // it has ended
    }
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return { text: new TextDecoder().decode(all), isCut };
}

function firstLine(text: string): string {
  return text.split("\n").find((line) => line.trim() !== "")?.replace(/[^ -~]/g, "?").slice(0, 300) ?? "";
}
