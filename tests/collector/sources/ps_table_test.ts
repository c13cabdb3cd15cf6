import assert from "node:assert/strict";
import fc from "fast-check";
import { splitArgv } from "../../../proto/argv.ts";
import { MAX_ARGV_BYTES } from "../../../proto/process_event.ts";
import { parseCpuTime, parseId, parseStart } from "../../../collector/sources/ps_fields.ts";
import { parsePsTable, PS_ARGUMENTS, type PsRow, PsTableError } from "../../../collector/sources/ps_table.ts";

const RECORDED = new URL("../../recorded/ps/", import.meta.url);
const encoder = new TextEncoder();

function recorded(name: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(new URL(name, RECORDED));
}

/** The header that our arguments make, with columns as wide as procps has them. */
const HEADER = headerOf();
function headerOf(): string {
  const headers = PS_ARGUMENTS.filter((word) => word.includes("=")).map((word) => word.slice(word.indexOf("=") + 1));
  return headers.join(" ");
}
const NAME_WIDTH = HEADER.indexOf("COMMAND") - HEADER.indexOf("NAME") - 1;

interface Line {
  readonly pid?: string;
  readonly words?: string;
  readonly start?: string;
  readonly name?: string;
  readonly command?: string;
}

function line({ pid = "7", words = "1 1000 1000 100 S 4 00:00:02 pts/0", start, name = "sh", command = "sh" }: Line) {
  return `${pid} ${words} ${start ?? "Sat Nov 21 08:29:01 2026"} ${name.padEnd(NAME_WIDTH)} ${command}\n`;
}

/** The table of these lines after that of the process that asks, which has pid 1. */
function table(...lines: string[]): { rows: PsRow[]; damaged: number; doubtful: number[] } {
  const bytes = encoder.encode(`${HEADER}\n${line({ pid: "1", name: "deno" })}${lines.join("")}`);
  const { rows, damaged, doubtful } = parsePsTable(bytes, 1, "linux");
  return { rows: rows.filter((row) => row.pid !== 1), damaged, doubtful: [...doubtful] };
}

/** One line a process, to be compared with a literal. */
function summary(row: PsRow): string {
  const { pid, ppid, userId, effectiveUserId, groupId, status, memoryUsage, cpuTime, tty, startedAt, name } = row;
  const argv = row.argv === null ? row.kernelThread ? "kernel" : "-" : JSON.stringify(splitArgv(row.argv));
  const ids = `${userId}/${effectiveUserId}/${groupId}`;
  const start = new Date(startedAt * 1000).toISOString().slice(5, 19);
  return `${pid} ${ppid} ${ids} ${status} ${memoryUsage / 1024} ${cpuTime / 1e9} ${tty} ${start} ${name} | ${argv}`;
}

Deno.test("parsePsTable() reads what procps printed", () => {
  const { rows, damaged } = parsePsTable(recorded("procps.txt"), 6075, "linux");
  assert.equal(damaged, 0);
  assert.deepEqual(rows.map(summary).slice(0, -1), [
    "2 0 0/0/0 sleeping 0 0 null 11-21T04:43:30 kthreadd | kernel",
    "10 2 0/0/0 idle 0 1 null 11-21T04:43:30 kworker/0:0H-kblockd | kernel",
    '6075 6074 0/0/0 sleeping 1536 0 null 11-21T08:29:01 sleep | [" 100"]',
    "6076 6074 0/0/0 sleeping 1444 0 null 11-21T08:29:01 sleep | " +
    '["a b     1     0     0     0     0 S 1 00:00:00 ? Thu Jan  1 00:00:00 1970 x 100"]',
    '6078 6074 0/0/0 sleeping 1480 0 null 11-21T08:29:01 na me ?? | ["/tmp/na me ?? 100"]',
    "6128 6079 0/0/0 zombie 0 0 null 11-21T08:29:01 true | -",
  ]);
});

Deno.test("parsePsTable() reads what macOS documents", () => {
  const { rows, damaged } = parsePsTable(recorded("macos.txt"), 613, "darwin");
  assert.equal(damaged, 0);
  assert.deepEqual(rows.map(summary), [
    '1 0 0/0/0 sleeping 21488 724.91 null 11-16T07:12:03 launchd | ["/sbin/launchd"]',
    '92 1 0/0/0 sleeping 9120 41.1 null 11-16T07:12:09 logd | ["/usr/libexec/logd"]',
    "118 1 4294967294/4294967294/4294967294 sleeping 6208 0.31 null 11-16T07:12:10 mDNSResponder | " +
    '["/usr/sbin/mDNSResponder"]',
    "455 1 501/501/20 sleeping 187344 6262.07 null 11-16T07:13:44 Google Chrome He | " +
    '["/Applications/Google Chrome.app/Contents/Frameworks/Google Chrome Framework.framework/Helpers/' +
    'Google Chrome Helper --type=gpu-process"]',
    '612 611 501/0/20 sleeping 3392 0.05 ttys000 11-21T09:01:27 login | ["login -pfq ada"]',
    '613 612 501/501/20 sleeping 4016 0.22 ttys000 11-21T09:01:27 zsh | ["-zsh"]',
    '702 613 501/501/20 disk_sleep 1040 0 ttys000 11-21T09:02:00 cat | ["cat two\\\\012lines caf\\\\M-C\\\\M-)"]',
    "703 613 501/501/20 zombie 0 0 ttys000 11-21T09:02:01 (sleep) | -",
    '704 613 501/0/20 running 1312 0 ttys000 11-21T09:02:02 ps | ["/bin/ps -A -ww -o pid=PID"]',
  ]);
});

Deno.test("parsePsTable() reads what FreeBSD documents, without the kernel and ended processes without a start", () => {
  const { rows, damaged } = parsePsTable(recorded("freebsd.txt"), 901, "freebsd");
  assert.equal(damaged, 0);
  assert.deepEqual(rows.map(summary), [
    '1 0 0/0/0 idle 1276 0.04 null 11-20T22:40:11 init | ["/sbin/init"]',
    "2 0 0/0/0 unknown 384 70.03 null 11-20T22:40:11 clock | kernel",
    "11 0 0/0/0 running 32 612693.2 null 11-20T22:40:11 idle | kernel",
    "781 1 0/0/0 idle 9640 0.13 null 11-20T22:40:30 sshd | " +
    '["sshd: /usr/sbin/sshd [listener] 0 of 10-100 startups (sshd)"]',
    '901 900 1001/1001/1001 sleeping 3012 0.02 pts/0 11-21T08:00:02 sh | ["-sh (sh)"]',
    '950 901 1001/0/1001 disk_sleep 2804 0 pts/0 11-21T08:05:40 su | ["su -l root"]',
    '961 901 1001/1001/1001 running 2616 0 pts/0 11-21T08:06:00 ps | ["ps -A -ww"]',
  ]);
});

Deno.test("parsePsTable() reads what OpenBSD documents", () => {
  const { rows, damaged } = parsePsTable(recorded("openbsd.txt"), 23781, "openbsd");
  assert.equal(damaged, 0);
  assert.deepEqual(rows.map(summary), [
    '1 0 0/0/0 idle 520 1.03 null 11-20T21:14:00 init | ["/sbin/init"]',
    '54011 1 73/73/73 idle 1180 0.55 null 11-20T21:14:21 syslogd | ["/usr/sbin/syslogd"]',
    "83200 1 0/0/0 idle 1604 0.02 null 11-20T21:14:24 sshd | " +
    '["sshd: /usr/sbin/sshd [listener] 0 of 10-100 startups"]',
    '23781 83200 1000/1000/1000 sleeping 932 0.1 ttyp0 11-21T06:30:09 ksh | ["-ksh (ksh)"]',
    '1977 23781 1000/1000/1000 running 420 0 ttyp0 11-21T06:31:47 ps | ["ps -A -ww"]',
    '41000 23781 1000/1000/1000 stopped 131072 120 ttyp0 11-21T06:31:00 vi | [" vi two\\\\nlines"]',
  ]);
});

Deno.test("parsePsTable() refuses a table that is not the one that was asked for", () => {
  const refused = (text: string, self = 1): void =>
    assert.throws(() => parsePsTable(encoder.encode(text), self, "linux"), PsTableError, text.slice(0, 80));
  const body = line({ pid: "1" });
  refused("");
  refused(body);
  refused(`${HEADER}\n`);
  refused(`${HEADER}\n${body}`, 2);
  refused(`${HEADER.replace("PID PPID", "PPID PID")}\n${body}`);
  refused(`${HEADER.replace(" TTY", "")}\n${body}`);
  refused(`${HEADER} EXTRA\n${body}`);
  refused(`${"P".repeat(1_000_000)}\n${body}`);
  refused(HEADER + body);
});

Deno.test("parsePsTable() refuses what it does not understand line by line", () => {
  const good = line({});
  for (
    const bad of [
      "\n",
      " \n",
      "7\n",
      line({ pid: "x" }),
      line({ pid: "-7" }),
      line({ pid: "2147483648" }),
      line({ pid: "9".repeat(1_000_000) }),
      line({ words: "1 1000 1000 100 S 4 00:00:02" }),
      line({ words: "1 1000 1000 100 S 4 00:00:02 pts/0 more" }),
      line({ words: "1 4294967296 1000 100 S 4 00:00:02 pts/0" }),
      line({ words: "1 -0 1000 100 S 4 00:00:02 pts/0" }),
      line({ words: "1 1000 1000 100 S 4.5 00:00:02 pts/0" }),
      line({ words: "1 1000 1000 100 S 99999999999999 00:00:02 pts/0" }),
      line({ words: "1 1000 1000 100 S 4 2 pts/0" }),
      line({ words: "1 1000 1000 100 S 4 1:2:3:4 pts/0" }),
      line({ words: "1 1000 1000 100 S 4 999999999999999:00 pts/0" }),
      line({ words: "1 1000 1000 100 S 4 0:00 " + "t".repeat(300) }),
      line({ start: "Sat Feb 31 08:29:01 2026" }),
      line({ start: "Sat Nov 21 24:29:01 2026" }),
      line({ start: "Sam Nov 21 08:29:01 2026" }),
      line({ start: "2026-11-21 08:29:01     " }),
      line({ start: "-" }),
      line({ start: "Sat Nov 21 08:29:01 20269" }),
      line({ name: "" }),
      line({ name: "n".repeat(NAME_WIDTH + 1) }),
      line({ command: "a\0b" }),
      good.slice(0, 60) + "\n", // cut within the start
    ]
  ) {
    assert.deepEqual([table(bad, line({ pid: "8" })).damaged, table(bad).rows.length], [1, 0], bad.slice(0, 90));
  }
  assert.deepEqual(table(good, line({ pid: "8" })).rows.map((row) => row.pid), [7, 8]);
});

Deno.test("parsePsTable() counts a last line without its line feed as damaged", () => {
  for (let length = 1; length < line({}).length; length++) {
    const { rows, damaged } = table(line({ pid: "6" }), line({}).slice(0, length));
    assert.deepEqual([rows.length, damaged], [1, 1], String(length));
  }
});

Deno.test("names and arguments may hold spaces, and look like columns", () => {
  const fake = "9 1 0 0 0 S 1 00:00:00 ? Thu Jan  1 00:00:00 1970 x";
  const { rows, damaged } = table(line({ name: "  a  b", command: `  ${fake} ` }));
  assert.equal(damaged, 0);
  assert.equal(rows[0]!.name, "  a  b");
  assert.deepEqual(splitArgv(rows[0]!.argv!), [`  ${fake} `]);
  assert.equal(rows[0]!.pid, 7);
});

Deno.test("a line feed that a ps prints as it is costs its lines and no other process its facts", () => {
  // Where it can be made to look like a whole line, the pid that it claims is in doubt: neither line is believed.
  const fake = line({ pid: "9", name: "innocent", command: "innocent" });
  const attack = line({ pid: "8", command: `evil\n${fake}`.slice(0, -1) });
  assert.deepEqual(table(attack, line({ pid: "9", name: "victim" })), {
    ...table(attack.split("\n")[0] + "\n"),
    damaged: 2,
    doubtful: [9],
  });
  assert.equal(table(line({ command: "a\nb\nc" })).damaged, 2);
});

Deno.test("an ended process has no arguments, and brackets alone make no thread of the kernel", () => {
  const words = "2 0 0 0 S 0 00:00:00 ?";
  const [thread] = table(line({ words, name: "kworker/0:1", command: "[kworker/0:1-events]" })).rows;
  assert.deepEqual([thread!.kernelThread, thread!.argv, thread!.tty], [true, null, null]);
  for (const other of ["2 0 0 0 S 4 00:00:00 ?", "3 0 0 0 S 0 00:00:00 ?", "2 0 0 0 Z 0 00:00:00 ?"]) {
    assert.equal(table(line({ words: other, command: "[kworker/0:1]" })).rows[0]!.kernelThread, false, other);
  }
  assert.equal(table(line({ words: "1 0 0 0 Z 0 00:00:00 ?", command: "[sh] <defunct>" })).rows[0]!.argv, null);
  assert.equal(table(line({ command: "" })).rows[0]!.argv, null);
});

Deno.test("a command line is cut at what a collector keeps, without a NUL that would call it whole", () => {
  const argvOf = (length: number): Uint8Array => table(line({ command: "x".repeat(length) })).rows[0]!.argv!;
  assert.deepEqual([argvOf(MAX_ARGV_BYTES - 1).length, argvOf(MAX_ARGV_BYTES - 1).at(-1)], [MAX_ARGV_BYTES, 0]);
  assert.deepEqual([argvOf(MAX_ARGV_BYTES).length, argvOf(MAX_ARGV_BYTES).at(-1)], [MAX_ARGV_BYTES, 120]);
});

Deno.test("fields of ps", () => {
  const time = (text: string): number => parseCpuTime(encoder.encode(text), 0, text.length) / 1e9;
  assert.deepEqual(["0:00", "01:02:03", "2-01:00:01", "104:22.07", "0:59.99"].map(time), [
    0,
    3723,
    176401,
    6262.07,
    59.99,
  ]);
  for (const text of ["", ":", "1", "1:", ":1", "1-2-3:4", "-1:2", "1:2.3", "1:2.345", "1.25", "1:-2", "١:02"]) {
    const bytes = encoder.encode(text);
    assert.equal(parseCpuTime(bytes, 0, bytes.length), -1, text);
  }
  const id = (text: string): number => parseId(encoder.encode(text), 0, text.length);
  assert.deepEqual(["0", "4294967295", "-2", "-2147483648"].map(id), [0, 4294967295, 4294967294, 2147483648]);
  assert.deepEqual(["", "-", "-0", "-2147483649", "4294967296", "1x"].map(id), [-1, -1, -1, -1, -1, -1]);
  const start = (text: string): number => parseStart(encoder.encode(text), 0);
  assert.equal(start("Thu Jan  1 00:00:00 1970"), 0);
  assert.equal(start("Thu Feb 29 23:59:59 2024"), Date.UTC(2024, 1, 29, 23, 59, 59) / 1000);
  assert.ok(Number.isNaN(start("Wed Feb 29 23:59:59 2023")));
  assert.ok(Number.isNaN(start("Wed Dec 31 23:59:59 1969")));
});

Deno.test("parsePsTable() throws on no bytes but for what makes a table none", () => {
  const start = encoder.encode(`${HEADER}\n${line({ pid: "1" })}`);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
    const { rows, damaged } = parsePsTable(Uint8Array.from([...start, ...noise]), 1, "linux");
    assert.ok(rows.length >= 1 && damaged <= noise.length);
  }));
  for (const name of ["procps.txt", "macos.txt", "freebsd.txt", "openbsd.txt"]) {
    const bytes = recorded(name);
    fc.assert(fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
      const changed = bytes.slice();
      changed[at] = byte;
      try {
        parsePsTable(changed, 1, "linux");
      } catch (error) {
        assert.ok(error instanceof PsTableError);
      }
    }));
  }
});
