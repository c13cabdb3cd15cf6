/**
 * Forms as SQL, for SQLite.
 *
 * What a front end other than SQL made can so be shown, run on stored events and held against its predicate.
 *
 * @module
 */
import { ANY, columnAt, type Form, ONE, type Pattern } from "./predicate.ts";

/** An expression whose value is the form's. `table` is the name of `process_events` in the query. */
export function formSql(form: Form, table: string): string {
  const sql = (each: Form): string => formSql(each, table);
  switch (form.kind) {
    case "literal":
      return literal(form.value, form.real);
    case "column":
      return `"${table}"."${columnAt(form.place).name}"`;
    case "and":
    case "or":
      return balanced(form.items.map(sql), form.kind.toUpperCase());
    case "not":
      return `(NOT ${sql(form.item)})`;
    case "compare":
      return `(${sql(form.left)} ${form.operator} ${sql(form.right)})`;
    case "between":
      return `(${sql(form.item)} BETWEEN ${sql(form.low)} AND ${sql(form.high)})`;
    case "in":
      return `(${sql(form.item)} IN (${form.list.map(sql).join(", ")}))`;
    case "truth":
      return `(${sql(form.item)} IS ${form.negated ? "NOT " : ""}${form.wanted ? "TRUE" : "FALSE"})`;
    case "null":
      return `(${sql(form.item)} ${form.negated ? "NOTNULL" : "ISNULL"})`;
    case "match": {
      const item = sql(form.item);
      return balanced(form.patterns.map((pattern) => `(${item} ${patternSql(pattern, form.folded)})`), "OR");
    }
    case "arithmetic":
      return `(${sql(form.left)} ${form.operator} ${sql(form.right)})`;
    case "unary":
      return `(${form.operator} ${sql(form.item)})`;
    case "case": {
      const arms = form.arms.map(({ when, then }) => ` WHEN ${sql(when)} THEN ${sql(then)}`).join("");
      const subject = form.subject === null ? "" : ` ${sql(form.subject)}`;
      return `CASE${subject}${arms}${form.otherwise === null ? "" : ` ELSE ${sql(form.otherwise)}`} END`;
    }
    case "cast":
      return `CAST(${sql(form.item)} AS ${form.to})`;
    case "call":
      return `${form.name}(${form.args.map(sql).join(", ")})`;
  }
}

/** Conditions as one: SQLite bounds how deep an expression is, and a chain is as deep as it is long. */
export function balanced(parts: readonly string[], operator: string): string {
  if (parts.length <= 8) return `(${parts.join(` ${operator} `)})`;
  const middle = parts.length >> 1;
  return `(${balanced(parts.slice(0, middle), operator)} ${operator} ${balanced(parts.slice(middle), operator)})`;
}

function literal(value: string | number | null, real: boolean): string {
  if (value === null) return "NULL";
  if (typeof value === "string") return quoted(value);
  const text = String(value), number = real && Number.isInteger(value) && !text.includes("e") ? `${text}.0` : text;
  return value < 0 ? `(${number})` : number;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** LIKE folds, GLOB does not. */
function patternSql(pattern: Pattern, folded: boolean): string {
  const part = (each: Pattern[number]): string => {
    if (each === ANY) return folded ? "%" : "*";
    if (each === ONE) return folded ? "_" : "?";
    return folded ? each.replace(/[\\%_]/g, "\\$&") : each.replace(/[*?[]/g, "[$&]");
  };
  const text = quoted(pattern.map(part).join(""));
  if (!folded) return `GLOB ${text}`;
  return text.includes("\\") ? `LIKE ${text} ESCAPE '\\'` : `LIKE ${text}`;
}
