/**
 * Values of the parameters of a query, as `--param` and `.param` take them.
 *
 * `NAME=VALUE` is a number where VALUE is written as one, else a text; `NAME:text=VALUE` is a text in any case, and
 * `NAME:time=WHEN` the Unix milliseconds of a time or of a span back.
 *
 * @module
 */
import type { ParameterValue } from "../proto/rules/sql_parameters.ts";
import { type Call, type OptionDefinition, UsageError } from "./command.ts";
import { parseMoment } from "./moment.ts";

/** Parameters of one query. */
export const MAX_PARAMETERS = 100;
/** Not 007 and not 1e5: those are rather texts, such as a version or a hash. */
const INTEGER = /^-?(?:0|[1-9][0-9]{0,17})$/, DECIMAL = /^-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}$/;

/** For the table of commands. */
export const PARAM_OPTION: OptionDefinition = {
  type: "string",
  short: "p",
  multiple: true,
  value: "NAME=VALUE",
  text: "what :NAME in the query is: a number or a text; NAME:text=VALUE and NAME:time=WHEN say which",
};

/** One parameter and its value. @throws UsageError */
export function parseParameter(assignment: string, now: number): readonly [name: string, value: ParameterValue] {
  const [, name, type, value] = /^:?([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z]+))?=(.*)$/s.exec(assignment) ?? [];
  if (name === undefined || value === undefined) {
    throw new UsageError(`A parameter is NAME=VALUE, such as pid=42, and not ${assignment}`);
  }
  switch (type) {
    case undefined:
      if (INTEGER.test(value)) return [name, BigInt(value)];
      return [name, DECIMAL.test(value) ? Number(value) : value];
    case "text":
      return [name, value];
    case "time": {
      const time = parseMoment(value, now);
      if (time !== null) return [name, Math.floor(time)];
      throw new UsageError(
        `The parameter ${name} must be a span back such as 10m or 2d, or a time such as 2026-08-05T12:00, 22:00 or yesterday, but is ${value}`,
      );
    }
  }
  throw new UsageError(`The type of the parameter ${name} is text or time, and not ${type}`);
}

/** Everything that `--param` says. @throws UsageError */
export function parametersOption(call: Call): Map<string, ParameterValue> {
  const given = (call.values["param"] ?? []) as readonly string[], values = new Map<string, ParameterValue>();
  if (given.length > MAX_PARAMETERS) throw new UsageError(`There may be ${MAX_PARAMETERS} parameters at most`);
  for (const assignment of given) {
    const [name, value] = parseParameter(assignment, call.now());
    if (values.has(name)) throw new UsageError(`The parameter ${name} is given twice`);
    values.set(name, value);
  }
  return values;
}
