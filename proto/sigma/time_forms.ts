/**
 * Forms of what Sigma asks of a time: its minute, hour, day, week, month, year.
 *
 * @module
 */
import { type ArithmeticOperator, columnAt, type CompareOperator, type Form } from "../rules/predicate.ts";
import { columnForm, compare, isNotTrue, literal, Unaskable } from "./forms.ts";
import type { TimePart } from "./modifiers.ts";

const DAY_MS = 86_400_000;

function arithmetic(left: Form, operator: ArithmeticOperator, right: Form | number): Form {
  return { kind: "arithmetic", operator, left, right: typeof right === "number" ? literal(right) : right };
}

/**
 * A part of a time in UTC, compared with a number. Columns hold milliseconds since 1970; years run from 1970 on.
 *
 * Days become years, months and days of the month by whole numbers alone: H. Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms" (`civil_from_days`), in which a year begins in March.
 *
 * @throws Unaskable
 */
export function timeForm(place: number, part: TimePart, operator: CompareOperator, value: number): Form {
  const { name, type } = columnAt(place);
  if (type !== "INTEGER" || !/(^|_)time$/.test(name)) throw new Unaskable(`${name} is no time`);
  const time = columnForm(place);
  if (part === "year") return yearForm(time, operator, value);
  const [least, most] = RANGES[part];
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new Unaskable(`${part} is a whole number from ${least} to ${most}, and never ${value}`);
  }
  return compare(partForm(time, part), operator, literal(value));
}

const RANGES = { minute: [0, 59], hour: [0, 23], day: [1, 31], week: [1, 53], month: [1, 12] } as const;

function yearForm(time: Form, operator: CompareOperator, year: number): Form {
  if (!Number.isInteger(year) || year < 1970 || year > 9999) {
    throw new Unaskable(`year is a whole number from 1970 to 9999, and never ${year}`);
  }
  const begin = literal(Date.UTC(year, 0, 1)), end = literal(Date.UTC(year + 1, 0, 1));
  switch (operator) {
    case "<":
      return compare(time, "<", begin);
    case "<=":
      return compare(time, "<", end);
    case ">":
      return compare(time, ">=", end);
    case ">=":
      return compare(time, ">=", begin);
    default:
      return { kind: "and", items: [compare(time, ">=", begin), compare(time, "<", end)] };
  }
}

function partForm(time: Form, part: Exclude<TimePart, "year">): Form {
  switch (part) {
    case "minute":
      return arithmetic(arithmetic(time, "/", 60_000), "%", 60);
    case "hour":
      return arithmetic(arithmetic(time, "/", 3_600_000), "%", 24);
    case "day": {
      const day = dayOfMarchYear(arithmetic(time, "/", DAY_MS)), month = marchMonth(day);
      const before = arithmetic(arithmetic(arithmetic(month, "*", 153), "+", 2), "/", 5);
      return arithmetic(arithmetic(day, "-", before), "+", 1);
    }
    case "month": {
      const month = marchMonth(dayOfMarchYear(arithmetic(time, "/", DAY_MS)));
      return arithmetic(arithmetic(arithmetic(month, "+", 2), "%", 12), "+", 1);
    }
    case "week": {
      // The week of a day is that of its Thursday, and 1970 began with one
      const days = arithmetic(time, "/", DAY_MS);
      const thursday = arithmetic(arithmetic(days, "-", arithmetic(arithmetic(days, "+", 3), "%", 7)), "+", 3);
      // Counted from January: a year of March days begins on day 306 with January
      const fromMarch = dayOfMarchYear(thursday);
      const january: Form = compare(fromMarch, ">=", literal(306));
      const sinceJanuary: Form = {
        kind: "case",
        subject: null,
        arms: [{ when: january, then: arithmetic(fromMarch, "-", 306) }],
        otherwise: arithmetic(arithmetic(fromMarch, "+", 59), "+", leapDay(thursday)),
      };
      return arithmetic(arithmetic(sinceJanuary, "/", 7), "+", 1);
    }
  }
}

/** Days since the begin of a cycle of 400 years, each of which begins in March. */
function dayOfCycle(days: Form): Form {
  return arithmetic(arithmetic(days, "+", 719_468), "%", 146_097);
}

function yearOfCycle(day: Form): Form {
  const less = arithmetic(arithmetic(day, "-", arithmetic(day, "/", 1_460)), "+", arithmetic(day, "/", 36_524));
  return arithmetic(arithmetic(less, "-", arithmetic(day, "/", 146_096)), "/", 365);
}

/** Days since the first of March, from 0. */
function dayOfMarchYear(days: Form): Form {
  const day = dayOfCycle(days), year = yearOfCycle(day);
  const before = arithmetic(
    arithmetic(arithmetic(year, "*", 365), "+", arithmetic(year, "/", 4)),
    "-",
    arithmetic(year, "/", 100),
  );
  return arithmetic(day, "-", before);
}

/** March is 0, February 11. */
function marchMonth(day: Form): Form {
  return arithmetic(arithmetic(arithmetic(day, "*", 5), "+", 2), "/", 153);
}

/** 1 in a leap year, for days from March on: the year of the cycle is the year, modulo 400. */
function leapDay(days: Form): Form {
  const year = yearOfCycle(dayOfCycle(days));
  const divides = (by: number): Form => compare(arithmetic(year, "%", by), "=", literal(0));
  const leap: Form = {
    kind: "or",
    items: [divides(400), { kind: "and", items: [divides(4), isNotTrue(divides(100))] }],
  };
  return { kind: "case", subject: null, arms: [{ when: leap, then: literal(1) }], otherwise: literal(0) };
}
