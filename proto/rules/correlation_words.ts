/**
 * Correlations in words, for people who ask how a rule was understood.
 *
 * @module
 */
import {
  type Correlation,
  isCorrelation,
  isThresholds,
  type Occurrence,
  type Threshold,
  type ValueSource,
} from "./correlation.ts";
import { durationText } from "./duration.ts";
import { formWords } from "./form_words.ts";
import { columnAt } from "./predicate.ts";

const OPERATORS: Readonly<Record<Threshold["operator"], string>> = {
  gt: "more than",
  gte: "at least",
  lt: "less than",
  lte: "at most",
  eq: "exactly",
  neq: "other than",
};

/** A correlation as lines, what belongs together indented. */
export function correlationWords(correlation: Correlation): string[] {
  const { bases, groupBy } = correlation;
  const lines = [`${laneWords(correlation)}:`];
  if (groupBy.length > 0) lines.push(`  each ${groupBy.join(", ")} for itself`);
  groupBy.forEach((name, i) => {
    if (!bases.some(({ by }) => by[i]!.kind === "file")) return;
    const sources = bases.map((base) => `of ${base.name} the ${sourceWords(base.by[i]!)}`);
    lines.push(`  ${name} is ${sources.join(", ")}`);
  });
  bases.forEach(({ name, of }, i) => {
    const place = correlation.kind === "temporal_ordered" ? `${i + 1}. ` : "";
    lines.push(`  ${place}${name}:`);
    lines.push(...(isCorrelation(of) ? correlationWords(of) : formWords(of)).map((line) => `    ${line}`));
  });
  return lines;
}

function sourceWords(source: ValueSource): string {
  if (source.kind === "group") return "value of its group";
  if (source.kind === "column") return columnAt(source.place).name;
  const columns = source.places.map((place) => columnAt(place).name).join(" or ");
  return `last part of ${source.words ? "each word of " : ""}${columns}`;
}

/** A correlation in one line. */
export function laneWords(correlation: Correlation): string {
  const { kind, bases, windowMs } = correlation, within = `within ${durationText(windowMs)}`;
  const names = bases.map(({ name }) => name);
  switch (kind) {
    case "event_count":
      return `${thresholdWords(correlation.condition)} events ${within}`;
    case "value_count":
      return `${thresholdWords(correlation.condition)} different values ${within}`;
    case "value_sum":
      return `a sum of ${thresholdWords(correlation.condition)} ${within}`;
    case "value_avg":
      return `an average of ${thresholdWords(correlation.condition)} ${within}`;
    case "value_percentile":
      return `a ${correlation.percentile}th percentile of ${thresholdWords(correlation.condition)} ${within}`;
    case "temporal": {
      const { condition } = correlation;
      if (condition === null) return `${names.join(" and ")} ${within}`;
      if (isThresholds(condition)) return `${thresholdWords(condition)} of ${names.join(", ")} ${within}`;
      return `${occurrenceWords(condition, names)} ${within}`;
    }
    case "temporal_ordered":
      return `${names.join(", then ")} ${within}`;
    case "absence":
      return `${names[0]}, not followed by ${names.slice(1).join(" or ")} ${within}`;
    case "first_seen":
      return `values not seen for ${durationText(windowMs)}, once it has learned for ${
        durationText(correlation.learnMs)
      }`;
  }
}

function thresholdWords(condition: readonly Threshold[]): string {
  return condition.map(({ operator, number }) => `${OPERATORS[operator]} ${number}`).join(" and ");
}

function occurrenceWords(condition: Occurrence, names: readonly string[]): string {
  switch (condition.kind) {
    case "base":
      return names[condition.base]!;
    case "not":
      return `not ${inner(condition.item, names)}`;
    case "and":
    case "or":
      return condition.items.map((item) => inner(item, names)).join(` ${condition.kind} `);
  }
}

function inner(condition: Occurrence, names: readonly string[]): string {
  const words = occurrenceWords(condition, names);
  return condition.kind === "and" || condition.kind === "or" ? `(${words})` : words;
}
