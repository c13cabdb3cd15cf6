/**
 * Rows of a command in the format that was asked for, all of their columns or those that `--columns` names.
 *
 * @module
 */
import { meant } from "./arguments.ts";
import { type Call, type OptionDefinition, UsageError } from "./command.ts";
import { openOutput, type RowOutput, type ShownColumn } from "./output.ts";

/** For the table of commands. */
export const COLUMNS_OPTION: OptionDefinition = {
  type: "string",
  value: "LIST",
  text: "these columns, in this order, such as time,pid,command_line",
};

/**
 * Where rows of `names` go. Programs get the columns that were chosen, eyes see those of them in `shown` as they stand
 * there and the others plainly.
 *
 * @throws UsageError with the columns that there are
 */
export function openRows(call: Call, names: readonly string[], shown: readonly ShownColumn[]): RowOutput {
  const write = (text: string): void => call.out.write(text);
  const chosen = chosenColumns(call, names);
  if (chosen === null) return openOutput(call.format, names, shown, call.screen, write);
  if (call.format === "table") {
    const columns = chosen.map((name): ShownColumn =>
      shown.find((column) => column.name === name) ?? { name, title: name.toUpperCase() }
    );
    return openOutput("table", names, columns, call.screen, write);
  }
  const places = chosen.map((name) => names.indexOf(name));
  const output = openOutput(call.format, chosen, [], call.screen, write);
  return { add: (row) => output.add(places.map((place) => row[place] ?? null)), end: () => output.end() };
}

/** The columns that `--columns` names; `null` without it. @throws UsageError */
export function chosenColumns(call: Call, names: readonly string[]): string[] | null {
  const text = call.values["columns"] as string | undefined;
  if (text === undefined) return null;
  const chosen = text.split(",").map((name) => name.trim());
  const wrong = chosen.find((name) => !names.includes(name));
  if (wrong !== undefined) {
    const near = meant(wrong, names);
    throw new UsageError(`There is no column "${wrong}"${near === "" ? `; there are ${names.join(", ")}` : near}`);
  }
  const twice = chosen.find((name, place) => chosen.indexOf(name) !== place);
  if (twice !== undefined) throw new UsageError(`--columns names ${twice} twice`);
  return chosen;
}
