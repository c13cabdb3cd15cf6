/**
 * What the agent is told before anything is opened: settings, places, the token, and what operators asked for before.
 *
 * @module
 */
import { type DaemonFlags, loadSettings, type Settings, settingsEnvironment } from "../../proto/config.ts";
import { type StateLayout, stateLayout } from "../../proto/state_layout.ts";
import { readFileIfThere, readToken } from "../files.ts";
import { Journal } from "../journal.ts";
import { AskedRules } from "../requests/asked_rules.ts";
import { AskedSettings, type LowerLayers } from "../requests/asked_settings.ts";

export interface AgentInputs {
  readonly settings: Settings;
  readonly layout: StateLayout;
  readonly token: string;
  readonly journal: Journal;
  /** The settings below those that operators asked for. */
  readonly lower: LowerLayers;
  readonly askedSettings: AskedSettings;
  readonly askedRules: AskedRules;
  /** Reads the files of settings again. @throws ConfigError */
  readonly readFiles: () => Settings;
}

/** @throws ConfigError */
export function readInputs(flags: DaemonFlags): AgentInputs {
  const env = settingsEnvironment((name) => Deno.env.get(name));
  const readFiles = (): Settings => loadSettings({ flags, env, readFile: readFileIfThere });
  const files = readFiles(), layout = stateLayout(files.stateDir), journal = new Journal();
  const token = readToken(layout.token);
  const askedSettings = new AskedSettings(layout.askedSettings, journal);
  return {
    settings: loadSettings({ flags, env, readFile: readFileIfThere, asked: askedSettings.layer() }),
    layout,
    token,
    journal,
    lower: { values: files.values, origins: files.origins },
    askedSettings,
    askedRules: new AskedRules(layout.askedRules, journal),
    readFiles,
  };
}
