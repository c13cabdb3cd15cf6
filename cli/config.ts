/**
 * `config`: every setting with the layer that its value comes from, and whether the files are right.
 *
 * The daemons have an environment, which this program has not: a variable of theirs is stronger than a file.
 *
 * @module
 */
import { DEFINITIONS } from "../proto/setting_definitions.ts";
import { allNeeds, flagsOf } from "../proto/sink_needs.ts";
import { stateLayout } from "../proto/state_layout.ts";
import { meant } from "./arguments.ts";
import { type Call, CommandError, EXIT, type Exit, UsageError } from "./command.ts";
import { directoryProblem } from "./file_problem.ts";
import type { ShownColumn } from "./output.ts";
import { openRows } from "./row_output.ts";
import { findSettings } from "./settings.ts";
import { counted } from "./units.ts";

const NAMES = ["setting", "value", "from", "default", "unit", "description"];

export function config(call: Call): Exit {
  const [action, setting, extra] = call.arguments;
  if (extra !== undefined) throw new UsageError(`config takes no argument ${extra}`);
  if (action === "show") return show(call, setting);
  if (action === "check") {
    if (setting !== undefined) throw new UsageError(`config check takes no argument ${setting}`);
    return check(call);
  }
  const words = action === undefined ? "config takes show or check" : `config has no ${action}`;
  throw new UsageError(`${words}${action === undefined ? "" : meant(action, ["show", "check"])}`);
}

function show(call: Call, only: string | undefined): Exit {
  const known = Object.keys(DEFINITIONS);
  if (only !== undefined && !known.some((name) => name === only || name.startsWith(`${only}.`))) {
    throw new UsageError(`There is no setting ${only}${meant(only, known)}`);
  }
  const { values, origins } = findSettings(call), output = openRows(call, NAMES, SHOWN);
  for (const [name, definition] of Object.entries(DEFINITIONS)) {
    if (only !== undefined && name !== only && !name.startsWith(`${only}.`)) continue;
    const unit = definition.kind === "integer" ? definition.unit : "";
    output.add([
      name,
      words(values.get(name)),
      origins.get(name) ?? "default",
      words(definition.default),
      unit,
      definition.text,
    ]);
  }
  output.end();
  call.note("A variable DAEMONEYE_* of a daemon is stronger than a file, and cannot be seen from here");
  return EXIT.complete;
}

/** A value as one writes it in a file. */
function words(value: unknown): string {
  return Array.isArray(value) ? value.join(", ") : String(value ?? "");
}

/** What is wrong with the files and the places that they name. */
export function configFaults(call: Call): string[] {
  try {
    const { rulesDirs } = findSettings(call);
    return rulesDirs.flatMap((path) => {
      const problem = directoryProblem(path);
      if (problem === null) return [];
      return [
        problem === "absent"
          ? `The rules directory ${path} does not exist; create it, or set rules_dir`
          : `The rules directory ${path} cannot be read: ${problem}`,
      ];
    });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return [error.message];
  }
}

function check(call: Call): Exit {
  const faults = configFaults(call);
  const output = openRows(call, ["fault"], [{ name: "fault", title: "FAULT", least: 20 }]);
  if (faults.length > 0 || call.format !== "table") {
    for (const fault of faults) output.add([fault]);
    output.end();
  }
  call.note(faults.length === 0 ? "The configuration is right" : counted(faults.length, "fault"));
  if (faults.length === 0) noteGrants(call);
  return faults.length === 0 ? EXIT.complete : EXIT.findings;
}

/** What the agent is granted is known to it alone. */
function noteGrants(call: Call): void {
  const { agent: { sinks }, stateDir } = findSettings(call);
  const flags = flagsOf(allNeeds(sinks, stateLayout(stateDir).agent));
  if (flags.length > 0) {
    call.note(`Its sinks take ${flags.join(" ")}; 'ask sinks check' says whether the agent has that`);
  }
}

const SHOWN: readonly ShownColumn[] = [
  { name: "setting", title: "SETTING", keep: true },
  {
    name: "value",
    title: "VALUE",
    least: 12,
    show: (cell, of) => ({
      text: `${cell}${of("unit") === "" ? "" : ` ${of("unit")}`}`,
      ...(of("from") === "default" ? {} : { style: "accent" as const }),
    }),
  },
  { name: "from", title: "FROM", least: 7 },
  { name: "description", title: "WHAT IT IS", least: 16, optional: 1 },
];
