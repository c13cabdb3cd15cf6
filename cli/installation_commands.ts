/**
 * Entries of the table of commands: those about the installation and this program.
 *
 * @module
 */
import type { Command } from "./command.ts";
import { COLUMNS_OPTION } from "./row_output.ts";

export const INSTALLATION_COMMANDS: readonly Command[] = [
  {
    name: "sources",
    summary: "Where events come from, and what each source cannot see",
    usage: ["sources [options]"],
    about: "As the collectors reported them last. A column that a source does not know is NULL in its events.",
    options: { columns: COLUMNS_OPTION },
    examples: [["sources", "what is seen, and what is missed"]],
    load: async () => (await import("./sources.ts")).sources,
  },
  {
    name: "collectors",
    summary: "The streams of events that the agent has received",
    usage: ["collectors [options]"],
    about: "One per log of a collector: a collector that was set up anew has another.",
    options: { columns: COLUMNS_OPTION },
    examples: [["collectors", "which collectors the agent knows, and when it heard of them last"]],
    load: async () => (await import("./sources.ts")).collectors,
  },
  {
    name: "config",
    summary: "Every setting and where its value comes from; whether the files are right",
    usage: ["config show [SETTING] [options]", "config check [options]"],
    about:
      `show   each setting, its value, and the layer that it comes from: a flag, a file, or the default. SETTING is one of
       them, or the begin of several, such as agent
check  whether the files can be read and say what they may, and whether the rules directories exist; exit 4 when not
The daemons read DAEMONEYE_* from their environment too, which is stronger than a file and not visible from here.`,
    options: { columns: COLUMNS_OPTION },
    examples: [
      ["config show agent", "the settings of the agent"],
      ["config check --config new.yaml", "is this file right, before it is put in its place?"],
    ],
    load: async () => (await import("./config.ts")).config,
  },
  {
    name: "doctor",
    summary: "What is wrong with this installation, and the mend",
    usage: ["doctor [options]"],
    about:
      `Looks at what must be there for the host to be watched: configuration, daemons, versions, clock, connection, store, rules,
sources, log, ledger. Each line says what was found and what to do. Exit 4 when something is wrong. It changes nothing.`,
    options: { columns: COLUMNS_OPTION },
    examples: [["doctor", "why does it not work, and what now?"]],
    load: async () => (await import("./doctor.ts")).doctor,
  },
  {
    name: "completions",
    summary: "Completion of command lines for bash, zsh or fish",
    usage: ["completions bash|zsh|fish"],
    about: "Writes the script to standard output; its first line says where it belongs.",
    options: {},
    examples: [["completions bash > /etc/bash_completion.d/daemoneye-cli", "for everybody who uses bash"]],
    load: async () => (await import("./completions.ts")).completions,
  },
  {
    name: "man",
    summary: "The manual page of this program, in troff",
    usage: ["man"],
    about: "Made from the same table as the help.",
    options: {},
    examples: [["man | man -l -", "read it"]],
    load: async () => (await import("./man.ts")).man,
  },
  {
    name: "version",
    summary: "Version, and with --verbose what this program may do, asked of the runtime",
    usage: ["version [--verbose] [options]"],
    about:
      `With --verbose the versions of what it is made of, and the permissions that the runtime says are held: each kind as a
whole, whether it may read what it needs and what it must not (keys, log, token), and samples of everything else. Exit 4
when it may more than read.`,
    options: {
      verbose: { type: "boolean", short: "v", text: "also the permissions that are held" },
      columns: COLUMNS_OPTION,
    },
    examples: [["version --verbose", "can this program change anything?"]],
    load: async () => (await import("./version.ts")).version,
  },
];
