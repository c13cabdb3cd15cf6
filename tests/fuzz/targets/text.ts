/**
 * Text of files and programs: recorded ones, changed.
 *
 * A line in the table of a parser is all that it needs to be fed.
 *
 * @module
 */
import { type FuzzTarget, must } from "../fuzz.ts";
import { mutate } from "../mutate.ts";
import { checkValues } from "./records.ts";

export interface TextParser {
  readonly name: string;
  /** Texts as they really are. */
  readonly samples: readonly string[];
  /** The first `length` bytes are the text; after them stands what was read before. */
  readonly parse: (bytes: Uint8Array, length: number) => unknown;
  /** Errors that it may throw. */
  readonly throws?: readonly (new (...args: never[]) => Error)[];
}

/** Bytes behind the text: what a parser must not look at, made so that it would tell. */
const BEHIND = new TextEncoder().encode(") R 1 1 1 1 1 1\nUid:\t7\t7\t7\t7\nGid:\t7\t7\t7\t7\n".repeat(4));
const encoder = new TextEncoder(), decoder = new TextDecoder();

export function textTarget(group: string, parser: TextParser, share: number): FuzzTarget {
  const samples = parser.samples.map((sample) => encoder.encode(sample));
  return {
    name: `${group}: ${parser.name}`,
    share,
    open: () => (random) => {
      const text = mutate(random, random.pick(samples));
      const buffer = new Uint8Array(text.length + BEHIND.length);
      buffer.set(text);
      const alone = buffer.slice(0, text.length);
      buffer.set(BEHIND, text.length);
      return {
        show: () => JSON.stringify(decoder.decode(text)),
        run: () => {
          const value = outcome(parser, buffer, text.length);
          must(value === outcome(parser, alone, text.length), "what stands behind the text makes no difference");
        },
      };
    },
  };
}

function outcome({ parse, throws = [] }: TextParser, bytes: Uint8Array, length: number): string {
  try {
    const value = parse(bytes, length);
    checkValues(value, length);
    return JSON.stringify(value, (_, member) => typeof member === "bigint" ? `${member}n` : member) ?? "undefined";
  } catch (error) {
    if (throws.some((known) => error instanceof known)) return String(error);
    throw error;
  }
}
