/**
 * The check of a parsed query: which statements, clauses, FROM items, operators, functions and names it may have.
 *
 * Every kind of syntax node is named here, and one that is not is refused: what a later version of the parser learns to
 * read stays out until someone lets it in. A query of purpose "rule" looks at one row of `process_events` at a time.
 *
 * The check also notes where the deadline must be looked at ({@linkcode Insertion}): SQLite may put a subquery, a CTE
 * or a joined view into a temporary table first and loop over that without reading the base table again.
 *
 * @module
 */
import type {
  Expr,
  FromClause,
  GroupByClause,
  Identifier,
  JoinExpr,
  Node,
  OrderByClause,
  SelectClause,
  SelectStmt,
  WithClause,
} from "sql-parser-cst";
import { CATALOG, type Table } from "../catalog.ts";
import { ExpressionCheck, severalRows } from "./sql_expression.ts";
import {
  armsOf,
  checkLimit,
  end,
  MAX_TERMS,
  operatorName,
  orderTerms,
  ordinalOf,
  type Query,
  queryIn,
  start,
} from "./sql_nodes.ts";
import { refuse, suggestion } from "./sql_refused.ts";
import {
  addSource,
  AGGREGATE,
  mergeColumn,
  openScope,
  OWN_COLUMN,
  type Scope,
  type Source,
  WINDOW,
} from "./sql_scope.ts";

export const MAX_FROM_ITEMS = 4;
export const MAX_SUBQUERY_LEVEL = 3;
export const MAX_COMPOUND = 4;
export const MAX_COLUMNS = 50;

/** Text to put into the query at an offset; `tick` is the function that looks at the deadline. */
export interface Insertion {
  readonly at: number;
  readonly text: (tick: string) => string;
}

/** One column of a result. */
export interface Output {
  /** `null` for an expression without an alias. */
  readonly name: string | null;
  readonly facts: number;
  /** The column of `process_events` that it shows unchanged, or `null`. */
  readonly column: string | null;
  /** Range of its expression in the query; `null` for one of the columns of `*`. */
  readonly range: readonly [number, number] | null;
}

interface Cte {
  readonly columns: readonly string[];
  readonly items: number;
}

const JOIN_OPERATORS = new Set(["JOIN", "INNER JOIN", "LEFT JOIN", "LEFT OUTER JOIN"]);

/** Checks one parsed query; use once. */
export class QueryCheck extends ExpressionCheck {
  readonly insertions: Insertion[] = [];
  /** Tables of the catalog that are read. */
  readonly tables = new Set<string>();
  readonly #ctes = new Map<string, Cte>();
  readonly #unready = new Set<string>();
  #fromItems = 0;

  protected override subquery(query: Query, around: Scope): number {
    return this.#query(query, openScope(around), false).length;
  }

  /** The whole query. */
  statement(query: Node): readonly Output[] {
    if (query.type === "compound_select_stmt") {
      if (this.purpose === "rule") refuse(severalRows("A compound SELECT"), start(query));
    } else if (query.type !== "select_stmt") refuse("Only SELECT statements are allowed", start(query));
    return this.#query(query as Query, openScope(null), false);
  }

  /** A SELECT or a compound of them; `named` when its columns are going to be referred to. */
  #query(query: Query, scope: Scope, named: boolean): readonly Output[] {
    const arms = armsOf(query);
    if (arms.length > MAX_COMPOUND) {
      refuse(`A compound has ${arms.length} SELECTs; ${MAX_COMPOUND} are allowed`, start(query));
    }
    const compound = arms.length > 1;
    const scopes = arms.map((_, i) => i === 0 ? scope : { ...openScope(scope.parent), level: scope.level });
    const shapes = arms.map((arm, i) => this.#select(arm, scopes[i]!, compound, i === arms.length - 1));
    const first = shapes[0]!;
    shapes.forEach((shape, i) => {
      if (shape.length === first.length) return;
      refuse(`This SELECT has ${shape.length} columns, the first of the compound ${first.length}`, start(arms[i]!));
    });
    if (compound) this.#compoundOrder(arms.at(-1)!, first);
    if (named) requireNames(first, start(query));
    return first;
  }

  #select(select: SelectStmt, scope: Scope, compound: boolean, last: boolean): readonly Output[] {
    if (scope.level > MAX_SUBQUERY_LEVEL) {
      refuse(`Subqueries are nested more than ${MAX_SUBQUERY_LEVEL} deep`, start(select));
    }
    const clauses = new Map(select.clauses.map((clause) => [clause.type, clause]));
    for (const clause of select.clauses) this.#clauseAllowed(clause, clauses, compound && !last);
    const withClause = clauses.get("with_clause") as WithClause | undefined;
    if (withClause !== undefined) this.#with(withClause, scope);

    const from = clauses.get("from_clause") as FromClause | undefined;
    if (from === undefined) refuse("A SELECT must read a table: FROM is missing", start(select));
    this.#fromItem(from.expr, scope);
    const outputs = this.#outputs(clauses.get("select_clause") as SelectClause, scope);
    const where = clauses.get("where_clause");
    if (where?.type === "where_clause") this.expression(where.expr, scope, "WHERE");
    this.#deadline(scope, where?.type === "where_clause" ? where.expr : null, from);

    const group = clauses.get("group_by_clause");
    if (group?.type === "group_by_clause") this.#groupBy(group, scope, outputs);
    const having = clauses.get("having_clause");
    if (having?.type === "having_clause") {
      if (group === undefined) refuse("HAVING needs GROUP BY", start(having));
      this.expression(having.expr, scope, "HAVING");
    }
    const order = clauses.get("order_by_clause");
    if (order?.type === "order_by_clause" && !compound) this.#orderBy(order, scope, outputs);
    const limit = clauses.get("limit_clause");
    if (limit?.type === "limit_clause") checkLimit(limit);
    return outputs;
  }

  #clauseAllowed(clause: Node, clauses: ReadonlyMap<string, Node>, notLast: boolean): void {
    if (clauses.get(clause.type) !== clause) refuse("This clause stands twice", start(clause));
    const rule = this.purpose === "rule";
    switch (clause.type) {
      case "select_clause":
      case "from_clause":
      case "where_clause":
        return;
      case "with_clause":
        if (rule) refuse(severalRows("WITH"), start(clause));
        return;
      case "group_by_clause":
      case "having_clause":
        if (rule) refuse(severalRows("GROUP BY"), start(clause));
        return;
      case "order_by_clause":
      case "limit_clause": {
        const name = clause.type === "limit_clause" ? "LIMIT" : "ORDER BY";
        if (rule) refuse(severalRows(name), start(clause));
        if (notLast) refuse(`${name} stands at the end of a compound`, start(clause));
        return;
      }
      case "values_clause":
        return refuse("VALUES is not allowed", start(clause));
      case "window_clause":
        return refuse("WINDOW is not allowed; write the window after OVER", start(clause));
      default:
        return refuse(`This clause is not allowed (${clause.type})`, start(clause));
    }
  }

  #with(clause: WithClause, scope: Scope): void {
    if (clause.recursiveKw !== undefined) refuse("Recursion is not allowed", start(clause.recursiveKw));
    for (const cte of clause.tables.items) this.#unready.add(this.name(cte.table));
    for (const cte of clause.tables.items) {
      const name = this.name(cte.table);
      if (CATALOG.has(name)) refuse(`${name} is a table; give the CTE another name`, start(cte.table));
      if (this.#ctes.has(name)) refuse(`Two CTEs are named ${name}`, start(cte.table));
      if (cte.materializedKw !== undefined) refuse("MATERIALIZED is not allowed", start(cte));
      if (cte.search !== undefined || cte.cycle !== undefined) refuse("Recursion is not allowed", start(cte));
      const body = queryIn(cte.expr);
      if (body === null) refuse("A CTE must be a SELECT", start(cte.expr));

      const before = this.#fromItems;
      this.#fromItems = 0;
      const outputs = this.#query(body, { ...openScope(null), level: scope.level + 1 }, cte.columns === undefined);
      const items = this.#fromItems;
      this.#fromItems = before;
      let columns = outputs.map((output) => output.name?.toLowerCase() ?? "");
      if (cte.columns !== undefined) {
        columns = cte.columns.expr.items.map((column) => this.name(column));
        if (columns.length !== outputs.length) {
          refuse(`${name} names ${columns.length} columns, its SELECT has ${outputs.length}`, start(cte.columns));
        }
        if (new Set(columns).size < columns.length) refuse(`${name} names a column twice`, start(cte.columns));
      }
      this.#ctes.set(name, { columns, items });
      this.#unready.delete(name);
    }
  }

  #fromItem(item: Node, scope: Scope): void {
    switch (item.type) {
      case "identifier":
        return this.#table(item, this.name(item), scope);
      case "alias": {
        const alias = this.name(item.alias as Identifier);
        if (item.columnAliases !== undefined) refuse("Column aliases in FROM are not allowed", start(item));
        const inner = item.expr as Node;
        if (inner.type === "identifier") return this.#table(inner, alias, scope);
        const query = queryIn(inner);
        if (query !== null) return this.#derived(query, alias, scope);
        return this.#fromItem(inner, scope);
      }
      case "join_expr":
        return this.#join(item, scope);
      case "paren_expr":
        if (queryIn(item) !== null) refuse("Name this subquery: (SELECT …) AS name", start(item));
        return refuse("Parentheses around FROM items are not allowed", start(item));
      case "member_expr":
        return refuse("Schema names are not allowed; write the table's name alone", start(item));
      case "func_call":
        return refuse("Table-valued functions are not allowed", start(item));
      case "indexed_table":
      case "not_indexed_table":
        return refuse("INDEXED BY is not allowed", start(item));
      default:
        return refuse(`This FROM item is not allowed (${item.type})`, start(item));
    }
  }

  #table(item: Identifier, alias: string, scope: Scope): void {
    const name = this.name(item);
    const offset = start(item);
    const cte = this.#ctes.get(name);
    const table = CATALOG.get(name);
    if (this.#unready.has(name)) refuse(`${name} refers to itself or to a later CTE; recursion is not allowed`, offset);
    if (cte === undefined && table === undefined) {
      refuse(`There is no table ${name}${suggestion(name, [...CATALOG.keys(), ...this.#ctes.keys()])}`, offset);
    }
    if (this.purpose === "rule" && name !== "process_events") {
      refuse(`A rule reads process_events, not ${name}`, offset);
    }
    if (alias !== name && (CATALOG.has(alias) || this.#ctes.has(alias))) {
      refuse(`The alias ${alias} is the name of a table`, offset);
    }
    if (table !== undefined) this.tables.add(name);
    this.#countItems(cte?.items ?? 1, offset);
    addSource(scope, {
      name: alias,
      table: table === undefined ? null : name,
      columns: cte?.columns ?? table!.columns.map((column) => column.name),
      offset,
    });
  }

  #derived(query: Query, alias: string, scope: Scope): void {
    if (this.purpose === "rule") refuse(severalRows("A subquery"), start(query));
    if (CATALOG.has(alias) || this.#ctes.has(alias)) refuse(`The alias ${alias} is the name of a table`, start(query));
    // A subquery in FROM sees nothing of the SELECT around it.
    const outputs = this.#query(query, { ...openScope(null), level: scope.level + 1 }, true);
    const columns = outputs.map((output) => output.name!.toLowerCase());
    addSource(scope, { name: alias, table: null, columns, offset: start(query) });
  }

  #countItems(items: number, offset: number): void {
    this.#fromItems += items;
    if (this.#fromItems > MAX_FROM_ITEMS) {
      refuse(`More than ${MAX_FROM_ITEMS} tables are read, every use of a CTE counted`, offset);
    }
  }

  #join(join: JoinExpr, scope: Scope): void {
    const operator = operatorName(join.operator);
    if (this.purpose === "rule") refuse(severalRows("A join"), start(join.right));
    if (operator === ",") refuse("Write JOIN … ON instead of a comma", start(join.right));
    if (!JOIN_OPERATORS.has(operator)) {
      refuse(`${operator} is not allowed; write JOIN or LEFT JOIN, with ON or USING`, start(join.right));
    }
    this.#fromItem(join.left, scope);
    this.#fromItem(join.right, scope);
    const specification = join.specification;
    if (specification === undefined) refuse("A join needs ON or USING", start(join.right));
    const outer = operator.startsWith("LEFT");
    if (specification.type === "join_using_specification") {
      if (outer) refuse("LEFT JOIN needs ON", start(specification));
      for (const column of specification.expr.expr.items) {
        mergeColumn(scope, this.name(column), start(column));
      }
      return;
    }
    // A row of the right side that does not match never reaches WHERE: the deadline is looked at here.
    const right = scope.sources.at(-1)!;
    if (outer) this.#wrap(specification.expr, [right]);
    this.expression(specification.expr, scope, "ON");
    if (outer) this.#close(specification.expr);
  }

  /** Looks at the deadline in every loop of this SELECT that may run over a temporary table. */
  #deadline(scope: Scope, where: Expr | null, from: FromClause): void {
    const [only] = scope.sources;
    if (scope.sources.length === 1 && only!.table !== null && scope.parent === null) return;
    if (where !== null) {
      this.#wrap(where, scope.sources);
      this.#close(where);
    } else this.insertions.push({ at: end(from), text: (tick) => ` WHERE ${looks(tick, scope.sources)}` });
  }

  #wrap(expression: Expr, sources: readonly Source[]): void {
    this.insertions.push({ at: start(expression), text: (tick) => `${looks(tick, sources)} AND (` });
  }

  #close(expression: Expr): void {
    this.insertions.push({ at: end(expression), text: () => ")" });
  }

  #outputs(clause: SelectClause, scope: Scope): readonly Output[] {
    const rule = this.purpose === "rule";
    for (const modifier of clause.modifiers) {
      if (modifier.type !== "select_all" && modifier.type !== "select_distinct") {
        refuse(`This form of SELECT is not allowed (${modifier.type})`, start(modifier));
      }
      if (rule && modifier.type === "select_distinct") refuse(severalRows("DISTINCT"), start(modifier));
    }
    const items = clause.columns?.items ?? [];
    if (items.length > MAX_COLUMNS) {
      refuse(`SELECT has ${items.length} columns; ${MAX_COLUMNS} are allowed`, start(items[MAX_COLUMNS]!));
    }
    const outputs: Output[] = [];
    const aliases: [string, number][] = [];
    for (const item of items) {
      if (item.type === "all_columns") outputs.push(...this.#allColumns(scope.sources, scope.merged));
      else if (item.type === "member_expr" && item.property.type === "all_columns") {
        if (item.object.type !== "identifier") refuse("Schema names are not allowed", start(item));
        const name = this.name(item.object);
        const source = scope.sources.find((source) => source.name === name);
        if (source === undefined) refuse(`No FROM item is named ${name}`, start(item));
        outputs.push(...this.#allColumns([source], new Set()));
      } else if (item.type === "alias") {
        const name = this.name(item.alias);
        const output = { ...this.#output(item.expr, scope), name };
        aliases.push([name, output.facts]);
        outputs.push(output);
      } else if (item.type === "empty" || item.type === "except_columns" || item.type === "replace_columns") {
        refuse("This form of SELECT is not allowed", start(item));
      } else outputs.push(this.#output(item, scope));
    }
    for (const [name, facts] of aliases) scope.aliases.set(name, (scope.aliases.get(name) ?? 0) | facts);
    if (outputs.length === 0) refuse("SELECT has no columns", start(clause));
    if (rule) requireNames(outputs, start(clause));
    return outputs;
  }

  #allColumns(sources: readonly Source[], merged: ReadonlySet<string>): Output[] {
    const outputs: Output[] = [];
    const seen = new Set<string>();
    for (const source of sources) {
      for (const column of source.columns) {
        if (merged.has(column) && seen.has(column)) continue;
        seen.add(column);
        outputs.push({
          name: column,
          facts: OWN_COLUMN,
          column: source.table === "process_events" ? column : null,
          range: null,
        });
      }
    }
    return outputs;
  }

  #output(expression: Expr, scope: Scope): Output {
    const range = [start(expression), end(expression)] as const;
    if (expression.type !== "identifier" && expression.type !== "member_expr") {
      return { name: null, facts: this.expression(expression, scope, "SELECT"), column: null, range };
    }
    const { source, name, facts } = this.column(expression, scope, "SELECT");
    return { name, facts, column: source?.table === "process_events" ? name : null, range };
  }

  #groupBy(clause: GroupByClause, scope: Scope, outputs: readonly Output[]): void {
    const items = clause.columns.items;
    if (clause.distinctKw !== undefined || clause.withRollupKw !== undefined) {
      refuse("This form of GROUP BY is not allowed", start(clause));
    }
    if (items.length > MAX_TERMS) {
      refuse(`GROUP BY has ${items.length} terms; ${MAX_TERMS} are allowed`, start(items[MAX_TERMS]!));
    }
    for (const item of items) {
      const ordinal = ordinalOf(item, outputs.length);
      if (ordinal !== null) {
        if ((outputs[ordinal - 1]!.facts & (AGGREGATE | WINDOW)) !== 0) {
          refuse("GROUP BY cannot use a column that holds an aggregate", start(item));
        }
      } else this.expression(item, scope, "GROUP BY");
    }
  }

  #orderBy(clause: OrderByClause, scope: Scope, outputs: readonly Output[]): void {
    for (const expression of orderTerms(clause)) {
      if (ordinalOf(expression, outputs.length) === null) this.expression(expression, scope, "ORDER BY");
    }
  }

  /** ORDER BY of a compound: only columns of the result, by name or place. */
  #compoundOrder(last: SelectStmt, outputs: readonly Output[]): void {
    const clause = last.clauses.find((clause) => clause.type === "order_by_clause");
    if (clause === undefined) return;
    for (const expression of orderTerms(clause)) {
      if (ordinalOf(expression, outputs.length) !== null) continue;
      const name = expression.type === "identifier" ? this.name(expression) : null;
      if (name === null || !outputs.some((output) => output.name?.toLowerCase() === name)) {
        refuse("ORDER BY of a compound takes the names of the first SELECT's columns, or numbers", start(expression));
      }
    }
  }
}

function requireNames(outputs: readonly Output[], offset: number): void {
  const seen = new Set<string>();
  for (const { name, range } of outputs) {
    if (name === null) return refuse("Give this expression a name with AS", range?.[0] ?? offset);
    if (seen.has(name.toLowerCase())) {
      refuse(`Two columns are named ${name}; give one of them another name with AS`, range?.[0] ?? offset);
    }
    seen.add(name.toLowerCase());
  }
}

/** SQL that looks at the deadline for every row of these FROM items. */
function looks(tick: string, sources: readonly Source[]): string {
  return sources.map(({ name, table, columns }) => {
    return `${tick}("${name}"."${table === null ? columns[0]! : tickColumn(CATALOG.get(table)!)}")`;
  }).join(" AND ");
}

/**
 * The column to hand to the function that looks at the deadline: SQLite calls a function without one only once, and a
 * number is the cheapest to hand over. A key would be the row's number, which SQLite does not count as a column read.
 */
export function tickColumn(table: Table): string {
  const columns = table.columns.filter((column) => !table.key.includes(column.name));
  return (columns.find((column) => column.type === "INTEGER") ?? columns[0]!).name;
}
