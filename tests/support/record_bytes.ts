/**
 * Records as our eBPF programs write them, made by hand.
 *
 * @module
 */
import { CONTEXT, CWD_KNOWN, STREAM } from "../../collector/kernel/context_records.ts";
import type { FactName } from "../../collector/kernel/context_layout.ts";
import { EXEC } from "../../collector/kernel/process_records.ts";

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);

interface Stream {
  readonly mode?: number;
  readonly device?: number;
  readonly flags?: number;
}

export interface ContextParts {
  readonly flags?: number;
  readonly numbers?: Partial<Record<FactName | "pidNamespace" | "inputFamily", number>>;
  readonly groupId?: number;
  /** Texts as they stand in the record: names from the lowest up, each ended by NUL. */
  readonly cwd?: string;
  readonly group?: string;
  readonly tty?: string;
  readonly standardInput?: Stream;
  readonly standardOutput?: Stream;
}

/** A block of circumstances, and the texts that belong to it. */
export function contextBytes(
  { flags = CWD_KNOWN, numbers = {}, groupId = 0, cwd = "", group = "", tty = "", ...streams }: ContextParts,
): Uint8Array<ArrayBuffer> {
  const texts = [cwd, group, tty].map(text);
  const bytes = new Uint8Array(CONTEXT.bytes + texts.reduce((sum, { length }) => sum + length, 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(CONTEXT.flags, flags, true);
  view.setBigUint64(CONTEXT.groupId, BigInt(groupId), true);
  for (const [name, value] of Object.entries(numbers)) {
    const at = CONTEXT[name as FactName | "inputFamily"];
    if (name === "effectiveCapabilities") view.setBigUint64(at, BigInt(value), true);
    else view.setUint32(at, value, true);
  }
  for (const [name, { mode = 0, device = 0, flags = 0 }] of Object.entries(streams)) {
    const at = CONTEXT[name as "standardInput"];
    view.setUint32(at + STREAM.mode, mode, true);
    view.setUint32(at + STREAM.device, device, true);
    view.setUint32(at + STREAM.flags, flags, true);
  }
  let end = 0;
  [CONTEXT.cwdEnd, CONTEXT.groupEnd, CONTEXT.ttyEnd].forEach((at, index) => {
    bytes.set(texts[index]!, CONTEXT.bytes + end);
    end += texts[index]!.length;
    view.setUint32(at, end, true);
  });
  return bytes;
}

export interface ExecParts {
  readonly context?: ContextParts;
  readonly path?: Uint8Array;
  readonly script?: Uint8Array;
  readonly interpreter?: Uint8Array;
  readonly argv?: Uint8Array;
  readonly argvLength?: bigint;
  readonly environment?: Uint8Array;
  readonly environmentLength?: number;
  readonly flags?: number;
  readonly inode?: bigint;
  /** Seconds and nanoseconds. */
  readonly changed?: readonly [bigint, number];
  readonly namespacePid?: number;
}

/** The record of an exec. */
export function execBytes(
  {
    context = { cwd: "home\0" },
    path = text("sh\0bin\0"),
    script = text(""),
    interpreter = text(""),
    argv = text("sh\0"),
    argvLength,
    environment = text(""),
    environmentLength,
    flags = 0,
    inode = 7n,
    changed = [1_700_000_000n, 999_999_999],
    namespacePid = 3,
  }: ExecParts,
): Uint8Array<ArrayBuffer> {
  const block = contextBytes(context), texts = [path, script, interpreter, argv, environment];
  const length = texts.reduce((sum, { length }) => sum + length, EXEC.context + block.length);
  const bytes = new Uint8Array(length), view = new DataView(bytes.buffer);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const u64 = (at: number, value: bigint): void => view.setBigUint64(at, value, true);
  u32(EXEC.kind, 0), u32(EXEC.pid, 11), u32(EXEC.ppid, 12), u32(EXEC.namespacePid, namespacePid);
  u64(EXEC.time, 5_000_000_001n), u64(EXEC.startTime, 4_999_999_999n);
  u32(EXEC.userId, 1000), u32(EXEC.groupId, 1001), u32(EXEC.effectiveUserId, 0xffff_ffff);
  u64(EXEC.inode, inode), u32(EXEC.device, 0x0800_0001), u32(EXEC.flags, flags);
  view.setBigInt64(EXEC.changeSeconds, changed[0], true), u32(EXEC.changeNanoseconds, changed[1]);
  bytes.set(text("sh\0junk"), EXEC.name);
  u64(EXEC.argvLength, argvLength ?? BigInt(argv.length));
  u64(EXEC.environmentLength, BigInt(environmentLength ?? environment.length));
  bytes.set(block, EXEC.context);
  let at = EXEC.context + block.length;
  const ends = [EXEC.pathEnd, EXEC.scriptEnd, EXEC.interpreterEnd, EXEC.argvEnd, EXEC.environmentEnd];
  texts.forEach((part, index) => {
    bytes.set(part, at);
    at += part.length;
    u32(ends[index]!, at - EXEC.bytes);
  });
  return bytes;
}
