/**
 * An eBPF source under watch, and what tests start for it to see.
 *
 * @module
 */
import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { type Btf, BtfError, readKernelBtf } from "../../collector/kernel/btf.ts";
import { libc, NativeArena } from "../../collector/kernel/libc.ts";
import { type EbpfOptions, openEbpfSource } from "../../collector/sources/ebpf.ts";
import type {
  ExecRecord,
  ExitRecord,
  ForkRecord,
  ProcessSource,
  RawContext,
  SourceRecord,
} from "../../collector/sources/source.ts";

/** As in the default settings, but for the environment. */
export const EBPF_OPTIONS: EbpfOptions = { ringBytes: 8 << 20, environment: [] };

export const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
export const argvOf = (...args: string[]): Uint8Array => encode(args.map((arg) => arg + "\0").join(""));

/** What became of a command, and the records of its process. */
interface Life {
  readonly pid: number;
  readonly status: Deno.CommandStatus;
  /** Of both streams. */
  readonly output: string;
  readonly forks: readonly ForkRecord[];
  readonly execs: readonly ExecRecord[];
  readonly exits: readonly ExitRecord[];
}

/** The types of this kernel without some members, and with some by another name. */
export function typesWithout(
  lacking: (path: string) => boolean,
  renamed: Readonly<Record<string, string>> = {},
): () => Btf {
  return () => {
    const btf = readKernelBtf(), has = btf.has.bind(btf), offsetOf = btf.offsetOf.bind(btf);
    const name = (path: string): string => renamed[path] ?? path;
    btf.has = (path) => !lacking(path) && has(name(path));
    btf.offsetOf = (path) => {
      if (lacking(path)) throw new BtfError(`This kernel has no ${path}`);
      return offsetOf(name(path));
    };
    return btf;
  };
}

/** A source whose records are kept, for as long as the scope lasts. */
export class Watch implements Disposable {
  readonly source: ProcessSource;
  readonly records: SourceRecord[] = [];

  constructor(options: Partial<EbpfOptions> = {}) {
    this.source = openEbpfSource({ ...EBPF_OPTIONS, ...options });
  }

  drain(): void {
    this.source.drain((record) => this.records.push(record));
  }

  of<K extends SourceRecord["kind"]>(kind: K, pid?: number): Extract<SourceRecord, { kind: K }>[] {
    return this.records.filter((record): record is Extract<SourceRecord, { kind: K }> =>
      record.kind === kind && (pid === undefined || record.kind === "loss" || record.pid === pid)
    );
  }

  /** Runs a command to its end and gives its records. */
  async run(command: string, args: string[] = [], options: Deno.CommandOptions = {}): Promise<Life> {
    const child = new Deno.Command(command, { args, stdin: "null", stdout: "piped", stderr: "piped", ...options })
      .spawn();
    // Read on meanwhile, as an owner does: the host can run others than this command.
    const reading = setInterval(() => this.drain(), 10);
    const { stdout, stderr, ...status } = await child.output().finally(() => clearInterval(reading));
    this.drain();
    return {
      pid: child.pid,
      status,
      output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr),
      forks: this.of("fork", child.pid),
      execs: this.of("exec", child.pid),
      exits: this.of("exit", child.pid),
    };
  }

  [Symbol.dispose](): void {
    this.source.close();
  }
}

export function one<T>(items: readonly T[]): T {
  equal(items.length, 1);
  return items[0]!;
}

/** A file in memory, open in this process. */
export function memfd(name: string, bytes: Uint8Array<ArrayBuffer>): number {
  const number = Deno.build.arch === "aarch64" ? 279n : 319n;
  const arena = new NativeArena(4096);
  const fd = libc.syscall(number, arena.place(encode(name + "\0")), 0n, 0n, 0n, 0n, 0n);
  arena.release();
  ok(fd >= 0);
  for (let at = 0; at < bytes.length;) {
    const wrote = libc.write(fd, bytes.subarray(at), bytes.length - at);
    ok(wrote > 0);
    at += wrote;
  }
  return fd;
}

/** A temporary directory by its real path, for as long as the scope lasts. */
export async function temporaryDirectory(): Promise<{ path: string } & AsyncDisposable> {
  const path = Deno.realPathSync(await Deno.makeTempDir());
  await Deno.chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** The circumstances that an exec told. */
export const contextOf = (exec: ExecRecord | undefined): RawContext => {
  ok(exec !== undefined && exec.context !== null);
  return exec.context;
};
