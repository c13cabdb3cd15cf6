/**
 * The check of what a query reads: tables, CTEs, subqueries and joins, and where the deadline must be looked at.
 *
 * SQLite may put a subquery, a CTE or a joined view into a temporary table first and loop over that without reading the
 * base table again, where no view can stop it. {@linkcode Insertion} is a look in every such loop.
 *
 * @module
 */
import type { Expr, FromClause, Identifier, JoinExpr, Node, WithClause } from "sql-parser-cst";
import { CATALOG } from "../catalog.ts";
import type { Table } from "../tables/table.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { ExpressionCheck } from "./sql_expression.ts";
import { end, operatorName, type Query, queryIn, start } from "./sql_nodes.ts";
import { refuse, suggestion } from "./sql_refused.ts";
import { addSource, mergeColumn, openScope, type Scope, type Source } from "./sql_scope.ts";
import { tickColumn } from "./weave.ts";

/** Tables that a query reads, every use of a CTE counted. */
export const MAX_FROM_ITEMS = 8;
export const MAX_JOINS = 4;

/** The tables that a rule may read; a hunt reads all of the catalog. */
export const RULE_TABLES: ReadonlySet<string> = new Set(["process_events"]);

const JOIN_OPERATORS = new Set(["JOIN", "INNER JOIN", "LEFT JOIN", "LEFT OUTER JOIN"]);

/** Text to put into the query at an offset; `tick` is the function that looks at the deadline. */
export interface Insertion {
  /** Offset in the query. */
  readonly at: number;
  /** The text. */
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
  readonly eventReads: number;
}

/** Checks FROM and WITH; what a SELECT is, its heir knows. */
export abstract class FromCheck extends ExpressionCheck {
  readonly insertions: Insertion[] = [];
  /** Tables that collectors brought. */
  collected: TableSet = NO_TABLES;
  /** Tables of the catalog that are read. */
  readonly tables = new Set<string>();
  readonly #ctes = new Map<string, Cte>();
  readonly #unready = new Set<string>();
  #fromItems = 0;
  /** Those of the FROM items that are `process_events`. */
  #eventReads = 0;

  /** How often `process_events` is read, every use of a CTE counted. */
  get eventReads(): number {
    return this.#eventReads;
  }

  /** Checks a query; `named` when its columns are going to be referred to. */
  protected abstract query(query: Query, scope: Scope, named: boolean): readonly Output[];

  protected withClause(clause: WithClause, scope: Scope): void {
    if (clause.recursiveKw !== undefined) refuse("Recursion is not allowed", start(clause.recursiveKw));
    for (const cte of clause.tables.items) this.#unready.add(this.name(cte.table));
    for (const cte of clause.tables.items) {
      const name = this.name(cte.table);
      if (this.#known(name) !== undefined) refuse(`${name} is a table; give the CTE another name`, start(cte.table));
      if (this.#ctes.has(name)) refuse(`Two CTEs are named ${name}`, start(cte.table));
      if (cte.materializedKw !== undefined) refuse("MATERIALIZED is not allowed", start(cte));
      if (cte.search !== undefined || cte.cycle !== undefined) refuse("Recursion is not allowed", start(cte));
      const body = queryIn(cte.expr);
      if (body === null) refuse("A CTE must be a SELECT", start(cte.expr));

      const before = this.#fromItems, eventsBefore = this.#eventReads;
      this.#fromItems = 0;
      this.#eventReads = 0;
      const outputs = this.query(body, { ...openScope(null), level: scope.level + 1 }, cte.columns === undefined);
      const items = this.#fromItems, eventReads = this.#eventReads;
      this.#fromItems = before;
      this.#eventReads = eventsBefore;
      let columns = outputs.map((output) => output.name?.toLowerCase() ?? "");
      if (cte.columns !== undefined) {
        columns = cte.columns.expr.items.map((column) => this.name(column));
        if (columns.length !== outputs.length) {
          refuse(`${name} names ${columns.length} columns, its SELECT has ${outputs.length}`, start(cte.columns));
        }
        if (new Set(columns).size < columns.length) refuse(`${name} names a column twice`, start(cte.columns));
      }
      this.#ctes.set(name, { columns, items, eventReads });
      this.#unready.delete(name);
    }
  }

  protected fromItem(item: Node, scope: Scope): void {
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
        return this.fromItem(inner, scope);
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
    const table = this.#known(name);
    if (this.#unready.has(name)) refuse(`${name} refers to itself or to a later CTE; recursion is not allowed`, offset);
    if (cte === undefined && table === undefined) {
      refuse(
        `There is no table ${name}${
          suggestion(name, [...CATALOG.keys(), ...this.collected.keys(), ...this.#ctes.keys()])
        }`,
        offset,
      );
    }
    const readable = this.purpose === "collected" ? this.collected : RULE_TABLES;
    if (this.purpose !== "hunt" && cte === undefined && !readable.has(name)) {
      const names = this.purpose === "collected" ? "the table that it names" : [...RULE_TABLES].join(" or ");
      refuse(`A rule reads ${names}, not ${name}`, offset);
    }
    if (alias !== name && (this.#known(alias) !== undefined || this.#ctes.has(alias))) {
      refuse(`The alias ${alias} is the name of a table`, offset);
    }
    if (table !== undefined) this.tables.add(name);
    this.#countItems(cte?.items ?? 1, offset);
    this.#eventReads += cte?.eventReads ?? Number(name === "process_events");
    addSource(scope, {
      name: alias,
      table: table === undefined ? null : name,
      columns: cte?.columns ?? table!.columns.map((column) => column.name),
      offset,
    });
  }

  #derived(query: Query, alias: string, scope: Scope): void {
    this.several("A subquery", start(query));
    this.found.subqueries++;
    if (this.#known(alias) !== undefined || this.#ctes.has(alias)) {
      refuse(`The alias ${alias} is the name of a table`, start(query));
    }
    // A subquery in FROM sees nothing of the SELECT around it.
    const outputs = this.query(query, { ...openScope(null), level: scope.level + 1 }, true);
    const columns = outputs.map((output) => output.name!.toLowerCase());
    addSource(scope, { name: alias, table: null, columns, offset: start(query) });
  }

  #known(name: string): Table | undefined {
    return CATALOG.get(name) ?? this.collected.get(name);
  }

  #countItems(items: number, offset: number): void {
    this.#fromItems += items;
    if (this.#fromItems > MAX_FROM_ITEMS) {
      refuse(`More than ${MAX_FROM_ITEMS} tables are read, every use of a CTE counted`, offset);
    }
  }

  #join(join: JoinExpr, scope: Scope): void {
    const operator = operatorName(join.operator);
    this.several("A join", start(join.right));
    if (++this.found.joins > MAX_JOINS) refuse(`More than ${MAX_JOINS} joins`, start(join.right));
    if (operator === ",") refuse("Write JOIN … ON instead of a comma", start(join.right));
    if (!JOIN_OPERATORS.has(operator)) {
      refuse(`${operator} is not allowed; write JOIN or LEFT JOIN, with ON or USING`, start(join.right));
    }
    this.fromItem(join.left, scope);
    this.fromItem(join.right, scope);
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
  protected deadline(scope: Scope, where: Expr | null, from: FromClause): void {
    const [only] = scope.sources;
    if (scope.sources.length === 1 && only!.table !== null && scope.parent === null) return;
    if (where !== null) {
      this.#wrap(where, scope.sources);
      this.#close(where);
    } else this.insertions.push({ at: end(from), text: (tick) => ` WHERE ${this.#looks(tick, scope.sources)}` });
  }

  #wrap(expression: Expr, sources: readonly Source[]): void {
    this.insertions.push({ at: start(expression), text: (tick) => `${this.#looks(tick, sources)} AND (` });
  }

  /** SQL that looks at the deadline for every row of these FROM items. */
  #looks(tick: string, sources: readonly Source[]): string {
    return sources.map(({ name, table, columns }) => {
      return `${tick}("${name}"."${table === null ? columns[0]! : tickColumn(this.#known(table)!)}")`;
    }).join(" AND ");
  }

  #close(expression: Expr): void {
    this.insertions.push({ at: end(expression), text: () => ")" });
  }
}
