/**
 * Which techniques of ATT&CK rules look for, by their tags, and which none does.
 *
 * A tag says what a rule is meant for, not that it finds every way to do it: a technique with a rule is not one that
 * cannot be missed, one without is.
 *
 * @module
 */
import { ATTACK_VERSION, type Tactic, TACTICS, techniqueName } from "./attack.ts";

/** What is looked at of a rule. */
export interface CoveringRule {
  readonly id: string;
  readonly tags: readonly string[];
  readonly isSigma: boolean;
}

export interface TechniqueCoverage {
  /** `T1003`. */
  readonly id: string;
  /** Empty for one that is not known here. */
  readonly name: string;
  /** Ids of the rules, those of Sigma among them. */
  readonly rules: readonly string[];
  readonly sigma: number;
  /** Sub-techniques that rules name, such as `T1003.008`, with how many. */
  readonly parts: ReadonlyMap<string, number>;
}

export interface TacticCoverage {
  readonly tactic: Tactic;
  /** Ids of the rules that name it or one of its techniques. */
  readonly rules: readonly string[];
  readonly sigma: number;
  /** With a rule, then those without. */
  readonly techniques: readonly TechniqueCoverage[];
  readonly covered: number;
  /** Techniques of it that no rule is for; 0 for what does not happen on the host. */
  readonly gaps: number;
}

export interface Coverage {
  readonly tactics: readonly TacticCoverage[];
  /** Rules that name no tactic and no technique. */
  readonly untagged: readonly string[];
}

const TECHNIQUE = /^attack\.(t\d{4})(?:\.(\d{3}))?$/;

interface Found {
  readonly rules: Map<string, CoveringRule>;
  readonly parts: Map<string, number>;
}

/** What these rules cover. */
export function coverageOf(rules: readonly CoveringRule[]): Coverage {
  const byTactic = new Map(TACTICS.map(({ tag }) => [tag, new Map<string, Found>()]));
  const naming = new Map(TACTICS.map(({ tag }) => [tag, new Map<string, CoveringRule>()]));
  const untagged: string[] = [];
  for (const rule of rules) {
    // Sigma writes tactics with hyphens as well
    const tags = rule.tags.map((tag) => tag.toLowerCase()),
      named = TACTICS.filter(({ tag }) =>
        tags.includes(`attack.${tag}`) || tags.includes(`attack.${tag.replaceAll("_", "-")}`)
      );
    const matches = tags.map((tag) => TECHNIQUE.exec(tag)).filter((match) => match !== null);
    if (named.length === 0 && matches.length === 0) untagged.push(rule.id);
    for (const { tag } of named) naming.get(tag)!.set(rule.id, rule);
    for (const [, base, part] of matches) {
      const id = base!.toUpperCase(), known = TACTICS.filter((tactic) => tactic.techniques.includes(id));
      const both = known.filter((tactic) => named.includes(tactic));
      for (const { tag } of both.length > 0 ? both : known.length > 0 ? known : named) {
        const techniques = byTactic.get(tag)!;
        let found = techniques.get(id);
        if (found === undefined) techniques.set(id, found = { rules: new Map(), parts: new Map() });
        found.rules.set(rule.id, rule);
        naming.get(tag)!.set(rule.id, rule);
        if (part !== undefined) found.parts.set(`${id}.${part}`, (found.parts.get(`${id}.${part}`) ?? 0) + 1);
      }
    }
  }
  return {
    tactics: TACTICS.map((tactic) => tacticOf(tactic, byTactic.get(tactic.tag)!, naming.get(tactic.tag)!)),
    untagged,
  };
}

function tacticOf(
  tactic: Tactic,
  found: ReadonlyMap<string, Found>,
  naming: ReadonlyMap<string, CoveringRule>,
): TacticCoverage {
  const ids = [...new Set([...tactic.isSeen ? tactic.techniques : [], ...found.keys()])].sort();
  const techniques = ids.map((id): TechniqueCoverage => {
    const { rules, parts } = found.get(id) ?? { rules: new Map<string, CoveringRule>(), parts: new Map() };
    return { id, name: techniqueName(id), rules: [...rules.keys()].sort(), sigma: sigmaOf(rules), parts };
  });
  const covered = techniques.filter(({ rules }) => rules.length > 0);
  return {
    tactic,
    rules: [...naming.keys()].sort(),
    sigma: sigmaOf(naming),
    techniques: [...covered, ...techniques.filter(({ rules }) => rules.length === 0)],
    covered: covered.length,
    gaps: techniques.length - covered.length,
  };
}

function sigmaOf(rules: ReadonlyMap<string, CoveringRule>): number {
  return [...rules.values()].filter(({ isSigma }) => isSigma).length;
}

/**
 * A layer for MITRE's ATT&CK Navigator, its layer format 4.5: the score of a technique is the number of rules, and those
 * without a rule are there with 0.
 *
 * https://github.com/mitre-attack/attack-navigator/blob/master/layers/spec/v4.5/layerformat.md
 */
export function navigatorLayer({ tactics }: Coverage, name: string): Record<string, unknown> {
  const techniques = tactics.flatMap(({ tactic: { tag }, techniques }) =>
    techniques.flatMap(({ id, rules, sigma, parts }) => {
      const entry = (techniqueID: string, score: number, comment: string, more: Record<string, unknown> = {}) => ({
        techniqueID,
        tactic: tag.replaceAll("_", "-"),
        score,
        comment,
        enabled: true,
        ...more,
      });
      const comment = rules.length === 0 ? "no rule" : `${rules.join(", ")}${sigma === 0 ? "" : `; ${sigma} of Sigma`}`;
      return [
        entry(id, rules.length, comment, { showSubtechniques: parts.size > 0 }),
        ...[...parts].sort().map(([part, count]) => entry(part, count, "")),
      ];
    })
  );
  const most = techniques.reduce((most, { score }) => Math.max(most, score), 1);
  return {
    name,
    versions: { attack: ATTACK_VERSION, navigator: "5.1.0", layer: "4.5" },
    domain: "enterprise-attack",
    description: "Techniques that active rules look for. The score is the number of rules; 0 is a gap.",
    filters: { platforms: ["Linux", "Containers"] },
    sorting: 3,
    hideDisabled: false,
    techniques,
    gradient: { colors: ["#ff6666", "#ffe766", "#8ec843"], minValue: 0, maxValue: most },
    legendItems: [{ label: "no rule", color: "#ff6666" }],
    showTacticRowBackground: false,
    selectTechniquesAcrossTactics: false,
    selectSubtechniquesWithParent: false,
  };
}
