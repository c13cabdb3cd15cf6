/**
 * What of Sigma is supported, how, and what is refused and why: the part of `docs/sigma.md` that no other table says.
 *
 * @module
 */

export interface Feature {
  readonly feature: string;
  /** "differs": it works, and not as everywhere. */
  readonly support: "yes" | "differs" | "refused";
  readonly how: string;
}

const yes = (feature: string, how: string): Feature => ({ feature, support: "yes", how });
const differs = (feature: string, how: string): Feature => ({ feature, support: "differs", how });
const refused = (feature: string, how: string): Feature => ({ feature, support: "refused", how });

export const DOCUMENT_FEATURES: readonly Feature[] = [
  yes(
    "several documents in one file",
    "each is a rule, a correlation or a filter; one that is broken keeps no other from loading",
  ),
  yes("`id`", "the rule's id here too, in lower case; without one it is `sigma-` and the title"),
  yes("`name`", "by which correlations and filters may call a rule"),
  yes("`title`, `description`, `references`, `tags`, `falsepositives`", "shown; cut where they are very long"),
  yes("`level`", "the severity: `informational` is info; without one it is medium"),
  yes(
    "`status`",
    "stable, test and experimental are active; deprecated is a draft, which raises no alert; unsupported is unsupported",
  ),
  yes("`fields`", "shown in the evidence of an alert, with every column that the rule looks at"),
  yes("keys that Sigma does not define", "passed over"),
  yes(
    "`daemoneye: {enabled, status, tests}`",
    "our own key: as in rule files of our form; rows of tests name columns, and are of the rule's kind of event",
  ),
  refused("`taxonomy` other than `sigma`", "nobody can say what its fields are; translate the rule"),
  refused("`action: global`, `repeat`, `reset`", "the old form of several rules in one file; write each out"),
  refused("anchors, aliases, tags of YAML", "they make large values of small texts"),
];

export const DETECTION_FEATURES: readonly Feature[] = [
  yes("maps, lists of values, lists of maps", "all fields of a map; any value of a list; any map"),
  yes(
    "keywords",
    "a text, or a list of them, looked for in the columns that the table of fields marks; `'|all'`, `'|re'` and so on apply",
  ),
  yes(
    "`*`, `?`, `\\*`, `\\?`, `\\\\`",
    "any text, one character, and the characters themselves; any other backslash is one",
  ),
  differs(
    "case",
    "A to Z are a to z, and no other letter is folded: as SQLite does it, so that the stored events give the same answer",
  ),
  yes("`null`, `''`", "a column without a value; an empty text"),
  yes(
    "numbers, true, false",
    "in a column of numbers the number; in a column of texts as they are written, so that `0x10` is no 16",
  ),
  yes("NOT and columns without a value", "what is asked of a column that is NULL is not met, and so its opposite is"),
  yes("`and`, `or`, `not`, parentheses", "as the specification binds them; in any case of letters"),
  yes(
    "`1 of`, `any of`, `all of` a pattern, or `them`",
    "`*` anywhere in the pattern; `them` leaves out names that begin with `_`",
  ),
  yes("`N of`", "at least N of them"),
  yes("a list of conditions", "any of them"),
  refused("`| count() …` and `timeframe`", "the old form of counting; write a correlation"),
  refused(
    "a field that no column holds",
    "the rule is unsupported, or partial where an alternative without it is left",
  ),
];

export const FILTER_FEATURES: readonly Feature[] = [
  yes("`rules`", "ids or names, or `any` for all rules of the log source; one that is not there is told"),
  differs(
    "`condition`",
    "a filter suppresses: `selection` (the specification's example) and `not selection` (pySigma's) mean the same",
  ),
  refused("a condition that mixes `not` with what is not negated", "it could mean what is suppressed or what remains"),
  yes(
    "`daemoneye: {author, expires}`",
    "our own key: who wants it, where not `author` says it, and the last day (UTC) on which it holds, such as 2027-01-31",
  ),
  yes(
    "what it takes",
    "counted for each filter and rule, and shown with the operator's exceptions (docs/rules.md): `rules exceptions`",
  ),
  refused(
    "rules of our own form, and correlations",
    "filter the rules that a correlation is made of, or write an exception (docs/rules.md)",
  ),
];

export const CORRELATION_FEATURES: readonly Feature[] = [
  yes("`event_count`", "events of a group within the time"),
  yes("`value_count`", "different values of `field`"),
  yes(
    "`value_sum`, `value_avg`, `value_percentile`",
    "of `field`, a column of numbers; `percentile: 95` by nearest rank",
  ),
  yes(
    "`temporal`",
    "all rules, in any order; with `gte: 2` so many of them; with `condition: a and (b or not c)` these",
  ),
  yes("`temporal_ordered`", "all rules, in their order"),
  yes(
    "`gt`, `gte`, `lt`, `lte`, `eq`, `neq`",
    "several must all hold; judged when an event comes, so that nothing fires because nothing came",
  ),
  yes(
    "`group-by`, `aliases`",
    "an event without a value for one of the fields takes no part; without `group-by` all are one group",
  ),
  yes("a correlation among `rules`", "its hits take part"),
  yes("`generate`", "without `generate: true` its rules are drafts: judged and counted, without alerts of their own"),
  refused("a rule that is unsupported among `rules`", "the correlation would mean something else"),
  refused("correlations in a circle", "told with its members"),
  refused("`field` as a list", "name one"),
  refused("a condition under `temporal_ordered`", "all rules must meet"),
];
