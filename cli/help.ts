/**
 * Help texts, from the table of commands.
 *
 * @module
 */
import { COMMON_OPTIONS } from "./arguments.ts";
import type { Command, Options } from "./command.ts";

export const PROGRAM = "daemoneye-cli";

/** Help of the whole program. */
export function programHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length)) + 2;
  const list = commands.map((command) => `  ${command.name.padEnd(width)}${command.summary}`).join("\n");
  return `Looks at what DaemonEye has seen on this host. Reads only: it changes, sends and starts nothing.

Usage: ${PROGRAM} COMMAND [arguments] [options]

Commands:
${list}

Options of every command:
${optionList(COMMON_OPTIONS)}

Exit codes: 0 complete, 1 failed, 2 usage, 3 degraded (a gap, a disabled rule or a daemon that does not run touches
the answer; stderr says which), 4 findings where a command was asked to check.

Start with:
  ${PROGRAM} health
  ${PROGRAM} alerts --since 1d
  ${PROGRAM} COMMAND --help
`;
}

/** Help of one command. */
export function commandHelp(command: Command): string {
  const examples = command.examples.map(([line, does]) => `  ${PROGRAM} ${line}\n      ${does}`).join("\n");
  const own = Object.keys(command.options).length === 0 ? "" : `\nOptions:\n${optionList(command.options)}\n`;
  const common = Object.keys(COMMON_OPTIONS).map((name) => `--${name}`).join(", ");
  return `${command.summary}

${commandUsage(command)}

${command.about}
${own}
Options of every command (${PROGRAM} --help): ${common}

Examples:
${examples}
`;
}

/** The usage lines of one command. */
export function commandUsage(command: Command): string {
  return command.usage.map((line, i) => `${i === 0 ? "Usage:" : "      "} ${PROGRAM} ${line}`).join("\n");
}

function optionList(options: Options): string {
  const heads = Object.entries(options).map(([name, option]) => ({
    head: `${option.short === undefined ? "    " : `-${option.short}, `}--${name}${
      option.type === "string" ? ` ${option.value}` : ""
    }`,
    text: option.text,
  }));
  const width = Math.max(...heads.map(({ head }) => head.length)) + 2;
  return heads.map(({ head, text }) => `  ${head.padEnd(width)}${text}`).join("\n");
}
