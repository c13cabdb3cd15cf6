/**
 * Sigma's filters: documents of their own that keep rules from matching what is known to be harmless.
 *
 * The specification's example names what is harmless (`condition: selection`), pySigma's what remains
 * (`condition: not selection`). Both suppress here: what a filter without a `not` matches, or what remains of one that is
 * a `not`, or several joined by `and`. A condition that is neither could be meant both ways and is refused.
 *
 * A filter that cannot be told, in whole or in an alternative, suppresses less than was meant, and says so.
 *
 * @module
 */
import { MAX_SAID, type Suppressor, untilThen } from "../rules/suppressor.ts";
import { compileDetection, type Missing } from "./compile.ts";
import type { Condition } from "./condition.ts";
import type { SigmaFilter, SigmaRule } from "./document.ts";
import { fitsSource, sourceWords } from "./logsources.ts";
import type { SigmaMapping } from "./mapping.ts";
import { find, type Index, type SigmaVerdict, verdictOf } from "./verdict.ts";

export interface CompiledFilter {
  readonly filter: SigmaFilter;
  /** What it suppresses; not `null` when it has rules. */
  readonly by: Suppressor | null;
  readonly rules: readonly SigmaRule[];
  readonly mapped: boolean;
  readonly verdict: SigmaVerdict;
}

/** What a filter does, and to which of the rules. */
export function compileFilter(
  filter: SigmaFilter,
  rules: readonly SigmaRule[],
  index: Index,
  mapping: SigmaMapping,
): CompiledFilter {
  const unsupported = (reasons: readonly Missing[]): CompiledFilter => ({
    filter,
    by: null,
    rules: [],
    mapped: false,
    verdict: verdictOf(filter, "unsupported", reasons, [], null),
  });
  const suppressed = suppressedBy(filter.detection.conditions);
  if (suppressed === null) {
    const reason = "It could mean what is suppressed or what remains: write the condition without not, or as not ( … )";
    return unsupported([{ reason, at: filter.at }]);
  }
  const detection = { ...filter.detection, conditions: suppressed };
  const { form, missing, notes, mapped } = compileDetection(detection, mapping);
  if (form === null) return unsupported(missing);
  const absent: Missing[] = [], found: SigmaRule[] = [];
  for (const { name, at } of filter.rules ?? []) {
    const rule = find(name, index);
    if ("reason" in rule) absent.push({ reason: `${rule.reason} to filter`, at });
    else if (rule.kind === "correlation") absent.push({ reason: `${name} is a correlation; filter its rules`, at });
    else if (!fitsSource(filter.source, rule.source)) {
      const words = `the filter is for ${sourceWords(filter.source)}, the rule ${name} for ${sourceWords(rule.source)}`;
      absent.push({ reason: `It is not applied: ${words}`, at });
    } else found.push(rule);
  }
  if (filter.rules === null) found.push(...rules.filter((rule) => fitsSource(filter.source, rule.source)));
  if (found.length === 0) {
    return unsupported(
      absent.length > 0 ? absent : [{ reason: "There is no rule of its log source to filter", at: filter.at }],
    );
  }
  const reasons = [...missing, ...absent];
  const verdict = verdictOf(filter, reasons.length === 0 ? "live" : "partial", reasons, notes, null);
  const { head, file } = filter, { author, expiresMs } = head;
  const by: Suppressor = {
    kind: "filter",
    id: head.id,
    file,
    line: filter.place(head.at).line,
    reason: (head.description || head.title).slice(0, MAX_SAID),
    author,
    expiresMs,
    form: untilThen(form, expiresMs),
  };
  return { filter, by, rules: found, mapped, verdict };
}

/** The conditions of what a filter suppresses; `null` when it could be meant in two ways. */
function suppressedBy(conditions: readonly Condition[]): Condition[] | null {
  const found = conditions.map((condition): Condition | null => {
    if (!hasNot(condition)) return condition;
    const items = condition.kind === "and" ? condition.items : [condition];
    if (!items.every((item) => item.kind === "not")) return null;
    const inner = items.map(({ item }) => item);
    return inner.length === 1 ? inner[0]! : { kind: "or", items: inner };
  });
  return found.includes(null) ? null : found as Condition[];
}

function hasNot(condition: Condition): boolean {
  switch (condition.kind) {
    case "not":
      return true;
    case "and":
    case "or":
      return condition.items.some(hasNot);
    default:
      return false;
  }
}
