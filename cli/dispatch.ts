/**
 * From a command line to an exit code: the one place where a failure becomes words.
 *
 * @module
 */
import { printable } from "../proto/printable.ts";
import { VERSION } from "../proto/version.ts";
import { findCommand, formatOption, parseOptions } from "./arguments.ts";
import { type Call, type Command, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { commandHelp, commandUsage, PROGRAM, programHelp } from "./help.ts";
import { BOX_MARKS, PLAIN_MARKS, type Screen } from "./screen.ts";
import { OutputClosedError, type Sink, TextWriter } from "./writer.ts";

/** What the program is connected to. */
export interface Surroundings {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Whether stderr is a terminal, on which a line can be overwritten. */
  readonly stderrTerminal: boolean;
  /** Width of the terminal that stdout is, `null` when it is none. */
  readonly columns: number | null;
  /** Whether a terminal may be sent colours. */
  readonly color: boolean;
  readonly now: () => number;
  /** Whether standard input and output are terminals. */
  readonly isInteractive?: boolean;
  readonly readStdin: (limit: number) => Uint8Array;
}

/** To the beginning of a terminal's line, and nothing on it. */
const CLEAR_LINE = "\r\x1b[K";

/** Runs one command line. Never throws. */
export async function runCommandLine(
  args: readonly string[],
  commands: readonly Command[],
  around: Surroundings,
): Promise<Exit> {
  const out = new TextWriter(around.stdout), err = new TextWriter(around.stderr);
  let shown = false;
  const progress = (text: string | null): void => {
    if (!around.stderrTerminal || (text === null && !shown)) return;
    err.write(text === null ? CLEAR_LINE : `${CLEAR_LINE}${printable(text)}`);
    err.flush();
    shown = text !== null;
  };
  const note = (text: string): void => {
    // The data comes first where both streams are one terminal
    out.flush();
    err.write(`${printable(text)}\n`);
    err.flush();
  };
  let command: Command | null = null;
  try {
    command = findCommand(args, commands);
    const line = parseOptions(args, command);
    if (line.values["version"] === true) out.write(`${PROGRAM} ${VERSION}\n`);
    else if (line.values["help"] === true) out.write(command === null ? programHelp(commands) : commandHelp(command));
    else if (command === null) throw new UsageError("Which command?");
    else {
      const call: Call = {
        arguments: line.arguments,
        values: line.values,
        format: "table",
        screen: screenOf(line.values, around),
        out,
        note,
        progress,
        now: around.now,
        isInteractive: around.isInteractive ?? false,
        readStdin: around.readStdin,
      };
      const format = formatOption(call, command);
      const run = await command.load();
      const exit = await run({ ...call, format });
      progress(null);
      out.flush();
      return exit;
    }
    out.flush();
    return EXIT.complete;
  } catch (error) {
    // Half an answer is none: a JSON array without its end, a table without its last rows
    out.discard();
    return failed(error, command, commands, note);
  }
}

function failed(
  error: unknown,
  command: Command | null,
  commands: readonly Command[],
  note: (text: string) => void,
): Exit {
  if (error instanceof OutputClosedError) return EXIT.complete;
  try {
    if (error instanceof UsageError) {
      note(`${error.message}.`.replace(/([.?])\.$/, "$1"));
      const usage = command === null
        ? `Usage: ${PROGRAM} COMMAND [arguments] [options]; commands: ${commands.map((c) => c.name).join(", ")}`
        : commandUsage(command);
      for (const line of usage.split("\n")) note(line);
      note(`${PROGRAM}${command === null ? "" : ` ${command.name}`} --help says more.`);
      return EXIT.usage;
    }
    // An error of ours is meant to be read; anything else is a fault of this program, and its stack tells where
    if (error instanceof CommandError) note(error.message);
    else if (error instanceof Deno.errors.NotCapable) note(`This program may not do that: ${error.message}`);
    else for (const line of String(error instanceof Error ? error.stack : error).split("\n")) note(line);
  } catch {
    // Nobody can be told: both streams are gone, or the disk under stdout is full and stderr is the same file
  }
  return EXIT.failed;
}

function screenOf(values: Call["values"], around: Surroundings): Screen {
  const plain = values["plain"] === true;
  return {
    columns: around.columns,
    color: !plain && (values["color"] === true || (around.columns !== null && around.color)),
    marks: plain ? PLAIN_MARKS : BOX_MARKS,
  };
}
