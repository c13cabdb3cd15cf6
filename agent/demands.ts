/**
 * What the rules need that collectors collect on demand, and what each collector makes of that.
 *
 * The rules that judge now make the demand, drafts among them. Sessions bring it to their collectors and bring back the
 * answers. What a collector does not give, gives only since a while, or did not speak of, is a reason against the
 * completeness of the rules that read it. An answer counts until the collector gives another, also while it is away.
 *
 * @module
 */
import {
  type AttributeStanding,
  type Demand,
  HASHES,
  MAX_DEMANDED_VARIABLES,
  variableAttribute,
} from "../proto/demand.ts";
import type { ValidatedRule } from "../proto/rules/rule.ts";

/** Collectors whose answers are remembered. */
const MAX_COLLECTORS = 64;

interface Answer {
  /** Why there is none; empty when there is. */
  readonly fault: string;
  /** Of a collector from before demands: its report of sources says whether there are hashes. */
  readonly isOld?: true;
  readonly standings: ReadonlyMap<string, AttributeStanding>;
}

export class Demands {
  #demand: Demand = { hashes: false, variables: [] };
  /** Variables that find no room in the demand. */
  #tooMany: ReadonlySet<string> = new Set();
  readonly #answers = new Map<string, Answer>();

  /** What to demand: the same object as long as it is the same. */
  get demand(): Demand {
    return this.#demand;
  }

  /** From now on these rules judge. */
  take(rules: readonly ValidatedRule[]): void {
    const names = new Set<string>();
    let hashes = false;
    for (const { attributes } of rules) {
      hashes ||= attributes.hashes;
      for (const name of attributes.variables) names.add(name);
    }
    const sorted = [...names].sort(), variables = sorted.slice(0, MAX_DEMANDED_VARIABLES);
    this.#tooMany = new Set(sorted.slice(MAX_DEMANDED_VARIABLES));
    const before = this.#demand;
    if (hashes === before.hashes && variables.join() === before.variables.join()) return;
    this.#demand = { hashes, variables };
  }

  /** A collector has connected; what it said before is what it does still. */
  joined(collectorId: string): void {
    if (!this.#answers.has(collectorId)) {
      this.#put(collectorId, { fault: "has not answered yet", standings: new Map() });
    }
  }

  /** What a collector makes of the demand. */
  answered(collectorId: string, standings: readonly AttributeStanding[]): void {
    this.#put(collectorId, { fault: "", standings: new Map(standings.map((each) => [each.attribute, each])) });
  }

  /** A collector takes no demands: what it collects is what its configuration says. */
  tookNone(collectorId: string): void {
    this.#put(collectorId, { fault: "is of a version that takes no demand", isOld: true, standings: new Map() });
  }

  /** A collector gives no answer, for this reason, which goes on after its name. */
  unanswered(collectorId: string, fault: string): void {
    this.#put(collectorId, { fault, standings: new Map() });
  }

  /**
   * What a rule reads and does not get in events from this time on, of one collector, or of all when that is `null`.
   */
  lacks({ attributes }: ValidatedRule, from: number, collectorId: string | null): string[] {
    const { hashes, variables } = attributes;
    if (!hashes && variables.length === 0) return [];
    const lacks: string[] = [];
    for (const name of variables) {
      if (this.#tooMany.has(name)) {
        lacks.push(
          `rules read more than ${MAX_DEMANDED_VARIABLES} variables: ${variableAttribute(name)} is not asked for`,
        );
      }
    }
    const asked = variables.filter((name) => !this.#tooMany.has(name)).map(variableAttribute);
    for (const [id, answer] of this.#answers) {
      if (collectorId !== null && id !== collectorId) continue;
      for (const attribute of hashes && answer.isOld === undefined ? [HASHES, ...asked] : asked) {
        const lack = lackOf(answer, attribute, from);
        if (lack !== null) lacks.push(`collector ${id}: ${lack}`);
      }
    }
    return lacks;
  }

  #put(collectorId: string, answer: Answer): void {
    this.#answers.delete(collectorId);
    this.#answers.set(collectorId, answer);
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= MAX_COLLECTORS) break;
      this.#answers.delete(oldest);
    }
  }
}

function lackOf({ fault, standings }: Answer, attribute: string, from: number): string | null {
  const found = standings.get(attribute);
  if (found === undefined) {
    const why = fault === "" ? "has not answered yet" : fault;
    return `whether it collects ${attribute} is not known, as it ${why}`;
  }
  const { state, reason, since } = found;
  if (state !== "configured" && state !== "demanded") return `${attribute} is ${state}: ${reason}`;
  return from < since ? `${attribute} is collected only since ${new Date(since).toISOString()}` : null;
}
