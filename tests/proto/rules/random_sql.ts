/**
 * Random queries, from a grammar that is a little wider than what the guard accepts.
 *
 * Columns are mostly right, so that most queries get past the names and show how guard and SQLite see the forms.
 *
 * @module
 */
import { CATALOG } from "../../../proto/catalog.ts";

const NUMBERS = ["0", "1", "2", "3", "7", "1.5", "0x1f", "1e3"];
const TEXTS = ["'sh'", "'a%'", "'%b_'", "'it''s'", "''", "'$[0]'", "'é;--'"];
const WRONG = ["rowid", "secret", "nope", '"bash"'];
const SCALARS = ["length", "lower", "upper", "trim", "hex", "abs", "round", "unhex", "date", "json_array_length"];
const OTHERS = ["load_extension", "random", "printf", "json_each", "zeroblob", "glob", "like", "typeof", "tick"];

interface Item {
  readonly name: string;
  readonly columns: readonly string[];
}

export class RandomSql {
  /** Whether the rows of the query made last depend on no order that SQLite is free to choose. */
  settled = true;
  #state: number;
  /** CTEs of the query. */
  #ctes: Item[] = [];
  #names = 0;

  constructor(seed: number, readonly mischief = 0.02) {
    this.#state = seed >>> 0;
  }

  hunt(): string {
    let query = "";
    if (this.#chance(0.25)) {
      const name = this.#fresh("c");
      const columns = ["x", "y"].slice(0, 1 + this.#upTo(2));
      const body = this.#chance(this.mischief)
        ? `SELECT ${columns.map(() => 1)} FROM ${name}`
        : this.#core(1, columns, []);
      query = `WITH ${name} AS (${body}) `;
      this.#ctes = [{ name, columns }];
    }
    query += this.#core(0, null, []);
    if (this.#chance(0.15)) {
      query += ` ${this.#pick(["UNION", "UNION ALL", "EXCEPT", "INTERSECT"])} ${this.#core(0, null, [])}`;
    }
    return query + (this.#chance(0.05) ? ";" : "");
  }

  rule(): string {
    const alias = this.#chance(0.3) ? "e" : "process_events";
    const item = { name: alias, columns: columnsOf("process_events") };
    const list = this.#chance(0.2)
      ? "*"
      : this.#many(1, 4, (i) => `${this.#expression(2, [item])} AS k${i}`).join(", ");
    const from = alias === "e" ? "process_events AS e" : "process_events";
    return `SELECT ${list} FROM ${from} WHERE ${this.#expression(4, [item])}`;
  }

  /** A SELECT; `names` fixes the names of its columns. */
  #core(depth: number, names: readonly string[] | null, outer: readonly Item[]): string {
    const items: Item[] = [];
    let from = this.#fromItem(depth, items);
    for (let joins = this.#upTo(depth === 0 ? 3 : 2) - 1; joins > 0; joins--) {
      const join = this.#pick(["JOIN", "LEFT JOIN", "INNER JOIN", "LEFT OUTER JOIN"]);
      from += ` ${this.#chance(this.mischief) ? "CROSS JOIN" : join} ${this.#fromItem(depth, items)}`;
      const shared = items.at(-1)!.columns.filter((column) => items[0]!.columns.includes(column));
      if (join !== "LEFT JOIN" && shared.length > 0 && this.#chance(0.2)) from += ` USING (${this.#pick(shared)})`;
      else if (!this.#chance(this.mischief)) from += ` ON ${this.#expression(2, items)}`;
    }
    const scope = [...items, ...outer];
    const grouped = this.#chance(0.25);
    const windowed = this.#chance(0.15);
    if (grouped || windowed) this.settled = false;
    const output = (name: string | null): string => {
      const expression = grouped && this.#chance(0.5)
        ? this.#aggregate(scope)
        : windowed
        ? this.#window(items)
        : this.#expression(2, scope, depth);
      return name === null && this.#chance(0.5) ? expression : `${expression} AS ${name ?? this.#fresh("o")}`;
    };
    const list = names !== null
      ? names.map(output).join(", ")
      : this.#chance(0.15)
      ? "*"
      : this.#many(1, 3, () => output(null)).join(", ");
    let query = `SELECT ${this.#chance(0.1) ? "DISTINCT " : ""}${list} FROM ${from}`;
    if (this.#chance(0.6)) query += ` WHERE ${this.#expression(3, scope, depth)}`;
    if (grouped && this.#chance(0.8)) {
      query += ` GROUP BY ${this.#many(1, 2, () => this.#chance(0.2) ? "1" : this.#column(items)).join(", ")}`;
      if (this.#chance(0.4)) query += ` HAVING ${this.#aggregate(items)} > 0`;
    }
    if (this.#chance(0.3)) query += ` ORDER BY ${this.#chance(0.3) ? "1 DESC" : this.#column(items)}`;
    if (this.#chance(0.2)) {
      this.settled = false;
      query += ` LIMIT ${this.#upTo(9)}${this.#chance(0.3) ? " OFFSET 1" : ""}`;
    }
    return query;
  }

  #fromItem(depth: number, items: Item[]): string {
    const name = this.#fresh("t");
    if (this.#ctes.length > 0 && this.#chance(0.4)) {
      const cte = this.#pick(this.#ctes);
      items.push({ name, columns: cte.columns });
      return `${cte.name} AS ${name}`;
    }
    if (depth < 2 && this.#chance(0.15)) {
      const columns = ["a", "b"].slice(0, 1 + this.#upTo(2));
      items.push({ name, columns });
      return `(${this.#core(depth + 1, columns, [])}) AS ${name}`;
    }
    const table = this.#pick(["process_events", "processes", "alerts", "gaps"]);
    items.push({ name, columns: columnsOf(table) });
    return `${this.#chance(this.mischief) ? "main." : ""}${
      this.#chance(this.mischief) ? "sqlite_master" : table
    } ${name}`;
  }

  #expression(size: number, items: readonly Item[], depth = 9): string {
    if (size <= 0 || this.#chance(0.2)) return this.#atom(items);
    const one = (): string => this.#expression(size - 1, items, depth);
    switch (this.#upTo(14)) {
      case 0:
        return `${one()} ${this.#pick(["AND", "OR"])} ${one()}`;
      case 1:
        return `(${one()} ${this.#pick(["=", "<>", "<", ">=", "IS", "IS NOT", "==", "!="])} ${one()})`;
      case 2:
        return `(${one()} ${this.#pick(["+", "-", "*", "/", "%", "||", "&", "|", "<<", ">>"])} ${one()})`;
      case 3:
        return `(${this.#column(items)} ${this.#pick(["LIKE", "NOT LIKE"])} ${this.#pick(TEXTS)})`;
      case 4:
        return `(${this.#column(items)} LIKE '50\\%%' ESCAPE '\\')`;
      case 5:
        return `(${one()} ${this.#pick(["IN", "NOT IN"])} (${this.#many(1, 3, () => this.#atom(items)).join(", ")}))`;
      case 6:
        return `(${one()} ${this.#pick(["BETWEEN", "NOT BETWEEN"])} ${this.#atom(items)} AND ${this.#atom(items)})`;
      case 7:
        return `CASE WHEN ${one()} THEN ${this.#atom(items)} ELSE ${this.#atom(items)} END`;
      case 8:
        return `CAST(${one()} AS ${this.#pick(["TEXT", "INTEGER", "REAL", "NUMERIC"])})`;
      case 9:
        return `${this.#pick(this.#chance(this.mischief) ? OTHERS : SCALARS)}(${one()})`;
      case 10:
        return this.#pick([
          `substr(${one()}, 1, 2)`,
          `instr(${one()}, ${one()})`,
          `coalesce(${one()}, ${one()})`,
          `iif(${one()}, 1, 2)`,
          `replace(${one()}, 'a', 'bb')`,
          `max(${one()}, ${one()})`,
          `ifnull(${one()}, 0)`,
        ]);
      case 11:
        return `(${this.#pick(["NOT ", "-", "~", "+"])}${one()})`;
      case 12:
        return `(${this.#column(items)} ${this.#pick(["ISNULL", "NOTNULL", "NOT NULL", "IS NULL"])})`;
      default: {
        if (depth > 1) return this.#atom(items);
        const outer = this.#chance(0.5) ? items : [];
        const inner = this.#core(depth + 1, ["v"], outer);
        const count = `(SELECT count(*) FROM (${inner}) AS ${this.#fresh("s")})`;
        return this.#pick([`(${one()} IN (${inner}))`, `EXISTS (${inner})`, count]);
      }
    }
  }

  #aggregate(items: readonly Item[]): string {
    const filter = this.#chance(0.2) ? ` FILTER (WHERE ${this.#expression(1, items)})` : "";
    if (this.#chance(0.3)) return `count(*)${filter}`;
    const distinct = this.#chance(0.2) ? "DISTINCT " : "";
    return `${this.#pick(["count", "sum", "min", "max", "avg", "total", "group_concat"])}(${distinct}${
      this.#column(items)
    })${filter}`;
  }

  #window(items: readonly Item[]): string {
    const call = this.#pick([
      "row_number()",
      "rank()",
      `sum(${this.#column(items)})`,
      `lag(${this.#column(items)}, 1)`,
    ]);
    const frame = this.#chance(0.3) ? " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW" : "";
    return `${call} OVER (${this.#chance(0.5) ? `PARTITION BY ${this.#column(items)} ` : ""}ORDER BY ${
      this.#column(items)
    }${frame})`;
  }

  #atom(items: readonly Item[]): string {
    if (this.#chance(this.mischief)) return this.#pick(["?", ":x", "x'00'", "current_time", "(1, 2)", "`name`"]);
    return this.#pick([
      this.#column(items),
      this.#column(items),
      this.#pick(NUMBERS),
      this.#pick(TEXTS),
      "NULL",
      "TRUE",
    ]);
  }

  #column(items: readonly Item[]): string {
    if (this.#chance(this.mischief)) return this.#pick(WRONG);
    const item = this.#pick(items);
    const column = this.#pick(item.columns);
    return this.#chance(0.15) ? column : this.#chance(0.1) ? `"${item.name}"."${column}"` : `${item.name}.${column}`;
  }

  #fresh(prefix: string): string {
    return `${prefix}${++this.#names}`;
  }

  #many<T>(least: number, most: number, make: (i: number) => T): T[] {
    return Array.from({ length: least + this.#upTo(most - least + 1) }, (_, i) => make(i));
  }

  #pick<T>(options: readonly T[]): T {
    return options[this.#upTo(options.length)]!;
  }

  #chance(probability: number): boolean {
    return this.#next() < probability;
  }

  #upTo(limit: number): number {
    return Math.floor(this.#next() * limit);
  }

  /** mulberry32 */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

function columnsOf(table: string): readonly string[] {
  return CATALOG.get(table)!.columns.map((column) => column.name);
}
