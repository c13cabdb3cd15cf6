/**
 * What a query needs that collectors may collect on demand alone: hashes, and environment variables by name.
 *
 * Found in the syntax tree, so it holds for every lane. A variable's name is a key of the JSON object in `environment`:
 * the right side of `->` and `->>`, a path given to a JSON function, or `"NAME":` in a text that the column is matched
 * with. What is found may be too much, when the same texts stand beside something that only looks like the column; a name
 * that is computed is not found. A query that reads the column and names no variable sees those that are captured anyway.
 *
 * @module
 */
import type { Node } from "sql-parser-cst";
import { tableNamed } from "../catalog.ts";
import { isVariable } from "../demand.ts";
import { operatorName } from "./sql_nodes.ts";
import { childrenOf, walk } from "./sql_tree.ts";

/** What a query reads that collectors may collect on demand alone. */
export interface Attributes {
  /** Whether it reads hashes of executables. */
  readonly hashes: boolean;
  /** Names of variables, sorted. */
  readonly variables: readonly string[];
  /** Whether it reads variables without naming any. */
  readonly otherVariables: boolean;
}

export const NO_ATTRIBUTES: Attributes = { hashes: false, variables: [], otherVariables: false };

/** Columns that only the hasher fills. */
export const HASH_COLUMNS: readonly string[] = ["executable_hash", "hash_algorithm", "fuzzy_hash", "file_exists"];
const ENVIRONMENT = "environment";
const COLUMNS: ReadonlySet<string> = new Set(tableNamed("process_events").columns.map(({ name }) => name));

/** Every one of these columns, quoted or not: thousands of rules name none, and need no walk. */
const NAMED = /hash|file_exists|environment/i;

/** What the query of this text reads. A column under a further name in a CTE or subquery is still found; `SELECT *` asks for nothing. */
export function attributesOf(statement: Node, sql: string): Attributes {
  if (!NAMED.test(sql)) return NO_ATTRIBUTES;
  const names = columnsIn(statement);
  const hashes = HASH_COLUMNS.some((name) => names.has(name));
  if (!names.has(ENVIRONMENT)) return hashes ? { ...NO_ATTRIBUTES, hashes } : NO_ATTRIBUTES;
  const variables = new Set<string>();
  walk(statement, (node) => {
    for (const name of keysIn(node)) variables.add(name);
  });
  return { hashes, variables: [...variables].sort(), otherVariables: variables.size === 0 };
}

/** The keys that one operator or call takes out of the environment. */
function keysIn(node: Node): string[] {
  if (node.type === "binary_expr") {
    const operator = operatorName(node.operator), left = node.left as Node, right = node.right as Node;
    if (operator === "AND" || operator === "OR" || operator === "ESCAPE") return [];
    if (operator === "->" || operator === "->>") return isOfEnvironment(left) ? keyOf(textOf(right)) : [];
    if (isOfEnvironment(left)) return quotedKeys(textOf(right));
    return isOfEnvironment(right) ? quotedKeys(textOf(left)) : [];
  }
  if (node.type !== "func_call") return [];
  const args = (node.args?.expr.args.items ?? []) as Node[];
  if (!args.some(isOfEnvironment)) return [];
  return args.map(textOf).flatMap((text) => text?.startsWith("$") ? keyOf(text) : quotedKeys(text));
}

/** Whether an operand is the environment, or something under a name that a CTE or subquery gave. */
function isOfEnvironment(node: Node): boolean {
  if (textOf(node) !== null || isArrow(node)) return false;
  const names = columnsIn(node);
  if (names.has(ENVIRONMENT)) return true;
  let hasOtherName = false;
  walk(node, (each) => {
    if (each.type === "identifier" && !COLUMNS.has(each.name.toLowerCase())) hasOtherName = true;
  });
  return names.size === 0 && hasOtherName && (node.type === "identifier" || node.type === "member_expr");
}

/** A value that was taken out already has no keys. */
function isArrow(node: Node): boolean {
  if (node.type === "paren_expr") return isArrow(node.expr as Node);
  return node.type === "binary_expr" && operatorName(node.operator).startsWith("->");
}

/** A text in the query, that of a pattern without its escapes; `null` for anything else. */
function textOf(node: Node): string | null {
  if (node.type === "paren_expr") return textOf(node.expr as Node);
  if (node.type === "string_literal") return node.value;
  if (node.type !== "binary_expr" || operatorName(node.operator) !== "ESCAPE") return null;
  const text = textOf(node.left as Node), escape = textOf(node.right as Node);
  return text === null || escape === null ? text : text.replaceAll(escape, "");
}

/** `NAME`, `$.NAME` or `$."NAME"`, and of `NAME=2`, which is a further value of it, the name. */
function keyOf(text: string | null): string[] {
  const key = /^(?:\$\.)?(?:"([^"=]+)(?:=\d+)?"|([^".[=]+)(?:=\d+)?)(?=$|[.[])/.exec(text ?? "");
  const name = key?.[1] ?? key?.[2] ?? "";
  return isVariable(name) ? [name] : [];
}

/** Each `"NAME":` in a pattern. */
export function quotedKeys(text: string | null): string[] {
  return Array.from(text?.matchAll(/"([A-Za-z_][A-Za-z0-9_]*)(?:=\d+)?"\s*:/g) ?? [], ([, name]) => name!)
    .filter(isVariable);
}

function columnsIn(node: Node): Set<string> {
  const names = new Set<string>();
  const look = (each: Node): void => {
    if (each.type === "identifier" && COLUMNS.has(each.name.toLowerCase())) names.add(each.name.toLowerCase());
    for (const child of childrenOf(each)) look(child);
  };
  look(node);
  return names;
}
