/**
 * Entries of the table of commands: those by which evidence leaves the host.
 *
 * @module
 */
import type { Command } from "./command.ts";
import { TIME_OPTIONS } from "./common_options.ts";
import { COLUMNS_OPTION } from "./row_output.ts";

export const EVIDENCE_COMMANDS: readonly Command[] = [
  {
    name: "bundle",
    summary: "Evidence as one file: make it here; verify, open and compare it anywhere",
    usage: [
      "bundle [options] > FILE",
      "bundle verify FILE [--key VKEY]...",
      "bundle open FILE [-- COMMAND ...]",
      "bundle report FILE [options] > PAGE",
      "bundle diff FILE FILE [options]",
    ],
    about:
      `Without an action it makes a bundle on standard output: events, alerts with their history, processes, gaps, sources,
rules and exceptions, settings without secrets, the audit ledger, and a manifest with the SHA-256 of each. The same state
gives the same bytes, so what counts as now is the newest thing in it: --since 7d is the last week of what there is.
verify  every bit of it, who signed it, the ledger in it, and the events against the ledger; exit 4 and the name of the
        member where something does not hold
open    runs a command on it as on the host, at the bundle's time; the shell without one. Commands: processes, events,
        tree, process, timeline, alerts, sinks, gaps, query, shell, hunt, stats, baseline, diff, export, audit, sources,
        collectors, health, report, rules list
report  the page that report makes on the host
diff    what is new, gone and changed from the first to the second: two hosts, or two times
FILE may be "-" for standard input; a file elsewhere may lie outside what this program may read. --sign reads a key from
standard input: 64 hexadecimal digits, as ledger.key has them. VKEY is a verifier key (NAME+ID+BASE64) or a file of them,
the signer's or the ledger's. The format, and a case from alert to verification: docs/evidence.md.`,
    options: {
      ...TIME_OPTIONS,
      time: { type: "string", value: "WHEN", text: "what counts as now, instead of the newest thing that is known" },
      sign: { type: "string", value: "NAME", text: "sign with the key on standard input, under this name" },
      "no-ledger": { type: "boolean", text: "leave the audit ledger out; then nothing proves the events" },
      key: { type: "string", multiple: true, value: "VKEY", text: "verify: a key that is known from elsewhere" },
      redact: { type: "boolean", text: "report: mask names, as report does" },
      kind: {
        type: "string",
        short: "k",
        value: "KIND",
        text: "diff: only program, hash, parent, user, rule and so on",
      },
      columns: { ...COLUMNS_OPTION, text: "diff: these columns, in this order" },
    },
    examples: [
      ["bundle --since 7d > case.dbundle", "the last week"],
      ["bundle --sign case-4711 < case.key > case.dbundle", "everything, signed"],
      ["bundle verify case.dbundle --key signer.vkey", "is it whole, and by whom I think?"],
      ["bundle open case.dbundle -- alerts --since 1d", "its last day of alerts"],
      [`bundle open case.dbundle -- query "SELECT name, count(*) FROM process_events GROUP BY name"`, "any question"],
      ["bundle report case.dbundle > case.html", "the page to look at"],
      ["bundle diff monday.dbundle friday.dbundle --kind program", "which programs are new since Monday"],
    ],
    load: async () => (await import("./bundle.ts")).bundle,
  },
];
