/**
 * Entries of the table of commands: those that look into what was seen.
 *
 * @module
 */
import type { Command } from "./command.ts";
import { PARAM_OPTION } from "./parameters.ts";
import { OSQUERY_OPTION, TIME_OPTIONS } from "./common_options.ts";
import { COLUMNS_OPTION } from "./row_output.ts";

/** What happens now. */
export const LIVE_COMMANDS: readonly Command[] = [
  {
    name: "top",
    summary: "The processes that are alive, and what happens, drawn anew every second",
    usage: ["top [options]"],
    about:
      `Needs a terminal. CPU% is a share of one processor between the last two looks at the process table, TIME what the process
took since its start. The arrow keys select a process; Enter shows it in full, t its tree, l its timeline. P, M and N sort
by cpu, memory and pid, s by the next column, r turns the order round; / filters by pid, user, name and command, the
arrow keys to the side show more of long commands, the space bar stops and goes on, q leaves, ? lists the keys.`,
    options: {
      sort: { type: "string", value: "KEY", text: "cpu, memory, start, pid or name (default cpu)" },
      interval: { type: "string", value: "SPAN", text: "time between two screens (default 1s)" },
    },
    examples: [["top --sort memory", "who takes the memory"]],
    load: async () => (await import("./top.ts")).top,
  },
  {
    name: "watch",
    summary: "Events and alerts as they happen",
    usage: ["watch [options]"],
    about:
      `On a terminal a screen: / filters, a shows alerts only, the arrow keys select a line, which stays while others come;
Enter shows it in full, t the tree of its process, l its timeline, End follows the newest again; the space bar stops and
goes on, q leaves, ? lists the keys. Elsewhere, or with --format line, jsonl or csv, one row after the other, until it is
ended, --for is over or --limit is reached; a table is jsonl then. --type needs --show events.`,
    options: {
      show: { type: "string", value: "KIND", text: "events, alerts or all (default all)" },
      user: { type: "string", short: "u", value: "USER", text: "of this user, by name (numbers need --show events)" },
      type: { type: "string", short: "t", value: "TYPE", text: "start, stop, modify or suspicious" },
      pid: { type: "string", value: "PID", text: "of this pid" },
      name: { type: "string", short: "n", value: "TEXT", text: "whose command name or executable contains this" },
      contains: {
        type: "string",
        short: "c",
        value: "TEXT",
        text: "with this in its command line, name or executable",
      },
      back: { type: "string", value: "SPAN", text: "begin so long ago (default 10s)" },
      interval: { type: "string", value: "SPAN", text: "time between two looks (default 1s)" },
      for: { type: "string", value: "SPAN", text: "end after this time; not on a screen" },
      limit: { type: "string", value: "N", text: "end after so many; not on a screen" },
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["watch", "everything, live"],
      ["watch --show alerts --format jsonl", "alerts for a program, one JSON object a line"],
      ["watch --show alerts --format jsonl --limit 1", "wait for one alert"],
    ],
    load: async () => (await import("./watch.ts")).watch,
  },
];

/** One thing, from its begin to its end. */
export const STORY_COMMANDS: readonly Command[] = [
  {
    name: "process",
    summary: "One process in full: who, from where, each program that it ran, its alerts",
    usage: ["process PID|EXEC_ID [options]"],
    about:
      `Of several processes with the pid, the one alive is taken, else the last; the others are named. What is not known is
left out. Executions are the programs that the process ran one after the other, with their hashes. In the format json
it is one object with process, executions and alerts; the other formats have the row of processes.`,
    options: {
      limit: { type: "string", value: "N", text: "at most so many executions and alerts, the newest (default 20)" },
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["process 4711", "everything known of the process that has the pid, or had it last"],
      ["process 3f2a9c01-4711-88123 --format json", "the same of exactly this process, for a program"],
    ],
    load: async () => (await import("./process.ts")).process,
  },
  {
    name: "timeline",
    summary: "Everything about a process, user, file or alert, in order",
    usage: [
      "timeline PID|EXEC_ID [options]",
      "timeline --user USER [options]",
      "timeline --file PATH [options]",
      "timeline --alert ID [options]",
    ],
    about: `Events, alerts and gaps in the order of their times, the newest last.
PID        what the process did, the children that it started, and its alerts
--user     what ran as the user, by name or number, real or effective
--file     what was run from this path, or by this script or interpreter
--alert    the process of the alert, its ancestors and descendants, and what its parent started beside it, from --around
           before the alert to --around after it, unless --since and --until say otherwise
A gap stands where something of that time may be missing. AFTER is the time since the line before.`,
    options: {
      user: { type: "string", short: "u", value: "USER", text: "of this user" },
      file: { type: "string", value: "PATH", text: "of this file, by its absolute path" },
      alert: { type: "string", value: "ID", text: "around this alert (its id, or the number of its event)" },
      around: { type: "string", value: "SPAN", text: "with --alert: so long before and after it (default 10m)" },
      ...TIME_OPTIONS,
      limit: { type: "string", value: "N", text: "at most so many, the newest (default 200)" },
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["timeline --alert 1099511627781", "what led to the alert, and what came of it"],
      ["timeline --user alice --since 1d", "what alice did today"],
      ["timeline --file /usr/local/bin/backup --format jsonl", "every run of this file, for a program"],
    ],
    load: async () => (await import("./timeline.ts")).timeline,
  },
];

/** Questions to the store. */
export const QUESTION_COMMANDS: readonly Command[] = [
  {
    name: "shell",
    summary: "SQL questions one after the other, with completion and history",
    usage: ["shell [options]", "shell [options] < FILE"],
    about:
      `Statements end with a semicolon and may go over several lines; what query refuses is refused here too. Tab completes
tables, columns and functions, the arrow keys bring back what was typed in this run, Ctrl-R searches it, Ctrl-C stops a
statement, Ctrl-D on an empty line leaves. Text of many lines can be pasted. .help lists the commands of the shell:
.tables .schema .mode .timer .limit .timeout .since .osquery .param .explain .quit.
From a file the first failure ends it, with its exit code; a degraded answer makes it 3.
A statement that SQLite does not come back from, long after its timeout or after three Ctrl-C, ends the program with exit
code 137, since nothing else stops it; the terminal is restored first.`,
    options: {
      since: { type: "string", value: "WHEN", text: "let the tables hold only what happened from then on" },
      timeout: { type: "string", value: "SPAN", text: "stop a statement after this time (default 30s)" },
      limit: { type: "string", value: "N", text: "at most so many rows of an answer (default 1000)" },
      param: PARAM_OPTION,
      osquery: OSQUERY_OPTION,
    },
    examples: [
      ["shell", "ask, look, ask again"],
      ["shell --format csv < questions.sql", "answers to a file of questions"],
    ],
    load: async () => (await import("./shell.ts")).shell,
  },
  {
    name: "hunt",
    summary: "Shipped questions with parameters, for what no rule says for sure",
    usage: ["hunt list", "hunt show NAME", "hunt NAME [-p PARAMETER=VALUE]... [options]"],
    about:
      `A hunt is a query with an explanation. An answer is no verdict: it is where to look. list names the hunts and their
parameters, show explains one and gives its SQL, to go on with in query or shell. Everything that the store has is asked;
--since narrows it. Times of the table are local; programs get Unix milliseconds.`,
    options: {
      param: { type: "string", short: "p", multiple: true, value: "NAME=VALUE", text: "a parameter of the hunt" },
      since: { type: "string", value: "WHEN", text: "let the tables hold only what happened from then on" },
      timeout: { type: "string", value: "SPAN", text: "stop after this time (default 30s)" },
      limit: { type: "string", value: "N", text: "at most so many rows (default 1000)" },
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["hunt list", "what can be asked"],
      ["hunt run-from-temporary --since 12h", "what ran from /tmp last night"],
      ["hunt new-programs -p hours=4 --format csv", "programs that were never seen before the last four hours"],
      ["hunt show rare-parents", "what it looks for, how to read it, and its SQL"],
    ],
    load: async () => (await import("./hunt.ts")).hunt,
  },
  {
    name: "stats",
    summary: "How many events, by hour, day, program, user and so on",
    usage: ["stats [--by KEY] [options]"],
    about: "Hours and days are local ones and come in order; everything else with the most frequent first.",
    options: {
      by: {
        type: "string",
        short: "b",
        value: "KEY",
        text: "hour, day, type, program, name, parent, user, container or source (default hour)",
      },
      ...TIME_OPTIONS,
      limit: { type: "string", value: "N", text: "at most so many lines (default 20; 1000 hours or days)" },
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["stats --since 1d", "how busy each hour was"],
      ["stats --by program --since 7d --limit 50", "what ran most often this week"],
    ],
    load: async () => (await import("./stats.ts")).stats,
  },
  {
    name: "baseline",
    summary: "What is usual here: programs, hashes, parents and users that were seen",
    usage: ["baseline [--kind KIND] [options]"],
    about:
      `Each program, hash, pair of parent and child, user, and use (user and program) with how often it started and when it was
seen first and last. Kept as JSON lines it is what diff --against compares with, here or on another host.`,
    options: {
      kind: { type: "string", short: "k", value: "KIND", text: "program, hash, parent, user or use; all by default" },
      ...TIME_OPTIONS,
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["baseline --format jsonl > monday.jsonl", "what this host was like on Monday"],
      ["baseline --kind user", "who runs programs here"],
    ],
    load: async () => (await import("./baseline.ts")).baseline,
  },
  {
    name: "diff",
    summary: "What is new on this host: since a date, or against a baseline that was kept",
    usage: ["diff --since WHEN [options]", "diff --against FILE|- [options]"],
    about:
      `Programs, hashes, pairs of parent and child, users, and uses that were seen first after --since, as far as the store
reaches back, or that a baseline does not have. FILE is what baseline --format jsonl wrote; "-" reads it from standard
input, since a file elsewhere may lie outside what this program may read. Exit 3 when nothing before --since is known.`,
    options: {
      against: { type: "string", value: "FILE", text: "a baseline, as JSON lines" },
      kind: { type: "string", short: "k", value: "KIND", text: "program, hash, parent, user or use; all by default" },
      ...TIME_OPTIONS,
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["diff --since 1d", "what was never seen before today"],
      ["diff --against - --kind program < monday.jsonl", "programs that did not run before Monday"],
    ],
    load: async () => (await import("./baseline.ts")).diff,
  },
  {
    name: "report",
    summary: "What happened here, as one HTML file to look at, print and pass on",
    usage: ["report [options] > report.html"],
    about:
      `The last seven days by default. One file that loads and sends nothing and opens anywhere: a summary in sentences, alerts
over time and one by one with the processes behind them, activity, programs seen for the first time, ATT&CK, what was not
seen, and the verdict on the audit ledger with its head as a QR code. Times in it are UTC. Every event is counted, none
sampled; the most severe and newest alerts are listed up to --limit, and the page says where that is not all.
--redact masks user names, the host's name, paths below home directories and command lines, each with a number that is
the same throughout, and leaves out the signed checkpoint, which names the host. Exit 3 when something of the time was
not seen or kept, or the ledger does not verify: the page is there, and says so.`,
    options: {
      ...TIME_OPTIONS,
      limit: { type: "string", value: "N", text: "at most so many alerts one by one (default 10000)" },
      redact: { type: "boolean", text: "mask names of users, homes and the host, and command lines" },
    },
    examples: [
      ["report --since 7d > report.html", "the week"],
      ["report --since 2026-08-05 --until 2026-08-06 --redact > case.html", "one day, to be shown to others"],
    ],
    load: async () => (await import("./report.ts")).report,
  },
  {
    name: "export",
    summary: "Every row of a table over a time: JSON lines, CSV, OCSF or ECS",
    usage: ["export events|alerts|gaps|processes [options]"],
    about:
      `Values are written as they are stored, times in Unix milliseconds. JSON lines by default; --format csv, json and line too.
Events and alerts also as --format ocsf (1.5.0: Process Activity, Detection Finding) or ecs (8.17), an object a line with
everything in it. Memory stays flat, whatever there is; a slow reader does not hinder the agent, and while more than
10,000 events wait to be stored, an export rests most of the time. --salvage reads a damaged store as far as that goes,
leaves out what cannot be read, says how many stretches of time or of rows that is, and ends with 3.`,
    options: {
      ...TIME_OPTIONS,
      limit: { type: "string", value: "N", text: "at most so many rows" },
      salvage: { type: "boolean", text: "read past what is damaged, and say what is left out" },
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["export events --since 1d | gzip > day.jsonl.gz", "a day, for another program"],
      ["export alerts --format csv", "every alert"],
      ["export events --since 1h --format ocsf", "an hour, for a security data lake"],
    ],
    formats: ["ocsf", "ecs"],
    load: async () => (await import("./export.ts")).exportRows,
  },
];
