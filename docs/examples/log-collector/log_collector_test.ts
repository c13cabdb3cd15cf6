/**
 * The log collector against itself: what lines mean, rotation and truncation, hostile lines, the rules, and the suite.
 *
 * `deno task test` runs it under the grants of the task: nothing but its own temporary directory.
 */
import assert from "node:assert/strict";
import { parseRule, type RowValues, runRuleTests, type Sink, tableOf, testCollector, validateRule } from "daemoneye";
import { JournalExport } from "./journal_export.ts";
import { LogSource } from "./log_source.ts";
import { rowOf } from "./messages.ts";
import { parseSyslogLine } from "./syslog_line.ts";
import { SyslogReader } from "./syslog_reader.ts";
import { CRON, SSHD, SUDO } from "./tables.ts";

const NOW = Date.UTC(2026, 10, 22, 12);
const FINGERPRINT = `SHA256:${"a".repeat(43)}`;
const said = (line: string) => {
  const parsed = parseSyslogLine(line, NOW);
  return parsed === null ? null : rowOf(parsed);
};
const HEAD = "2026-11-22T11:00:00.123456+00:00 web";

class TestLog implements Disposable {
  readonly directory = Deno.makeTempDirSync({ dir: Deno.env.get("DAEMONEYE_TEST_DIRECTORY") ?? "/tmp" });
  readonly path = `${this.directory}/auth.log`;

  write(...numbers: number[]): void {
    const lines = numbers.map((n) =>
      `${HEAD} sshd[7]: Accepted password for u${n} from 192.0.2.7 port ${n + 1} ssh2\n`
    );
    Deno.writeTextFileSync(this.path, lines.join(""), { append: true });
  }

  rotate(): void {
    Deno.renameSync(this.path, `${this.path}.1`);
    Deno.writeTextFileSync(this.path, "");
  }

  source(first: "start" | "end" = "start"): LogSource {
    return new LogSource({ name: "auth-log", path: this.path, format: "syslog", first });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** A sink that keeps what it is given. */
class TestSink implements Sink {
  readonly users: unknown[] = [];
  readonly gaps: string[] = [];
  failed = "";
  readonly #abort = new AbortController();
  readonly signal = this.#abort.signal;
  constructor(public position: unknown = null) {}
  put(_table: string, values: RowValues): boolean {
    this.users.push(values["user_name"]);
    return true;
  }
  ready = (): Promise<void> => Promise.resolve();
  gap = ({ reason }: { reason: string }): void => void this.gaps.push(reason);
  keep = (position: unknown): void => void (this.position = structuredClone(position));
  fail = (reason: string): void => void (this.failed = reason);
}

async function until(is: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + 10_000; !is();) {
    if (performance.now() > end) assert.fail(what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const users = (...numbers: number[]): string[] => numbers.map((n) => `u${n}`);

Deno.test("lines of sshd, sudo and cron are rows", () => {
  assert.deepEqual(said(`${HEAD} sshd[12]: Failed password for invalid user bob from 2001:db8::1 port 22 ssh2`), {
    table: "sshd_events",
    values: {
      ...{ host: "web", pid: 12, action: "failed", method: "password", user_name: "bob" },
      ...{ address: "2001:db8::1", port: 22, key_type: null, key_fingerprint: null },
    },
  });
  const key = said(
    `Nov 22 11:00:00 web sshd[1]: Accepted publickey for a from 1.2.3.4 port 5 ssh2: ED25519 ${FINGERPRINT}`,
  );
  assert.deepEqual([key!.values["key_type"], key!.values["key_fingerprint"]], ["ED25519", FINGERPRINT]);
  const sudo = said(`${HEAD} sudo:   ann : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh -c 'a ; b'`);
  assert.deepEqual([sudo!.values["action"], sudo!.values["command_line"]], ["command", "/bin/sh -c 'a ; b'"]);
  const denied = said(`${HEAD} sudo: ann : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/id`);
  assert.deepEqual([denied!.values["action"], denied!.values["reason"]], ["denied", "user NOT in sudoers"]);
  const cron = said(`${HEAD} CRON[9]: (root) CMD (  run-parts /etc/cron.hourly)`);
  assert.deepEqual(cron!.values["command_line"], "run-parts /etc/cron.hourly");
});

Deno.test("a line of the old form is of this year, or of the last when that would be ahead", () => {
  const year = (line: string): number => new Date(parseSyslogLine(line, NOW)!.time).getFullYear();
  assert.equal(year("Nov 21 23:59:59 web sshd[1]: x"), 2026);
  assert.equal(year("Dec 31 23:59:59 web sshd[1]: x"), 2025);
});

Deno.test("hostile lines are no rows, or rows that say no more than was there", () => {
  // A user's name that imitates what sshd adds: the address is the one at the end
  const forged = said(`${HEAD} sshd[1]: Failed password for root from 10.0.0.1 port 1 ssh2 from 192.0.2.9 port 2 ssh2`);
  assert.equal(forged!.values["address"], "192.0.2.9");
  for (
    const line of [
      "",
      "\0",
      `${HEAD} sshd[1]: `,
      `${HEAD} sshd[99999999999]: x`,
      `${HEAD} sshd: Failed password for ${"a".repeat(9_000)} from 1.2.3.4 port 1 ssh2`,
      `9999-99-99T99:99:99Z web sshd[1]: Accepted password for a from 1.2.3.4 port 1 ssh2`,
      `${HEAD} sudo: ${" ; ".repeat(2_000)}`,
      `${HEAD} CRON[1]: (root) CMD `,
    ]
  ) assert.equal(said(line), null, line.slice(0, 60));
});

Deno.test("random pieces of lines never throw, and what they give fits its table", () => {
  const words = "Accepted Failed password for invalid user from port ssh2 : ; TTY= COMMAND=/x ( ) CMD 1.2.3.4 \0 é"
    .split(" ");
  const tables = new Map([SSHD, SUDO, CRON].map((table) => [table.name, table.columns.map(({ name }) => name)]));
  for (let seed = 1; seed < 20_000; seed++) {
    let state = seed;
    const random = (most: number): number => (state = state * 1_103_515_245 + 12_345 & 0x7fffffff) % most;
    const program = ["sshd", "sudo", "CRON"][random(3)]!;
    const message = Array.from({ length: random(20) }, () => words[random(words.length)]).join(" ");
    const row = rowOf({ time: 1, host: "h", program, pid: 1, message });
    if (row !== null) { for (const name of Object.keys(row.values)) assert.ok(tables.get(row.table)!.includes(name)); }
  }
});

Deno.test("a journal export is read in whatever pieces, binary values included", () => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const length = new Uint8Array(8);
  const message = "Accepted password for a from 1.2.3.4 port 5 ssh2".padEnd(46).slice(0, 48);
  new DataView(length.buffer).setBigUint64(0, BigInt(message.length), true);
  const entry = [
    text("__REALTIME_TIMESTAMP=1700000000123456\n_HOSTNAME=web\nSYSLOG_IDENTIFIER=sshd\n_PID=7\nMESSAGE\n"),
    length,
    text(`${message}\nJUNK=${"x".repeat(30_000)}\n\n`),
  ];
  const bytes = new Uint8Array(entry.flatMap((part) => [...part]));
  for (const size of [13, 4_096, bytes.length]) {
    const reader = new JournalExport(), lines = [];
    for (let at = 0; at < bytes.length; at += size) lines.push(...reader.take(bytes.subarray(at, at + size)));
    assert.deepEqual(lines.map(({ time, program, pid }) => [time, program, pid]), [[1_700_000_000_123, "sshd", 7]]);
    assert.equal(rowOf(lines[0]!)!.values["user_name"], "a");
    assert.equal(reader.unread, 0);
  }
  const damaged = new JournalExport();
  assert.deepEqual(damaged.take(new Uint8Array(200_000).fill(0x41)), []);
  assert.deepEqual(damaged.take(text("\n\n")), []);
  assert.equal(damaged.damaged, 1);
});

Deno.test("the rest of a line that is too long is no line, in whatever pieces it comes", () => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const login = "Accepted password for root from 192.0.2.7 port 5 ssh2", good = `${HEAD} sshd[7]: ${login}\n`;
  const log = text(`${HEAD} app[9]: ${"x".repeat(70_000)}${good}${good}`);
  const fields = "SYSLOG_IDENTIFIER=sshd\nMESSAGE";
  const journal = text(
    `__REALTIME_TIMESTAMP=1700000000123456\nJUNK=${"x".repeat(70_000)}${fields}=${login}\n\n` +
      `__REALTIME_TIMESTAMP=1700000000123456\n${fields}=${login}\n\n`,
  );
  for (const size of [7, 65_536, 80_000]) {
    const syslog = new SyslogReader(), entries = new JournalExport();
    let lines = 0, told = 0;
    for (let at = 0; at < log.length; at += size) lines += syslog.take(log.subarray(at, at + size), NOW).length;
    for (let at = 0; at < journal.length; at += size) {
      told += entries.take(journal.subarray(at, at + size)).filter((line) => rowOf(line) !== null).length;
    }
    assert.deepEqual([lines, syslog.damaged, told], [1, 1, 1], `in pieces of ${size}`);
  }
});

Deno.test("a log is followed through rotation, truncation and a restart, each line once", async () => {
  using log = new TestLog();
  log.write(0, 1);
  const sink = new TestSink(), source = log.source();
  source.start(sink);
  await until(() => sink.users.length === 2, "what is there is read");
  log.write(2);
  log.rotate();
  log.write(3);
  await until(() => sink.users.length === 4, "the rest of the old one, then the new one");
  assert.deepEqual(sink.users, users(0, 1, 2, 3));
  assert.deepEqual(sink.gaps, []);
  await source.stop();
  log.write(4);
  log.rotate();
  log.write(5);
  const again = new TestSink(sink.position), next = log.source();
  next.start(again);
  await until(() => again.users.length === 2, "what came while it did not run, from both files");
  assert.deepEqual(again.users, users(4, 5));
  Deno.truncateSync(log.path);
  log.write(6, 7, 8);
  await until(() => again.users.length === 5, "what was written after a truncation");
  assert.deepEqual(again.users.slice(2), users(6, 7, 8));
  assert.match(again.gaps.join(), /auth\.log was truncated/);
  await next.stop();
  log.rotate();
  log.rotate();
  log.write(9);
  const later = new TestSink(again.position), last = log.source();
  last.start(later);
  await until(() => later.users.length === 1, "a log that was rotated away twice");
  // The new file may have got the number of one that is gone
  assert.match(later.gaps.join(), /was rotated away|was truncated/);
  await last.stop();
});

Deno.test("an export of the journal is followed through a restart and a truncation, each entry once", async () => {
  using log = new TestLog();
  const entry = (user: string): string =>
    `__REALTIME_TIMESTAMP=1700000000123456\n_HOSTNAME=web\nSYSLOG_IDENTIFIER=sshd\n_PID=7\n` +
    `MESSAGE=Accepted password for ${user} from 192.0.2.7 port 1 ssh2\n\n`;
  const write = (text: string): void => Deno.writeTextFileSync(log.path, text, { append: true });
  const source = (): LogSource => new LogSource({ name: "journal", path: log.path, format: "journal", first: "start" });
  const sink = new TestSink(), one = source(), second = entry("u1");
  write(entry("u0") + second.slice(0, 60));
  one.start(sink);
  await until(() => sink.users.length === 1, "the whole entry is told");
  await one.stop();
  write(second.slice(60));
  const again = new TestSink(sink.position), next = source();
  next.start(again);
  await until(() => again.users.length === 1, "the other one is, when it is whole");
  Deno.truncateSync(log.path);
  write(`__CURSOR=other\n${entry("u2")}`);
  await until(() => again.users.length === 2, "what was written after a truncation");
  await next.stop();
  assert.deepEqual([...sink.users, ...again.users], users(0, 1, 2));
  assert.match(again.gaps.join(), /was truncated/);
});

Deno.test("a line that is not whole is told once, when it is, also after a restart", async () => {
  using log = new TestLog();
  Deno.writeTextFileSync(log.path, `${HEAD} sshd[7]: Accepted password for u0 fr`);
  const sink = new TestSink(), source = log.source();
  source.start(sink);
  await until(() => sink.position !== null, "its beginning is read");
  await source.stop();
  Deno.writeTextFileSync(log.path, "om 192.0.2.7 port 1 ssh2\n", { append: true });
  const again = new TestSink(sink.position), next = log.source();
  next.start(again);
  await until(() => again.users.length === 1, "it is told");
  await next.stop();
  assert.deepEqual([...sink.users, ...again.users], users(0));
});

Deno.test("its rules pass their tests", () => {
  const tables = new Map([SSHD, SUDO, CRON].map((table) => [table.name, tableOf(table)]));
  const directory = `${import.meta.dirname}/rules`;
  for (const { name } of Deno.readDirSync(directory)) {
    const text = Deno.readTextFileSync(`${directory}/${name}`),
      rule = validateRule(parseRule(text, name, tables), tables);
    const results = runRuleTests(rule);
    assert.ok(results.length >= 2, name);
    assert.deepEqual(results.filter(({ passed }) => !passed), [], name);
  }
});

Deno.test("it keeps to what a collector must", async () => {
  using log = new TestLog();
  let next = 0;
  Deno.writeTextFileSync(log.path, "");
  const results = await testCollector(() => log.source(), {
    directory: log.directory,
    stimulate: () => log.write(next++, next++),
    ...Deno.env.get("DAEMONEYE_TEST_DIRECTORY") === undefined ? { allows: ALL } : {},
  });
  assert.equal(results.length, 8);
});

/** Where the whole tree is tested, with every grant. */
const ALL = ["run", "ffi", "net", "read", "write", "env", "sys"] as const;
