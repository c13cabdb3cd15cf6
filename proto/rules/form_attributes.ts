/**
 * What conditions in their intermediate form need that collectors may collect on demand alone: as `sql_attributes.ts`
 * finds it in SQL, for rules that never were a whole query.
 *
 * @module
 */
import { type Correlation, formsOf, isCorrelation } from "./correlation.ts";
import { type Attributes, HASH_COLUMNS, quotedKeys } from "./sql_attributes.ts";
import { columnAt, columnsOf, type Form, partsOf } from "./predicate.ts";

/** What a correlation reads. */
export function attributesOfCorrelation(correlation: Correlation): Attributes {
  return attributesOfForms(formsOf(correlation), valuePlaces(correlation));
}

/**
 * What these conditions read, and columns at further places. A form has no JSON operators: a variable is named by a
 * pattern with `"NAME":` alone.
 */
export function attributesOfForms(forms: readonly Form[], places: readonly number[] = []): Attributes {
  const columns = new Set(places), variables = new Set<string>();
  for (const form of forms) {
    columnsOf(form, columns);
    namesIn(form, variables);
  }
  const names = new Set([...columns].map((place) => columnAt(place).name));
  return {
    hashes: HASH_COLUMNS.some((name) => names.has(name)),
    variables: [...variables].sort(),
    otherVariables: names.has("environment") && variables.size === 0,
  };
}

/** Places of the columns by which a correlation groups, and of the values that it counts. */
function valuePlaces({ bases }: Correlation): number[] {
  return bases.flatMap(({ of, by, value }) => [
    ...[...by, value].flatMap((source) =>
      source?.kind === "column" ? [source.place] : source?.kind === "file" ? source.places : []
    ),
    ...isCorrelation(of) ? valuePlaces(of) : [],
  ]);
}

function namesIn(form: Form, into: Set<string>): void {
  if (form.kind === "match" && form.item.kind === "column" && columnAt(form.item.place).name === "environment") {
    for (const pattern of form.patterns) {
      for (const text of pattern) if (typeof text === "string") quotedKeys(text).forEach((name) => into.add(name));
    }
  }
  for (const part of partsOf(form)) namesIn(part, into);
}
