/**
 * Rules that operators turned off while the agent ran, and on again.
 *
 * They are overrides after those of the rules directories, so `rules list` and `health` show such a rule as disabled, by
 * whom and why. The file is written before the rules are loaded again, and put back when that fails: what judges and
 * what is kept for the next start are the same.
 *
 * @module
 */
import { printable } from "../../proto/printable.ts";
import type { Override } from "../../proto/rules/overrides.ts";
import { suggestion } from "../../proto/rules/sql_refused.ts";
import type { RuleStatus } from "../../proto/status.ts";
import type { Journal } from "../journal.ts";
import { checkedMembers, readAsked, writeAsked } from "./asked_file.ts";
import { type Actor, actorWords, FailedError, RefusedError } from "./operation.ts";

/** More are better turned off by an `overrides.yml`. */
const MAX_DISABLED = 1_000;
/** As in a file of overrides. */
const MAX_REASON = 512;
const FORM = 1;

interface Disabled {
  readonly by: string;
  readonly reason: string;
  readonly time: number;
}

/** The agent's rules, as far as they are needed here. */
export interface RulesInUse {
  readonly statuses: () => readonly RuleStatus[];
  /** Loads all rules again; whether the new ones judge. */
  readonly reload: () => Promise<boolean>;
}

export class AskedRules {
  readonly #path: string;
  #disabled: ReadonlyMap<string, Disabled>;

  /** Reads what was asked for before. */
  constructor(path: string, journal: Journal) {
    this.#path = path;
    this.#disabled = readAsked(path, disabledOf, journal) ?? new Map();
  }

  /** Ids of the rules that are turned off here. */
  get disabled(): string[] {
    return [...this.#disabled.keys()];
  }

  overrides(): Override[] {
    return [...this.#disabled].map(([id, { by, reason, time }]): Override => ({
      file: `a request of ${by} at ${new Date(time).toISOString()}`,
      position: { line: 1, column: 1 },
      id,
      state: "disabled",
      severity: null,
      reason,
    }));
  }

  /** @throws RefusedError, and FailedError when all is as it was before */
  async disable(id: string, reason: string, actor: Actor, rules: RulesInUse): Promise<string> {
    if (reason.trim() === "" || reason.length > MAX_REASON) {
      throw new RefusedError(`A reason has 1 to ${MAX_REASON} characters, and says why the rule is turned off`);
    }
    const rule = known(id, rules);
    if (rule.state === "disabled") throw new RefusedError(`The rule ${id} is disabled already: ${rule.reason}`);
    if (this.#disabled.size >= MAX_DISABLED) {
      throw new RefusedError(`${MAX_DISABLED} rules are turned off by requests; write an overrides.yml instead`);
    }
    const entry = { by: actorWords(actor), reason: printable(reason.trim()), time: Date.now() };
    await this.#become(new Map([...this.#disabled, [id, entry]]), rules);
    return `The rule ${id} is disabled, also after a restart`;
  }

  /** @throws RefusedError, and FailedError when all is as it was before */
  async enable(id: string, rules: RulesInUse): Promise<string> {
    if (!this.#disabled.has(id)) {
      const { state, reason, file } = known(id, rules);
      throw new RefusedError(
        state === "disabled"
          ? `The rule ${id} is not disabled by a request: ${reason}; change that file (${file})`
          : `The rule ${id} is not disabled: it is ${state}${reason === null ? "" : ` (${reason})`}`,
      );
    }
    await this.#become(new Map([...this.#disabled].filter(([each]) => each !== id)), rules);
    const rule = rules.statuses().find((each) => each.id === id);
    if (rule === undefined) return `There is no rule ${id} any more; that it was disabled is forgotten`;
    const why = rule.reason === null ? "" : `: ${rule.reason}`;
    return rule.state === "disabled"
      ? `The rule ${id} is no longer disabled by a request, but still is${why}`
      : `The rule ${id} is ${rule.state}${why}`;
  }

  async #become(next: ReadonlyMap<string, Disabled>, rules: RulesInUse): Promise<void> {
    const before = this.#disabled;
    this.#write(next);
    this.#disabled = next;
    if (await rules.reload()) return;
    this.#disabled = before;
    this.#write(before);
    throw new FailedError("The rules could not be loaded again, and stay as they are; the agent's notices say why");
  }

  #write(disabled: ReadonlyMap<string, Disabled>): void {
    try {
      writeAsked(this.#path, { version: FORM, disabled: Object.fromEntries(disabled) });
    } catch (cause) {
      throw new FailedError(`It cannot be kept: ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
  }
}

function known(id: string, rules: RulesInUse): RuleStatus {
  const statuses = rules.statuses(), rule = statuses.find((each) => each.id === id);
  if (rule === undefined) {
    throw new RefusedError(`There is no rule ${id}${suggestion(id, statuses.map((each) => each.id))}`);
  }
  return rule;
}

/** @throws TypeError */
function disabledOf(json: unknown): Map<string, Disabled> {
  const { version, disabled } = checkedMembers<{ version: number; disabled: object }>(
    json,
    { version: "number", disabled: "object" },
    "it",
  );
  if (version !== FORM) throw new TypeError(`it is of form ${version}, and form ${FORM} is known here`);
  return new Map(
    Object.entries(disabled).map(([id, entry]) => [
      id,
      checkedMembers<Disabled>(entry, { by: "string", reason: "string", time: "number" }, id),
    ]),
  );
}
