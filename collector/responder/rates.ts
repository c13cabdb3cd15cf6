/**
 * How often responses are given: in all, and for each rule that they answer.
 *
 * @module
 */
import type { ResponsePolicy } from "../../proto/response/policy.ts";

const MINUTE_MS = 60_000;

export class ResponseRates {
  readonly #given: { readonly at: number; readonly rule: string }[] = [];

  /** @param clock milliseconds that never go back */
  constructor(private readonly clock: () => number = () => performance.now()) {}

  /** Counts one more; or says why it is too many, and counts nothing. */
  take(
    rule: string,
    { perMinute, perRulePerMinute }: Pick<ResponsePolicy, "perMinute" | "perRulePerMinute">,
  ): string | null {
    const now = this.clock(), given = this.#given;
    while (given.length > 0 && now - given[0]!.at >= MINUTE_MS) given.shift();
    if (given.length >= perMinute) return `${given.length} were given within a minute; the policy allows ${perMinute}`;
    const ofRule = given.filter((each) => each.rule === rule).length;
    if (ofRule >= perRulePerMinute) {
      const which = rule === "" ? "without a rule" : `for rule ${rule}`;
      return `${ofRule} ${which} were given within a minute; the policy allows ${perRulePerMinute}`;
    }
    given.push({ at: now, rule });
    return null;
  }
}
