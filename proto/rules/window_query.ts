/**
 * What the window lane needs of a query over several rows: which rows it can use at all, which column values tell one
 * finding from another, and the SQL to run.
 *
 * The query has passed the guard. Each `process_events` in it is a reference, and the conditions that speak of one
 * reference alone are its base predicate: a row that fails it cannot take part there. Conditions that the form cannot say
 * are left out, so a base predicate lets too many rows through, never too few. A reference without any is refused: the
 * window would hold every event.
 *
 * What a query means under a window: see `window_lane.ts`. The query itself runs unchanged but for three edits by place:
 * looks at the deadline, which the guard says, the name of the rule's own table, and further columns at the end of the
 * SELECT list that tell findings apart.
 *
 * @module
 */
import type { JoinExpr, Node, SelectStmt } from "sql-parser-cst";
import { columnPlaces } from "../event_row.ts";
import { type Form, formSize, MAX_FORM_NODES } from "./predicate.ts";
import { type GuardedQuery, takeStatement } from "./sql_guard.ts";
import { end, operatorName, start } from "./sql_nodes.ts";
import { translateWhere } from "./sql_predicate.ts";
import { refuse } from "./sql_refused.ts";
import { childrenOf, conjuncts, eachColumn, walk } from "./sql_tree.ts";
import { hiddenColumns, type Item, leastCount } from "./window_findings.ts";

const PLACES = columnPlaces("process_events");
/** Columns that a rule's tables always have: the key. */
const KEY_COLUMNS = ["event_id", "time"] as const;

/** A piece of the query that is written anew for each base. */
export interface Edit {
  /** Offset in the query at which it begins. */
  readonly from: number;
  /** Offset at which it ends. */
  readonly to: number;
  /** What stands there for tables of these names; `tick` is the function that looks at the deadline. */
  readonly text: (views: readonly string[], tick: string) => string;
}

/** What the window lane needs of a rule's query. */
export interface WindowQuery {
  /**
   * What a row must meet to take part in one reference or several, each with a table of its own: so a join goes over the
   * rows that can meet, and not over all that the rule can use.
   */
  readonly bases: readonly Form[];
  /** Rows that the table of each base must have for anything to be found: fewer need no look. */
  readonly least: readonly number[];
  /** Columns of `process_events` that the query names, and the key. */
  readonly columns: ReadonlySet<string>;
  /** Columns by which joins look rows up. */
  readonly lookups: readonly string[];
  /** Names of the columns that the rule selects, in their order; a result row begins with them. */
  readonly outputs: readonly string[];
  /** Places in a result row of the values that tell one finding from another. */
  readonly key: readonly number[];
  /** Place in a result row of the highest {@linkcode ARRIVAL} that takes part; `null` when the query does not tell. */
  readonly newest: number | null;
  /** How many columns a result row has. */
  readonly width: number;
  /** Where tables of the bases take the place of `process_events`. */
  readonly edits: readonly Edit[];
  /** The query that they are edits of. */
  readonly sql: string;
}

/** Reads a guarded query of purpose "window". @throws SqlRefusedError for what means nothing over a window */
export function windowQuery(query: GuardedQuery): WindowQuery {
  const { sql } = query;
  const statement = takeStatement(query);
  if (statement.type !== "select_stmt") {
    return refuse("A compound SELECT is not allowed in a rule over a window; write a rule for each", start(statement));
  }
  refuseStars(statement);
  const bases: Form[] = [], edits: Edit[] = [], lookups = new Set<string>();
  const ctes = cteNames(statement);
  const least: number[] = [];
  let top: Item[] = [], references = 0;
  for (const select of selectsIn(statement)) {
    const scope = new SelectScope(select, ctes);
    if (select === statement) top = scope.items;
    for (const item of scope.items) {
      if (item.table === null) continue;
      const { table, alias } = item, base = scope.base(item), same = JSON.stringify(base);
      let place = bases.findIndex((other) => JSON.stringify(other) === same);
      if (place < 0) {
        place = bases.push(base) - 1;
        least.push(0);
      }
      if (select === statement && item.own === null) {
        const wanted = scope.items.length === 1 ? leastCount(statement) : 1;
        least[place] = Math.max(least[place]!, wanted);
      }
      references += 1;
      const as = table.aliased ? "" : ` AS "${alias}"`;
      edits.push({ from: start(table.node), to: end(table.node), text: (views) => `"${views[place]}"${as}` });
    }
    for (const column of scope.lookups()) lookups.add(column);
  }
  if (references === 0) refuse("A rule reads process_events", start(statement));
  const hidden = hiddenColumns(statement, top, sql, references);
  edits.push({ from: hidden.at, to: hidden.at, text: () => hidden.sql.map((column) => `, ${column}`).join("") });
  for (const { at, text } of query.insertions) edits.push({ from: at, to: at, text: (_, tick) => text(tick) });
  return {
    bases,
    least,
    columns: columnsNamed(statement),
    lookups: [...lookups],
    outputs: hidden.outputs,
    key: hidden.key,
    newest: hidden.newest,
    width: hidden.outputs.length + hidden.sql.length,
    // Those of one place in the order in which they were found: a name is replaced before what is put in behind it
    edits: edits.map((edit, i) => ({ edit, i })).sort((a, b) => a.edit.from - b.edit.from || a.i - b.i)
      .map(({ edit }) => edit),
    sql,
  };
}

/** The SQL to run over the views of a rule's tables, one a base, with looks at the deadline by the function `tick`. */
export function windowSql({ sql, edits }: WindowQuery, views: readonly string[], tick: string): string {
  let out = "", at = 0;
  for (const { from, to, text } of edits) {
    out += sql.slice(at, from) + text(views, tick);
    at = to;
  }
  return out + sql.slice(at);
}

/** One SELECT: what it reads and by which conditions. */
class SelectScope {
  readonly items: Item[] = [];
  readonly #conditions: Node[] = [];
  readonly #merged = new Set<string>();

  constructor(select: SelectStmt, readonly ctes: ReadonlySet<string>) {
    for (const clause of select.clauses) {
      if (clause.type === "from_clause") this.#from(clause.expr, null);
      if (clause.type === "where_clause") this.#conditions.push(...conjuncts(clause.expr));
    }
  }

  /** The conditions that speak of this item alone, as one form. @throws SqlRefusedError when there are none */
  base(item: Item): Form {
    const forms: Form[] = [];
    for (const condition of item.own ?? this.#conditions) {
      if (!this.#isAbout(condition, item)) continue;
      const { form } = translateWhere(condition);
      if (form !== null) forms.push(form);
    }
    const base: Form = forms.length === 1 ? forms[0]! : { kind: "and", items: forms };
    if (forms.length === 0 || formSize(base) > MAX_FORM_NODES) {
      const { node } = item.table!;
      refuse(
        `${item.alias} needs a condition of its own that can be judged row by row, such as ` +
          `${item.alias}.event_type = 'start'; without it the window would hold every event`,
        start(node),
      );
    }
    return base;
  }

  /** Columns that one item is compared in with another. */
  *lookups(): Generator<string> {
    for (const condition of this.items.flatMap(({ own }) => own ?? []).concat(this.#conditions)) {
      if (condition.type !== "binary_expr" || !["=", "==", "IS"].includes(operatorName(condition.operator))) continue;
      const sides = [condition.left, condition.right] as Node[];
      if (!sides.every((side) => side.type === "member_expr" || side.type === "identifier")) continue;
      for (const side of sides) {
        const name = side.type === "member_expr" ? side.property : side;
        if (name.type === "identifier" && PLACES.has(name.name.toLowerCase())) yield name.name.toLowerCase();
      }
    }
    for (const column of this.#merged) if (PLACES.has(column)) yield column;
  }

  #from(node: Node, own: readonly Node[] | null): void {
    if (node.type === "join_expr") return this.#join(node);
    const named = node.type === "alias" ? node.expr as Node : node;
    const alias = node.type === "alias" && node.alias.type === "identifier" ? node.alias.name : "process_events";
    const table = named.type === "identifier" && named.name.toLowerCase() === "process_events" &&
        !this.ctes.has("process_events")
      ? { node: named, aliased: node.type === "alias" }
      : null;
    const name = table === null && named.type === "identifier" && node.type !== "alias" ? named.name : alias;
    this.items.push({ alias: name.toLowerCase(), table, own });
  }

  #join(join: JoinExpr): void {
    this.#from(join.left, null);
    const { specification } = join;
    if (specification?.type === "join_using_specification") {
      for (const column of specification.expr.expr.items) this.#merged.add(column.name.toLowerCase());
      return this.#from(join.right, null);
    }
    const on = specification === undefined ? [] : conjuncts(specification.expr);
    if (operatorName(join.operator).startsWith("LEFT")) return this.#from(join.right, on);
    this.#conditions.push(...on);
    this.#from(join.right, null);
  }

  #isAbout(condition: Node, item: Item): boolean {
    const tables = this.items.filter(({ table }) => table !== null);
    let found = false;
    const alone = eachColumn(condition, (of, name) => {
      if (of === null) {
        // A bare name that two items offer was refused; one of several tables' can only be of a USING.
        if (tables.length !== 1 || !PLACES.has(name) || this.#merged.has(name)) return false;
      } else if (of !== item.alias) return false;
      return found = true;
    });
    return alone && found;
  }
}

/** The columns of the catalog whose names stand in the query, and those that every table of a rule has. */
function columnsNamed(statement: Node): Set<string> {
  const columns = new Set<string>(KEY_COLUMNS);
  walk(statement, (node) => {
    if (node.type === "identifier" && PLACES.has(node.name.toLowerCase())) columns.add(node.name.toLowerCase());
  });
  return columns;
}

function cteNames(statement: Node): Set<string> {
  const names = new Set<string>();
  walk(statement, (node) => {
    if (node.type === "common_table_expr") names.add(node.table.name.toLowerCase());
  });
  return names;
}

function selectsIn(statement: Node): SelectStmt[] {
  const found: SelectStmt[] = [];
  walk(statement, (node) => {
    if (node.type === "select_stmt") found.push(node);
  });
  return found;
}

/** `count(*)` names no column; `SELECT *` names them all. @throws SqlRefusedError */
export function refuseStars(node: Node): void {
  for (const child of node.type === "func_call" ? node.args?.expr.args.items ?? [] : childrenOf(node)) {
    if ((child as Node).type !== "all_columns") refuseStars(child as Node);
    else if (node.type !== "func_call") {
      refuse("Name the columns instead of *: memory holds those that a rule over a window names", start(child as Node));
    }
  }
}
