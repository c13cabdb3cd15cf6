/**
 * Rules that were made ready while others judge, and wait for their turn.
 *
 * They hold memory of SQLite: whoever does not put them in the place of the others closes them.
 *
 * @module
 */
import type { CollectedLane } from "../proto/rules/collected_lane.ts";
import type { RuleEngine } from "../proto/rules/engine.ts";
import type { WindowLane } from "../proto/rules/window_lane.ts";
import type { LoadedRules } from "./loaded_rules.ts";

/** Rules that are ready to take the place of others. */
export class PreparedRules {
  constructor(
    readonly loaded: LoadedRules,
    readonly engine: RuleEngine,
    readonly window: WindowLane | null,
    /** Whether the windows are those of the rules that judge now: no rule over one came, changed or went. */
    readonly isSameWindow: boolean,
    readonly collected: CollectedLane | null,
  ) {}

  /** Only for what did not take the place of anything. */
  close(): void {
    this.engine.close();
    this.collected?.[Symbol.dispose]();
    if (!this.isSameWindow) this.window?.[Symbol.dispose]();
  }
}

/** Which windows there are: the same text means that each can be kept as it is. What a draft found is not known as raised. */
export function windowsOf({ active, exceptions }: LoadedRules): string {
  return active.filter((rule) => rule.windowMs !== null && rule.collected === undefined).map((rule) =>
    `${rule.id} ${rule.hash} ${rule.status} ${exceptions.versionFor(rule)}\n`
  ).join("");
}
