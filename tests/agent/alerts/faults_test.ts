/**
 * Every fault that a sink must stand, by sink, and the test that shows it: a cell names a test in that sink's file.
 *
 * This holds the table against the files, so that a test that is renamed or removed leaves no hole unseen. What a sink
 * cannot meet has no cell: a file answers nothing, a datagram is never refused, the bus has no certificate.
 */
import assert from "node:assert/strict";

const FILES = {
  file: "sinks/file_sink_test.ts",
  stdout: "sinks/stdout_sink_test.ts",
  syslog: "sinks/syslog_faults_test.ts",
  "syslog, real servers": "sinks/syslog_receivers_test.ts",
  webhook: "sinks/webhook_sink_test.ts",
  email: "sinks/email_sink_test.ts",
  bus: "sinks/bus_sink_test.ts",
  "the agent itself": "../main_test.ts",
} as const;

const ANSWERS = "each answer of a receiver has its consequence, and what it took before stays taken";
const WEBHOOK_TIME = "a receiver that resets, hangs, drips or refuses holds the sink for the time that is set";
const WEBHOOK_LATE = "through Delivery every alert arrives, and twice only what was answered too late, under one id";
const MAIL_TIME = "a mail server that resets, hangs, drips or is not there is tried again";
const MAIL_ANSWERS = "what a mail server refuses for good is refused, and what it refuses for now is tried again";
const MAIL_TLS = "a password goes to a mail server over TLS alone, whose certificate is good";
const LOG_AWAY = "a log server that refuses, or has no address, is tried again later";
const LOG_TIME = "a log server that takes nothing, or a byte now and then, holds its sink for the time that is set";
const LOG_TLS = "a TLS server that is not the right one gets nothing; a pinned one is the right one";
const HOOK_TLS = "a receiver whose certificate is not good gets nothing";
const BUS_NOBODY = "alerts wait in the store while nobody subscribes, and go to the bus at once when somebody does";
const BUS_HANGS =
  "an alert is delivered when each subscriber that keeps up has it; one that hangs holds up the others once";

const TABLE: Readonly<Record<string, Partial<Record<keyof typeof FILES, string>>>> = {
  "refuses, is not there": { syslog: LOG_AWAY, webhook: WEBHOOK_TIME, email: MAIL_TIME, bus: BUS_NOBODY },
  "no such name (DNS)": { syslog: LOG_AWAY, webhook: WEBHOOK_TIME, email: MAIL_TIME },
  "resets in mid-send": {
    syslog: "what a log server resets in mid-send goes again, whole",
    webhook: WEBHOOK_TIME,
    email: MAIL_TIME,
    bus: "a subscriber whose connection breaks gets on the next one what it had not acknowledged",
  },
  "accepts and hangs": { syslog: LOG_TIME, webhook: WEBHOOK_TIME, email: MAIL_TIME, bus: BUS_HANGS },
  "a byte now and then": { syslog: LOG_TIME, webhook: WEBHOOK_TIME, email: MAIL_TIME },
  "never completes TLS": { syslog: "a log server that never completes TLS holds its sink for the time that is set" },
  "says yes after the timeout": {
    syslog: "through Delivery every alert arrives, and twice only what a log server confirmed too late, under one id",
    webhook: WEBHOOK_LATE,
    email: "through Delivery every mail arrives, and twice only what was answered too late, under one Message-ID",
    bus: BUS_HANGS,
  },
  "goes and comes back": {
    syslog: "every alert arrives at a log server that goes and comes back, and what came twice has the same id",
    webhook: WEBHOOK_LATE,
    bus: "every alert arrives though the subscriber comes and goes and the deliverer is another each time",
  },
  "3xx, 410, 413, 429 with seconds and with a date, 5xx": { webhook: ANSWERS },
  "refuses for now (4yz), for good (5yz)": { email: MAIL_ANSWERS },
  "takes no more (full queue, subscriber gone)": {
    bus: "what a subscriber has no room for, or goes away with, is not delivered",
  },
  "certificate expired, of another name, self-signed": {
    "syslog, real servers": LOG_TLS,
    webhook: HOOK_TLS,
    email: MAIL_TLS,
  },
  "file rotated or deleted by others": { file: "FileSink makes a new file when the old one was renamed or removed" },
  "disk full": {
    file: "FileSink on a disk that fills up leaves whole lines only, and goes on when there is room again",
  },
  "replaced by a symbolic link, a pipe, a directory": {
    file: "FileSink refuses a link that was put in the place of its file between two writes",
  },
  "stdout closed": {
    stdout: "stdoutSink() says that it is closed when nobody reads any more",
    "the agent itself":
      "a stdout that nobody reads any more does not end the agent, and shows its alerts at the next start",
  },
  "quotes, brackets, newlines, NUL, lone surrogates, right-to-left marks, escape sequences, 1 MiB": {
    file: "FileSink has each hostile alert on a line of its own, in every format",
    stdout: "humanLine() is one harmless line whatever processes and peers chose",
    "syslog, real servers": "syslog-ng reads structured data of 10,000 hostile alerts as it was sent, over TCP",
    webhook: "webhooks verify with the package standardwebhooks, whatever an alert holds",
    email: "each alert is a mail at smtp-sink, whatever it holds, and none can add a header or a recipient",
    bus: "hostile alerts arrive with their texts, bytes that are no UTF-8 as replacement characters",
  },
  "longer than a message may be": {
    syslog: "an alert that fits into no message is refused, and those before it are sent",
    "syslog, real servers": "UDP messages arrive whole at both servers, and none is longer than receivers must take",
  },
};

Deno.test("each fault of the table has its test at each sink that can meet it", () => {
  const texts = new Map(
    Object.values(FILES).map((file) => [file, Deno.readTextFileSync(new URL(file, import.meta.url))]),
  );
  for (const [fault, bySink] of Object.entries(TABLE)) {
    for (const [sink, test] of Object.entries(bySink)) {
      const text = texts.get(FILES[sink as keyof typeof FILES])!, quoted = JSON.stringify(test);
      assert.ok(
        text.includes(`Deno.test(${quoted}`) || text.includes(`name: ${quoted}`),
        `${fault}: ${sink} has no test ${quoted}`,
      );
    }
  }
});
