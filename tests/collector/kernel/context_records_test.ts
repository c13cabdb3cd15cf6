import { deepStrictEqual as equal, notStrictEqual, strictEqual } from "node:assert/strict";
import {
  CLOSED,
  CONTEXT,
  ContextDecoder,
  CWD_CUT,
  CWD_KNOWN,
  CWD_UNLINKED,
  GROUP_CUT,
  kindOfInode,
  UNKNOWN,
} from "../../../collector/kernel/context_records.ts";
import { contextBytes } from "../../support/record_bytes.ts";

function decode(parts: Parameters<typeof contextBytes>[0], decoder = new ContextDecoder()) {
  const bytes = contextBytes(parts);
  return decoder.decode(bytes, new DataView(bytes.buffer), 0, bytes.length);
}

const NUMBERS = {
  effectiveCapabilities: 2 ** 41 - 1,
  savedUserId: 1,
  effectiveGroupId: 2,
  savedGroupId: 3,
  loginUserId: 4,
  sessionId: 5,
  userNamespace: 6,
  pidNamespace: 7,
  mountNamespace: 8,
  networkNamespace: 9,
};

Deno.test("ContextDecoder gives every part as it stands in the block", () => {
  equal(
    decode({
      numbers: NUMBERS,
      groupId: 77,
      cwd: "deep\0tmp\0",
      group: "leaf\0top\0",
      tty: "pts12\0",
      standardInput: { mode: 0o020620, device: 136 << 20 | 12 },
      standardOutput: { mode: 0o140777 },
    }),
    {
      ...NUMBERS,
      cwd: "/tmp/deep",
      tty: "pts/12",
      cgroupPath: "/top/leaf",
      cgroupId: 77,
      interpreterPath: null,
      scriptPath: null,
      stdinKind: "tty",
      stdoutKind: "socket",
      environment: null,
      environmentCut: false,
    },
  );
});

Deno.test("ContextDecoder gives the family of the socket that standard input is", () => {
  equal(decode({ standardInput: { mode: 0o140777 } })!.stdinFamily, undefined);
  equal(decode({ standardInput: { mode: 0o140777 }, numbers: { inputFamily: 10 } })!.stdinFamily, 10);
});

Deno.test("ContextDecoder says null for what nobody has and for what is not known", () => {
  const context = decode({
    flags: 0,
    numbers: {
      effectiveCapabilities: 2 ** 64 - 2048,
      savedUserId: UNKNOWN,
      effectiveGroupId: UNKNOWN,
      savedGroupId: UNKNOWN,
      loginUserId: UNKNOWN,
      sessionId: UNKNOWN,
    },
    standardInput: { mode: UNKNOWN },
    standardOutput: { mode: UNKNOWN },
  })!;
  equal(Object.values(context).filter((value) => value !== null), [false]);
});

Deno.test("ContextDecoder knows roots, directories that are gone, and paths that were cut", () => {
  equal(decode({ groupId: 1 })!.cwd, "/");
  equal(decode({ groupId: 1 })!.cgroupPath, "/");
  equal(decode({ cwd: "gone\0", flags: CWD_KNOWN | CWD_UNLINKED })!.cwd, "/gone (deleted)");
  equal(decode({ cwd: "cut\0", flags: CWD_KNOWN | CWD_CUT })!.cwd, null);
  const cut = decode({ group: "cut\0", groupId: 5, flags: CWD_KNOWN | GROUP_CUT })!;
  equal([cut.cgroupPath, cut.cgroupId], [null, 5]);
});

Deno.test("ContextDecoder names terminals as they stand below /dev", () => {
  const names = {
    "tty1\0": "tty1",
    "ttyS0\0": "ttyS0",
    "pts0\0": "pts/0",
    "ptsx\0": "ptsx",
    "ttyp0\0rest": "ttyp0",
    "\0": null,
  };
  for (const [tty, name] of Object.entries(names)) equal(decode({ tty })!.tty, name);
});

Deno.test("ContextDecoder gives the same object for the same circumstances only", () => {
  const decoder = new ContextDecoder(), first = decode({ cwd: "a\0", numbers: NUMBERS }, decoder);
  strictEqual(decode({ cwd: "a\0", numbers: NUMBERS }, decoder), first);
  notStrictEqual(decode({ cwd: "b\0", numbers: NUMBERS }, decoder), first);
  for (const name of Object.keys(NUMBERS)) {
    const other = decode({ cwd: "a\0", numbers: { ...NUMBERS, [name]: 99 } }, decoder)!;
    equal([name, other[name as keyof typeof other]], [name, 99]);
  }
});

Deno.test("ContextDecoder reads nothing outside of its record", () => {
  const bytes = contextBytes({ cwd: "a\0", group: "b\0", tty: "c\0" }), view = new DataView(bytes.buffer);
  const decoder = new ContextDecoder();
  for (let end = CONTEXT.bytes; end < bytes.length; end++) equal(decoder.decode(bytes, view, 0, end), null);
  for (const at of [CONTEXT.cwdEnd, CONTEXT.groupEnd, CONTEXT.ttyEnd]) {
    const changed = bytes.slice();
    new DataView(changed.buffer).setUint32(at, 0xffff_fff0, true);
    equal(decoder.decode(changed, new DataView(changed.buffer), 0, changed.length), null);
  }
});

Deno.test("kindOfInode() knows files, devices, terminals, and inodes without a file", () => {
  const device = (major: number, minor: number): number => major << 20 | minor;
  equal(kindOfInode(0o100644, 0, 0), "file");
  equal(kindOfInode(0o040755, 0, 0), "directory");
  equal(kindOfInode(0o010600, 0, 0), "pipe");
  equal(kindOfInode(0o140777, 0, 0), "socket");
  equal(kindOfInode(0o060660, device(1, 3), 0), "device");
  equal(kindOfInode(0o020666, device(1, 3), 0), "null");
  equal(kindOfInode(0o020666, device(1, 5), 0), "device");
  for (const major of [4, 5, 136, 143]) equal(kindOfInode(0o020620, device(major, 1), 0), "tty");
  for (const major of [3, 6, 135, 144]) equal(kindOfInode(0o020620, device(major, 1), 0), "device");
  equal(kindOfInode(0o000600, 0, 0), "anonymous");
  equal(kindOfInode(0o100600, 0, 1 << 19), "anonymous");
});

Deno.test("a closed stream is none", () => {
  const context = decode({ standardInput: { mode: CLOSED }, standardOutput: { mode: 0o100600 } })!;
  equal([context.stdinKind, context.stdoutKind], ["none", "file"]);
});
