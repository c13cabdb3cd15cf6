/**
 * What every command of the CLI is made of: its entry in the table of commands, and what it is given to run.
 *
 * @module
 */
import type { Format } from "./output.ts";
import type { Screen } from "./screen.ts";
import type { TextWriter } from "./writer.ts";

/** Exit codes. stdout carries data, stderr carries words, and these say which kind of answer it was. */
export const EXIT = {
  complete: 0,
  failed: 1,
  usage: 2,
  /** A gap, a disabled rule or a daemon that does not run touches the answer. */
  degraded: 3,
  /** Asked to check, the command found something. */
  findings: 4,
} as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

/** The command line cannot be understood: exit code 2, with the usage. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** The command cannot give an answer: exit code 1. The text is for a person and ends in the mend. */
export class CommandError extends Error {
  override name = "CommandError";
}

export interface OptionDefinition {
  readonly type: "string" | "boolean";
  readonly short?: string;
  readonly multiple?: true;
  /** What stands for the value in the help, such as `DIR`. */
  readonly value?: string;
  readonly text: string;
}
export type Options = Readonly<Record<string, OptionDefinition>>;

/** An entry in the table of commands. It loads its code only when it runs, so that help is quick. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** After the program's name. */
  readonly usage: readonly string[];
  /** Paragraphs of the help, below the usage. */
  readonly about: string;
  readonly options: Options;
  readonly examples: readonly (readonly [command: string, does: string])[];
  /** Formats beside those that every command has. */
  readonly formats?: readonly string[];
  readonly load: () => Promise<(call: Call) => Exit | Promise<Exit>>;
}

/** One run of a command. */
export interface Call {
  readonly arguments: readonly string[];
  readonly values: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;
  readonly format: Format;
  readonly screen: Screen;
  readonly out: TextWriter;
  /** A line of words on stderr, made harmless. */
  readonly note: (text: string) => void;
  /** How far long work is: one line on a terminal, overwritten by the next; nothing elsewhere. `null` removes it. */
  readonly progress: (text: string | null) => void;
  readonly now: () => number;
  /** Whether a person sits at both ends: standard input and output are terminals. */
  readonly isInteractive: boolean;
  /** Everything on standard input, at most `limit` bytes. */
  readonly readStdin: (limit: number) => Uint8Array;
}
