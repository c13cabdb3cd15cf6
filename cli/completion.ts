/**
 * Words that complete a statement of the shell: tables, columns, functions and the words of SQL, or the shell's own
 * commands. A help for fingers; what is typed passes the guard like everything else.
 *
 * @module
 */
import { FUNCTION_NAMES } from "../proto/rules/sql_functions.ts";
import { FORMATS } from "./output.ts";

const KEYWORDS = [
  ...["SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "GLOB", "REGEXP", "BETWEEN", "EXISTS"],
  ...["GROUP", "ORDER", "BY", "HAVING", "LIMIT", "OFFSET", "DESC", "ASC", "DISTINCT", "AS", "JOIN", "LEFT", "ON"],
  ...["UNION", "ALL", "WITH", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "OVER", "PARTITION", "FILTER"],
];

/** The shell's own commands: what they take, and what they do. */
export const DOT_COMMANDS: readonly (readonly [name: string, takes: string, does: string])[] = [
  [".help", "", "this list"],
  [".tables", "[PATTERN]", "the tables, or those whose names begin so; in a pattern % is anything"],
  [".schema", "[TABLE]", "the columns of a table, or of all, and what they mean"],
  [".mode", "[MODE]", `how answers look: ${FORMATS.join(", ")}`],
  [".timer", "on|off", "say how long each statement took"],
  [".limit", "[N]", "most rows of an answer"],
  [".timeout", "[SPAN]", "time after which a statement is stopped"],
  [".since", "[WHEN|all]", "let the tables hold only what happened from then on"],
  [".osquery", "on|off", "name the tables and columns of osquery instead of our own"],
  [".param", "[NAME=VALUE|NAME|clear]", "what :NAME in a statement is; a name alone forgets it, clear forgets all"],
  [".explain", "on|off", "say how statements would be gone about, and do not run them"],
  [".quit", "", "leave; so does Ctrl-D on an empty line"],
];

/** Tables that can be named: their columns by name. */
export type TableColumns = ReadonlyMap<string, readonly string[]>;

/** Candidates for `word` after `before`, which is all of the statement up to it. */
export function completions(tables: TableColumns, before: string, word: string): string[] {
  const begins = (candidate: string): boolean => candidate.toLowerCase().startsWith(word.toLowerCase());
  const command = /^\s*\.(\w+)\s+$/.exec(before)?.[1];
  if (before.trim() === "" && word.startsWith(".")) return DOT_COMMANDS.map(([name]) => name).filter(begins);
  if (command !== undefined) {
    const takes: Readonly<Record<string, readonly string[]>> = {
      tables: [...tables.keys()],
      schema: [...tables.keys()],
      mode: FORMATS,
      timer: ["on", "off"],
      osquery: ["on", "off"],
      explain: ["on", "off"],
    };
    return (takes[command] ?? []).filter(begins);
  }
  const dot = word.lastIndexOf(".");
  if (dot !== -1) {
    const name = word.slice(0, dot),
      table = tables.get(name) ?? tables.get(aliases(before).get(name.toLowerCase()) ?? "");
    return (table ?? []).map((column) => `${name}.${column}`).filter(begins);
  }
  if (/\b(?:from|join)\s+$/i.test(before)) return [...tables.keys()].filter(begins);
  const named = [...tables].filter(([name]) => new RegExp(`\\b${name}\\b`, "i").test(before));
  const columns = (named.length > 0 ? named : [...tables]).flatMap(([, columns]) => columns);
  const words = KEYWORDS.map((keyword) => /^[a-z]/.test(word) ? keyword.toLowerCase() : keyword);
  const functions = FUNCTION_NAMES.map((name) => `${name}(`);
  return [...columns, ...tables.keys(), ...functions, ...words].filter((candidate) => word !== "" && begins(candidate));
}

/** Tables by their aliases. */
function aliases(sql: string): Map<string, string> {
  const found = sql.matchAll(/\b(?:from|join)\s+(\w+)(?:\s+as)?\s+(\w+)/gi);
  return new Map([...found].map((match) => [match[2]!.toLowerCase(), match[1]!]));
}
