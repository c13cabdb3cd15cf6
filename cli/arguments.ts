/**
 * The command line: which command, its arguments and options, each mistake with the word that was probably meant.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Call, type Command, type Options, UsageError } from "./command.ts";
import { parseMoment } from "./moment.ts";
import { type Format, FORMATS } from "./output.ts";
import { parseSpan, type TimeRange } from "./units.ts";

/** Options of every command. */
export const COMMON_OPTIONS: Options = {
  state: { type: "string", value: "DIR", text: "state directory of the daemons (default /var/lib/daemoneye)" },
  config: { type: "string", value: "FILE", text: "configuration file" },
  set: { type: "string", multiple: true, value: "KEY=VALUE", text: "one setting, stronger than the file" },
  format: { type: "string", short: "f", value: "FORMAT", text: "table, line, json, jsonl or csv (default table)" },
  plain: { type: "boolean", text: "ASCII only, no colour" },
  color: { type: "boolean", text: "colour also where the output is no terminal" },
  help: { type: "boolean", short: "h", text: "this help" },
  version: { type: "boolean", short: "V", text: "version of the program" },
};

/**
 * The command that is meant, `null` when none is named. A launcher puts common options before it, a person behind it, so
 * the options of all commands are known here.
 *
 * @throws UsageError when there is no such command
 */
export function findCommand(args: readonly string[], commands: readonly Command[]): Command | null {
  const everyOption: Options = Object.assign({}, ...commands.map((command) => command.options), COMMON_OPTIONS);
  const tokens = tokensOf(args, everyOption);
  const place = tokens.findIndex((token) => token.kind === "positional");
  const name = args[tokens[place]?.index ?? args.length];
  // An option that is not known may have taken the next word as its value: it is told first
  refuseUnknown(tokens.slice(0, place), everyOption, "There is");
  if (name === undefined) return null;
  const command = commands.find((command) => command.name === name);
  if (command !== undefined) return command;
  throw new UsageError(`There is no command ${name}${meant(name, commands.map((command) => command.name))}`);
}

/** Arguments and options of a command. @throws UsageError */
export function parseOptions(
  args: readonly string[],
  command: Command | null,
): { readonly arguments: readonly string[]; readonly values: Call["values"] } {
  const options: Options = { ...command?.options, ...COMMON_OPTIONS };
  refuseUnknown(tokensOf(args, options), options, command === null ? "There is" : `${command.name} has`);
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: configOf(options),
      allowPositionals: true,
      strict: true,
    });
    return { arguments: positionals.slice(1), values };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const unclear = /^Option '(?:-\w, )?(--\w+)(?: <value>)?' argument is ambiguous/.exec(error.message)?.[1];
    const words = unclear === undefined
      ? error.message.split("\n")[0]!
      : `What follows ${unclear} begins with "-": write ${unclear}=VALUE if that is its value`;
    throw new UsageError(words, { cause: error });
  }
}

function refuseUnknown(tokens: readonly Token[], options: Options, there: string): void {
  for (const token of tokens) {
    if (token.kind !== "option" || Object.hasOwn(options, token.name)) continue;
    const candidates = Object.keys(options).map((name) => `--${name}`);
    throw new UsageError(`${there} no option ${token.rawName}${meant(token.rawName, candidates)}`);
  }
}

type Token =
  | { readonly kind: "positional" | "option-terminator"; readonly index: number }
  | { readonly kind: "option"; readonly index: number; readonly name: string; readonly rawName: string };

function tokensOf(args: readonly string[], options: Options): readonly Token[] {
  return parseArgs({ args: [...args], options: configOf(options), allowPositionals: true, strict: false, tokens: true })
    .tokens;
}

type ParseConfig = Record<string, { type: "string" | "boolean"; short?: string; multiple?: boolean }>;

function configOf(options: Options): ParseConfig {
  return Object.fromEntries(
    Object.entries(options).map(([name, { type, short, multiple }]) => [name, {
      type,
      ...(short === undefined ? {} : { short }),
      ...(multiple === undefined ? {} : { multiple }),
    }]),
  );
}

/** Options of other actions of the command, which `told` would pass over. @throws UsageError that names the first */
export function refuseForeign(call: Call, told: string, options: readonly string[]): void {
  const foreign = Object.keys(call.values)
    .find((name) => !options.includes(name) && !Object.hasOwn(COMMON_OPTIONS, name));
  if (foreign === undefined) return;
  const has = options.map((each) => `--${each}`).join(", ");
  throw new UsageError(`${told} has no option --${foreign}${has === "" ? "" : `; it has ${has}`}`);
}

/** `; did you mean X?` when a candidate is near. */
export function meant(word: string, candidates: readonly string[]): string {
  const near = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate) }))
    .filter(({ candidate, distance }) =>
      distance <= Math.max(1, Math.floor(candidate.length / 3)) || startsLike(word, candidate)
    )
    .sort((a, b) => a.distance - b.distance)[0];
  return near === undefined ? "" : `; did you mean ${near.candidate}?`;
}

function startsLike(word: string, candidate: string): boolean {
  return word.replace(/^-+/, "").length >= 2 && candidate.startsWith(word.toLowerCase());
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other. */
function editDistance(from: string, to: string): number {
  if (from.length > 64) return Infinity;
  let before: number[] = [], above = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1] ? 0 : 1;
      let best = Math.min(row[j - 1]! + 1, above[j]! + 1, above[j - 1]! + same);
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        best = Math.min(best, before[j - 2]! + 1);
      }
      row.push(best);
    }
    before = above;
    above = row;
  }
  return above[to.length]!;
}

/** A whole number of an option, or `initial`. @throws UsageError */
export function integerOption(call: Call, name: string, min: number, max: number, initial: number): number;
export function integerOption(call: Call, name: string, min: number, max: number, initial: null): number | null;
export function integerOption(
  call: Call,
  name: string,
  min: number,
  max: number,
  initial: number | null,
): number | null {
  const text = call.values[name] as string | undefined;
  if (text === undefined) return initial;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, but is ${text}`);
  }
  return value;
}

/** Milliseconds of an option such as `10m`. @throws UsageError */
export function spanOption(call: Call, name: string, initial: number): number {
  const text = call.values[name] as string | undefined;
  if (text === undefined) return initial;
  const value = parseSpan(text);
  if (value === null || value === 0) throw new UsageError(`--${name} must be a span such as 30s or 5m, but is ${text}`);
  return value;
}

/** Unix milliseconds of an option such as `10m` (ago), `2026-08-05T12:00` or `yesterday`. @throws UsageError */
export function momentOption(call: Call, name: string): number | null {
  const text = call.values[name] as string | undefined;
  if (text === undefined) return null;
  const value = parseMoment(text, call.now());
  if (value === null) {
    throw new UsageError(
      `--${name} must be a span back such as 10m or 2d, or a time such as 2026-08-05T12:00, 22:00 or yesterday, ` +
        `but is ${text}`,
    );
  }
  return value;
}

/** The time from `--since` to `--until`. @throws UsageError */
export function timeRange(call: Call): TimeRange {
  const from = momentOption(call, "since"), until = momentOption(call, "until");
  if (from !== null && until !== null && from > until) throw new UsageError("--since lies after --until");
  return { from, until };
}

/** One of a closed set of words. @throws UsageError */
export function choiceOption<T extends string>(call: Call, name: string, choices: readonly T[]): T | null {
  const text = call.values[name] as string | undefined;
  if (text === undefined) return null;
  const found = choices.find((choice) => choice === text);
  if (found === undefined) {
    throw new UsageError(`--${name} must be one of ${choices.join(", ")}, but is ${text}${meant(text, choices)}`);
  }
  return found;
}

/** The format that was asked for; "table" for one of the command's own, which asks itself. @throws UsageError */
export function formatOption(call: Call, command: Command): Format {
  const asked = choiceOption(call, "format", [...FORMATS, ...command.formats ?? []]);
  return FORMATS.find((format) => format === asked) ?? "table";
}

/** Refuses arguments beyond `most`. @throws UsageError */
export function atMostArguments(call: Call, most: number, command: string): void {
  if (call.arguments.length <= most) return;
  const extra = call.arguments[most]!;
  throw new UsageError(
    most === 0
      ? `${command} takes no argument, but got ${extra}`
      : `${command} takes ${most} argument, but got also ${extra}`,
  );
}
