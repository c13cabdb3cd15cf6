/**
 * What an operation of `ask` is: its arguments, its words for people, and what it does.
 *
 * An argument's values are checked twice by the same table: where they are typed, for a quick word, and by the agent,
 * which trusts nobody.
 *
 * @module
 */
import type { Json } from "../../proto/ledger/canonical_json.ts";
import type { RequestArguments } from "../../proto/request.ts";
import { printable } from "../../proto/printable.ts";
import type { Services } from "./services.ts";

/** Who asks: the owner of the file. */
export interface Actor {
  readonly userId: number;
  /** As the events of this host have it; `null` when none of the last ones is of that user. */
  readonly name: string | null;
}

/** How an actor is written where people and the ledger read it. */
export function actorWords({ userId, name }: Actor): string {
  return name === null ? `user ${userId}` : `user ${userId} (${printable(name)})`;
}

/** Nothing was done, for a reason that who asks can mend. */
export class RefusedError extends Error {
  override name = "RefusedError";
}

/** It was tried. The text says what is so now. */
export class FailedError extends Error {
  override name = "FailedError";
}

export interface Answer {
  readonly text: string;
  /** The same for programs. */
  readonly value?: Json;
  readonly degraded?: boolean;
}

/** What an operation gets beside its arguments. */
export interface Call {
  readonly actor: Actor;
  readonly services: Services;
  /** Tells who asks how far it is. */
  readonly progress: (text: string) => void;
  /** Aborted when who asked no longer waits, or too long has. */
  readonly signal: AbortSignal;
}

export interface Argument {
  /** `word` and `words` are given by their place, `option` by `--NAME TEXT`. */
  readonly kind: "word" | "words" | "option";
  readonly required: boolean;
  readonly help: string;
  /** What a value must be, for `check`; `null` where any text will do. */
  readonly form: RegExp | null;
}

export type Arguments = Readonly<Record<string, Argument>>;

/** Values of arguments as an operation gets them. */
type Values<A extends Arguments> = {
  readonly [N in keyof A]: A[N]["kind"] extends "words" ? readonly string[]
    : A[N]["required"] extends true ? string
    : string | null;
};

export interface Operation {
  readonly summary: string;
  readonly arguments: Arguments;
  /** Whether it changes anything: then it is done only once the ledger's note of it is kept, and one at a time. */
  readonly changes: boolean;
  /** Whether it changes nothing of the agent, so that none need wait for another: a few may take a minute each. */
  readonly isElsewhere?: boolean;
  /** @throws RefusedError, FailedError */
  readonly run: (args: RequestArguments, call: Call) => Promise<Answer> | Answer;
}

/** An entry of the table: the arguments say by their kinds what `run` gets. */
export function operation<const A extends Arguments>(
  { run, ...rest }: Omit<Operation, "run" | "arguments"> & {
    readonly arguments: A;
    readonly run: (values: Values<A>, call: Call) => Promise<Answer> | Answer;
  },
): Operation {
  return { ...rest, run: (args, call) => run(checkedArguments(args, rest.arguments) as Values<A>, call) };
}

/** All arguments of an operation, with `null` or an empty list for those that are not given. @throws RefusedError */
export function checkedArguments(
  given: RequestArguments,
  wanted: Arguments,
): Record<string, string | readonly string[] | null> {
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(wanted, name));
  if (unknown !== undefined) throw new RefusedError(`It takes no ${unknown}`);
  return Object.fromEntries(
    Object.entries(wanted).map(([name, argument]) => {
      const value = Object.hasOwn(given, name) ? given[name]! : argument.kind === "words" ? [] : null;
      if (argument.required && (value === null || value.length === 0)) {
        throw new RefusedError(`${usageOf(name, argument)} is missing: ${argument.help}`);
      }
      if (value !== null && Array.isArray(value) !== (argument.kind === "words")) {
        throw new RefusedError(`${name} is not what it should be: ${argument.help}`);
      }
      for (const text of typeof value === "string" ? [value] : value ?? []) {
        if (argument.form !== null && !argument.form.test(text)) {
          throw new RefusedError(`${name} is not what it should be: ${argument.help}, not ${JSON.stringify(text)}`);
        }
      }
      return [name, value];
    }),
  );
}

/** `RULE`, `KEY=VALUE...` or `--reason TEXT`, in brackets where it may be left out. */
export function usageOf(name: string, { kind, required }: Argument): string {
  const text = kind === "option"
    ? `--${name} TEXT`
    : kind === "words"
    ? `${name.toUpperCase()}...`
    : name.toUpperCase();
  return required ? text : `[${text}]`;
}

/** What was asked for, in one line, for the ledger and the log. */
export function requestWords(operation: string, args: RequestArguments): string {
  const words = Object.entries(args).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return printable([operation, ...words].join(" "));
}
