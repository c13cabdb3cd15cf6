/**
 * `man`: the manual page of this program, in troff, from the table of commands.
 *
 * @module
 */
import { VERSION } from "../proto/version.ts";
import { atMostArguments, COMMON_OPTIONS } from "./arguments.ts";
import { type Call, EXIT, type Exit, type Options } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { PROGRAM } from "./help.ts";

export function man(call: Call): Exit {
  atMostArguments(call, 0, "man");
  call.out.write(manualPage());
  return EXIT.complete;
}

export function manualPage(): string {
  const lines = [
    `.TH DAEMONEYE-CLI 1 "" ${argument(`DaemonEye ${VERSION}`)} "DaemonEye"`,
    ".SH NAME",
    `${text(PROGRAM)} \\- looks at what DaemonEye has seen on this host`,
    ".SH SYNOPSIS",
    `.B ${text(PROGRAM)}`,
    ".I COMMAND",
    "[arguments] [options]",
    ".SH DESCRIPTION",
    "Reads only: it changes, sends and starts nothing, and needs no permission but to read the state directory, the rules",
    "and the configuration.",
    ".SH COMMANDS",
  ];
  for (const { name, summary, usage, about, options, examples } of COMMANDS) {
    lines.push(`.SS ${argument(name)}`, text(summary), ".PP", ".nf", ...usage.map((line) => text(line)), ".fi");
    lines.push(".PP", ".nf", ...about.split("\n").map(text), ".fi", ...optionLines(options));
    for (const [line, does] of examples) lines.push(".TP", `.B ${text(`${PROGRAM} ${line}`)}`, text(does));
  }
  lines.push(".SH OPTIONS", "Of every command:", ...optionLines(COMMON_OPTIONS));
  lines.push(".SH EXIT STATUS");
  const codes: readonly (readonly [number, string])[] = [
    [EXIT.complete, "complete"],
    [EXIT.failed, "failed"],
    [EXIT.usage, "the command line cannot be understood"],
    [EXIT.degraded, "degraded: a gap, a disabled rule or a daemon that does not run touches the answer"],
    [EXIT.findings, "findings where a command was asked to check"],
    [137, "ended by itself because SQLite did not come back from a query"],
  ];
  for (const [code, means] of codes) lines.push(".TP", `.B ${code}`, text(means));
  return `${lines.join("\n")}\n`;
}

function optionLines(options: Options): string[] {
  return Object.entries(options).flatMap(([name, { short, type, value, text: does }]) => {
    const flags = `${short === undefined ? "" : `-${short}, `}--${name}${type === "string" ? ` ${value}` : ""}`;
    return [".TP", `.B ${text(flags)}`, text(does)];
  });
}

/** A line of text: nothing in it is troff's, also at its begin. */
function text(line: string): string {
  const escaped = line.replaceAll("\\", "\\e").replaceAll("-", "\\-");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** An argument of a macro. */
function argument(line: string): string {
  return `"${text(line).replaceAll('"', "\\(dq")}"`;
}
