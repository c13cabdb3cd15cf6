/**
 * The check of a parsed query: which statements, clauses, FROM items, operators, functions and names it may have.
 *
 * Every kind of syntax node is named here, and one that is not is refused: what a later version of the parser learns to
 * read stays out until someone lets it in. What looks at several rows at once is noted: it decides where a rule runs.
 *
 * @module
 */
import type {
  Expr,
  FromClause,
  GroupByClause,
  Node,
  OrderByClause,
  SelectClause,
  SelectStmt,
  WithClause,
} from "sql-parser-cst";
import { FromCheck, type Output } from "./sql_from.ts";
import { armsOf, checkLimit, end, MAX_TERMS, orderTerms, ordinalOf, type Query, start } from "./sql_nodes.ts";
import { refuse } from "./sql_refused.ts";
import { AGGREGATE, openScope, OWN_COLUMN, type Scope, type Source, WINDOW } from "./sql_scope.ts";

export const MAX_SUBQUERY_LEVEL = 3;
export const MAX_COMPOUND = 4;
export const MAX_COLUMNS = 50;

/** Checks one parsed query; use once. */
export class QueryCheck extends FromCheck {
  protected override subquery(query: Query, around: Scope): number {
    return this.query(query, openScope(around), false).length;
  }

  /** The whole query. */
  statement(query: Node): readonly Output[] {
    if (query.type === "compound_select_stmt") {
      this.several("A compound SELECT", start(query));
    } else if (query.type !== "select_stmt") refuse("Only SELECT statements are allowed", start(query));
    // The evidence of an alert has a name for each value
    return this.query(query as Query, openScope(null), this.purpose !== "hunt");
  }

  /** A SELECT or a compound of them; `named` when its columns are going to be referred to. */
  protected override query(query: Query, scope: Scope, named: boolean): readonly Output[] {
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
    if (withClause !== undefined) this.withClause(withClause, scope);

    const from = clauses.get("from_clause") as FromClause | undefined;
    if (from === undefined) refuse("A SELECT must read a table: FROM is missing", start(select));
    this.fromItem(from.expr, scope);
    const group = clauses.get("group_by_clause"), having = clauses.get("having_clause");
    const order = clauses.get("order_by_clause"), limit = clauses.get("limit_clause");
    if (group !== undefined) this.several("GROUP BY", start(group));
    if (order !== undefined) this.several("ORDER BY", start(order));
    if (limit !== undefined) this.several("LIMIT", start(limit));
    if (order !== undefined || limit !== undefined) this.found.ordering = true;
    const outputs = this.#outputs(clauses.get("select_clause") as SelectClause, scope);
    const where = clauses.get("where_clause");
    if (where?.type === "where_clause") this.expression(where.expr, scope, "WHERE");
    this.deadline(scope, where?.type === "where_clause" ? where.expr : null, from);

    if (group?.type === "group_by_clause") this.#groupBy(group, scope, outputs);
    if (having?.type === "having_clause") {
      if (group === undefined) refuse("HAVING needs GROUP BY", start(having));
      this.expression(having.expr, scope, "HAVING");
    }
    if (order?.type === "order_by_clause" && !compound) this.#orderBy(order, scope, outputs);
    if (limit?.type === "limit_clause") checkLimit(limit);
    return outputs;
  }

  #clauseAllowed(clause: Node, clauses: ReadonlyMap<string, Node>, notLast: boolean): void {
    if (clauses.get(clause.type) !== clause) refuse("This clause stands twice", start(clause));
    switch (clause.type) {
      case "select_clause":
      case "from_clause":
      case "where_clause":
        return;
      case "with_clause":
        this.several("WITH", start(clause));
        return;
      case "group_by_clause":
      case "having_clause":
        return;
      case "order_by_clause":
      case "limit_clause": {
        const name = clause.type === "limit_clause" ? "LIMIT" : "ORDER BY";
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

  #outputs(clause: SelectClause, scope: Scope): readonly Output[] {
    for (const modifier of clause.modifiers) {
      if (modifier.type !== "select_all" && modifier.type !== "select_distinct") {
        refuse(`This form of SELECT is not allowed (${modifier.type})`, start(modifier));
      }
      if (modifier.type === "select_distinct") {
        this.several("DISTINCT", start(modifier));
        this.found.ordering = true;
      }
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
