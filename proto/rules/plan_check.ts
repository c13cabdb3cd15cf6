/**
 * The look at a hunt's plan, before it runs: what cannot end in its time is refused, what reads much is told.
 *
 * Refused is only what is certain. A loop within a loop costs the rows of the one times those of the other where no
 * condition on the outer one's rows stands before the inner; where there is one, nobody knows how many rows it leaves,
 * and the deadline decides. A query that may be content with its first rows (no group, no order) is not refused either.
 *
 * @module
 */
import type { Node, SelectStmt } from "sql-parser-cst";
import { CATALOG } from "../catalog.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { catalogPlan, type PlanStep } from "./plan.ts";
import { functionOf } from "./sql_functions.ts";
import { type SqlParser, statementOf } from "./sql_gate.ts";
import type { GuardedQuery } from "./sql_guard.ts";
import { conjuncts, eachColumn, walk } from "./sql_tree.ts";

/** Rows that a loop can look at in a millisecond, at the very most: a look at the clock alone takes 0.1 µs. */
const ROWS_PER_MS = 10_000;
/** A scan of so many events takes some seconds, and is told. */
const MANY_EVENTS = 1_000_000;
/** So many rows are gone over again for every row of another table: told. */
const MANY_AGAIN = 10_000;

export interface PlanCheck {
  /** Whether it only looks rows of one table up in an index: no step of it can take long. */
  readonly isLookup: boolean;
  /** Why it is not run; `null` when it may. */
  readonly refusal: string | null;
  /** What makes it slow, each with how to make it quick. */
  readonly slow: readonly string[];
}

export interface PlanLimits {
  /** How many rows a table of the catalog has, of the time that is asked for. */
  readonly rowsOf: (table: string) => number;
  readonly budgetMs: number;
  /** Whether only a part of the time is asked for, from outside of the query. */
  readonly bounded: boolean;
  /** Reads a query that is not plain. */
  readonly parse: SqlParser;
  /** Tables that collectors brought. */
  readonly collected?: TableSet;
}

/** Looks at the plan of a guarded hunt. */
export function checkPlan(query: GuardedQuery, limits: PlanLimits): PlanCheck {
  const { collected = NO_TABLES } = limits, steps = catalogPlan(query.sql, collected);
  const shape = new Shape(query.sql, limits.parse, (name) => CATALOG.has(name) || collected.has(name)),
    sizes = new Map<string, number>();
  const rows = (name: string): number => {
    const table = shape.tables.get(name);
    if (table === undefined) return 1;
    if (!sizes.has(table)) sizes.set(table, limits.rowsOf(table));
    return sizes.get(table)!;
  };
  const outer = loopsOf(steps, shape), slow: string[] = [];
  let refusal: string | null = null;
  if (shape.items.length > 1 && shape.readsAll) {
    const least = leastRows(outer, shape, rows);
    if (least / ROWS_PER_MS > 2 * limits.budgetMs) refusal = refusalWords(least, shape.items, limits.budgetMs);
  }
  const again = outer.slice(1).find(({ scan, name }) => scan && rows(name) >= MANY_AGAIN);
  if (again !== undefined) {
    slow.push(
      `for each row before it, all ${
        count(rows(again.name))
      } rows of ${again.name} are gone over; compare a column of ` +
        `it with one of another (${again.name}.exec_id = …), or narrow what comes before`,
    );
  }
  for (const name of correlatedScans(steps, shape)) {
    if (rows(name) < MANY_AGAIN) continue;
    slow.push(
      `a subquery goes over all ${
        count(rows(name))
      } rows of ${name} for each row around it; write a join with GROUP BY`,
    );
  }
  if (!limits.bounded && (shape.readsAll || !shape.limited)) {
    const scanned = steps.flatMap(({ detail }) => loopOf(detail, shape) ?? [])
      .find(({ scan, name }) => scan && shape.tables.get(name) === "process_events");
    if (scanned !== undefined && rows(scanned.name) >= MANY_EVENTS) {
      slow.push(
        `all ${
          count(rows(scanned.name))
        } stored events are read; a time makes it quick: --since 1h, or time > … in the query`,
      );
    }
  }
  return { refusal, slow, isLookup: isLookup(steps, query) };
}

/** Rows of one table by what its index holds; what is then made of each row, the deadline of each row bounds. */
function isLookup(steps: readonly PlanStep[], { needs }: GuardedQuery): boolean {
  const [only, second] = steps;
  return second === undefined && only !== undefined &&
    needs.functions.length + needs.aggregates + needs.windows + needs.subqueries === 0 &&
    /^SEARCH \S+ USING (?:INDEX \S+|INTEGER PRIMARY KEY) \([^()]*\)$/.test(only.detail);
}

interface Loop {
  readonly scan: boolean;
  /** The name of the FROM item. */
  readonly name: string;
}

/** The loops of the query itself, the outermost first. */
function loopsOf(steps: readonly PlanStep[], shape: Shape): Loop[] {
  return steps.filter(({ depth }) => depth === 0).flatMap(({ detail }) => loopOf(detail, shape) ?? []);
}

function loopOf(detail: string, { tables }: Shape): Loop | null {
  const [, kind, rest] = /^(SCAN|SEARCH) (.*)$/s.exec(detail) ?? [];
  if (kind === undefined) return null;
  const names = [...tables.keys()].filter((name) => {
    const text = rest!.toLowerCase();
    return text === name || text.startsWith(`${name} `);
  });
  const name = names.sort((a, b) => b.length - a.length)[0] ?? rest!;
  return { scan: kind === "SCAN", name };
}

/** Rows that the loops look at, at the very least. */
function leastRows(loops: readonly Loop[], shape: Shape, rows: (name: string) => number): number {
  let all = 0, times = 1;
  const before = new Set<string>();
  for (const { scan, name } of loops) {
    // One that comes out of a CTE or a subquery has conditions of there
    if (!shape.items.includes(name) || loops.filter((loop) => loop.name === name).length > 1) {
      times = 1;
      continue;
    }
    before.add(name);
    if (scan) all += times * rows(name);
    // A condition leaves nobody knows how many
    times = scan && shape.isFree(name, before) ? times * rows(name) : 1;
  }
  return all;
}

function correlatedScans(steps: readonly PlanStep[], shape: Shape): string[] {
  const names: string[] = [];
  let within: number | null = null;
  for (const { depth, detail } of steps) {
    if (within !== null && depth <= within) within = null;
    if (within === null && detail.startsWith("CORRELATED")) within = depth;
    else if (within !== null) {
      const loop = loopOf(detail, shape);
      if (loop?.scan === true) names.push(loop.name);
    }
  }
  return names;
}

const ALWAYS = /^(?:1|true|1\s*==?\s*1)$/i;

/** What the query reads, and which conditions speak of what. */
class Shape {
  /** Tables of the catalog by the name of the FROM item, of all SELECTs; one name for two tables is left out. */
  readonly tables = new Map<string, string>();
  /** Names of the FROM items of the query itself. */
  readonly items: string[] = [];
  /** Whether all its rows must be there before the first is given. */
  readonly readsAll: boolean;
  readonly limited: boolean;
  /** By condition: the items that it speaks of; `null` for any. */
  readonly #conditions: (ReadonlySet<string> | null)[] = [];

  constructor(readonly sql: string, parse: SqlParser, private readonly isTable: (name: string) => boolean) {
    const statement = statementOf(sql, parse);
    const doubtful = new Set<string>();
    walk(statement, (node) => {
      const item = itemOf(node, isTable);
      if (item === null || !isTable(item.table)) return;
      if (this.tables.has(item.name) && this.tables.get(item.name) !== item.table) doubtful.add(item.name);
      this.tables.set(item.name, item.table);
    });
    for (const name of doubtful) this.tables.delete(name);
    const select = statement.type === "select_stmt" ? statement as SelectStmt : null;
    const clauses = new Map(select?.clauses.map((clause) => [clause.type, clause]) ?? []);
    this.limited = clauses.has("limit_clause");
    const columns = clauses.get("select_clause");
    this.readsAll = clauses.has("group_by_clause") || clauses.has("order_by_clause") ||
      (columns?.type === "select_clause" && (columns.modifiers.length > 0 || hasAggregate(columns)));
    const from = clauses.get("from_clause"), where = clauses.get("where_clause");
    if (from?.type === "from_clause") this.#from(from.expr);
    if (where?.type === "where_clause") this.#condition(where.expr);
  }

  /** Whether no condition on the items before and this one keeps rows of it out. */
  isFree(name: string, before: ReadonlySet<string>): boolean {
    return !this.#conditions.some((items) => items === null || (items.has(name) && items.isSubsetOf(before)));
  }

  #from(node: Node): void {
    if (node.type !== "join_expr") {
      const item = itemOf(node, this.isTable);
      this.items.push(item?.name ?? "");
      return;
    }
    this.#from(node.left);
    this.#from(node.right);
    const { specification } = node;
    if (specification?.type === "join_on_specification") this.#condition(specification.expr);
    else this.#conditions.push(null);
  }

  #condition(expression: Node): void {
    const parts = conjuncts(expression);
    if (parts.length === 0) this.#conditions.push(null);
    for (const part of parts) {
      const items = new Set<string>();
      const isPlain = eachColumn(part, (of) => of !== null && items.add(of) !== undefined);
      if (isPlain && items.size > 0) this.#conditions.push(items);
      // What is no column may be false always, but for what people write in the place of a condition
      else if (!ALWAYS.test(this.sql.slice(...part.range!))) this.#conditions.push(null);
    }
  }
}

/** The name and the table of a FROM item that is a table. */
function itemOf(node: Node, isTable: (name: string) => boolean): { name: string; table: string } | null {
  if (node.type === "identifier") {
    const name = node.name.toLowerCase();
    return isTable(name) ? { name, table: name } : null;
  }
  if (node.type !== "alias" || node.alias.type !== "identifier") return null;
  const inner = node.expr as Node;
  return inner.type === "identifier"
    ? { name: node.alias.name.toLowerCase(), table: inner.name.toLowerCase() }
    : { name: node.alias.name.toLowerCase(), table: "" };
}

function hasAggregate(node: Node): boolean {
  let found = false;
  walk(node, (each) => {
    if (each.type !== "func_call" || each.name.type !== "identifier") return;
    const items = each.args?.expr.args.items.length ?? 0;
    if (each.over !== undefined || functionOf(each.name.name.toLowerCase(), items)?.kind === "aggregate") found = true;
  });
  return found;
}

function refusalWords(rows: number, items: readonly string[], budgetMs: number): string {
  return `It would go over ${count(rows)} combinations of rows of ${items.filter((name) => name !== "").join(", ")}: ` +
    `${time(rows / ROWS_PER_MS)} at the least, and it may take ${
      time(budgetMs)
    }. Compare a column of each with one of ` +
    `another (b.parent_exec_id = a.exec_id), or narrow them by conditions of their own or --since; --timeout allows more`;
}

function count(rows: number): string {
  return rows < 1e15 ? rows.toLocaleString("en-US") : rows.toExponential(0);
}

function time(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 120) return `${Math.ceil(seconds)} s`;
  if (seconds < 7_200) return `${Math.ceil(seconds / 60)} min`;
  return seconds < 172_800
    ? `${Math.ceil(seconds / 3_600)} h`
    : `${Math.ceil(seconds / 86_400).toLocaleString("en-US")} days`;
}
