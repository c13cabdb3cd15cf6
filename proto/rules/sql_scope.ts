/**
 * Names that a query may use: what each FROM item offers, and how a column name finds it.
 *
 * SQLite's rules, made stricter where they surprise: an alias of the SELECT list is known to GROUP BY, HAVING and ORDER
 * BY only, a name that two items offer must be qualified, and `rowid` is no column.
 *
 * @module
 */
import { refuse, suggestion } from "./sql_refused.ts";

/** What an expression contains, as bits. */
export const AGGREGATE = 1, WINDOW = 2, OWN_COLUMN = 4, OUTER_COLUMN = 8;

/** One FROM item. Names are in lower case. */
export interface Source {
  readonly name: string;
  /** The table of the catalog; `null` for a subquery or a CTE. */
  readonly table: string | null;
  readonly columns: readonly string[];
  /** Offset of the item in the query. */
  readonly offset: number;
}

/** Where an expression stands; decides what it may contain. */
export type Clause = "SELECT" | "ON" | "WHERE" | "GROUP BY" | "HAVING" | "ORDER BY" | "an aggregate" | "a window";

export interface Scope {
  readonly sources: Source[];
  /** Columns named in a USING: found in two items without being ambiguous. */
  readonly merged: Set<string>;
  /** Aliases of the SELECT list and what they contain; empty until the list has been read. */
  readonly aliases: Map<string, number>;
  readonly parent: Scope | null;
  /** How many SELECTs stand around this one. */
  readonly level: number;
}

export function openScope(parent: Scope | null): Scope {
  const level = parent === null ? 0 : parent.level + 1;
  return { sources: [], merged: new Set(), aliases: new Map(), parent, level };
}

/** Adds a FROM item. @throws SqlRefusedError when its name is taken */
export function addSource(scope: Scope, source: Source): void {
  if (scope.sources.some((other) => other.name === source.name)) {
    refuse(`Two FROM items are named ${source.name}; give one of them an alias`, source.offset);
  }
  scope.sources.push(source);
}

export interface FoundColumn {
  /** `null` when the name is an alias of the SELECT list. */
  readonly source: Source | null;
  readonly facts: number;
}

/** Finds a column by its bare name. @throws SqlRefusedError when there is none, or more than one */
export function findColumn(scope: Scope, name: string, clause: Clause, offset: number): FoundColumn {
  const wanted = name.toLowerCase();
  const alias = scope.aliases.get(wanted);
  const takesAlias = clause === "GROUP BY" || clause === "HAVING" || clause === "ORDER BY";
  if (takesAlias && alias !== undefined) {
    if ((alias & WINDOW) !== 0 && clause !== "ORDER BY") {
      refuse(`${clause} cannot use ${name}, which stands for a window function`, offset);
    }
    if ((alias & AGGREGATE) !== 0 && clause === "GROUP BY") {
      refuse(`GROUP BY cannot use ${name}, which stands for an aggregate`, offset);
    }
    return { source: null, facts: alias };
  }
  for (let at: Scope | null = scope; at !== null; at = at.parent) {
    const holders = at.sources.filter((source) => source.columns.includes(wanted));
    if (holders.length > 1 && !at.merged.has(wanted)) {
      const options = holders.map((source) => `${source.name}.${wanted}`).join(" or ");
      refuse(`The column ${name} is ambiguous; write ${options}`, offset);
    }
    if (holders.length > 0) {
      return { source: holders[0]!, facts: at === scope ? OWN_COLUMN : OUTER_COLUMN };
    }
  }
  if (alias !== undefined) refuse(`${clause} cannot use the alias ${name}; write its expression`, offset);
  return refuse(`There is no column ${name}${suggestion(name, visibleColumns(scope))}`, offset);
}

/** Finds a column by the name of its FROM item and its own. @throws SqlRefusedError */
export function findQualified(scope: Scope, item: string, name: string, offset: number): FoundColumn {
  const source = findSource(scope, item);
  if (source === null) {
    refuse(`No FROM item is named ${item}${suggestion(item, visibleSources(scope))}`, offset);
  }
  if (!source.columns.includes(name.toLowerCase())) {
    refuse(`${item} has no column ${name}${suggestion(name, source.columns)}`, offset);
  }
  return { source, facts: scope.sources.includes(source) ? OWN_COLUMN : OUTER_COLUMN };
}

/** The nearest FROM item of that name, in this SELECT or around it. */
function findSource(scope: Scope, item: string): Source | null {
  const wanted = item.toLowerCase();
  for (let at: Scope | null = scope; at !== null; at = at.parent) {
    const found = at.sources.find((source) => source.name === wanted);
    if (found !== undefined) return found;
  }
  return null;
}

/**
 * Notes a column of a USING, when the last FROM item is joined to those before it.
 *
 * @throws SqlRefusedError unless both sides have it, the left side once
 */
export function mergeColumn(scope: Scope, name: string, offset: number): void {
  const wanted = name.toLowerCase();
  const right = scope.sources.at(-1)!;
  const left = scope.sources.slice(0, -1).filter((source) => source.columns.includes(wanted));
  if (left.length === 0 || !right.columns.includes(wanted)) {
    refuse(`USING needs a column that both sides have; ${name} is not one`, offset);
  }
  if (left.length > 1 && !scope.merged.has(wanted)) {
    refuse(`The column ${name} of USING is ambiguous on the left side; use ON`, offset);
  }
  scope.merged.add(wanted);
}

function* visibleColumns(scope: Scope): Generator<string> {
  for (let at: Scope | null = scope; at !== null; at = at.parent) {
    for (const source of at.sources) yield* source.columns;
  }
}

function* visibleSources(scope: Scope): Generator<string> {
  for (let at: Scope | null = scope; at !== null; at = at.parent) {
    for (const source of at.sources) yield source.name;
  }
}
