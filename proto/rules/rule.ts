/**
 * Rule files: a YAML mapping of what a rule is called, what it looks for, and rows that prove it.
 *
 * The file is checked strictly, once, here: an unknown key, a wrong type or a query that the guard refuses is a
 * {@linkcode RuleError} with its place in the file, and the rule does not run. One file holds one rule.
 *
 * @module
 */
import type { Table } from "../catalog.ts";
import { sha256 } from "@noble/hashes/sha2.js";
import type { SqlValue } from "../event_row.ts";
import { allSteps } from "../steps.ts";
import { NO_TABLES, type TableSet } from "../table_descriptor.ts";
import { SEVERITIES, type Severity } from "../process_event.ts";
import {
  isTraceable,
  offsetInText,
  parseYaml,
  positionAt,
  type YamlEntry,
  YamlFaultError,
  type YamlNode,
} from "./located_yaml.ts";
import { type AlertPolicy, readAlertPolicy } from "./alert_policy.ts";
import { readRuleResponses, type RuleResponse } from "./rule_responses.ts";
import { type CollectedQuery, collectedQuery } from "./collected_query.ts";
import { checkCorrelation, type Correlation, spanOf } from "./correlation.ts";
import { correlationWords, laneWords } from "./correlation_words.ts";
import { readCorrelation } from "./correlation_yaml.ts";
import { durationText, parseDuration } from "./duration.ts";
import { attributesOfCorrelation } from "./form_attributes.ts";
import type { Form } from "./predicate.ts";
import { type Attributes, NO_ATTRIBUTES } from "./sql_attributes.ts";
import { formQuery, type GuardedQuery, guardSql, type RowQuery } from "./sql_guard.ts";
import { SqlRefusedError, suggestion } from "./sql_refused.ts";
import { parseTestRow, parseTestRows } from "./test_row.ts";
import type { Suppressor } from "./suppressor.ts";
import { type WindowQuery, windowQuery } from "./window_query.ts";

/** Largest rule file, in UTF-16 code units. */
export const MAX_RULE_LENGTH = 262_144;
/** Shortest and longest time that a rule looks over. */
export const MIN_WINDOW_MS = 1_000, MAX_WINDOW_MS = 86_400_000;
const MAX_ITEMS = 32;
const MAX_TEST_ROWS = 200;
const BYTE_ORDER_MARK = "\ufeff";

/** A place in a file. */
export interface Position {
  /** One-based. */
  readonly line: number;
  /** One-based, in UTF-16 code units. */
  readonly column: number;
}

/** A row, or of a rule over a window the rows, that a rule must or must not match. */
export interface TestRow {
  /** Where it stands in the file. */
  readonly position: Position;
  /** In the order of the columns of `process_events`; what the file does not name is `null`. The first of `rows`. */
  readonly values: readonly SqlValue[];
  /** In the order in which they arrive. */
  readonly rows: readonly (readonly SqlValue[])[];
}

/** What the agent does with a rule whose file is right: a draft is judged and counted, and raises no alert. */
export const RULE_STATUSES = ["active", "draft"] as const;
/** One of {@linkcode RULE_STATUSES}. */
export type RuleStage = (typeof RULE_STATUSES)[number];

/** A rule as its file says it; the query is not checked yet. */
export interface Rule {
  /** Name of the file. */
  readonly file: string;
  /** SHA-256 of the file's bytes in lower-case hexadecimal: names the version of the rule. */
  readonly hash: string;
  /** 3 to 64 lower-case letters, digits and hyphens; unique. */
  readonly id: string;
  /** One line for people. */
  readonly title: string;
  /** What a match means, and what to do. */
  readonly description: string;
  /** How much a match means. */
  readonly severity: Severity;
  /** Such as `attack.t1059.004`. */
  readonly tags: readonly string[];
  /** Where to read more. */
  readonly references: readonly string[];
  /** What matches and is no attack. */
  readonly falsePositives: readonly string[];
  /** Whether its file says that it is judged. */
  readonly enabled: boolean;
  /** The table of a collector that it reads; `null` for `process_events`. */
  readonly table?: string | null;
  /** Milliseconds over whose rows the query runs; `null` for one that looks at one row at a time. */
  readonly windowMs: number | null;
  /** Whether its matches raise alerts. */
  readonly status: RuleStage;
  /** Of a correlation what it means in words. */
  readonly sql: string;
  /** What several events mean together; `null` for a rule that says so in SQL, or looks at one event. */
  readonly correlation: Correlation | null;
  /** Which hits are one alert; what it does not say is as with other rules. */
  readonly alert?: AlertPolicy;
  /** What is asked for, in this order, for the process of each of its alerts; nothing where it is left out. */
  readonly responses?: readonly RuleResponse[];
  /** Rows that it must and must not match. */
  readonly tests: { readonly match: readonly TestRow[]; readonly noMatch: readonly TestRow[] };
  /** Where the id stands in the file. */
  readonly idPosition: Position;
  /** What the rule asks for and this program cannot tell, each a sentence: what is left of it matches less. */
  readonly missing: readonly string[];
  /** The place in the file of an offset in `sql`. */
  readonly sqlPosition: (offset: number) => Position;
}

/** Tells a checked rule from any other, for the compiler: no rule has it as a value. */
export const validated: unique symbol = Symbol("validated");

/**
 * A rule whose query passed the guard; only {@linkcode validateRule} makes one. It does not keep its file: thousands of
 * them stay in memory as long as the agent runs.
 */
export type ValidatedRule = Omit<Rule, "sqlPosition"> & {
  /** `null` for a correlation. */
  readonly query: GuardedQuery | null;
  /** What it reads that collectors may collect on demand alone. */
  readonly attributes: Attributes;
  /** What the window lane needs of SQL; `null` for a rule without a window. */
  readonly window: WindowQuery | null;
  /** What the lane of collectors' tables needs; absent for a rule over `process_events`. */
  readonly collected?: CollectedQuery;
  /** Of a Sigma rule with filters: these, and its form without them, which their hits are counted by. */
  readonly filters: { readonly form: Form; readonly by: readonly Suppressor[] } | null;
  readonly [validated]: true;
};

/** What the reason begins with that stands beside a rule which is judged in part: {@linkcode Rule.missing}. */
export const PARTIAL = "partial: ";

/** What a front end other than SQL knows of a rule. */
export type MadeRule = Omit<Rule, "sql" | "sqlPosition" | "windowMs" | "correlation">;

/** A rule over one event whose form another front end than SQL made: its query is written from the form. */
export function formRule(
  rule: MadeRule,
  form: Form,
  shown: readonly string[],
  filters: ValidatedRule["filters"] = null,
): ValidatedRule {
  const query = formQuery(form, shown), { sql, attributes } = query;
  const made = { sql, windowMs: null, correlation: null, query, attributes, window: null, filters };
  return { ...rule, ...made } as Omit<ValidatedRule, typeof validated> as ValidatedRule;
}

/** A correlation that a front end made, and that {@linkcode checkCorrelation} let through. */
export function correlationRule(rule: MadeRule, correlation: Correlation): ValidatedRule {
  checkCorrelation(correlation);
  const attributes = attributesOfCorrelation(correlation);
  const made = { ...correlationParts(correlation), query: null, attributes, window: null, filters: null };
  return { ...rule, ...made } as Omit<ValidatedRule, typeof validated> as ValidatedRule;
}

/** What a rule has of its correlation. */
function correlationParts(correlation: Correlation): Pick<Rule, "windowMs" | "sql" | "correlation"> {
  const sql = correlationWords(correlation).join("\n");
  return { windowMs: Math.max(MIN_WINDOW_MS, spanOf(correlation)), sql, correlation };
}

/** What the engine needs of a rule. @throws TypeError for a query that does not judge each row alone */
export function rowQuery({ query }: ValidatedRule): RowQuery {
  if (query === null || query.row === null) throw new TypeError("The engine takes queries that judge each row alone");
  return query.row;
}

/** The form by which the stream lane finds a rule's hits, before its filters are asked; `null` where SQL judges. */
export function hitForm(rule: ValidatedRule): Form | null {
  return rule.filters?.form ?? rowQuery(rule).translation.form;
}

/** Where a rule is judged, for people: `stream`, `sql` with the reason why not there, or `window` with its time. */
export function laneOf(rule: ValidatedRule): string {
  if (rule.collected !== undefined) {
    const window = rule.windowMs === null ? "" : `, window: ${durationText(rule.windowMs)}`;
    return `table ${rule.collected.table.name}${window}`;
  }
  if (rule.correlation !== null) return `correlation: ${laneWords(rule.correlation)}`;
  if (rule.windowMs !== null) return `window: ${durationText(rule.windowMs)}`;
  const { translation } = rowQuery(rule);
  return translation.form === null ? `sql: ${translation.reason}` : "stream";
}

/** A rule file has a fault. */
export class RuleError extends Error {
  /** Its name, by which errors are told apart in text. */
  override name = "RuleError";
  /** One-based. */
  readonly line: number;
  /** One-based, in UTF-16 code units. */
  readonly column: number;
  /** `reason`: the fault without its place. */
  constructor(readonly file: string, position: Position, readonly reason: string, options?: ErrorOptions) {
    super(`${file}:${position.line}:${position.column}: ${reason}`, options);
    this.line = position.line;
    this.column = position.column;
  }
}

/**
 * Reads a rule file; the query is not checked yet.
 *
 * @param tables those that collectors brought
 * @param text decoded so that nothing is lost, the byte order mark included: the hash is that of the bytes
 * @throws RuleError
 */
export function parseRule(text: string, file: string, tables: TableSet = NO_TABLES): Rule {
  if (text.length > MAX_RULE_LENGTH) {
    const reason = `The file has ${text.length} characters; ${MAX_RULE_LENGTH} are allowed`;
    throw new RuleError(file, { line: 1, column: 1 }, reason);
  }
  try {
    return new RuleReader(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text, file, tables).rule(ruleHash(text));
  } catch (error) {
    if (!(error instanceof YamlFaultError)) throw error;
    throw new RuleError(file, positionAt(text, error.offset), error.reason, { cause: error });
  }
}

/** SHA-256 of a rule file, in lower-case hexadecimal. */
export function ruleHash(text: string): string {
  return sha256(new TextEncoder().encode(text)).toHex();
}

/** Checks a rule's query with the guard. @throws RuleError at the place of the fault in the file */
export function validateRule(rule: Rule, tables: TableSet = NO_TABLES): ValidatedRule {
  return allSteps(validating(rule, tables));
}

/** The same in steps. @throws RuleError at the place of the fault in the file */
export function* validating(rule: Rule, tables: TableSet = NO_TABLES): Generator<void, ValidatedRule> {
  try {
    const { sqlPosition: _, ...kept } = rule;
    if (rule.correlation !== null) {
      const attributes = attributesOfCorrelation(rule.correlation);
      return { ...kept, query: null, attributes, window: null, filters: null } as Omit<
        ValidatedRule,
        typeof validated
      > as ValidatedRule;
    }
    const own = rule.table === undefined || rule.table === null ? undefined : tables.get(rule.table);
    if (own !== undefined) {
      const query = guardSql(rule.sql, "collected", new Map([[own.name, own]]));
      const made = { query, attributes: NO_ATTRIBUTES, window: null, filters: null };
      return { ...kept, ...made, collected: collectedQuery(query, own, rule.windowMs !== null) } as ValidatedRule;
    }
    const query = guardSql(rule.sql, rule.windowMs === null ? "rule" : "window");
    if (rule.windowMs === null) {
      return { ...kept, query, attributes: query.attributes, window: null, filters: null } as ValidatedRule;
    }
    yield;
    return {
      ...kept,
      query,
      attributes: query.attributes,
      window: windowQuery(query),
      filters: null,
    } as ValidatedRule;
  } catch (error) {
    if (!(error instanceof SqlRefusedError)) throw error;
    throw new RuleError(rule.file, rule.sqlPosition(error.offset), error.reason, { cause: error });
  }
}

const KEYS = [
  ..."id,title,description,severity,tags,table,window,sql,correlation,alert,response,tests,references,false_positives,enabled,status"
    .split(
      ",",
    ),
] as const;

class RuleReader {
  readonly #entries: ReadonlyMap<string, YamlEntry>;
  readonly #offset: number;

  constructor(readonly text: string, readonly file: string, readonly tables: TableSet) {
    const root = parseYaml(text);
    if (root.kind !== "mapping") {
      fault("A rule file is a mapping: id, title, description, severity, and sql or correlation", root);
    }
    for (const [key, { keyOffset }] of root.entries) {
      if (!KEYS.includes(key)) {
        throw new YamlFaultError(`Unknown key ${quoted(key)}${suggestion(key, KEYS)}`, keyOffset);
      }
    }
    this.#entries = root.entries;
    this.#offset = root.offset;
  }

  rule(hash: string): Rule {
    const id = this.#text("id", 64);
    if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id) || id.length < 3) {
      fault("id has 3 to 64 lower-case letters, digits and hyphens: reverse-shell-bash", this.#node("id"));
    }
    const severity = this.#text("severity", 16);
    if (!isSeverity(severity)) fault(`severity is one of ${SEVERITIES.join(", ")}`, this.#node("severity"));
    return {
      file: this.file,
      hash,
      id,
      title: this.#line("title", 200),
      description: this.#text("description", 4_096).trim(),
      severity,
      tags: this.#tags(),
      references: this.#list("references", 512),
      falsePositives: this.#list("false_positives", 512),
      enabled: this.#enabled(),
      status: this.#status(),
      ...this.#entries.has("table") ? { table: this.#table().name } : {},
      ...this.#entries.has("correlation") ? this.#correlation() : this.#query(),
      ...this.#entries.has("alert") ? { alert: this.#alert() } : {},
      ...this.#entries.has("response") ? { responses: this.#responses() } : {},
      tests: this.#tests(),
      idPosition: positionAt(this.text, this.#node("id").offset),
      missing: [],
    };
  }

  #node(key: string): YamlNode {
    const entry = this.#entries.get(key);
    if (entry === undefined) throw new YamlFaultError(`The key ${key} is missing`, this.#offset);
    return entry.value;
  }

  #text(key: string, most: number): string {
    return textOf(this.#node(key), key, most);
  }

  #line(key: string, most: number): string {
    const value = this.#text(key, most);
    if (value.includes("\n")) fault(`${key} is one line`, this.#node(key));
    return value;
  }

  #list(key: string, most: number): string[] {
    if (!this.#entries.has(key)) return [];
    const node = this.#node(key);
    if (node.kind !== "sequence" || node.items.length > MAX_ITEMS) {
      fault(`${key} is a list of at most ${MAX_ITEMS} texts`, node);
    }
    return node.items.map((item) => textOf(item, `Each of ${key}`, most));
  }

  #tags(): string[] {
    const tags = this.#list("tags", 64);
    tags.forEach((tag, i) => {
      if (/^[a-z0-9]+([._-][a-z0-9]+)*$/.test(tag)) return;
      const node = this.#node("tags");
      fault(
        "A tag has lower-case letters, digits, dots, _ and hyphens: attack.t1059.004",
        node.kind === "sequence" ? node.items[i]! : node,
      );
    });
    return tags;
  }

  #enabled(): boolean {
    if (!this.#entries.has("enabled")) return true;
    const node = this.#node("enabled");
    if (node.kind !== "scalar" || typeof node.value !== "boolean") return fault("enabled is true or false", node);
    return node.value;
  }

  /** The table of a collector. */
  #table(): Table {
    const node = this.#node("table"), name = textOf(node, "table", 64);
    if (this.#entries.has("correlation")) fault("A correlation is over process_events; take table out", node);
    const table = this.tables.get(name);
    if (table !== undefined) return table;
    return fault(
      `There is no table ${quoted(name)} of a collector here${
        suggestion(name, this.tables.keys())
      }; it is there once its ` +
        `collector has registered it`,
      node,
    );
  }

  #alert(): AlertPolicy {
    const node = this.#node("alert"), policy = readAlertPolicy(node);
    if (this.#entries.has("table") && policy.key !== null) {
      fault(
        "alert.key names columns of process_events; hits on a collector's table are the same that select the same",
        node,
      );
    }
    return policy;
  }

  #responses(): readonly RuleResponse[] {
    const node = this.#node("response");
    if (this.#entries.has("table")) fault("A row of a collector's table names no process to respond to", node);
    return readRuleResponses(node);
  }

  #windowMs(): number | null {
    if (!this.#entries.has("window")) return null;
    const node = this.#node("window");
    const ms = parseDuration(textOf(node, "window", 32));
    if (ms === null || ms < MIN_WINDOW_MS || ms > MAX_WINDOW_MS) {
      fault(`window is a time from ${durationText(MIN_WINDOW_MS)} to ${durationText(MAX_WINDOW_MS)}, such as 5m`, node);
    }
    return ms;
  }

  #status(): RuleStage {
    if (!this.#entries.has("status")) return "active";
    const text = this.#text("status", 16), found = RULE_STATUSES.find((status) => status === text);
    return found ?? fault(`status is one of ${RULE_STATUSES.join(", ")}`, this.#node("status"));
  }

  #correlation(): Pick<Rule, "windowMs" | "sql" | "correlation" | "sqlPosition"> {
    for (const key of ["sql", "window"]) {
      if (this.#entries.has(key)) {
        fault(`A correlation says by itself what it looks for; take ${key} out`, this.#node(key));
      }
    }
    const node = this.#node("correlation"), correlation = readCorrelation(node, this.text);
    const position = positionAt(this.text, node.offset);
    return { ...correlationParts(correlation), sqlPosition: () => position };
  }

  #query(): Pick<Rule, "windowMs" | "sql" | "correlation" | "sqlPosition"> {
    return { windowMs: this.#windowMs(), correlation: null, ...this.#sql() };
  }

  #sql(): Pick<Rule, "sql" | "sqlPosition"> {
    const sql = this.#text("sql", MAX_RULE_LENGTH);
    const node = this.#node("sql");
    const { text } = this;
    if (node.kind !== "scalar" || !isTraceable(node.event, text)) {
      return fault("Write a query of several lines as a literal block: sql: |", node);
    }
    return { sql, sqlPosition: (offset) => positionAt(text, offsetInText(node.event, text, sql, offset)) };
  }

  #tests(): Rule["tests"] {
    if (!this.#entries.has("tests")) return { match: [], noMatch: [] };
    const node = this.#node("tests");
    if (node.kind !== "mapping") return fault("tests is a mapping of match and no_match", node);
    for (const [key, { keyOffset }] of node.entries) {
      if (key !== "match" && key !== "no_match") {
        throw new YamlFaultError(`Unknown key ${quoted(key)}; tests has match and no_match`, keyOffset);
      }
    }
    return { match: this.#rows(node.entries.get("match")), noMatch: this.#rows(node.entries.get("no_match")) };
  }

  #rows(entry: YamlEntry | undefined): TestRow[] {
    if (entry === undefined) return [];
    const node = entry.value;
    if (node.kind !== "sequence" || node.items.length > MAX_TEST_ROWS) {
      return fault(`Test rows are a list of at most ${MAX_TEST_ROWS} mappings of columns to values`, node);
    }
    const table = this.#entries.has("table") ? this.#table() : undefined;
    const isOverWindow = this.#entries.has("window") || this.#entries.has("correlation");
    return node.items.map((item) => {
      const rows = isOverWindow ? parseTestRows(item, table) : [parseTestRow(item, table)];
      return { position: positionAt(this.text, item.offset), values: rows[0]!, rows };
    });
  }
}

function textOf(node: YamlNode, what: string, most: number): string {
  if (node.kind !== "scalar" || typeof node.value !== "string") return fault(`${what} is a text`, node);
  const { value } = node;
  if (value.trim() === "") fault(`${what} is empty`, node);
  if (value.length > most) fault(`${what} has ${value.length} characters; ${most} are allowed`, node);
  // deno-lint-ignore no-control-regex
  if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(value)) fault(`${what} has a control character in it`, node);
  return value;
}

function fault(reason: string, node: YamlNode): never {
  throw new YamlFaultError(reason, node.offset);
}

function isSeverity(text: string): text is Severity {
  return (SEVERITIES as readonly string[]).includes(text);
}

function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}
