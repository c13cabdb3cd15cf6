/**
 * The syntax tree of the plainest queries, fifty times as fast as `sql-parser-cst` makes it.
 *
 * Nearly all rules are a SELECT of columns from one table whose WHERE joins comparisons by AND, OR and NOT, and thousands
 * of them are read at a start. This reads those alone, from the tokens of the lexer, and gives the very tree that the
 * library gives; of whatever else it meets it says nothing, and the library reads it. It takes nothing on trust that the
 * library does not: SQLite has judged the syntax before, and the guard checks the tree of either in the same way. A test
 * holds the two to one tree.
 *
 * @module
 */
import type { Node } from "sql-parser-cst";
import type { LexedSql, Token } from "./sql_lexer.ts";
import { FUNCTION_NAMES } from "./sql_functions.ts";

/** All keywords of SQLite: none is taken for a name here. */
const KEYWORDS = new Set(
  ("ABORT ACTION ADD AFTER ALL ALTER ALWAYS ANALYZE AND AS ASC ATTACH AUTOINCREMENT BEFORE BEGIN BETWEEN BY CASCADE CASE " +
    "CAST CHECK COLLATE COLUMN COMMIT CONFLICT CONSTRAINT CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME " +
    "CURRENT_TIMESTAMP DATABASE DEFAULT DEFERRABLE DEFERRED DELETE DESC DETACH DISTINCT DO DROP EACH ELSE END ESCAPE " +
    "EXCEPT EXCLUDE EXCLUSIVE EXISTS EXPLAIN FAIL FALSE FILTER FIRST FOLLOWING FOR FOREIGN FROM FULL GENERATED GLOB GROUP " +
    "GROUPS HAVING IF IGNORE IMMEDIATE IN INDEX INDEXED INITIALLY INNER INSERT INSTEAD INTERSECT INTO IS ISNULL JOIN KEY " +
    "LAST LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NO NOT NOTHING NOTNULL NULL NULLS OF OFFSET ON OR ORDER OTHERS OUTER " +
    "OVER PARTITION PLAN PRAGMA PRECEDING PRIMARY QUERY RAISE RANGE RECURSIVE REFERENCES REGEXP REINDEX RELEASE RENAME " +
    "REPLACE RESTRICT RETURNING RIGHT ROLLBACK ROW ROWS SAVEPOINT SELECT SET TABLE TEMP TEMPORARY THEN TIES TO TRANSACTION " +
    "TRIGGER TRUE UNBOUNDED UNION UNIQUE UPDATE USING VACUUM VALUES VIEW VIRTUAL WHEN WHERE WINDOW WITH WITHOUT").split(
      " ",
    ),
);
const FUNCTIONS: ReadonlySet<string> = new Set(FUNCTION_NAMES);
const COMPARISONS: ReadonlySet<string> = new Set(["=", "==", "<>", "!=", "<", "<=", ">", ">="]);

type Range = [number, number];
/** A node as it is made here; the library's types say more than a maker needs. */
interface Made {
  readonly type: string;
  readonly range: Range;
}

/** Thrown, and caught here: something is not plain. */
const NOT_PLAIN: Error = new RangeError("The query is not plain");

/** The statement, or `null` for one that the library must read. */
export function parsePlainSelect(lexed: LexedSql): Node | null {
  try {
    return new PlainParser(lexed).statement() as unknown as Node;
  } catch (error) {
    // A stack that is not deep enough here is not there either: it says so
    if (error === NOT_PLAIN || error instanceof RangeError) return null;
    throw error;
  }
}

class PlainParser {
  readonly #sql: string;
  readonly #tokens: readonly Token[];
  /** The upper-case word or the symbol of the token that is next; "" for what is a value or a quoted name, or no more. */
  #word = "";
  #at = -1;

  constructor({ sql, tokens }: LexedSql) {
    this.#sql = sql;
    this.#tokens = tokens;
    this.#advance();
  }

  statement(): Made {
    const selectKw = this.#keyword("SELECT"), items: Made[] = [this.#output()];
    while (this.#is(",")) {
      this.#advance();
      items.push(this.#output());
    }
    const columns = listOf(items);
    const select = { type: "select_clause", selectKw, modifiers: [], columns, range: over(selectKw, columns) };
    const fromKw = this.#keyword("FROM"), table = this.#table();
    const from = { type: "from_clause", fromKw, expr: table, range: over(fromKw, table) };
    const whereKw = this.#keyword("WHERE"), condition = this.#or();
    if (this.#at < this.#tokens.length) throw NOT_PLAIN;
    const where = { type: "where_clause", whereKw, expr: condition, range: over(whereKw, condition) };
    return made({ type: "select_stmt", clauses: [select, from, where], range: over(select as Made, where as Made) });
  }

  #output(): Made {
    if (this.#is("*")) {
      const { start, end } = this.#take();
      return { type: "all_columns", range: [start, end] };
    }
    const expr = this.#operand();
    if (!this.#is("AS")) return expr;
    const asKw = this.#keyword("AS"), alias = this.#identifier();
    return made({ type: "alias", expr, asKw, alias, range: over(expr, alias) });
  }

  #table(): Made {
    const expr = this.#identifier();
    if (this.#is("WHERE")) return expr;
    if (!this.#is("AS")) {
      const alias = this.#identifier();
      return made({ type: "alias", expr, alias, range: over(expr, alias) });
    }
    const asKw = this.#keyword("AS"), alias = this.#identifier();
    return made({ type: "alias", expr, asKw, alias, range: over(expr, alias) });
  }

  #or(): Made {
    let left = this.#and();
    while (this.#is("OR")) {
      const operator = this.#keyword("OR"), right = this.#and();
      left = infix(operator, left, right);
    }
    return left;
  }

  #and(): Made {
    let left = this.#not();
    while (this.#is("AND")) {
      const operator = this.#keyword("AND"), right = this.#not();
      left = infix(operator, left, right);
    }
    return left;
  }

  #not(): Made {
    if (!this.#is("NOT")) return this.#comparison();
    const operator = this.#keyword("NOT"), expr = this.#not();
    return made({ type: "prefix_op_expr", operator, expr, range: over(operator, expr) });
  }

  /** One comparison at most: what follows it must end the expression, or it is not plain. */
  #comparison(): Made {
    const left = this.#operand();
    if (COMPARISONS.has(this.#word)) {
      const operator = this.#word;
      this.#advance();
      return infix(operator, left, this.#operand());
    }
    if (this.#is("IS")) {
      const isKw = this.#keyword("IS");
      const operator = this.#is("NOT") ? [isKw, this.#keyword("NOT")] : isKw;
      return infix(operator, left, this.#operand());
    }
    const notKw = this.#is("NOT") ? this.#keyword("NOT") : null;
    const named = (name: string): Made | readonly Made[] => {
      const keyword = this.#keyword(name);
      return notKw === null ? keyword : [notKw, keyword];
    };
    switch (this.#word) {
      case "LIKE": {
        const operator = named("LIKE"), pattern = this.#operand();
        if (!this.#is("ESCAPE")) return infix(operator, left, pattern);
        const escape = this.#keyword("ESCAPE");
        return infix(operator, left, infix(escape, pattern, this.#operand()));
      }
      case "REGEXP":
        return infix(named("REGEXP"), left, this.#operand());
      case "IN":
        return infix(named("IN"), left, this.#list());
      case "BETWEEN": {
        const betweenKw = named("BETWEEN"), begin = this.#operand(), andKw = this.#keyword("AND");
        const end = this.#operand();
        return made({ type: "between_expr", left, betweenKw, begin, andKw, end, range: over(left, end) });
      }
    }
    if (notKw !== null) throw NOT_PLAIN;
    return left;
  }

  /** The values of IN. */
  #list(): Made {
    const { start } = this.#symbol("("), items: Made[] = [this.#operand()];
    while (this.#is(",")) {
      this.#advance();
      items.push(this.#operand());
    }
    const { end } = this.#symbol(")");
    return made({ type: "paren_expr", expr: listOf(items), range: [start, end] });
  }

  /** A value, a column, a call, a condition in parentheses, or one of these with a sign. */
  #operand(): Made {
    if (this.#is("-") || this.#is("+")) {
      const operator = this.#word, { start } = this.#take(), expr = this.#primary();
      return made({ type: "prefix_op_expr", operator, expr, range: [start, expr.range[1]] });
    }
    return this.#primary();
  }

  #primary(): Made {
    const token = this.#tokens[this.#at];
    switch (token?.kind) {
      case "text": {
        this.#advance();
        const text = this.#sql.slice(token.start, token.end);
        return made({ type: "string_literal", text, value: text.slice(1, -1).replaceAll("''", "'"), range: of(token) });
      }
      case "number": {
        const text = this.#sql.slice(token.start, token.end);
        if (!/^[0-9]{1,15}(\.[0-9]{1,15})?$/.test(text)) throw NOT_PLAIN;
        this.#advance();
        return made({ type: "number_literal", text, value: Number(text), range: of(token) });
      }
      case "symbol": {
        if (!this.#is("(")) throw NOT_PLAIN;
        this.#advance();
        const expr = this.#or(), { end } = this.#symbol(")");
        return made({ type: "paren_expr", expr, range: [token.start, end] });
      }
      case "word":
        if (this.#is("NULL")) {
          const nullKw = this.#keyword("NULL");
          return made({ type: "null_literal", nullKw, value: null, range: [...nullKw.range] });
        }
        if (this.#is("TRUE") || this.#is("FALSE")) {
          const value = this.#is("TRUE"), valueKw = this.#keyword(this.#word);
          return made({ type: "boolean_literal", valueKw, value, range: [...valueKw.range] });
        }
    }
    return this.#named();
  }

  /** A column, `table.column`, or a call of a function that the guard knows. */
  #named(): Made {
    const isQuoted = this.#tokens[this.#at]?.kind === "name", name = this.#identifier();
    if (this.#is(".")) {
      this.#advance();
      const property = this.#identifier();
      return made({ type: "member_expr", object: name, property, range: over(name, property) });
    }
    if (!this.#is("(")) return name;
    if (isQuoted || !FUNCTIONS.has((name as unknown as { text: string }).text.toLowerCase())) throw NOT_PLAIN;
    const { start } = this.#take(), items: Made[] = [this.#operand()];
    while (this.#is(",")) {
      this.#advance();
      items.push(this.#operand());
    }
    const { end } = this.#symbol(")"), list = listOf(items);
    const args = made({ type: "func_args", args: list, range: [...list.range] });
    const within = made({ type: "paren_expr", expr: args, range: [start, end] });
    return made({ type: "func_call", name, args: within, range: [name.range[0], end] });
  }

  #identifier(): Made {
    const token = this.#tokens[this.#at];
    if (token?.kind !== "name" && (token?.kind !== "word" || KEYWORDS.has(this.#word))) throw NOT_PLAIN;
    this.#advance();
    const text = this.#sql.slice(token.start, token.end);
    return made({
      type: "identifier",
      text,
      name: token.kind === "name" ? text.slice(1, -1) : text,
      range: of(token),
    });
  }

  #keyword(name: string): Made {
    if (this.#word !== name) throw NOT_PLAIN;
    const token = this.#take();
    return made({ type: "keyword", text: this.#sql.slice(token.start, token.end), name, range: of(token) });
  }

  #symbol(symbol: string): Token {
    if (this.#word !== symbol) throw NOT_PLAIN;
    return this.#take();
  }

  #take(): Token {
    const token = this.#tokens[this.#at]!;
    this.#advance();
    return token;
  }

  #is(word: string): boolean {
    return this.#word === word;
  }

  #advance(): void {
    const token = this.#tokens[++this.#at];
    if (token?.kind === "word") this.#word = this.#sql.slice(token.start, token.end).toUpperCase();
    else this.#word = token?.kind === "symbol" ? this.#sql.slice(token.start, token.end) : "";
  }
}

function made<T extends Made>(node: T): Made {
  return node;
}

function of({ start, end }: Token): Range {
  return [start, end];
}

function over(first: Made, last: Made): Range {
  return [first.range[0], last.range[1]];
}

function listOf(items: readonly Made[]): Made {
  return made({ type: "list_expr", items, range: over(items[0]!, items.at(-1)!) });
}

function infix(operator: unknown, left: Made, right: Made): Made {
  return made({ type: "binary_expr", operator, left, right, range: over(left, right) } as Made);
}
