import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { CWD_CUT, CWD_KNOWN, GROUP_CUT } from "../../../collector/kernel/context_records.ts";
import { EnvironmentFilter } from "../../../collector/kernel/environment.ts";
import {
  ARGV_UNREAD,
  ENVIRONMENT_UNREAD,
  EXIT,
  FORK,
  MODE_KNOWN,
  PATH_CUT,
  RecordDecoder,
  SCRIPT_UNREAD,
  SETS_USER_ID,
  UNLINKED,
} from "../../../collector/kernel/process_records.ts";
import { execBytes, type ExecParts, text } from "../../support/record_bytes.ts";

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
  const { context, ...rest } = decodeExec({});
  equal([context?.cwd, context?.scriptPath, context?.environment], ["/home", null, null]);
  equal(rest, {
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
    changeTime: 1_700_000_000 * 1e9 + 999_999_999,
    namespacePid: 3,
  });
});

Deno.test("exec record says when its file changed, without the kernel's mark, and nothing where the kernel does not", () => {
  const changeTime = (seconds: bigint, nanoseconds: number): number | null | undefined =>
    decodeExec({ changed: [seconds, nanoseconds] }).changeTime;
  equal(changeTime(5n, 0x8000_0000 | 7), 5 * 1e9 + 7);
  equal(changeTime(-5n, 7), null);
  equal(changeTime(0n, 0), null);
});

Deno.test("exec record says whether its file sets the user, where the kernel told", () => {
  equal(decodeExec({}).setsUserId, undefined);
  equal(decodeExec({ flags: MODE_KNOWN }).setsUserId, false);
  equal(decodeExec({ flags: MODE_KNOWN | SETS_USER_ID }).setsUserId, true);
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
  const script = { script: text("./x\0"), interpreter: text("/bin/sh\0") };
  const unnamed = decodeExec({ ...script, flags: SCRIPT_UNREAD }, decoder).context!;
  equal([unnamed.scriptPath, unnamed.interpreterPath], [null, null]);
  equal(decodeExec({ context: { cwd: "a\0", flags: CWD_KNOWN | CWD_CUT } }, decoder).context!.cwd, null);
  equal(decodeExec({ context: { group: "a\0", flags: CWD_KNOWN | GROUP_CUT } }, decoder).context!.cgroupPath, null);
  equal(decodeExec({ path: text("x".repeat(4_096) + "\0") }, decoder).executablePath, null);
  equal([decoder.damaged, decoder.received.exec], [6, 6]);
  const filtered = new RecordDecoder(new EnvironmentFilter(["A"]));
  equal(decodeExec({ environment: text("A=1\0"), flags: ENVIRONMENT_UNREAD }, filtered).context!.environment, null);
  equal(filtered.damaged, 1);
});

Deno.test("exec record names a script by the directory that it was started in", () => {
  const scriptOf = (name: string, cwd: string, flags = CWD_KNOWN): unknown[] => {
    const parts = { script: text(name + "\0"), interpreter: text("/bin/sh -\0") };
    const { scriptPath, interpreterPath } = decodeExec({ ...parts, context: { cwd, flags } }).context!;
    return [scriptPath, interpreterPath];
  };
  equal(scriptOf("/x/run", "b\0a\0"), ["/x/run", "/bin/sh -"]);
  equal(scriptOf("./run", "b\0a\0")[0], "/a/b/run");
  equal(scriptOf("././/run", "")[0], "/run");
  equal(scriptOf("../c/.run", "b\0a\0")[0], "/a/b/../c/.run");
  equal(scriptOf("/dev/fd/3", "b\0a\0")[0], "/dev/fd/3");
  equal(scriptOf("../run", "b\0", CWD_KNOWN | 2)[0], "../run");
  equal(scriptOf("run", "b\0", CWD_KNOWN | CWD_CUT)[0], "run");
  equal(scriptOf("run", "", 0)[0], "run");
});

Deno.test("exec record keeps of the environment what is wanted, and says whether there was more", () => {
  const decoder = new RecordDecoder(new EnvironmentFilter(["LD_*"]));
  const environment = text("HOME=/\0LD_PRELOAD=x\0LD_CUT");
  const whole = decodeExec({ environment }, decoder).context!;
  equal([whole.environment, whole.environmentCut], [["LD_PRELOAD=x"], false]);
  const cut = decodeExec({ environment, environmentLength: 10_000 }, decoder).context!;
  equal([cut.environment, cut.environmentCut], [["LD_PRELOAD=x"], true]);
  equal(decodeExec({ environment: text("") }, decoder).context!.environment, []);
  equal(decodeExec({ environment }).context!.environment, null);
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
  forkView.setUint32(FORK.namespacePid, 4, true), forkView.setUint32(FORK.pidNamespace, 5, true);
  forkView.setBigUint64(FORK.time, 2n ** 40n, true), forkView.setBigUint64(FORK.startTime, 2n ** 40n - 1n, true);
  equal(decodeOne(decoder, fork), {
    kind: "fork",
    time: 2 ** 40,
    pid: 20,
    ppid: 10,
    startTime: 2 ** 40 - 1,
    namespacePid: 4,
    pidNamespace: 5,
  });
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
