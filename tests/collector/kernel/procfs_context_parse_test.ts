import assert from "node:assert/strict";
import fc from "fast-check";
import {
  kindOfFile,
  kindOfLink,
  parseAuditId,
  parseControlGroup,
  parseCoveredPids,
  parseNamespace,
  parseProcMount,
  parseStatus,
  parseThreadCount,
  terminalName,
} from "../../../collector/kernel/procfs_context_parse.ts";

const encoder = new TextEncoder();

/** A parser given a text in a larger buffer whose rest holds what was read before. */
function of<T>(parse: (bytes: Uint8Array, length: number) => T, text: string): T {
  const bytes = encoder.encode(text), buffer = new Uint8Array(8_192).fill(57); // "9"
  buffer.set(bytes);
  return parse(buffer, bytes.length);
}

const STATUS = "Name:\tUid:\\t1\\nGid:\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nNgid:\t0\nPid:\t7\nPPid:\t1\n" +
  "TracerPid:\t0\nUid:\t1000\t0\t1001\t1002\nGid:\t100\t50\t101\t102\nFDSize:\t64\nGroups:\t4 24 \nNStgid:\t7\t3\t1\n" +
  "NSpid:\t7\t3\t1\nNSpgid:\t7\t3\t1\nThreads:\t1\nCapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\n" +
  "CapEff:\t000001fffffffffe\nCapBnd:\t000001ffffffffff\n";
const UNKNOWN = {
  userId: null,
  effectiveUserId: null,
  savedUserId: null,
  groupId: null,
  effectiveGroupId: null,
  savedGroupId: null,
  effectiveCapabilities: null,
  namespacePid: null,
};
const KNOWN = {
  userId: 1000,
  effectiveUserId: 0,
  savedUserId: 1001,
  groupId: 100,
  effectiveGroupId: 50,
  savedGroupId: 101,
  effectiveCapabilities: 0x1fffffffffe,
  namespacePid: 1,
};

Deno.test("parseStatus() reads a recorded file, and half a line is no line", () => {
  assert.deepEqual(of(parseStatus, STATUS), KNOWN);
  for (let length = 0; length <= STATUS.length; length++) {
    const found = of(parseStatus, STATUS.slice(0, length));
    for (const [key, value] of Object.entries(found)) {
      const whole = KNOWN[key as keyof typeof KNOWN];
      assert.ok(value === null || value === whole, `${key} of ${length} bytes: ${value}`);
    }
    if (length > STATUS.indexOf("\nCapBnd")) assert.deepEqual(found, KNOWN);
  }
  for (
    const text of ["", "\0", "Uid:\n", "Uid:\tx\t1\t1\n", "Uid:\t1\t1\n", "NSpid:\t\n", "NSpid:1\n", "CapEff:\tzz\n"]
  ) {
    assert.deepEqual(of(parseStatus, text), UNKNOWN, JSON.stringify(text));
  }
  assert.deepEqual(of(parseStatus, "CapEff:\tffffffffffffffff\n"), UNKNOWN, "more than a number can hold");
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
    parseStatus(noise, noise.length);
  }));
});

Deno.test("parseAuditId() tells a number from none", () => {
  for (const [text, id] of [["0", 0], ["1000", 1000], ["1000\n", 1000], ["4294967294", 4294967294]] as const) {
    assert.equal(of(parseAuditId, text), id);
  }
  const none = ["4294967295", "4294967295\n", "", "\n", "-1", "1 2", "1x", "99999999999999999999", "1\n1", "1\0"];
  for (const text of none) assert.equal(of(parseAuditId, text), null, JSON.stringify(text));
});

Deno.test("parseNamespace() takes the inode out of the link's text, and nothing else", () => {
  assert.equal(of(parseNamespace, "mnt:[4026531841]"), 4026531841);
  for (
    const text of ["", "mnt", "mnt:", "mnt:[", "mnt:[]", "mnt:[1", "mnt:[1]x", "mnt:[x]", ":[1]", "[1]", "a:[1e3]"]
  ) {
    assert.equal(of(parseNamespace, text), null, text);
  }
  assert.equal(of(parseNamespace, `mnt:[${"9".repeat(40)}]`), null);
});

Deno.test("parseControlGroup() takes the path that lies deepest, and of equals the one of the best hierarchy", () => {
  const cases: [string, string | null][] = [
    ["0::/system.slice/ssh.service\n", "/system.slice/ssh.service"],
    ["0::/\n", "/"],
    ["12:pids:/docker/abc\n3:cpu,cpuacct:/\n1:name=systemd:/docker/abc\n0::/\n", "/docker/abc"],
    ["9:cpu,cpuacct:/a/b\n8:memory:/c/d\n7:pids:/e/f\n0::/x\n", "/e/f"],
    ["9:cpu,cpuacct:/a\n8:memory:/c\n0::/x\n", "/x"],
    ["2:freezer:/only/here\n1:name=systemd:/x\n", "/only/here"],
    ["0::/with:colon/and space\n", "/with:colon/and space"],
    ["0::/gone (deleted)\n", "/gone"],
    ["0::/../../sibling\n", "/../../sibling"],
    ["0::/cut", null],
    ["0::relative\n", null],
    ["::/x\n", null],
    ["", null],
    ["\0\n:\n", null],
  ];
  for (const [text, path] of cases) assert.equal(of(parseControlGroup, text), path, JSON.stringify(text));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
    const path = parseControlGroup(noise, noise.length);
    assert.ok(path === null || path.startsWith("/"));
  }));
});

Deno.test("terminalName() names terminals as /dev does", () => {
  const device = (major: number, minor: number): number =>
    ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) | 0; // signed, as the file has it
  const cases: [number, number, string][] = [
    [136, 0, "pts/0"],
    [136, 3, "pts/3"],
    [136, 255, "pts/255"],
    [136, 0xfffff, "pts/1048575"],
    [137, 1, "pts/257"],
    [4, 1, "tty1"],
    [4, 64, "ttyS0"],
    [5, 1, "console"],
    [229, 0, "hvc0"],
    [204, 64, "ttyAMA0"],
    [188, 2, "ttyUSB2"],
    [251, 7, "251:7"],
  ];
  for (const [major, minor, name] of cases) assert.equal(terminalName(device(major, minor)), name);
  assert.ok(device(136, 0xfffff) < 0);
  assert.equal(terminalName(0), null);
});

Deno.test("a stream's kind is the kernel's word or the file's type, never a path", () => {
  const texts: Readonly<Record<string, ReturnType<typeof kindOfLink>>> = {
    "pipe:[123]": "pipe",
    "socket:[123]": "socket",
    "anon_inode:[eventfd]": "anonymous",
    "net:[4026531840]": "anonymous",
    "/dev/null": null,
    "/dev/pts/3": null,
    "/tmp/pipe:[123]": null,
    "/memfd:x (deleted)": null,
    "(unreachable)/x": null,
    "": null,
  };
  for (const [text, kind] of Object.entries(texts)) assert.equal(of(kindOfLink, text), kind, text);
  const files: [number, number, number, ReturnType<typeof kindOfFile>][] = [
    [0o100644, 0, 0, "file"],
    [0o040755, 0, 0, "directory"],
    [0o010600, 0, 0, "pipe"],
    [0o140777, 0, 0, "socket"],
    [0o060660, 1, 3, "device"],
    [0o020666, 1, 3, "null"],
    [0o020666, 1, 5, "device"],
    [0o020620, 136, 4, "tty"],
    [0o020620, 4, 1, "tty"],
    [0o020666, 5, 0, "tty"],
    [0o020666, 5, 2, "device"],
    [0, 0, 0, null],
  ];
  for (const [mode, major, minor, kind] of files) {
    assert.equal(kindOfFile(mode, major, minor), kind, `${mode} ${major}`);
  }
});

Deno.test("parseCoveredPids() tells over whose directories something is mounted", () => {
  const line = (at: string): string => `21 27 0:21 / ${at} rw,relatime shared:5 - tmpfs none rw\n`;
  assert.deepEqual(parseCoveredPids(["/proc", "/proc/12", "/proc/13/fd", "/proc/12/exe"].map(line).join("")), [12, 13]);
  const others = ["/proc/sys/fs/binfmt_misc", "/proc/1x", "/srv/proc/12", "/proc/12345678901", "/proc/kcore"];
  assert.deepEqual(parseCoveredPids(others.map(line).join("") + "x /proc/14 y\n"), []);
  assert.deepEqual(parseCoveredPids(""), []);
});

Deno.test("parseProcMount() tells what /proc hides", () => {
  const line = (options: string, more = "rw,relatime"): string =>
    `21 27 0:21 / /proc ${more} shared:5 - proc proc ${options}\n22 27 0:22 / /sys rw - sysfs sysfs rw\n`;
  const open = { hides: null, processesOnly: false };
  assert.deepEqual(parseProcMount(line("rw")), open);
  assert.deepEqual(parseProcMount(line("rw,hidepid=off")), open);
  assert.deepEqual(parseProcMount(line("rw,gid=4,hidepid=invisible")), { ...open, hides: "invisible" });
  assert.deepEqual(parseProcMount(line("rw,hidepid=2")), { ...open, hides: "invisible" });
  assert.deepEqual(parseProcMount(line("rw,hidepid=1")), { ...open, hides: "noaccess" });
  assert.deepEqual(parseProcMount(line("rw,hidepid=ptraceable,subset=pid")), {
    hides: "ptraceable",
    processesOnly: true,
  });
  assert.deepEqual(parseProcMount(line("rw,hidepid=2") + line("rw")), open, "the one on top");
  assert.equal(parseProcMount("21 27 0:21 / /x/proc rw - proc proc rw\n"), null);
  for (const text of ["", "\n", " - ", "a b c d /proc - proc", "\0"]) parseProcMount(text);
});

Deno.test("parseThreadCount() finds the number of all threads", () => {
  assert.equal(parseThreadCount("0.42 0.21 0.46 2/345 6789\n"), 345);
  assert.equal(parseThreadCount("x"), null);
});
