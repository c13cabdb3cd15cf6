/**
 * Where state and rules lie, from flags and files: this program has no environment.
 *
 * @module
 */
import { resolve } from "node:path";
import { loadSettings, type Settings } from "../proto/config.ts";
import { ConfigError } from "../proto/setting_values.ts";
import { type StateLayout, stateLayout } from "../proto/state_layout.ts";
import { type Call, CommandError, UsageError } from "./command.ts";
import { fileProblem } from "./file_problem.ts";
import { heldState } from "./held_state.ts";

export interface Places {
  readonly layout: StateLayout;
  readonly rulesDirs: readonly string[];
  /** What the agent gives a rule: milliseconds of one evaluation, and rows of all windows together. */
  readonly ruleDeadlineMs: number;
  readonly windowRows: number;
}

/** @throws UsageError for a bad flag, CommandError for a bad file. */
export function findPlaces(call: Call): Places {
  const settings = findSettings(call), { ruleDeadlineMs, windowRows } = settings.agent;
  return { layout: stateLayout(settings.stateDir), rulesDirs: settings.rulesDirs, ruleDeadlineMs, windowRows };
}

/** Every setting, from flags and files. @throws UsageError for a bad flag, CommandError for a bad file. */
export function findSettings(call: Call): Settings {
  const flag = (name: string): string | undefined => call.values[name] as string | undefined;
  const state = flag("state"), config = flag("config"), directory = state === undefined ? undefined : resolve(state);
  // The settings of this host say nothing of a bundle
  const isHeld = directory !== undefined && heldState(directory) !== null;
  try {
    return loadSettings({
      flags: {
        state: directory,
        config: config === undefined ? undefined : resolve(config),
        set: call.values["set"] as string[] | undefined,
      },
      env: {},
      readFile: (path) => isHeld ? null : readConfig(path, config !== undefined && path === resolve(config)),
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (error.message.startsWith("flag ") || error.message.startsWith("--set")) {
      throw new UsageError(error.message, { cause: error });
    }
    throw new CommandError(error.message, { cause: error });
  }
}

/** A file that was not named and may not be read counts as none: only the launcher's grant says which there can be. */
function readConfig(path: string, named: boolean): string | null {
  const problem = fileProblem(path);
  if (problem === null) return Deno.readTextFileSync(path);
  if (problem === "absent" || !named) return null;
  throw new CommandError(`The configuration file ${path} cannot be read: ${problem}`);
}
