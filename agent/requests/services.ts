/**
 * What operations of `ask` work on: the parts of the agent that they may reach.
 *
 * An operation that needs another part gets a member here, which `main.ts` fills.
 *
 * @module
 */
import type { AlertDesk } from "../alerts/desk.ts";
import type { AskedAnalyses } from "../analysis/service.ts";
import type { Calls } from "../rpc/calls.ts";
import type { SinkReloader } from "../sink_reloader.ts";
import type { Distributor } from "../tasks/distributor.ts";
import type { Answer } from "./operation.ts";
import type { Responding } from "../responding.ts";
import type { AskedRules, RulesInUse } from "./asked_rules.ts";
import type { Appliers, AskedSettings, LowerLayers } from "./asked_settings.ts";

export interface Services {
  /** How the agent is, in short. */
  readonly status: () => Answer;
  readonly rules: RulesInUse;
  readonly askedRules: AskedRules;
  readonly askedSettings: AskedSettings;
  /** The settings below those, and how a value takes effect. */
  readonly settings: LowerLayers;
  readonly appliers: Appliers;
  /** Called when settings changed: what the ledger has of them is renewed. */
  readonly settingsChanged: () => void;
  /** Calls to collectors, and to the supervisor for them. */
  readonly calls: Pick<Calls, "call">;
  readonly tasks: Pick<Distributor, "run">;
  /** Alerts, silences, dead letters and sinks. */
  readonly alerts: AlertDesk;
  /** Reads the configuration again for its sinks. */
  readonly sinkReloader: Pick<SinkReloader, "reload" | "check">;
  readonly responding: Responding;
  readonly analyses: AskedAnalyses;
}
