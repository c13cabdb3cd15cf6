/**
 * An eBPF source under watch, and what tests start for it to see.
 *
 * @module
 */
import { ok } from "node:assert/strict";
import { type Btf, BtfError, readKernelBtf } from "../../collector/kernel/btf.ts";
import { libc, NativeArena } from "../../collector/kernel/libc.ts";
import { type EbpfOptions, openEbpfSource } from "../../collector/sources/ebpf.ts";
import type { ExecRecord, RawContext } from "../../collector/sources/source.ts";
import { encode, SourceWatch } from "./source_watch.ts";

/** As in the default settings, but for the environment. */
export const EBPF_OPTIONS: EbpfOptions = { ringBytes: 8 << 20, environment: [] };

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

/** An eBPF source whose records are kept, for as long as the scope lasts. */
export class Watch extends SourceWatch {
  constructor(options: Partial<EbpfOptions> = {}) {
    super(openEbpfSource({ ...EBPF_OPTIONS, ...options }), true);
  }
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
