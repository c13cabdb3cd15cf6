/**
 * The table of commands.
 *
 * @module
 */
import type { Command, OptionDefinition, Options } from "./command.ts";

const TIME_OPTIONS: Options = {
  since: { type: "string", value: "WHEN", text: "from then on: a span back (10m, 2d) or a time (2026-08-05T12:00)" },
  until: { type: "string", value: "WHEN", text: "up to then" },
};

const WIDE_OPTION: OptionDefinition = {
  type: "boolean",
  short: "w",
  text: "more columns: group, login, tty, kind of file, control group, directory, executable, script",
};

export const COMMANDS: readonly Command[] = [
  {
    name: "health",
    summary: "Is everything seen, kept and judged? Daemons, sources, gaps, losses, rules, store",
    usage: ["health [options]"],
    about:
      `Reads the status files of both daemons and the store, checks one against the other, and says in one line whether
the host is watched: healthy (exit 0), degraded (exit 3), stopped (exit 3), or nothing readable (exit 1). A status
older than 3 seconds is stale: its daemon does not run, or does not answer.`,
    options: {},
    examples: [
      ["health", "the verdict, and everything behind it"],
      ["health --format json", "the same as one JSON object, for a monitor"],
      ["health --format csv", "only the findings, one a line"],
    ],
    load: async () => (await import("./health.ts")).health,
  },
  {
    name: "processes",
    summary: "Processes, alive or ended, with their last known state",
    usage: ["processes [options]"],
    about:
      `Alive ones by default. Sorted by pid, or by what --sort says. Before a command, (deleted) says that its file is gone
from its path, (memfd) that it never was a file, (foreign) that its path is of another mount namespace though no
container is known. CONTAINER is there when a process of the answer runs in one. The formats for programs have every
column always; --wide and they have the hash of the executable, where the store still has the start of the process.`,
    options: {
      all: { type: "boolean", short: "a", text: "also those that ended, as far as the store keeps them" },
      pid: { type: "string", value: "PID", text: "with this pid" },
      user: { type: "string", short: "u", value: "USER", text: "of this user, by name or number" },
      name: { type: "string", short: "n", value: "TEXT", text: "whose command name or executable contains this" },
      wide: WIDE_OPTION,
      sort: { type: "string", value: "KEY", text: "pid, start, cpu, memory or name (default pid)" },
      limit: { type: "string", value: "N", text: "at most so many" },
    },
    examples: [
      ["processes --sort memory --limit 10", "the ten largest"],
      ["processes --user root --name ssh", "processes of root with ssh in their name or path"],
      ["processes --all --pid 4711", "every process that ever had the pid, as far as the store remembers"],
    ],
    load: async () => (await import("./processes.ts")).processes,
  },
  {
    name: "events",
    summary: "Starts, stops and changes of processes, newest last",
    usage: ["events [options]"],
    about: "The newest 100 by default. All conditions must hold. Marks and CONTAINER are as those of processes.",
    options: {
      type: { type: "string", short: "t", value: "TYPE", text: "start, stop, modify or suspicious" },
      pid: { type: "string", value: "PID", text: "of this pid" },
      user: { type: "string", short: "u", value: "USER", text: "of this user, by name or number" },
      name: { type: "string", short: "n", value: "TEXT", text: "whose command name or executable contains this" },
      contains: {
        type: "string",
        short: "c",
        value: "TEXT",
        text: "with this in its command line, name or executable",
      },
      ...TIME_OPTIONS,
      wide: WIDE_OPTION,
      limit: { type: "string", value: "N", text: "at most so many, the newest (default 100)" },
    },
    examples: [
      ["events --since 10m", "the last ten minutes"],
      ["events --contains /tmp/ --type start --since 1d", "programs started from or with /tmp/ today"],
      ["events --format jsonl --limit 1000", "one JSON object a line"],
    ],
    load: async () => (await import("./events.ts")).events,
  },
  {
    name: "tree",
    summary: "Ancestors and descendants of a process",
    usage: ["tree PID|EXEC_ID [options]"],
    about:
      `Follows identities, not pids: a pid that was used again is another process, and an ancestor that has ended is still
there. Of several processes with the pid, the one alive is taken, else the last; the others are named. A container is
named where it is another than the parent's; "host" is where a process left one.`,
    options: {
      all: {
        type: "boolean",
        short: "a",
        text: "also descendants that ended (shown anyway below a process that ended)",
      },
      limit: { type: "string", value: "N", text: "at most so many descendants (default 1000)" },
    },
    examples: [
      ["tree 4711", "where the process comes from, and what it started"],
      ["tree 3f2a9c01-4711-88123 --all", "exactly this process, with everything that it ever started"],
    ],
    load: async () => (await import("./tree.ts")).tree,
  },
  {
    name: "alerts",
    summary: "What the rules found, newest last; one alert in full",
    usage: ["alerts [options]", "alerts ID [options]"],
    about:
      "ID is an alert id, or the number of an event (column EVENT), which shows every alert of that event in full.",
    options: {
      rule: { type: "string", short: "r", value: "ID", text: "of this rule" },
      severity: { type: "string", short: "s", value: "LEAST", text: "at least info, low, medium, high or critical" },
      ...TIME_OPTIONS,
      limit: { type: "string", value: "N", text: "at most so many, the newest (default 100)" },
    },
    examples: [
      ["alerts --since 1d --severity high", "what matters today"],
      ["alerts 1099511627781", "everything known of the alerts of one event"],
    ],
    load: async () => (await import("./alerts.ts")).alerts,
  },
  {
    name: "gaps",
    summary: "What could not be seen or kept: losses, and times in which nobody looked, newest last",
    usage: ["gaps [options]"],
    about:
      `Every gap record that touches the time, with how many records it cost as far as that is known, and the sum of them
all on stderr. Gaps are the answer here: exit 0 with and without them. Exit 3 while a daemon does not run, since what
is missed now has no record yet. health judges; this lists.`,
    options: {
      ...TIME_OPTIONS,
      limit: { type: "string", value: "N", text: "at most so many, the newest (default 100)" },
    },
    examples: [
      ["gaps --since 1d", "what was missed today"],
      ["gaps --format jsonl --limit 1000000", "every record, for a program"],
    ],
    load: async () => (await import("./gaps.ts")).gaps,
  },
  {
    name: "query",
    summary: "A SQL question to the store",
    usage: ["query SQL [options]", "query - [options]", "query --schema [TABLE]"],
    about:
      `One SELECT over the tables that --schema lists; "-" reads it from standard input. What the rules may not use, a query
may not use either. What certainly cannot end in its time is refused, and what makes a query slow is said on stderr. It
is stopped at --timeout, and cut at --limit rows, which is said too; where SQLite does not come back, the program ends
itself with exit code 137.
Values are printed as stored: times in Unix milliseconds, lists (argv, tags) as JSON text. A second column of the
same name becomes name_2. In a table, rows too wide for the terminal stand one value a line, without those that are
NULL.`,
    options: {
      schema: { type: "boolean", text: "show tables and columns instead" },
      since: { type: "string", value: "WHEN", text: "let the tables hold only what happened from then on" },
      timeout: { type: "string", value: "SPAN", text: "stop after this time (default 30s)" },
      limit: { type: "string", value: "N", text: "at most so many rows (default 10000)" },
    },
    examples: [
      [
        `query "SELECT name, count(*) AS n FROM process_events GROUP BY name ORDER BY n DESC LIMIT 10"`,
        "what runs most often",
      ],
      [
        `query --since 1d "SELECT pid, command_line FROM process_events WHERE executable_path LIKE '/tmp/%'" -f json`,
        "programs run from /tmp today, as one JSON array",
      ],
      ["query --schema process_events", "the columns of a table, and what they mean"],
    ],
    load: async () => (await import("./query.ts")).query,
  },
  {
    name: "rules",
    summary: "Rules: those loaded, what they cost and would have found; checks of rule files",
    usage: [
      "rules list [options]",
      "rules validate [PATH...]",
      "rules test [PATH...]",
      "rules replay RULE [--since WHEN] [--until WHEN] [--limit N]",
      "rules explain RULE",
      "rules cost",
      "rules import DIR|- [--tar]",
      "rules new ID [TYPE]",
    ],
    about:
      `list      the rules that the agent has, with their state, hits and version; without an agent, those of the files
validate  reads rule files and says what is wrong with them: file, line, column, reason; exit 4 when one is refused
test      runs the tests that stand in the rule files; exit 4 when one fails
replay    how often the rule would have fired on the stored events (of the last week, unless --since says otherwise),
          with the newest matches; a rule over a window gets the events in the order of their times; exit 3, and why,
          where something was not seen, kept or judged
explain   how the rule was understood: the lane and why, the condition in words, the literals that are looked for, the
          plan of SQLite where that judges, and what it costs an event, measured on stored ones
cost      what each rule has cost since the agent's start, the dearest first
import    what becomes of each Sigma rule of a checkout here: live, partial (what is missing) or unsupported (why), with
          the sums; "-" reads a tar from standard input. With --tar a tar of what runs here, to unpack in a rules directory
new       the text of a rule to begin with, on stdout: this program writes no file. TYPE makes it a correlation: count,
          distinct, sum, average, percentile, together, sequence, absence or first_seen (docs/correlations.md)
PATH is a file, a directory, or "-" for a rule on standard input; the rules directories by default. RULE is the id of a
rule there, or a file (with a / or .yml in its name, or "-"), so that a draft can be looked at before the agent has it.
A path elsewhere may lie outside what this program may read: "-" always works.

States: active; draft (status: draft in its file): judged and counted, but no alert; disabled (enabled: false in its file,
or by overrides.yml of a rules directory); rejected: its file is not right. A rule whose file is not right any more stays
active as it was, and says so. VERSION is the begin of the SHA-256 of the file, which every alert of it has too.`,
    options: {
      ...TIME_OPTIONS,
      timeout: { type: "string", value: "SPAN", text: "replay: stop after this time (default 10m)" },
      limit: { type: "string", value: "N", text: "replay: show at most so many matches, the newest (default 5)" },
      tar: { type: "boolean", text: "import: a tar of the rules that run here, on standard output" },
    },
    examples: [
      ["rules list", "what is watched for"],
      ["rules validate - < my-rule.yaml", "is my rule right?"],
      ["rules test /etc/daemoneye/rules", "do all rules match what they should, and nothing else?"],
      ["rules new curl-into-shell > curl-into-shell.yml", "a rule to begin with"],
      ["rules new download-then-run sequence > download-then-run.yml", "one over several events"],
      ["rules replay - --since 7d < curl-into-shell.yml", "would it have fired last week, and on what?"],
      ["rules replay reverse-shell-socket --since 30d -f json", "the same of an active rule, for a program"],
      ["rules explain reverse-shell-socket", "what it looks for, and what that costs"],
      ["rules cost", "which rule is dear?"],
      ["rules import - < sigma.tar", "which of these Sigma rules run here, and why not the others?"],
      ["rules import - --tar < sigma.tar > rules.tar", "those that do, to unpack in a rules directory"],
    ],
    load: async () => (await import("./rules.ts")).rules,
  },
  {
    name: "audit",
    summary: "The audit ledger: what it holds, and proof of it for somebody who does not trust this host",
    usage: [
      "audit verify [options]",
      "audit show [options]",
      "audit prove SEQ",
      "audit event EVENT_ID",
      "audit check-proof FILE --key VKEY",
      "audit checkpoint [options]",
    ],
    about:
      `verify       reads all of the ledger and says how far it holds: verified to N, anchored to M, tail unproven for T.
             Exit 4 when something does not hold (the first bad entry is named), 3 when the last seal is too old or a
             witness has said nothing, 1 when it cannot be read
show         entries with their payloads, the newest 100 by default; --action, --actor, --since and --until select
prove        one entry and the proof of it, to standard output: this program may write no file
event        the same for a stored event (column event_id); the proof shows up to seven neighbours of it too
check-proof  needs nothing but the proof and the key, and none of DaemonEye's files; exit 4 when it does not hold
checkpoint   the newest signed head, to be kept elsewhere
FILE is a file, or "-" for standard input, which may hold several checkpoints. A file elsewhere may lie outside what
this program may read: "-" always works. VKEY is a verifier key (NAME+ID+BASE64) or a file of them. What it all means
for an auditor: docs/ledger.md.`,
    options: {
      against: {
        type: "string",
        multiple: true,
        value: "HEAD",
        text: "verify: a checkpoint that was kept elsewhere: FILE, or SIZE:ROOT",
      },
      key: {
        type: "string",
        multiple: true,
        value: "VKEY",
        text: "verify, check-proof: the ledger's key, from elsewhere",
      },
      witness: {
        type: "string",
        multiple: true,
        value: "VKEY",
        text: "verify, check-proof: a witness that is to have cosigned",
      },
      "secret-file": {
        type: "string",
        value: "FILE",
        text: "verify: the secret of the seals, shown when the ledger was made",
      },
      ...TIME_OPTIONS,
      action: {
        type: "string",
        value: "ACTION",
        text: "show: entries of this action, such as request or rulesChanged",
      },
      actor: { type: "string", value: "NAME", text: "show: entries of this actor" },
      limit: { type: "string", value: "N", text: "show: at most so many, the newest (default 100)" },
      qr: { type: "boolean", text: "checkpoint: as a QR code" },
      "proof-from": {
        type: "string",
        value: "SIZE",
        text: "checkpoint: as a request to a witness that knows so many entries (0: none)",
      },
      output: { type: "string", value: "FILE", text: "prove: not possible, as nothing may be written; use > FILE" },
      ledger: { type: "string", value: "DIR", text: "a copy of a ledger instead of this host's" },
    },
    examples: [
      ["audit verify --key host.vkey --against monday.txt", "is everything since before Monday as it was logged?"],
      ["audit show --action request --since 7d", "who asked for what this week"],
      ["audit prove 4711 > proof.txt", "evidence of one entry, for somebody else"],
      ["audit check-proof - --key host.example/ledger+1a2b3c4d+AZ... < proof.txt", "does this evidence hold?"],
      ["audit checkpoint --proof-from 1000 > request.txt", "ask a witness that has cosigned the first 1,000 entries"],
    ],
    load: async () => (await import("./audit.ts")).audit,
  },
];
