/**
 * What the agent knows of a Sigma document that it runs: its head in our words.
 *
 * @module
 */
import type { MadeRule, TestRow } from "../rules/rule.ts";
import type { Missing } from "./compile.ts";
import type { SigmaCorrelation, SigmaRule } from "./document.ts";
import type { HeadTest } from "./head.ts";

/** A document that its author does not mark unsupported, as a rule. */
export function madeRule(
  { file, head, place }: SigmaRule | SigmaCorrelation,
  hash: string,
  missing: readonly Missing[],
  testOf: (test: HeadTest) => TestRow,
): MadeRule {
  return {
    file,
    hash,
    id: head.id,
    title: head.title,
    description: head.description,
    severity: head.severity ?? "medium",
    tags: head.tags,
    references: head.references,
    falsePositives: head.falsePositives,
    enabled: head.enabled,
    status: head.stage ?? "draft",
    tests: { match: head.tests.match.map(testOf), noMatch: head.tests.noMatch.map(testOf) },
    idPosition: place(head.idAt),
    missing: missing.map(({ reason, at }) => `${reason} (line ${place(at).line})`),
  };
}
