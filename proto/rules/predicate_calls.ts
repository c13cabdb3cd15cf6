/**
 * Functions of one row, as far as forms have them. Their patterns, networks and spans are literals, read once.
 *
 * @module
 */
import type { SqlValue } from "../event_row.ts";
import { asciiLower, asciiUpper } from "./predicate.ts";
import { characterCount, compareValues, hexOf, replaced, substring, trimmed } from "./predicate_values.ts";
import { inNetwork, parseNetwork } from "./network.ts";
import { compileRegex } from "./regex.ts";
import type { RowView } from "./row_view.ts";
import type { FormFunction } from "./sql_functions.ts";
import { UNDECIDED } from "./undecided.ts";
import { parseSpan, pathBasename, withinSpan } from "./user_functions.ts";

export type Predicate = (row: RowView) => boolean;
export type Evaluate = (row: RowView) => SqlValue;

function untilNul(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/**
 * A call of a function; `values` are its arguments, `first` whether the first is true, which `iif` asks, and `literal` the
 * one that is a text in the query.
 */
export function callValue(
  name: FormFunction,
  values: readonly Evaluate[],
  first: () => Predicate,
  literal: string,
): Evaluate {
  const [a, b, c] = values as [Evaluate, Evaluate, Evaluate];
  /** Of texts, NULL when one is NULL. */
  const texts = (compute: (...texts: string[]) => SqlValue): Evaluate => (row) => {
    const found: string[] = [];
    for (const each of values) {
      const text = each(row);
      if (text === null) return null;
      found.push(String(text));
    }
    return compute(...found);
  };
  switch (name) {
    case "lower":
      return texts(asciiLower);
    case "upper":
      return texts(asciiUpper);
    case "length":
      return texts((text) => characterCount(untilNul(text)));
    case "substr":
      return (row) => {
        const text = a(row), from = b(row), count = values.length > 2 ? c(row) : Infinity;
        if (text === null || from === null || count === null) return null;
        return substring(untilNul(String(text)), from as number, count as number);
      };
    case "instr":
      return texts((text, piece) => {
        const at = text.indexOf(piece);
        return at < 0 ? 0 : characterCount(text.slice(0, at)) + 1;
      });
    case "trim":
    case "ltrim":
    case "rtrim":
      return texts((text, characters) =>
        trimmed(text, untilNul(characters ?? " "), name !== "rtrim", name !== "ltrim")
      );
    case "replace":
      return texts(replaced);
    case "hex":
      return hexValue(a);
    case "coalesce":
    case "ifnull":
      return (row) => {
        for (let i = 0; i < values.length; i++) {
          const found = values[i]!(row);
          if (found !== null) return found;
        }
        return null;
      };
    case "nullif":
      return (row) => {
        const found = a(row);
        return found === b(row) ? null : found;
      };
    case "iif": {
      const test = first();
      return (row) => test(row) ? b(row) : c(row);
    }
    case "abs":
      return (row) => {
        const found = a(row);
        return found === null ? null : Math.abs(found as number);
      };
    case "path_basename":
      return texts(pathBasename);
    case "regexp": {
      const regex = compileRegex(literal);
      return (row) => {
        const found = b(row);
        if (found === null) return null;
        const answer = regex.test(String(found));
        // SQLite does not know either: it says so with the row's length, as a fault of the row
        if (answer === null) throw UNDECIDED;
        return answer ? 1 : 0;
      };
    }
    case "cidr_match": {
      const network = parseNetwork(literal)!;
      return (row) => {
        const found = a(row);
        return found === null ? null : inNetwork(String(found), network) ? 1 : 0;
      };
    }
    case "within": {
      const ms = parseSpan(literal)!;
      return (row) => {
        const time = a(row), other = c(row);
        return time === null || other === null ? null : withinSpan(time as number, ms, other as number) ? 1 : 0;
      };
    }
    case "min":
    case "max": {
      const sign = name === "min" ? -1 : 1;
      return (row) => {
        let best: SqlValue = null;
        for (let i = 0; i < values.length; i++) {
          const found = values[i]!(row);
          if (found === null) return null;
          if (best === null || compareValues(found, best) * sign > 0) best = found;
        }
        return best;
      };
    }
  }
}

/** hex() of NULL is an empty text. */
function hexValue(item: Evaluate): Evaluate {
  return (row) => {
    const found = item(row);
    return found === null ? "" : hexOf(String(found));
  };
}
