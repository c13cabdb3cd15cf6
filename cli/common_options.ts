/**
 * Options that several commands have.
 *
 * @module
 */
import type { OptionDefinition, Options } from "./command.ts";

export const TIME_OPTIONS: Options = {
  since: { type: "string", value: "WHEN", text: "from then on: 10m (ago), 2d, 2026-08-05T12:00, 22:00, yesterday" },
  until: { type: "string", value: "WHEN", text: "up to then" },
};

export const WIDE_OPTION: OptionDefinition = {
  type: "boolean",
  short: "w",
  text: "more columns: group, login, tty, kind of file, control group, directory, executable, script",
};

export const OSQUERY_OPTION: OptionDefinition = {
  type: "boolean",
  text: "name the tables and columns of osquery, as far as there are any (docs/osquery.md)",
};
