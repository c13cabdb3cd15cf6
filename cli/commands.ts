/**
 * The table of commands.
 *
 * @module
 */
import type { Command } from "./command.ts";
import { PARAM_OPTION } from "./parameters.ts";
import { OSQUERY_OPTION, TIME_OPTIONS, WIDE_OPTION } from "./common_options.ts";
import { EVIDENCE_COMMANDS } from "./evidence_commands.ts";
import { INSTALLATION_COMMANDS } from "./installation_commands.ts";
import { LIVE_COMMANDS, QUESTION_COMMANDS, STORY_COMMANDS } from "./investigation_commands.ts";
import { COLUMNS_OPTION } from "./row_output.ts";

export const COMMANDS: readonly Command[] = [
  {
    name: "health",
    summary: "Is everything seen, kept and judged? Daemons, sources, gaps, losses, rules, store",
    usage: ["health [options]"],
    about:
      `Reads the status files of both daemons and the store, checks one against the other, and says in one line whether
the host is watched: healthy (exit 0), degraded (exit 3), stopped (exit 3), or nothing readable (exit 1). A status
older than 3 seconds is stale: its daemon does not run, or does not answer.
--check prints one line, with up to five of the things that are wrong, and ends with 0 (healthy), 4 (something is wrong) or
3 (the store or a status cannot be read, so it is not known). --prometheus prints metrics in the text format 0.0.4 and
ends with 0 whatever they say; write them beside and rename, as docs/monitoring.md shows. --watch needs a terminal: /
filters, the arrow keys scroll, the space bar stops and goes on, q leaves.`,
    options: {
      check: { type: "boolean", text: "one line and an exit code, for a monitoring system" },
      prometheus: { type: "boolean", text: "metrics for a textfile collector of Prometheus" },
      watch: { type: "boolean", text: "draw it anew until q" },
      interval: { type: "string", value: "SPAN", text: "time between two screens of --watch (default 2s)" },
    },
    examples: [
      ["health", "the verdict, and everything behind it"],
      ["health --format json", "the same as one JSON object, for a monitor"],
      ["health --check", "one line, and 0, 3 or 4"],
      ["health --prometheus > daemoneye.prom.new", "metrics"],
      ["health --format csv", "only the findings, one a line"],
    ],
    load: async () => (await import("./health.ts")).health,
  },
  ...LIVE_COMMANDS,
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
      columns: COLUMNS_OPTION,
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
      columns: COLUMNS_OPTION,
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
    usage: ["tree PID|EXEC_ID [options]", "tree --alert ID [options]"],
    about:
      `Follows identities, not pids: a pid that was used again is another process, and an ancestor that has ended is still
there. Of several processes with the pid, the one alive is taken, else the last; the others are named. A container is
named where it is another than the parent's; "host" is where a process left one. A process with alerts says how many.
With --columns, and in the formats for programs, each process is a row: relation, depth, the columns of processes, alerts.`,
    options: {
      all: {
        type: "boolean",
        short: "a",
        text: "also descendants that ended (shown anyway below a process that ended)",
      },
      alert: { type: "string", value: "ID", text: "of the process of this alert (its id, or the number of its event)" },
      times: { type: "boolean", text: "also when each began, and when it ended" },
      limit: { type: "string", value: "N", text: "at most so many descendants (default 1000)" },
      columns: COLUMNS_OPTION,
    },
    examples: [
      ["tree 4711", "where the process comes from, and what it started"],
      ["tree 3f2a9c01-4711-88123 --all", "exactly this process, with everything that it ever started"],
      ["tree --alert 1099511627781 --times", "what led to the alert of this event, and when"],
    ],
    load: async () => (await import("./tree.ts")).tree,
  },
  ...STORY_COMMANDS,
  {
    name: "alerts",
    summary: "What the rules found, newest last; one alert in full; in numbers; dead letters",
    usage: [
      "alerts [list] [options]",
      "alerts [show] ID [options]",
      "alerts timeline ID [options]",
      "alerts stats [options]",
      "alerts dead [options]",
    ],
    about: `ID is an alert id, or the number of an event (column EVENT), which shows every alert of that event in full.
A hit that is the same as that of an alert is counted, by default for five minutes, and then summed up: STATE says "N more".
It also says which alerts were acknowledged, closed, or muted by a silence or inhibition, which keeps them from the sinks.
timeline  what led to the alert and what came of it, as timeline --alert has it
stats     alerts, and hits that became none, by rule; the silences that hold are on stderr
dead      alerts that a sink will never take, and why`,
    options: {
      rule: { type: "string", short: "r", value: "ID", text: "of this rule" },
      severity: { type: "string", short: "s", value: "LEAST", text: "at least info, low, medium, high or critical" },
      status: { type: "string", value: "STATUS", text: "open, acknowledged or closed" },
      ...TIME_OPTIONS,
      limit: { type: "string", value: "N", text: "at most so many, the newest (default 100)" },
      columns: { ...COLUMNS_OPTION, text: "list, stats, dead: these columns, in this order" },
    },
    examples: [
      ["alerts --since 1d --severity high", "what matters today"],
      ["alerts --status open", "what nobody has looked at"],
      ["alerts 1099511627781", "everything known of the alerts of one event, and what to ask next"],
      ["alerts timeline 1099511627781", "what happened around the alert of one event"],
      ["alerts stats --since 7d", "which rules are loud"],
    ],
    load: async () => (await import("./alerts.ts")).alerts,
  },
  {
    name: "sinks",
    summary: "Where alerts go: state, what is owed, what was delivered and how fast, the last error",
    usage: ["sinks [options]"],
    about:
      `State is ready; retrying after a fault; open: it failed so often that nothing is tried for a while; or disabled: until
the agent is started again. P50 and P99 are the time from the commit of an alert until the sink had it, of late. DEAD are
alerts that it will never take (alerts dead), DROPPED those that were given up because too many were owed.`,
    options: { columns: COLUMNS_OPTION },
    examples: [
      ["sinks", "does everything arrive?"],
      ["sinks --format json", "the same for a monitor"],
    ],
    load: async () => (await import("./sinks.ts")).sinks,
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
      columns: COLUMNS_OPTION,
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
same name becomes name_2. :NAME in the query is what --param says: a number where it is written as one, else a text; it is
one value whatever is in it, so a script need not quote. --explain runs nothing: it says how the query would be gone about,
and what makes it slow. In a table, rows too wide for the terminal stand one value a line, without those that are
NULL.`,
    options: {
      schema: { type: "boolean", text: "show tables and columns instead" },
      param: PARAM_OPTION,
      explain: { type: "boolean", text: "say how the query would be gone about, step by step, and do not run it" },
      osquery: OSQUERY_OPTION,
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
      [
        `query "SELECT pid, name FROM process_events WHERE name = :name AND time > :from" -p name=curl -p from:time=2h`,
        "with parameters: a text, and a time",
      ],
      [`query --osquery "SELECT pid, name, path FROM processes WHERE on_disk = 0"`, "a query written for osquery"],
      ["query --schema process_events", "the columns of a table, and what they mean"],
    ],
    load: async () => (await import("./query.ts")).query,
  },
  ...QUESTION_COMMANDS,
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
      "rules exceptions",
      "rules coverage [--navigator]",
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
exceptions  what keeps hits from being alerts (exceptions.yml, filters of Sigma): until when, by whom, why, and how often
coverage  which techniques of ATT&CK the active rules look for, and which none does; --navigator prints a layer for
          MITRE's ATT&CK Navigator
import    what becomes of each Sigma rule of a checkout here: live, partial (what is missing) or unsupported (why), with
          the sums; "-" reads a tar from standard input. With --tar a tar of what runs here, to unpack in a rules directory
new       the text of a rule to begin with, on stdout: this program writes no file. TYPE makes it a correlation: count,
          distinct, sum, average, percentile, together, sequence, absence or first_seen (docs/correlations.md)
PATH is a file, a directory, or "-" for a rule on standard input; the rules directories by default. RULE is the id of a
rule there, or a file (with a / or .yml in its name, or "-"), so that a draft can be looked at before the agent has it.
A path elsewhere may lie outside what this program may read: "-" always works.

States: active; draft (status: draft in its file): judged and counted, but no alert; disabled (enabled: false in its file,
by overrides.yml of a rules directory, or by a request); rejected: its file is not right. A rule whose file is not right any more stays
active as it was, and says so. VERSION is the begin of the SHA-256 of the file, which every alert of it has too.`,
    options: {
      ...TIME_OPTIONS,
      timeout: { type: "string", value: "SPAN", text: "replay: stop after this time (default 10m)" },
      limit: { type: "string", value: "N", text: "replay: show at most so many matches, the newest (default 5)" },
      navigator: { type: "boolean", text: "coverage: a layer of the ATT&CK Navigator (format 4.5), as JSON" },
      tar: { type: "boolean", text: "import: a tar of the rules that run here, on standard output" },
      columns: { ...COLUMNS_OPTION, text: "list, cost, exceptions, coverage, import: these columns, in this order" },
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
      ["rules exceptions", "what is kept from being an alert?"],
      ["rules coverage --navigator > layer.json", "a map of what is looked for, for the ATT&CK Navigator"],
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
  ...EVIDENCE_COMMANDS,
  ...INSTALLATION_COMMANDS,
];
