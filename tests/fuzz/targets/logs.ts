/**
 * Logs of the example in docs/examples: lines of sshd, sudo and cron, changed, in a syslog file and in the journal's export
 * format, as they come in pieces, with a restart in the middle.
 *
 * @module
 */
import { JournalExport } from "../../../docs/examples/log-collector/journal_export.ts";
import { type LogLine, rowOf } from "../../../docs/examples/log-collector/messages.ts";
import { parseSyslogLine } from "../../../docs/examples/log-collector/syslog_line.ts";
import { SyslogReader } from "../../../docs/examples/log-collector/syslog_reader.ts";
import { CRON, SSHD, SUDO } from "../../../docs/examples/log-collector/tables.ts";
import { rowFault } from "../../../proto/table_descriptor.ts";
import { type FuzzTarget, hex, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";

const NOW = Date.UTC(2026, 10, 22, 12);
const encoder = new TextEncoder(), decoder = new TextDecoder();
const COLUMNS = new Map([SSHD, SUDO, CRON].map(({ name, columns }) => [name, columns]));
const MESSAGES: readonly (readonly [program: string, message: string])[] = [
  ["sshd", "Failed password for invalid user bob from 2001:db8::1 port 22 ssh2"],
  ["sshd", `Accepted publickey for ann from 192.0.2.7 port 50022 ssh2: ED25519 SHA256:${"a".repeat(43)}`],
  ["sshd-session", "Invalid user  from 192.0.2.7 port 1"],
  ["sshd", "Connection closed by authenticating user root 192.0.2.7 port 4711 [preauth]"],
  ["sudo", "  ann : TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/bin/sh -c 'a ; b'"],
  ["sudo", "bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id"],
  ["CRON", "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)"],
  ["kernel", "something else"],
];
const HEADS = ["2026-11-22T11:00:00.123456+00:00 web ", "Nov 22 11:00:00 web ", "Feb 29 03:04:05 web "];

/** A row fits its table, and tells nothing that the message does not hold. */
function checkLine(line: LogLine): void {
  must(Number.isSafeInteger(line.time) && line.time >= 0, "a line has a time");
  const row = rowOf(line);
  if (row === null) return;
  const columns = COLUMNS.get(row.table)!;
  must(Object.keys(row.values).every((name) => columns.some((column) => column.name === name)), "columns are known");
  const values = columns.map(({ name }) => row.values[name] ?? null);
  must(rowFault(columns, { time: line.time, values }, Number.MAX_SAFE_INTEGER) === null, "the row fits its table");
  for (const name of ["user_name", "address", "command_line", "key_fingerprint"]) {
    const value = row.values[name];
    must(value === undefined || value === null || line.message.includes(String(value)), `${name} is in the message`);
  }
}

interface Reader {
  take(bytes: Uint8Array): LogLine[];
  readonly unread: number;
}

/** All lines, fed in pieces; before the last piece, in half of them, by a reader of the next run. */
function linesOf(make: () => Reader, bytes: Uint8Array, cuts: readonly number[], restartAt: number): string[] {
  let reader = make(), from = 0;
  const lines: LogLine[] = [];
  for (const [at, to] of [...cuts, bytes.length].entries()) {
    lines.push(...reader.take(bytes.subarray(from, to)));
    from = to;
    must(reader.unread >= 0 && reader.unread <= to, "what is not read is of what was given");
    if (at !== restartAt) continue;
    from -= reader.unread;
    reader = make();
  }
  lines.forEach(checkLine);
  return lines.map((line) => JSON.stringify(line));
}

function target(name: string, make: () => Reader, build: (random: Random) => Uint8Array): FuzzTarget {
  return {
    name,
    share: 4_000,
    open: () => (random) => {
      const bytes = build(random);
      const cuts = Array.from({ length: random.below(5) }, () => random.below(bytes.length + 1)).sort((a, b) => a - b);
      const restartAt = random.oneIn(2) ? random.below(cuts.length + 1) : -1;
      return {
        show: () => `${hex(bytes)}\ncut at ${cuts}, restarted after ${restartAt}`,
        run: () => {
          const whole = linesOf(make, bytes, [], -1), pieces = linesOf(make, bytes, cuts, restartAt);
          must(
            whole.length === pieces.length && whole.every((line, at) => line === pieces[at]),
            "pieces are the whole",
          );
        },
      };
    },
  };
}

const syslog = target("logs:syslog", () => {
  const reader = new SyslogReader();
  return {
    take: (bytes) => reader.take(bytes, NOW),
    get unread() {
      return reader.unread;
    },
  };
}, (random) => {
  const lines = Array.from({ length: 1 + random.below(4) }, () => {
    const [program, message] = random.pick(MESSAGES);
    return `${random.pick(HEADS)}${program}[${random.below(70_000)}]: ${long(random)}${message}\n`;
  });
  return mutate(random, encoder.encode(lines.join("")));
});

const line: FuzzTarget = {
  name: "logs:line",
  share: 4_000,
  open: () => (random) => {
    const [program, message] = random.pick(MESSAGES), head = random.pick(HEADS);
    const text = decoder.decode(mutate(random, encoder.encode(`${head}${program}: ${message}`)));
    const changed = decoder.decode(mutate(random, encoder.encode(message)));
    return {
      show: () => JSON.stringify([text, program, changed]),
      run: () => {
        const parsed = parseSyslogLine(text, NOW);
        if (parsed !== null) checkLine(parsed);
        // What a client chooses may hold anything, whatever the head of the line is
        checkLine({ time: NOW, host: "web", program, pid: 7, message: changed });
      },
    };
  },
};

/** Now and then something that is too long to be kept. */
function long(random: Random): string {
  return random.oneIn(2_000) ? "x".repeat(random.pick([8_192, 16_384, 40_000, 70_000])) : "";
}

function journalEntry(random: Random): number[] {
  const [program, message] = random.pick(MESSAGES), bytes: number[] = [];
  const text = (value: string): void => {
    for (const byte of encoder.encode(value)) bytes.push(byte);
  };
  const field = (name: string, value: string): void => {
    if (!random.oneIn(3)) return text(`${name}=${value}\n`);
    const length = new Uint8Array(8), body = encoder.encode(value);
    new DataView(length.buffer).setBigUint64(0, BigInt(random.oneIn(20) ? random.edge() : body.length), true);
    text(`${name}\n`);
    bytes.push(...length);
    text(`${value}\n`);
  };
  text(`__REALTIME_TIMESTAMP=${random.oneIn(10) ? random.edge() : "1700000000123456"}\n`);
  field("_HOSTNAME", "web");
  field("SYSLOG_IDENTIFIER", program);
  field("_PID", String(random.below(70_000)));
  if (random.oneIn(4)) field("JUNK", `${long(random)}\nMESSAGE=forged\n\n__REALTIME_TIMESTAMP=1\n`);
  field("MESSAGE", long(random) + message);
  text("\n");
  return bytes;
}

const journal = target("logs:journal", () => new JournalExport(), (random) => {
  const entries = Array.from({ length: 1 + random.below(3) }, () => journalEntry(random));
  return mutate(random, new Uint8Array(entries.flat()));
});

export const logs: readonly FuzzTarget[] = [line, syslog, journal];
