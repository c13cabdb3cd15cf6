/**
 * Which column a field of a Sigma rule is.
 *
 * @module
 */
import { columnPlaces } from "../event_row.ts";
import { suggestion } from "../rules/sql_refused.ts";
import { PROCESS_FIELDS, UNSEEN_FIELDS } from "./fields.ts";
import type { SigmaMapping } from "./mapping.ts";

const PLACES = columnPlaces("process_events");
const COLUMNS_OF_FIELDS: ReadonlyMap<string, string> = new Map(
  Object.entries(PROCESS_FIELDS).flatMap(([column, { names }]) =>
    [column, ...names].map((name) => [name, column] as const)
  ),
);
/** Fields by their lower-case names, to find the one that was probably meant. */
const LOWER_FIELDS: ReadonlyMap<string, string> = new Map(
  [...COLUMNS_OF_FIELDS.keys()].map((name) => [name.toLowerCase(), name]),
);
/** Columns in which keywords are looked for. */
export const KEYWORD_COLUMNS: readonly string[] = Object.entries(PROCESS_FIELDS).filter(([, { keywords }]) => keywords)
  .map(([name]) => name);

/** The column that a field is, or why it is none; `mapped` when the operator's mapping says it. */
export function columnOfField(
  name: string,
  mapping: SigmaMapping,
): { readonly place: number; readonly mapped: boolean } | { readonly reason: string } {
  const own = mapping.fields.get(name), column = own ?? COLUMNS_OF_FIELDS.get(name);
  if (column !== undefined) return { place: PLACES.get(column)!, mapped: own !== undefined };
  if (Object.hasOwn(UNSEEN_FIELDS, name)) return { reason: `The field ${name} is not seen: ${UNSEEN_FIELDS[name]}` };
  const shown = JSON.stringify(name.slice(0, 64));
  const near = suggestion(name, LOWER_FIELDS.keys()).replace(
    /mean (.*)\?$/,
    (_, field) => `mean ${LOWER_FIELDS.get(field)}?`,
  );
  return {
    reason: `The field ${shown} is in no event of this host${near || "; sigma-mapping.yml can name its column"}`,
  };
}
