/**
 * `query --explain`: how a query would be gone about, in words, with the sizes of the tables as they are now.
 *
 * The plan is that of SQLite over tables with the keys and indexes of the store (`catalogPlan`). A step that has no words
 * here stands as SQLite writes it.
 *
 * @module
 */
import { CATALOG } from "../proto/catalog.ts";
import type { TableSet } from "../proto/table_descriptor.ts";
import { catalogPlan } from "../proto/rules/plan.ts";
import type { GuardedQuery } from "../proto/rules/sql_guard.ts";
import type { ShownColumn } from "./output.ts";
import type { Call } from "./command.ts";
import { openRows } from "./row_output.ts";
import { count } from "./units.ts";

export type RowsOf = (table: string) => number;

/** Writes the plan, a step a row. */
export function writePlan(call: Call, { sql, grouped }: GuardedQuery, rowsOf: RowsOf, collected: TableSet): void {
  const names = ["step", "depth", "words", "sqlite"];
  const shown: ShownColumn[] = [
    { name: "step", title: "STEP" },
    {
      name: "words",
      title: "WHAT IS DONE",
      keep: true,
      show: (cell, of) => ({ text: "  ".repeat(Number(of("depth"))) + String(cell) }),
    },
  ];
  // --columns is not among the options of query: programs get all four
  const output = openRows(call, names, shown), sizes = new Map<string, number>();
  const sized = (table: string): number => {
    const known = sizes.get(table) ?? rowsOf(table);
    sizes.set(table, known);
    return known;
  };
  for (const [i, { depth, detail }] of catalogPlan(sql, collected).entries()) {
    const words = grouped !== null && detail === SORTED_GROUPS ? GROUPED_WORDS : stepWords(detail, sized);
    output.add([i + 1, depth, words, detail]);
  }
  output.end();
  call.out.flush();
}

/** The step that is another where events are counted by what they say as they are read. */
const SORTED_GROUPS = "USE TEMP B-TREE FOR GROUP BY";
const GROUPED_WORDS = "counts events that are alike, and sorts these (GROUP BY)";

const FIXED: readonly (readonly [RegExp, (...groups: string[]) => string])[] = [
  [/^USE TEMP B-TREE FOR (?:LAST (\d+) TERMS? OF |RIGHT PART OF )?(.+)$/, (_part, of) => {
    const what: Readonly<Record<string, string>> = {
      "ORDER BY": "sorts all rows so far in memory (ORDER BY)",
      "GROUP BY": "sorts all rows so far in memory, to group them (GROUP BY)",
      DISTINCT: "keeps what it has given in memory, to give it once (DISTINCT)",
    };
    return what[of!] ?? `keeps rows in memory for ${of}`;
  }],
  [/^CORRELATED (?:SCALAR|LIST) SUBQUERY \d+$/, () => "for each row around it, a subquery again"],
  [/^(?:SCALAR|LIST) SUBQUERY \d+$/, () => "once, a subquery"],
  [/^MATERIALIZE (.+)$/, (name) => `computes ${name} once and keeps it in memory`],
  [/^CO-ROUTINE (.+)$/, (name) => `computes ${name} row by row`],
  [/^COMPOUND QUERY$|^MERGE \(.*\)$/, () => "puts the answers of several SELECTs together"],
  [/^LEFT-MOST SUBQUERY$/, () => "the first SELECT"],
  [/^UNION ALL$|^UNION USING .*$/, () => "the next SELECT"],
  [/^SCAN CONSTANT ROW$/, () => "gives one row, of no table"],
];

/** One step of a plan in words. */
function stepWords(detail: string, rowsOf: RowsOf): string {
  for (const [pattern, words] of FIXED) {
    const found = pattern.exec(detail);
    if (found !== null) return words(...found.slice(1));
  }
  const loop =
    /^(SCAN|SEARCH) (\S+)(?: USING (AUTOMATIC )?(?:PARTIAL )?(?:COVERING )?(INDEX|INTEGER PRIMARY KEY|PRIMARY KEY) ?([^(\s]*)(?: ?\((.*)\))?)?( LEFT-JOIN)?$/
      .exec(detail);
  if (loop === null) return detail;
  const [, kind, name, automatic, , index, condition, left] = loop;
  const table = tableOf(name!), rest = left === undefined ? "" : "; what finds none stays, with NULL (LEFT JOIN)";
  const size = table === null ? "all rows" : `all ${count(rowsOf(table))} rows`;
  if (kind === "SCAN") {
    const ordered = index === undefined || index === "" || index.startsWith("sqlite_autoindex")
      ? ""
      : `, in the order of its index of ${columnsOf(index)}`;
    return `goes over ${size} of ${name}${ordered}${rest}`;
  }
  const by = condition === undefined
    ? ""
    : ` by ${condition.replaceAll(" AND ", " and ").replaceAll(/([=<>])\?/g, " $1 …")}`;
  if (condition === undefined && index === undefined) {
    return `takes the first or last row of ${name} by an index${rest}`;
  }
  const how = automatic === undefined ? "its index" : `an index that it makes for this once over ${size}`;
  return `looks up rows of ${name}${by}, in ${how}${rest}`;
}

/** The table of the catalog with the name; an alias is not one, and its size is not told. */
function tableOf(name: string): string | null {
  return CATALOG.has(name.toLowerCase()) ? name.toLowerCase() : null;
}

/** Indexes are named TABLE_COLUMN_COLUMN by `catalogPlan`. */
function columnsOf(index: string): string {
  for (const { name, indexes } of CATALOG.values()) {
    const found = indexes.find((columns) => index === `${name}_${columns.join("_")}`);
    if (found !== undefined) return found.join(", ");
  }
  return index;
}
