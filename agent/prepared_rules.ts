/**
 * Rules that were made ready while others judge, and wait for their turn.
 *
 * They hold memory of SQLite: whoever does not put them in the place of the others closes them.
 *
 * @module
 */
import type { RuleEngine } from "../proto/rules/engine.ts";
import type { WindowLane } from "../proto/rules/window_lane.ts";
import type { LoadedRules } from "./rules_loader.ts";

/** Rules that are ready to take the place of others. */
export class PreparedRules {
  constructor(
    readonly loaded: LoadedRules,
    readonly engine: RuleEngine,
    readonly window: WindowLane | null,
    /** Whether the windows are those of the rules that judge now: no rule over one came, changed or went. */
    readonly isSameWindow: boolean,
  ) {}

  /** Only for what did not take the place of anything. */
  close(): void {
    this.engine.close();
    if (!this.isSameWindow) this.window?.[Symbol.dispose]();
  }
}

/** Which windows there are: the same text means that each can be kept as it is. What a draft found is not known as raised. */
export function windowsOf({ active }: LoadedRules): string {
  return active.filter((rule) => rule.windowMs !== null).map(({ id, hash, status }) => `${id} ${hash} ${status}\n`)
    .join("");
}
