import { deepStrictEqual as equal, ok } from "node:assert/strict";
import {
  ARGV_UNREAD,
  EXEC,
  EXIT,
  FORK,
  PATH_CUT,
  RecordDecoder,
  UNLINKED,
} from "../../../collector/kernel/process_records.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

interface ExecParts {
  path?: Uint8Array;
  argv?: Uint8Array;
  argvLength?: bigint;
  flags?: number;
  inode?: bigint;
}

function execBytes(
  { path = text("sh\0bin\0"), argv = text("sh\0"), argvLength, flags = 0, inode = 7n }: ExecParts,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(EXEC.bytes + path.length + argv.length), view = new DataView(bytes.buffer);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const u64 = (at: number, value: bigint): void => view.setBigUint64(at, value, true);
  u32(EXEC.kind, 0), u32(EXEC.pid, 11), u32(EXEC.ppid, 12);
  u64(EXEC.time, 5_000_000_001n), u64(EXEC.startTime, 4_999_999_999n);
  u32(EXEC.userId, 1000), u32(EXEC.groupId, 1001), u32(EXEC.effectiveUserId, 0xffff_ffff);
  u64(EXEC.inode, inode), u64(EXEC.cgroupId, 99n), u32(EXEC.device, 0x0800_0001), u32(EXEC.flags, flags);
  bytes.set(text("sh\0junk"), EXEC.name);
  u32(EXEC.pathBytes, path.length), u32(EXEC.argvBytes, argv.length);
  u64(EXEC.argvLength, argvLength ?? BigInt(argv.length));
  bytes.set(path, EXEC.bytes), bytes.set(argv, EXEC.bytes + path.length);
  return bytes;
}

function decodeOne(
  decoder: RecordDecoder,
  bytes: Uint8Array<ArrayBuffer>,
  length = bytes.length,
): ReturnType<RecordDecoder["decode"]> {
  // At an odd place, among bytes that are not its own, as in the ring.
  const around = new Uint8Array(bytes.length + 40).fill(0xee);
  around.set(bytes, 24);
  return decoder.decode(around, new DataView(around.buffer), 24, length);
}

function decodeExec(parts: ExecParts, decoder = new RecordDecoder()) {
  const record = decodeOne(decoder, execBytes(parts));
  ok(record?.kind === "exec");
  return record;
}

Deno.test("exec record comes out as it went in", () => {
  equal(decodeExec({}), {
    kind: "exec",
    time: 5_000_000_001,
    pid: 11,
    ppid: 12,
    startTime: 4_999_999_999,
    userId: 1000,
    groupId: 1001,
    effectiveUserId: 0xffff_ffff,
    name: "sh",
    executablePath: "/bin/sh",
    argv: text("sh\0"),
    argvLength: 3,
    inode: 7,
    device: 0x0800_0001,
    namespacePid: null,
    context: null,
  });
});

Deno.test("exec record keeps argv byte for byte, in a copy", () => {
  const argv = Uint8Array.of(0xff, 0xfe, 0, 0, 0x1b, 0x5b, 0x0a, 0);
  const decoder = new RecordDecoder(), bytes = execBytes({ argv });
  const record = decoder.decode(bytes, new DataView(bytes.buffer), 0, bytes.length);
  bytes.fill(0x41);
  ok(record?.kind === "exec");
  equal(record.argv, argv);
  equal(record.argv?.buffer.byteLength, argv.length);
});

Deno.test("exec record of a cut argv keeps its true length", () => {
  const record = decodeExec({ argv: text("cut"), argvLength: 1_048_576n });
  equal([record.argv?.length, record.argvLength], [3, 1_048_576]);
});

Deno.test("exec record says null for what could not be read, and is counted as damaged", () => {
  const decoder = new RecordDecoder();
  equal(decodeExec({ flags: PATH_CUT }, decoder).executablePath, null);
  const unread = decodeExec({ flags: ARGV_UNREAD, argv: text(""), argvLength: 5n }, decoder);
  equal([unread.argv, unread.argvLength, unread.executablePath], [null, 5, "/bin/sh"]);
  equal([decoder.damaged, decoder.received.exec], [2, 2]);
});

Deno.test("exec record says null for numbers that a double cannot hold", () => {
  const record = decodeExec({ inode: 2n ** 60n + 1n, argvLength: 2n ** 64n - 1n });
  equal([record.inode, record.argvLength], [null, null]);
});

Deno.test("exec record marks unlinked files as the kernel does, and gives well-formed paths", () => {
  const decoder = new RecordDecoder();
  equal(decodeExec({ flags: UNLINKED, path: text("memfd:x\0") }, decoder).executablePath, "/memfd:x (deleted)");
  equal(decodeExec({ path: text("memfd:x\0") }, decoder).executablePath, "/memfd:x");
  equal(decodeExec({ path: Uint8Array.of(0xff, 0, 0x61, 0) }).executablePath, "/a/\ufffd");
  equal(decodeExec({ path: text("") }).executablePath, null);
});

Deno.test("fork and exit records come out as they went in", () => {
  const decoder = new RecordDecoder();
  const fork = new Uint8Array(FORK.bytes), forkView = new DataView(fork.buffer);
  forkView.setUint32(FORK.kind, 1, true),
    forkView.setUint32(FORK.pid, 20, true),
    forkView.setUint32(FORK.ppid, 10, true);
  forkView.setBigUint64(FORK.time, 2n ** 40n, true), forkView.setBigUint64(FORK.startTime, 2n ** 40n - 1n, true);
  equal(decodeOne(decoder, fork), { kind: "fork", time: 2 ** 40, pid: 20, ppid: 10, startTime: 2 ** 40 - 1 });
  const exit = new Uint8Array(EXIT.bytes), exitView = new DataView(exit.buffer);
  exitView.setUint32(EXIT.kind, 2, true),
    exitView.setUint32(EXIT.pid, 20, true),
    exitView.setUint32(EXIT.status, 0x300, true);
  exitView.setBigUint64(EXIT.cpuTime, 123n, true);
  equal(decodeOne(decoder, exit), { kind: "exit", time: 0, pid: 20, startTime: 0, exitStatus: 0x300, cpuTime: 123 });
  equal(decoder.received, { exec: 0, fork: 1, exit: 1 });
});

Deno.test("record that is none of ours is counted as damaged at every length, and read no further", () => {
  const whole = execBytes({});
  for (let length = 0; length < whole.length; length++) {
    const decoder = new RecordDecoder();
    equal([decodeOne(decoder, whole, length), decoder.damaged], [null, 1], `length ${length}`);
  }
  const decoder = new RecordDecoder(), unknown = new Uint8Array(64).fill(9);
  equal([decodeOne(decoder, unknown), decoder.damaged], [null, 1]);
});
